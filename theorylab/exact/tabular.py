"""``Tabular``: a counterexample on the line that a referee can check by hand.

A function of one variable whose gradient is linear between a few knots, with a few equally likely
stochastic gradients of the same kind. Its constants are read off the knots and attained, and
its runs are enumerated, in floats or in exact rationals.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy as sp
import torch

from bounds.evaluation import evaluate
from bounds.path import PathOf
from bounds.statement import Statement
from bounds.symbol import Measured
from theorylab.engine.step import follow
from theorylab.errors import AssumptionError, UsageError
from theorylab.exact import display
from theorylab.method.rule import UpdateRule, independent, round_starts
from theorylab.problem.oracle import Fed, Oracle
from theorylab.quantities.protocol import build_rule

__all__ = ["Moves", "Tabular", "integral", "moves_of", "rational", "tabulates"]

_MARGIN = 1e-6  # a counterexample violates by at least this, relatively
_PATHS = 1024


@dataclass(frozen=True)
class Tabular:
    """A statement's sides on a function of the line given by the slopes at its knots.

    Attributes
    ----------
    statement : Statement
    knots : tuple of float
        Increasing; beyond them slopes stay constant.
    slopes : tuple of tuple of float
        One row for each equally likely stochastic gradient: its values at the knots. F' is
        their mean. For relations between numbers both are empty.
    start : float
        ``w_0`` (``w_t`` of a one-round claim).
    values : mapping of str to float
        The hyperparameters.
    """

    statement: Statement
    knots: tuple[float, ...]
    slopes: tuple[tuple[float, ...], ...]
    start: float
    values: Mapping[str, float]

    def _repr_html_(self) -> str:
        return display.html(self)

    @property
    def violates(self) -> bool:
        """Whether the claim fails by more than rounding, inside the statement's domain."""
        if self._by_chance:
            return False
        try:
            small, large = self.sides()
        except (ValueError, KeyError, ArithmeticError, IndexError):
            return False
        if not (math.isfinite(small) and math.isfinite(large)):
            return False
        size = abs(small) + abs(large)
        gap = abs(small - large) if self.statement.claim.sense == "==" else small - large
        return gap > _MARGIN * size and size > 0

    @property
    def _by_chance(self) -> bool:
        """Whether the claim allows some runs to fail, of which the mean over all says nothing."""
        return self.statement.claim.mode == "with probability" and len(self.slopes) > 1

    @property
    def ratio(self) -> float:
        """The smaller-by-claim side over the larger."""
        small, large = self.sides()
        return small / large if large > 0 else math.inf

    def sides(self) -> tuple[float, float]:
        """The side that is claimed to be smaller, and the other."""
        claim = self.statement.claim
        table = {**self.known, **self.measured()}
        lhs, rhs = (_number(side, table) for side in (claim.lhs, claim.rhs))
        return (rhs, lhs) if claim.sense == ">=" else (lhs, rhs)

    @cached_property
    def known(self) -> dict[str, Any]:
        """Constants, hyperparameters and prescriptions; raises outside the domain.

        Raises
        ------
        AssumptionError
            If the knots do not certify what the statement assumes.
        """
        constants = self.constants() if self.knots else {}
        if self.knots:
            self._require_assumptions(constants)
        names = {s.name for s in (*self.statement.symbols, *self.statement.constants)}
        given = {k: v for k, v in {**constants, **self.values}.items() if k in names}
        return dict(self.statement.validate(given))

    def _require_assumptions(self, constants: Mapping[str, Any]) -> None:
        key = self.statement.key
        for assumption in self.statement.assumptions:
            missing = [s.name for s in assumption.constants if s.name not in constants]
            certified = bool(assumption.constants) and not missing
            if "convex" in (assumption.name, *assumption.implied_by):
                mean = [sum(column) for column in zip(*self.slopes, strict=True)]
                certified = all(p <= q for p, q in itertools.pairwise(mean))
            elif assumption.name == "per_sample":  # the constants are those of the mean
                certified = len(self.slopes) == 1
            if not certified:
                raise AssumptionError(
                    f"{key} assumes {assumption.name}; the knots do not certify it"
                )

    def constants(self, number: Callable[[Any], Any] = float) -> dict[str, Any]:
        """What the knots certify; each is attained."""
        x = [number(v) for v in self.knots]
        rows = [[number(v) for v in row] for row in self.slopes]
        mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        bends = [(q - p) / (v - u) for p, q, u, v in zip(mean, mean[1:], x, x[1:], strict=False)]
        variance = max(
            sum((row[k] - mean[k]) ** 2 for row in rows) / len(rows) for k in range(len(x))
        )
        root = math.sqrt if number is float else (lambda v: sp.sqrt(rational(v)))
        found = {
            "ell": max(abs(b) for b in bends), "L": max(*bends, bends[0]),
            "delta": max(-min(bends), number(0)), "G": max(abs(m) for m in mean),
            "sigma": root(variance), "n": len(rows), "d": 1,
        }  # fmt: skip
        at = list(x)  # the extremes lie here
        for k, bend in enumerate(bends):
            if bend != 0 and x[k] < x[k] - mean[k] / bend < x[k + 1]:
                at.append(x[k] - mean[k] / bend)
        values = [integral(w, x, mean) for w in at]
        lowest, start = min(values), number(self.start)
        if mean[0] <= 0 <= mean[-1]:
            found["Delta"] = integral(start, x, mean) - lowest
            found["R"] = abs(start - at[values.index(lowest)])
        if mean[0] == 0 == mean[-1]:
            found["Bf"] = (max(values) - lowest) / 2
        return found

    def measured(self, number: Callable[[Any], Any] = float) -> dict[str, Any]:
        """Every measured quantity of the claim, its expectation over all paths."""
        quantities = self.statement.claim.measured
        if not quantities:
            return {}
        x = [number(v) for v in self.knots]
        rows = [[number(v) for v in row] for row in self.slopes]
        mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        paths = self.paths(number)
        start = number(self.start)
        context = _Context(paths, x, mean, self.known, number, start)
        return {q.name: context.measured(q) for q in quantities}

    def paths(self, number: Callable[[Any], Any] = float) -> list[list[Any]]:
        """The iterates at each round's start and at the end, along every equally likely path."""
        moves = moves_of(self.statement, tuple(sorted(self.known_floats.items())))
        x = [number(v) for v in self.knots]
        rows = [[number(v) for v in row] for row in self.slopes]
        batch = self.statement.batch_size(self.known)
        steps = len(moves.weights)
        if len(rows) == 1:
            batch = 1
        if len(rows) ** (batch * steps) > _PATHS:
            raise UsageError("too many paths to enumerate")
        weights = [[_exact(c) if number is not float else c for c in row] for row in moves.weights]
        begins = set(moves.rounds)
        found = []
        for path in itertools.product(range(len(rows)), repeat=batch * steps):
            w, moved, kept = number(self.start), [], []
            for k in range(steps):
                if k in begins:
                    kept.append(w)
                picks = path[k * batch : (k + 1) * batch]
                g = sum(_slope(w, x, rows[i]) for i in picks) / batch
                if moves.normalised:
                    g = (g > 0) - (g < 0)
                moved.append(g)
                w = number(self.start) - sum(
                    c * v for c, v in zip(weights[k], moved, strict=False)
                )  # fmt: skip
            found.append([*kept, w])
        return found

    @cached_property
    def known_floats(self) -> dict[str, float]:
        return {k: float(v) for k, v in self.known.items() if np.ndim(v) == 0}

    def exceeds_exactly(self) -> bool:
        """Whether the claim fails for these very numbers, without rounding.

        Every float is taken for the binary fraction that it is; constants and paths are rational,
        and what is irrational in the claim is evaluated to fifty digits.
        """
        claim = self.statement.claim
        if self._by_chance:
            return False
        try:
            numbers: dict[str, Any] = {k: Fraction(float(v)) for k, v in self.values.items()}
            if self.knots:
                numbers |= self.constants(Fraction)
                numbers |= self.measured(Fraction)
            table = {k: v if isinstance(v, sp.Expr) else sp.Rational(v.numerator, v.denominator)
                     if isinstance(v, Fraction) else sp.sympify(v)
                     for k, v in numbers.items()}  # fmt: skip
            lhs, rhs = (_substitute(self.statement, s, table) for s in (claim.lhs, claim.rhs))
            gap = {"==": sp.Abs(lhs - rhs), "<=": lhs - rhs, ">=": rhs - lhs}[claim.sense]
            return bool(sp.N(gap, 50, maxn=400) > 0)
        except (ValueError, KeyError, ArithmeticError, TypeError, AttributeError):
            return False

    def confirm_exactly(self) -> tuple[sp.Expr, sp.Expr] | None:
        """Both sides in exact arithmetic if the claim fails there too, else ``None``."""
        claim = self.statement.claim
        try:
            numbers: dict[str, Any] = {k: _exact(v) for k, v in self.values.items()}
            if self.knots:
                numbers |= self.constants(_exact)
                numbers |= self.measured(_exact)
            table = {k: v if isinstance(v, sp.Expr) else rational(v) for k, v in numbers.items()}
            lhs, rhs = (_substitute(self.statement, s, table) for s in (claim.lhs, claim.rhs))
            small, large = (rhs, lhs) if claim.sense == ">=" else (lhs, rhs)
            fails = sp.Ne(small, large) if claim.sense == "==" else sp.Gt(small, large)
        except (ValueError, KeyError, ArithmeticError, TypeError):
            return None
        exact = not (small.atoms(sp.Float) or large.atoms(sp.Float))
        return (small, large) if exact and fails == True else None  # noqa: E712


