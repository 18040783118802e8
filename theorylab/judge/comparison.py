"""Both sides of a claim at every instance of a measurement, and what that establishes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from bounds.claim import Claim
from bounds.evaluation import elementary, evaluate, in_digits
from bounds.symbol import Measured, Symbol
from bounds.units import UnitsError, units_of
from theorylab.errors import UsageError
from theorylab.judge.domain import natural_scale
from theorylab.judge.intervals import mean_interval, money_against, wins
from theorylab.quantities import Measurement
from theorylab.quantities.protocol import LOST, Law

__all__ = ["Comparison", "compare"]

_ROUNDING = 1e-9
_FLOOR = 1e-13
# Sides that meet up to rounding are equal, where rounding is no larger a part of them than this.
_ATTAINED = 1e-6
# Terms that leave more than this of themselves lose fewer digits than _ROUNDING allows.
_CANCELLED = 1e-4
_OVERFLOWS = math.sqrt(np.finfo(float).max)
_FAR = 1e50  # powers of what lies beyond, which formulas hold, may vanish or overflow
_VANISHES = float(np.finfo(float).tiny / np.finfo(float).eps)


@dataclass(frozen=True)
class Comparison:
    """Both sides at every instance.

    Attributes
    ----------
    claim : Claim
    law : "arithmetic", "law" or "samples"
        How the measured side is known.
    measured, bound : ndarray, shape (instances,)
        The two sides; of samples, their means.
    tolerance : ndarray, shape (instances,)
        What rounding may have done to their difference.
    gap : ndarray, shape (instances, replicas)
        Measured less certified side, repetition by repetition.
    low, high : ndarray, shape (instances,)
        Certified range of one entry of ``gap``; of no use where nothing was sampled.
    risk : float
        Of everything said here of samples, shared evenly by the instances and by the two sides.
    from_below : tuple of bool
        Whether the smaller and the larger side of the claim are suprema known from below.
    left : ndarray of bool, shape (instances,)
        Whether a sample lay outside its certified range.
    """

    claim: Claim
    law: Law
    measured: np.ndarray
    bound: np.ndarray
    tolerance: np.ndarray
    gap: np.ndarray
    low: np.ndarray
    high: np.ndarray
    risk: float
    from_below: tuple[bool, bool]
    left: np.ndarray

    @property
    def replicas(self) -> int:
        """How many repetitions there are; 1 where nothing was sampled."""
        return self.gap.shape[1]

    @property
    def ratio(self) -> np.ndarray:
        """Measured over bound."""
        with np.errstate(all="ignore"):
            plain = self.measured / self.bound
            over = self.measured - self.bound > self.tolerance
        return np.where(self.bound > 0, plain, np.where(over, np.inf, 0.0))

    @property
    def steady_ratio(self) -> np.ndarray:
        """The ratio, of samples that of three standard errors down: not the luckiest leads.

        What they may have missed counts too, where it is known how much that can be.
        """
        unseen = np.where(np.isfinite(self.unseen), self.unseen, 0.0)
        fall = np.maximum(3 * self.standard_error, unseen)
        with np.errstate(all="ignore"):
            down = (self.measured - fall) / self.bound
        return np.where((self.bound > 0) & (fall > 0), down, self.ratio)

    @property
    def unseen(self) -> np.ndarray:
        """How far the samples' mean may fall by events that none of them saw.

        One of chance ``3/n`` is missed by n samples with probability 5%, and takes a sample to
        the end of its certified range: infinitely far, where there is none.
        """
        n = self.replicas
        if self.law != "samples":
            return np.zeros(len(self.gap))
        if n == 1:
            return np.full(len(self.gap), np.inf)
        with np.errstate(all="ignore"):
            mean = self.gap.mean(axis=-1)
            room = mean - self.low
            if self.claim.sense == "==":
                room = np.where(mean < 0, self.high - mean, room)
        return np.nan_to_num(3 * room / n, nan=np.inf, posinf=np.inf)

    @property
    def standard_error(self) -> np.ndarray:
        """Of the measured side: no evidence, but a guide for a search."""
        n = self.replicas
        if self.law != "samples" or n == 1:
            return np.zeros(len(self.gap))
        with np.errstate(all="ignore"):
            return self.gap.std(axis=-1, ddof=1) / math.sqrt(n)

    def outcomes(self) -> np.ndarray:
        """Instance by instance: ``violated``, ``holds``, ``not refuted``, or ``unknown``.

        ``unknown`` is where rounding or overflow hides the answer. Samples decide only by
        intervals that are valid for any law within the certified range; a supremum known from
        below can exceed, and nothing more.
        """
        sampled = self.law == "samples"
        return self._known(self._from_samples(self._share) if sampled else self._exact())

    def promising(self, times: float) -> str:
        """What about ``times`` as many samples might make of the instances that these leave open.

        ``violated`` if they might refute one, ``holds`` if they might settle all, or ``not
        refuted``. Money grows by as much again with as many samples again.
        """
        if self.law != "samples":
            return "not refuted"
        open_ = self._from_samples(self._share) == "not refuted"
        closer = self._known(self._from_samples(self._share ** (1 / times)))[open_]
        if "violated" in closer:
            return "violated"
        return "holds" if closer.size and (closer == "holds").all() else "not refuted"

    def _known(self, found: np.ndarray) -> np.ndarray:
        """The outcomes without what is never known of a supremum that is approached from below."""
        for below, never in zip(self.from_below, ("holds", "violated"), strict=True):
            if below:
                found = np.where(found == never, "not refuted", found)
        return found

    def interval(self, i: int) -> tuple[float, float]:
        """The measured side at instance ``i``: a valid interval, infinite where none is known."""
        measured, bound = float(self.measured[i]), float(self.bound[i])
        if self.law != "samples":
            return measured, measured
        if self.replicas == 1:
            return -math.inf, math.inf
        low, high = mean_interval(self.gap[i], 2 * self._share, self.low[i], self.high[i])
        return bound + float(low), bound + float(high)

    def upper(self, i: int) -> float:
        """The upper end of :meth:`interval`."""
        if self.law != "samples" or self.replicas == 1:
            return self.interval(i)[1]
        lowest, _ = mean_interval(-self.gap[i], 2 * self._share, -self.high[i])
        return float(self.bound[i]) - float(lowest)

    @property
    def _share(self) -> float:
        """The risk of one side at one instance."""
        return self.risk / (2 * len(self.gap))

    def _exact(self) -> np.ndarray:
        with np.errstate(all="ignore"):
            gap = self.measured - self.bound
            size = np.maximum(np.abs(self.measured), np.abs(self.bound))
            # inf - inf and the like are overflow, which is evidence of nothing. A measured side
            # that overflowed is large, but a norm overflows where its square does.
            known = np.isfinite(self.bound) & ~np.isnan(self.measured)
            known &= np.isfinite(self.measured) | (np.abs(self.bound) < _OVERFLOWS)
            # Where the sides are differences of far larger terms, rounding may hide the answer.
            resolved = (self.tolerance <= _ATTAINED * size) | (gap == 0)
            if self.claim.sense == "==":
                off, meets = np.abs(gap) > self.tolerance, np.abs(gap) <= self.tolerance
            else:
                off, meets = gap > self.tolerance, gap <= self.tolerance
                resolved |= gap <= -self.tolerance
        held = np.where(meets & resolved, "holds", "unknown")
        return np.where(known, np.where(off, "violated", held), "unknown")

    @cached_property
    def _money(self) -> tuple[np.ndarray, np.ndarray]:
        """What the samples won against the measured side being no larger, and no smaller."""
        slack = self.tolerance
        return (money_against(self.gap, slack, self.low),
                money_against(-self.gap, slack, -self.high))  # fmt: skip

    def _from_samples(self, risk: float) -> np.ndarray:
        undecided = np.full(len(self.gap), "not refuted")
        if self.replicas == 1:
            return undecided
        known = np.isfinite(self.bound)
        off, below = (wins(money, risk) for money in self._money)
        if self.claim.sense == "==":
            off, below = off | below, np.zeros_like(off)
        held = np.where(known & below, "holds", undecided)
        return np.where(known & off, "violated", held)


@np.errstate(over="ignore", invalid="ignore")  # what diverged is told apart in the outcomes
def compare(
    claim: Claim, values: Mapping[str, Any], found: Measurement, risk: float
) -> Comparison:  # fmt: skip
    """Evaluate both sides of ``claim`` at the measured quantities and the certified values.

    Raises
    ------
    UsageError
        If the quantities were sampled and the claim is not affine in them.
    """
    sampled = not found.exact
    # A claim of single runs takes no mean.
    means = claim.mode not in ("every run", "with probability")
    if sampled and means and not _affine(claim):
        raise UsageError(
            f"{claim}: from samples only claims that are affine in what is measured can be judged "
            "(the mean of a function is not the function of the mean); this one is not"
        )
    table = {**values, **found.values}
    shape = np.broadcast_shapes(*(v.shape for v in found.values.values()), (1, 1))
    small, large = _sides(claim, table, shape)
    shape = small.shape
    measured, bound = small.mean(-1), large.mean(-1)
    size = np.abs(bound) + sum(np.abs(v).max(-1) for v in _terms(claim, table, shape))
    # Where all terms vanish, rounding is that of the values they were computed from.
    tolerance = np.maximum(_ROUNDING * size, _FLOOR * _natural_size(claim, values))
    tolerance = tolerance + found.rounding + _inherited(claim, table, found, shape)
    # A side that overflowed has no size; its rounding must not grow beyond every number with it.
    tolerance = np.minimum(tolerance, np.finfo(float).max)
    gap = small - large
    least = _at_least(found.values)
    if least is not None:
        gap = np.subtract(*_sides(claim, {**values, **least}, shape))
    measured = _resolved(claim, {**table, **(least or {})}, measured, shape)
    tolerance = tolerance + _evaluation_error(claim, table, shape)
    low, high = np.full(len(gap), -np.inf), np.full(len(gap), np.inf)
    left = np.zeros(len(gap), dtype=bool)
    if sampled:
        low, high = _range(claim, values, found, len(gap))
        # A sample outside its certified range proves the certificate wrong: it certifies nothing.
        with np.errstate(all="ignore"):
            left = np.fmin.reduce(gap, axis=-1) < low - tolerance
            left |= np.fmax.reduce(gap, axis=-1) > high + tolerance
        low, high = np.where(left, -np.inf, low), np.where(left, np.inf, high)
    smaller, larger = (claim.rhs, claim.lhs) if claim.sense == ">=" else (claim.lhs, claim.rhs)
    suprema = [bool(_names(side) & found.from_below) for side in (smaller, larger)]
    return Comparison(claim, found.law, measured, bound, tolerance, gap, low, high, risk,
                      (suprema[0], suprema[1]), left)  # fmt: skip


def _sides(
    claim: Claim, table: Mapping[str, Any], shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """What must be smaller and what must be larger, at every instance and repetition."""
    small, large = (np.atleast_2d(evaluate(side, table)) for side in claim.sides)
    shape = np.broadcast_shapes(small.shape, large.shape, shape)
    return np.broadcast_to(small, shape), np.broadcast_to(large, shape)


def _at_least(values: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray] | None:
    """What is known of numbers of which some overflowed, in size; ``None`` if none did."""
    if all(np.isfinite(v).all() for v in values.values()):
        return None
    return {
        name: np.where(np.isinf(v), np.copysign(_OVERFLOWS, v), v) for name, v in values.items()
    }


def _resolved(
    claim: Claim, table: Mapping[str, Any], measured: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """The measured side, ``NaN`` where it overflowed and yet what is known decides nothing.

    What overflowed is as large as ``table`` says, or larger. It must decide the claim at that
    already, in numbers that have no largest: terms beside it may be larger.
    """
    measured = measured.copy()
    for i in np.flatnonzero(np.isinf(measured)):
        ends = []
        for side in claim.sides:
            symbols, exactly = in_digits(side)
            at = [np.broadcast_to(np.atleast_2d(table[s.name]), shape)[i].mean() for s in symbols]
            with mpmath.workdps(60), suppress(ArithmeticError, TypeError, ValueError):
                ends.append(mpmath.mpf(exactly(*map(mpmath.mpf, at))))
        if len(ends) < 2 or mpmath.sign(ends[0] - ends[1]) != np.sign(measured[i]):
            measured[i] = np.nan
    return measured


def _range(
    claim: Claim, values: Mapping[str, Any], found: Measurement, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The certified range of measured less certified side; known where that is affine."""
    if not _affine(claim):
        return np.full(count, -np.inf), np.full(count, np.inf)
    difference, slopes = _slopes(claim)
    at_zero = {**values, **{s.name: 0.0 for s in claim.measured}}
    low = np.zeros(count) + _column(evaluate(difference, at_zero))
    high = low.copy()
    for symbol, change in slopes:
        slope = np.zeros(count) + _column(evaluate(change, values))
        samples = found.values[symbol.name]
        lowest, highest = found.ranges.get(symbol.name, (-np.inf, np.inf))
        if samples.shape[1] == 1 < max(v.shape[1] for v in found.values.values()):
            lowest = highest = samples  # known exactly
        ends = [np.zeros(count) + _column(end) for end in (lowest, highest)]
        with np.errstate(invalid="ignore"):
            reach = [np.where(slope == 0, 0.0, slope * end) for end in ends]
        low, high = low + np.minimum(*reach), high + np.maximum(*reach)
    return low, high


