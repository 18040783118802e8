"""A quadratic with a simple part added, its minimizer known; the lasso on data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from synthetic.bowl import Bowl, alternating
from synthetic.data_backed import dataset_objective
from synthetic.noise import with_noise
from synthetic.separable import spread
from synthetic.shared import at_least, count, given, positive, refuse
from theorylab.errors import UsageError
from theorylab.hunt.rescaling import without_noise
from theorylab.problem.composite import Composite
from theorylab.problem.geometry import L1, Simple, SquaredNorm

__all__ = ["composite_quadratic", "lasso"]

_SWEEPS = 10_000


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
    parameters = given(locals())
    who = "composite_quadratic"
    dim, n = count(who, "dim", dim), count(who, "n", n)
    positive(who, ell=ell, condition=condition, weight=weight)
    at_least(who, 1, condition=condition)
    lam, c = ell * spread(dim, condition), centre * alternating(dim)
    simple: Simple
    if part == "l1":
        simple, best = L1(weight), np.sign(c) * np.maximum(0.0, np.abs(c) - weight / lam)
    elif part == "squared_norm":
        simple, best = SquaredNorm(weight), lam * c / (lam + weight)
    else:
        raise refuse(who, "part", "'l1' or 'squared_norm'", part)
    base = Bowl(who, lam, c, np.full(dim, float(start)), dtype=dtype)
    return Composite(
        with_noise(base, noise, sigma, n, seed, parameters, rarity), simple,
        minimizer=torch.tensor(best + 0.0, dtype=dtype), parameters=parameters,
    )  # fmt: skip


def lasso(
    source: str | Path = "diabetes",
    weight: float = 0.1,
    scale: float = 1.0,
    start: float = 1.0,
    sampled: bool = False,
    n: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Composite:
    """``F(w) = (1/n) sum_i (<a_i, w> - b_i)^2/(2 scale^2) + weight ||w||_1`` on a data set.

    The minimizer is found by coordinate descent, its non-zero entries then from the linear system
    that they solve, and checked against the conditions of optimality.

    Parameters
    ----------
    source, scale, n, seed
        See :func:`synthetic.dataset_objective`.
    weight : float
        Of the l1 norm (F/X).
    start : float
        Every coordinate of ``w_0`` (X).
    sampled : bool
        Whether a mini-batch's gradient is that of its rows; of all rows otherwise.

    Raises
    ------
    DataError
        If the file cannot be used.
    UsageError
        If a parameter is out of range, or no minimizer is found.

    Examples
    --------
    >>> F = lasso()
    >>> F.dim, int((F.minimizer() != 0).sum())
    (10, 4)
    """
    parameters = given(locals())
    parameters["source"] = str(source)
    positive("lasso", weight=weight)
    data = dataset_objective(source, "squared", scale, n=n, seed=seed, dtype=dtype)
    form = data.affine_gradients()
    assert form is not None  # the loss is squared
    best = _lasso_minimizer(*form.mean, weight)
    objective = Composite(
        data if sampled else without_noise(data), L1(weight),
        torch.full((data.dim,), float(start), dtype=dtype),
        minimizer=torch.tensor(best, dtype=dtype), parameters=parameters,
    )  # fmt: skip
    objective.data = data.data
    return objective


def _lasso_minimizer(H: np.ndarray, c: np.ndarray, weight: float) -> np.ndarray:
    """``argmin (1/2) w^T H w + c^T w + weight ||w||_1``."""
    w, curvature = np.zeros(len(c)), np.maximum(np.diag(H), np.finfo(float).tiny)
    for _ in range(_SWEEPS):
        before = w.copy()
        for j in range(len(c)):
            pull = curvature[j] * w[j] - H[j] @ w - c[j]
            w[j] = np.sign(pull) * max(0.0, abs(pull) - weight) / curvature[j]
        if np.abs(w - before).max() <= 1e-15 * np.abs(w).max(initial=0.0):
            break
    kept = w != 0
    if kept.any():
        signs = np.sign(w[kept])
        w[kept] = np.linalg.lstsq(H[np.ix_(kept, kept)], -c[kept] - weight * signs, rcond=None)[0]
    slope = H @ w + c
    off = np.abs(np.where(kept, slope + weight * np.sign(w), np.maximum(np.abs(slope) - weight, 0)))
    if not off.max() <= 1e-12 * (np.abs(c).max() + weight):
        raise UsageError("lasso: no minimizer found; the data are too ill-conditioned")
    return w
