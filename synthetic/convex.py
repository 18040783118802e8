"""Convex functions on the line, strongly convex ones among them, that attain their constants."""

from __future__ import annotations

import torch

from synthetic.noise import with_noise
from synthetic.piecewise_quadratic import PiecewiseQuadratic
from synthetic.separable import Separable
from synthetic.shared import at_least, count, given, positive
from theorylab.problem.objective import Objective

__all__ = ["huber", "strongly_convex"]


def huber(
    ell: float = 1.0,
    width: float = 1.0,
    start: float = 3.0,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """Huber's function: ``(ell/2) w^2`` for ``|w| <= width``, linear beyond.

    Gradient descent with ``eta = 1/ell`` is slowest on it: from ``w_0 = (2T + 1) width``,
    ``F(w_T) - F* = ell ||w_0 - w*||^2/(4T + 2)`` (Drori & Teboulle 2014, Theorem 3.2).

    Parameters
    ----------
    ell : float
        Curvature at the minimum (F/X^2).
    width : float
        Half the length of the quadratic piece (X).
    start : float
        ``w_0/width``.
    noise, sigma, n, seed
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> c = huber(ell=2.0, start=3.0).constants()
    >>> float(c["ell"]), float(c["G"]), float(c["Delta"]), float(c["delta"])
    (2.0, 2.0, 5.0, 0.0)
    """
    parameters = given(locals())
    positive("huber", ell=ell, width=width)
    scalar = PiecewiseQuadratic((-width, width), (-ell * width, ell * width))
    low = scalar.ranges.value[0]
    base = Separable("huber", scalar, [1.0], [1.0], [start * width], offset=-low,
                     parameters=parameters, dtype=dtype)  # fmt: skip
    return with_noise(base, noise, sigma, n, seed, parameters)


def strongly_convex(
    ell: float = 25.0,
    condition: float = 25.0,
    first: float = 1.0,
    gap: float = 1.0,
    start: float = 3.3,
    pieces: int = 3,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """A strongly convex piecewise quadratic whose curvature alternates between ``ell`` and ``mu``.

    The minimum is at 0, in a piece of curvature ``ell`` that ends at ``first``; ``pieces - 1``
    pieces of length ``gap`` follow, of curvature ``mu``, ``ell``, ..., the last without end. As
    it stands it is the function of Lessard, Recht & Packard (2016, equation 4.11) on which the
    heavy ball, at the parameters that are best for quadratics of these constants (step 1/9,
    momentum 4/9), runs in a cycle from any ``w_0`` in [3.07, 3.46].

    Parameters
    ----------
    ell : float
        Greatest curvature (F/X^2).
    condition : float
        ``ell/mu``, at least 1.
    first, gap : float
        Where the first piece ends; length of the others (X).
    start : float
        ``w_0/first``.
    pieces : int
        At least 1.
    noise, sigma, n, seed
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = strongly_convex()
    >>> float(F.constants()["mu"]), float(F.constants()["ell"]), sorted(F.declared)
    (1.0, 25.0, ['convex', 'fitted', 'strongly_convex'])
    >>> F.gradient(torch.tensor([[1.0], [1.5], [2.0], [3.0]], dtype=torch.float64)).flatten()
    tensor([25.0000, 25.5000, 26.0000, 51.0000], dtype=torch.float64)
    """
    parameters = given(locals())
    pieces = count("strongly_convex", "pieces", pieces)
    positive("strongly_convex", ell=ell, condition=condition, first=first, gap=gap)
    at_least("strongly_convex", 1, condition=condition)
    mu = ell / condition
    knots, slopes, bend = [0.0], [0.0], ell
    for k in range(pieces - 1):
        length = gap if k else first
        knots.append(knots[-1] + length)
        slopes.append(slopes[-1] + bend * length)
        bend = mu if bend == ell else ell
    scalar = PiecewiseQuadratic(tuple(knots), tuple(slopes), ell, bend)
    base = Separable("strongly_convex", scalar, [1.0], [1.0], [start * first],
                     parameters=parameters, dtype=dtype)  # fmt: skip
    return with_noise(base, noise, sigma, n, seed, parameters)
