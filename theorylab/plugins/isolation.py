"""What keeps a plug-in that misbehaves from harming the rest: loading it, and its names."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import EntryPoint
from types import FrameType
from typing import Any, NoReturn

__all__ = ["LOAD_SECONDS", "OWN", "fault", "load"]

OWN = frozenset({"bounds", "theorylab", "synthetic", "deep", "paper_figures"})
"""Packages of the project itself: their names are theirs, whoever asks for one too."""
LOAD_SECONDS = 60.0
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_LONGEST = 200


class _TooLong(BaseException):
    """Not an ``Exception``: a plug-in's own ``except Exception`` does not swallow it."""


def load(point: EntryPoint) -> Any:
    """What the entry point names; whatever it raises on the way is an ``ImportError``.

    Where the system has timers (and in the main thread) one that is not of this project may take
    a minute. One that ends the process by ``os._exit`` cannot be caught. What it prints goes to
    stderr.

    Raises
    ------
    ImportError
        With the kind and text of what it raised.
    """
    if point.value.split(":")[0].split(".")[0] in OWN:
        return point.load()
    try:
        # What it prints meanwhile is no part of a command's answer.
        with _limited(LOAD_SECONDS), redirect_stdout(sys.stderr):
            return point.load()
    except KeyboardInterrupt:
        raise
    except _TooLong:
        raise ImportError(f"it took longer than {LOAD_SECONDS:g} s to load") from None


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fault(kind: str, name: Any) -> str:
    """What is wrong with a name; empty if nothing is.

    Names become files' names, parts of scripts and rows of tables: letters, digits, ``_``, ``-``
    and dots, no dot before another, none at an end. A statement's key is ``paper.name``.

    >>> fault("rules", "sgd"), fault("statements", ("mine.theorem_1", "printed"))
    ('', '')
    >>> fault("statements", ("../x", "printed"))
    "a statement's key is PAPER.NAME, of letters, digits, _ and -; got '../x'"
    """
    text = name[0] if kind == "statements" and isinstance(name, tuple) else name
    if not isinstance(text, str):
        return f"a name is text, got {type(text).__name__}"
    if kind == "quantities":  # among them protocols, whose name is where their class is
        return ""
    good = (
        _NAME.fullmatch(text) is not None and len(text) <= _LONGEST
        and ".." not in text and not text.endswith(".")
    )  # fmt: skip
    if kind == "statements" and not (good and "." in text):
        return f"a statement's key is PAPER.NAME, of letters, digits, _ and -; got {text[:80]!r}"
    return "" if good else f"a name is of letters, digits, _, - and dots; got {text[:80]!r}"
