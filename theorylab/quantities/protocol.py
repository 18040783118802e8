"""What a measurement is: an experiment in, arrays of measured quantities out."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from bounds.evaluation import evaluate
from bounds.statement import Statement
from bounds.symbol import Measured, Symbol
from theorylab.engine.step import follow
from theorylab.errors import UsageError
from theorylab.method.rule import UpdateRule, norm, round_starts
from theorylab.method.schedules import Expression
from theorylab.plugins import registry
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import FunctionOracle, Oracle

__all__ = [
    "LOST",
    "Experiment",
    "Law",
    "Measurement",
    "Protocol",
    "Range",
    "begins_fresh",
    "build_rule",
    "gradient_scale",
    "is_one_step",
    "square_scale",
    "steps_per_round",
    "value_grain",
    "value_scale",
]


LEAST_REPLICAS = 16
LOST = 64 * float(np.finfo(float).eps)
"""What rounding may take from a sum of some terms of size 1."""
# A step of the engine costs as much as about this many sample gradients, however few it takes.
GRADIENTS_PER_STEP = 32


@dataclass(frozen=True)
class Experiment:
    """One point of a statement's domain, on one objective.

    Attributes
    ----------
    statement : Statement
    objective : Objective
    values : mapping of str to float
        Every symbol's value: certified constants, hyperparameters, prescriptions.
    replicas : int
        At most this many independent repetitions.
    effort : float
        At most about this many sample gradients; replicas are cut to meet it.
    seed : int
        Chooses the instances (points, twins).
    repeat : int
        Repeats the same instances with fresh randomness.
    horizons : tuple of int
        Earlier ends at which the runs are read as well: all where they are known exactly, of
        sampled ones some.
    """

    statement: Statement
    objective: Objective
    values: Mapping[str, Any]
    replicas: int = 1000
    effort: float = 2e6
    seed: int = 0
    repeat: int = 0
    horizons: tuple[int, ...] = ()

    @property
    def run_seed(self) -> int:
        """The seed of the algorithm's randomness, fresh for every ``repeat``."""
        return int(np.random.SeedSequence([self.seed, self.repeat]).generate_state(1)[0])

    @property
    def measured(self) -> frozenset[str]:
        """Names of the quantities the statement speaks about."""
        return frozenset(symbol.name for symbol in self.statement.measured)

    def parameter(self, quantity: str, name: str) -> float:
        """What the statement binds a parameter of a quantity's definition to, at these values.

        Raises
        ------
        UsageError
            If it binds it to nothing.
        """
        (symbol,) = (q for q in self.statement.measured if q.name == quantity)
        expression = symbol.parameters[name]
        if expression is None:
            raise UsageError(
                f"{self.statement.key}: say what {name} is in {quantity}.bind({name}=...)"
            )
        return float(evaluate(expression, self.values))

    @property
    def run_by_run(self) -> bool:
        """Whether the claim is of each run's own numbers, so that means of them will not do."""
        return self.statement.claim.mode in ("every run", "with probability")

    @cached_property
    def rule(self) -> UpdateRule:
        """The statement's algorithm at these values."""
        return build_rule(self.statement, self.values)

    @property
    def rounds(self) -> int:
        """The algorithm's horizon, or 1."""
        return self.statement.rounds(self.values)

    @property
    def batch_size(self) -> int:
        """The algorithm's batch, or 1."""
        return self.statement.batch_size(self.values)

    @cached_property
    def steps(self) -> float:
        """Expected stochastic steps of one replica, which must follow one another."""
        algorithm = self.statement.algorithm
        if algorithm is None:
            return 1.0
        if registry.rule(algorithm.rule).restarts is UpdateRule.restarts:  # a step a round
            return float(self.rounds)
        return self.rounds * steps_per_round(self.rule)

    @cached_property
    def deterministic(self) -> bool:
        """Whether every repetition gives the same numbers: no noise and no random choices."""
        if self.statement.algorithm is None:
            return True
        law, sigma = self.objective.outcomes(), self.objective.constants().get("sigma")
        quiet = (law is not None and len(law[0]) == 1) or (sigma is not None and float(sigma) == 0)
        rule = self.rule
        mask = rule.restarts(np.random.default_rng(0), 0, 1, 2)
        return quiet and not rule.draws and (mask is None or mask.shape[1] == 1)

    @cached_property
    def feasible(self) -> bool:
        """Whether the effort pays for the fewest replicas that still give an interval."""
        return (
            self.steps * self.batch_size * LEAST_REPLICAS <= self.effort
            and self.steps <= self.effort / GRADIENTS_PER_STEP
        )

    def affordable(self, gradients_per_replica: float) -> int:
        """How many replicas the effort pays for, at least ``LEAST_REPLICAS``."""
        paid = int(self.effort / max(1.0, gradients_per_replica))
        return max(min(LEAST_REPLICAS, self.replicas), min(self.replicas, paid))


