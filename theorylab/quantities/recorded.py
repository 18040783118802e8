"""One number a run, from what its rounds recorded: had it ended at its end, or earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from bounds.path import PathOf
from bounds.symbol import Measured
from theorylab.engine.driver import Stratified

__all__ = ["Recorded", "Recordings", "grown", "number_of", "numbers_on_the_way"]


@final
@dataclass(frozen=True)
class Recorded:
    """What some rounds recorded, shape ``(rounds, replicas)``."""

    at: Sequence[int] | Stratified
    numbers: np.ndarray

    def of(self, rounds: range) -> np.ndarray:
        """That of some of the rounds; of random times all, which stand for any."""
        if isinstance(self.at, Stratified) or rounds == self.at:
            return self.numbers
        if isinstance(self.at, range):
            return self.numbers[rounds.start - self.at.start : rounds.stop - self.at.start]
        return self.numbers[[self.at.index(k) for k in rounds]]

    @property
    def width(self) -> float:
        """How many rounds each row stands for."""
        if not isinstance(self.at, Stratified):
            return 1.0
        assert self.at.span is not None
        return self.at.span / len(self.numbers)


Recordings = Mapping[tuple[str, PathOf], Recorded]
"""By the quantity's name and the part of its path."""


def number_of(quantity: Measured, recorded: Recordings, horizon: int) -> np.ndarray:
    """One number a run that ends there."""
    assert quantity.path is not None
    first, *less = (
        _reduced(part, recorded[quantity.name, part].of(part.rounds(horizon)), horizon, quantity)
        for part in quantity.path.parts
    )
    return first - less[0] if less else first


def numbers_on_the_way(
    quantity: Measured, recorded: Recordings, ends: Sequence[int]
) -> np.ndarray:  # fmt: skip
    """One number a run, had it ended at each of some earlier ends: shape ``(ends, replicas)``.

    A mean over random times is one over the strata that lie before the end, the last one in part:
    without bias where the end is one of theirs, and else off by what changes within a stratum.
    """
    assert quantity.path is not None
    first, *less = (
        _running(part, recorded[quantity.name, part], ends, quantity)
        for part in quantity.path.parts
    )
    return first - less[0] if less else first


def grown(norms: np.ndarray) -> np.ndarray:
    """A run that left the numbers behind passed gradients beyond all of them: so is their mean.

    Where it would be now is unknown, and a single late value or a minimum says nothing.
    """
    return np.where(np.isnan(norms), np.inf, norms)


def _reduced(part: PathOf, recorded: np.ndarray, horizon: int, quantity: Measured) -> np.ndarray:
    """One number a run, from what was recorded at its rounds."""
    numbers = recorded if part.power == 1 else recorded**part.power
    if part.reduce == "at":
        return np.asarray(numbers[0])
    if part.reduce == "min":
        return np.asarray(numbers.min(0))
    if part.reduce == "max":
        # What came after an overflow is unknown, so the largest is, unless it was infinite.
        most = np.asarray(np.fmax.reduce(numbers))
        return np.where(np.isnan(numbers).any(0) & np.isfinite(most), np.nan, most)
    if quantity.domain.lower == 0:
        numbers = grown(numbers)
    mean = np.asarray(numbers.mean(0))
    return mean if part.reduce == "mean" else mean * len(part.rounds(horizon))


def _running(
    part: PathOf, recorded: Recorded, ends: Sequence[int], quantity: Measured
) -> np.ndarray:  # fmt: skip
    """:func:`_reduced` for each of the ends, all in one pass."""
    if part.reduce == "at":
        at = np.concatenate([recorded.of(part.rounds(end)) for end in ends])
        return at if part.power == 1 else at**part.power
    numbers = recorded.numbers if part.power == 1 else recorded.numbers**part.power
    counts = np.array([len(part.rounds(end)) for end in ends])
    if part.reduce in ("min", "max"):  # which keep what is no number
        extreme = np.minimum if part.reduce == "min" else np.maximum
        return np.asarray(extreme.accumulate(numbers)[counts - 1])
    if quantity.domain.lower == 0:
        numbers = grown(numbers)
    whole, share = np.divmod(counts / recorded.width, 1)
    after = np.minimum(whole.astype(int), len(numbers) - 1)
    sums = np.concatenate([np.zeros_like(numbers[:1]), np.cumsum(numbers, axis=0)])[after]
    begun = share > 0
    sums[begun] += share[begun, None] * numbers[after[begun]]
    mean = sums / (counts / recorded.width)[:, None]
    return mean if part.reduce == "mean" else mean * counts[:, None]
