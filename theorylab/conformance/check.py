"""``Check``: one promise of a torch optimizer, and how it is said to be kept, refused or broken."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, final

from theorylab.conformance.subject import Subject

__all__ = [
    "Check", "Finding", "NotApplicable", "Outcome", "Refused", "Unmet", "check", "one_line",
    "refusable", "require",
]  # fmt: skip

Outcome = Literal["passed", "failed", "refused", "limited", "not applicable"]

_UNCLEAR = (LookupError, AttributeError, ArithmeticError, StopIteration)
_LONGEST = 240


@final
class Unmet(Exception):
    """What a check requires did not come; the message says what was required and what came."""


@final
class NotApplicable(Exception):
    """The check says nothing about this optimizer; the message says why."""


@final
class Refused(Exception):
    """The optimizer declined in so many words, which it may."""


@final
@dataclass(frozen=True)
class Check:
    """One promise of a torch optimizer.

    Attributes
    ----------
    name : str
        As ``--only`` takes it.
    concept : str
        The file it stands in.
    requires : str
        What is promised, in one line.
    run : callable
        Returns where the promise is kept, raises :class:`Unmet` or :class:`NotApplicable`.
    """

    name: str
    concept: str
    requires: str
    run: Callable[[Subject], None]


def check(function: Callable[[Subject], None]) -> Check:
    """The check that a function makes: named after it, required what its docstring begins with."""
    requires = inspect.cleandoc(function.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    concept = function.__module__.rsplit(".", 1)[-1]
    return Check(function.__name__, concept, requires, function)


@final
@dataclass(frozen=True)
class Finding:
    """What one check found of one optimizer.

    Attributes
    ----------
    check, concept, requires : str
        Of the :class:`Check`.
    outcome : str
        ``"passed"``; ``"failed"``; ``"refused"``: not done, with a clear error; ``"limited"``:
        failed as was declared beforehand; or ``"not applicable"``.
    detail : str
        One line: what was required and what came, or the reason.
    """

    check: str
    concept: str
    requires: str
    outcome: Outcome
    detail: str = ""


def require(condition: object, text: str) -> None:
    """Refute the promise unless the condition holds.

    >>> require(1 > 2, "required 1 > 2")
    Traceback (most recent call last):
    theorylab.conformance.check.Unmet: required 1 > 2
    """
    if not condition:
        raise Unmet(text)


@contextmanager
def refusable(what: str) -> Iterator[None]:
    """What an optimizer may decline, by an explicit and clear error; any other error goes on.

    Parameters
    ----------
    what : str
        Put before the optimizer's own words.

    Examples
    --------
    >>> with refusable("complex parameters"):
    ...     raise ValueError("only real ones")
    Traceback (most recent call last):
    theorylab.conformance.check.Refused: complex parameters: ValueError: only real ones
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (Unmet, NotApplicable, Refused, *_UNCLEAR)) or not _explicit(error):
            raise
        raise Refused(f"{what}: {one_line(error)}") from error


def _explicit(error: BaseException) -> bool:
    """Whether somebody wrote the ``raise`` and said why; torch's operators raise by themselves."""
    trail: TracebackType | None = error.__traceback__
    if trail is None or not str(error).strip():
        return False
    while trail.tb_next is not None:
        trail = trail.tb_next
    code = trail.tb_frame.f_code.co_code
    name = dis.opname[code[trail.tb_lasti]]
    # A call with wrong keywords is refused by Python, in words that name the keyword.
    return name == "RAISE_VARARGS" or "unexpected keyword argument" in str(error)


def one_line(error: BaseException) -> str:
    """The error's kind and message, in one line of bounded length.

    >>> one_line(KeyError("step"))
    "KeyError: 'step'"
    """
    text = " ".join(str(error).split())
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 3] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
