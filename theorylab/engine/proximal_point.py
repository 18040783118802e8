"""The proximal point of F at a point, solved to a certified precision."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from theorylab.errors import UsageError
from theorylab.method.rule import norm
from theorylab.problem.objective import Objective

__all__ = ["precision", "proximal_minimizer"]

_TOLERANCE = 1e-12
_ROUNDING = 16 * float(np.finfo(float).eps)


def proximal_minimizer(objective: Objective, anchor: Tensor, lam: float, delta: float,
                       ell: float, tolerance: float = _TOLERANCE,
                       steps: int = 20_000) -> Tensor:  # fmt: skip
    """``argmin_w F(w) + (lam/2)||w - anchor||^2`` for each row of ``anchor``, shape ``(R, d)``.

    Nesterov's method for a (lam - delta)-strongly convex, (lam + ell)-smooth problem. It stops
    when ``||grad|| / (lam - delta)``, which bounds the distance to the minimizer, falls below
    ``tolerance`` times the size of the problem, or ``||grad||`` to its own rounding. Where F has
    a simple part or a set, every step ends with its prox, and the gradient is that of the
    composite: at the new point some subgradient is at most ``2 (lam + ell) ||step||`` long.

    Raises
    ------
    UsageError
        If ``lam <= delta``: the minimizer need not exist. If it does not converge in ``steps``.
    """
    if lam <= delta:
        raise UsageError(
            f"the proximal problem needs lam > delta, got lam = {lam}, delta = {delta}"
        )
    required = (lam - delta) * precision(anchor, lam, delta, ell, tolerance)
    strong, smooth = lam - delta, lam + ell
    root = math.sqrt(strong / smooth)
    momentum = (1 - root) / (1 + root)
    w = before = anchor
    largest = math.inf
    for _ in range(steps):
        ahead = w + momentum * (w - before)
        gradient = objective.gradient(ahead) + lam * (ahead - anchor)
        before, w = w, ahead - gradient / smooth
        if "composite" in objective.setting:
            w = objective.prox(w, 1 / smooth)
            gradient = 2 * smooth * (ahead - w)
        largest = float(norm(gradient).max())
        if largest <= required:
            return w
    raise UsageError(
        f"proximal_minimizer on {objective.name}: the gradient must fall to {required:.3g}; "
        f"after {steps} steps it is {largest:.3g}"
    )


def precision(anchor: Tensor, lam: float, delta: float, ell: float,
               tolerance: float = _TOLERANCE) -> float:  # fmt: skip
    """How close :func:`proximal_minimizer` comes to the minimizer."""
    size = 1 + float(anchor.abs().max())
    return size * max(tolerance, _ROUNDING * (lam + ell) / (lam - delta))
