"""Parabolas of different curvatures: strongly convex sample by sample, their noise grows with w."""

from __future__ import annotations

import numpy as np
import torch

from synthetic.losses import Squared
from synthetic.margin_sum import MarginSum
from synthetic.populations import Pool
from synthetic.shared import at_least, count, given, positive

__all__ = ["quadratic_sum"]


def quadratic_sum(
    n: int = 2,
    ell: float = 1.0,
    condition: float = 4.0,
    apart: float = 1.0,
    start: float = 1.0,
    dtype: torch.dtype = torch.float64,
) -> MarginSum:
    """``f_i(w) = (h_i/2)(w - c_i)^2`` on the line, ``h_i`` falling geometrically from ell.

    The minima of the first half of the samples are at ``apart``, those of the others at
    ``-apart``: in their own order they pull to one side for half an epoch. Each ``f_i`` is
    ``ell/condition``-strongly convex, and the mean square of a sample's gradient grows with w.

    Parameters
    ----------
    n : int
        Samples.
    ell : float
        Largest curvature (F/X^2).
    condition : float
        Largest over smallest curvature, at least 1.
    apart : float
        Distance of each minimum from 0 (X); with 0 one point minimises every sample.
    start : float
        ``w_0`` (X).

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = quadratic_sum(condition=4.0)
    >>> {k: round(float(F.sample_constants()[k]), 9) for k in ("ell", "mu")}
    {'ell': 1.0, 'mu': 0.25}
    """
    parameters = given(locals())
    n = count("quadratic_sum", "n", n)
    positive("quadratic_sum", ell=ell, condition=condition)
    at_least("quadratic_sum", 1, condition=condition)
    at_least("quadratic_sum", 0, apart=apart)
    roots = np.sqrt(ell) * condition ** (-0.5 * np.arange(n) / max(n - 1, 1))
    side = np.where(np.arange(n) < (n + 1) // 2, apart, -apart)
    A, b = roots[:, None], roots * side
    return MarginSum("quadratic_sum", Squared(), A, b, np.array([start]), population=Pool(A, b),
                     parameters=parameters, dtype=dtype)  # fmt: skip
