"""Bounds of a mean from samples, valid for any law within a certified range.

A Student interval trusts that what was not seen is not there. These do not: one bets against the
hypothesis "the mean is at most m", at odds that are fair under it whatever the law, and it is
rejected when the money has grown beyond ``1/risk`` (Ville's inequality). No upper range is needed
to bound a mean from below, nor a lower one to bound it from above.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
JRSS-B 86 (2024), the grid of constant bets mixed evenly; Ville (1939).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize

__all__ = ["log_money", "mean_exceeds", "mean_interval", "money_against", "wins"]

# Shares of the money that are bet. The best one is about (excess/m)/(variance/m^2): small where
# the samples scatter, 1 where they nearly agree; between two of these little is lost.
_SHARES = np.geomspace(1e-4, 1.0, 24)
_LARGEST = math.sqrt(np.finfo(float).max)  # a sample that overflowed is at least this
_DECADES, _PRECISION = 40.0, 1e-9  # of the logarithm of a mean
_NEAR = 0.5  # likewise: where the end is looked for first
_LEAST = 1e-280  # below it nothing is told from 0
_AT_ONCE = 1 << 22
_MANY, _BITS = 8192, 16  # samples beyond which equal ones are counted, after rounding down


def log_money(
    samples: np.ndarray, mean: np.ndarray | float, counts: np.ndarray | None = None
) -> np.ndarray:
    """The logarithm of the money won against ``E[X] <= mean``, for nonnegative samples.

    Betting the share b on each sample X turns the money into ``1 - b + b X/mean`` times as much,
    which is no gain on average under the hypothesis. The money is spread evenly over the shares.

    Parameters
    ----------
    samples : ndarray, shape (..., n)
        Nonnegative; independent along the last axis.
    mean : ndarray, shape (...)
        Positive.
    counts : ndarray, shape (n,), optional
        How often each sample was seen; once by default.

    Returns
    -------
    ndarray, shape (...)
        It exceeds ``log(1/risk)`` with probability ``risk`` at most if the hypothesis is true.

    Examples
    --------
    >>> bool(log_money(np.full(200, 1.94), 1.85) > np.log(100))
    True
    """
    x = np.asarray(samples, dtype=float)
    m = np.broadcast_to(np.asarray(mean, dtype=float), x.shape[:-1])
    rows, flat = x.reshape(-1, x.shape[-1]), m.reshape(-1)
    money = np.empty(len(rows))
    step = max(1, _AT_ONCE // (len(_SHARES) * max(1, rows.shape[1])))
    for i in range(0, len(rows), step):
        part = slice(i, i + step)
        with np.errstate(divide="ignore", over="ignore"):
            gain = np.minimum(rows[part] / flat[part, None], _LARGEST) - 1
            logs = np.log1p(_SHARES[:, None, None] * gain)
            logs = logs.sum(-1) if counts is None else logs @ counts
        money[part] = np.logaddexp.reduce(logs, axis=0) - math.log(len(_SHARES))
    return money.reshape(m.shape)


def mean_exceeds(
    samples: np.ndarray,
    mean: np.ndarray | float,
    risk: float = 0.01,
    floor: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Whether samples of at least ``floor`` show that their mean exceeds ``mean``.

    Of a mean that does not, it says so with probability ``risk`` at most, whatever the law. A
    sample that is not a number counts as ``floor``; an infinite one as very large. With an
    infinite ``floor`` nothing is shown.

    Parameters
    ----------
    samples : ndarray, shape (..., n)
    mean, floor : ndarray, shape (...)
    risk : float

    Returns
    -------
    ndarray of bool, shape (...)

    Examples
    --------
    Four gaps that agree are no evidence, two hundred are.

    >>> [bool(mean_exceeds(np.full(n, 1.94), 1.85)) for n in (4, 200)]
    [False, True]
    """
    return wins(money_against(samples, mean, floor), risk)


def wins(money: np.ndarray, risk: float) -> np.ndarray:
    """Whether so much money, a logarithm, rejects what was bet against at this risk."""
    return money > -math.log(risk)


