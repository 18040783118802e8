"""Orders that follow by algebra: an O(.) claim of which a proven explicit bound is one instance.

If a repaired statement bounds the same quantity of the same runs by an explicit expression, and
that expression over the printed one stays bounded along the statement's rate, the printed order is
true, whatever a fit over the sizes within reach may say.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import sympy as sp

from bounds.claim import DomainError
from bounds.evaluation import evaluate
from bounds.statement import Statement
from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.quantities.protocol import build_rule

__all__ = ["Leading", "Unknown", "covers", "leading", "proven_order", "replayed"]

_SAME = 1e-9
_TIMES = (1, 2, 3, 10, 97)


class Unknown(ArithmeticError):
    """The leading behaviour could not be read off."""


@dataclass(frozen=True)
class Leading:
    """An expression behaves like ``factor x**power log(x)**logs`` as x grows."""

    factor: float
    power: float = 0.0
    logs: float = 0.0

    @property
    def constant(self) -> bool:
        """Whether it tends to a number other than 0."""
        return self.power == self.logs == 0

    def above(self, other: Leading) -> bool:
        """Whether it grows strictly faster."""
        if abs(self.power - other.power) > _SAME:
            return self.power > other.power
        return self.logs > other.logs + _SAME

    def times(self, other: Leading) -> Leading:
        """The product's behaviour."""
        return Leading(self.factor * other.factor, self.power + other.power, self.logs + other.logs)


def leading(expression: sp.Expr, x: sp.Symbol, values: Mapping[str, float]) -> Leading:
    """How ``expression`` behaves as ``x`` grows, its other symbols at ``values``.

    Products add exponents, a sum takes the largest, logarithms count apart, and rounding up or
    down changes nothing of what grows.

    Raises
    ------
    Unknown
        Where leading terms cancel, or a function is not one of those known here.

    Examples
    --------
    >>> n, a = sp.symbols("n a", positive=True)
    >>> leading(3 * n**a / (n - 1) + sp.ceiling(n) * sp.log(n) / n**2, n, {"a": 0.5})
    Leading(factor=3.0, power=-0.5, logs=0.0)
    """
    if x not in expression.free_symbols:
        value = float(evaluate(expression, values))
        if not math.isfinite(value):
            raise Unknown(f"{expression} is {value}")
        return Leading(value)
    if expression == x:
        return Leading(1.0, 1.0)
    parts = expression.args
    if isinstance(expression, sp.Mul):
        return reduce(Leading.times, (leading(part, x, values) for part in parts))
    if isinstance(expression, sp.Add):
        return _sum([leading(part, x, values) for part in parts])
    if isinstance(expression, (sp.Pow, sp.exp)):
        base, exponent = expression.as_base_exp()
        return _power(leading(base, x, values), _limit(exponent, x, values))
    if isinstance(expression, sp.log):
        return _logarithm(leading(parts[0], x, values))
    if isinstance(expression, (sp.ceiling, sp.floor)):
        inner = leading(parts[0], x, values)
        if inner.power <= 0:
            raise Unknown(f"{expression} need not grow")
        return inner
    if isinstance(expression, (sp.Max, sp.Min)):
        found = [leading(part, x, values) for part in parts]
        largest = isinstance(expression, sp.Max)
        return reduce(lambda a, b: _extreme(a, b, largest), found)
    raise Unknown(f"no leading term of {type(expression).__name__}")


def _sum(terms: Sequence[Leading]) -> Leading:
    terms = [term for term in terms if term.factor != 0]
    if not terms:
        return Leading(0.0)
    first = reduce(lambda a, b: b if b.above(a) else a, terms)
    tied = [term for term in terms if not first.above(term)]
    factor, size = sum(t.factor for t in tied), sum(abs(t.factor) for t in tied)
    if abs(factor) <= _SAME * size:
        raise Unknown("leading terms cancel")
    return Leading(factor, first.power, first.logs)


def _power(base: Leading, exponent: float) -> Leading:
    if base.factor == 0 or (base.factor < 0 and exponent != round(exponent)):
        raise Unknown("a power of what may vanish or be negative")
    return Leading(base.factor**exponent, base.power * exponent, base.logs * exponent)


def _limit(exponent: sp.Expr, x: sp.Symbol, values: Mapping[str, float]) -> float:
    """The limit of an exponent that comes to it like a power of 1/x: x to the difference is 1."""
    total = 0.0
    for term in sp.Add.make_args(sp.expand(exponent)):
        found = leading(term, x, values)
        if x not in term.free_symbols:
            total += found.factor
        elif found.factor != 0 and found.power >= 0:
            raise Unknown(f"the exponent {exponent} moves")
    return total


