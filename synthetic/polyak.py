"""Functions that satisfy the Polyak-Lojasiewicz inequality without being convex."""

from __future__ import annotations

from dataclasses import replace

import torch

from synthetic.noise import with_noise
from synthetic.piecewise_quadratic import PiecewiseQuadratic
from synthetic.separable import Separable
from synthetic.shared import count, given, positive, refuse
from theorylab.problem.objective import Objective

__all__ = ["polyak_lojasiewicz"]


def polyak_lojasiewicz(
    ell: float = 1.0,
    kappa: float = 0.5,
    fall: float = 0.8,
    waves: int = 2,
    width: float = 1.0,
    start: float = 3.0,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """An even function on the line whose slope rises and falls, but vanishes at 0 alone.

    From 0 on the slope rises at rate ``ell`` over a length ``width`` and falls by the share
    ``fall`` of that rise at rate ``kappa ell``, ``waves`` times, and then rises for ever. The
    exact ``mu_pl`` and ``mu_qg`` are certified, ``mu_pl`` attained where the slope is least.

    Parameters
    ----------
    ell : float
        Greatest curvature (F/X^2).
    kappa : float
        ``delta/ell``, in (0, 1].
    fall : float
        In [0, 1); convex at 0.
    waves : int
        At least 1.
    width : float
        Length of a rise (X).
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
    >>> F = polyak_lojasiewicz()
    >>> c = F.constants()
    >>> sorted(F.declared), 0 < float(c["mu_pl"]) < float(c["mu_qg"]) < float(c["ell"])
    (['fitted'], True)
    """
    parameters = given(locals())
    who = "polyak_lojasiewicz"
    waves = count(who, "waves", waves)
    positive(who, ell=ell, width=width)
    if not 0 < kappa <= 1:
        raise refuse(who, "kappa", "in (0, 1]", kappa)
    if not 0 <= fall < 1:
        raise refuse(who, "fall", "in [0, 1)", fall)
    knots, slopes = [0.0], [0.0]
    for _ in range(waves):
        knots.append(knots[-1] + width)
        slopes.append(slopes[-1] + ell * width)
        if fall:
            knots.append(knots[-1] + fall * width / kappa)
            slopes.append(slopes[-1] - fall * ell * width)
    both = [-x for x in knots[:0:-1]] + knots, [-s for s in slopes[:0:-1]] + slopes
    raw = PiecewiseQuadratic(tuple(both[0]), tuple(both[1]), ell, ell)
    scalar = replace(raw, base=-raw.ranges.value[0])
    base = Separable(who, scalar, [1.0], [1.0], [start * width], 
                     parameters=parameters, dtype=dtype)  # fmt: skip
    return with_noise(base, noise, sigma, n, seed, parameters)
