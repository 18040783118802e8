"""Step-size schedules by name, for runs whose length is known."""

from __future__ import annotations

import math

from theorylab.errors import UsageError
from theorylab.method.schedules import (
    Constant,
    Exponential,
    Poly,
    Schedule,
    Sigmoid,
    Staircase,
    Warmup,
)

__all__ = ["SCHEDULES", "schedule"]

SCHEDULES = {
    "constant": "constant",
    "poly": "poly[:power=1.1]; initial (1 - (t-1)/total)^power",
    "sigmoid": "sigmoid[:final share=0.01]; falls along a logistic curve",
    "staircase": "staircase[:shares=0.5,0.75[:factor=0.1]]; falls by a factor at shares of the run",
    "exponential": "exponential[:rate=5]; initial exp(-rate (t-1)/total)",
}


_TAKES = {"constant": (), "poly": (1,), "sigmoid": (1,), "staircase": (99, 1), "exponential": (1,)}
"""How many numbers each argument may have."""


def _check(text: str, name: str, numbers: list[list[float]]) -> None:
    """Refuse arguments that the schedule does not take, or that are not finite."""
    takes = _TAKES.get(name)
    if takes is None:
        raise UsageError(f"unknown schedule {name!r}; known: {', '.join(SCHEDULES)}")
    if len(numbers) > len(takes) or any(
        len(given) > most for given, most in zip(numbers, takes, strict=False)
    ):
        raise UsageError(f"schedule {text!r}: too many arguments; it is {SCHEDULES[name]}")
    if not all(math.isfinite(number) for given in numbers for number in given):
        raise UsageError(f"schedule {text!r}: arguments must be finite")


def schedule(
    text: str, initial: float, total: int, warmup: int = 0, warmup_from: float | None = None
) -> Schedule:
    """The schedule ``NAME[:ARGUMENT...]`` over ``total`` steps, after ``warmup`` rising ones.

    ``constant``; ``poly:1.1`` (poly power); ``sigmoid:0.01`` (annealed to that share of the
    step, as the stochastic-batch-size paper does from 0.1 to 0.001); ``staircase:0.5,0.75:0.1``
    (by 0.1 at half and three quarters, as TRAlgo; LRSGD's is ``0.429,0.714``);
    ``exponential:5``. With ``warmup``, the first steps grow linearly to the schedule's value,
    from ``warmup_from`` (SNGM's Table 2 has LARS rise from 0.1 to 2.4) or from a step's share.

    Raises
    ------
    UsageError
        If the name is unknown, an argument is no number, or ``warmup_from`` exceeds ``initial``.

    >>> [round(schedule("staircase:0.5", 1.0, 4)(t), 3) for t in (1, 2, 3, 4)]
    [1.0, 1.0, 0.1, 0.1]
    >>> schedule("constant", 1.0, 10, warmup=4)(2)
    0.5
    >>> schedule("constant", 2.4, 10, warmup=5, warmup_from=0.1)(1)
    0.1
    """
    name, *parts = text.split(":")
    try:
        numbers = [[float(x) for x in part.split(",")] for part in parts]
    except ValueError:
        raise UsageError(f"schedule {text!r}: arguments must be numbers") from None
    _check(text, name, numbers)

    def argument(place: int, default: float) -> float:
        return numbers[place][0] if len(numbers) > place else default

    made: Schedule
    if name == "constant":
        made = Constant(initial)
    elif name == "poly":
        made = Poly(initial, total, argument(0, 1.1))
    elif name == "sigmoid":
        made = Sigmoid(initial, initial * argument(0, 0.01), total)
    elif name == "staircase":
        shares = numbers[0] if numbers else [0.5, 0.75]
        made = Staircase(initial, tuple(round(s * total) for s in shares), argument(1, 0.1))
    else:
        made = Exponential(initial, total, argument(0, 5.0))
    if not warmup:
        return made
    if warmup_from is None:
        return Warmup(made, warmup)
    if not 0 <= warmup_from <= initial:
        raise UsageError(
            f"a warm-up must start between 0 and the step {initial}, got {warmup_from}"
        )
    return Warmup(made, warmup, warmup_from / initial)
