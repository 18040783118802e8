"""Perturbed twins: the stability and generalization gaps, and one round of two coupled runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.driver import Samples, run
from theorylab.engine.step import follow
from theorylab.errors import AssumptionError
from theorylab.method.rule import UpdateRule, independent, norm
from theorylab.problem.objective import Constant, FiniteSum
from theorylab.problem.oracle import FunctionOracle, MiniBatch, Oracle
from theorylab.quantities.on_the_way import thinned
from theorylab.quantities.points import sample_points
from theorylab.quantities.protocol import (
    Experiment,
    Measurement,
    Protocol,
    Range,
    gradient_scale,
    is_one_step,
    steps_per_round,
    value_scale,
)
from theorylab.quantities.ranges import certified_ranges
from theorylab.stability.generalization import generalization_gap
from theorylab.stability.twins import SampleSpace, SharedDraws, Twins, require_followed, run_twins

__all__ = ["TwinRound", "TwinRuns"]

_PAIRS, _CANDIDATES, _LEAST_SEEDS = 4, 2, 512
_POINTS, _ENUMERABLE, _LONG, _HELD = 12, 4096, 2000, 50_000


class TwinRuns(Protocol):
    """``stability_gap`` at several twins and test points; ``generalization_gap``.

    Each twin at each test point is an instance: their supremum obeys the claim only if all do.
    Where the claim relates the two gaps, the stability gap is that of the one instance that was
    largest on other repetitions.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"stability_gap", "generalization_gap"})

    def measure(self, experiment: Experiment) -> Measurement:
        names, rule, T = experiment.measured, experiment.rule, experiment.rounds
        sampled = _finite_sum(experiment)
        per_run = experiment.steps * experiment.batch_size
        extra = sampled.n if "generalization_gap" in names else 0  # every sample's loss, at the end
        seeds = _seeds(experiment, per_run * 2 + extra)
        found: dict[str, np.ndarray] = {}
        labels: tuple[str, ...] = ()
        ranges: dict[str, tuple[float, float]] = {}
        scales: dict[str, float] = {}
        ends: tuple[int, ...] = ()
        earlier: Measurement | None = None
        if extra:  # the samples of all repetitions are held at once
            seeds = min(seeds, max(64, _HELD // extra))
        if "stability_gap" in names:
            if not extra:
                seeds = _seeds(experiment, per_run * (_PAIRS + 1))
            # A repetition with more effort must measure the same twins.
            pairs = _PAIRS if per_run <= _LONG else 2
            replaced = _replacements(experiment, sampled, pairs)
            largest = _certified(replaced[1]).get("Bf")  # of the replacements' losses as well
            ranges["stability_gap"] = 0.0, math.inf if largest is None else 2 * float(largest)
            if not extra:  # two losses at each of two points, of each twin
                ends = thinned(experiment.horizons, per_run * (pairs + 1), 4 * pairs)
            twins = run_twins(
                sampled, rule, rounds=T, batch_size=experiment.batch_size, seeds=seeds,
                seed=experiment.run_seed, twins=replaced, at=(*ends, T), progress=False,
            )  # fmt: skip
            points = twins.candidates(_CANDIDATES, experiment.seed)
            if ends:
                earlier = _read(twins, points[:, :2], ends, ranges)
            gaps = twins.loss_gap(points).reshape(-1, seeds)
            labels = tuple(f"twin {p}, test sample {x}"
                           for p, row in enumerate(points) for x in row)  # fmt: skip
            if "generalization_gap" in names:
                best = int(gaps[:, 0::2].mean(axis=1).argmax())
                gaps, labels = gaps[best : best + 1, 1::2], (labels[best],)
                seeds = gaps.shape[1]
            found["stability_gap"] = gaps
            with torch.no_grad():
                begin = sampled.value(sampled.start.unsqueeze(0))
            scales["stability_gap"] = 2 * value_scale(sampled, begin)
        if "generalization_gap" in names:
            ranges |= _range_of_gap(sampled)
            found["generalization_gap"] = generalization_gap(
                sampled, rule, rounds=T, batch_size=experiment.batch_size, seeds=seeds,
                seed=experiment.run_seed + 1, progress=False,
            )[None, :]  # fmt: skip
        return Measurement({k: found[k] for k in names}, law="samples", labels=labels,
                           from_below=frozenset({"stability_gap"}), ranges=ranges,
                           scales=scales, earlier=earlier)  # fmt: skip


class TwinRound(Protocol):
    """One round of two runs from two points: ``twin_distance`` before, and after in expectation.

    Both runs share samples and restarts; for ``expected_perturbed_twin_distance`` one of the n
    samples is another one in the second run. Exact where a round is one step.
    """

    provides: ClassVar[frozenset[str]] = frozenset(
        {"twin_distance", "expected_twin_distance", "expected_perturbed_twin_distance"}
    )

    def measure(self, experiment: Experiment) -> Measurement:
        names, sampled, rule = experiment.measured, _finite_sum(experiment), experiment.rule
        positions, whole = _replacements(experiment, sampled, _POINTS)
        w, v = _point_pairs(sampled, experiment.seed)
        found = {"twin_distance": norm(v - w).numpy()}
        scales: dict[str, np.ndarray | float] = {}
        exact = True
        for name in names - {"twin_distance"}:
            replaced = positions if "perturbed" in name else np.full(_POINTS, -1)
            if (
                is_one_step(rule)
                and independent(rule)
                and sampled.n <= _ENUMERABLE
                and experiment.batch_size == 1
            ):
                found[name], scales[name] = _every_outcome(whole, sampled.n, rule, w, v, replaced)
            else:
                exact = False
                found[name], scales[name] = _many_rounds(experiment, whole, sampled, w, v, replaced)
        # Distances are nonnegative; that before the round is known, and keeps its one column.
        return Measurement({k: found[k] for k in names}, "law" if exact else "samples",
                           scales=scales, ranges=certified_ranges(sampled, names))  # fmt: skip


def _read(
    twins: Twins, points: np.ndarray, ends: Sequence[int], ranges: Mapping[str, Range]
) -> Measurement:  # fmt: skip
    """The gap of the twin and point where it is largest, had the runs ended at each end."""
    rows = []
    for k in range(len(ends)):
        gaps = twins.loss_gap(points, k).reshape(-1, twins.seeds)
        rows.append(gaps[gaps.mean(axis=1).argmax()])
    return Measurement({"stability_gap": np.stack(rows)}, "samples", ranges=ranges,
                       from_below=frozenset({"stability_gap"}), ends=tuple(ends))  # fmt: skip


def _seeds(experiment: Experiment, gradients: float) -> int:
    # Rows cost next to nothing until there are about a thousand of them.
    return min(experiment.replicas, max(_LEAST_SEEDS, experiment.affordable(gradients)))


def _range_of_gap(sampled: FiniteSum) -> dict[str, tuple[float, float]]:
    """The certified range of one repetition's generalization gap, less that at the start.

    Two risks at two points: four values of losses. Where there is a population they are of fresh
    samples of it, else of the sum's own.
    """
    known = sampled.population_value(sampled.start.unsqueeze(0)) is not None
    largest = (sampled.population_constants() if known else _certified(sampled)).get("Bf")
    if largest is None:
        return {}
    return {"generalization_gap": (-4 * float(largest), 4 * float(largest))}


def _finite_sum(experiment: Experiment) -> FiniteSum:
    objective = experiment.objective
    if not isinstance(objective, FiniteSum):
        raise AssumptionError(
            f"{experiment.statement.key} perturbs a sample; {objective.name} is no finite sum"
        )
    return objective


def _replacements(
    experiment: Experiment, sampled: FiniteSum, pairs: int
) -> tuple[np.ndarray, FiniteSum]:
    """Twins whose per-sample constants are those the bound is evaluated at."""
    positions, whole = sampled.replacement(experiment.seed, pairs)
    if _too_large(experiment, whole) and isinstance(sampled, SampleSpace):
        moved = sampled.admissible(whole.sample(sampled.n + torch.arange(pairs)))  # type: ignore[attr-defined]
        whole = sampled.with_replacements(moved)
    if (name := _too_large(experiment, whole)) is not None:
        raise AssumptionError(
            f"{experiment.statement.key}: the replacements of {sampled.name} have "
            f"{name} = {float(_certified(whole)[name]):.6g}, above the data's "
            f"{float(experiment.values[name]):.6g}"
        )
    return positions, whole


def _certified(whole: FiniteSum) -> Mapping[str, Constant]:
    return {**whole.region_constants(), **whole.sample_constants()}


def _too_large(experiment: Experiment, whole: FiniteSum) -> str | None:
    certified = _certified(whole)
    for symbol in experiment.statement.constants:
        if symbol.name in certified and symbol.name not in ("n", "mu"):
            allowed = float(experiment.values[symbol.name])
            if float(certified[symbol.name]) > allowed * (1 + 1e-9):
                return symbol.name
    return None


def _point_pairs(sampled: FiniteSum, seed: int) -> tuple[Tensor, Tensor]:
    """Starting points of the two runs: far ones, and near ones where curvature decides."""
    w = sample_points(sampled, _POINTS, seed)
    other = sample_points(sampled, _POINTS, seed + 1)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x2D,)))
    scale = torch.from_numpy(10.0 ** rng.uniform(-4, 0, size=(_POINTS, 1))).to(w.dtype)
    direction = other[torch.from_numpy(rng.permutation(_POINTS))] - w
    direction = torch.where(norm(direction) > 0, direction, torch.ones_like(direction))
    return w, w + scale * direction


