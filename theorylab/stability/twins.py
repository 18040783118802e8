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
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from theorylab.engine import memory
from theorylab.engine.driver import BLOCK, Samples, run
from theorylab.errors import UsageError
from theorylab.method.rule import UpdateRule, independent
from theorylab.problem.objective import Constant, FiniteSum, Objective

__all__ = ["SampleSpace", "SharedDraws", "Twins", "require_followed", "run_twins"]

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

    def __repr__(self) -> str:
        return (
            f"<{self.pairs} twins of {self.objective.name} (n = {self.n}), {self.seeds} "
            f"repetitions, recorded {len(self.times)} times up to {self.horizon}>"
        )

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
        with np.errstate(over="ignore", invalid="ignore"):  # runs may diverge
            apart = np.linalg.norm(self.w[:, :, 1:] - self.w[:, :, :1], axis=-1)
        return np.ascontiguousarray(apart.transpose(0, 2, 1))

    def missed(self, burn_in: int) -> np.ndarray:
        """Where the first ``burn_in`` rounds missed the sample that differs, shape ``(P, R)``."""
        return self.first_drawn > burn_in

    def candidates(self, count: int = 30, seed: int = 0) -> np.ndarray:
        """Test points of each twin as sample indices, shape ``(P, 2 + count + probes)``.

        The replaced sample, its replacement, ``count`` random others, and the objective's probes.
        """
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x7E,)))
        own = np.stack([self.positions, self.n + np.arange(self.pairs)], axis=1)
        others = rng.integers(0, self.n + self.pairs, size=(self.pairs, count))
        probes = np.tile(np.array(self.objective.probes, dtype=int), (self.pairs, 1))
        return np.concatenate([own, others, probes], axis=1).astype(np.int32)

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


def require_followed(rule: UpdateRule) -> None:
    """Refuse a rule that asks for more than independent mini-batches.

    A twin differs from its sibling in what it draws; a full pass or a shuffled order would be that
    of the data both come from, so the replaced sample would be missed.

    Raises
    ------
    UsageError
        Naming what the rule asks for.

    Examples
    --------
    >>> from theorylab.method import SVRG
    >>> require_followed(SVRG(eta=0.1, S=5))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    theorylab.errors.UsageError: perturbed twins draw independent mini-batches; svrg asks...
    """
    asked = sorted(rule.needs)
    if not independent(rule):
        asked.append(f"the sampler {type(rule.sampler).__name__}")
    if asked:
        raise UsageError(f"perturbed twins draw independent mini-batches; {rule.name} asks for "
                         f"{', '.join(asked)} too")  # fmt: skip


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
        If an argument is out of range, or twins cannot follow the rule.

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
    require_followed(rule)
    horizon = int(steps if steps is not None else rounds or 0)
    if twins is None:
        twins = objective.replacement(seed if twin_seed is None else twin_seed, pairs)
    positions = np.asarray(twins[0], dtype=np.int64)
    pairs = len(positions)
    together = SharedDraws(objective, twins[1], objective.n)
    times = np.asarray(range(horizon, horizon + 1) if at is None else at, dtype=np.int64)
    width = group or max(1, min(pairs, _ROWS // min(seeds, BLOCK) - 1))
    first_drawn = np.full((pairs, seeds), horizon + 1, dtype=np.int64)
    w = _room_for((len(times), seeds, pairs + 1, together.dim), together)
    evaluations = np.zeros((len(times), seeds), dtype=np.int64)
    for low in range(0, pairs, width):
        high = min(low + width, pairs)
        remap = _Remap(objective.n, positions[low:high], low, first_drawn[low:high], seed, remove)
        out = run(
            together, rule, steps, batch_size, seeds, seed, ("w",), rounds=rounds, start=start,
            at=times.tolist(), copies=high - low + 1, remap=remap, compile=False, progress=progress,
        )  # fmt: skip
        found = out["w"].reshape(len(times), seeds, high - low + 1, together.dim)
        w[:, :, 0], w[:, :, 1 + low : 1 + high] = found[:, :, 0], found[:, :, 1:]
        evaluations = out.evaluations[:, :: high - low + 1]
    return Twins(twins[1], objective.n, positions, times, evaluations, w,
                 np.minimum(first_drawn, horizon + 1), horizon)  # fmt: skip


def _room_for(shape: tuple[int, ...], objective: Objective) -> np.ndarray:
    """Where all iterates go, if they fit the memory that is allowed."""
    size, room = math.prod(shape) * objective.start.itemsize, memory.room()
    if size > room:
        times, seeds, runs, dim = shape
        raise UsageError(
            f"run_twins: {times:,} times of {seeds:,} repetitions of {runs} runs at d = {dim} take "
            f"{memory.shown(size)}, and {memory.shown(memory.limit())} of memory leave "
            f"{memory.shown(room)}: record fewer times (at=), or allow more (--memory)"
        )
    return np.empty(shape, objective.start[:0].numpy().dtype)


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
