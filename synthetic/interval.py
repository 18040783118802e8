"""Rigorous interval arithmetic on arrays, and branch and bound for one-dimensional suprema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Interval", "supremum"]

_DEPTH, _BOXES = 60, 1_000_000  # where to stop halving; the bound stays certified
_ULPS = 4  # numpy's elementary functions err by well under so many units in the last place
_FAR = 1e8  # beyond, cos is anything in [-1, 1]


def _down(x: np.ndarray) -> np.ndarray:
    return np.nextafter(x, -np.inf)


def _up(x: np.ndarray) -> np.ndarray:
    return np.nextafter(x, np.inf)


def _known(low: np.ndarray, high: np.ndarray) -> Interval:
    """The interval, an end that is no number being unknown."""
    return Interval(np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high))


def _outward(
    function: Callable[[np.ndarray], np.ndarray], x: Interval
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of a rising function's range, beyond what numpy's rounding can hide."""
    with np.errstate(all="ignore"):
        low, high = function(x.lower), function(x.upper)
        tiny = np.finfo(float).tiny
        low = np.where(np.isinf(low), low, low - _ULPS * np.finfo(float).eps * np.abs(low) - tiny)
        high = np.where(
            np.isinf(high), high, high + _ULPS * np.finfo(float).eps * np.abs(high) + tiny
        )
    # What overflowed is larger than every number, and not infinite.
    low = np.where(low == np.inf, np.where(np.isinf(x.lower), np.inf, np.finfo(float).max), low)
    return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)


def _rising(x: Interval, function: Callable[[Interval], Interval]) -> Interval:
    """The range of a rising function, from its ends."""
    return Interval(function(Interval.of(x.lower)).lower, function(Interval.of(x.upper)).upper)


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
        with np.errstate(invalid="ignore", over="ignore"):
            low, high = _down(self.lower + other.lower), _up(self.upper + other.upper)
        # Numbers of one sign have a sum of that sign: 0 is not rounded beyond.
        low = np.where((self.lower >= 0) & (other.lower >= 0), np.maximum(low, 0.0), low)
        high = np.where((self.upper <= 0) & (other.upper <= 0), np.minimum(high, 0.0), high)
        return _known(low, high)

    __radd__ = __add__

    def __sub__(self, other: Interval | float | np.ndarray) -> Interval:
        return self + (-Interval.of(other))

    def __rsub__(self, other: Interval | float | np.ndarray) -> Interval:
        return Interval.of(other) + (-self)

    def __mul__(self, other: Interval | float | np.ndarray) -> Interval:
        other = Interval.of(other)
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            corners = np.stack(
                np.broadcast_arrays(
                    self.lower * other.lower,
                    self.lower * other.upper,
                    self.upper * other.lower,
                    self.upper * other.upper,
                )
            )
        # An infinite end is a limit: 0 times anything of the interval is 0.
        corners = np.where(np.isnan(corners), 0.0, corners)
        low, high = _down(corners.min(0)), _up(corners.max(0))
        up, down = (self.lower >= 0), (self.upper <= 0)
        alike = (up & (other.lower >= 0)) | (down & (other.upper <= 0))
        apart = (up & (other.upper <= 0)) | (down & (other.lower >= 0))
        low = np.where(alike, np.maximum(low, 0.0), low)
        return Interval(low, np.where(apart, np.minimum(high, 0.0), high))

    __rmul__ = __mul__

    def reciprocal(self) -> Interval:
        """``{1/x}``; everything where 0 lies inside."""
        with np.errstate(divide="ignore", over="ignore"):
            low, high = _down(1.0 / self.upper), _up(1.0 / self.lower)
        positive, negative = self.lower >= 0, self.upper <= 0
        low = np.where(positive, np.maximum(low, 0.0), np.where(negative, low, -np.inf))
        high = np.where(negative, np.minimum(high, 0.0), np.where(positive, high, np.inf))
        # At an end that is 0 the sign of that zero says nothing.
        low = np.where(negative & (self.upper == 0), -np.inf, low)
        high = np.where(positive & (self.lower == 0), np.inf, high)
        return Interval(low, high)

    def __truediv__(self, other: Interval | float | np.ndarray) -> Interval:
        return self * Interval.of(other).reciprocal()

    def __rtruediv__(self, other: Interval | float | np.ndarray) -> Interval:
        return Interval.of(other) * self.reciprocal()

    def power(self, exponent: int) -> Interval:
        """``{x^k}`` for an integer k."""
        if exponent < 0:
            return self.power(-exponent).reciprocal()
        if exponent == 0:
            return Interval.of(np.ones(np.broadcast(self.lower, self.upper).shape))
        if exponent % 2 == 0:
            return self.square().power(exponent // 2) if exponent > 2 else self.square()
        return self if exponent == 1 else _rising(self, lambda x: x.power(exponent - 1) * x)

    def intersect(self, other: Interval) -> Interval:
        """What lies in both, where both enclose the same."""
        return Interval(np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper))

    def exp(self) -> Interval:
        """``{exp x}``."""
        low, high = _outward(np.exp, self)
        return Interval(np.maximum(low, 0.0), high)

    def log(self) -> Interval:
        """``{log x}``; from minus infinity where 0 or less lies inside."""
        low, high = _outward(np.log, Interval(np.maximum(self.lower, 0.0), self.upper))
        unknown = self.upper <= 0
        return Interval(np.where(unknown, -np.inf, low), np.where(unknown, np.inf, high))

    def sqrt(self) -> Interval:
        """``{sqrt x}``; everything where a negative number lies inside."""
        low, high = _outward(np.sqrt, Interval(np.maximum(self.lower, 0.0), self.upper))
        wrong = self.lower < 0
        return Interval(np.where(wrong, -np.inf, np.maximum(low, 0.0)),
                        np.where(wrong, np.inf, high))  # fmt: skip

    def softplus(self) -> Interval:
        """``{log(1 + exp x)}``."""
        low, high = _outward(lambda x: np.logaddexp(0.0, x), self)
        return Interval(np.maximum(low, 0.0), high)

    def tanh(self) -> Interval:
        """``{tanh x}``."""
        low, high = _outward(np.tanh, self)
        return Interval(np.clip(low, -1.0, 1.0), np.clip(high, -1.0, 1.0))

    def arctan(self) -> Interval:
        """``{arctan x}``."""
        return Interval(*_outward(np.arctan, self))

    def sin(self) -> Interval:
        """``{sin x}``."""
        quarter = Interval(_down(np.asarray(np.pi / 2)), _up(np.asarray(np.pi / 2)))
        return (self - quarter).cos()

    def square(self) -> Interval:
        """``{x^2}``."""
        with np.errstate(over="ignore", under="ignore"):
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
        far = ~(np.maximum(np.abs(self.lower), np.abs(self.upper)) < _FAR)
        if np.any(far):
            here = Interval(np.where(far, 0.0, self.lower), np.where(far, 0.0, self.upper)).cos()
            return Interval(np.where(far, -1.0, here.lower), np.where(far, 1.0, here.upper))
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
