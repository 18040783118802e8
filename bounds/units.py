"""Units of measure: how a quantity scales under ``f -> a f`` and ``w -> b w``.

A bound whose two sides scale differently cannot hold for every ``a`` and ``b``, so
comparing units is a free proof-reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import sympy as sp

__all__ = ["DIMENSIONLESS", "Units", "UnitsError", "units_of"]


@dataclass(frozen=True)
class Units:
    """Exponents of the unit of ``f`` (``F``) and of the unit of ``w`` (``X``).

    >>> curvature = Units(F=1, X=-2)
    >>> print(curvature * Units(X=1), curvature ** 2, Units())
    F/X F^2/X^4 1
    """

    F: Any = 0
    X: Any = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "F", sp.sympify(self.F))
        object.__setattr__(self, "X", sp.sympify(self.X))

    def __mul__(self, other: Units) -> Units:
        return Units(_simple(self.F + other.F), _simple(self.X + other.X))

    def __truediv__(self, other: Units) -> Units:
        return self * other**-1

    def __pow__(self, exponent: sp.Expr | int) -> Units:
        return Units(_simple(self.F * exponent), _simple(self.X * exponent))

    def __str__(self) -> str:
        over = [(name, power) for name, power in (("F", self.F), ("X", self.X)) if power != 0]
        top = [_power(name, power) for name, power in over if not power.could_extract_minus_sign()]
        bottom = [_power(name, -power) for name, power in over if power.could_extract_minus_sign()]
        head = " ".join(top) or "1"
        return head + "".join("/" + factor for factor in bottom)

    def scale(self, a: float, b: float) -> float:
        """The factor by which a quantity of these units grows under ``f -> a f, w -> b w``."""
        powers = self._powers
        return float(a ** powers[0] * b ** powers[1])

    @cached_property
    def _powers(self) -> tuple[float, float]:
        return float(self.F), float(self.X)


def _simple(power: sp.Expr) -> sp.Expr:
    return power if power.is_Rational else _simplified(power)


@cache
def _simplified(power: sp.Expr) -> sp.Expr:
    return sp.simplify(power)


def _power(name: str, power: sp.Expr) -> str:
    return name if power == 1 else f"{name}^{power}" if power.is_Integer else f"{name}^({power})"


DIMENSIONLESS = Units()


class UnitsError(ValueError):
    """Two sides, or two terms of a sum, have different units; ``terms`` holds the offenders."""

    def __init__(self, message: str, terms: tuple[sp.Expr, ...] = ()) -> None:
        super().__init__(message)
        self.terms = terms


def units_of(expression: sp.Expr) -> Units:
    """Units of an expression whose symbols carry ``units``; a plain number is dimensionless.

    Raises
    ------
    UnitsError
        If a sum adds different units, or an exponent or the argument of a
        transcendental function has units.

    Examples
    --------
    >>> from bounds.notation import ell, eta, sigma
    >>> print(units_of(ell * eta), units_of(eta * sigma**2))
    1 F
    """
    expression = sp.sympify(expression)
    if expression.is_Symbol:
        return getattr(expression, "units", DIMENSIONLESS)
    if not expression.free_symbols:
        return DIMENSIONLESS
    if isinstance(expression, sp.Mul):
        units = DIMENSIONLESS
        for factor in expression.args:
            units = units * units_of(factor)
        return units
    if isinstance(expression, sp.Pow):
        base, exponent = expression.args
        _require_dimensionless(exponent, f"the exponent of {expression}")
        if base.is_number:
            return DIMENSIONLESS
        return units_of(base) ** exponent
    if isinstance(expression, (sp.Add, sp.Max, sp.Min, sp.core.relational.Relational)):
        return _common(expression)
    if isinstance(expression, sp.Abs):
        return units_of(expression.args[0])
    if isinstance(expression, (sp.Sum, sp.Product)):
        return units_of(expression.function)
    if isinstance(expression, sp.Piecewise):
        return _common(sp.Max(*[value for value, _ in expression.args], evaluate=False))
    for argument in expression.args:
        _require_dimensionless(argument, f"the argument of {expression.func.__name__}")
    return DIMENSIONLESS


def _common(expression: sp.Basic) -> Units:
    terms = [term for term in expression.args if term != 0]
    units = [units_of(term) for term in terms]
    for term, unit in zip(terms, units, strict=True):
        if unit != units[0]:
            raise UnitsError(
                f"{terms[0]} has units {units[0]} but {term} has units {unit}", (terms[0], term)
            )
    return units[0]


def _require_dimensionless(expression: sp.Expr, where: str) -> None:
    unit = units_of(expression)
    if unit != DIMENSIONLESS:
        raise UnitsError(f"{where} has units {unit}", (expression,))
