"""Formulas at values, by numpy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, reduce
from typing import Any

import numpy as np
import sympy as sp

__all__ = ["Values", "evaluate", "symbols_of"]

Values = Mapping[str, Any]


def evaluate(expression: sp.Expr, values: Values) -> Any:
    """``expression`` at ``values`` (by symbol name), with numpy broadcasting.

    >>> from bounds.notation import ell
    >>> float(evaluate(1 / (2 * ell), {"ell": 4.0}))
    0.125
    """
    if not isinstance(expression, sp.Basic):
        expression = sp.sympify(expression)
    names, function = _compiled(expression)
    try:
        arguments = [np.asarray(values[name], dtype=float) for name in names]
    except KeyError:
        raise _missing(expression, values) from None
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


def _missing(expression: sp.Expr, values: Values) -> KeyError:
    symbol = next(s for s in symbols_of(expression) if s.name not in values)
    meaning = getattr(symbol, "meaning", "")
    return KeyError(f"no value for {symbol.name} ({meaning})" if meaning else symbol.name)


@cache
def symbols_of(expression: sp.Expr) -> tuple[sp.Symbol, ...]:
    """The expression's symbols by name; sympy itself walks through all of it each time.

    >>> from bounds.notation import ell, eta
    >>> symbols_of(eta * ell**2)
    (ell, eta)
    """
    return tuple(sorted(expression.free_symbols, key=lambda symbol: symbol.name))


@cache
def _compiled(expression: sp.Expr) -> tuple[tuple[str, ...], Any]:
    symbols = symbols_of(expression)
    names = tuple(symbol.name for symbol in symbols)
    return names, sp.lambdify(symbols, expression, modules=_NUMPY)
