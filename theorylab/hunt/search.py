"""The hunt: maximise measured/bound over objectives and over the statement's whole domain.

A search moves what objective families declare movable and every free symbol of the statement,
corners of the domain included. It knows statements only through their claims, so it treats one
it never met like any other. What it finds is believed only if it repeats: the winner is measured
again with fresh randomness, with a confidence corrected for every winner of the whole hunt.
"""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy as sp
import torch

from bounds.statement import Statement, evaluate
from bounds.symbol import Measured
from theorylab.errors import UsageError
from theorylab.hunt.rescaling import rescale, rescaling_attack, without_noise
from theorylab.judge.check import check, constants_for
from theorylab.judge.domain import place, points
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry
from theorylab.plugins.specs import Spec, build_objective, objective_specs
from theorylab.problem.objective import Objective, Parameter

__all__ = ["CONFIDENCE", "Evaluation", "Hunt", "Instance", "hunt", "score"]

CONFIDENCE = 0.999
"""Of a whole hunt: the chance that it calls any true statement violated is at most 0.1%."""

_TRIES = 3  # winners that may be re-evaluated before a statement is left alone
_REPLICAS = 4096  # of a confirmation
_LONGEST = 4_000  # sample gradients of one replica that one evaluation may take
_RESERVE = 0.6  # share of the budget spent before the local search begins
_CORNERS = 6
# What building or measuring an instance outside its range may raise: it is no candidate then.
_FAILURES = (ValueError, LookupError, ArithmeticError, torch.linalg.LinAlgError)


@dataclass(frozen=True)
class Instance:
    """All that is needed to measure a statement once more.

    Attributes
    ----------
    spec : mapping, optional
        The objective; ``None`` for relations between numbers.
    values : mapping of str to float
        The statement's hyperparameters (for relations between numbers, all its symbols).
    seed : int
        Chooses the points and twins, as in :func:`theorylab.check`.
    a, b : float
        Units of value and length in which the objective is taken.
    quiet : bool
        Whether exact gradients stand in for the objective's stochastic ones.
    """

    spec: Spec | None
    values: Mapping[str, float]
    seed: int = 0
    a: float = 1.0
    b: float = 1.0
    quiet: bool = False

    def objective(self, statement: Statement) -> Objective | None:
        """The objective, in its units."""
        if self.spec is None:
            return None
        built = _objective(_frozen(self.spec))
        built = without_noise(built) if self.quiet else built
        if self.a == self.b == 1.0:
            return built
        units = {s.name: s.units for s in (*statement.symbols, *statement.constants)}
        return rescale(built, self.a, self.b, units)

    def check(self, statement: Statement, **options: Any) -> Verdict:
        """:func:`theorylab.check` at exactly this instance."""
        return check(statement, self.objective(statement), values=self.values, count=1,
                     seed=self.seed, **options)  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self) | {"values": dict(self.values), "spec": self.spec and dict(self.spec)}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Instance:
        """The inverse of :meth:`to_json`."""
        return cls(**{k: table[k] for k in cls.__dataclass_fields__ if k in table})


@dataclass(frozen=True)
class Evaluation:
    """One measurement made by a hunt."""

    instance: Instance
    verdict: Verdict


