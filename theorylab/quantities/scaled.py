"""Numbers held beside a power of two, so that they cannot overflow on the way."""

from __future__ import annotations

import numpy as np

__all__ = ["unscaled"]


def unscaled(
    value: np.ndarray, error: np.ndarray, exponents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and their rounding times ``4**exponents``; what overflows is as large as it looks.

    ``NaN`` where it overflows and may be all rounding: a difference of far larger terms.

    >>> unscaled(np.array([1.0, 1e-16]), np.full(2, 1e-15), np.array([600, 600]))
    (array([inf, nan]), array([inf, inf]))
    """
    with np.errstate(over="ignore"):
        numbers, errors = np.ldexp(value, 2 * exponents), np.ldexp(error, 2 * exponents)
    hidden = np.isinf(numbers) & ~(np.abs(value) > error)
    return np.where(hidden, np.nan, numbers), errors
