"""Objectives that workers share: how far their functions are apart is known."""

from __future__ import annotations

import math

import numpy as np
import torch

from synthetic.bowl import Bowl
from synthetic.data_backed import robust_regression
from synthetic.laws import balanced_shifts
from synthetic.linear_sum import LinearSum
from synthetic.noise import with_noise
from synthetic.separable import spread
from synthetic.shared import at_least, count, given, positive, refuse
from theorylab.problem.objective import Constant
from theorylab.problem.workers import Workers

__all__ = ["curved_workers", "linear_workers", "regression_workers", "shifted_workers"]


def shifted_workers(
    M: int = 2,
    dim: int = 1,
    ell: float = 1.0,
    condition: float = 1.0,
    zeta: float = 1.0,
    start: float = 1.0,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 4,
    seed: int = 0,
    rarity: float = 0.1,
    dtype: torch.dtype = torch.float64,
) -> Workers:
    """``f_m(w) = F(w) + <s_m, w>`` on a quadratic F: equal curvatures, minima apart.

    The ``s_m`` come in opposite pairs, so ``zeta^2 = (1/M) sum_m ||s_m||^2`` at every w.

    Parameters
    ----------
    M : int
        Workers, at least 2.
    dim : int
    ell, condition : float
        Greatest curvature (F/X^2) and its ratio to the least, at least 1.
    zeta : float
        (F/X).
    start : float
        Every coordinate of ``w_0``; F's minimum is at 0.
    noise, sigma, n, seed, rarity
        Of each worker, independently; see :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = shifted_workers(M=2, zeta=3.0, noise="two_point", sigma=1.0)
    >>> {k: float(c) for k, c in F.worker_constants().items() if k in ("M", "zeta", "sigma")}
    {'sigma': 1.0, 'M': 2.0, 'zeta': 3.0}
    >>> round(float(F.constants()["sigma"]) ** 2, 12)  # of the mean of both
    0.5
    """
    parameters = given(locals())
    who = "shifted_workers"
    M, dim, n = count(who, "M", M, least=2), count(who, "dim", dim), count(who, "n", n)
    positive(who, ell=ell, condition=condition)
    at_least(who, 1, condition=condition)
    at_least(who, 0, zeta=zeta)
    bends, w0 = ell * spread(dim, condition), np.full(dim, float(start))
    shifts = balanced_shifts(zeta, M, dim, seed).vectors
    members = [
        with_noise(Bowl(who, bends, -s / bends, w0, -float(np.sum(s**2 / bends)) / 2, dtype=dtype),
                   noise, sigma, n, seed, {}, rarity)
        for s in shifts
    ]  # fmt: skip
    whole = Bowl(who, bends, np.zeros(dim), w0, dtype=dtype)
    return Workers(who, members, whole, Constant(float(zeta), "closed form", True), parameters)


def curved_workers(
    M: int = 2,
    dim: int = 1,
    ell: float = 1.0,
    condition: float = 4.0,
    apart: float = 1.0,
    start: float = 1.0,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 4,
    seed: int = 0,
    rarity: float = 0.1,
    dtype: torch.dtype = torch.float64,
) -> Workers:
    """Quadratics of different curvatures and minima: workers that agree at no common scale.

    Coordinate j of worker m has curvature between ``ell`` and ``ell/condition``, geometrically
    spread over the workers, and its minimum in ``[-apart, apart]``. Their gradients drift apart
    without bound, so heterogeneity is certified at the minimizer alone (``zeta_star``): local
    steps then end away from it.

    Parameters
    ----------
    M : int
        Workers, at least 2.
    dim : int
    ell, condition : float
        Greatest curvature (F/X^2) and its ratio to the least, at least 1.
    apart : float
        (X).
    start : float
        Every coordinate of ``w_0``, from F's minimizer (X).
    noise, sigma, n, seed, rarity
        Of each worker, independently; see :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = curved_workers(condition=3.0)   # curvatures 1 and 1/3, minima at 1 and -1
    >>> round(F.minimizer().item(), 9), round(float(F.constants()["zeta_star"]), 9)
    (0.5, 0.5)
    """
    parameters = given(locals())
    who = "curved_workers"
    M, dim, n = count(who, "M", M, least=2), count(who, "dim", dim), count(who, "n", n)
    positive(who, ell=ell, condition=condition, apart=apart)
    at_least(who, 1, condition=condition)
    bends = np.stack([np.roll(ell * spread(M, condition), j) for j in range(dim)], axis=1)
    minima = np.repeat(apart * np.linspace(1, -1, M)[:, None], dim, axis=1)
    mean = bends.mean(0)
    best = (bends * minima).mean(0) / mean
    low = float(np.sum(bends * (best - minima) ** 2)) / (2 * M)
    w0 = best + start
    members = [
        with_noise(Bowl(who, h, b, w0, dtype=dtype), noise, sigma, n, seed, {}, rarity)
        for h, b in zip(bends, minima, strict=True)
    ]
    whole = Bowl(who, mean, best, w0, low, dtype=dtype)
    return Workers(who, members, whole, parameters=parameters)


