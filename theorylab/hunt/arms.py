"""Where a hunt looks: one arm for each objective family that a statement applies to."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from bounds.evaluation import evaluate
from bounds.statement import Statement
from bounds.symbol import Symbol
from theorylab.errors import UsageError
from theorylab.hunt.instance import FAILURES, Instance
from theorylab.judge.check import constants_for, speaks_of_workers
from theorylab.judge.domain import place, points
from theorylab.method.rule import UpdateRule
from theorylab.plugins import registry
from theorylab.plugins.specs import Spec, build_objective, objective_specs
from theorylab.problem.objective import FiniteSum, Objective, Parameter
from theorylab.quantities.protocol import build_rule, steps_per_round

__all__ = ["Arm", "arms", "finer_values", "grid", "too_long", "typical_values", "with_ends"]


@dataclass(frozen=True)
class Arm:
    """A family with the default parameters that a search starts from (or numbers alone).

    Attributes
    ----------
    spec : mapping, optional
    parameters : tuple of Parameter
        What may be moved of the objective.
    free : tuple of str
        The statement's symbols that are left to choose.
    rescaled : bool
        Whether the units are moved as well.
    quiet : bool
        Exact gradients in place of stochastic ones.
    """

    spec: Spec | None
    parameters: tuple[Parameter, ...]
    free: tuple[str, ...]
    rescaled: bool
    quiet: bool = False

    @property
    def home(self) -> Instance:
        """The default objective, no hyperparameters chosen."""
        return Instance(self.spec, {}, quiet=self.quiet)

    @property
    def size(self) -> int:
        """The number of coordinates that a search moves."""
        return len(self.parameters) + len(self.free) + 2 * self.rescaled

    def center(self) -> np.ndarray:
        """The coordinates of the default objective, hyperparameters in the middle."""
        given = {} if self.spec is None else _given(self.spec)
        u = [_fraction(p, given[p.name]) if p.name in given else 0.5 for p in self.parameters]
        return (np.array([*u, *[0.5] * (self.size - len(u))]) - 0.5) / _OUTSIDE + 0.5

    def at(self, statement: Statement, u: np.ndarray, seed: int) -> Instance | None:
        """The instance at a point of the unit cube; values just outside are its faces."""
        prepared = self.objective_at(statement, u, seed)
        if prepared is None:
            return None
        draft, known = prepared
        table = place(statement, known, self._fractions(u))
        if table is None:
            return None
        return replace(draft, values={name: float(table[name]) for name in self.free})

    def objective_at(
        self, statement: Statement, u: np.ndarray, seed: int
    ) -> tuple[Instance, dict[str, float]] | None:
        """The objective there, as an instance without hyperparameters, and what it certifies."""
        if self.spec is None:
            return Instance(None, {}, seed), {}
        u = _inside(u)
        k, f = len(self.parameters), len(self.free)
        moved = {p.name: _value(p, float(x)) for p, x in zip(self.parameters, u[:k], strict=True)}
        spec = {**self.spec, "parameters": {**self.spec.get("parameters", {}), **moved}}
        a, b = (10.0 ** (12 * u[k + f :] - 6)).tolist() if self.rescaled else (1.0, 1.0)
        draft = Instance(spec, {}, seed, a, b, self.quiet)
        try:
            objective = draft.objective(statement)
            assert objective is not None
            return draft, constants_for(statement, objective)
        except FAILURES:
            return None

    def lean(
        self, statement: Statement, u: np.ndarray, term: sp.Expr, rng: np.random.Generator
    ) -> np.ndarray:
        """``u`` with hyperparameters at which ``term`` makes up most of the bound, of some tried.

        Nothing is measured: where one term leads, the others cannot hide what it claims.
        """
        prepared = self.objective_at(statement, u, 0)
        if prepared is None:
            return u
        k, f = len(self.parameters), len(self.free)
        best, share = u, -math.inf
        for _ in range(_LEANINGS):
            there = u.copy()
            there[k : k + f] = with_ends(rng, f)
            part = self._share(statement, prepared[1], there, term)
            part *= rng.uniform(0.9, 1.0)  # not always the same extreme point
            if part > share:
                best, share = there, part
        return best

    def lead(
        self, statement: Statement, term: sp.Expr, counts: Mapping[str, float]
    ) -> tuple[Instance | None, np.ndarray]:
        """The default objective with hyperparameters that give ``term`` most of the bound.

        By a search of one coordinate at a time, at given ``counts``; no instance where the term
        is less than a third of the bound or so.
        """
        at = self.center()
        prepared = self.objective_at(statement, at, 0)
        if prepared is None:
            return None, at
        known = {**prepared[1], **counts}
        share = self._share(statement, known, at, term)
        first = len(self.parameters)
        for step in _SWEEPS:
            for j in range(first, first + len(self.free)):
                for x in step if step is _COARSE else np.clip(at[j] + step, 0.0, 1.0):
                    there = at.copy()
                    there[j] = x
                    part = self._share(statement, known, there, term)
                    if part > share:
                        at, share = there, part
            if not share > 0:
                return None, at
        table = place(statement, known, self._fractions(at)) if share > _LEADS else None
        if table is None:
            return None, at
        values = {name: float(table[name]) for name in self.free}
        return replace(prepared[0], values=values), at

    def moving(self, statement: Statement, power: float) -> Iterator[Instance]:
        """Instances of an O(.) claim whose function moves with the size, if it has no noise.

        One parameter at a time follows ``size**power``, at each of the grid's first values.
        """
        objective = self.home.objective(statement)
        if self.spec is None or objective is None or _noisy(objective):
            return
        family = registry.family(self.spec["family"])
        for p in family.parameters:
            if p.log and not p.integer and objective.parameters.get(p.name, 0) > 0:
                for values in itertools.islice(grid(statement, self), _MOVED):
                    yield replace(self.home, values=values, course={p.name: power})

    def _share(
        self, statement: Statement, known: Mapping[str, float], u: np.ndarray, term: sp.Expr
    ) -> float:
        """``term/bound`` at a point, ``-inf`` where that is no number or would run too long."""
        table = place(statement, known, self._fractions(u))
        if table is None or too_long(statement, table):
            return -math.inf
        try:
            with np.errstate(all="ignore"):
                part = float(evaluate(term, table) / evaluate(statement.claim.sides[1], table))
        except (KeyError, TypeError, ValueError, ArithmeticError):
            return -math.inf
        return part if math.isfinite(part) else -math.inf

    def _fractions(self, u: np.ndarray) -> dict[str, float]:
        k, f = len(self.parameters), len(self.free)
        return dict(zip(self.free, _inside(u)[k : k + f].tolist(), strict=True))


_OUTSIDE = 1.08  # the cube is drawn so much larger: what lies outside is on its faces
_LEANINGS = 48
_LEADS = 0.3  # the share of the bound from which a term is felt
_COARSE = np.linspace(0.0, 1.0, 11)
_SWEEPS = (_COARSE, _COARSE, _COARSE, np.array([-0.05, 0.05]), np.array([-0.025, 0.025]))
_LONGEST = 3_000
_MOVED = 2  # points of the grid at which a function moves with the size


def _inside(u: np.ndarray) -> np.ndarray:
    return np.clip((u - 0.5) * _OUTSIDE + 0.5, 0.0, 1.0)


def with_ends(rng: np.random.Generator, size: int) -> np.ndarray:
    """Random fractions, a lower end with chance 1/5, an upper one with 1/4."""
    at, ends = rng.random(size), rng.random(size)
    return np.where(ends < 0.2, 0.0, np.where(ends > 0.75, 1.0, at))


def arms(statement: Statement, specs: Sequence[Spec] | None, seed: int) -> tuple[list[Arm], str]:
    """Every arm of a statement, and why the last objective that does not apply does not.

    Each objective is taken as it is and, where that differs, with exact gradients. ``specs`` are
    the objectives to start from, by default every registered family's default instances.
    """
    # The constant that an O(.) hides may carry units.
    rescaled = statement.units_fault is not None and not statement.claim.big_o
    fixed = {s.name for s in statement.prescription} | _followed(statement)
    if not statement.claim.measured:
        free = tuple(s.name for s in statement.symbols if s.name not in fixed)
        return [Arm(None, (), free, False)], ""
    found: list[tuple[int, Arm]] = []
    reason = ""
    for spec, quiet in itertools.product(objective_specs() if specs is None else specs,
                                         (False, True)):  # fmt: skip
        try:
            objective = Instance(spec, {}, quiet=quiet).objective(statement)
            assert objective is not None
            if specs is None and objective.workers and not speaks_of_workers(statement):
                continue  # of whom it does not speak: to its methods they are one more quadratic
            known = constants_for(statement, objective)
            first = points(statement, known, seed, 1)[0]
        except ValueError as error:
            reason = str(error)
            continue
        free = tuple(
            s.name for s in statement.symbols
            if s.name not in known and s.name not in fixed and s.name in first
        )  # fmt: skip
        moved = registry.family(spec["family"]).parameters
        moved = () if statement.claim.big_o else _movable(spec, moved)
        if quiet and _quiet_as_it_is(spec, moved):
            continue
        found.append((_slack(statement, objective), Arm(spec, moved, free, rescaled, quiet)))
    # What attains its constants comes closest to the worst case.
    return [arm for _, arm in sorted(found, key=lambda pair: pair[0])], reason


def _quiet_as_it_is(spec: Spec, moved: Sequence[Parameter]) -> bool:
    """Whether the objective has no noise, and none that a search could give it."""
    objective = build_objective(spec)
    sigma = objective.constants().get("sigma")
    still = sigma is not None and float(sigma) == 0 and not isinstance(objective, FiniteSum)
    return still and all(p.name != "sigma" for p in moved)


def _noisy(objective: Objective) -> bool:
    sigma = objective.constants().get("sigma")
    return sigma is None or float(sigma) > 0


def _slack(statement: Statement, objective: Objective) -> int:
    """How many of the statement's constants the objective certifies without attaining them."""
    certified = {**objective.constants(), **objective.sample_constants(),
                 **objective.worker_constants()}  # fmt: skip
    names = {symbol.name for symbol in statement.constants} & set(certified)
    return sum(not certified[name].attained for name in names)


