"""One round from fixed points: exact by enumerating the outcomes where the law is small."""

from __future__ import annotations

import math
from itertools import product
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.driver import run
from theorylab.engine.step import follow
from theorylab.errors import UsageError
from theorylab.method.rule import UpdateRule, norm
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch
from theorylab.quantities.points import sample_points
from theorylab.quantities.protocol import (
    LOST,
    Experiment,
    Law,
    Measurement,
    Protocol,
    is_one_step,
    value_scale,
)

__all__ = ["OneRound", "proximal_minimizer"]

_POINTS = 12
_OUTCOMES = 4096
_TOLERANCE = 1e-12
_ROUNDING = 16 * float(np.finfo(float).eps)


def proximal_minimizer(objective: Objective, anchor: Tensor, lam: float, delta: float,
                       ell: float, tolerance: float = _TOLERANCE,
                       steps: int = 20_000) -> Tensor:  # fmt: skip
    """``argmin_w F(w) + (lam/2)||w - anchor||^2`` for each row of ``anchor``, shape ``(R, d)``.

    Nesterov's method for a (lam - delta)-strongly convex, (lam + ell)-smooth problem. It stops
    when ``||grad|| / (lam - delta)``, which bounds the distance to the minimizer, falls below
    ``tolerance`` times the size of the problem, or ``||grad||`` to its own rounding.

    Raises
    ------
    UsageError
        If ``lam <= delta``: the minimizer need not exist. If it does not converge in ``steps``.
    """
    if lam <= delta:
        raise UsageError(
            f"the proximal problem needs lam > delta, got lam = {lam}, delta = {delta}"
        )
    required = (lam - delta) * _precision(anchor, lam, delta, ell, tolerance)
    strong, smooth = lam - delta, lam + ell
    root = math.sqrt(strong / smooth)
    momentum = (1 - root) / (1 + root)
    w = before = anchor
    largest = math.inf
    for _ in range(steps):
        ahead = w + momentum * (w - before)
        gradient = objective.gradient(ahead) + lam * (ahead - anchor)
        before, w = w, ahead - gradient / smooth
        largest = float(norm(gradient).max())
        if largest <= required:
            return w
    raise UsageError(
        f"proximal_minimizer on {objective.name}: the gradient must fall to {required:.3g}; "
        f"after {steps} steps it is {largest:.3g}"
    )


def _precision(anchor: Tensor, lam: float, delta: float, ell: float,
               tolerance: float = _TOLERANCE) -> float:  # fmt: skip
    """How close :func:`proximal_minimizer` comes to the minimizer."""
    size = 1 + float(anchor.abs().max())
    return size * max(tolerance, _ROUNDING * (lam + ell) / (lam - delta))


class OneRound(Protocol):
    """Conditional expectations given ``w_t``: of the decrease, the next gradient, distances."""

    provides: ClassVar[frozenset[str]] = frozenset(
        {
            "decrease", "gradient_norm_squared", "next_gradient_norm_squared",
            "displacement_squared", "inner_distance_squared", "start_distance_squared",
            "inner_gradient_norm_squared",
        }
    )  # fmt: skip

    def measure(self, experiment: Experiment) -> Measurement:
        objective, rule = experiment.objective, experiment.rule
        w = sample_points(objective, _POINTS, experiment.seed)
        outcomes = _enumeration(objective, rule, experiment)
        with torch.no_grad():
            if outcomes is not None:
                draws, weights = outcomes
                after = _one_step(objective, rule, w, draws)
            else:
                after = _sampled(objective, rule, w, experiment)
                weights = None
            return self._quantities(experiment, w, after, weights)

    def _quantities(
        self, experiment: Experiment, w: Tensor, after: Tensor, weights: np.ndarray | None
    ) -> Measurement:
        """``after`` has shape (points, outcomes, d)."""
        objective, names = experiment.objective, experiment.measured
        points, outcomes, dim = after.shape
        flat = after.reshape(-1, dim)

        def expected(values: Tensor) -> np.ndarray:
            table = values.reshape(points, outcomes).numpy()
            return table if weights is None else (table * weights).sum(-1, keepdims=True)

        found: dict[str, np.ndarray] = {}
        scales: dict[str, np.ndarray | float] = {}
        if "decrease" in names:
            before, later = objective.value(w).numpy()[:, None], objective.value(flat)
            found["decrease"] = before - expected(later)
            scales["decrease"] = 2 * value_scale(objective, before, later)
        if "gradient_norm_squared" in names:
            found["gradient_norm_squared"] = _square(objective.gradient(w)).numpy()[:, None]
        if names & {"next_gradient_norm_squared", "inner_gradient_norm_squared"}:
            gradient = objective.gradient(flat)
            found["next_gradient_norm_squared"] = expected(_square(gradient))
            if "inner_gradient_norm_squared" in names:
                pull = experiment.values["lam"] * (after - w[:, None, :]).reshape(-1, dim)
                found["inner_gradient_norm_squared"] = expected(_square(gradient + pull))
        if "displacement_squared" in names:
            found["displacement_squared"] = expected(_square(after - w[:, None, :]).reshape(-1))
        if names & {"inner_distance_squared", "start_distance_squared"}:
            constants = objective.constants()
            problem = (float(experiment.values["lam"]), float(constants["delta"]),
                       float(constants["ell"]))  # fmt: skip
            target = proximal_minimizer(objective, w, *problem)
            found["start_distance_squared"] = _square(w - target).numpy()[:, None]
            found["inner_distance_squared"] = expected(
                _square(after - target[:, None, :]).reshape(-1)
            )
            # The scales whose loss is the error of a squared distance that is known up to blur.
            blur = 2 * _precision(w, *problem)
            for name in ("start_distance_squared", "inner_distance_squared"):
                distance = np.sqrt(found[name].max(-1, keepdims=True))
                scales[name] = blur * (2 * distance + blur) / LOST
        law: Law = "samples" if weights is None else "law"
        return Measurement({k: found[k] for k in names}, law, scales=scales)


def _square(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def _enumeration(
    objective: Objective, rule: UpdateRule, experiment: Experiment
) -> tuple[np.ndarray, np.ndarray] | None:
    """Every mini-batch with its probability, where a round is one step and the law is small."""
    law = objective.outcomes()
    b = experiment.batch_size
    if law is None or not is_one_step(rule) or len(law[0]) ** b > _OUTCOMES:
        return None
    draws, weights = law
    picks = np.array(list(product(range(len(draws)), repeat=b)))
    return draws[picks], np.prod(weights[picks], axis=1)


def _one_step(objective: Objective, rule: UpdateRule, w: Tensor, draws: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(draws))
    after = []
    for point in w:
        rows = point.expand(len(draws), -1).contiguous()
        *_, (moved, _) = follow(rule, rows, lambda k, w: MiniBatch(objective, [tensor]), [True])
        after.append(moved)
    return torch.stack(after)


def _sampled(objective: Objective, rule: UpdateRule, w: Tensor, experiment: Experiment) -> Tensor:
    inner = experiment.steps / experiment.rounds * experiment.batch_size
    replicas = experiment.affordable(inner * len(w))
    start = w.repeat_interleave(replicas, dim=0)
    out = run(objective, rule, rounds=1, batch_size=experiment.batch_size,
              replicas=len(start), seed=experiment.run_seed, start=start, record=("w",),
              progress=False)  # fmt: skip
    return torch.from_numpy(out["w"][0]).reshape(len(w), replicas, -1)