def linear_workers(
    M: int = 4,
    dim: int = 2,
    G: float = 1.0,
    ell: float = 1.0,
    aligned: float = 0.0,
    sigma: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> Workers:
    """``f_m(w) = <s_m, w>`` with ``||s_m|| = G``: workers who pull steadily, and F may be flat.

    What is together in all of them has equal entries ``aligned G/sqrt(d)``; the rest, at right
    angles to it, turns evenly round a circle from worker to worker (changes sign half way where
    d = 2), so that on a ring it is the slowest to mix. The noise of a sample is ``+-sigma`` along
    the first axis.

    Parameters
    ----------
    M, dim : int
        Workers, and the dimension, at least 2.
    G : float
        Slope of every worker's function (F/X).
    ell : float
        Certified smoothness (F/X^2): any would do, it limits the steps.
    aligned : float
        In [0, 1]: 0 for pulls that cancel, 1 for workers who all pull one way.
    sigma : float
        (F/X).

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = linear_workers(M=4, G=2.0)
    >>> {k: round(float(c), 9) for k, c in F.worker_constants().items() if k in ("G", "zeta")}
    {'G': 2.0, 'zeta': 2.0}
    """
    parameters = given(locals())
    who = "linear_workers"
    M, dim = count(who, "M", M), count(who, "dim", dim, least=2)
    positive(who, G=G, ell=ell)
    if not 0 <= aligned <= 1:
        raise refuse(who, "aligned", "in [0, 1]", aligned)
    at_least(who, 0, sigma=sigma)
    turn = 2 * np.pi * np.arange(M) / M
    # Two directions at right angles to each other and to the one that all entries share.
    basis = np.linalg.qr(np.column_stack([np.ones(dim), np.eye(dim)[:, :2]]))[0].T
    if dim == 2:
        apart = np.where(turn < np.pi - 1e-9, 1.0, -1.0)[:, None] * basis[1]
    else:
        apart = np.cos(turn)[:, None] * basis[1] + np.sin(turn)[:, None] * basis[2]
    along = np.full(dim, 1 / math.sqrt(dim))
    slopes = G * (aligned * along + math.sqrt(1 - aligned**2) * apart)
    kick = sigma * np.eye(dim)[0]
    members = [
        LinearSum(who, s + np.stack([kick, -kick]) if sigma else s[None], np.zeros(dim), 0.0, ell,
                  dtype=dtype)
        for s in slopes
    ]  # fmt: skip
    mean = slopes.mean(0)
    zeta = math.sqrt(float(np.mean(np.sum((slopes - mean) ** 2, axis=1))))
    return Workers(who, members, None, Constant(zeta, "closed form", True), parameters)


def regression_workers(
    M: int = 2,
    n: int = 4,
    dim: int = 2,
    loss: str = "geman_mcclure",
    scale: float = 1.0,
    outliers: float = 0.2,
    start: float = 1.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Workers:
    """Each worker has a regression of its own: ``n`` samples of :func:`robust_regression`.

    A worker's gradient is at most G long, and so is how far it is from the mean of all.

    Parameters
    ----------
    M : int
        Workers.
    n, dim, loss, scale, outliers, start
        Of each; see :func:`~synthetic.data_backed.robust_regression`.
    seed : int
        Of the first worker's data; each next one has the next seed.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = regression_workers(M=3)
    >>> w = F.start.unsqueeze(0)
    >>> float(F.constants()["zeta"]) <= float(F.worker_constants()["G"])
    True
    """
    parameters = given(locals())
    M = count("regression_workers", "M", M)
    members = [
        robust_regression(n, dim, loss, scale, outliers, start=start, seed=int(seed) + m,
                          dtype=dtype)
        for m in range(M)
    ]  # fmt: skip
    steepest = [member.constants().get("G") for member in members]
    zeta = None
    if all(G is not None for G in steepest):
        # (1/M) sum ||g_m - g||^2 = (1/M) sum ||g_m||^2 - ||g||^2.
        square = sum(float(G) ** 2 for G in steepest if G is not None) / M
        zeta = Constant(math.sqrt(square), "interval arithmetic")
    return Workers("regression_workers", members, zeta=zeta, parameters=parameters)
