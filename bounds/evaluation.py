"""Formulas at values, by numpy."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Mapping
from functools import cache, reduce
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import Boolean
from sympy.printing.pycode import MpmathPrinter

__all__ = ["Values", "elementary", "evaluate", "in_digits", "symbols_of"]

Values = Mapping[str, Any]
# What numpy has entry by entry; the rest (factorials, sums over an index) is left to mpmath.
_ELEMENTARY = (
    sp.Symbol, sp.Number, sp.NumberSymbol, sp.Add, sp.Mul, sp.Pow, sp.exp, sp.log, sp.Abs, sp.sign,
    sp.Max, sp.Min, sp.floor, sp.ceiling, sp.Mod, sp.frac, sp.Piecewise, ExprCondPair, Boolean,
    sp.Heaviside, sp.sin, sp.cos, sp.tan, sp.asin, sp.acos, sp.atan, sp.sinh, sp.cosh, sp.tanh,
    sp.asinh, sp.acosh, sp.atanh,
)  # fmt: skip


def evaluate(expression: sp.Expr, values: Values) -> Any:
    """``expression`` at ``values`` (by symbol name), with numpy broadcasting.

    >>> from bounds.notation import ell
    >>> float(evaluate(1 / (2 * ell), {"ell": 4.0}))
    0.125

    Factorials and other special functions, sums and products over an index are taken entry by
    entry; where such a formula has no real value it is NaN.

    >>> from bounds.notation import T, t
    >>> evaluate(sp.Sum(1 / t, (t, 1, T)), {"T": [1, 2, 4]}).round(3).tolist()
    [1.0, 1.5, 2.083]

    Raises
    ------
    KeyError
        If a symbol has no value.
    ValueError
        If the formula has a function that nobody can compute.
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


class _Digits(MpmathPrinter):
    """Formulas for mpmath, whose sums and products over an index keep its digits."""

    def _print_Sum(self, total: sp.Sum) -> str:
        return self._over("_sum", total)

    def _print_Product(self, product: sp.Product) -> str:
        return self._over("_product", product)

    def _over(self, name: str, expression: Any) -> str:
        text = self._print(expression.function)
        for index, *ends in expression.limits:
            low, high = map(self._print, ends)
            text = f"{name}(lambda {self._print(index)}: {text}, {low}, {high})"
        return str(text)


def _terms(of: Callable[[Any], Any], low: Any, high: Any) -> list[Any]:
    count = max(0, int(mpmath.floor(high - low)) + 1)
    if count > _LONGEST:
        raise ValueError(f"a sum of {count} terms is too long to compute")
    return [of(mpmath.mpf(low) + k) for k in range(count)]


def _sum(of: Callable[[Any], Any], low: Any, high: Any) -> Any:
    return (
        mpmath.nsum(of, [low, high]) if mpmath.isinf(high) else mpmath.fsum(_terms(of, low, high))
    )


def _product(of: Callable[[Any], Any], low: Any, high: Any) -> Any:
    if mpmath.isinf(high):
        return mpmath.nprod(of, [low, high])
    return mpmath.fprod(_terms(of, low, high))


_SUMS = {"_sum": _sum, "_product": _product}
_LONGEST = 10**6


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
def elementary(expression: sp.Expr) -> bool:
    """Whether numpy knows everything in the formula; sums over an index it does not.

    >>> from bounds.notation import T
    >>> elementary(sp.log(T)), elementary(sp.factorial(T))
    (True, False)
    """
    return all(isinstance(part, _ELEMENTARY) for part in sp.preorder_traversal(expression))


@cache
def in_digits(expression: sp.Expr) -> tuple[tuple[sp.Symbol, ...], Callable[..., Any]]:
    """The formula's symbols, and itself as a function of mpmath's numbers in that order.

    Raises
    ------
    ValueError
        If it has a function that nobody can compute.

    >>> from bounds.notation import T, t
    >>> in_digits(sp.Sum(1 / t, (t, 1, T)))[1](mpmath.mpf(2))
    mpf('1.5')
    """
    unknown = sorted(map(str, expression.atoms(AppliedUndef)))
    symbols = symbols_of(expression)
    if not unknown:
        try:
            printer = _Digits(
                {"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True}
            )
            made = sp.lambdify(symbols, expression, [_SUMS, "mpmath"], printer=printer)
            missing = sorted(n for n in made.__code__.co_names if n not in made.__globals__)
            unknown = [n for n in missing if not hasattr(builtins, n)]
        except NotImplementedError as error:
            unknown = [str(error).splitlines()[0]]
    if unknown:
        raise ValueError(f"{expression}: no number is known for {', '.join(unknown)}")
    return symbols, made


@cache
def _compiled(expression: sp.Expr) -> tuple[tuple[str, ...], Any]:
    symbols = symbols_of(expression)
    names = tuple(symbol.name for symbol in symbols)
    if elementary(expression):
        return names, sp.lambdify(symbols, expression, modules=_NUMPY)
    exactly = in_digits(expression)[1]

    def entry(*values: float) -> float:
        try:
            found = exactly(*map(mpmath.mpf, values))
            return float(found) if not isinstance(found, mpmath.mpc) else math.nan
        except (ArithmeticError, ValueError):  # a pole, or no real number: nothing to compare
            return math.nan

    if not symbols:
        return names, entry
    return names, np.vectorize(entry, otypes=[float])
