"""Formulas at values, by numpy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, reduce
from typing import Any

import numpy as np
import sympy as sp

__all__ = ["Values", "evaluate"]

Values = Mapping[str, Any]


def evaluate(expression: sp.Expr, values: Values) -> Any:
    """``expression`` at ``values`` (by symbol name), with numpy broadcasting.

    >>> from bounds.notation import ell
    >>> float(evaluate(1 / (2 * ell), {"ell": 4.0}))
    0.125
    """
    symbols, function = _compiled(sp.sympify(expression))
    for symbol in symbols:
        if symbol.name not in values:
            meaning = getattr(symbol, "meaning", "")
            raise KeyError(f"no value for {symbol.name} ({meaning})" if meaning else symbol.name)
    arguments = [np.asarray(values[symbol.name], dtype=float) for symbol in symbols]
    # eta <= 1/lambda allows any eta at 0, and exp(lambda alpha) may exceed every number.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return function(*arguments)


# Sympy writes Min as amin((a, b), axis=0), which fails where a and b have different shapes.
_NUMPY: list[Any] = [
    {
        "amin": lambda values, axis=0: reduce(np.minimum, values),
        "amax": lambda values, axis=0: reduce(np.maximum, values),
    },
    "numpy",
]


@cache
def _compiled(expression: sp.Expr) -> tuple[tuple[sp.Symbol, ...], Any]:
    symbols = tuple(sorted(expression.free_symbols, key=lambda symbol: symbol.name))
    return symbols, sp.lambdify(symbols, expression, modules=_NUMPY)