def _every_outcome(
    whole: FiniteSum, n: int, rule: UpdateRule, w: Tensor, v: Tensor, replaced: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The expected distance after one step, and the size of the numbers it is a difference of."""
    index = torch.arange(n, dtype=torch.int32)[:, None]
    expected, sizes = [], []
    with torch.no_grad():
        for k, position in enumerate(replaced):
            ends, size = [], 0.0
            for start, samples in (
                (w[k], index), (v[k], torch.where(index == int(position), n + k, index))
            ):  # fmt: skip
                rows = start.expand(n, -1).contiguous()
                oracle = MiniBatch(whole, [samples])
                *_, (moved, _) = follow(rule, rows, partial(_always, oracle), [True])
                ends.append(moved)
                size += float(norm(start)) + float(norm(moved).max())
                size += _felt(whole, rule, rows, samples)
            expected.append(norm(ends[1] - ends[0]).mean().item())
            sizes.append(size)
    return np.array(expected)[:, None], np.array(sizes)[:, None]


def _felt(whole: FiniteSum, rule: UpdateRule, rows: Tensor, samples: Tensor) -> float:
    """How far a step moves on the terms that its gradient is summed from, whatever they cancel.

    The step is taken once more with the gradient moved by the size of those terms.
    """
    gradient = whole.sample_gradient(rows, samples)
    size = torch.from_numpy(gradient_scale(whole, (rows, gradient)).reshape(-1, 1))
    near, far = (
        list(follow(rule, rows, partial(_always, FunctionOracle(partial(_given, g))), [True]))[-1]
        for g in (gradient, gradient + size)
    )
    return float(norm(far[0] - near[0]).max())


def _given(gradient: Tensor, w: Tensor) -> Tensor:
    return gradient


def _always(oracle: Oracle, k: int, w: Tensor) -> Oracle:
    return oracle


def _many_rounds(
    experiment: Experiment, whole: FiniteSum, sampled: FiniteSum, w: Tensor, v: Tensor,
    replaced: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Distances after a round of many pairs, and the size of what they are differences of."""
    rule = experiment.rule
    require_followed(rule)
    cost = 2 * _POINTS * steps_per_round(rule) * experiment.batch_size
    repeats = experiment.affordable(cost)

    def remap(samples: Samples) -> np.ndarray:
        rows = np.arange(samples.rows.start, samples.rows.stop)
        point = rows // 2 // repeats
        target = np.where(rows % 2 == 1, replaced[point], -1)[None, :, None]
        other = (sampled.n + point)[None, :, None]
        return np.where(samples.draws == target, other, samples.draws).astype(samples.draws.dtype)

    start = torch.stack([w, v], dim=1).repeat_interleave(repeats, dim=0).reshape(-1, sampled.dim)
    source = SharedDraws(sampled, whole, sampled.n)
    out = run(source, rule, rounds=1, batch_size=experiment.batch_size,
              replicas=_POINTS * repeats, seed=experiment.run_seed, record=("w",), start=start,
              copies=2, remap=remap, compile=False, progress=False)  # fmt: skip
    ends = out["w"][0].reshape(_POINTS, repeats, 2, sampled.dim)
    apart = np.linalg.norm(ends[:, :, 1] - ends[:, :, 0], axis=-1)
    largest = np.linalg.norm(ends, axis=-1).max((1, 2)) + (norm(w) + norm(v)).numpy()[:, 0]
    return apart, (steps_per_round(rule) * largest)[:, None]