def money_against(
    samples: np.ndarray, mean: np.ndarray | float, floor: np.ndarray | float = 0.0
) -> np.ndarray:
    """:func:`log_money` of samples of at least ``floor`` against ``E[X] <= mean``.

    Infinite where a mean of at most ``mean`` is impossible, and minus infinity where nothing is
    shown.

    >>> float(money_against(np.array([1.0, 2.0]), -1.0))
    inf
    """
    x, m, low = _aligned(samples, mean, floor)
    above = _above(x, low)
    with np.errstate(invalid="ignore"):
        room = np.where(np.isfinite(low), m - low, np.inf)
    certain = (room < 0) | ((room == 0) & (above > 0).any(-1))
    usable = (room > 0) & np.isfinite(room)
    money = np.full(room.shape, -np.inf)
    for i in np.flatnonzero(usable.ravel()) if x.shape[-1] > _MANY else ():
        values, counts = _counted(above.reshape(-1, x.shape[-1])[i])
        money.flat[i] = log_money(values, room.flat[i], counts)
    if usable.any() and x.shape[-1] <= _MANY:
        money[usable] = log_money(above[usable], room[usable])
    return np.where(certain, np.inf, money)


def mean_interval(
    samples: np.ndarray,
    risk: float = 0.01,
    low: np.ndarray | float = -math.inf,
    high: np.ndarray | float = math.inf,
) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of an interval that holds the mean with probability ``1 - risk``.

    Parameters
    ----------
    samples : ndarray, shape (..., n)
        Independent along the last axis, in ``[low, high]``.
    risk : float
        Shared evenly by both ends; each is the end of :func:`mean_exceeds`.
    low, high : ndarray, shape (...)
        The certified range; an infinite side leaves the interval infinite on that side.

    Returns
    -------
    tuple of ndarray, each of shape (...)

    Examples
    --------
    >>> ends = mean_interval(np.tile([0.0, 1.0], 500), 0.01, 0.0, 1.0)
    >>> [round(float(end), 2) for end in ends]
    [0.44, 0.56]
    """
    x, lowest, highest = _aligned(samples, low, high)
    lower, upper = _lower_end(x, lowest, risk / 2), -_lower_end(-x, -highest, risk / 2)
    return np.maximum(lower, lowest), np.minimum(upper, highest)


def _lower_end(x: np.ndarray, floor: np.ndarray, risk: float) -> np.ndarray:
    """A lower bound of the mean; none where no floor is certified."""
    end, known = np.full(floor.shape, -np.inf), np.isfinite(floor)
    if known.any():
        end[known] = floor[known] + _least_mean(_above(x[known], floor[known]), risk)
    return end


def _aligned(
    samples: np.ndarray, a: np.ndarray | float, b: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.asarray(samples, dtype=float)
    shape = x.shape[:-1]
    first, second = (np.broadcast_to(np.asarray(v, dtype=float), shape) for v in (a, b))
    return x, first, second


def _above(x: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """How far each sample lies above its floor."""
    with np.errstate(invalid="ignore"):
        above = np.nan_to_num(x - floor[..., None], nan=0.0, posinf=_LARGEST)
    return np.clip(above, 0.0, _LARGEST)


def _counted(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct samples and how often each was seen, rounded down: their mean is no larger."""
    mantissa, exponent = np.frexp(row)
    steps = 2.0**_BITS
    return np.unique(np.ldexp(np.floor(mantissa * steps) / steps, exponent), return_counts=True)


def _least_mean(above: np.ndarray, risk: float) -> np.ndarray:
    """The smallest mean of nonnegative samples that is not rejected, from just below."""
    rows = above.reshape(-1, above.shape[-1])
    return np.array([_least(row, -math.log(risk)) for row in rows]).reshape(above.shape[:-1])


def _least(row: np.ndarray, target: float) -> float:
    # Money falls as the mean rises; the search is over its logarithm, so small means are found.
    counts = None
    if len(row) > _MANY:
        row, counts = _counted(row)

    def left(logarithm: float) -> float:
        return float(log_money(row, math.exp(logarithm), counts)) - target

    largest = float(row.max())
    if largest < _LEAST:
        return 0.0
    low = math.log(largest) - _DECADES
    if left(low) <= 0:
        return 0.0
    # No share wins against the mean of the samples (the logarithm is concave), nor by rounding
    # against one that is a little larger. The end mostly lies close below.
    middle = float(row.mean() if counts is None else np.average(row, weights=counts))
    high = math.log(middle) + _PRECISION if middle < largest else math.log(largest)
    near = high - _NEAR
    if near > low:
        low, high = (near, high) if left(near) > 0 else (low, near)
    return math.exp(optimize.brentq(left, low, high, xtol=_PRECISION) - _PRECISION)
