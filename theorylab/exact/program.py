"""A semidefinite program: a function of a class, a path of a method, and what is measured."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np

from bounds.evaluation import evaluate
from bounds.path import PathOf
from bounds.statement import Statement
from bounds.symbol import Measured
from theorylab.errors import UsageError
from theorylab.exact.coefficients import Path, unroll
from theorylab.exact.function_class import FunctionClass, interpolation, pepit, simple_part
from theorylab.quantities.protocol import build_rule

__all__ = ["MODELLED", "Program", "modelled"]

SOLVER = "CLARABEL"


@final
class Program:
    """A PEPit problem: a function of the class, a path of the method, and the quantities.

    Where both sides of a claim are measured their ratio is maximised, which needs no scale: the
    larger side is held at 1, and every constraint that fixes a scale (``F(w_0) - inf F <=
    Delta``, ``||v||^2 <= sigma^2``, ...) is multiplied by an unknown ``unit >= 0`` (the
    Charnes-Cooper form of a linear-fractional program). Otherwise ``unit`` is 1.

    Parameters
    ----------
    statement : Statement
    values : mapping of str to float
    fractional : bool
        Whether both sides are measured.
    warm : int
        How many rounds come before the one that a one-round claim speaks about.
    """

    values: Mapping[str, float]
    simple: Any
    by_distance: bool
    scaled: bool
    translates: bool
    unit: Any
    minimizer: Any
    minimum: Any
    start: Any
    variance: float
    measured: dict[str, Measured]
    points: list[list[Any]]
    outputs: list[list[Any]]
    twins: list[list[Any]]
    parents: tuple[np.ndarray, ...]
    visited: list[tuple[Any, Any, Any]]
    noises: list[tuple[Any, Any]]

    def __init__(
        self, statement: Statement, values: Mapping[str, float], fractional: bool, warm: int = 0
    ) -> None:
        self._begin(FunctionClass.of(statement, values))
        self.values = values
        names = {s.name for s in statement.symbols} | {s.name for s in statement.constants}
        self.measured = {s.name: s for s in statement.claim.measured}
        measured = set(self.measured)
        # A distance is held at 1 through its square, which has units of its own.
        self.by_distance = fractional and measured <= _DISTANCES
        if fractional:
            self.unit = self.pepit.Expression()
            self.require(self.unit >= 0)
        if names & {"Delta", "Bf", "R"} or any(map(_needs_minimum, self.measured.values())):
            self.minimizer, self.minimum = self._stationary()
        if statement.algorithm is not None:
            self._run(statement, values, names, measured, warm)
        else:
            self.points = [[self._point()], [self._point()]]
            self.start = self.points[0][0]
        if "Delta" in names:
            first = self.value(self.start)
            self.require(first - self.minimum <= values["Delta"] * self.unit)
        if "R" in names:
            self.require((self.start - self.minimizer) ** 2 <= values["R"] ** 2 * self.unit)

    def _run(
        self, statement: Statement, values: Mapping[str, float], names: set[str],
        measured: set[str], warm: int,
    ) -> None:  # fmt: skip
        sigma = values.get("sigma", 0.0) if "sigma" in names else 0.0
        batch = statement.batch_size(values)
        assert statement.algorithm is not None
        for symbol in statement.algorithm.horizon.free_symbols:
            if math.isinf(values.get(symbol.name, 1)):
                raise UsageError(f"{statement.key}: a worst case needs a finite {symbol.name}, "
                                 f"got {values[symbol.name]}")  # fmt: skip
        rounds = statement.rounds(values) + warm
        rule = build_rule(statement, values)
        path = unroll(rule, rounds, sigma > 0, warm)
        self.variance = sigma**2 / batch
        self.translates = path.moves_along
        if measured & _TWINS:
            # Both runs see the same samples: one function of the class, no noise between.
            path = unroll(rule, 1, noisy=False)
            self.twins, _ = self.follow(path, 0.0)
        whole, returned = self.follow(path, self.variance)
        self.start = whole[0][0]
        if self.family.simple == "convex set":
            self.simple.value(self.start)  # a run begins inside
        self.parents, self.points = path.parents[warm:], whole[warm:]
        self.outputs = returned[warm:]

    @classmethod
    def bare(cls, family: FunctionClass) -> Program:
        """A problem with a function alone, for constraints and an objective of one's own."""
        program = cls.__new__(cls)
        program._begin(family)
        return program

    def _begin(self, family: FunctionClass) -> None:
        self.pepit = pepit()
        self.family = family
        self.pep = self.pepit.PEP()
        self.function = self.pep.declare_function(interpolation(family))
        self.simple = None
        if family.simple != "none":
            self.simple = self.pep.declare_function(simple_part(family, lambda: self.unit))
        self.one = self.pepit.Expression(is_leaf=False, decomposition_dict={1: 1.0})
        self.unit = self.one
        self.by_distance = self.scaled = False
        self.values = {}
        self.minimizer = None
        self.minimum = None
        self.start = None
        self.variance = 0.0
        self.translates = True  # no account of the origin
        self.measured = {}
        self.points = []
        self.outputs = []
        self.twins = []
        self.parents = ()
        self.visited = []
        self.noises = []  # where, and the noise's vector
        self._proximal: dict[float, Any] = {}

    def require(self, constraint: Any) -> None:
        self.pep.add_constraint(constraint)

    def maximise(self, expression: Any) -> None:
        self.pep.set_performance_metric(expression)

    def at(self, point: Any) -> tuple[Any, Any]:
        """Gradient and value at a point."""
        known = self.function._is_already_evaluated_on_point(point=point)
        gradient, value = self.function.oracle(point)
        if not known:
            self.visited.append((point, gradient, value))
        return gradient, value

    def value(self, point: Any) -> Any:
        """F at a point: f, and the simple part where there is one."""
        own = self.at(point)[1]
        return own if self.simple is None else own + self.simple.value(point)

    def follow(self, path: Path, variance: float) -> tuple[list[list[Any]], list[list[Any]]]:
        """The iterates of a path and what it would return there, from a start of its own."""
        basis: list[Any] = [None] * path.unknowns
        basis[0] = self._point()
        for held in path.held:
            basis[held.unknown] = self._point()

        def combine(row: np.ndarray) -> Any:
            terms = [float(c) * basis[i] for i, c in enumerate(row) if abs(c) > 1e-14]
            total = terms[0] if terms else 0 * basis[0]
            for term in terms[1:]:
                total = total + term
            return total

        for call in path.calls:
            where = combine(call.where)
            basis[call.gradient] = self.at(where)[0]
            if call.noise is not None:
                basis[call.noise] = self._point()
                self.require(basis[call.noise] ** 2 <= variance * self.unit)
                self.noises.append((where, basis[call.noise]))
        for held in path.held:
            where, subgradient = combine(held.where), combine(held.subgradient)
            self.simple.add_point((where, subgradient, self.pepit.Expression()))
        points = [[combine(row) for row in rows] for rows in path.rounds]
        same = [np.array_equal(w, out) for w, out in zip(path.rounds, path.outputs, strict=True)]
        outputs = [
            w if equal else [combine(row) for row in rows]
            for w, rows, equal in zip(points, path.outputs, same, strict=True)
        ]
        return points, outputs

    def expression(self, total: Any, coefficients: Mapping[str, float], concave: bool) -> Any:
        """An affine combination of quantities; auxiliary ones may only be pushed up."""
        total = total * self.unit
        for name, coefficient in coefficients.items():
            path = self.measured[name].path if name in self.measured else None
            if path is not None and _affine(path):
                term = _whole_run(self, path)
            elif name in _QUANTITIES:
                term = _QUANTITIES[name](self)
            elif concave and coefficient >= 0:
                term = _CONCAVE[name](self) if path is None else _from_below(self, path)
            else:
                raise UsageError(f"worst case: {name} must stand on the smaller side of the claim")
            total = coefficient * term + total
        return total

    def hold(self, constant: float, large: Mapping[str, float]) -> None:
        """Hold the larger side at 1 or below."""
        if self.by_distance:
            between = self.points[0][0] - self.twins[0][0]
            self.require(between**2 <= 1 / large["twin_distance"] ** 2)
        else:
            self.require(self.expression(constant, large, concave=False) <= 1)

    def hold_gradients(self) -> None:
        """Hold the sum of all squared gradients at 1 or below, for claims without a scale."""
        self.scaled = True

    def norm(self, square: Any) -> Any:
        """An unknown that may be pushed up to the root of ``square``."""
        root = self.pepit.Expression()
        scale = self.one if self.by_distance else self.unit
        self.pep.add_psd_matrix([[square, root], [root, scale]])
        return root

    def parameter(self, quantity: str, name: str) -> float:
        """What the statement binds a parameter of a quantity's definition to."""
        expression = self.measured[quantity].parameters[name]
        if expression is None:
            raise UsageError(f"worst case: say what {name} is in {quantity}.bind({name}=...)")
        return float(evaluate(expression, self.values))

    def proximal(self, quantity: str) -> Any:
        """``argmin f + (lam/2)||w - w_t||^2`` from the optimality condition."""
        lam = self.parameter(quantity, "lam")
        if lam not in self._proximal:
            gradient, value = self._point(), self.pepit.Expression()
            point = self.points[0][0] - gradient / lam
            self.function.add_point((point, gradient, value))
            self.visited.append((point, gradient, value))
            self._proximal[lam] = point
        return self._proximal[lam]

    def mean(self, function: Callable[[Any], Any], round_: int) -> Any:
        return _mean(function, self.points[round_])

    def solve(self) -> tuple[float, float, str]:
        """Primal value, dual value and the solver's status."""
        self._bounds()
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dual = self.pep.solve(wrapper="cvxpy", solver=SOLVER, verbose=0)
            except Exception as error:  # cvxpy wraps a solver's failure in its own classes
                if type(error).__name__ == "SolverError":
                    return math.nan, math.nan, "solver error"
                raise
        status = str(self.pep.wrapper.prob.status)
        if dual is None:
            unbounded = "unbounded" in status
            return (math.inf, math.inf, status) if unbounded else (math.nan, math.nan, status)
        return float(self.pep.objective.eval()), float(dual), status

    def _bounds(self) -> None:
        if self.scaled:
            squares = [gradient**2 for _, gradient, _ in self.visited]
            self.require(sum(squares[1:], squares[0]) <= 1)
        for _, gradient, value in self.visited:
            if self.minimum is not None and self.simple is None:
                # The infimum lies below what one gradient step reaches.
                self.require(self.minimum <= value - gradient**2 / (2 * self.family.upper))
            if self.family.gradient is not None:
                self.require(gradient**2 <= self.family.gradient**2 * self.unit)
            if self.family.value is not None:
                lift: Any = 0.0
                if -math.inf < self.family.lower < 0:
                    lift = gradient**2 / (-2 * self.family.lower)
                self.require(value + lift <= self.family.value * self.unit)
        if self.family.value is not None and self.minimum is not None:
            self.require(self.minimum >= -self.family.value * self.unit)

    def _stationary(self) -> tuple[Any, Any]:
        point, value = self._point(), self.pepit.Expression()
        if self.simple is None:
            self.function.add_point((point, 0 * point, value))
            return point, value
        # A subgradient of the simple part is the gradient's opposite.
        gradient, added = self._point(), self.pepit.Expression()
        self.function.add_point((point, gradient, value))
        self.visited.append((point, gradient, value))
        self.simple.add_point((point, -gradient, added))
        return point, value + added

    def _point(self) -> Any:
        return self.pepit.Point()


