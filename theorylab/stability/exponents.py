"""Exponents of measured power laws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

__all__ = ["fit_exponent"]


def fit_exponent(
    x: Sequence[float],
    y: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    confidence: float = 0.95,
    measured_at: float = 0.99,
) -> dict[str, Any] | None:
    """The exponent p of ``y ~ x^p`` by weighted least squares in logarithms, with its interval.

    ``intervals`` are the measurements' own, at confidence ``measured_at``; where the points
    scatter more than they explain (a power law is only a leading term), the interval widens by
    as much. ``None`` with fewer than three usable points; ``left_out`` counts those that are 0,
    diverged, or have no interval.

    >>> fit = fit_exponent([1, 10, 100], [2, 4, 8], [(1.9, 2.1), (3.8, 4.2), (7.6, 8.4)])
    >>> round(fit["exponent"], 3)
    0.301
    """
    rows = [(math.log(a), math.log(b), (high - low) / 2 / b)
            for a, b, (low, high) in zip(x, y, intervals, strict=True)
            if b > 0 and math.isfinite(high - low)]  # fmt: skip
    if len({a for a, _, _ in rows}) < 3:
        return None
    table = np.array(rows)
    error = np.maximum(table[:, 2] / -special.ndtri((1 - measured_at) / 2), 1e-9)
    weight = 1 / error**2
    middle = float(weight @ table[:, 0] / weight.sum())
    centred = table[:, 0] - middle
    information = float(weight @ centred**2)
    slope = float(weight @ (centred * table[:, 1]) / information)
    level = float(weight @ table[:, 1] / weight.sum())
    residual = table[:, 1] - level - slope * centred
    degrees = len(rows) - 2
    scatter = max(1.0, float(weight @ residual**2) / degrees)
    half = -float(special.stdtrit(degrees, (1 - confidence) / 2)) * math.sqrt(scatter / information)
    return {"exponent": slope, "interval": [slope - half, slope + half], "points": len(rows),
            "left_out": len(x) - len(rows)}  # fmt: skip
