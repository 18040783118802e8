"""Errors a user can cause: one clear line, no traceback on the command line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral

__all__ = [
    "AssumptionError", "DataError", "UnknownNameError", "UsageError", "foreign", "printable",
    "require_each", "require_finite", "require_integer", "require_kind",
]  # fmt: skip


class UsageError(ValueError):
    """What was asked for cannot be done; the message says who, what was required, what came."""


class UnknownNameError(UsageError):
    """A key or name that is not registered."""


class DataError(UsageError):
    """A data file that cannot be used."""


class AssumptionError(UsageError):
    """An objective lacks an assumption of the statement it should be checked against."""


def require_integer(who: str, name: str, value: object, least: int) -> None:
    """Refuse what is not an integer of at least ``least``.

    >>> require_integer("run", "steps", 4.5, 0)
    Traceback (most recent call last):
    theorylab.errors.UsageError: run: steps must be an integer of at least 0, got 4.5
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        raise UsageError(f"{who}: {name} must be an integer of at least {least}, got {value!r}")


def require_finite(who: str, values: Mapping[str, object]) -> None:
    """Refuse ``inf`` and ``nan`` among the values.

    >>> require_finite("train", {"epochs": float("inf")})
    Traceback (most recent call last):
    theorylab.errors.UsageError: train: epochs must be finite, got inf
    """
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{who}: {name} must be finite, got {value}")


def require_kind(who: str, name: str, value: object, kind: type) -> None:
    """Refuse what is of another kind.

    >>> require_kind("run", "rule", "sgd", float)
    Traceback (most recent call last):
    theorylab.errors.UsageError: run: rule must be of class float, got 'sgd'
    """
    if not isinstance(value, kind):
        raise UsageError(f"{who}: {name} must be of class {kind.__name__}, got {_briefly(value)}")


def require_each(who: str, name: str, values: object, kind: type) -> None:
    """Refuse what is no sequence, and what is of another kind in it.

    >>> require_each("verify", "statements", ["sngm.lemma_2"], float)
    Traceback (most recent call last):
    theorylab.errors.UsageError: verify: statements must be a sequence of class float, ...
    """
    other = [values]
    if isinstance(values, Sequence) and not isinstance(values, str):
        other = [value for value in values if not isinstance(value, kind)]
    if other:
        raise UsageError(
            f"{who}: {name} must be a sequence of class {kind.__name__}, got {_briefly(other[0])}"
        )


def _briefly(value: object) -> str:
    return printable(repr(value)) if isinstance(value, str) else type(value).__name__


@contextmanager
def foreign(what: object, written_by: str = "theorylab") -> Iterator[None]:
    """Whatever goes wrong with a table of someone else's is one line that names it.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> with foreign("results.json", "`theorylab verify`"):
    ...     print({"results": None}["results"]["key"])
    Traceback (most recent call last):
    theorylab.errors.UsageError: results.json is not what `theorylab verify` writes ...
    """
    try:
        yield
    except (UsageError, OSError, MemoryError):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {printable(error, 200)}"
        raise UsageError(f"{what} is not what {written_by} writes ({said})") from error


def printable(text: object, longest: int = 40) -> str:
    """Text from a file as a terminal may show it: control characters escaped, and cut.

    >>> printable("age\\x1b[31m")
    'age\\\\x1b[31m'
    """
    shown = str(text)
    cut = shown if len(shown) <= longest else shown[: longest - 3] + "..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)