def _mean(function: Callable[[Any], Any], rows: Sequence[Any]) -> Any:
    total = function(rows[0])
    for row in rows[1:]:
        total = total + function(row)
    return total / len(rows)


def _square_gradient(program: Program, round_: int) -> Any:
    return program.mean(lambda w: program.at(w)[0] ** 2, round_)


def _whole_run(program: Program, path: PathOf) -> Any:
    """A path that is affine in the unknowns."""
    first, *less = (_part(program, part) for part in path.parts)
    return first - less[0] if less else first


def _part(program: Program, part: PathOf) -> Any:
    record, rounds = _RECORDS[_atom(part)], part.rounds(len(program.points) - 1)
    points = _points(program, part)
    terms = [_mean(lambda w: record(program, w), points[k]) for k in rounds]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total / len(terms) if part.reduce == "mean" else total


def _from_below(program: Program, path: PathOf) -> Any:
    """An unknown that may be pushed up to a least value over time, or to lengths."""
    if path.reduce == "min":
        return _smallest(program, path)
    rounds, points = path.rounds(len(program.points) - 1), _points(program, path)
    weight = len(rounds) if path.reduce == "mean" else 1
    total: Any = None
    for k in rounds:
        for w in points[k]:
            term = _value(program, path, w) / (weight * len(points[k]))
            total = term if total is None else total + term
    return total


