"""One round from fixed points: exact by enumerating the outcomes where the law is small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.driver import run
from theorylab.engine.proximal_point import precision, proximal_minimizer
from theorylab.engine.step import follow
from theorylab.errors import UsageError
from theorylab.method.rule import State, UpdateRule, map_state, norm, round_starts
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch, Oracle
from theorylab.problem.sampler import weights_of
from theorylab.quantities.nodes import nodes_of
from theorylab.quantities.points import sample_points
from theorylab.quantities.protocol import (
    LOST,
    Experiment,
    Law,
    Measurement,
    Protocol,
    begins_fresh,
    gradient_scale,
    is_one_step,
    square_scale,
    value_scale,
)
from theorylab.quantities.ranges import certified_ranges

__all__ = ["OneRound"]

_POINTS = 12
_FRESH, _EARLIER = (0,), (0, 1, 2, 3, 5)
_OUTCOMES, _SAMPLES = 4096, 1 << 17
_POLYNOMIAL = 1e-9  # of the terms


class OneRound(Protocol):
    """Conditional expectations given ``w_t``: of the decrease, the next gradient, distances.

    A rule that carries a state from round to round is measured after 0, 1, 2, 3 and 5 earlier
    rounds, with the state that they leave: a claim on one round is a claim on all of them. A
    rule whose rounds begin afresh (:func:`.protocol.begins_fresh`) needs no such states.
    """

    provides: ClassVar[frozenset[str]] = frozenset(
        {
            "decrease", "gradient_norm", "gradient_norm_squared", "next_gradient_norm_squared",
            "displacement_squared", "inner_distance_squared", "start_distance_squared",
            "inner_gradient_norm_squared", "inner_suboptimality",
        }
    )  # fmt: skip

    def measure(self, experiment: Experiment) -> Measurement:
        objective, rule = experiment.objective, experiment.rule
        w = sample_points(objective, _POINTS, experiment.seed)
        outcomes = _enumeration(objective, rule, experiment)
        earlier = _FRESH if begins_fresh(rule) else _EARLIER
        labels = tuple(
            f"after {k} earlier rounds" if k else "" for k in earlier for _ in range(_rows(k))
        )
        weights = None
        with torch.no_grad():
            integrated = None if earlier != _FRESH else _integrated(experiment, w)
            if integrated is not None:
                after, weights = integrated
                parts = [(w[:, None], after)]
            elif outcomes is not None:
                draws, weights = outcomes
                reached = [_reached(objective, rule, w[: _rows(k)], draws, k, experiment.seed)
                           for k in earlier]  # fmt: skip
                parts = [(at.w[:, None], _one_step(objective, rule, at, draws)) for at in reached]
            else:
                inner = experiment.steps / experiment.rounds * experiment.batch_size
                cost = inner * sum((k + 1) * _rows(k) for k in earlier)
                # Without randomness one run from each point is all of them.
                replicas = 1 if experiment.deterministic else experiment.affordable(cost)
                parts = _sampled(objective, rule, w, experiment, earlier, replicas)
                if len(parts) == 1:  # every run begins the round at the same point
                    parts = [(parts[0][0][:, :1], parts[0][1])]
            before, after = (torch.cat(part) for part in zip(*parts, strict=True))
            return self._quantities(experiment, before, after, weights, labels)

    def _quantities(
        self, experiment: Experiment, before: Tensor, after: Tensor, weights: np.ndarray | None,
        labels: tuple[str, ...],
    ) -> Measurement:  # fmt: skip
        """``before`` has shape (points, 1 or outcomes, d), ``after`` (points, outcomes, d)."""
        objective, names = experiment.objective, experiment.measured
        points, outcomes, dim = after.shape
        w, flat = before.reshape(-1, dim), after.reshape(-1, dim)

        def given(values: Tensor) -> np.ndarray:
            return values.reshape(points, -1).numpy()

        def expected(values: Tensor) -> np.ndarray:
            table = values.reshape(points, outcomes).numpy()
            return table if weights is None else (table * weights).sum(-1, keepdims=True)

        found: dict[str, np.ndarray] = {}
        scales: dict[str, np.ndarray | float] = {}
        terms: dict[str, np.ndarray] = {}
        # An iterate carries the rounding of its size, a gradient that of its terms.
        size = _largest(norm(w), points) + _largest(norm(flat), points)
        if names & {"gradient_norm", "gradient_norm_squared"}:
            gradient = objective.gradient(w)
            found["gradient_norm"] = given(norm(gradient))
            found["gradient_norm_squared"] = given(_square(gradient))
            terms["gradient_norm_squared"] = gradient_scale(objective, (w, gradient))
            scales["gradient_norm"] = _largest(terms["gradient_norm_squared"], points)
        if names & {"decrease", "next_gradient_norm_squared", "inner_gradient_norm_squared"}:
            gradient = objective.gradient(flat)
            felt = gradient_scale(objective, (flat, gradient))
            if "decrease" in names:
                first, later = objective.value(w), objective.value(flat)
                found["decrease"] = given(first) - expected(later)
                steepest = _largest(norm(gradient), points) + objective.simple_slope(size.max())
                moved = steepest * size
                scales["decrease"] = 2 * value_scale(objective, first, later) + moved
            if "next_gradient_norm_squared" in names:
                found["next_gradient_norm_squared"] = expected(_square(gradient))
                terms["next_gradient_norm_squared"] = felt
            if "inner_gradient_norm_squared" in names:
                lam = experiment.parameter("inner_gradient_norm_squared", "lam")
                pull = lam * (after - before).reshape(-1, dim)
                found["inner_gradient_norm_squared"] = expected(_square(gradient + pull))
                terms["inner_gradient_norm_squared"] = _largest(felt, points) + lam * size
        if "displacement_squared" in names:
            found["displacement_squared"] = expected(_square(after - before).reshape(-1))
            terms["displacement_squared"] = size
        for name, sizes in terms.items():
            length = np.sqrt(found[name].mean(-1, keepdims=True))
            scales[name] = square_scale(length, LOST * _largest(sizes, points))
        inner = names & {"inner_distance_squared", "start_distance_squared", "inner_suboptimality"}
        if inner:
            constants = objective.constants()
            lams = {experiment.parameter(name, "lam") for name in inner}
            if len(lams) > 1:
                raise UsageError(f"{experiment.statement.key} speaks of two inner problems at once")
            problem = lams.pop(), float(constants["delta"]), float(constants["ell"])
            target = proximal_minimizer(objective, w, *problem)
            found["start_distance_squared"] = given(_square(w - target))
            found["inner_distance_squared"] = expected(
                _square(after - target.reshape(before.shape)).reshape(-1)
            )
            # The scales whose loss is the error of a squared distance that is known up to blur.
            blur = 2 * precision(w, *problem)
            for name in ("start_distance_squared", "inner_distance_squared"):
                distance = np.sqrt(found[name].max(-1, keepdims=True))
                scales[name] = blur * (2 * distance + blur) / LOST
            if "inner_suboptimality" in names:
                lam = problem[0]
                ends = objective.value(flat) + lam / 2 * _square((after - before).reshape(-1, dim))
                least = objective.value(target) + lam / 2 * _square(target - w)
                found["inner_suboptimality"] = expected(ends) - given(least)
                # The target is not quite the minimizer: its own excess is second order in blur.
                scales["inner_suboptimality"] = 2 * value_scale(objective, ends, least) + (
                    (lam + problem[2]) / 2 * blur**2 / LOST
                )
        law: Law = "samples"
        if weights is not None:
            law = "arithmetic" if len(weights) == 1 else "law"
        elif experiment.deterministic:  # every repetition is the same
            law, found = "arithmetic", {k: v[:, :1] for k, v in found.items()}
        return Measurement({k: found[k] for k in names}, law, scales=scales,
                           labels=labels if any(labels) else (),
                           ranges=certified_ranges(objective, names))  # fmt: skip


@dataclass(frozen=True)
class _Reached:
    """Where some rounds lead: rows of ``w``, the rule's state, and how many steps that took."""

    w: Tensor
    state: State
    steps: int


