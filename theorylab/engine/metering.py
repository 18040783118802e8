"""How much work measurements did, counted in steps and sample gradients: alike on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import final

__all__ = ["Meter", "metered", "spend"]

STEP = 500
"""A step, or a record of one, costs as much as about so many sample gradients."""


@final
@dataclass
class Meter:
    """The sample gradients of all steps that were taken, each step with its own cost.

    >>> with metered() as meter:
    ...     spend(steps=2, gradients=30)
    >>> meter.work
    1030
    """

    work: int = 0


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metered() -> Iterator[Meter]:
    """Counts what runs inside the block do; an inner block's work is its own."""
    meter = Meter()
    token = _METER.set(meter)
    try:
        yield meter
    finally:
        _METER.reset(token)


def spend(steps: int, gradients: int) -> None:
    """Counts steps and the sample gradients of all their rows, where someone counts."""
    meter = _METER.get()
    if meter is not None:
        meter.work += STEP * steps + gradients
