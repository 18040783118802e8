"""Why an instance decides nothing; and where a run that left the numbers was last among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import mpmath
import numpy as np

from bounds.claim import DomainError
from bounds.evaluation import in_digits
from bounds.statement import Statement
from bounds.symbol import Symbol
from theorylab.judge.comparison import Comparison
from theorylab.quantities import Measurement

__all__ = ["HIDDEN", "LOST", "NO_VALUE", "is_lost", "reason_of", "shorter"]

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


def shorter(statement: Statement, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The same point with half the rounds, a quarter and so on, where the statement allows it.

    Nothing where the number of rounds is no symbol of its own to choose.

    >>> from bounds import sngm
    >>> at = {"T": 9.0, "beta": 0.5, "eta": 0.1, "B": 1.0, "ell": 1.0, "Delta": 1.0, "sigma": 0.0}
    >>> [point["T"] for point in shorter(sngm.theorem_1, at)]
    [4.0, 2.0, 1.0]
    """
    horizon = None if statement.algorithm is None else statement.algorithm.horizon
    if not isinstance(horizon, Symbol) or horizon not in statement.hyperparameters:
        return
    if horizon in statement.prescription:
        return
    prescribed = {symbol.name for symbol in statement.prescription}
    free = {name: value for name, value in values.items() if name not in prescribed}
    rounds = int(values[horizon.name]) // 2
    while rounds >= 1:
        with suppress(DomainError, KeyError, ZeroDivisionError, FloatingPointError):
            yield statement.validate({**free, horizon.name: float(rounds)})
        rounds //= 2


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