def _rows(earlier: int) -> int:
    """How many points are tried after so many earlier rounds."""
    return _POINTS if earlier == 0 else _POINTS // 2


def _largest(sizes: Tensor | np.ndarray, points: int) -> np.ndarray:
    """The largest of each point's sizes, shape (points, 1); of what did not diverge."""
    table = np.asarray(sizes).reshape(points, -1)
    return np.where(np.isfinite(table), table, 0.0).max(-1, keepdims=True)


def _square(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def _enumeration(
    objective: Objective, rule: UpdateRule, experiment: Experiment
) -> tuple[np.ndarray, np.ndarray] | None:
    """Every mini-batch with its probability, where a round is one step and the law is small."""
    sampler, b = rule.sampler, experiment.batch_size
    count = sampler.count(objective, b)
    if not is_one_step(rule) or count > _OUTCOMES or count * b > _SAMPLES:
        return None
    return sampler.batches(objective, b)


def _integrated(experiment: Experiment, w: Tensor) -> tuple[Tensor, np.ndarray] | None:
    """A step from each point on every mini-batch and node of the rule's own normal numbers.

    Where sample gradients are affine in w and the step is a polynomial of degree 2 in these
    numbers, the nodes integrate its squares exactly. ``None`` where it is not, or draws none.

    Returns
    -------
    tuple of Tensor and ndarray
        Shapes (points, outcomes, d) and (outcomes,): the weights.
    """
    objective, rule, size = experiment.objective, experiment.rule, experiment.batch_size
    starts, nodes = round_starts(rule, 1), nodes_of(rule, objective.dim)
    if not rule.draws or nodes is None or objective.affine_gradients() is None:
        return None
    if starts is None or len(starts) != 1 or rule.lags != 1:
        return None
    tried, kept = len(nodes.points), nodes.between.shape[1]
    if not 1 <= rule.sampler.count(objective, size) * tried <= _OUTCOMES:
        return None
    law = rule.sampler.batches(objective, size)
    if law is None:
        return None
    count = len(w) * len(law[1])
    batch = torch.from_numpy(np.tile(np.repeat(law[0], tried, axis=0),
                                     (len(w),) + (1,) * (law[0].ndim - 1)))  # fmt: skip
    own = {name: column.repeat(count, 1)
           for name, column in nodes.own(rule, objective.dim, 1).items()}  # fmt: skip
    oracle = MiniBatch(objective, [batch], weights_of(rule.sampler, objective))
    start = w.repeat_interleave(len(law[1]) * tried, dim=0)
    *_, (moved, _) = follow(rule, start, lambda k, w: oracle, [True], own=lambda k, w: own)
    after = moved.reshape(count, tried, -1)
    between = torch.from_numpy(nodes.between)
    terms = torch.einsum("tn,cnj->ctj", between.abs(), after[:, :kept].abs())
    off = (torch.einsum("tn,cnj->ctj", between, after[:, :kept]) - after[:, kept:]).abs()
    if not bool((off <= _POLYNOMIAL * terms.amax(-1, keepdim=True)).all()):
        return None
    weights = np.outer(law[1], nodes.weights[:kept]).ravel()
    return after[:, :kept].reshape(len(w), -1, objective.dim), weights


def _reached(
    objective: Objective, rule: UpdateRule, w: Tensor, draws: np.ndarray, rounds: int, seed: int
) -> _Reached:
    """The rule's own states after ``rounds`` steps on outcomes of the law, one path a row.

    The first row follows the first outcome throughout; the others, outcomes at random.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xEA, rounds)))
    picks = rng.integers(0, len(draws), size=(rounds, len(w)))
    picks[:, 0] = 0
    scales = weights_of(rule.sampler, objective)

    def oracle_of(k: int, w: Tensor) -> Oracle:
        batches = [torch.from_numpy(np.ascontiguousarray(draws[picks[k]]))] if k >= 0 else []
        return MiniBatch(objective, batches, scales)

    *_, (w, state) = follow(rule, w.contiguous(), oracle_of, [True] * rounds)
    return _Reached(w, state, rounds)


def _one_step(objective: Objective, rule: UpdateRule, at: _Reached, draws: np.ndarray) -> Tensor:
    """One more step on every outcome: shape (points, outcomes, d)."""
    batch = torch.from_numpy(np.ascontiguousarray(draws))
    oracle = MiniBatch(objective, [batch], weights_of(rule.sampler, objective))
    after = []
    for k in range(len(at.w)):
        state = map_state(partial(_row, k, len(at.w)), at.state)
        path = follow(rule, at.w[k : k + 1], lambda k, w: oracle, [True], state=state,
                      first=at.steps, branches=len(draws))  # fmt: skip
        *_, (moved, _) = path
        after.append(moved)
    return torch.stack(after)


def _row(k: int, count: int, x: Any) -> Any:
    """The part of a state's entry that belongs to row ``k`` of ``count``."""
    return x[k : k + 1] if isinstance(x, Tensor) and x.ndim and len(x) == count else x


def _sampled(
    objective: Objective, rule: UpdateRule, w: Tensor, experiment: Experiment,
    earlier: Sequence[int], replicas: int,
) -> list[tuple[Tensor, Tensor]]:  # fmt: skip
    """Before and after the round that so many others come before, in many runs from each point.

    What holds at every ``w_t`` holds on average over where the rounds before it lead. Shapes
    (points, replicas, d).
    """
    start = w.repeat_interleave(replicas, dim=0)
    at = sorted({t for k in earlier for t in (k, k + 1)})
    out = run(objective, rule, rounds=at[-1], batch_size=experiment.batch_size,
              replicas=len(start), seed=experiment.run_seed, start=start, record=("w",),
              at=at, compile=False, progress=False)  # fmt: skip
    table = dict(
        zip(at, torch.from_numpy(out["w"]).view(len(at), len(w), replicas, -1), strict=True)
    )
    return [(table[k][: _rows(k)], table[k + 1][: _rows(k)]) for k in earlier]
