"""Smooth functions of one variable as sympy expressions: on tensors, on intervals, their ranges."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Generic, TypeVar, final

import mpmath
import numpy as np
import sympy as sp
import torch
from torch import Tensor

from synthetic.elementwise import power
from synthetic.interval import Interval, supremum
from theorylab.errors import UsageError

__all__ = ["Extent", "SmoothFunction", "range_of"]

Value = TypeVar("Value")
_TAILS = (4.0, 32.0, 256.0, 4096.0)  # where monotone tails may begin
_GRID = np.concatenate([[0.0], *([s * 10.0**e for e in range(-6, 5)] for s in (-1, 1, -3, 3))])
_CLOSE = 4e-6  # so near the bound a value is said to attain it
_DIGITS = 40
_SIMPLE = 80  # operations


@final
@dataclass(frozen=True)
class Algebra(Generic[Value]):
    """What an expression is evaluated in; sums and products are the operators'."""

    number: Callable[[sp.Expr], Any]
    power: Callable[[Value, int], Value]
    sqrt: Callable[[Value], Value]
    softplus: Callable[[Value], Value]
    functions: dict[type, Callable[[Value], Value]]


def _tensor_power(x: Tensor, k: int) -> Tensor:
    return power(x, k) if k > 0 else power(x, -k).reciprocal()


def _tensor_softplus(x: Tensor) -> Tensor:
    return x.clamp_min(0) + torch.log1p(torch.exp(-x.abs()))


_TENSORS: Algebra[Tensor] = Algebra(
    number=float,
    power=_tensor_power,
    sqrt=torch.sqrt,
    softplus=_tensor_softplus,
    functions={sp.exp: torch.exp, sp.log: torch.log, sp.tanh: torch.tanh, sp.atan: torch.atan,
               sp.sin: torch.sin, sp.cos: torch.cos},
)  # fmt: skip


def _enclosed(number: sp.Expr) -> Interval:
    """A number, between the floats beside it unless it is one."""
    near = float(number)
    exact = number.is_Rational and sp.Rational(near) == number
    low, high = (near, near) if exact else (math.nextafter(near, -math.inf),
                                            math.nextafter(near, math.inf))  # fmt: skip
    return Interval(np.asarray(low), np.asarray(high))


_INTERVALS: Algebra[Interval] = Algebra(
    number=_enclosed,
    power=lambda x, k: x.power(k),
    sqrt=lambda x: x.sqrt(),
    softplus=lambda x: x.softplus(),
    functions={sp.exp: lambda x: x.exp(), sp.log: lambda x: x.log(), sp.tanh: lambda x: x.tanh(),
               sp.atan: lambda x: x.arctan(), sp.sin: lambda x: x.sin(),
               sp.cos: lambda x: x.cos()},
)  # fmt: skip


def _walk(expression: sp.Expr, x: Any, algebra: Algebra[Any]) -> Any:
    if expression.is_Symbol:
        return x
    if not expression.args or expression.is_number:
        return algebra.number(expression)
    if expression.func is sp.log and (inner := _softplus_of(expression.args[0])) is not None:
        return algebra.softplus(_walk(inner, x, algebra))
    if expression.is_Pow:
        base, exponent = expression.args
        if exponent.is_Integer:
            return algebra.power(_walk(base, x, algebra), int(exponent))
        return algebra.power(algebra.sqrt(_walk(base, x, algebra)), int(2 * exponent))
    parts = [_walk(part, x, algebra) for part in expression.args]
    if expression.is_Add:
        return reduce(lambda a, b: a + b, parts)
    if expression.is_Mul:
        return reduce(lambda a, b: a * b, parts)
    return algebra.functions[expression.func](*parts)


def _at(expression: sp.Expr, x: Tensor) -> Tensor:
    """The values in a tensor of their own."""
    found = _walk(expression, x, _TENSORS)
    if not isinstance(found, Tensor):
        return torch.full_like(x, found)
    return found.clone() if found is x else found


def _softplus_of(inside: sp.Expr) -> sp.Expr | None:
    """The u of ``log(1 + exp(u))``."""
    if inside.is_Add and len(inside.args) == 2 and sp.S.One in inside.args:
        (other,) = [part for part in inside.args if part != 1]
        if other.func is sp.exp:
            return other.args[0]
    return None


