"""A measured stability gap against a bound: what the twins of one experiment establish."""

from __future__ import annotations

import math
from typing import Literal

from theorylab.judge.intervals import mean_exceeds
from theorylab.stability.supremum import Estimate

__all__ = ["Outcome", "judge"]

Outcome = Literal["violated", "not refuted", "vacuous", "no bound"]


def judge(
    found: Estimate, bound: float | None, trivial: float | None = None, confidence: float = 0.99
) -> tuple[float | None, Outcome]:
    """The ratio of a lower estimate to a bound, and what it says: never that the bound is proved.

    A violation is what :func:`theorylab.judge.intervals.mean_exceeds` shows of nonnegative gaps,
    whatever their law; ``found.interval``, a Student interval, shows nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from theorylab.stability.supremum import estimate
    >>> judge(estimate(np.array([0.1, 0.2, 0.1, 0.2])), 1.0)[1]
    'not refuted'
    """
    if bound is None or not math.isfinite(bound):
        return None, "no bound"
    ratio = found.value / bound if bound > 0 else (0.0 if found.value <= 0 else math.inf)
    if bool(mean_exceeds(found.samples, bound * (1 + 1e-9), 1 - confidence)):
        return ratio, "violated"
    if trivial is not None and bound >= trivial:
        return ratio, "vacuous"
    return ratio, "not refuted"
