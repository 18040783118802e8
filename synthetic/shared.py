"""Checks of parameters that every builder makes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from theorylab.errors import UsageError

__all__ = ["at_least", "count", "given", "positive", "refuse"]


def given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The ``parameters`` of what a builder makes: its ``locals()``, taken in its first line.

    Without the number type, which is none of F.

    >>> given({"dim": 3, "dtype": "float32"})
    {'dim': 3}
    """
    return {name: value for name, value in arguments.items() if name != "dtype"}


def refuse(who: str, name: str, required: str, got: object) -> UsageError:
    """The error for a parameter out of range, to be raised by the caller."""
    return UsageError(f"{who}: {name} must be {required}, got {got!r}")


def positive(who: str, **values: float) -> None:
    """Refuse any value that is not a positive finite number."""
    for name, value in values.items():
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
            raise refuse(who, name, "a positive number", value)


def at_least(who: str, least: float, **values: float) -> None:
    """Refuse any value that is not a finite number of at least ``least``."""
    for name, value in values.items():
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= least):
            raise refuse(who, name, f"a number of at least {least:g}", value)


def count(who: str, name: str, value: float, least: int = 1) -> int:
    """``value`` as an integer of at least ``least``; a search may pass ``3.0``."""
    if isinstance(value, bool) or not math.isfinite(value) or int(value) != value or value < least:
        raise refuse(who, name, f"an integer of at least {least}", value)
    return int(value)