def _followed(statement: Statement) -> set[str]:
    """What an O(.) claim's rate moves: no hyperparameter of its instance."""
    rate = statement.rate
    if rate is None or not statement.claim.big_o:
        return set()
    return {rate.scale.name, *(s.name for s in rate.along)}


def grid(statement: Statement, arm: Arm) -> Iterator[dict[str, float]]:
    """Values of an O(.) claim's hyperparameters: typical ones and those between.

    The cheapest first, and of those what anybody would choose: a budget may end before the others.

    What an O(.) hides may depend on the hyperparameters, and where they are extreme the sizes
    within reach come before the rate: of a domain's corners only those that are typical are tried.
    """
    named = {s.name: s for s in statement.symbols}
    symbols = [named[name] for name in arm.free]
    every = [finer_values(symbol) for symbol in symbols]
    rows = list(itertools.product(*map(enumerate, every)))
    rows.sort(key=lambda row: (math.prod(
        max(1.0, v) for (_, v), s in zip(row, symbols, strict=True) if s.domain.integer
    ), sum(k for k, _ in row)))  # fmt: skip
    for row in rows:
        yield dict(zip(arm.free, (float(v) for _, v in row), strict=True))


def typical_values(symbol: Symbol) -> list[float]:
    """What anybody would choose, or 1 where nothing is said."""
    return [float(v) for v in symbol.typical or (1.0,)]


