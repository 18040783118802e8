"""Convex functions on a ball, a box, a simplex or an l1 ball, their minimizers known exactly."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from typing import final

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from synthetic.bowl import Bowl, alternating
from synthetic.deterministic import Deterministic
from synthetic.noise import ShiftedSum, with_noise
from synthetic.piecewise_quadratic import PiecewiseQuadratic
from synthetic.separable import Separable, spread
from synthetic.shared import at_least, count, given, positive, refuse
from theorylab.problem.composite import Constrained
from theorylab.problem.geometry import Ball, Box, ConvexSet, L1Ball, Simplex
from theorylab.problem.objective import Constant, Objective

__all__ = ["constrained_huber", "constrained_linear", "constrained_quadratic"]

_HOW = "closed form"


def constrained_quadratic(
    domain: str = "ball",
    dim: int = 3,
    ell: float = 1.0,
    condition: float = 4.0,
    size: float = 1.0,
    centre: float = 1.5,
    start: float = 0.5,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    rarity: float = 0.1,
    dtype: torch.dtype = torch.float64,
) -> Constrained:
    """``F(w) = (1/2) sum_j lam_j (w_j - c_j)^2`` on a convex set, ``lam`` falling from ``ell``.

    ``c = centre size (1, -1/2, 1/3, ...)``; the minimizer is found from the multiplier of the
    set's constraint.

    Parameters
    ----------
    domain : "ball", "box", "simplex" or "l1_ball"
    dim, n : int
        Dimension; number of samples for ``noise="shifts"``.
    ell : float
        Greatest curvature (F/X^2).
    condition : float
        ``ell/mu``, at least 1.
    size : float
        The radius of a ball, half the edge of the box, what a simplex sums to (X).
    centre : float
        Where the quadratic has its minimum (in sizes).
    start : float
        How far ``w_0`` lies from the set's centre to its edge, in [0, 1].
    noise, sigma, seed, rarity
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = constrained_quadratic("box", dim=2, centre=3.0)
    >>> F.minimizer().tolist(), sorted(F.constants())[:4]
    ([1.0, -1.0], ['D', 'D1', 'Delta', 'G'])
    """
    parameters = given(locals())
    who = "constrained_quadratic"
    dim, n = count(who, "dim", dim), count(who, "n", n)
    positive(who, ell=ell, condition=condition, size=size)
    at_least(who, 1, condition=condition)
    chosen = _domain(who, domain, size)
    lam, c = ell * spread(dim, condition), centre * size * alternating(dim)
    base = Bowl(who, lam, c, _begin(who, chosen, dim, start), dtype=dtype)
    best = _minimizer(lam, c, chosen)
    entries = _largest_entries(lam, c, chosen)
    certified = {"G_inf": Constant(float(entries.max()), _HOW, attained=True),
                 "G": _steepest(lam, c, chosen)}  # fmt: skip
    noisy = with_noise(base, noise, sigma, n, seed, parameters, rarity)
    return Constrained(
        noisy, chosen, minimizer=torch.tensor(best, dtype=dtype), certified=certified,
        sample_certified=_tilted(noisy, certified), parameters=parameters,
    )  # fmt: skip


def constrained_huber(
    ell: float = 1.0,
    width: float = 1.0,
    centre: float = -1.0,
    start: float = 2.0,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    rarity: float = 0.1,
    dtype: torch.dtype = torch.float64,
) -> Constrained:
    """Huber's function, of curvature ``ell`` within ``width`` of its minimum, on ``[0, w_0]``.

    With the minimum at ``-width`` it is a line on the interval. From ``w_0 = 2 T width`` a
    projected gradient step of ``1/ell`` then falls as slowly as the class allows:
    ``F(w_T) - F* = ell ||w_0 - w*||^2/(4T)``.

    Parameters
    ----------
    ell : float
        Curvature about the minimum (F/X^2).
    width : float
        Half the length of the quadratic piece (X).
    centre, start : float
        Where the function has its minimum, and ``w_0`` (in widths).
    noise, sigma, n, seed, rarity
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = constrained_huber()
    >>> F.minimizer().tolist(), float(F.constants()["Delta"])
    ([0.0], 2.0)
    """
    parameters = given(locals())
    who = "constrained_huber"
    n = count(who, "n", n)
    positive(who, ell=ell, width=width, start=start)
    middle, end = centre * width, start * width
    scalar = PiecewiseQuadratic((middle - width, middle + width), (-ell * width, ell * width))
    base = Separable(who, scalar, [1.0], [1.0], [end], dtype=dtype)
    best = torch.tensor([min(max(middle, 0.0), end)], dtype=dtype)
    ends = scalar.slope(torch.tensor([0.0, end], dtype=torch.float64))
    steepest = Constant(float(ends.abs().max()), _HOW, attained=True)
    certified = {"G": steepest, "G_inf": steepest}
    noisy = with_noise(base, noise, sigma, n, seed, parameters, rarity)
    return Constrained(
        noisy, Box(0.0, end), minimizer=best, certified=certified,
        sample_certified=_tilted(noisy, certified), parameters=parameters,
    )  # fmt: skip


def constrained_linear(
    shape: str = "linear",
    domain: str = "ball",
    dim: int = 2,
    slope: float = 1.0,
    size: float = 1.0,
    start: float = 0.0,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    rarity: float = 0.1,
    dtype: torch.dtype = torch.float64,
) -> Constrained:
    """A linear function, or the largest coordinate, on a convex set.

    ``"linear"``: ``F(w) = slope (w_2 + ... + w_d - w_1)``. ``"max"``: ``F(w) = slope max_j w_j``
    with the subgradient of the first of the largest; from the centre of a ball no method that
    moves along subgradients beats ``slope size/sqrt(d)`` in ``d - 1`` steps.

    Parameters
    ----------
    shape : "linear" or "max"
    domain : "ball", "box", "simplex" or "l1_ball"
    dim, n : int
        Dimension; number of samples for ``noise="shifts"``.
    slope : float
        Of every coordinate (F/X).
    size : float
        The radius of a ball, half the edge of the box, what a simplex sums to (X).
    start : float
        How far ``w_0`` lies from the set's centre to its edge, in [0, 1].
    noise, sigma, seed, rarity
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = constrained_linear("max", "ball", dim=4, slope=2.0)
    >>> float(F.constants()["G"]), float(F.constants()["Delta"]), F.minimizer().tolist()
    (2.0, 1.0, [-0.5, -0.5, -0.5, -0.5])
    """
    parameters = given(locals())
    who = "constrained_linear"
    dim, n = count(who, "dim", dim), count(who, "n", n)
    positive(who, slope=slope, size=size)
    chosen = _domain(who, domain, size)
    begin = torch.tensor(_begin(who, chosen, dim, start), dtype=dtype)
    base: _Nonsmooth
    if shape == "linear":
        slopes = np.full(dim, slope)
        slopes[0] = -slope
        base = _Linear(slopes, begin)
        best = chosen.linear_minimizer(torch.tensor(slopes, dtype=dtype))
    elif shape == "max":
        base = _Largest(slope, begin)
        best = torch.full((dim,), _least_largest(chosen, dim), dtype=dtype)
    else:
        raise refuse(who, "shape", "'linear' or 'max'", shape)
    certified = {"G_inf": Constant(slope, _HOW, attained=True)}
    noisy = with_noise(base, noise, sigma, n, seed, parameters, rarity)
    every = _tilted(noisy, {**certified, "G": Constant(base.steepest, _HOW)})
    if isinstance(base, _Linear) and isinstance(noisy, ShiftedSum):
        every = _steepest_of_lines(base.slopes.numpy() + noisy.shifts.vectors)
    return Constrained(
        noisy, chosen, begin, minimizer=best, certified=certified, sample_certified=every,
        parameters=parameters,
    )  # fmt: skip


# --- every f_i = F + <s_i, w> ---------------------------------------------------------------------
def _tilted(F: Objective, certified: Mapping[str, Constant]) -> Mapping[str, Constant]:
    """Bounds on every f_i's gradients, from F's on the set; none where F is no such sum."""
    if not isinstance(F, ShiftedSum):
        return {}
    tilts = F.shifts.vectors
    more = {"G": np.linalg.norm(tilts, axis=1).max(), "G_inf": np.abs(tilts).max()}
    return {name: Constant(float(bound) + float(more[name]), "||grad F|| + max_i ||s_i||")
            for name, bound in certified.items()}  # fmt: skip


def _steepest_of_lines(slopes: np.ndarray) -> Mapping[str, Constant]:
    """The largest of the gradients, one a row, of linear functions."""
    lengths = {"G": np.linalg.norm(slopes, axis=1), "G_inf": np.abs(slopes)}
    return {name: Constant(float(x.max()), _HOW, attained=True) for name, x in lengths.items()}


# --- functions ----------------------------------------------------------------------------------
class _Nonsmooth(Deterministic):
    """Convex and piecewise linear: its gradients are those of one of its pieces."""

    steepest: float

    def __init__(self, start: Tensor) -> None:
        self.start, self.parameters = start, {}

    @abc.abstractmethod
    def gradient(self, w: Tensor) -> Tensor:
        """A subgradient, shape ``(R, d)``."""

    def deterministic_constants(self) -> Mapping[str, Constant]:
        return {"G": Constant(self.steepest, _HOW, attained=True),
                "delta": Constant(0.0, _HOW, attained=True)}  # fmt: skip

    def minimum(self) -> float:
        return -math.inf


@final
class _Linear(_Nonsmooth):
    name = "linear"

    def __init__(self, slopes: np.ndarray, start: Tensor) -> None:
        super().__init__(start)
        self.slopes = torch.tensor(slopes, dtype=start.dtype)
        self.steepest = float(np.linalg.norm(slopes))

    def value(self, w: Tensor) -> Tensor:
        return (w * self.slopes).sum(-1)

    def gradient(self, w: Tensor) -> Tensor:
        return self.slopes.expand_as(w).clone()


@final
class _Largest(_Nonsmooth):
    name = "max"

    def __init__(self, slope: float, start: Tensor) -> None:
        super().__init__(start)
        self.steepest = float(slope)

    def value(self, w: Tensor) -> Tensor:
        return self.steepest * w.amax(-1)

    def gradient(self, w: Tensor) -> Tensor:
        first = w.argmax(-1, keepdim=True)
        return torch.zeros_like(w).scatter(-1, first, self.steepest)


# --- sets ---------------------------------------------------------------------------------------
def _domain(who: str, domain: str, size: float) -> ConvexSet:
    sets: dict[str, ConvexSet] = {"ball": Ball(size), "box": Box(-size, size),
                                  "simplex": Simplex(size), "l1_ball": L1Ball(size)}  # fmt: skip
    if domain not in sets:
        raise refuse(who, "domain", f"one of {', '.join(sets)}", domain)
    return sets[domain]


def _begin(who: str, domain: ConvexSet, dim: int, start: float) -> np.ndarray:
    if not 0 <= start <= 1:
        raise refuse(who, "start", "in [0, 1]", start)
    first = np.eye(dim)[0]
    if isinstance(domain, Simplex):
        return np.asarray(domain.total * ((1 - start) / dim + start * first))
    if isinstance(domain, Ball):
        return np.full(dim, start * domain.radius / math.sqrt(dim))
    if isinstance(domain, L1Ball):
        return np.asarray(start * domain.radius * first)
    assert isinstance(domain, Box)
    return np.full(dim, start * domain.upper)


def _minimizer(lam: np.ndarray, c: np.ndarray, domain: ConvexSet) -> np.ndarray:
    """``argmin (1/2) sum_j lam_j (w_j - c_j)^2`` on the set."""
    if isinstance(domain, Box):
        return np.clip(c, domain.lower, domain.upper)
    if isinstance(domain, Simplex):
        return _on_simplex(lam, c, domain.total)
    if isinstance(domain, L1Ball):
        inside = np.abs(c).sum() <= domain.radius
        return c if inside else np.sign(c) * _on_simplex(lam, np.abs(c), domain.radius)
    assert isinstance(domain, Ball)
    r = domain.radius
    if np.linalg.norm(c) <= r:
        return c

    # With the multiplier nu of ||w||^2 = r^2: w_j = lam_j c_j/(lam_j + nu), shorter as nu grows.
    def excess(nu: float) -> float:
        return float(np.linalg.norm(lam * c / (lam + nu))) - r

    nu = brentq(excess, 0.0, 2 * float(np.linalg.norm(lam * c)) / r, xtol=1e-300, rtol=1e-15)
    w = lam * c / (lam + nu)
    return np.asarray(w * (r / np.linalg.norm(w)))


def _on_simplex(lam: np.ndarray, c: np.ndarray, total: float) -> np.ndarray:
    """With the multiplier nu of the sum: ``w_j = max(0, c_j - nu/lam_j)``, exactly."""
    order = np.argsort(-lam * c)
    for k in range(len(c), 0, -1):
        kept = order[:k]
        nu = (c[kept].sum() - total) / (1 / lam[kept]).sum()
        if k == 1 or lam[kept[-1]] * c[kept[-1]] > nu:
            break
    return np.maximum(0.0, c - nu / lam)


def _least_largest(domain: ConvexSet, dim: int) -> float:
    """The coordinate, all alike, of the point whose largest coordinate is least."""
    if isinstance(domain, Simplex):
        return domain.total / dim
    if isinstance(domain, Box):
        return domain.lower
    if isinstance(domain, L1Ball):
        return -domain.radius / dim
    assert isinstance(domain, Ball)
    return -domain.radius / math.sqrt(dim)


def _largest_entries(lam: np.ndarray, c: np.ndarray, domain: ConvexSet) -> np.ndarray:
    """``max |lam_j (w_j - c_j)|`` over the set, entry by entry."""
    low, high = -1.0, 1.0
    if isinstance(domain, Simplex):
        low, high = (0.0 if len(c) > 1 else domain.total), domain.total
    elif isinstance(domain, Box):
        low, high = domain.lower, domain.upper
    elif isinstance(domain, Ball | L1Ball):
        low, high = -domain.radius, domain.radius
    return np.asarray(lam * np.maximum(np.abs(low - c), np.abs(high - c)))


def _steepest(lam: np.ndarray, c: np.ndarray, domain: ConvexSet) -> Constant:
    """The largest gradient on the set: a convex function's maximum lies at an extreme point."""
    if isinstance(domain, Box):
        largest = float(np.linalg.norm(_largest_entries(lam, c, domain)))
    elif isinstance(domain, Simplex | L1Ball):
        size = domain.total if isinstance(domain, Simplex) else domain.radius
        ends = size * np.eye(len(c))
        corners = ends if isinstance(domain, Simplex) else np.vstack([ends, -ends])
        largest = float(np.linalg.norm(lam * (corners - c), axis=1).max())
    else:
        assert isinstance(domain, Ball)
        largest = float(lam.max() * domain.radius + np.linalg.norm(lam * c))
        return Constant(largest, _HOW, attained=len(c) == 1 or bool(np.all(lam == lam[0])))
    return Constant(largest, _HOW, attained=True)
