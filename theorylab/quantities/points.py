"""Relations between points: a pair ``u, w`` near and far, or one point ``w``. Exact."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from theorylab.method.rule import norm
from theorylab.problem.objective import Objective
from theorylab.quantities.batches import batch_noise
from theorylab.quantities.protocol import (
    LOST,
    Experiment,
    Law,
    Measurement,
    Protocol,
    gradient_scale,
    square_scale,
    value_scale,
)
from theorylab.quantities.ranges import certified_ranges

__all__ = ["Points", "sample_points"]

_RADII = (1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_ENUMERABLE = 4096
_ROWS = 2**14  # of gradients computed together: what fits a cache
_NOISE = frozenset({"gradient_variance", "gradient_deviation", "batch_variance",
                    "shuffled_batch_variance"})  # fmt: skip


def sample_points(objective: Objective, count: int, seed: int) -> Tensor:
    """``count`` points: the start, the minimizer, and Gaussian clouds of many radii about them.

    Shape ``(count, d)``; on a convex set the nearest points of it. The unit of length is
    ``sqrt(Delta/ell)``.
    """
    constants = {k: float(v) for k, v in objective.constants().items()}
    curvature = next((constants[k] for k in ("ell", "L", "L0") if constants.get(k, 0) > 0), 1.0)
    value = constants.get("Delta") or constants.get("Bf") or 1.0
    unit = math.sqrt(value / curvature)
    centres = [objective.start]
    minimizer = objective.minimizer()
    if minimizer is not None:
        centres.append(minimizer)
    first = torch.stack(centres[:count])
    directions, lengths, radii, jitter = _steps(objective.dim, count - len(first), seed)
    steps = torch.from_numpy(directions * (unit * radii * jitter) / lengths)
    about = torch.arange(len(first), len(first) + len(steps)) % len(centres)
    cloud = objective.inside(first[about] + steps.to(objective.start.dtype))
    return torch.cat([first, cloud])


@lru_cache(maxsize=64)
def _steps(dim: int, count: int, seed: int) -> tuple[np.ndarray, ...]:
    """Directions, their lengths, radii and factors: the same for every objective of a dimension."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x90,)))
    directions = np.empty((count, dim))
    radii, jitter = np.empty((count, 1)), np.empty((count, 1))
    for k in range(count):
        direction = rng.standard_normal(dim)
        if rng.random() < 0.3:  # an axis: corners of separable functions lie there
            direction = np.eye(dim)[rng.integers(dim)] * rng.choice([-1, 1])
        directions[k], radii[k], jitter[k] = direction, rng.choice(_RADII), rng.uniform(0.3, 1.0)
    lengths = np.array([[max(np.linalg.norm(d), 1e-300)] for d in directions]).reshape(count, 1)
    return directions, lengths, radii, jitter


