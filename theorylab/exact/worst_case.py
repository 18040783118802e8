"""Exact worst cases of a few steps, by semidefinite programming (the extra ``[pep]``).

A performance-estimation problem looks for the worst function of a class directly: its points,
gradients and values at the few places a method visits are unknowns, tied by the interpolation
conditions of the class. It is built here from three parts that know nothing of any statement:

- the **function class** that the certified constants describe;
- the **method**, any registered rule that is linear in what it is fed: the rule itself is run on
  coefficient vectors, so its code is its own model;
- the **law of the noise**: two atoms ``+v`` and ``-v`` at every step, ``||v||^2 <= sigma^2/B``.

A statement whose two sides are affine in the modelled quantities can then be solved at any
point of its domain, whoever wrote it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from bounds.statement import Statement, evaluate
from theorylab.engine.step import follow
from theorylab.errors import UsageError
from theorylab.judge.domain import points
from theorylab.judge.verdict import json_ready
from theorylab.method.rule import UpdateRule, round_starts
from theorylab.problem.oracle import Oracle
from theorylab.quantities.protocol import build_rule

__all__ = [
    "FunctionClass", "MissingExtra", "WorstCase", "expansion_factor", "modelled_quantities",
    "normalised_points", "solve_points", "worst_case",
]  # fmt: skip

SOLVER = "CLARABEL"
_CALLS = 40  # gradient evaluations in one problem; its size grows with their square
# One representative of each scale: units of f and w are free, so ell = Delta = 1 is no loss.
_CONSTANTS = {"ell": 1.0, "L": 1.0, "mu": 0.1, "Delta": 1.0, "Bf": 1.0, "G": 1.0, "n": 2.0,
              "d": 1.0}  # fmt: skip
_VARIED = (
    {"delta": 1.0, "sigma": 1.0},
    {"delta": 0.25, "sigma": 1.0},
    {"delta": 1.0, "sigma": 0.0},
)
_SHORT = ({"T": 1.0, "S": 1.0}, {"T": 2.0, "S": 2.0})


class MissingExtra(UsageError):
    """The semidefinite-programming packages are not installed."""


@dataclass(frozen=True)
class FunctionClass:
    """Differentiable functions whose curvature lies in ``[lower, upper]``, in any dimension.

    ``gradient`` and ``value`` bound ``||grad f||`` and ``|f|``. Imposed at the visited points,
    they only relax the class, so the worst case is then an upper bound (``exact`` is False).

    >>> FunctionClass(lower=-1.0, upper=2.0).exact, FunctionClass(-1.0, 2.0, gradient=3.0).exact
    (True, False)
    """

    lower: float
    upper: float
    gradient: float | None = None
    value: float | None = None

    @property
    def exact(self) -> bool:
        """Whether the interpolation conditions are necessary and sufficient."""
        return self.gradient is None and self.value is None

    @classmethod
    def of(cls, statement: Statement, values: Mapping[str, Any]) -> FunctionClass:
        """The class that the statement's assumptions describe at ``values``.

        Raises
        ------
        UsageError
            If no constant bounds the curvature from above.
        """
        names = {s.name for s in statement.constants}
        convex = any(a.name == "convex" for a in statement.assumptions)
        table = {name: float(values[name]) for name in names if name in values}
        if "ell" in table:
            upper, lower = table["ell"], -table["ell"]
        elif "L" in table:
            upper, lower = table["L"], -math.inf
        else:
            raise UsageError(
                f"{statement.key}: a worst case needs a bound on the curvature (ell or L); "
                f"the statement assumes {', '.join(sorted(names)) or 'nothing'}"
            )
        if "delta" in table:
            lower = max(lower, -table["delta"])
        if convex or "mu" in table:
            lower = table.get("mu", 0.0)
        return cls(lower, upper, table.get("G"), table.get("Bf"))


@dataclass(frozen=True)
class WorstCase:
    """The worst case of a claim's measured side at one point of its domain.

    Attributes
    ----------
    key, form : str
    values : mapping of str to float
        The point of the domain.
    primal, dual : float
        Of the semidefinite program: an example attains ``primal``, a proof shows ``dual``
        (``inf`` where the problem is unbounded: no bound holds).
    status : str
        The solver's.
    bound : float
        The certified side; 1 where the claim compares two measured sides, whose ratio is then
        maximised.
    scope : str
        ``"exact"`` for the class and the two-atom law, ``"upper bound"`` if it was relaxed.
    measured : float, optional
        The measured side of an actual run at the same values, where one was hunted for.
    """

    key: str
    form: str
    values: Mapping[str, float]
    primal: float
    dual: float
    status: str
    bound: float
    scope: str
    measured: float | None = None

    @property
    def reached(self) -> float | None:
        """The share of the worst case that an actual run reaches."""
        if self.measured is None or not self.primal > 0:
            return None
        return self.measured / self.primal

    @property
    def gap(self) -> float:
        """``|dual - primal|``."""
        return abs(self.dual - self.primal) if math.isfinite(self.dual) else 0.0

    @property
    def ratio(self) -> float:
        """Worst case over bound: above 1 the claim is false, at 1 it cannot be improved."""
        if self.bound > 0:
            return self.primal / self.bound
        return math.inf if self.primal > 1e-7 else 0.0

    @property
    def refutes(self) -> bool:
        """Whether an example beats the bound by more than the solver's error."""
        slack = 1e-6 * max(1.0, abs(self.bound)) + self.gap
        return self.scope == "exact" and self.primal > self.bound + slack

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; numbers that are not finite become ``None``."""
        table = dataclasses.asdict(self) | {
            "gap": self.gap, "ratio": self.ratio, "reached": self.reached,
            "values": {k: float(v) for k, v in self.values.items()},
        }  # fmt: skip
        return dict(json_ready(table))


def worst_case(statement: Statement, values: Mapping[str, Any]) -> WorstCase:
    """Solve for the worst case of the statement's measured side at ``values``.

    Parameters
    ----------
    statement : Statement
        Both sides affine in the quantities of :func:`modelled_quantities`; its rule linear.
    values : mapping of str to float
        A point of its domain: constants, hyperparameters.

    Raises
    ------
    MissingExtra
        If PEPit is not installed.
    UsageError
        If the statement does not fit the template; the message says what does not.
    DomainError
        If ``values`` lie outside the statement's domain.

    Examples
    --------
    >>> from bounds import Algorithm, Claim, Statement
    >>> from bounds.assumptions import SMOOTH
    >>> from bounds.notation import ell, eta
    >>> from bounds.quantities import decrease, gradient_norm_squared
    >>> lemma = Statement("demo.descent", "Lemma", "printed",
    ...     Claim(decrease, ">=", eta * (1 - ell * eta / 2) * gradient_norm_squared),
    ...     (SMOOTH,), Algorithm("sgd"))
    >>> found = worst_case(lemma, {"ell": 1.0, "eta": 0.5})      # doctest: +SKIP
    >>> round(found.ratio, 6)                                     # doctest: +SKIP
    1.0
    """
    known = {k: float(v) for k, v in statement.validate(values).items() if np.ndim(v) == 0}
    claim = statement.claim
    if claim.big_o or claim.sense == "==":
        raise UsageError(f"{statement.key}: an O(.) claim or an equation has no worst case")
    (constant, small), (bound, large) = (_affine(statement, side, known) for side in claim.sides)
    problem = _Problem(statement, known)
    if large:
        # Both sides are measured: move every term to where its coefficient is positive, then
        # fix the larger side and maximise the smaller.
        if constant or bound:
            raise UsageError(f"{statement.key}: constants beside measured quantities on one side")
        moved = {k: small.get(k, 0.0) - large.get(k, 0.0) for k in {**small, **large}}
        small = {k: v for k, v in moved.items() if v > 0}
        large = {k: -v for k, v in moved.items() if v < 0}
        bound = 1.0
        problem.fix(large)
    problem.maximise(problem.expression(constant, small, concave=True))
    primal, dual, status = problem.solve()
    scope = "exact" if problem.family.exact else "upper bound"
    return WorstCase(statement.key, statement.form, known, primal, dual, status, bound,
                     scope)  # fmt: skip


def expansion_factor(rule: UpdateRule, family: FunctionClass, steps: int = 1) -> WorstCase:
    """The greatest ``||w' - v'|| / ||w - v||`` over two runs that see the same samples.

    One round of a stability proof: both runs take ``steps`` steps of ``rule`` on one function
    of the class. The expected factor of LRSGD-R averages this over its random round length.

    Examples
    --------
    >>> from theorylab.method import SGD
    >>> round(expansion_factor(SGD(eta=0.5), FunctionClass(-1.0, 2.0)).primal, 6)  # doctest: +SKIP
    1.5
    """
    problem = _Problem.bare(family)
    path = _unroll(rule, steps, 1, noisy=False)
    first, second = problem.follow(path, 0.0), problem.follow(path, 0.0)
    problem.require((first[0][0] - second[0][0]) ** 2 <= 1)
    problem.maximise((first[-1][0] - second[-1][0]) ** 2)
    primal, dual, status = problem.solve()
    values = {"lower": family.lower, "upper": family.upper, "steps": float(steps)}
    return WorstCase(f"expansion.{rule.name}", "repaired", values, math.sqrt(max(primal, 0.0)),
                     math.sqrt(max(dual, 0.0)), status, math.inf,
                     "exact" if family.exact else "upper bound")  # fmt: skip


def solve_points(
    statement: Statement, fixed: Mapping[str, float], count: int, seed: int
) -> Iterator[WorstCase]:
    """Worst cases at up to ``count`` points of the statement's domain, constants normalised.

    Raises
    ------
    UsageError
        If the statement does not fit the template, or no point is small enough to solve.
    """
    failure: UsageError | None = None
    solved = 0
    for table in normalised_points(statement, fixed, count, seed):
        try:
            yield worst_case(statement, table)
            solved += 1
        except MissingExtra:
            raise
        except UsageError as error:
            failure = error
    if not solved and failure is not None:
        raise failure


def normalised_points(
    statement: Statement, fixed: Mapping[str, float], count: int, seed: int
) -> list[dict[str, Any]]:
    """Points of the domain with ``ell = Delta = ... = 1`` and few rounds, corners first."""
    names = {s.name for s in (*statement.symbols, *statement.constants)}
    found: list[dict[str, Any]] = []
    tables = [
        {k: v for k, v in {**_CONSTANTS, **varied, **short, **fixed}.items() if k in names}
        for short in _SHORT
        for varied in _VARIED
    ]
    distinct = [t for i, t in enumerate(tables) if t not in tables[:i]]
    each = max(1, -(-count // len(distinct)))
    for known in distinct:
        try:
            found += points(statement, known, seed, each)
        except UsageError:
            continue
    if not found:
        return points(statement, {k: v for k, v in fixed.items() if k in names}, seed, count)
    return found[:count]


def modelled_quantities() -> tuple[str, ...]:
    """Names of the measured quantities a problem can speak about."""
    return tuple(sorted({*_QUANTITIES, *_CONCAVE, "twin_distance"}))


# --- the claim --------------------------------------------------------------------------------
def _affine(
    statement: Statement, side: sp.Expr, values: Mapping[str, float]
) -> tuple[float, dict[str, float]]:
    """``side`` as a constant and a coefficient for each measured quantity."""
    measured = sorted(statement.claim.measured & side.free_symbols, key=str)
    unknown = [s.name for s in measured if s.name not in modelled_quantities()]
    if unknown:
        raise UsageError(
            f"{statement.key}: no semidefinite model of {', '.join(unknown)}; modelled: "
            f"{', '.join(modelled_quantities())}"
        )
    coefficients = {}
    for symbol in measured:
        slope = sp.diff(side, symbol)
        if slope.free_symbols & statement.claim.measured:
            raise UsageError(f"{statement.key}: {side} is not affine in {symbol.name}")
        coefficients[symbol.name] = float(evaluate(slope, values))
    rest = sp.sympify(side).subs(dict.fromkeys(measured, 0))
    return float(evaluate(rest, values)), coefficients


# --- the method, run on coefficients ------------------------------------------------------------
@dataclass(frozen=True)
class _Call:
    """One gradient evaluation: where (coefficients), and the indices of its two unknowns."""

    where: np.ndarray
    gradient: int
    noise: int | None


@dataclass(frozen=True)
class _Path:
    calls: tuple[_Call, ...]
    rounds: tuple[np.ndarray, ...]  # the iterates at each round's start and at the end
    parents: tuple[np.ndarray, ...]  # row of the previous round each row descends from
    unknowns: int


@final
class _Unknowns(Oracle):
    """Answers every question for a gradient with an unknown of its own.

    Where there is noise, rows are pairs that share a point: their gradients are ``g + v`` and
    ``g - v``.
    """

    def __init__(self, rule: UpdateRule, basis: Tensor, noisy: bool) -> None:
        super().__init__()
        self.rule, self.basis, self.noisy = rule, basis, noisy
        self.used = 1
        self.found: list[_Call] = []
        self.asked = False

    def _unknown(self) -> int:
        if len(self.found) >= _CALLS or self.used >= len(self.basis):
            raise UsageError(
                f"worst case: {self.rule.name} needs more than the {_CALLS} gradient evaluations "
                "that are modelled: lower T, S or set sigma = 0"
            )
        self.used += 1
        return self.used - 1

    def gradient(self, w: Tensor, lag: int = 0) -> Tensor:
        if not self.noisy:
            return self.full_gradient(w)
        if self.asked:
            raise UsageError(f"worst case: {self.rule.name} takes a mini-batch's gradient twice; "
                             "the noise modelled is of one point: set sigma = 0")  # fmt: skip
        self.asked = True
        rows: list[Tensor] = []
        for point in w[::2]:
            gradient, noise = self._unknown(), self._unknown()
            self.found.append(_Call(point.numpy(), gradient, noise))
            rows += [self.basis[gradient] + self.basis[noise],
                     self.basis[gradient] - self.basis[noise]]  # fmt: skip
        return torch.stack(rows)

    def full_gradient(self, w: Tensor, when: Tensor | bool = True) -> Tensor:
        if when is False:
            return w
        rows: list[Tensor] = []
        for point in w:
            gradient = self._unknown()
            self.found.append(_Call(point.numpy(), gradient, None))
            rows.append(self.basis[gradient])
        return torch.stack(rows)


def _unroll(rule: UpdateRule, rounds: int, batch: int, noisy: bool) -> _Path:
    """Run ``rule`` with vectors replaced by their coefficients over the unknowns.

    The unknowns are ``w_0``, then a gradient (and a noise vector) for each evaluation. A rule
    that is linear in them moves coefficient vectors exactly as it moves vectors.
    """
    if rule.draws or rule.lags != 1:
        raise UsageError(f"worst case: {rule.name} consumes randomness of its own")
    if rounds > _CALLS:
        raise UsageError(f"worst case: at most {_CALLS} rounds are modelled, got {rounds}: lower T")
    starts = round_starts(rule, rounds)
    if starts is None:
        raise UsageError(f"worst case: the rounds of {rule.name} are random or too long")

    def walk(basis: Tensor) -> tuple[_Unknowns, list[Tensor], list[np.ndarray]]:
        oracle = _Unknowns(rule, basis, noisy)
        kept: list[Tensor] = []
        parents: list[np.ndarray] = []
        ancestor = np.zeros(1, dtype=int)

        def oracle_of(k: int, w: Tensor) -> Oracle:
            oracle.asked = False
            return oracle

        width = 2 if noisy else 1
        path = follow(rule, basis[:1], oracle_of, starts.tolist(), branches=width)
        for (w, _), begins in zip(path, [*starts, True], strict=True):
            ancestor = np.repeat(ancestor, len(w) // len(ancestor))
            if begins:
                kept.append(w)
                parents.append(ancestor)
                ancestor = np.arange(len(w))
        return oracle, kept, parents

    most = 1 + _CALLS * (2 if noisy else 1)
    trial = torch.from_numpy(np.random.default_rng(7).standard_normal((most, most + 3)))
    with torch.no_grad():
        oracle, kept, parents = walk(torch.eye(most, dtype=torch.float64))
        _, actual, _ = walk(trial)
    linear = all(
        torch.allclose(have, coefficients @ trial, rtol=1e-8, atol=1e-8)
        for have, coefficients in zip(actual, kept, strict=True)
    )
    if not linear:
        raise UsageError(
            f"worst case: {rule.name} is not linear in its gradients, so no semidefinite "
            f"program models it"
        )
    used = oracle.used
    calls = tuple(dataclasses.replace(call, where=call.where[:used]) for call in oracle.found)
    return _Path(calls, tuple(w.numpy()[:, :used] for w in kept), tuple(parents), used)


# --- the semidefinite program -------------------------------------------------------------------
class _Problem:
    """A PEPit problem: a function of the class, a path of the method, and the quantities."""

    def __init__(self, statement: Statement, values: Mapping[str, float]) -> None:
        self._begin(FunctionClass.of(statement, values))
        self.values = values
        names = {s.name for s in statement.symbols} | {s.name for s in statement.constants}
        self.minimizer: Any = None
        self.minimum: Any = None
        measured = {s.name for s in statement.claim.measured}
        if names & {"Delta", "Bf"} or measured & _NEED_MINIMUM:
            self.minimizer, _, self.minimum = self._stationary()
        self.points: list[list[Any]] = []
        self.twins: list[list[Any]] = []
        self.parents: tuple[np.ndarray, ...] = ()
        if statement.algorithm is not None:
            sigma = values.get("sigma", 0.0) if "sigma" in names else 0.0
            batch = max(1, round(values.get("B", 1)))
            length = float(values.get("T", 1))
            if not math.isfinite(length):
                raise UsageError(f"{statement.key}: a worst case needs a finite T, got {length}")
            rounds = max(1, round(length))
            path = _unroll(build_rule(statement, values), rounds, batch, sigma > 0)
            self.parents = path.parents
            if measured & _TWINS:
                # Both runs see the same samples: one function of the class, no noise between.
                path = _unroll(build_rule(statement, values), 1, batch, noisy=False)
                self.twins = self.follow(path, 0.0)
            self.points = self.follow(path, sigma**2 / batch)
        else:
            self.points = [[self._point()], [self._point()]]
        if "Delta" in names:
            first = self.at(self.points[0][0])[1]
            self.require(first - self.minimum <= values["Delta"])

    @classmethod
    def bare(cls, family: FunctionClass) -> _Problem:
        problem = cls.__new__(cls)
        problem._begin(family)
        problem.values, problem.minimum, problem.points, problem.parents = {}, None, [], ()
        return problem

    def _begin(self, family: FunctionClass) -> None:
        self.pepit = _pepit()
        self.family = family
        self.pep = self.pepit.PEP()
        self.function = self.pep.declare_function(_interpolation(family))
        self.visited: list[tuple[Any, Any]] = []

    def require(self, constraint: Any) -> None:
        self.pep.add_constraint(constraint)

    def maximise(self, expression: Any) -> None:
        self.pep.set_performance_metric(expression)

    def at(self, point: Any) -> tuple[Any, Any]:
        """Gradient and value at a point."""
        known = self.function._is_already_evaluated_on_point(point=point)
        gradient, value = self.function.oracle(point)
        if not known:
            self.visited.append((gradient, value))
        return gradient, value

    def follow(self, path: _Path, variance: float) -> list[list[Any]]:
        """The iterates of a path, from a start of its own."""
        basis: list[Any] = [None] * path.unknowns
        basis[0] = self._point()

        def combine(row: np.ndarray) -> Any:
            terms = [float(c) * basis[i] for i, c in enumerate(row) if abs(c) > 1e-14]
            total = terms[0] if terms else 0 * basis[0]
            for term in terms[1:]:
                total = total + term
            return total

        for call in path.calls:
            basis[call.gradient] = self.at(combine(call.where))[0]
            if call.noise is not None:
                basis[call.noise] = self._point()
                self.require(basis[call.noise] ** 2 <= variance)
        return [[combine(row) for row in rows] for rows in path.rounds]

    def expression(self, total: Any, coefficients: Mapping[str, float], concave: bool) -> Any:
        """An affine combination of quantities; auxiliary ones may only be pushed up."""
        for name, coefficient in coefficients.items():
            if name in _QUANTITIES:
                term = _QUANTITIES[name](self)
            elif concave and coefficient >= 0:
                term = _CONCAVE[name](self)
            else:
                raise UsageError(f"worst case: {name} must stand on the smaller side of the claim")
            total = coefficient * term + total
        if isinstance(total, float):
            raise UsageError("worst case: nothing measured on the smaller side")
        return total

    def fix(self, large: Mapping[str, float]) -> None:
        """Hold the larger side at 1 or below."""
        if set(large) == {"twin_distance"}:  # a distance is fixed through its square
            between = self.points[0][0] - self.twins[0][0]
            self.require(between**2 <= 1 / large["twin_distance"] ** 2)
        else:
            self.require(self.expression(0.0, large, concave=False) <= 1)

    def norm(self, square: Any) -> Any:
        """An unknown that may be pushed up to the root of ``square``."""
        root = self.pepit.Expression()
        one = self.pepit.Expression(is_leaf=False, decomposition_dict={1: 1.0})
        self.pep.add_psd_matrix([[square, root], [root, one]])
        return root

    def proximal(self) -> Any:
        """``argmin f + (lam/2)||w - w_0||^2`` from the optimality condition."""
        if not hasattr(self, "_proximal"):
            gradient, value = self._point(), self.pepit.Expression()
            point = self.points[0][0] - gradient / self.values["lam"]
            self.function.add_point((point, gradient, value))
            self.visited.append((gradient, value))
            self._proximal = point
        return self._proximal

    def mean(self, function: Callable[[Any], Any], round_: int) -> Any:
        rows = self.points[round_]
        total = function(rows[0])
        for row in rows[1:]:
            total = total + function(row)
        return total / len(rows)

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
        for gradient, value in self.visited:
            if self.minimum is not None:
                # The infimum lies below what one gradient step reaches.
                self.require(self.minimum <= value - gradient**2 / (2 * self.family.upper))
            if self.family.gradient is not None:
                self.require(gradient**2 <= self.family.gradient**2)
            if self.family.value is not None:
                lift: Any = 0.0
                if -math.inf < self.family.lower < 0:
                    lift = gradient**2 / (-2 * self.family.lower)
                self.require(value + lift <= self.family.value)
        if self.family.value is not None and self.minimum is not None:
            self.require(self.minimum >= -self.family.value)

    def _stationary(self) -> tuple[Any, Any, Any]:
        point, value = self._point(), self.pepit.Expression()
        zero = 0 * point
        self.function.add_point((point, zero, value))
        return point, zero, value

    def _point(self) -> Any:
        return self.pepit.Point()


def _square_gradient(problem: _Problem, round_: int) -> Any:
    return problem.mean(lambda w: problem.at(w)[0] ** 2, round_)


def _average(problem: _Problem, rounds: range) -> Any:
    terms = [_square_gradient(problem, k) for k in rounds]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total / len(terms)


def _smallest(problem: _Problem) -> Any:
    """E min_t ||grad||^2: one unknown a path, below the value at each of its rounds."""
    last = len(problem.points) - 1
    total: Any = None
    for leaf in range(len(problem.points[last])):
        least = problem.pepit.Expression()
        row = leaf
        for k in range(last, -1, -1):
            problem.require(least <= problem.at(problem.points[k][row])[0] ** 2)
            row = int(problem.parents[k][row]) if k else 0
        total = least if total is None else total + least
    return total / len(problem.points[last])


def _mean_norm(problem: _Problem) -> Any:
    total: Any = None
    horizon = len(problem.points) - 1
    for k in range(horizon):
        for w in problem.points[k]:
            norm = problem.norm(problem.at(w)[0] ** 2)
            term = norm / (horizon * len(problem.points[k]))
            total = term if total is None else total + term
    return total


def _values(problem: _Problem, round_: int) -> Any:
    return problem.mean(lambda w: problem.at(w)[1], round_)


def _inner_gradient(problem: _Problem) -> Any:
    start, lam = problem.points[0][0], problem.values["lam"]
    return problem.mean(lambda w: (problem.at(w)[0] + lam * (w - start)) ** 2, 1)


def _moved(problem: _Problem, round_: int) -> Any:
    return problem.mean(lambda w: (w - problem.points[0][0]) ** 2, round_)


# With no algorithm the two points are w and u; otherwise they are the rounds of a run.
_QUANTITIES: Mapping[str, Callable[[_Problem], Any]] = {
    "value_difference": lambda p: p.at(p.points[1][0])[1] - p.at(p.points[0][0])[1],
    "linear_term": lambda p: p.at(p.points[0][0])[0] * (p.points[1][0] - p.points[0][0]),
    "distance_squared": lambda p: _moved(p, 1),
    "decrease": lambda p: _values(p, 0) - _values(p, 1),
    "gradient_norm_squared": lambda p: _square_gradient(p, 0),
    "next_gradient_norm_squared": lambda p: _square_gradient(p, 1),
    "displacement_squared": lambda p: _moved(p, 1),
    "inner_distance_squared": lambda p: p.mean(lambda w: (w - p.proximal()) ** 2, 1),
    "start_distance_squared": lambda p: (p.points[0][0] - p.proximal()) ** 2,
    "inner_gradient_norm_squared": _inner_gradient,
    "mean_gradient_norm_squared": lambda p: _average(p, range(len(p.points) - 1)),
    "mean_next_gradient_norm_squared": lambda p: _average(p, range(1, len(p.points))),
    "first_gradient_norm_squared": lambda p: _square_gradient(p, 0),
    "final_gradient_norm_squared": lambda p: _square_gradient(p, -1),
    "final_suboptimality": lambda p: _values(p, -1) - p.minimum,
    "total_decrease": lambda p: _values(p, 0) - _values(p, -1),
    "final_displacement_squared": lambda p: _moved(p, -1),
    "final_distance_to_minimizer_squared": lambda p: p.mean(lambda w: (w - p.minimizer) ** 2, -1),
}
_CONCAVE: Mapping[str, Callable[[_Problem], Any]] = {
    "min_gradient_norm_squared": _smallest,
    "mean_gradient_norm": _mean_norm,
    "expected_twin_distance": lambda p: p.norm((p.points[-1][0] - p.twins[-1][0]) ** 2),
}
_TWINS = frozenset({"expected_twin_distance"})
_NEED_MINIMUM = frozenset({"final_suboptimality", "final_distance_to_minimizer_squared"})


def _interpolation(family: FunctionClass) -> Any:
    """A PEPit function whose pairwise conditions are those of ``family``.

    With ``h = f - (lower/2)||x||^2`` convex and (upper - lower)-smooth, the pairwise condition
    on h is necessary and sufficient for an interpolating f to exist. With ``lower = -inf``,
    ``(upper/2)||x||^2 - f`` is convex.
    """
    function_class = _pepit().Function
    lower, upper = family.lower, family.upper
    if not lower < upper:
        raise UsageError(f"worst case: curvatures [{lower:g}, {upper:g}] leave one function")

    class CurvatureBetween(function_class):  # type: ignore[misc, valid-type]
        def __init__(self, is_leaf: bool = True, decomposition_dict: Any = None,
                     reuse_gradient: bool = True, name: str | None = None) -> None:  # fmt: skip
            super().__init__(is_leaf=is_leaf, decomposition_dict=decomposition_dict,
                             reuse_gradient=True, name=name)  # fmt: skip

        def _condition(self, xi: Any, gi: Any, fi: Any, xj: Any, gj: Any, fj: Any) -> Any:
            step, turn = xi - xj, gi - gj
            if lower == -math.inf:
                return fi - fj <= gj * step + upper / 2 * step**2
            bent = turn - lower * step
            return fi - fj >= gj * step + lower / 2 * step**2 + bent**2 / (2 * (upper - lower))

        def add_class_constraints(self) -> None:
            self.add_constraints_from_two_lists_of_points(
                list_of_points_1=self.list_of_points, list_of_points_2=self.list_of_points,
                constraint_name="curvature", set_class_constraint_i_j=self._condition,
            )  # fmt: skip

    return CurvatureBetween


def _pepit() -> Any:
    missing = [n for n in ("PEPit", "cvxpy", "clarabel") if importlib.util.find_spec(n) is None]
    if missing:
        raise MissingExtra(
            f"worst-case needs {', '.join(missing)}: install the extra with "
            f"pip install 'theorylab[pep]'"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import PEPit
    return PEPit