def _by_tanh(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """With ``exp(c x) = (1 + t)/(1 - t)``, ``t = tanh(c x/2)``, which never overflows."""
    rates = {part.args[0] / x for part in expression.atoms(sp.exp)}
    if not rates or not all(rate.is_Rational for rate in rates):
        return expression
    c = reduce(sp.gcd, rates)
    t = sp.Dummy("t", real=True)
    ratio = (1 + t) / (1 - t)
    replaced = expression.xreplace({sp.exp(r * x): ratio ** sp.Integer(r / c) for r in rates})
    return sp.factor(sp.together(replaced)).xreplace({t: sp.tanh(c * x / 2)})


def _refused(expression: sp.Expr) -> str | None:
    """The first part that cannot be evaluated here, as text."""
    for part in sp.preorder_traversal(expression):
        if part.is_Symbol or part.is_Add or part.is_Mul:
            continue
        if part.is_number and part.is_real and part.is_finite:
            continue
        if part.is_Pow and (2 * part.args[1]).is_Integer:
            continue
        if part.func in _TENSORS.functions:
            continue
        return str(part)
    return None


@final
@dataclass(frozen=True)
class Extent:
    """A range, and whether its two ends are reached (or approached) to a few parts in a million."""

    lower: float
    upper: float
    lowest: bool = False
    highest: bool = False


@final
@dataclass(frozen=True)
class SmoothFunction:
    """An expression in one real symbol, in forms that are equal where all are defined.

    Parameters
    ----------
    expression : sympy expression
        Of sums, products, powers (whole or half), ``exp``, ``log``, ``tanh``, ``atan``, ``sin``
        and ``cos``; others are rewritten by these where sympy can.

    Raises
    ------
    UsageError
        If it has another number of symbols, or a part that is none of these.

    Examples
    --------
    >>> x = sp.Symbol("x")
    >>> extent = range_of(SmoothFunction.of(x / (1 + x**2)))
    >>> -0.500001 < extent.lower <= -0.5 and 0.5 <= extent.upper < 0.500001
    True
    """

    expression: sp.Expr
    symbol: sp.Symbol

    @staticmethod
    def of(expression: sp.Expr) -> SmoothFunction:
        """The function; its floats are read as the decimals that they print as."""
        if not isinstance(expression, sp.Expr):
            raise UsageError(f"expected a sympy expression, got {str(expression)[:80]!r}")
        free = sorted(expression.free_symbols, key=str)
        if len(free) != 1:
            raise UsageError(f"expected an expression in one symbol, got {len(free)}: {expression}")
        symbol = sp.Symbol("x", real=True)
        exact = sp.nsimplify(expression.xreplace({free[0]: symbol}), rational=True)
        exact = exact.rewrite([sp.sinh, sp.cosh], sp.exp)
        if (odd := _refused(exact)) is not None:
            raise UsageError(
                f"{odd} in {expression}: expected sums, products, whole or half powers, exp, log, "
                "tanh, atan, sin and cos"
            )
        return SmoothFunction(exact, symbol)

    def derivative(self) -> SmoothFunction:
        """The derivative, by sympy."""
        return SmoothFunction(sp.diff(self.expression, self.symbol), self.symbol)

    @cached_property
    def forms(self) -> tuple[sp.Expr, ...]:
        """Ways to write it; each encloses the same range, and the narrowest counts."""
        raw = self.expression
        tried = [raw]
        if sp.count_ops(raw) <= _SIMPLE:  # sympy takes minutes over long ones
            short = sp.simplify(raw)
            tried += [sp.factor(sp.together(raw)), short, sp.factor(short),
                      _by_tanh(raw, self.symbol)]  # fmt: skip
        kept = [f for f in dict.fromkeys(tried) if _refused(f) is None and self._equal(f)]
        return tuple(kept)

    def _equal(self, form: sp.Expr) -> bool:
        """Whether another form has the same values; sympy is not trusted blindly."""
        return all(
            abs(a - b) <= 1e-25 * (1 + abs(a))
            for point in (-7.3, -1.1, -0.2, 0.3, 1.7, 5.9)
            for a, b in [(_precise(self.expression, self.symbol, point),
                          _precise(form, self.symbol, point))]
            if mpmath.isfinite(a)
        )  # fmt: skip

    def enclose(self, box: Interval) -> Interval:
        """An interval that contains the range over each box."""
        shape = np.broadcast(box.lower, box.upper).shape
        found = []
        for form in self.forms:
            part = _walk(form, box, _INTERVALS)
            found.append(Interval(np.broadcast_to(part.lower, shape),
                                  np.broadcast_to(part.upper, shape)))  # fmt: skip
        return reduce(lambda a, b: a.intersect(b), found)

    @cached_property
    def steady(self) -> sp.Expr:
        """The form to evaluate: one that is a number at every point of a wide grid.

        Raises
        ------
        UsageError
            If there is none.
        """
        grid = torch.tensor(_GRID)
        counts = [int(_at(form, grid).isnan().sum()) for form in self.forms]
        best = min(range(len(counts)), key=counts.__getitem__)
        if counts[best]:
            bad = grid[_at(self.forms[best], grid).isnan()][0]
            raise UsageError(f"{self.expression} is no number at x = {float(bad):g}")
        return self.forms[best]

    def __call__(self, x: Tensor) -> Tensor:
        """The values, elementwise, in a tensor of its own."""
        return _at(self.steady, x)


def _precise(expression: sp.Expr, symbol: sp.Symbol, point: float) -> Any:
    """The value with 40 digits; ``nan`` where there is none."""
    with mpmath.workdps(_DIGITS):
        value = sp.N(expression.subs(symbol, sp.Rational(point)), _DIGITS)
        real = value.is_real and value.is_finite
        return mpmath.mpf(value) if real else mpmath.nan


def range_of(function: SmoothFunction, lower: float = -math.inf, upper: float = math.inf) -> Extent:
    """A certified range over a box ``[lower, upper]``, a ray or the line, rounded outwards.

    A tail on which the derivative has one sign (by interval arithmetic up to infinity) ranges from
    its first value to its limit; the rest is searched by branch and bound. What cannot be
    enclosed is infinite, and certifies nothing.
    """
    parts = []
    left, right = lower, upper
    if math.isinf(upper):
        part, right = _tail(function, max(lower, -_TAILS[-1]))
        parts.append(part)
    if math.isinf(lower):
        mirrored = function.expression.subs(function.symbol, -function.symbol)
        part, start = _tail(SmoothFunction(mirrored, function.symbol), max(-upper, -_TAILS[-1]))
        parts.append(part)
        left = -start
    if left < right:
        parts.append(_on_box(function, left, right))
    low, high = min(p.lower for p in parts), max(p.upper for p in parts)
    near = _CLOSE * max(abs(low) if math.isfinite(low) else 0.0,
                        abs(high) if math.isfinite(high) else 0.0)  # fmt: skip
    return Extent(
        low, high,
        any(p.lowest and p.lower <= low + near for p in parts),
        any(p.highest and p.upper >= high - near for p in parts),
    )  # fmt: skip


def _on_box(function: SmoothFunction, lower: float, upper: float) -> Extent:
    ends = np.array([lower, upper])
    grid = np.concatenate([ends, _GRID[(lower < _GRID) & (upper > _GRID)]])
    at = function.enclose(Interval.of(grid))
    if not (np.isfinite(at.lower).all() and np.isfinite(at.upper).all()):
        return Extent(-math.inf, math.inf)
    sizes = np.concatenate([np.abs(at.lower), np.abs(at.upper)])
    scale = float(np.max(sizes, initial=1e-300))
    high, top = supremum(function.enclose, lower, upper, scale=scale)
    low, bottom = supremum(lambda box: -function.enclose(box), lower, upper, scale=scale)
    slack = _CLOSE * scale
    return Extent(-low, high, low - bottom <= slack, high - top <= slack)


def _tail(function: SmoothFunction, least: float) -> tuple[Extent, float]:
    """The range over ``[start, inf)``, and the start: the first from which it is monotone."""
    slope = function.derivative()
    starts = [s for s in _TAILS if s >= least] or [max(least, _TAILS[-1])]
    for start in starts:
        sign = slope.enclose(Interval(np.array([start]), np.array([np.inf])))
        rising, falling = bool(sign.lower[0] >= 0), bool(sign.upper[0] <= 0)
        if not (rising or falling):
            continue
        ends = _limit(function, start, rising)
        first = function.enclose(Interval.of(np.array([start])))
        if ends is not None:
            low = min(ends[0], float(first.lower[0]))
            high = max(ends[1], float(first.upper[0]))
            return Extent(low, high, True, True), start
    start = starts[-1]
    whole = function.enclose(Interval(np.array([start]), np.array([np.inf])))
    return Extent(float(whole.lower[0]), float(whole.upper[0])), start


def _limit(function: SmoothFunction, start: float, rising: bool) -> tuple[float, float] | None:
    """Between which floats the limit at infinity lies; ``None`` if it is not known."""
    try:
        limit = sp.limit(function.expression, function.symbol, sp.oo)
    except (NotImplementedError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    if limit in (sp.oo, -sp.oo):
        return (math.inf, math.inf) if limit == sp.oo else (-math.inf, -math.inf)
    if not (limit.is_number and limit.is_real and limit.is_finite):
        return None
    end = _enclosed(limit)
    # Of a monotone function no value passes the limit: a wrong one would show.
    for point in (start, 2 * start, 10 * start, 1e3 * start):
        value = _precise(function.expression, function.symbol, point)
        passed = value > float(end.upper) if rising else value < float(end.lower)
        if not mpmath.isfinite(value) or passed:
            return None
    return float(end.lower), float(end.upper)