def finer_values(symbol: Symbol) -> list[float]:
    """What is chosen first; then typical values and geometric means of neighbours, by size."""
    given = typical_values(symbol)
    ends = sorted(v for v in given if v > 0)
    means = [math.sqrt(a * b) for a, b in itertools.pairwise(ends)]
    means = [float(round(v)) for v in means] if symbol.domain.integer else means
    return list(dict.fromkeys([given[0], *sorted({*given, *means})]))


def _movable(spec: Spec, parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """The family's parameters; noise that the spec leaves out is left out."""
    given = spec.get("parameters", {})
    quiet = given.get("noise", "none") == "none" and "noise" in given
    return tuple(p for p in parameters if not (quiet and p.name == "sigma"))


def _given(spec: Spec) -> dict[str, float]:
    """Every number that builds the objective: the family's own where the spec is silent."""
    build = inspect.signature(registry.family(spec["family"]).build).parameters
    own = {name: p.default for name, p in build.items()}
    numbers = {**own, **spec.get("parameters", {})}
    return {k: float(v) for k, v in numbers.items() if isinstance(v, int | float)}


def _value(parameter: Parameter, fraction: float) -> float | int:
    low, high = parameter.lower, parameter.upper
    if parameter.log:
        value = math.exp(math.log(low) + fraction * math.log(high / low))
    else:
        value = low + fraction * (high - low)
    value = min(max(value, low), high)
    return round(value) if parameter.integer else value


def _fraction(parameter: Parameter, value: float) -> float:
    """The inverse of :func:`_value`."""
    low, high = parameter.lower, parameter.upper
    value = min(max(float(value), low), high)
    if parameter.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def too_long(statement: Statement, values: Mapping[str, float]) -> bool:
    """Whether one replica would take more sample gradients than one evaluation may."""
    try:
        steps = statement.rounds(values) * statement.batch_size(values)
    except OverflowError:  # an infinite horizon
        return True
    return steps * _inner_steps(statement, values) > _LONGEST


def _inner_steps(statement: Statement, values: Mapping[str, float]) -> float:
    """Steps of one round, as far as they follow from the values; constants are put at 1."""
    algorithm = statement.algorithm
    if algorithm is None or registry.rule(algorithm.rule).restarts is UpdateRule.restarts:
        return 1.0
    known = {s.name: 1.0 for s in (*statement.symbols, *statement.constants)} | dict(values)
    try:
        return steps_per_round(build_rule(statement, known))
    except (UsageError, KeyError, ArithmeticError):
        return 1.0