@dataclass(frozen=True)
class Hunt:
    """What a hunt concluded about one statement.

    Attributes
    ----------
    verdict : str
        ``"violated"``: a winner repeated on fresh randomness. ``"not refuted"``: none did,
        which is no proof. ``"not applicable"``: no registered objective satisfies its
        assumptions, or nothing measures it.
    best : Verdict, optional
        At the winner, as last measured.
    instance : Instance, optional
        The winner.
    how : str
        Which search found it: ``"units"``, ``"corners"``, ``"random"`` or ``"cma"``.
    evaluations, seconds : int, float
        What it cost.
    reason : str
    """

    key: str
    form: str
    verdict: str
    best: Verdict | None = None
    instance: Instance | None = None
    how: str = ""
    evaluations: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def ratio(self) -> float:
        """The best measured/bound, a sampled one at the lower end of its interval; 0 if none."""
        best = self.best
        if best is None or math.isnan(best.ratio):
            return 0.0
        if best.interval[0] == best.interval[1] or not best.bound > 0:
            return best.ratio
        return max(0.0, best.interval[0] / best.bound)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "key": self.key, "form": self.form, "verdict": self.verdict, "how": self.how,
            "evaluations": self.evaluations, "seconds": round(self.seconds, 3),
            "reason": self.reason,
            "ratio": self.ratio if math.isfinite(self.ratio) else None,
            "best": None if self.best is None else self.best.to_json(),
            "instance": None if self.instance is None else self.instance.to_json(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Hunt:
        """The inverse of :meth:`to_json`."""
        kept = {k: table[k] for k in cls.__dataclass_fields__ if k in table}
        if kept.get("best") is not None:
            kept["best"] = Verdict.from_json(kept["best"])
        if kept.get("instance") is not None:
            kept["instance"] = Instance.from_json(kept["instance"])
        return cls(**kept)


def score(verdict: Verdict, statement: Statement) -> float:
    """What the search maximises: how far the measured side exceeds the bound, in [-1, 1].

    ``(m - b)/(|m| + |b|)`` grows with ``m/b`` and stays finite where the bound is 0 or
    negative; a sampled ``m`` counts at the lower end of its interval, so luck is not sought. For an
    equation it is the relative distance of the two sides.

    >>> from bounds import Claim
    >>> from bounds.notation import ell
    >>> claim = Statement("demo.x", "X", "printed", Claim(ell, "<=", 1))
    >>> score(Verdict("demo.x", "printed", "violated", 3.0, (3.0, 3.0), 1.0), claim)
    0.5
    """
    if statement.claim.big_o:
        return -1.0 if verdict.growth is None else math.tanh(verdict.growth[1])
    error = verdict.measured - verdict.interval[0]
    gap = verdict.measured - verdict.bound
    if verdict.verdict == "not refuted" and error == 0:
        return -1.0  # exact and undecided: an overflow
    if statement.claim.sense == "==":
        gap = abs(gap)
    elif verdict.bound <= 0 and verdict.verdict != "violated":
        return -1.0  # 0 <= 0 says nothing
    total = abs(verdict.measured) + abs(verdict.bound)
    value = (gap - error) / total if total > 0 else 0.0
    return max(-1.0, min(1.0, value)) if math.isfinite(value) else -1.0


def hunt(
    statement: Statement,
    specs: Sequence[Spec] | None = None,
    *,
    budget: float = 10.0,
    seed: int = 0,
    family: int = 1,
    confidence: float = CONFIDENCE,
    replicas: int = 128,
    watch: Callable[[Evaluation], None] | None = None,
    stop: bool = True,
    limit: int | None = None,
) -> Hunt:
    """Search for an instance on which the statement fails.

    Parameters
    ----------
    statement : Statement
    specs : sequence of mapping, optional
        Objectives to start from; every registered family's default instances otherwise. A
        family's declared parameters are moved.
    budget : float
        Seconds of search (the confirmation of a winner comes on top).
    seed : int
    family : int
        How many statements are hunted together: the confidence is corrected for all.
    confidence : float
        Of the whole hunt.
    replicas : int
        Repetitions of a sampled measurement during the search; a confirmation takes many more.
    watch : callable, optional
        Sees every evaluation.
    stop : bool
        Whether to stop at the first confirmed violation.
    limit : int, optional
        Instances to try, in place of ``budget``: the hunt is then the same, bit for bit, on any
        machine.

    Returns
    -------
    Hunt

    Examples
    --------
    >>> from bounds import Claim, Condition
    >>> from bounds.notation import beta
    >>> false = Statement("demo.false", "Remark", "printed", Claim(1 / (1 - beta), "<=", 3),
    ...                   conditions=(Condition(beta, "<=", 0.7),))
    >>> found = hunt(false, budget=5.0)
    >>> found.verdict, round(found.instance.values["beta"], 6)
    ('violated', 0.7)
    """
    begun = time.monotonic()
    search = _Search(statement, specs, budget, limit, seed, replicas, watch)
    risk = (1 - confidence) / max(1, family) / (_TRIES + 1)
    tries, how = 0, ""
    confirmed: Evaluation | None = None
    winner: Evaluation | None = None
    for candidate in search.candidates():
        if winner is None or search.score(candidate) > search.score(winner):
            winner = candidate
        if candidate.verdict.verdict != "violated" or tries >= _TRIES or confirmed is not None:
            continue
        tries += 1
        again = _confirm(statement, candidate.instance, tries, risk, seed)
        if again is not None and again.verdict == "violated":
            confirmed = Evaluation(candidate.instance, again)
            how = search.how
            if stop:
                break
    if confirmed is not None and winner is not None and winner.instance != confirmed.instance:
        # Searching went on (stop=False): the best instance found counts, if it repeats as well.
        again = _confirm(statement, winner.instance, _TRIES, risk, seed)
        if again is not None and again.verdict == "violated":
            confirmed, how = Evaluation(winner.instance, again), search.how_best
    spent = time.monotonic() - begun
    common: dict[str, Any] = {"evaluations": search.evaluations, "seconds": spent}
    if confirmed is not None:
        return Hunt(statement.key, statement.form, "violated", confirmed.verdict,
                    confirmed.instance, how, **common)  # fmt: skip
    if winner is None:
        return Hunt(statement.key, statement.form, "not applicable", reason=search.reason, **common)
    if not search.exact(winner):
        # The winner's own number is the luckiest of many: report it as measured afresh.
        # An order needs the full sizes to show that it grows.
        enough = _REPLICAS if statement.claim.big_o else 4 * replicas
        again = _confirm(statement, winner.instance, _TRIES + 1, risk, seed, enough)
        winner = winner if again is None else Evaluation(winner.instance, again)
        # That is one of the confirmations that the risk was shared among.
        if again is not None and again.verdict == "violated":
            return Hunt(statement.key, statement.form, "violated", again, winner.instance,
                        search.how_best, **common)  # fmt: skip
    return Hunt(statement.key, statement.form, "not refuted", winner.verdict, winner.instance,
                search.how_best, reason=f"{tries} winners did not repeat" if tries else "",
                **common)  # fmt: skip


def _confirm(
    statement: Statement,
    instance: Instance,
    attempt: int,
    risk: float,
    seed: int,
    replicas: int = _REPLICAS,
) -> Verdict | None:
    """The instance on randomness that no search has seen."""
    fresh = replace(instance, seed=instance.seed + 1) if statement.claim.big_o else instance
    try:
        return fresh.check(
            statement, replicas=replicas, effort=1e3 * replicas, confidence=1 - risk,
            repeat=1_000_000 + 1000 * attempt + seed,
        )  # fmt: skip
    except _FAILURES:
        return None


# --- the search ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Arm:
    """A family with the default parameters that a search starts from (or numbers alone)."""

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
        return len(self.parameters) + len(self.free) + 2 * self.rescaled


@dataclass
class _Search:
    """Candidates from corners, then random points, then CMA-ES from the best, until time is up."""

    statement: Statement
    specs: Sequence[Spec] | None
    budget: float
    limit: int | None
    seed: int
    replicas: int
    watch: Callable[[Evaluation], None] | None
    asked: int = 0
    evaluations: int = 0
    how: str = ""
    how_best: str = ""
    reason: str = ""
    pool: list[tuple[float, int, np.ndarray, int]] = field(default_factory=list)

    def candidates(self) -> Iterator[Evaluation]:
        """Every evaluation, in the order made."""
        self.begun = time.monotonic()
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0xFA,)))
        try:
            arms = self._arms()
        except UsageError as error:
            self.reason = str(error)
            return
        best = -math.inf
        for stage, source in (("units", self._units), ("corners", self._corners),
                              ("random", self._random), ("cma", self._cma)):  # fmt: skip
            for found in source(arms, rng):
                self.how = stage
                if self.score(found) > best:
                    best, self.how_best = self.score(found), stage
                yield found

    def score(self, found: Evaluation) -> float:
        return score(found.verdict, self.statement)

    def exact(self, found: Evaluation) -> bool:
        return found.verdict.exact

    # --- where to look --------------------------------------------------------------------------
    def _arms(self) -> list[_Arm]:
        statement = self.statement
        # The constant that an O(.) hides may carry units.
        rescaled = statement.units_fault is not None and not statement.claim.big_o
        prescribed = {s.name for s in statement.prescription}
        if not statement.claim.measured:
            free = tuple(s.name for s in statement.symbols if s.name not in prescribed)
            return [_Arm(None, (), free, False)]
        specs = objective_specs() if self.specs is None else self.specs
        arms = []
        for spec, quiet in itertools.product(specs, (False, True)):
            try:
                objective = Instance(spec, {}, quiet=quiet).objective(statement)
                assert objective is not None
                known = constants_for(statement, objective)
                first = points(statement, known, self.seed, 1)[0]
            except ValueError as error:
                self.reason = str(error)
                continue
            free = tuple(
                s.name for s in statement.symbols
                if s.name not in known and s.name not in prescribed and s.name in first
            )  # fmt: skip
            moved = registry.family(spec["family"]).parameters
            moved = () if statement.claim.big_o else _movable(spec, moved)
            arms.append(_Arm(spec, moved, free, rescaled, quiet))
        return arms

    def _instance(self, arm: _Arm, at: np.ndarray) -> Instance | None:
        """The instance at a point of the unit cube; values just outside are its faces."""
        u = np.clip((at - 0.5) * 1.08 + 0.5, 0.0, 1.0)
        k, f = len(arm.parameters), len(arm.free)
        fractions = dict(zip(arm.free, u[k : k + f].tolist(), strict=True))
        if arm.spec is None:
            table = place(self.statement, {}, fractions)
            if table is None:
                return None
            return Instance(None, {name: float(table[name]) for name in arm.free}, self.seed)
        moved = {p.name: _value(p, float(x)) for p, x in zip(arm.parameters, u[:k], strict=True)}
        spec = {**arm.spec, "parameters": {**arm.spec.get("parameters", {}), **moved}}
        a, b = (10.0 ** (12 * u[k + f :] - 6)).tolist() if arm.rescaled else (1.0, 1.0)
        draft = Instance(spec, {}, self.seed, a, b, arm.quiet)
        try:
            objective = draft.objective(self.statement)
            assert objective is not None
            known = constants_for(self.statement, objective)
        except _FAILURES:
            return None
        table = place(self.statement, known, fractions)
        if table is None:
            return None
        return replace(draft, values={name: float(table[name]) for name in arm.free})

    def _evaluate(self, instance: Instance | None) -> Evaluation | None:
        self.asked += 1
        if instance is None or _length(instance.values) > _LONGEST:
            return None
        if self.statement.claim.big_o and self._late(_RESERVE):
            return None  # a growth over many sizes takes longest of all
        self.evaluations += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                verdict = instance.check(self.statement, replicas=self.replicas, effort=1e5)
        except _FAILURES as error:
            self.reason = str(error)
            return None
        found = Evaluation(instance, verdict)
        if self.watch is not None:
            self.watch(found)
        return found

    # --- how to look ----------------------------------------------------------------------------
    def _units(self, arms: list[_Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
        if self.statement.units_fault is None or self.statement.claim.big_o:
            return
        specs = [arm.spec for arm in arms if arm.spec is not None and not arm.quiet]
        seconds = math.inf if self.limit is not None else 0.25 * self.budget
        attack = rescaling_attack(self.statement, specs, seed=self.seed, budget=seconds)
        if attack is None:
            return
        names = {s.name for s in self.statement.symbols} if attack.spec is None else {
            s.name for s in self.statement.hyperparameters}  # fmt: skip
        table = {**attack.verdict.constants, **attack.verdict.hyperparameters}
        prescribed = {s.name for s in self.statement.prescription}
        values = {k: v for k, v in table.items() if k in names and k not in prescribed}
        a, b = (1.0, 1.0) if attack.spec is None else (attack.a, attack.b)
        found = self._evaluate(Instance(attack.spec, values, self.seed, a, b))
        if found is not None:
            yield found

    def _corners(self, arms: list[_Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
        """The domain's corners on every arm's own default objective.

        What an O(.) hides may depend on the hyperparameters, and where they are extreme the
        sizes within reach come before the rate: such claims are tried at typical ones alone.
        """
        big_o = self.statement.claim.big_o
        tables: list[list[dict[str, Any]]] = []
        for arm in arms:
            home = arm.home.objective(self.statement)
            known = {} if home is None else constants_for(self.statement, home)
            tables.append(points(self.statement, known, self.seed, _CORNERS, typical=big_o))
        for turn in range(_CORNERS):
            for arm, table in zip(arms, tables, strict=True):
                if self._late(_RESERVE if big_o else 0.3):
                    return
                if turn >= len(table):
                    continue
                values = {name: float(table[turn][name]) for name in arm.free}
                found = self._evaluate(replace(arm.home, values=values, seed=self.seed))
                if found is not None:
                    yield found

    def _random(self, arms: list[_Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
        if self.statement.claim.big_o:
            return
        while arms and not self._late(_RESERVE) and any(arm.size for arm in arms):
            for k, arm in enumerate(arms):
                at = rng.random(arm.size)
                ends = rng.random(arm.size)
                at = np.where(ends < 0.2, 0.0, np.where(ends > 0.75, 1.0, at))
                found = self._evaluate(self._instance(arm, at))
                if found is not None:
                    self.pool.append((self.score(found), k, at, self._leading(found)))
                    yield found
                if self._late(_RESERVE):
                    return

    def _cma(self, arms: list[_Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
        """CMA-ES from the best random points, each term of the bound in the lead in turn.

        Where one term leads, the bound may be attained in ways that say nothing of the others.
        """
        niches: dict[int, list[tuple[int, np.ndarray]]] = {}
        for _, k, at, term in sorted(self.pool, key=lambda p: -p[0]):
            starts = niches.setdefault(term, [])
            if sum(1 for j, _ in starts if j == k) < 2:
                starts.append((k, at))
        # The best start of every niche, then the second best of every niche, and so on.
        rounds = itertools.zip_longest(*([(term, *s) for s in found]
                                         for term, found in niches.items()))  # fmt: skip
        queue = [entry for row in rounds for entry in row if entry is not None]
        for turn, (term, k, at) in enumerate(queue):
            if self._late(1.0):
                return
            share = (1 - self._spent) / min(max(3, len(niches)), len(queue) - turn)
            yield from self._descend(arms[k], at, self._spent + share, turn, term)

    @cached_property
    def _terms(self) -> tuple[sp.Expr, ...]:
        """The terms whose sum is the bound, where there are several to tell apart."""
        large = self.statement.claim.sides[1]
        terms = tuple(t for t in sp.Add.make_args(large) if not t.could_extract_minus_sign())
        apart = len(terms) > 1 and not any(isinstance(x, Measured) for x in large.free_symbols)
        return terms if apart else ()

    def _leading(self, found: Evaluation) -> int:
        """Which term makes up most of the bound."""
        if not self._terms:
            return 0
        table = {**found.verdict.constants, **found.verdict.hyperparameters}
        try:
            sizes = [float(evaluate(term, table)) for term in self._terms]
        except (KeyError, TypeError, ValueError, ArithmeticError):
            return 0
        return int(np.argmax(sizes))

    def _descend(
        self, arm: _Arm, at: np.ndarray, until: float, turn: int, term: int
    ) -> Iterator[Evaluation]:
        import cma

        size = max(2, arm.size)  # CMA-ES needs two dimensions; a spare one moves nothing
        start = np.clip(np.resize(at, size), 0.02, 0.98)
        options = {"bounds": [0, 1], "seed": self.seed + turn + 1, "verbose": -9,
                   "tolfun": 1e-9, "tolx": 1e-6}  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            strategy = cma.CMAEvolutionStrategy(start, 0.2, options)
        while not strategy.stop() and not self._late(until):
            asked = strategy.ask()
            costs = []
            for x in asked:
                found = self._evaluate(self._instance(arm, np.asarray(x)[: arm.size]))
                cost = 2.0
                if found is not None:
                    cost = -self.score(found) if self._leading(found) == term else 1.5
                    yield found
                costs.append(cost)
            if max(costs) == 2.0 == min(costs):
                return
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                strategy.tell(asked, costs)

    @property
    def _spent(self) -> float:
        """The share of the search that is over."""
        if self.limit is not None:
            return self.asked / self.limit
        return (time.monotonic() - self.begun) / self.budget

    def _late(self, share: float) -> bool:
        return self._spent >= share


def _movable(spec: Spec, parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """The family's parameters; noise that the spec leaves out is left out."""
    given = spec.get("parameters", {})
    quiet = given.get("noise", "none") == "none" and "noise" in given
    return tuple(p for p in parameters if not (quiet and p.name == "sigma"))


def _value(parameter: Parameter, fraction: float) -> float | int:
    low, high = parameter.lower, parameter.upper
    if parameter.log:
        value = math.exp(math.log(low) + fraction * math.log(high / low))
    else:
        value = low + fraction * (high - low)
    value = min(max(value, low), high)
    return round(value) if parameter.integer else value


def _length(values: Mapping[str, float]) -> float:
    product = 1.0
    for name in ("T", "B", "S"):
        product *= max(1.0, float(values.get(name, 1.0)))
    return product / max(1e-3, min(1.0, float(values.get("theta", 1.0))))


def _frozen(spec: Spec) -> tuple[str, tuple[tuple[str, Any], ...]]:
    def freeze(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    parameters = spec.get("parameters", {})
    return spec["family"], tuple((k, freeze(v)) for k, v in sorted(parameters.items()))


@lru_cache(maxsize=64)
def _objective(frozen: tuple[str, tuple[tuple[str, Any], ...]]) -> Objective:
    # A search builds thousands: specs.build_objective would keep every one.
    name, parameters = frozen
    if not parameters:
        return build_objective({"family": name})
    return registry.family(name).build(**dict(parameters))
