"""Why an instance decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from bounds.evaluation import in_digits
from theorylab.judge.comparison import Comparison
from theorylab.quantities import Measurement

__all__ = ["HIDDEN", "LOST", "NO_VALUE", "is_lost", "reason_of"]

HIDDEN = "rounding or overflow hides the answer"
NO_VALUE = "a side of the claim has no value there (0/0, or a root of what is negative)"
LOST = "what is measured left the numbers that doubles hold; fewer rounds may tell"


def reason_of(
    compared: Comparison, values: Mapping[str, Any], found: Measurement, i: int
) -> str:  # fmt: skip
    """Why nothing is known of instance ``i``, of which the comparison says ``unknown``.

    >>> import sympy as sp
    >>> from bounds import Claim, Symbol
    >>> from theorylab.judge.comparison import compare
    >>> z, nothing = Symbol("z"), Measurement({"-": np.zeros((1, 1))}, "arithmetic")
    >>> compared = compare(Claim(sp.sin(z) / z, "<=", 1), {"z": 0.0}, nothing, 0.01)
    >>> reason_of(compared, {"z": 0.0}, nothing, 0) == NO_VALUE
    True
    """
    if is_lost(compared, found, i):
        return LOST
    table = {**values, **found.values}
    known = (_has_value(side, table, len(compared.gap), i) for side in compared.claim.sides)
    return HIDDEN if all(known) else NO_VALUE


def is_lost(compared: Comparison, found: Measurement, i: int) -> bool:
    """Whether what was measured at instance ``i`` is no number, in some repetition."""
    rows = (found.values.get(s.name) for s in compared.claim.measured)
    return any(row is not None and bool(np.isnan(row[i if len(row) > 1 else 0]).any())
               for row in rows)  # fmt: skip


def _has_value(side: Any, table: Mapping[str, Any], rows: int, i: int) -> bool:
    """Whether the formula is a real number there, were there no end to the digits."""
    symbols, exactly = in_digits(side)
    at = [np.broadcast_to(np.atleast_2d(table[s.name]).mean(-1), (rows,))[i] for s in symbols]
    with mpmath.workdps(60):
        try:
            value = exactly(*map(mpmath.mpf, at))
        except ZeroDivisionError:
            return False
        except (ArithmeticError, TypeError, ValueError):  # beyond what it computes
            return True
        return not isinstance(value, mpmath.mpc) and not mpmath.isnan(value)
