"""The part of a proof that sympy can replay: each step is an equation or a sign it must confirm."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import sympy as sp

__all__ = [
    "Identity", "Minimal", "Nonnegative", "NonnegativeOn", "PositiveDefinite", "Step",
    "Telescopes",
]  # fmt: skip


class Step(abc.ABC):
    """One replayable step; ``holds()`` redoes it from scratch."""

    text: str

    @abc.abstractmethod
    def holds(self) -> bool:
        """Whether sympy confirms the step."""


@dataclass(frozen=True)
class Identity(Step):
    """``lhs`` (with ``substitute`` applied) equals ``rhs``: their difference simplifies to 0.

    >>> x = sp.Symbol("x")
    >>> Identity("a corollary is its theorem at x = 2", x**2, sp.Integer(4), {x: 2}).holds()
    True
    """

    text: str
    lhs: sp.Expr
    rhs: sp.Expr
    substitute: Mapping[sp.Symbol, sp.Expr] | None = None

    def holds(self) -> bool:
        lhs = self.lhs
        for symbol, value in (self.substitute or {}).items():
            lhs = lhs.subs(symbol, value)
        difference = sp.simplify(sp.powsimp(sp.expand_power_base(lhs - self.rhs), force=False))
        return bool(difference == 0) or bool(sp.simplify(sp.expand(lhs - self.rhs)) == 0)


@dataclass(frozen=True)
class Telescopes(Step):
    """``sum_{index=0}^{upper-1} summand = total`` for every ``upper``, by induction on it.

    An ``sp.IndexedBase`` stands for any sequence.

    >>> f, t, T = sp.IndexedBase("f"), *sp.symbols("t T", integer=True)
    >>> Telescopes("values telescope", f[t] - f[t + 1], f[0] - f[T], t, T).holds()
    True
    >>> Telescopes("one value too far", f[t] - f[t + 1], f[0] - f[T + 1], t, T).holds()
    False
    """

    text: str
    summand: sp.Expr
    total: sp.Expr
    index: sp.Symbol
    upper: sp.Symbol

    def holds(self) -> bool:
        if self.summand.has(self.upper):  # then a longer sum would have other terms too
            return False
        empty = self.total.subs(self.upper, 0)
        added = self.total.subs(self.upper, self.upper + 1) - self.total
        last = self.summand.subs(self.index, self.upper)
        return all(sp.simplify(sp.expand(gap)) == 0 for gap in (empty, added - last))


@dataclass(frozen=True)
class Minimal(Step):
    """``expression`` is stationary in each variable at ``at``, with a positive-definite Hessian.

    >>> x = sp.Symbol("x", positive=True)
    >>> Minimal("best x", x + 1 / x, {x: sp.Integer(1)}).holds()
    True
    """

    text: str
    expression: sp.Expr
    at: Mapping[sp.Symbol, sp.Expr]

    def holds(self) -> bool:
        variables = [sp.Dummy(str(symbol), positive=True) for symbol in self.at]
        free = self.expression.subs(dict(zip(self.at, variables, strict=True)), simultaneous=True)
        point = dict(zip(variables, self.at.values(), strict=True))
        for variable in variables:
            slope = sp.diff(free, variable).subs(point, simultaneous=True)
            if sp.simplify(slope) != 0:
                return False
        hessian = sp.hessian(free, variables).subs(point, simultaneous=True)
        minors = [sp.simplify(hessian[:k, :k].det()) for k in range(1, len(variables) + 1)]
        return all(sp.simplify(minor).is_positive for minor in minors)


@dataclass(frozen=True)
class Nonnegative(Step):
    """``expression >= 0`` because it equals ``certificate``, whose sign sympy reads off.

    Without a certificate its factorisation is one; a number is evaluated to 30 digits.

    >>> x, y = sp.symbols("x y", real=True)
    >>> Nonnegative("AM-GM", x**2 + y**2 - 2 * x * y, (x - y) ** 2).holds()
    True
    """

    text: str
    expression: sp.Expr
    certificate: sp.Expr | None = None

    def holds(self) -> bool:
        if self.certificate is None and self.expression.is_number:
            return bool(self.expression.evalf(30) >= 0)
        if self.certificate is None:
            return bool(sp.factor(self.expression).is_nonnegative)
        same = sp.simplify(sp.expand(self.expression - self.certificate)) == 0
        return bool(same) and bool(self.certificate.is_nonnegative)


@dataclass(frozen=True)
class NonnegativeOn(Step):
    """``expression >= 0`` for every ``lower <= variable <= upper``, by interval arithmetic.

    The interval is halved until each piece's enclosure is nonnegative, so the expression must
    stay away from 0. It may use ``+ * **`` (integer powers), ``exp``, ``log`` and rationals.

    >>> x = sp.Symbol("x")
    >>> NonnegativeOn("e^x above its tangent", sp.exp(x) - 1 - x, x, 1, 4).holds()
    True
    >>> NonnegativeOn("not below it", 1 + x - sp.exp(x), x, 1, 4).holds()
    False
    """

    text: str
    expression: sp.Expr
    variable: sp.Symbol
    lower: sp.Expr | int
    upper: sp.Expr | int

    def holds(self) -> bool:
        ends = (sp.Rational(self.lower), sp.Rational(self.upper))
        todo = [(*ends, 0)]
        while todo:
            low, high, depth = todo.pop()
            left, right = (_enclose(end, self.variable, None) for end in (low, high))
            piece = mpmath.iv.mpf([left.a, right.b])
            value = _enclose(self.expression, self.variable, piece)
            if value.b < 0 or depth > 16:
                return False
            if not value.a >= 0:
                middle = (low + high) / 2
                todo += [(low, middle, depth + 1), (middle, high, depth + 1)]
        return True


@dataclass(frozen=True)
class PositiveDefinite(Step):
    """A matrix of polynomials is positive definite on a box: its leading minors are positive.

    A polynomial lies between the least and the largest of its Bernstein coefficients on a box;
    where these are not all positive, the box is halved.

    >>> x, y = sp.symbols("x y")
    >>> form = sp.ImmutableMatrix([[2, x], [x, 1 + y]])
    >>> PositiveDefinite("diagonally dominant", form, {x: (-1, 1), y: (0, 3)}).holds()
    True
    >>> PositiveDefinite("no longer", form, {x: (0, 2), y: (0, 3)}).holds()
    False
    """

    text: str
    matrix: sp.ImmutableMatrix
    box: Mapping[sp.Symbol, tuple[sp.Expr | int, sp.Expr | int]]

    def holds(self) -> bool:
        size = self.matrix.shape[0]
        minors = (self.matrix[:k, :k].det() for k in range(1, size + 1))
        return all(_positive_on(minor, self.box) for minor in minors)


def _positive_on(
    expression: sp.Expr, box: Mapping[sp.Symbol, tuple[sp.Expr | int, sp.Expr | int]]
) -> bool:
    """Whether a polynomial with rational coefficients is positive on a box."""
    unit = {symbol: sp.Dummy() for symbol in box}
    onto = {s: sp.sympify(low) + (high - sp.sympify(low)) * unit[s]
            for s, (low, high) in box.items()}  # fmt: skip
    polynomial = sp.Poly(sp.sympify(expression).subs(onto, simultaneous=True), *unit.values())
    table = np.zeros([polynomial.degree(v) + 1 for v in unit.values()], dtype=object)
    for powers, coefficient in polynomial.terms():
        table[powers] = Fraction(int(coefficient.p), int(coefficient.q))
    for axis, length in enumerate(table.shape):
        change = [[Fraction(math.comb(i, j), math.comb(length - 1, j)) for j in range(length)]
                  for i in range(length)]  # fmt: skip
        matrix = np.array(change, dtype=object)
        table = np.moveaxis(np.tensordot(matrix, table, axes=(1, axis)), 0, axis)
    todo = [(table, 0)]
    while todo:
        piece, depth = todo.pop()
        corners = piece[np.ix_(*[(0, -1)] * piece.ndim)]
        if corners.min() <= 0 or depth > 24:
            return False
        if piece.min() <= 0:
            todo += [(half, depth + 1) for half in _halves(piece, depth % piece.ndim)]
    return True


def _halves(table: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The Bernstein coefficients on the two halves of a box (de Casteljau)."""
    row = np.moveaxis(table, axis, 0)
    left, right = [row[0]], [row[-1]]
    while len(row) > 1:
        row = (row[:-1] + row[1:]) / 2
        left.append(row[0])
        right.append(row[-1])
    return np.moveaxis(np.stack(left), 0, axis), np.moveaxis(np.stack(right[::-1]), 0, axis)


def _enclose(expression: sp.Expr, variable: sp.Symbol, piece: Any) -> Any:
    """An interval that contains the expression's values on ``piece``."""
    if expression == variable:
        return piece
    if expression.is_Rational:
        return mpmath.iv.mpf(int(expression.p)) / int(expression.q)
    if isinstance(expression, sp.Pow) and expression.exp.is_Integer:
        return _enclose(expression.base, variable, piece) ** int(expression.exp)
    parts = [_enclose(argument, variable, piece) for argument in expression.args]
    if isinstance(expression, sp.Add):
        return sum(parts[1:], parts[0])
    if isinstance(expression, sp.Mul):
        return math.prod(parts[1:], start=parts[0])
    if isinstance(expression, (sp.exp, sp.log)):
        return getattr(mpmath.iv, expression.func.__name__)(parts[0])
    raise ValueError(f"no interval arithmetic for {expression.func.__name__} in {expression}")
