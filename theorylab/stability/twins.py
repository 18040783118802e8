"""Perturbed twins: uniform stability measured, never proved.

A run on data S and runs on data that differ from S in one sample share all randomness: indices,
restarts, every draw of the rule. Until the replaced sample is first drawn they are the same bits,
so their distance is exactly 0.0; what it becomes afterwards is what stability theorems bound.
The supremum in the definition is approached from below: the best of many twins and test points,
chosen on one half of the repetitions and measured on the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from theorylab.engine.driver import BLOCK, Samples, run
from theorylab.errors import UsageError
from theorylab.method.rule import UpdateRule
from theorylab.problem.objective import Constant, FiniteSum, Objective

__all__ = [
    "Estimate", "SampleSpace", "SharedDraws", "Twins", "estimate", "fit_exponent",
    "generalization_gap", "largest_gap", "run_twins", "search_replacements",
]  # fmt: skip

_ROWS = 2048
_GATHER_BYTES = 64 * 2**20


@runtime_checkable
class SampleSpace(Protocol):
    """What a finite sum offers if its samples can be moved continuously: an ascent needs it."""

    def sample(self, index: Tensor) -> Tensor:
        """The samples ``index`` as points, shape ``(m, k)``."""
        ...

    def sample_loss(self, w: Tensor, x: Tensor) -> Tensor:
        """``f(w; x)`` row by row, shape ``(R,)``, differentiable in ``x`` of shape ``(R, k)``."""
        ...

    def admissible(self, x: Tensor) -> Tensor:
        """``x`` projected on the samples for which the sum's constants still hold."""
        ...

    def with_replacements(self, x: Tensor) -> FiniteSum:
        """The sum over the n samples and, after them, the rows of ``x``."""
        ...