@dataclass(frozen=True)
class _Context:
    paths: list[list[Any]]
    x: list[Any]
    mean: list[Any]
    known: Mapping[str, Any]
    number: Callable[[Any], Any]
    start: Any

    def measured(self, quantity: Measured) -> Any:
        if quantity.path is None:
            return _FORMULAS[quantity.name](self, quantity)
        first, *less = (self._part(part) for part in quantity.path.parts)
        return first - less[0] if less else first

    def _part(self, part: PathOf) -> Any:
        record, rounds = _RECORDS[part.atom], part.rounds(len(self.paths[0]) - 1)

        def one(path: list[Any]) -> Any:
            numbers = [record(self, path[k]) for k in rounds]
            if part.reduce in ("min", "max"):
                return min(numbers) if part.reduce == "min" else max(numbers)
            return sum(numbers) / len(numbers) if part.reduce == "mean" else sum(numbers)

        return one(self.paths[0]) if part.times == "0" else self.average(one)

    def average(self, function: Callable[[list[Any]], Any]) -> Any:
        return sum(function(path) for path in self.paths) / len(self.paths)

    def value(self, w: Any) -> Any:
        return integral(w, self.x, self.mean)

    def square(self, w: Any) -> Any:
        return _slope(w, self.x, self.mean) ** 2

    def parameter(self, quantity: Measured, name: str) -> Any:
        expression = quantity.parameters[name]
        if expression is None:
            raise UsageError(f"say what {name} is in {quantity.name}.bind({name}=...)")
        return self.number(float(evaluate(expression, self.known)))

    def proximal(self, quantity: Measured) -> Any:
        """``argmin F + (lam/2)(w - w_0)^2``: the zero of an increasing piecewise-linear slope."""
        lam, anchor = self.parameter(quantity, "lam"), self.paths[0][0]
        low = min(self.x[0], anchor) - max(abs(m) for m in self.mean) / lam
        high = max(self.x[-1], anchor) + max(abs(m) for m in self.mean) / lam
        cuts = [low, *self.x, high]
        for left, right in itertools.pairwise(cuts):
            p, q = (_slope(w, self.x, self.mean) + lam * (w - anchor) for w in (left, right))
            if p <= 0 <= q:
                return left if p == q else left - p * (right - left) / (q - p)
        raise UsageError("no proximal minimizer")


