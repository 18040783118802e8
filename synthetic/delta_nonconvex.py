"""delta-nonconvex functions: curvature that fills ``[-delta, ell]``, unbounded or bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from synthetic.noise import with_noise
from synthetic.scalar import Ranges, Scalar
from synthetic.separable import Separable, rotation, spread
from synthetic.shared import at_least, count, given, positive, refuse
from theorylab.problem.objective import Objective

__all__ = ["Ripple", "Wave", "bounded_nonconvex", "delta_nonconvex"]


@dataclass(frozen=True)
class Ripple(Scalar):
    """``(1-kappa)/4 x^2 + (1+kappa)/2 (1 - cos x)``: smooth, curvature fills ``[-kappa, 1]``.

    Both terms are least at 0, so the minimum is known although there are many local ones. For
    ``kappa = 1`` it is ``1 - cos x``, bounded and Lipschitz.

    >>> Ripple(0.5).curvature(torch.tensor([0.0, math.pi]))
    tensor([ 1.0000, -0.5000])
    """

    kappa: float
    name: ClassVar[str] = "ripple"

    def value(self, x: Tensor) -> Tensor:
        wave = 2 * torch.sin(x / 2).square()
        return (1 - self.kappa) / 4 * x.square() + (1 + self.kappa) / 2 * wave

    def slope(self, x: Tensor) -> Tensor:
        wave = torch.sin(x).mul_((1 + self.kappa) / 2)
        return wave.add_(x, alpha=(1 - self.kappa) / 2)

    def curvature(self, x: Tensor) -> Tensor:
        return (1 - self.kappa) / 2 + (1 + self.kappa) / 2 * torch.cos(x)

    @property
    def ranges(self) -> Ranges:
        if self.kappa == 1:
            return Ranges((0.0, 2.0), (-1.0, 1.0), (-1.0, 1.0), minimizer=0.0, peak=0.0)
        return Ranges((0.0, math.inf), (-math.inf, math.inf), (-self.kappa, 1.0), minimizer=0.0,
                      peak=0.0)  # fmt: skip


@dataclass(frozen=True)
class Wave(Scalar):
    """A periodic C^1 piecewise quadratic: curvature 1 around its minima, ``-kappa`` between.

    The slope runs from -1 to 1 over a length 2, and back over ``2/kappa``; the values fill
    ``[0, (1 + 1/kappa)/2]``. It attains ``G^2 = 4 Bf ell delta/(ell + delta)``, the most that
    bounded, smooth and weakly convex functions allow.

    >>> Wave(0.5).slope(torch.tensor([0.0, 1.0, 2.0]))
    tensor([0.0000, 1.0000, 0.5000])
    """

    kappa: float
    name: ClassVar[str] = "wave"

    def _folded(self, x: Tensor) -> Tensor:
        half = 1 + 1 / self.kappa
        return (x + half).remainder_(2 * half).sub_(half)

    def value(self, x: Tensor) -> Tensor:
        y = self._folded(x).abs()
        top = 1 + 1 / self.kappa
        hill = 0.5 * top - 0.5 * self.kappa * (top - y).square()
        return torch.where(y <= 1, 0.5 * y.square(), hill)

    def slope(self, x: Tensor) -> Tensor:
        y = self._folded(x)
        size = y.abs()
        falling = size.sub(1 + 1 / self.kappa).mul_(-self.kappa)
        return torch.minimum(size, falling).mul_(y.sign_())

    def curvature(self, x: Tensor) -> Tensor:
        inside = self._folded(x).abs() <= 1
        return torch.where(inside, torch.ones_like(x), torch.full_like(x, -self.kappa))

    @property
    def ranges(self) -> Ranges:
        return Ranges((0.0, 0.5 * (1 + 1 / self.kappa)), (-1.0, 1.0), (-self.kappa, 1.0),
                      minimizer=0.0, peak=0.0)  # fmt: skip


def delta_nonconvex(
    dim: int = 5,
    ell: float = 1.0,
    kappa: float = 0.5,
    wavelength: float = 2 * math.pi,
    condition: float = 1.0,
    start: float = 4.0,
    rotated: bool = True,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """A sum of ripples: smooth, curvature filling ``[-kappa ell, ell]``, minimum 0 at 0.

    ``F(w) = sum_j a_j ripple(b u_j)``, ``u = Q w``, ``b = 2 pi/wavelength``, where ``a_j b^2``
    falls geometrically from ``ell`` to ``ell/condition``. For ``kappa < 1`` it is neither
    bounded nor Lipschitz; see :func:`bounded_nonconvex`.

    Parameters
    ----------
    dim, n : int
        Dimension; number of samples for ``noise="shifts"``.
    ell : float
        Greatest curvature (F/X^2).
    kappa : float
        ``delta/ell`` in (0, 1].
    wavelength : float
        Of the ripples (X).
    condition : float
        How much flatter the flattest direction is, at least 1.
    start : float
        Phase at which every coordinate starts (radians).
    rotated : bool
        Whether the ripples run along random orthogonal directions instead of the axes.
    noise, sigma
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = delta_nonconvex(dim=3, ell=2.0, kappa=0.25)
    >>> float(F.constants()["ell"]), float(F.constants()["delta"])
    (2.0, 0.5)
    """
    parameters = given(locals())
    who = "delta_nonconvex"
    dim, n = count(who, "dim", dim), count(who, "n", n)
    positive(who, ell=ell, kappa=kappa, wavelength=wavelength, condition=condition)
    _check(who, kappa, condition)
    frequency = 2 * math.pi / wavelength
    amplitude = ell * spread(dim, condition) / frequency**2
    Q = rotation(dim, seed) if rotated and dim > 1 else None
    base = Separable(who, Ripple(kappa), amplitude, np.full(dim, frequency), np.full(dim, start),
                     Q, parameters=parameters, dtype=dtype)  # fmt: skip
    return with_noise(base, noise, sigma, n, seed, parameters)


def bounded_nonconvex(
    dim: int = 5,
    ell: float = 1.0,
    kappa: float = 0.5,
    Bf: float = 1.0,
    condition: float = 1.0,
    start: float = 0.5,
    rotated: bool = True,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """A sum of waves: ``ell``, ``delta``, ``G`` and ``Bf`` certified at once, all attained.

    ``F(w) = -Bf + sum_j a wave(b_j u_j)``: each direction has an equal share of the range
    ``[-Bf, Bf]``. With ``condition = 1``, ``G^2 = 4 Bf ell delta/(ell + delta)`` exactly, the
    most that these constants allow (``tralgo.theorem_1``, its trivial bound).

    Parameters
    ----------
    dim, n : int
        Dimension; number of samples for ``noise="shifts"``.
    ell : float
        Greatest curvature (F/X^2).
    kappa : float
        ``delta/ell`` in (0, 1].
    Bf : float
        ``sup |F|`` (F).
    condition : float
        How much flatter the flattest direction is, at least 1.
    start : float
        Where every coordinate starts, in [0, 1]: from the minimum (0) to the maximum (1).
    rotated : bool
        Whether the waves run along random orthogonal directions instead of the axes.
    noise, sigma
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> c = bounded_nonconvex(dim=3, ell=2.0, kappa=0.25, Bf=3.0).constants()
    >>> ell, delta, G, Bf = (float(c[k]) for k in ("ell", "delta", "G", "Bf"))
    >>> round(G**2 / (4 * Bf * ell * delta / (ell + delta)), 12)
    1.0
    """
    parameters = given(locals())
    who = "bounded_nonconvex"
    dim, n = count(who, "dim", dim), count(who, "n", n)
    positive(who, ell=ell, kappa=kappa, Bf=Bf, condition=condition)
    _check(who, kappa, condition)
    top = 1 + 1 / kappa
    amplitude = 4 * Bf / (dim * top)
    frequency = np.sqrt(ell * spread(dim, condition) / amplitude)
    Q = rotation(dim, seed) if rotated and dim > 1 else None
    base = Separable(who, Wave(kappa), np.full(dim, amplitude), frequency,
                     np.full(dim, start * top), Q, -Bf, parameters, dtype)  # fmt: skip
    return with_noise(base, noise, sigma, n, seed, parameters)


def _check(who: str, kappa: float, condition: float) -> None:
    if kappa > 1:
        raise refuse(who, "kappa", "in (0, 1]", kappa)
    at_least(who, 1, condition=condition)
