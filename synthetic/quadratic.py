"""Strongly convex (and, with ``mu = 0``, convex) quadratics."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from synthetic.losses import Squared
from synthetic.noise import with_noise
from synthetic.separable import Separable, rotation
from synthetic.shared import count, positive, refuse
from theorylab.objective import Objective

__all__ = ["quadratic"]


def quadratic(
    dim: int = 5,
    ell: float = 1.0,
    mu: float = 0.1,
    start: float = 1.0,
    rotated: bool = True,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """``F(w) = (1/2) w^T H w`` with eigenvalues spread geometrically over ``[mu, ell]``.

    The noise term of repaired SGD (TRAlgo Lemma 1) is exact on it.

    Parameters
    ----------
    dim, n : int
        Dimension; number of samples for ``noise="shifts"``.
    ell, mu : float
        Greatest and least curvature, ``0 < mu <= ell`` (F/X^2).
    start : float
        Every coordinate of ``w_0`` along the eigenvectors (X).
    rotated : bool
        Whether the eigenvectors are random instead of the axes.
    noise, sigma
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = quadratic(dim=2, ell=4.0, mu=1.0, noise="two_point", sigma=0.5)
    >>> sorted(F.declared), float(F.constants()["sigma"])
    (['convex', 'strongly_convex'], 0.5)
    """
    parameters: dict[str, Any] = {k: v for k, v in locals().items() if k != "dtype"}
    dim, n = count("quadratic", "dim", dim), count("quadratic", "n", n)
    positive("quadratic", ell=ell, mu=mu)
    if mu > ell:
        raise refuse("quadratic", "mu", f"at most ell = {ell:g}", mu)
    eigenvalues = np.geomspace(ell, mu, dim) if dim > 1 else np.array([ell])
    eigenvalues[0] = ell
    if dim > 1:
        eigenvalues[-1] = mu
    Q = rotation(dim, seed) if rotated and dim > 1 else None
    base = Separable("quadratic", Squared(), eigenvalues, np.ones(dim), np.full(dim, start), Q,
                     parameters=parameters, dtype=dtype)  # fmt: skip
    return with_noise(base, noise, sigma, n, seed, parameters)