def _smallest(program: Program, path: PathOf) -> Any:
    """The mean of a least value over time: one unknown a path, below it at each round."""
    rounds, points = path.rounds(len(program.points) - 1), _points(program, path)
    last = len(program.points) - 1
    total: Any = None
    for leaf in range(len(points[last])):
        least = program.pepit.Expression()
        row = leaf
        for k in range(last, -1, -1):
            if k in rounds:
                program.require(least <= _value(program, path, points[k][row]))
            row = int(program.parents[k][row]) if k else 0
        total = least if total is None else total + least
    return total / len(points[last])


def _value(program: Program, path: PathOf, w: Any) -> Any:
    """A record at one point; a length is an unknown that may be pushed up to it."""
    atom = _atom(path)
    if atom in _RECORDS:
        return _RECORDS[atom](program, w)
    return program.norm(_RECORDS[f"{atom}_squared"](program, w))


def _atom(path: PathOf) -> str:
    return path.atom.removeprefix("output.")


def _points(program: Program, path: PathOf) -> list[list[Any]]:
    return program.outputs if path.record.startswith("output.") else program.points


def _affine(path: PathOf) -> bool:
    return all(_atom(p) in _RECORDS and p.reduce in ("at", "mean", "sum") for p in path.parts)


def _concave(path: PathOf) -> bool:
    known = _atom(path) in _RECORDS or f"{_atom(path)}_squared" in _RECORDS
    return path.minus is None and known and path.reduce != "max"


