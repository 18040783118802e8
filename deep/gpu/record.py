"""``Record``: what was found, one JSON line at a time, on disk before the next thing starts."""

from __future__ import annotations

import gc
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

__all__ = ["OutOfTime", "Record", "bounded"]


@final
class OutOfTime(Exception):
    """Something took longer than it was given."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Stop what runs inside after ``seconds``, by :class:`OutOfTime`.

    Only between Python's own instructions, and only in the main thread: whatever hangs in a
    library is for the parent process to end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def out(number: int, frame: Any) -> None:
        raise OutOfTime(f"more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, out)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@final
class Record:
    """A file of JSON lines: ``part``, ``name``, ``ok``, ``seconds``, and ``result`` or ``error``.

    Every line is flushed to disk. Damaged lines (the last one of a killed run) are passed over.

    >>> import tempfile
    >>> record = Record(Path(tempfile.mkdtemp()) / "gpu.jsonl", quiet=True)
    >>> record.attempt("checks", "sum", lambda: {"value": 2}, 10)
    True
    >>> record.attempt("checks", "wrong", lambda: 1 / 0, 10)
    False
    >>> record.done("checks", "sum"), record.done("checks", "wrong")
    (True, False)
    >>> record.lines()[1]["error"]
    'ZeroDivisionError: division by zero'
    """

    def __init__(self, path: Path, *, quiet: bool = False) -> None:
        self.path = path
        self.quiet = quiet

    def lines(self) -> list[dict[str, Any]]:
        """Every whole line of the file."""
        found = []
        for text in self._text().splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict):
                found.append(line)
        return found

    def _text(self) -> str:
        return self.path.read_text("utf-8", "replace") if self.path.is_file() else ""

    def done(self, part: str, name: str) -> bool:
        """Whether this succeeded already."""
        return any(
            (line.get("part"), line.get("name"), line.get("ok")) == (part, name, True)
            for line in self.lines()
        )

    def write(self, part: str, name: str, **content: Any) -> None:
        """Append a line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"part": part, "name": name, **_finite(content)}, allow_nan=False)
        cut = self.path.is_file() and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a") as stream:
            stream.write(("\n" if cut else "") + line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        if not self.quiet:
            print(line if len(line) < 400 else line[:397] + "...", file=sys.stdout, flush=True)

    def attempt(
        self, part: str, name: str, work: Callable[[], Mapping[str, Any]], seconds: float
    ) -> bool:
        """Run ``work`` within ``seconds`` and write what it returns, or why it failed.

        What succeeded before is not run again. ``work`` may return ``ok`` itself.
        """
        if self.done(part, name):
            return True
        started = time.perf_counter()
        result: dict[str, Any] = {}
        try:
            with bounded(seconds):
                result = {"result": dict(work())}
            ok = bool(result["result"].pop("ok", True))
        except Exception as error:  # recorded, and the rest goes on
            text = str(error).strip().splitlines() or [""]
            ok, result = False, {"error": f"{type(error).__name__}: {text[0][:300]}"}
        gc.collect()  # a trainer and its graph hold each other, and the device's memory
        self.write(part, name, ok=ok, seconds=round(time.perf_counter() - started, 3), **result)
        return ok


def _finite(value: Any) -> Any:
    """JSON has no infinities: what diverged is ``null``."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