class Points(Protocol):
    """Quantities at points and between pairs of points, by direct evaluation."""

    provides: ClassVar[frozenset[str]] = frozenset(
        {
            "value_difference", "linear_term", "distance", "distance_squared",
            "gradient_difference", "gradient_norm_at_u", "gradient_norm_at_w", "absolute_value",
            "hessian_norm", "least_curvature", "gradient_variance", "gradient_deviation",
            "batch_variance", "shuffled_batch_variance",
        }
    )  # fmt: skip

    def measure(self, experiment: Experiment) -> Measurement:
        objective, names = experiment.objective, experiment.measured
        hessians = bool(names & {"hessian_norm", "least_curvature"})
        batches = bool(names & {"batch_variance", "shuffled_batch_variance"})
        count = 64 if hessians else 512
        if batches:
            count = 1 if objective.outcomes() is None else 8
        w = sample_points(objective, count, experiment.seed)
        partners = sample_points(objective, count, experiment.seed + 1)
        rng = np.random.default_rng(experiment.seed)
        u = partners[torch.from_numpy(rng.permutation(count))]
        scale = torch.from_numpy(10.0 ** rng.uniform(-3, 0, size=(count, 1))).to(w.dtype)
        near = torch.from_numpy(rng.random((count, 1)) < 0.5)
        u = torch.where(near, w + scale * (u - w), u)
        found: dict[str, np.ndarray] = {}
        scales: dict[str, np.ndarray | float] = {}
        with torch.no_grad():
            gradient_w = objective.gradient(w)
            size_w = gradient_scale(objective, (w, gradient_w))
            if names & {"value_difference", "linear_term", "distance", "distance_squared",
                        "gradient_difference", "gradient_norm_at_u"}:  # fmt: skip
                gradient_u, step = objective.gradient(u), u - w
                values = objective.value(u), objective.value(w)
                found["value_difference"] = _column(values[0] - values[1])
                scales["value_difference"] = 2 * value_scale(objective, *values)
                found["linear_term"] = _column((gradient_w * step).sum(-1))
                scales["linear_term"] = size_w * norm(step).numpy()
                found["distance"] = norm(step).numpy()
                found["distance_squared"] = found["distance"] ** 2
                found["gradient_difference"] = norm(gradient_u - gradient_w).numpy()
                size_u = gradient_scale(objective, (u, gradient_u))
                scales["gradient_difference"] = size_u + size_w
                found["gradient_norm_at_u"] = norm(gradient_u).numpy()
                scales["gradient_norm_at_u"] = size_u
            found["gradient_norm_at_w"] = norm(gradient_w).numpy()
            scales["gradient_norm_at_w"] = size_w
            if "absolute_value" in names:
                found["absolute_value"] = _column(objective.value(w).abs())
                scales["absolute_value"] = value_scale(objective, found["absolute_value"])
            if hessians:
                spectrum = _eigenvalues(objective.hessian(w))
                found["hessian_norm"] = _column(spectrum.abs().amax(-1))
                # Eigenvalues are accurate relative to the largest one only.
                least = (spectrum[:, 0] + 1e-12 * spectrum.abs().amax(-1)).numpy()
                # The least of all points; a point whose Hessian overflowed stays unknown.
                lowest = np.where(np.isnan(least), np.nan, np.fmin.reduce(least))
                found["least_curvature"] = lowest[:, None]
            law: Law = "arithmetic"
            below = frozenset[str]()
            if batches:
                noise, exact = batch_noise(experiment, w, gradient_w)
                law = "law" if exact else "samples"
                found |= noise
            elif names & {"gradient_variance", "gradient_deviation"}:
                squared, weights, exact = _deviations(objective, w, gradient_w, experiment)
                law = "law" if exact else "samples"
                found["gradient_variance"] = (
                    (squared * weights).sum(-1, keepdims=True) if exact else squared
                )
                found["gradient_deviation"] = np.repeat(
                    squared.max(-1, keepdims=True), 1 if exact else squared.shape[1], axis=1
                )
            if "gradient_deviation" in names and law == "samples":
                below = frozenset({"gradient_deviation"})  # the largest of those drawn
                found["gradient_deviation"] = found["gradient_deviation"][:, :1]
                if not names & {"gradient_variance", "batch_variance"}:
                    law = "arithmetic"
            # g - grad F loses what the rounding of a huge gradient leaves of it.
            blur = LOST * size_w
            for name in names & _NOISE:
                of = "gradient_deviation" if name == "gradient_deviation" else "gradient_variance"
                deviation = np.sqrt(found[of].mean(-1, keepdims=True))
                scales[name] = square_scale(deviation, blur)
                if "batch" in name:  # what is left where the errors of a batch cancel
                    scales[name] = scales[name] + deviation**2
        return Measurement({k: found[k] for k in names}, law, scales=scales, from_below=below,
                           ranges=certified_ranges(objective, names))  # fmt: skip


def _eigenvalues(hessian: Tensor) -> Tensor:
    """Eigenvalues of each matrix, NaN where an entry overflowed."""
    finite = hessian.isfinite().all(-1).all(-1)
    spectrum = hessian.new_full(hessian.shape[:-1], math.nan)
    spectrum[finite] = torch.linalg.eigvalsh(hessian[finite])
    return spectrum


def _column(values: Tensor) -> np.ndarray:
    return values.numpy().reshape(-1, 1)


def _deviations(
    objective: Objective, w: Tensor, gradient: Tensor, experiment: Experiment
) -> tuple[np.ndarray, np.ndarray, bool]:
    """``||g(w) - grad F(w)||^2`` for every outcome (exact) or for random samples."""
    law = objective.outcomes()
    if law is not None and len(law[0]) <= _ENUMERABLE:
        draws, weights = law
        rows = []
        at_once = max(1, _ROWS // len(draws))
        for points, full in zip(w.split(at_once), gradient.split(at_once), strict=True):
            every = torch.from_numpy(draws).repeat(len(points), *[1] * (draws.ndim - 1))
            g = objective.sample_gradient(
                points.repeat_interleave(len(draws), dim=0), every.unsqueeze(1)
            ).reshape(len(points), len(draws), -1)
            rows.append((g - full.unsqueeze(1)).square().sum(-1).numpy())
        return np.concatenate(rows), weights, True
    samples = experiment.affordable(len(w))
    draws = objective.draw(np.random.default_rng(experiment.run_seed), samples, len(w), 1)
    columns = [
        (objective.sample_gradient(w, torch.from_numpy(draw)) - gradient).square().sum(-1).numpy()
        for draw in draws
    ]
    return np.stack(columns, axis=1), np.full(samples, 1 / samples), False