# Records of a whole run, at one of its points.
_RECORDS: Mapping[str, Callable[[_Context, Any], Any]] = {
    "value": lambda c, w: c.value(w),
    "gradient_norm": lambda c, w: abs(_slope(w, c.x, c.mean)),
    "gradient_l1_norm": lambda c, w: abs(_slope(w, c.x, c.mean)),
    "gradient_linf_norm": lambda c, w: abs(_slope(w, c.x, c.mean)),
    "gradient_norm_squared": lambda c, w: c.square(w),
    "distance": lambda c, w: abs(w - c.start),
    "distance_squared": lambda c, w: (w - c.start) ** 2,
}
_FORMULAS: Mapping[str, Callable[[_Context, Measured], Any]] = {
    "decrease": lambda c, q: c.average(lambda p: c.value(p[0]) - c.value(p[-1])),
    "gradient_norm_squared": lambda c, q: c.square(c.paths[0][0]),
    "next_gradient_norm_squared": lambda c, q: c.average(lambda p: c.square(p[-1])),
    "displacement_squared": lambda c, q: c.average(lambda p: (p[-1] - p[0]) ** 2),
    "inner_gradient_norm_squared": lambda c, q: c.average(
        lambda p: (_slope(p[-1], c.x, c.mean) + c.parameter(q, "lam") * (p[-1] - p[0])) ** 2
    ),
    "inner_distance_squared": lambda c, q: c.average(lambda p: (p[-1] - c.proximal(q)) ** 2),
    "start_distance_squared": lambda c, q: (c.paths[0][0] - c.proximal(q)) ** 2,
}


def tabulates(quantity: Measured) -> bool:
    """Whether the quantity is known on the line.

    >>> from bounds.quantities import buffer_norm, decrease, min_gradient_norm
    >>> [tabulates(q) for q in (decrease, min_gradient_norm, buffer_norm)]
    [True, True, False]
    """
    if quantity.path is None:
        return quantity.name in _FORMULAS
    return all(part.atom in _RECORDS for part in quantity.path.parts)


