"""Quantities of whole runs from the expectations of their paths' parts, round by round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from bounds.path import PathOf
from theorylab.problem.objective import Objective
from theorylab.quantities.protocol import LOST, Experiment, Measurement, value_scale

__all__ = ["Numbers", "assembled"]


@final
@dataclass(frozen=True)
class Numbers:
    """Expectations at each round ``0 .. T``, their rounding, and a constant to be added."""

    numbers: np.ndarray
    errors: np.ndarray
    origin: float = 0.0


def assembled(
    experiment: Experiment, numbers_of: Callable[[PathOf], Numbers | None]
) -> Measurement | None:
    """The experiment's quantities from the expectations of their paths' parts, round by round.

    ``None`` where one part has none.
    """
    objective = experiment.objective
    values: dict[str, np.ndarray] = {}
    scales: dict[str, np.ndarray | float] = {}
    earlier: dict[str, np.ndarray] = {}
    for quantity in experiment.statement.measured:
        assert quantity.path is not None
        terms = [(sign, part, numbers_of(part))
                 for sign, part in zip((1, -1), quantity.path.parts, strict=False)]  # fmt: skip
        number, *before = (_summed(terms, T, objective)
                           for T in (experiment.rounds, *experiment.horizons))  # fmt: skip
        if number is None:
            return None
        values[quantity.name] = np.reshape(number[0], (1, 1))
        scales[quantity.name] = np.asarray(number[1]) / LOST
        earlier[quantity.name] = np.reshape([x[0] for x in before if x is not None], (-1, 1))
    ends = experiment.horizons
    read = Measurement(earlier, "law", ends=ends) if ends else None
    return Measurement(values, law="law", scales=scales, earlier=read)


def _summed(
    terms: Sequence[tuple[int, PathOf, Numbers | None]], horizon: int, objective: Objective
) -> tuple[float, float] | None:
    """The expectation of a path, its parts added with their signs, and its rounding."""
    number, error, origin = 0.0, 0.0, 0.0
    for sign, part, table in terms:
        if table is None:
            return None
        rounds = part.rounds(horizon)
        cut = slice(rounds.start, rounds.stop)
        times = len(rounds) if part.reduce == "sum" else 1
        number = number + sign * times * table.numbers[cut].mean()
        error = error + times * table.errors[cut].mean()
        origin += sign * times * table.origin
    if origin:
        number, error = number + origin, error + LOST * value_scale(objective, origin)
    return number, error
