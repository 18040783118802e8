"""Bounded functions on the line that lose value as slowly as their curvature allows."""

from __future__ import annotations

import math

import torch

from synthetic.noise import with_noise
from synthetic.piecewise_quadratic import PiecewiseQuadratic
from synthetic.separable import Separable
from synthetic.shared import count, given, positive, refuse
from theorylab.problem.objective import Objective

__all__ = ["dip_chain", "quadratic_dip"]


def dip_chain(
    dips: int = 24,
    ell: float = 0.01,
    kappa: float = 1.0,
    slope: float = 1.0,
    spacing: float = 0.995,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """A descent whose slope dips between the points that ``dips`` rounds visit, flat at both ends.

    A proximal step with weight ``2 ell`` moves by ``g/(2 ell)``, with ``g`` the slope where it
    ends. Here that slope is ``slope`` at points ``spacing slope/(2 ell)`` apart, and between two
    of them it falls at rate ``ell`` and rises at rate ``delta = kappa ell``: no function of these
    constants falls less over such a round. With ``kappa = 1`` a round costs ``(7/16) g^2/ell``,
    so ``T = dips`` rounds have the mean ``||grad F||^2 = g^2``, near ``(32/7) ell Bf/T`` for many
    of them: the most there can be, 8/7 of what TRAlgo's Theorem 2 prints.

    Parameters
    ----------
    dips : int
        Rounds from one end to the other.
    ell : float
        Greatest curvature (F/X^2).
    kappa : float
        ``delta/ell``, in (0, 1].
    slope : float
        ``g`` (F/X).
    spacing : float
        Distance of the visited points in ``g/(2 ell)``, in (0, 1.5]; slightly below 1 a run
        that lags behind catches up.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = dip_chain(dips=64, spacing=1.0)
    >>> c = {name: float(constant) for name, constant in F.constants().items()}
    >>> round(c["G"] ** 2 / (c["ell"] * c["Bf"] / 64), 2)  # of 32/7 = 4.57
    4.48
    """
    parameters = given(locals())
    dips = count("dip_chain", "dips", dips)
    positive("dip_chain", ell=ell, slope=slope)
    for name, value, most in (("kappa", kappa, 1.0), ("spacing", spacing, 1.5)):
        if not 0 < value <= most:
            raise refuse("dip_chain", name, f"in (0, {most:g}]", value)
    delta, period = kappa * ell, spacing * slope / (2 * ell)
    first = slope - delta * period  # the run starts here, on the rise to the first visited point
    falling = kappa / (1 + kappa) * period
    knots, slopes = [-first / delta, 0.0, period], [0.0, -first, -slope]
    for k in range(1, dips):
        knots += [k * period + falling, (k + 1) * period]
        slopes += [ell * falling - slope, -slope]
    knots.append(dips * period + slope / ell)
    slopes.append(0.0)
    scalar = PiecewiseQuadratic(tuple(knots), tuple(slopes))
    return Separable("dip_chain", scalar, [1.0], [1.0], [0.0], offset=-_middle(scalar),
                     parameters=parameters, dtype=dtype)  # fmt: skip


def quadratic_dip(
    ell: float = 1.0,
    kappa: float = 1.0,
    radius: float = 1.01,
    start: float = 0.5,
    noise: str = "two_point",
    sigma: float = 1.0,
    n: int = 10,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """A bounded function that is ``(ell/2) w^2`` for ``|w| <= r``, and levels off beyond.

    SGD with ``eta <= 1/ell`` and two-point noise at batch 1 never leaves ``|w| <= sigma/ell``:
    with ``r`` above that, what it does is what it does on a quadratic, although F is bounded and
    Lipschitz. At ``eta = 1/(2 ell)`` its stationary ``E||grad F||^2`` is ``sigma^2/3``.

    Parameters
    ----------
    ell : float
        Greatest curvature (F/X^2).
    kappa : float
        ``delta/ell``, in (0, 1]: how fast the slope returns to zero beyond ``r``.
    radius : float
        ``r`` in units of ``sigma/ell``, or of X where ``sigma`` is zero.
    start : float
        ``w_0/r``.
    noise, sigma, n, seed
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> c = quadratic_dip(radius=1.0).constants()
    >>> [float(c[name]) for name in ("ell", "delta", "G", "Bf", "sigma")]
    [1.0, 1.0, 1.0, 0.5, 1.0]
    """
    parameters = given(locals())
    positive("quadratic_dip", ell=ell, radius=radius)
    if not 0 < kappa <= 1:
        raise refuse("quadratic_dip", "kappa", "in (0, 1]", kappa)
    r = radius * (sigma / ell if sigma > 0 else 1.0)
    end = r + r / kappa
    scalar = PiecewiseQuadratic((-end, -r, r, end), (0.0, -ell * r, ell * r, 0.0))
    base = Separable("quadratic_dip", scalar, [1.0], [1.0], [start * r], offset=-_middle(scalar),
                     parameters=parameters, dtype=dtype)  # fmt: skip
    return with_noise(base, noise, sigma, n, seed, parameters)


def _middle(scalar: PiecewiseQuadratic) -> float:
    """Half way between the extremes: without it ``|F|`` is at most half of their distance."""
    low, high = scalar.ranges.value
    assert math.isfinite(high - low)
    return 0.5 * (low + high)
