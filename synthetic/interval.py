"""Rigorous interval arithmetic on arrays, and branch and bound for one-dimensional suprema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Interval", "supremum"]

_DEPTH, _BOXES = 60, 1_000_000  # where to stop halving; the bound stays certified
_ULPS = 4  # numpy's cos and sin are accurate to well under this many units in the last place


def _down(x: np.ndarray) -> np.ndarray:
    return np.nextafter(x, -np.inf)


def _up(x: np.ndarray) -> np.ndarray:
    return np.nextafter(x, np.inf)


@dataclass(frozen=True)
class Interval:
    """Arrays of closed intervals ``[lower, upper]``; every operation rounds outwards.

    >>> x = Interval(np.array([-1.0]), np.array([2.0]))
    >>> bool(x.square().lower[0] <= 0.0), bool(4.0 <= x.square().upper[0] < 4.001)
    (True, True)
    """

    lower: np.ndarray
    upper: np.ndarray

    @staticmethod
    def of(value: Interval | float | np.ndarray) -> Interval:
        """``value`` as an interval; a number becomes a point."""
        if isinstance(value, Interval):
            return value
        array = np.asarray(value, dtype=float)
        return Interval(array, array)

    def __neg__(self) -> Interval:
        return Interval(-self.upper, -self.lower)

    def __add__(self, other: Interval | float | np.ndarray) -> Interval:
        other = Interval.of(other)
        return Interval(_down(self.lower + other.lower), _up(self.upper + other.upper))

    __radd__ = __add__

    def __sub__(self, other: Interval | float | np.ndarray) -> Interval:
        return self + (-Interval.of(other))

    def __rsub__(self, other: Interval | float | np.ndarray) -> Interval:
        return Interval.of(other) + (-self)

    def __mul__(self, other: Interval | float | np.ndarray) -> Interval:
        other = Interval.of(other)
        corners = np.stack(
            np.broadcast_arrays(
                self.lower * other.lower,
                self.lower * other.upper,
                self.upper * other.lower,
                self.upper * other.upper,
            )
        )
        return Interval(_down(corners.min(0)), _up(corners.max(0)))

    __rmul__ = __mul__

    def square(self) -> Interval:
        """``{x^2}``."""
        low, high = self.lower**2, self.upper**2
        least = np.where((self.lower <= 0) & (self.upper >= 0), 0.0, np.minimum(low, high))
        return Interval(np.maximum(_down(least), 0.0), _up(np.maximum(low, high)))

    def abs(self) -> Interval:
        """``{|x|}``."""
        low, high = np.abs(self.lower), np.abs(self.upper)
        least = np.where((self.lower <= 0) & (self.upper >= 0), 0.0, np.minimum(low, high))
        return Interval(least, np.maximum(low, high))

    def cos(self) -> Interval:
        """``{cos x}``."""
        slack = _ULPS * np.finfo(float).eps
        at_lower, at_upper = np.cos(self.lower), np.cos(self.upper)
        # A multiple of pi within rounding of the interval counts as inside it.
        margin = slack * (1 + np.abs(self.lower) + np.abs(self.upper))
        low, high = self.lower - margin, self.upper + margin
        tops = np.floor(high / (2 * np.pi)) >= np.ceil(low / (2 * np.pi))
        bottoms = np.floor((high / np.pi - 1) / 2) >= np.ceil((low / np.pi - 1) / 2)
        upper = np.where(tops, 1.0, np.minimum(np.maximum(at_lower, at_upper) + slack, 1.0))
        lower = np.where(bottoms, -1.0, np.maximum(np.minimum(at_lower, at_upper) - slack, -1.0))
        return Interval(lower, upper)


def supremum(
    function: Callable[[Interval], Interval],
    lower: float,
    upper: float,
    tolerance: float = 1e-6,
    scale: float = 0.0,
) -> tuple[float, float]:
    """A certified upper bound of ``sup function`` over ``[lower, upper]``, and a value reached.

    Parameters
    ----------
    function : callable
        An interval extension: it maps arrays of intervals to intervals that contain the range.
    lower, upper : float
        The ends of the (bounded) interval searched.
    tolerance : float
        Boxes are halved until bound and value agree to this, relative to the bound's size,
    scale : float
        or to this, if it is greater (a supremum may be 0).

    Returns
    -------
    tuple of float
        ``(bound, reached)`` with ``reached <= sup <= bound``.

    Examples
    --------
    >>> bound, reached = supremum(lambda x: x * (1.0 - x), 0.0, 1.0)
    >>> 0.25 <= bound < 0.2501, reached <= 0.25
    (True, True)
    """
    edges = np.linspace(lower, upper, 65)
    left, right = edges[:-1], edges[1:]
    reached, bound = -np.inf, np.inf
    for _ in range(_DEPTH):
        middle = 0.5 * (left + right)
        reached = max(reached, float(function(Interval.of(middle)).lower.max()))
        high = function(Interval(left, right)).upper
        bound = max(float(high.max()), reached)
        if bound - reached <= tolerance * max(abs(bound), scale):
            break
        keep = high > reached
        left, middle, right = left[keep], middle[keep], right[keep]
        if left.size > _BOXES:
            break
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
    return bound, reached
