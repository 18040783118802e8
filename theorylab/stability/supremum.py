"""The largest loss gap over twins and test points, from below, and a search for better twins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor

from theorylab.errors import UsageError
from theorylab.method.rule import UpdateRule
from theorylab.problem.objective import FiniteSum
from theorylab.stability.twins import SampleSpace, Twins, run_twins

__all__ = ["Estimate", "estimate", "largest_gap", "search_replacements"]


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

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"<gap {self.value:.4g} [{low:.4g}, {high:.4g}], from below, at twin {self.pair} and "
            f"{self.point}, {len(self.samples)} repetitions>"
        )


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
    half = math.inf
    with np.errstate(over="ignore", invalid="ignore"):  # a repetition that diverged is one of them
        mean = float(samples.mean())
        spread = float(samples.std(ddof=1)) / math.sqrt(len(samples)) if len(samples) > 1 else 0.0
    if len(samples) > 1:
        half = -float(special.stdtrit(len(samples) - 1, (1 - confidence) / 2)) * spread
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