def _needs_minimum(quantity: Measured) -> bool:
    path = quantity.path
    return path is not None and any(_atom(part) in _OF_MINIMIZER for part in path.parts)


def modelled(quantity: Measured) -> bool:
    """Whether a program can speak about the quantity.

    >>> from bounds.quantities import buffer_norm, min_suboptimality
    >>> modelled(min_suboptimality), modelled(buffer_norm)
    (True, False)
    """
    path = quantity.path
    if path is not None:
        return _affine(path) or _concave(path)
    return quantity.name in MODELLED


def _values(program: Program, round_: int) -> Any:
    return program.mean(program.value, round_)


def _inner_gradient(program: Program) -> Any:
    start, lam = program.points[0][0], program.parameter("inner_gradient_norm_squared", "lam")
    return program.mean(lambda w: (program.at(w)[0] + lam * (w - start)) ** 2, 1)


def _moved(program: Program, round_: int) -> Any:
    return program.mean(lambda w: (w - program.points[0][0]) ** 2, round_)


# With no algorithm the two points are w and u; otherwise they are the rounds of a run.
_QUANTITIES: Mapping[str, Callable[[Program], Any]] = {
    "value_difference": lambda p: p.value(p.points[1][0]) - p.value(p.points[0][0]),
    "linear_term": lambda p: p.at(p.points[0][0])[0] * (p.points[1][0] - p.points[0][0]),
    "distance_squared": lambda p: _moved(p, 1),
    "decrease": lambda p: _values(p, 0) - _values(p, 1),
    "gradient_norm_squared": lambda p: _square_gradient(p, 0),
    "next_gradient_norm_squared": lambda p: _square_gradient(p, 1),
    "displacement_squared": lambda p: _moved(p, 1),
    "inner_distance_squared": lambda p: p.mean(
        lambda w: (w - p.proximal("inner_distance_squared")) ** 2, 1
    ),
    "start_distance_squared": lambda p: (
        (p.points[0][0] - p.proximal("start_distance_squared")) ** 2
    ),
    "inner_gradient_norm_squared": _inner_gradient,
}
_CONCAVE: Mapping[str, Callable[[Program], Any]] = {
    "expected_twin_distance": lambda p: p.norm((p.points[-1][0] - p.twins[-1][0]) ** 2),
}
_TWINS = frozenset({"expected_twin_distance"})
_DISTANCES = frozenset({"expected_twin_distance", "twin_distance"})
MODELLED: tuple[str, ...] = tuple(sorted({*_QUANTITIES, *_CONCAVE, "twin_distance"}))
"""Names of the quantities without a path that a program can speak about."""

# Records of a whole run, of one point; a length without its square is known from below.
_RECORDS: Mapping[str, Callable[[Program, Any], Any]] = {
    "value": lambda p, w: p.value(w),
    "suboptimality": lambda p, w: p.value(w) - p.minimum,
    "gradient_norm_squared": lambda p, w: p.at(w)[0] ** 2,
    "distance_squared": lambda p, w: (w - p.start) ** 2,
    "distance_to_minimizer_squared": lambda p, w: (w - p.minimizer) ** 2,
}
_OF_MINIMIZER = frozenset({"suboptimality", "distance_to_minimizer_squared",
                           "distance_to_minimizer"})  # fmt: skip
