"""A quadratic with a simple part added, its minimizer known in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from synthetic.noise import with_noise
from synthetic.separable import spread
from synthetic.shared import count, positive, refuse
from synthetic.translated import alternating, translated_quadratic
from theorylab.problem.composite import Composite
from theorylab.problem.geometry import L1, Simple, SquaredNorm

__all__ = ["composite_quadratic"]


def composite_quadratic(
    part: str = "l1",
    dim: int = 3,
    ell: float = 1.0,
    condition: float = 10.0,
    weight: float = 0.5,
    centre: float = 1.0,
    start: float = 3.0,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    rarity: float = 0.1,
    dtype: torch.dtype = torch.float64,
) -> Composite:
    """``F(w) = (1/2) sum_j lam_j (w_j - c_j)^2 + h(w)``, ``lam`` falling from ``ell``.

    With ``h = weight ||w||_1`` it is the lasso on an orthogonal design, and ``w*_j`` is ``c_j``
    shrunk by ``weight/lam_j``; with ``h = (weight/2) ||w||^2``, ridge regression on one. ``c`` is
    ``centre (1, -1/2, 1/3, ...)``.

    Parameters
    ----------
    part : "l1" or "squared_norm"
    dim, n : int
        Dimension; number of samples for ``noise="shifts"``.
    ell : float
        Greatest curvature of f (F/X^2).
    condition : float
        ``ell/mu`` of f, at least 1.
    weight : float
        Of the simple part (F/X, or F/X^2).
    centre, start : float
        Where f has its minimum; every coordinate of ``w_0`` (X).
    noise, sigma, seed, rarity
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = composite_quadratic(dim=2, condition=2.0)
    >>> F.minimizer().tolist(), sorted(F.declared)
    ([0.5, 0.0], ['composite', 'convex', 'strongly_convex'])
    """
    parameters: dict[str, Any] = {k: v for k, v in locals().items() if k != "dtype"}
    who = "composite_quadratic"
    dim, n = count(who, "dim", dim), count(who, "n", n)
    positive(who, ell=ell, condition=condition, weight=weight)
    if condition < 1:
        raise refuse(who, "condition", "at least 1", condition)
    lam, c = ell * spread(dim, condition), centre * alternating(dim)
    simple: Simple
    if part == "l1":
        simple, best = L1(weight), np.sign(c) * np.maximum(0.0, np.abs(c) - weight / lam)
    elif part == "squared_norm":
        simple, best = SquaredNorm(weight), lam * c / (lam + weight)
    else:
        raise refuse(who, "part", "'l1' or 'squared_norm'", part)
    base = translated_quadratic(who, lam, c, dtype)
    return Composite(
        with_noise(base, noise, sigma, n, seed, parameters, rarity), simple,
        torch.full((dim,), float(start), dtype=dtype),
        minimizer=torch.tensor(best + 0.0, dtype=dtype), parameters=parameters,
    )  # fmt: skip