Law = Literal["arithmetic", "law", "samples"]
Range = tuple[np.ndarray | float, np.ndarray | float]


@dataclass(frozen=True)
class Measurement:
    """Measured quantities by name, each of shape ``(instances, replicas)``.

    Rows are instances that must obey the claim one by one; columns are independent repetitions
    whose mean must obey it.

    Attributes
    ----------
    values : mapping of str to ndarray
    law : "arithmetic", "law" or "samples"
        How the numbers are known: computed (a run without randomness, pointwise quantities, a
        supremum over what was tried), expectations over every outcome, or sampled. Of the first
        two there is one column. Among samples a quantity of one column is known exactly.
    rounding : float or ndarray, shape (instances,)
        Bounds the floating-point error of each instance's measured side beyond the usual 1e-9 of
        its terms.
    scales : mapping
        The size of the numbers that a quantity is a difference of, whose rounding it inherits.
    from_below : set of str
        Quantities that are suprema, approached from below.
    ranges : mapping
        Certified range of one repetition's number, a pair of numbers or of arrays of shape
        ``(instances, 1)``; ``(-inf, inf)`` where it is left out. Half of it may be infinite: a
        lower confidence bound of a nonnegative mean needs no upper range.
    earlier : Measurement, optional
        What it were, had the run ended at some of the experiment's horizons: an instance each.
    ends : tuple of int
        Which, of what is such an ``earlier`` one.
    """

    values: Mapping[str, np.ndarray]
    law: Law
    labels: tuple[str, ...] = field(default=())
    rounding: np.ndarray | float = 0.0
    scales: Mapping[str, np.ndarray | float] = field(default_factory=dict)
    from_below: frozenset[str] = frozenset()
    ranges: Mapping[str, Range] = field(default_factory=dict)
    earlier: Measurement | None = None
    ends: tuple[int, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether nothing was sampled."""
        return self.law != "samples"


class Protocol(abc.ABC):
    """Measures a set of quantities together, so that they are coupled as the claim needs.

    Class attributes
    ----------------
    provides : frozenset of str
        The names of the quantities that it measures.
    of_objective : bool
        Whether the numbers depend on the objective; where they do not (a rule's probabilities for
        given gradients), a second objective would repeat the first.
    """

    provides: ClassVar[frozenset[str]]
    of_objective: ClassVar[bool] = True

    def measures(self, quantities: frozenset[Measured]) -> bool:
        """Whether it can measure all of these; by default those that it ``provides`` by name.

        A quantity that declares a path is measured by that, whatever its name.
        """
        return all(q.name in self.provides and q.path is None for q in quantities)

    @abc.abstractmethod
    def measure(self, experiment: Experiment) -> Measurement:
        """Measure the experiment's quantities.

        The instances (rows) depend on the seed alone: more effort or another ``repeat`` measures
        the same ones again, more sharply or with fresh randomness.
        """


def value_scale(objective: Objective, *values: Any) -> float:
    """The size of the numbers that values of F are computed from.

    Near a minimum F is small, but not what it is the sum or difference of: a certified bound on
    the values counts as well, and what they vary by between neighbouring floats.
    """
    bound = objective.constants().get("Bf")
    sizes = np.abs(np.concatenate([np.ravel(np.asarray(v, dtype=float)) for v in values]))
    # A run that diverged says nothing of rounding.
    return max(
        float(sizes[np.isfinite(sizes)].max(initial=0.0)),
        0.0 if bound is None else float(bound),
        value_grain(objective) / float(np.finfo(float).eps),
    )


@lru_cache(maxsize=64)
def value_grain(objective: Objective) -> float:
    """The largest jump of F between neighbouring floats, around the start and the minimizer.

    There F itself hardly moves: the jumps are the rounding of terms that cancel.

    >>> import synthetic
    >>> value_grain(synthetic.quadratic(dim=1, start=0.0))
    0.0
    """
    least = objective.minimizer()
    jumps = [0.0]
    for point in (objective.start,) if least is None else (objective.start, least):
        steps = torch.arange(-8, 9, dtype=point.dtype).unsqueeze(-1)
        near = point * (1 + torch.finfo(point.dtype).eps * steps)
        with torch.no_grad():
            values = objective.value(objective.inside(near))
        jumps.append(float(values.diff().abs().nan_to_num(0.0, 0.0, 0.0).max()))
    return max(jumps)


def gradient_scale(objective: Objective, *at: tuple[Tensor, Tensor]) -> np.ndarray:
    """The size of the numbers that gradients are computed from, summed over points ``(w, g)``.

    A small gradient far from the origin, or one of many terms that cancel, carries the rounding of
    ``ell ||w||`` and of the steepest slope.
    """
    known = {k: float(v) for k, v in objective.constants().items()}
    bend = known.get("ell", known.get("L", 0.0))
    sizes = [(norm(g) + bend * norm(w)).numpy() + known.get("G", 0.0) for w, g in at]
    return np.asarray(sum(sizes))


def square_scale(norms: np.ndarray | float, blur: np.ndarray | float) -> np.ndarray:
    """The scale whose loss is the error of a squared norm that is known up to ``blur``.

    >>> float(LOST * square_scale(3.0, 0.5)) == 3.5**2 - 3.0**2
    True
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a run may diverge
        return np.asarray(blur * (2 * norms + blur) / LOST)


def steps_per_round(rule: UpdateRule) -> float:
    """The mean number of steps in a round, from a sample of the rule's restarts.

    >>> from theorylab.method import SGD, TRSGD
    >>> steps_per_round(SGD(eta=0.1)), steps_per_round(TRSGD(lam=2.0, S=4))
    (1.0, 4.0)
    """
    mask = rule.restarts(np.random.default_rng(0), 2**20, 4096, 4)
    return 1.0 if mask is None else float(1 / max(mask.mean(), 1 / mask.size))


def is_one_step(rule: UpdateRule) -> bool:
    """Whether the first round is one step on its own gradient, without other randomness.

    >>> from theorylab.method import SGD, TRSGD
    >>> [is_one_step(rule) for rule in (SGD(eta=0.1), TRSGD(lam=2.0, S=1), TRSGD(lam=2.0, S=4))]
    [True, True, False]
    """
    starts = round_starts(rule, 1)
    return starts is not None and len(starts) == 1 and rule.lags == 1 and not rule.draws


def begins_fresh(rule: UpdateRule) -> bool:
    """Whether a round depends on the rounds before it through ``w`` alone.

    The rule is run on random gradients: a second round from the state that the first one left,
    and from a fresh state at the same ``w`` and ``t``. A claim on one round of a rule that does
    not begin fresh must be tried on states that earlier rounds leave. A rule that asks for more
    than gradients and values is taken for one that does not.

    >>> from theorylab.method import MSGD, SGD, TRSGD
    >>> [begins_fresh(rule) for rule in (SGD(eta=0.1), TRSGD(lam=2.0, S=4), MSGD(eta=0.1))]
    [True, True, False]
    """
    rng = np.random.default_rng(13)
    slopes, shifts = torch.from_numpy(rng.standard_normal((2, 8, 1, 7)))
    long = rule.restarts(np.random.default_rng(0), 0, 2, 1) is not None
    begins = [True, False, False]

    def oracle_of(k: int, w: Tensor) -> Oracle:
        return FunctionOracle(lambda x: slopes[k] * x + shifts[k],
                              lambda x: (slopes[k] * x).sum(-1, keepdim=True))  # fmt: skip

    def own(k: int, w: Tensor) -> dict[str, Tensor]:
        draws = np.random.default_rng([17, k])
        sizes = {d.name: (1, 1) if d.per == "run" else (1, 7) for d in rule.draws}
        return {
            d.name: torch.from_numpy(
                draws.random(sizes[d.name])
                if d.law == "uniform"
                else draws.standard_normal(sizes[d.name])
            )
            for d in rule.draws
        }

    start = torch.from_numpy(rng.standard_normal((1, 7)))
    second = begins if long else begins[:1]
    try:
        with torch.no_grad():
            *_, (w, state) = follow(rule, start, oracle_of, begins if long else [True] * 3, own=own)
            *_, (kept, _) = follow(rule, w, oracle_of, second, state=state, first=3, own=own)
            *_, (fresh, _) = follow(rule, w, oracle_of, second, first=3, own=own)
    except UsageError:
        return False
    return bool(torch.allclose(kept, fresh, rtol=1e-12, atol=1e-12))


def build_rule(statement: Statement, values: Mapping[str, Any]) -> UpdateRule:
    """The statement's algorithm with its fields as the statement binds them.

    A setting that depends on ``t`` becomes a schedule. A field without a default may be left to
    the statement's symbol of its name; any other is bound openly, or keeps its default.

    Raises
    ------
    UsageError
        If the rule lacks a value, has no such setting, or refuses its values; if a field has the
        name of a symbol and is not bound (an accuracy named eps is not Adam's).

    >>> from bounds import sngm
    >>> rule = build_rule(sngm.theorem_1, {"eta": 0.1, "beta": 0.5})
    >>> rule.name, rule.eta, rule.beta
    ('sngm', 0.1, 0.5)
    """
    algorithm = statement.algorithm
    if algorithm is None:
        raise UsageError(f"{statement.key} names no algorithm")
    rule = registry.rule(algorithm.rule)
    known = statement.resolve(values)
    specs = {spec.name: spec for spec in dataclasses.fields(rule)}
    own = {s.name for s in (*statement.symbols, *statement.prescription)}
    for name in algorithm.settings:
        if name not in specs:
            raise UsageError(
                f"{statement.key} sets {name}; {rule.name} has only {', '.join(sorted(specs))}"
            )
    arguments: dict[str, Any] = {}
    for name, spec in specs.items():
        if name in algorithm.settings:
            given = algorithm.settings[name]
            arguments[name] = given if isinstance(given, str) else _setting(given, known)
        elif spec.default is MISSING and spec.default_factory is MISSING:
            # A field without a default may be named by the statement's symbol of that name.
            if name not in known:
                raise UsageError(
                    f"{statement.key}: {rule.name} needs {name}; give it in "
                    f"Algorithm({rule.name!r}, {{{name!r}: ...}}), or name the symbol in the "
                    "claim, conditions or prescription"
                )
            arguments[name] = float(known[name])
        elif name in own:
            raise UsageError(
                f"{statement.key} has a symbol {name} and {rule.name} a field {name}: say whether "
                f"they are the same in Algorithm({rule.name!r}, {{{name!r}: ...}})"
            )
        if str(spec.type).startswith("int") and name in arguments:
            arguments[name] = round(arguments[name])
    try:
        return rule(**arguments)
    except ValueError as error:
        raise UsageError(f"{statement.key}: {error}") from error


def symbol_of(statement: Statement, name: str) -> Symbol | None:
    """The statement's symbol that is a field of its rule; ``None`` where none alone is.

    >>> from bounds import lrsgd
    >>> symbol_of(lrsgd.theorem_4_9_repaired, "S"), symbol_of(lrsgd.theorem_4_9_repaired, "eta")
    (S, None)
    """
    assert statement.algorithm is not None
    given = statement.algorithm.settings.get(name)
    if name not in statement.algorithm.settings:
        specs = dataclasses.fields(registry.rule(statement.algorithm.rule))
        required = {spec.name for spec in specs
                    if spec.default is MISSING and spec.default_factory is MISSING}  # fmt: skip
        own = {s.name: s for s in (*statement.symbols, *statement.prescription)}
        given = own.get(name) if name in required else None
    return given if isinstance(given, Symbol) else None


def _setting(expression: sp.Expr, values: Mapping[str, Any]) -> float | Expression:
    expression = sp.sympify(expression)
    if "t" not in {symbol.name for symbol in expression.free_symbols}:
        return float(evaluate(expression, values))
    numbers = {s: float(values[s.name]) for s in expression.free_symbols if s.name != "t"}
    return Expression(expression.subs(numbers))