def _slope(w: Any, x: list[Any], slopes: list[Any]) -> Any:
    if w <= x[0]:
        return slopes[0]
    for k in range(len(x) - 1):
        if w <= x[k + 1]:
            return slopes[k] + (slopes[k + 1] - slopes[k]) * (w - x[k]) / (x[k + 1] - x[k])
    return slopes[-1]


def integral(w: Any, x: list[Any], slopes: list[Any]) -> Any:
    """The integral of the slope from the first knot."""
    total = slopes[0] * (min(w, x[0]) - x[0])
    for k in range(len(x) - 1):
        if w <= x[k]:
            break
        end = min(w, x[k + 1])
        total += (end - x[k]) * (slopes[k] + _slope(end, x, slopes)) / 2
    return total + slopes[-1] * (max(w, x[-1]) - x[-1])


# --- the method as numbers ----------------------------------------------------------------------
@dataclass(frozen=True)
class Moves:
    """``w_{k+1} = w_0 - sum_s weights[k][s] g_s``, with unit gradients if ``normalised``."""

    weights: tuple[tuple[float, ...], ...]
    rounds: tuple[int, ...]
    normalised: bool


@lru_cache(maxsize=512)
def moves_of(statement: Statement, values: tuple[tuple[str, float], ...]) -> Moves:
    """The statement's rule, which must be linear in its gradients or in their directions."""
    table = dict(values)
    rule = build_rule(statement, table)
    if rule.draws or rule.lags != 1 or not independent(rule):
        raise UsageError(f"{rule.name} consumes randomness of its own")
    starts = round_starts(rule, statement.rounds(table))
    if starts is None:
        raise UsageError(f"the rounds of {rule.name} are random or too long")
    rounds, steps = tuple(np.flatnonzero(starts).tolist()), len(starts)
    rng = np.random.default_rng(3)
    g = torch.from_numpy(rng.uniform(0.5, 2.0, (steps, 1)) * rng.choice([-1, 1], (steps, 1)))
    fed = torch.eye(steps + 1, dtype=torch.float64)
    rows = _walk(rule, fed[:1], [fed[k + 1 : k + 2] for k in range(steps)], starts)
    weights = tuple(tuple(-float(v) for v in row[0, 1 : k + 2]) for k, row in enumerate(rows))
    start = torch.full((1, 1), 0.7, dtype=torch.float64)
    actual = torch.stack(_walk(rule, start, [g[k : k + 1] for k in range(steps)], starts))
    for normalised in (False, True):
        felt = g.sign() if normalised else g
        model = [0.7 - sum(c * float(v) for c, v in zip(row, felt, strict=False))
                 for row in weights]  # fmt: skip
        if np.allclose(actual.ravel().numpy(), model, rtol=1e-9, atol=1e-12):
            return Moves(weights, rounds, normalised)
    raise UsageError(f"{rule.name} is linear neither in its gradients nor in their directions")


def _walk(
    rule: UpdateRule, w: torch.Tensor, gradients: list[torch.Tensor], starts: np.ndarray
) -> list[torch.Tensor]:
    """The iterates after each step, fed with given gradients."""

    def oracle_of(k: int, w: torch.Tensor) -> Oracle:
        return Fed(rule.name, w, gradients[k] if k >= 0 else None)

    return [w for w, _ in follow(rule, w, oracle_of, starts.tolist())][1:]


# --- exact arithmetic ---------------------------------------------------------------------------
def _exact(value: Any) -> Fraction:
    """The simple rational a float stands for: 0.1 means 1/10."""
    if isinstance(value, Fraction):
        return value
    number = float(value)
    simple = Fraction(number).limit_denominator(10**6)
    return simple if abs(float(simple) - number) <= 1e-12 * abs(number) else Fraction(number)


def rational(value: Any) -> sp.Expr:
    """A float as the rational number it is."""
    fraction = _exact(value)
    return sp.Rational(fraction.numerator, fraction.denominator)


def _substitute(statement: Statement, side: sp.Expr, table: Mapping[str, sp.Expr]) -> sp.Expr:
    expression = sp.sympify(side)
    for symbol, rule in reversed(list(statement.prescription.items())):
        if symbol.name not in table:
            expression = expression.subs(symbol, sp.sympify(rule))
    numbers = {s: table[s.name] for s in expression.free_symbols}
    return sp.nsimplify(expression.subs(numbers), rational=True)


def _number(side: sp.Expr, table: Mapping[str, Any]) -> float:
    return float(evaluate(side, table))