@lru_cache(maxsize=1024)
def _slopes(claim: Claim) -> tuple[sp.Expr, tuple[tuple[Measured, sp.Expr], ...]]:
    """Measured less certified side, and its derivative by each of what is measured."""
    small, large = claim.sides
    return small - large, tuple((s, sp.diff(small - large, s)) for s in claim.measured)


@lru_cache(maxsize=4096)
def _names(side: sp.Expr) -> frozenset[str]:
    return frozenset(s.name for s in side.free_symbols)


def _column(value: Any) -> np.ndarray:
    return np.asarray(value, dtype=float).reshape(-1)


@lru_cache(maxsize=1024)
def _affine(claim: Claim) -> bool:
    """Whether the claim's two sides differ by an affine function of the measured quantities."""
    difference = claim.lhs - claim.rhs
    return not any(difference.diff(s).free_symbols & claim.measured for s in claim.measured)


def _inherited(
    claim: Claim, table: Mapping[str, Any], found: Measurement, shape: tuple[int, ...]
) -> np.ndarray:
    """What the rounding of the measured quantities may do to the claim's two sides."""
    lost = np.zeros(shape[:-1])
    for side in claim.sides:
        measured = {s.name for s in claim.measured}
        for name in _names(side) & measured & found.scales.keys():
            here, error = np.atleast_2d(evaluate(side, table)), LOST * found.scales[name]
            moved = [
                np.abs(np.atleast_2d(evaluate(side, {**table, name: table[name] + e})) - here)
                for e in (error, -error)
            ]
            # The root of a number that rounding made negative moves one way alone.
            change = np.nan_to_num(np.fmax(*moved), nan=0.0, posinf=np.inf)
            lost = lost + np.broadcast_to(change, shape).max(-1)
    return lost