@dataclass(frozen=True)
class Twins:
    """Runs on S and on its twins, at every recorded time.

    Attributes
    ----------
    objective : FiniteSum
        A sum over the n samples of S and, after them, the replacements.
    n : int
        The size of S.
    positions : ndarray of int, shape (P,)
        Twin p misses sample ``positions[p]``; in its place it has sample ``n + p`` (replace-one)
        or nothing (remove-one).
    times : ndarray of int, shape (m,)
        Rounds (or steps) after which the runs were recorded.
    evaluations : ndarray of int, shape (m, R)
        Sample gradients spent until then.
    w : ndarray, shape (m, R, P + 1, d)
        Iterates; entry 0 of the third axis is the run on S.
    first_drawn : ndarray of int, shape (P, R)
        The round in which the sample that differs was first drawn, ``horizon + 1`` if it never was.
    horizon : int
        The last round (or step).
    """

    objective: FiniteSum
    n: int
    positions: np.ndarray
    times: np.ndarray
    evaluations: np.ndarray
    w: np.ndarray
    first_drawn: np.ndarray
    horizon: int

    @property
    def pairs(self) -> int:
        """The number of twins P."""
        return len(self.positions)

    @property
    def seeds(self) -> int:
        """The number of repetitions R."""
        return self.w.shape[1]

    @property
    def distance(self) -> np.ndarray:
        """``||A(S) - A(S^p)||``, shape ``(m, P, R)``."""
        apart = np.linalg.norm(self.w[:, :, 1:] - self.w[:, :, :1], axis=-1)
        return np.ascontiguousarray(apart.transpose(0, 2, 1))

    def missed(self, burn_in: int) -> np.ndarray:
        """Where the first ``burn_in`` rounds missed the sample that differs, shape ``(P, R)``."""
        return self.first_drawn > burn_in

    def candidates(self, count: int = 30, seed: int = 0) -> np.ndarray:
        """Test points of each twin as sample indices, shape ``(P, 2 + count)``.

        The replaced sample, its replacement, and ``count`` random others.
        """
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x7E,)))
        own = np.stack([self.positions, self.n + np.arange(self.pairs)], axis=1)
        others = rng.integers(0, self.n + self.pairs, size=(self.pairs, count))
        return np.concatenate([own, others], axis=1).astype(np.int32)

    def loss_gap(self, points: np.ndarray, record: int = -1) -> np.ndarray:
        """``|f(A(S); x) - f(A(S^p); x)|`` at each twin's test points, shape ``(P, X, R)``.

        Parameters
        ----------
        points : ndarray of int, shape (P, X)
            Sample indices into :attr:`objective`.
        record : int
            Which recorded time.
        """
        w = torch.from_numpy(self.w[record])  # (R, P + 1, d)
        seeds, pairs, dim = w.shape[0], self.pairs, w.shape[2]
        width = points.shape[1]
        draw = torch.from_numpy(np.ascontiguousarray(points, dtype=np.int32))
        step = max(1, _GATHER_BYTES // max(1, pairs * width * dim * 8))
        found = np.empty((pairs, width, seeds))
        with torch.no_grad():
            for first in range(0, seeds, step):
                part = w[first : first + step]
                rows = len(part) * pairs
                index = draw.expand(len(part), pairs, width).reshape(rows, width)
                base = part[:, :1].expand(-1, pairs, -1).reshape(rows, dim)
                twin = part[:, 1:].reshape(rows, dim)
                gap = self.objective.sample_value(base, index)
                gap = (gap - self.objective.sample_value(twin, index)).abs()
                table = gap.reshape(len(part), pairs, width).permute(1, 2, 0)
                found[:, :, first : first + step] = table.numpy()
        return found


def run_twins(
    objective: FiniteSum,
    rule: UpdateRule,
    steps: int | None = None,
    *,
    rounds: int | None = None,
    batch_size: int = 1,
    pairs: int = 16,
    seeds: int = 64,
    seed: int = 0,
    twin_seed: int | None = None,
    at: Sequence[int] | None = None,
    remove: bool = False,
    twins: tuple[np.ndarray, FiniteSum] | None = None,
    start: Tensor | None = None,
    group: int | None = None,
    progress: bool | None = None,
) -> Twins:
    """Run ``rule`` on S and on twins of S that differ in one sample, with equal randomness.

    One run on S serves all twins of a repetition. Each twin draws the same sample indices; where
    the index is its replaced position it uses its replacement (replace-one), or another sample
    of S drawn uniformly from a stream of its own (remove-one: then each draw is uniform on the
    n - 1 samples left).

    Parameters
    ----------
    objective : FiniteSum
        The sum over S.
    rule : UpdateRule
    steps, rounds : int
        How long to run; give one, as in :func:`theorylab.run`.
    batch_size : int
    pairs, seeds : int
        Twins P, and independent repetitions R of the algorithm's randomness.
    seed : int
        Of the algorithm's randomness.
    twin_seed : int
        Of the positions and replacements; ``seed`` by default.
    at : sequence of int
        Rounds (or steps) to record; the end alone by default.
    remove : bool
        Remove the sample instead of replacing it.
    twins : tuple of ndarray and FiniteSum
        Positions and replacements of your own, as :meth:`FiniteSum.replacement` gives them.
    start : Tensor, shape (d,)
    group : int
        Twins run at once; the result is the same bits for any.

    Raises
    ------
    UsageError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np, synthetic
    >>> from theorylab.method import SGD
    >>> from theorylab.stability.twins import run_twins
    >>> rng = np.random.default_rng(0)
    >>> data = synthetic.finite_sum(rng.standard_normal((50, 3)), rng.standard_normal(50))
    >>> twins = run_twins(data, SGD(eta=0.1), 20, pairs=4, seeds=8, at=range(21))
    >>> twins.distance.shape
    (21, 4, 8)
    >>> before = twins.times[:, None, None] < twins.first_drawn
    >>> float(twins.distance[before].max())
    0.0
    """
    if (steps is None) == (rounds is None):
        raise UsageError("run_twins: give either steps or rounds")
    if pairs < 1 or seeds < 1:
        raise UsageError(f"run_twins: pairs and seeds must be at least 1, got {pairs} and {seeds}")
    if remove and objective.n < 2:
        raise UsageError("run_twins: nothing is left of one sample if it is removed")
    horizon = int(steps if steps is not None else rounds or 0)
    if twins is None:
        twins = objective.replacement(seed if twin_seed is None else twin_seed, pairs)
    positions = np.asarray(twins[0], dtype=np.int64)
    pairs = len(positions)
    together = SharedDraws(objective, twins[1], objective.n)
    times = np.asarray(range(horizon, horizon + 1) if at is None else at, dtype=np.int64)
    width = group or max(1, min(pairs, _ROWS // min(seeds, BLOCK) - 1))
    first_drawn = np.full((pairs, seeds), horizon + 1, dtype=np.int64)
    parts, evaluations = [], np.zeros((len(times), seeds), dtype=np.int64)
    for low in range(0, pairs, width):
        high = min(low + width, pairs)
        remap = _Remap(objective.n, positions[low:high], low, first_drawn[low:high], seed, remove)
        out = run(
            together, rule, steps, batch_size, seeds, seed, ("w",), rounds=rounds, start=start,
            at=times.tolist(), copies=high - low + 1, remap=remap, progress=progress,
        )  # fmt: skip
        w = out["w"].reshape(len(times), seeds, high - low + 1, together.dim)
        parts.append(w if low == 0 else w[:, :, 1:])
        evaluations = out.evaluations[:, :: high - low + 1]
    w = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    return Twins(twins[1], objective.n, positions, times, evaluations, w,
                 np.minimum(first_drawn, horizon + 1), horizon)  # fmt: skip


@dataclass
class _Remap:
    """Turns a twin's draws of its missing sample into draws of what it has instead."""

    n: int
    positions: np.ndarray
    offset: int
    first_drawn: np.ndarray
    seed: int
    remove: bool

    def __call__(self, samples: Samples) -> np.ndarray:
        copies = len(self.positions) + 1
        rows = np.arange(samples.rows.start, samples.rows.stop)
        which, replica = rows % copies - 1, rows // copies
        target = np.where(which < 0, -1, self.positions[which])
        hit = samples.draws == target[None, :, None]
        when, who = np.nonzero(hit.any(axis=2))
        if not when.size:
            return samples.draws
        rounds = np.broadcast_to(samples.rounds, hit.shape[:2])[when, who]
        # np.nonzero is ordered by time: the first of each row is its first draw.
        who, earliest = np.unique(who, return_index=True)
        drawn = self.first_drawn[which[who], replica[who]]
        self.first_drawn[which[who], replica[who]] = np.minimum(drawn, rounds[earliest])
        draws = samples.draws.copy()
        when, who, slot = np.nonzero(hit)
        if self.remove:
            other = _hashed(self.seed, replica[who], samples.first + when, slot) % (self.n - 1)
            draws[when, who, slot] = other + (other >= target[who])
        else:
            draws[when, who, slot] = self.n + self.offset + which[who]
        return draws


def _hashed(seed: int, *keys: np.ndarray) -> np.ndarray:
    """A uniform 62-bit integer that depends on the seed and the keys alone (splitmix64)."""
    with np.errstate(over="ignore"):
        state = np.full(np.shape(keys[0]), seed % 2**64, dtype=np.uint64)
        for key in keys:
            state += key.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state ^= state >> np.uint64(31)
    return (state >> np.uint64(2)).astype(np.int64)


class SharedDraws(Objective):
    """A sum whose samples are drawn as if there were n of them: a remap says which they are."""

    def __init__(self, sampled: FiniteSum, whole: FiniteSum, n: int) -> None:
        self.name, self.start, self.parameters = sampled.name, sampled.start, sampled.parameters
        self._sampled, self._whole, self._n = sampled, whole, n

    def value(self, w: Tensor) -> Tensor:
        return self._sampled.value(w)

    def gradient(self, w: Tensor) -> Tensor:
        return self._sampled.gradient(w)

    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        return rng.integers(0, self._n, size=(steps, replicas, batch_size), dtype=np.int32)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        return self._whole.sample_gradient(w, draw)

    def constants(self) -> Mapping[str, Constant]:
        return self._whole.constants()


# --- the supremum from below --------------------------------------------------------------------
@dataclass(frozen=True)
class Estimate:
    """A lower estimate of a supremum over twins and test points.

    Attributes
    ----------
    value : float
        The mean at the chosen instance, over repetitions that did not choose it.
    interval : tuple of float
        Its Student confidence interval.
    pair : int
        The twin chosen.
    point : str
        The test point chosen.
    index : int
        The sample it is, or from which the ascent began.
    samples : ndarray, shape (R',)
        The loss gap in each repetition behind ``value``.
    """

    value: float
    interval: tuple[float, float]
    pair: int
    point: str
    index: int
    samples: np.ndarray


def largest_gap(
    twins: Twins,
    *,
    record: int = -1,
    candidates: int = 30,
    ascent: int = 20,
    seed: int = 0,
    confidence: float = 0.99,
) -> Estimate:
    """The largest mean loss gap found over twins and test points, estimated without its luck.

    Even repetitions choose the twin and the test point, odd ones give the estimate. Where the
    objective is a :class:`SampleSpace`, ``ascent`` steps of normalised gradient ascent on the
    test point follow, from the best candidate of each of the best twins.

    Raises
    ------
    UsageError
        With fewer than 4 repetitions.
    """
    if twins.seeds < 4:
        raise UsageError(f"a gap's interval needs at least 4 seeds, got {twins.seeds}")
    points = twins.candidates(candidates, seed)
    gaps = twins.loss_gap(points, record)
    chooses, judges = gaps[..., 0::2].mean(-1), gaps[..., 1::2]
    pair, point = divmod(int(chooses.argmax()), chooses.shape[1])
    index = int(points[pair, point])
    label, samples = _label(twins, index), judges[pair, point]
    if ascent and isinstance(twins.objective, SampleSpace):
        best = chooses.argmax(axis=1)
        order = np.argsort(-chooses.max(axis=1))[:8]
        climbed = [(_climb(twins, int(p), int(points[p, best[p]]), record, ascent), int(p))
                   for p in order]  # fmt: skip
        (scores, _), top = max(climbed, key=lambda c: float(c[0][0][0::2].mean()))
        if float(scores[0::2].mean()) > float(chooses[pair, point]):
            pair, label, samples = top, "gradient ascent", scores[1::2]
            index = int(points[pair, best[pair]])
    return _estimate(samples, pair, label, index, confidence)


def estimate(samples: np.ndarray, confidence: float = 0.99) -> Estimate:
    """The mean of independent repetitions with its Student interval."""
    return _estimate(np.asarray(samples, dtype=float), 0, "", -1, confidence)


def _estimate(
    samples: np.ndarray, pair: int, label: str, index: int, confidence: float
) -> Estimate:
    mean = float(samples.mean())
    half = math.inf
    if len(samples) > 1:
        spread = float(samples.std(ddof=1)) / math.sqrt(len(samples))
        half = float(stats.t.isf((1 - confidence) / 2, len(samples) - 1)) * spread
    return Estimate(mean, (mean - half, mean + half), pair, label, index, samples)


def _label(twins: Twins, index: int) -> str:
    return f"sample {index}" if index < twins.n else f"replacement {index - twins.n}"


def _climb(
    twins: Twins, pair: int, index: int, record: int, steps: int
) -> tuple[np.ndarray, Tensor]:
    """Gradient ascent on the test point of one twin: the gap in each repetition, and the point."""
    space = twins.objective
    assert isinstance(space, SampleSpace)
    base = torch.from_numpy(np.ascontiguousarray(twins.w[record, :, 0]))
    twin = torch.from_numpy(np.ascontiguousarray(twins.w[record, :, 1 + pair]))
    x = space.sample(torch.tensor([index])).clone()
    size = float(x.norm().clamp_min(1e-12))
    chosen = slice(0, None, 2)

    def gap(at: Tensor, rows: slice) -> Tensor:
        wide = at.expand(len(base[rows]), -1)
        return (space.sample_loss(base[rows], wide) - space.sample_loss(twin[rows], wide)).abs()

    best, best_value = x, float(gap(x, chosen).mean())
    for k in range(steps):
        x = x.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(gap(x, chosen).mean(), x)
        length = float(slope.norm())
        if length == 0:
            break
        with torch.no_grad():
            x = space.admissible(x + 0.5 * size * (1 - k / steps) * slope / length)
            value = float(gap(x, chosen).mean())
        if value > best_value:
            best, best_value = x, value
    with torch.no_grad():
        return gap(best, slice(None)).numpy(), best


def search_replacements(
    objective: FiniteSum,
    rule: UpdateRule,
    rounds: int,
    *,
    pairs: int = 16,
    seeds: int = 64,
    generations: int = 3,
    seed: int = 0,
    batch_size: int = 1,
) -> tuple[np.ndarray, FiniteSum]:
    """Twins whose loss gap a search made large, as :meth:`FiniteSum.replacement` gives them.

    Where the objective is a :class:`SampleSpace`, each generation keeps the half of the twins
    with the largest gaps and moves their replacements by steps of shrinking size for the other
    half; otherwise the objective's own replacements are returned. Judge them with another seed:
    this one chose them.
    """
    twins = objective.replacement(seed, pairs)
    if not isinstance(objective, SampleSpace) or pairs < 2:
        return twins
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x5E,)))
    for generation in range(generations):
        found = run_twins(objective, rule, rounds=rounds, batch_size=batch_size, seeds=seeds,
                          seed=seed + 1 + generation, twins=twins, progress=False)  # fmt: skip
        gaps = found.loss_gap(found.candidates(seed=seed)).mean(-1).max(-1)
        parents = np.argsort(-gaps, kind="stable")[: (pairs + 1) // 2]
        children = parents[: pairs - len(parents)]
        positions, whole = twins
        assert isinstance(whole, SampleSpace)
        kept = whole.sample(torch.from_numpy(objective.n + parents))
        start = kept[: len(children)]
        steps = torch.from_numpy(rng.standard_normal(start.shape)).to(start.dtype)
        steps *= 0.5**generation * start.norm(dim=1, keepdim=True) / steps.norm(dim=1, keepdim=True)
        moved = torch.cat([kept, objective.admissible(start + steps)])
        twins = (
            positions[np.concatenate([parents, children])],
            objective.with_replacements(moved),
        )
    return twins


# --- generalization -----------------------------------------------------------------------------
def generalization_gap(
    objective: FiniteSum,
    rule: UpdateRule,
    steps: int | None = None,
    *,
    rounds: int | None = None,
    batch_size: int = 1,
    seeds: int = 64,
    seed: int = 0,
    n: int | None = None,
    progress: bool | None = None,
) -> np.ndarray:
    """``F(A(S)) - F_S(A(S))``, less its mean-zero value at ``w_0``, in each repetition: ``(R,)``.

    Each repetition trains on n fresh samples S. Where the objective knows its population risk F,
    S comes from that population; otherwise the population is the uniform law on the objective's
    own samples, whose risk is their mean. Either way F is computed, not estimated.

    Parameters
    ----------
    n : int
        The size of S, by default the objective's.

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.method import SGD
    >>> data = synthetic.robust_regression(n=50, dim=3)
    >>> generalization_gap(data, SGD(eta=0.1), 20, seeds=8).shape
    (8,)
    """
    size = objective.n if n is None else n
    risk = objective.population_value
    if risk(objective.start.unsqueeze(0)) is not None:
        fresh = int(np.random.SeedSequence(seed, spawn_key=(0x6E,)).generate_state(1)[0])
        universe = objective.resize(seeds * size, fresh)
        chosen = np.arange(seeds * size, dtype=np.int32).reshape(seeds, size)
    else:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x6E,)))
        universe = objective
        chosen = rng.integers(0, objective.n, size=(seeds, size), dtype=np.int32)

    def remap(samples: Samples) -> np.ndarray:
        replica = np.arange(samples.rows.start, samples.rows.stop)[None, :, None]
        return chosen[replica, samples.draws]

    source = SharedDraws(objective, universe, size)
    out = run(source, rule, steps, batch_size, seeds, seed, ("w",), rounds=rounds, remap=remap,
              progress=progress)  # fmt: skip
    w = torch.from_numpy(out["w"][0])
    with torch.no_grad():
        step = max(1, _GATHER_BYTES // (seeds * objective.dim * 8))
        table = torch.from_numpy(chosen)
        own = [universe.sample_value(w, table[:, i : i + step]) for i in range(0, size, step)]
        population = risk(w)
        if population is None:
            population = objective.value(w)
        # At the start the gap has mean zero: without it the same mean has less variance.
        gap = population - torch.cat(own, dim=1).mean(-1)
        start = objective.start.unsqueeze(0)
        first = universe.sample_value(start, torch.arange(universe.n).unsqueeze(0))[0]
        offset = risk(start)
        offset = objective.value(start) if offset is None else offset
        return (gap - offset + first[torch.from_numpy(chosen)].mean(-1)).numpy()


# --- exponents ----------------------------------------------------------------------------------
def fit_exponent(
    x: Sequence[float],
    y: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    confidence: float = 0.95,
    measured_at: float = 0.99,
) -> dict[str, Any] | None:
    """The exponent p of ``y ~ x^p`` by weighted least squares in logarithms, with its interval.

    ``intervals`` are the measurements' own, at confidence ``measured_at``; where the points
    scatter more than they explain (a power law is only a leading term), the interval widens by
    as much. ``None`` with fewer than three usable points.

    >>> fit = fit_exponent([1, 10, 100], [2, 4, 8], [(1.9, 2.1), (3.8, 4.2), (7.6, 8.4)])
    >>> round(fit["exponent"], 3)
    0.301
    """
    rows = [(math.log(a), math.log(b), (high - low) / 2 / b)
            for a, b, (low, high) in zip(x, y, intervals, strict=True)
            if b > 0 and math.isfinite(high - low)]  # fmt: skip
    if len({a for a, _, _ in rows}) < 3:
        return None
    table = np.array(rows)
    error = np.maximum(table[:, 2] / stats.norm.isf((1 - measured_at) / 2), 1e-9)
    weight = 1 / error**2
    middle = float(weight @ table[:, 0] / weight.sum())
    centred = table[:, 0] - middle
    information = float(weight @ centred**2)
    slope = float(weight @ (centred * table[:, 1]) / information)
    level = float(weight @ table[:, 1] / weight.sum())
    residual = table[:, 1] - level - slope * centred
    degrees = len(rows) - 2
    scatter = max(1.0, float(weight @ residual**2) / degrees)
    half = float(stats.t.isf((1 - confidence) / 2, degrees)) * math.sqrt(scatter / information)
    return {"exponent": slope, "interval": [slope - half, slope + half], "points": len(rows)}