def _logarithm(inner: Leading) -> Leading:
    if inner.factor <= 0 or (inner.power == 0 and inner.logs != 0):
        raise Unknown("the logarithm of what is not a power")
    if inner.power != 0:
        return Leading(inner.power, 0.0, 1.0)
    if abs(math.log(inner.factor)) <= _SAME:
        raise Unknown("the logarithm of what tends to 1")
    return Leading(math.log(inner.factor))


def _extreme(a: Leading, b: Leading, largest: bool) -> Leading:
    if a.factor <= 0 or b.factor <= 0:
        raise Unknown("the larger of numbers that may be negative")
    if a.above(b) or b.above(a):
        return a if a.above(b) == largest else b
    return a if (a.factor >= b.factor) == largest else b


def covers(repaired: Statement, printed: Statement, tables: Sequence[Mapping[str, Any]]) -> bool:
    """Whether ``repaired`` speaks of the same quantity of the same runs at every table of values.

    What it has beyond the printed form (a unit of length, say) is put at 1.
    """
    if repaired.claim.big_o or printed.claim.sense != repaired.claim.sense:
        return False
    if printed.claim.lhs != repaired.claim.lhs or not printed.claim.measured:
        return False
    if printed.algorithm is None or repaired.algorithm is None:
        return printed.algorithm is repaired.algorithm
    if printed.algorithm.rule != repaired.algorithm.rule:
        return False
    try:
        return all(_same_run(repaired, printed, table) for table in tables)
    except (DomainError, UsageError, KeyError, ArithmeticError):
        return False


def _same_run(repaired: Statement, printed: Statement, table: Mapping[str, Any]) -> bool:
    theirs = repaired.validate(_table(repaired, table))
    lengths = (printed.rounds(table), repaired.rounds(theirs))
    batches = (printed.batch_size(table), repaired.batch_size(theirs))
    if not all(math.isclose(*pair, rel_tol=_SAME) for pair in (lengths, batches)):
        return False
    one, other = build_rule(printed, table), build_rule(repaired, theirs)
    return all(
        _same_setting(getattr(one, field.name), getattr(other, field.name))
        for field in dataclasses.fields(one)
    )


def _same_setting(one: Any, other: Any) -> bool:
    if not (callable(one) or callable(other)):
        return bool(one == other) or (
            isinstance(one, float) and math.isclose(one, other, rel_tol=_SAME)
        )

    def at(setting: Any, t: int) -> float:
        return float(setting(t) if callable(setting) else setting)

    return all(math.isclose(at(one, t), at(other, t), rel_tol=_SAME) for t in _TIMES)


def _table(statement: Statement, table: Mapping[str, Any]) -> dict[str, float]:
    """The statement's own symbols: from ``table``, and 1 for what that lacks."""
    return {s.name: float(table.get(s.name, 1.0)) for s in (*statement.symbols,
                                                           *statement.constants)}  # fmt: skip


def _closed(statement: Statement, along: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    """The statement's right side with prescriptions and the rate's course put in."""
    expression = statement.claim.rhs
    for symbol, value in reversed(list(statement.prescription.items())):
        expression = expression.subs(symbol, sp.sympify(value))
    return expression.subs({k: sp.sympify(v) for k, v in along.items()}, simultaneous=True)


def proven_order(
    printed: Statement,
    tables: Sequence[Mapping[str, Any]],
    certified: Callable[[Statement], bool] = lambda statement: True,
) -> Statement | None:
    """The repaired statement of which the printed order is a consequence, if there is one.

    Parameters
    ----------
    printed : Statement
        An O(.) claim with a rate.
    tables : sequence of mapping
        All its values at each size of an experiment, the largest last: the repaired statement
        must cover all of them.
    certified : callable
        Whether the objective certifies what a repaired statement assumes.

    Returns
    -------
    Statement or None
        A repaired statement under the printed key (or one under it) whose bound, divided by the
        printed one, stays bounded along the rate.
    """
    rate = printed.rate
    if rate is None or not tables:
        return None
    for (key, form), repaired in registry.statements().items():
        if form != "repaired" or not (key + ".").startswith(printed.key + "."):
            continue
        if not (certified(repaired) and covers(repaired, printed, tables)):
            continue
        largest = {k: v for k, v in tables[-1].items() if k != rate.scale.name}
        try:
            ours = leading(_closed(printed, rate.along), rate.scale, largest)
            theirs = leading(_closed(repaired, rate.along), rate.scale,
                             {**_table(repaired, tables[-1]), **largest})  # fmt: skip
        except (Unknown, KeyError, TypeError, OverflowError):
            continue
        if ours.factor > 0 and not theirs.above(ours):
            return repaired
    return None


@lru_cache(maxsize=512)
def replayed(statement: Statement) -> bool:
    """Whether the statement has proof steps and sympy confirms every one."""
    return bool(statement.proof) and all(step.holds() for step in statement.proof)