def _evaluation_error(claim: Claim, table: Mapping[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    """What floating point takes from the two formulas themselves.

    ``exp(x) - x - 1`` at a tiny x is all rounding, a product of many small numbers is 0: where
    terms cancel, a side all but vanishes or a power on the way might, it is evaluated anew with 60
    digits.
    """
    lost = np.zeros(shape[:-1])
    for side in claim.sides:
        symbols, exactly = in_digits(side)
        sums, steady = _delicate(side)
        if not symbols or side.is_Symbol:
            continue
        columns = [np.broadcast_to(np.atleast_2d(table[s.name]), shape).mean(-1) for s in symbols]
        points, of = np.stack(columns, -1), np.zeros(1, dtype=int)
        if len(points) > 1:  # most measurements have one instance
            points, of = np.unique(points, axis=0, return_inverse=True)
        here = {s.name: points[:, j] for j, s in enumerate(symbols)}
        plain = np.broadcast_to(np.ravel(evaluate(side, here)), len(points))
        doubtful = np.full(len(points), not steady) | (np.abs(plain) < _VANISHES)
        sizes = np.abs(points)
        doubtful |= (sizes > _FAR).any(-1) | ((sizes > 0) & (sizes < 1 / _FAR)).any(-1)
        for terms in sums:
            parts = [np.broadcast_to(evaluate(t, here), len(points)) for t in terms]
            doubtful |= ~(np.abs(sum(parts)) > _CANCELLED * sum(map(np.abs, parts)))
        if not doubtful.any():
            continue
        off = np.zeros(len(points))
        with mpmath.workdps(60):
            for row in np.flatnonzero(doubtful):
                try:
                    sharp = exactly(*map(mpmath.mpf, points[row].tolist()))
                    off[row] = 2 * float(abs(sharp - plain[row]))
                except (ArithmeticError, TypeError, ValueError):  # beyond what it computes
                    continue
        lost += off[of.ravel()]
    return np.nan_to_num(lost, nan=0.0, posinf=0.0)


@lru_cache(maxsize=1024)
def _delicate(side: sp.Expr) -> tuple[tuple[tuple[sp.Expr, ...], ...], bool]:
    """The sums in a formula whose terms may cancel, and whether nothing else loses digits.

    Products, powers and sums of one sign keep theirs; of other functions nothing is known here.
    """
    if not elementary(side):
        return (), False
    sums = tuple(
        total.args for total in side.atoms(sp.Add)
        if not (all(t.is_nonnegative for t in total.args)
                or all(t.is_nonpositive for t in total.args))
    )  # fmt: skip
    return sums, all(isinstance(f, sp.Abs) for f in side.atoms(sp.Function))


def _natural_size(claim: Claim, values: Mapping[str, Any]) -> float:
    """The claim's natural unit: what its measured side amounts to at length sqrt(Delta/ell)."""
    unit = _unit(claim.sides[0]) if claim.measured else None
    return 0.0 if unit is None else natural_scale(unit, values)


@lru_cache(maxsize=1024)
def _unit(side: sp.Expr) -> Symbol | None:
    """A symbol of the side's units, where it has any."""
    try:
        return Symbol("measured side", units=units_of(side))
    except UnitsError:
        return None


def _terms(claim: Claim, table: Mapping[str, Any], shape: tuple[int, ...]) -> list[np.ndarray]:
    """The sizes of the measured side's terms: rounding is relative to them, not to their sum."""
    return [
        np.broadcast_to(np.atleast_2d(evaluate(term, table)), shape)
        for term in sp.Add.make_args(claim.sides[0])
    ]
