"""Strongly convex (and, with ``mu = 0``, convex) quadratics."""

from __future__ import annotations

import numpy as np
import torch

from synthetic.losses import Squared
from synthetic.noise import with_noise
from synthetic.separable import Separable, rotation, spread
from synthetic.shared import at_least, count, given, positive
from theorylab.problem.objective import Objective

__all__ = ["quadratic"]


def quadratic(
    dim: int = 5,
    ell: float = 1.0,
    condition: float = 10.0,
    start: float = 1.0,
    rotated: bool = True,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    rarity: float = 0.1,
    dof: float = 1.5,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """``F(w) = (1/2) w^T H w`` with eigenvalues falling geometrically from ``ell``.

    The noise term of repaired SGD (TRAlgo Lemma 1) is exact on it.

    Parameters
    ----------
    dim, n : int
        Dimension; number of samples for ``noise="shifts"``.
    ell : float
        Greatest curvature (F/X^2).
    condition : float
        ``ell/mu``, at least 1; a single coordinate has curvature ``ell``.
    start : float
        Every coordinate of ``w_0`` along the eigenvectors (X).
    rotated : bool
        Whether the eigenvectors are random instead of the axes.
    noise, sigma, rarity, dof
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = quadratic(dim=2, ell=4.0, condition=4.0, noise="two_point", sigma=0.5)
    >>> sorted(F.declared), float(F.constants()["sigma"])
    (['convex', 'fitted', 'strongly_convex'], 0.5)
    """
    parameters = given(locals())
    dim, n = count("quadratic", "dim", dim), count("quadratic", "n", n)
    positive("quadratic", ell=ell, condition=condition)
    at_least("quadratic", 1, condition=condition)
    eigenvalues = ell * spread(dim, condition)
    Q = rotation(dim, seed) if rotated and dim > 1 else None
    base = Separable("quadratic", Squared(), eigenvalues, np.ones(dim), np.full(dim, start), Q,
                     parameters=parameters, dtype=dtype)  # fmt: skip
    return with_noise(base, noise, sigma, n, seed, parameters, rarity, dof)
