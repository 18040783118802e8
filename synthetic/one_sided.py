"""One-sided smooth functions: curvature at most L, but no bound below."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from synthetic.noise import with_noise
from synthetic.scalar import Ranges, Scalar
from synthetic.separable import Separable, rotation
from synthetic.shared import count, given, positive
from theorylab.problem.objective import Objective

__all__ = ["Cusp", "one_sided"]


@dataclass(frozen=True)
class Cusp(Scalar):
    """``x^2/2 - (2/3)|x|^{3/2}``: C^1, curvature at most 1 but ``-inf`` at 0, least at 1.

    >>> Cusp().slope(torch.tensor([1.0, 4.0]))
    tensor([0., 2.])
    """

    name: ClassVar[str] = "cusp"

    def value(self, x: Tensor) -> Tensor:
        return 0.5 * x.square() - (2 / 3) * x.abs() * x.abs().sqrt()

    def slope(self, x: Tensor) -> Tensor:
        return x - torch.sign(x) * x.abs().sqrt_()

    def curvature(self, x: Tensor) -> Tensor:
        return 1 - 0.5 * x.abs().rsqrt()

    @property
    def ranges(self) -> Ranges:
        return Ranges((-1 / 6, math.inf), (-math.inf, math.inf), (-math.inf, 1.0), minimizer=1.0)


def one_sided(
    dim: int = 3,
    L: float = 1.0,
    width: float = 1.0,
    start: float = 0.01,
    rotated: bool = True,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """One-sided L-smooth (SNGM Definition 1), yet neither smooth nor weakly convex.

    ``F(w) = sum_j L width^2 cusp(u_j/width)``, ``cusp(x) = x^2/2 - (2/3)|x|^{3/2}``; its minima
    are at ``|u_j| = width``. It tells a proof by one-sided smoothness from one that needs both
    sides.

    Parameters
    ----------
    dim, n : int
        Dimension; number of samples for ``noise="shifts"``.
    L : float
        The one-sided smoothness constant (F/X^2).
    width : float
        Half the distance of the wells (X).
    start : float
        ``u_j/width`` at the start; near 0 the curvature is very negative.
    rotated, noise, sigma, seed
        As in :func:`synthetic.delta_nonconvex`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> sorted(one_sided(dim=2).constants())
    ['Delta', 'L', 'R', 'd', 'ell_es', 'sigma', 'sigma_star']
    """
    parameters = given(locals())
    dim, n = count("one_sided", "dim", dim), count("one_sided", "n", n)
    positive("one_sided", L=L, width=width)
    Q = rotation(dim, seed) if rotated and dim > 1 else None
    base = Separable("one_sided", Cusp(), np.full(dim, L * width**2), np.full(dim, 1 / width),
                     np.full(dim, start), Q, parameters=parameters, dtype=dtype)  # fmt: skip
    return with_noise(base, noise, sigma, n, seed, parameters)
