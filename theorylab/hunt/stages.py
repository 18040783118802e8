"""The stages of a search: units, orders, the domain's corners, random points, CMA-ES."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import sympy as sp

from bounds.claim import DomainError
from bounds.evaluation import evaluate
from bounds.statement import Statement
from bounds.symbol import Measured
from theorylab.engine.metering import metered
from theorylab.errors import UsageError
from theorylab.hunt.arms import (
    Arm,
    arms,
    finer_values,
    grid,
    too_long,
    typical_values,
    with_ends,
)  # fmt: skip
from theorylab.hunt.instance import FAILURES, Evaluation, Instance, score
from theorylab.hunt.rescaling import rescaling_attack
from theorylab.judge.check import constants_for
from theorylab.judge.domain import enough, points, unbounded
from theorylab.judge.rates import follows_by_algebra
from theorylab.plugins.specs import Spec

__all__ = ["Search"]

_Result = TypeVar("_Result")

_CORNERS_END = 0.3  # share of the search after which no corner is begun
_TERMS_END = 0.5  # likewise for the points at which one term leads
_RESERVE = 0.6  # share of the search spent before its local part begins
_FIRST = 4  # arms whose second corner comes at once where a symbol has no upper end
_UNITS = 3  # changes of units that may be tried for each instance of a search with a limit
_POWERS = (1.0, -1.0, 0.5, -0.5)  # of the size, that a moving function's parameters follow
_CLOSER = (8, 3)  # of an O(.) claim: how many of the best get how many times the effort, squared


@dataclass
class Search:
    """Candidates stage by stage, until ``budget`` seconds or ``limit`` instances are spent.

    With a ``limit``, also until the measurements took ``allowed`` sample gradients in all.

    A true order has no instance that grows, so for O(.) claims the whole budget goes to the
    stages ``orders`` and ``courses``; every other claim is hunted in the others.
    """

    statement: Statement
    specs: Sequence[Spec] | None
    budget: float
    limit: int | None
    seed: int
    replicas: int
    watch: Callable[[Evaluation], None] | None
    allowed: float = math.inf
    start: tuple[Instance, ...] = ()
    work: float = 0.0
    asked: int = 0
    evaluations: int = 0
    how: str = ""
    how_best: str = ""
    reason: str = ""
    outside: str = ""
    applicable: bool = False
    begun: float = 0.0
    every: list[Arm] = field(default_factory=list)
    pool: list[tuple[float, int, np.ndarray, int]] = field(default_factory=list)

    def prepare(self) -> None:
        """Build the objectives; its seconds count from here on."""
        try:
            self.every, self.reason = arms(self.statement, self.specs, self.seed)
        except UsageError as error:
            self.reason = str(error)
        self.applicable = bool(self.every)
        self.begun = time.monotonic()

    def candidates(self) -> Iterator[Evaluation]:
        """Every evaluation, in the order made."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0xFA,)))
        every = self.every
        best = -math.inf
        stages: tuple[tuple[str, Any], ...] = (
            (("orders", self._orders), ("courses", self._courses))
            if self.statement.claim.big_o else
            (("units", self._units), ("corners", self._corners), ("terms", self._led),
             ("random", self._random), ("cma", self._cma))
        )  # fmt: skip
        for stage, source in (("kept", self._kept), *stages):
            for found in source(every, rng):
                self.how = stage
                if self.score(found) > best:
                    best, self.how_best = self.score(found), stage
                yield found

    def aside(self, work: Callable[[], _Result]) -> _Result:
        """What ``work`` returns; its seconds are not the search's."""
        before = time.monotonic()
        found = work()
        self.begun += time.monotonic() - before
        return found

    def score(self, found: Evaluation) -> float:
        """See :func:`theorylab.hunt.instance.score`."""
        return score(found.verdict, self.statement)

    def _evaluate(self, instance: Instance | None, closer: int = 1) -> Evaluation | None:
        self.asked += 1
        if instance is None or too_long(self.statement, instance.values):
            return None
        self.evaluations += 1
        before = time.monotonic()
        try:
            with warnings.catch_warnings(), metered() as meter:
                warnings.simplefilter("ignore", RuntimeWarning)
                verdict = instance.check(
                    self.statement, replicas=closer * self.replicas, effort=1e5 * closer
                )
        except FAILURES as error:
            self.reason = str(error)
            if isinstance(error, DomainError):  # the values are at fault, not what was asked
                self.outside = self.reason
            return None
        finally:
            self.work += meter.work
        found = Evaluation(instance, verdict, time.monotonic() - before)
        if self.watch is not None:
            self.watch(found)
        return found

    # --- how to look ----------------------------------------------------------------------------
    def _kept(self, every: list[Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
        """What was found before; it takes nothing from what the search may spend in instances."""
        for instance in self.start:
            asked, work = self.asked, self.work
            found = self._evaluate(instance)
            self.asked, self.work = asked, work
            if found is not None:
                yield found

    def _orders(self, every: list[Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
        """All hyperparameters on a grid, on every arm's own objective; the best once more."""
        seen: list[Evaluation] = []
        grids = [(arm, grid(self.statement, arm)) for arm in every]
        while grids and not self._late(_RESERVE):
            left = []
            for arm, rows in grids:
                if self._late(_RESERVE):
                    break
                values = next(rows, None)
                if values is None:
                    continue
                left.append((arm, rows))
                instance = replace(arm.home, values=values, seed=self.seed)
                if seen and self._known_order(instance):
                    self.asked += 1
                    continue  # no growth could refute it there
                found = self._evaluate(instance)
                if found is not None:
                    seen.append(found)
                    yield found
            grids = left
        count, times = _CLOSER
        seen.sort(key=self.score, reverse=True)
        for found in seen[:count]:
            if self._late(1.0):
                return
            again = self._evaluate(found.instance, closer=self._affordable(found, times**2))
            if again is not None:
                yield again

    def _courses(self, every: list[Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
        """Functions that move with the size, of one class, without noise; likeliest first."""
        rate = self.statement.rate
        if rate is None or not rate.grows or rate.scale.role == "constant":
            return
        for power in _POWERS:
            for arm in every:
                for instance in arm.moving(self.statement, power):
                    if self._late(1.0):
                        return
                    instance = replace(instance, seed=self.seed)
                    if self._known_order(instance):
                        self.asked += 1
                        continue
                    found = self._evaluate(instance)
                    if found is not None:
                        yield found

    def _affordable(self, found: Evaluation, most: int) -> int:
        """How many times an evaluation's effort the seconds left allow, ``most`` at most."""
        if self.limit is not None or not found.seconds > 0:
            return most
        left = self.begun + self.budget - time.monotonic()
        return max(1, min(most, int(left / found.seconds)))

    def _known_order(self, instance: Instance) -> bool:
        try:
            objective = instance.objective(self.statement)
            assert objective is not None
            return follows_by_algebra(self.statement, objective, instance.values, seed=self.seed)
        except FAILURES:
            return False

    def _units(self, every: list[Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
        if self.statement.units_fault is None:
            return
        specs = [arm.spec for arm in every if arm.spec is not None and not arm.quiet]
        seconds = math.inf if self.limit is not None else 0.25 * self.budget
        most = None if self.limit is None else _UNITS * self.limit
        attack = rescaling_attack(self.statement, specs, seed=self.seed, budget=seconds, limit=most)
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

    def _corners(self, every: list[Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
        """The domain's corners on every arm's own default objective, as many as a check tries."""
        tables: list[list[dict[str, Any]]] = []
        for arm in every:
            home = arm.home.objective(self.statement)
            known = {} if home is None else constants_for(self.statement, home)
            tables.append(points(self.statement, known, self.seed, enough(self.statement, known)))
        turns = [(turn, k) for k, table in enumerate(tables) for turn in range(len(table))]
        # What attains its constants shows first whether a condition was forgotten.
        first = _FIRST if any(unbounded(self.statement, s) for s in self.statement.symbols) else 0
        turns.sort(key=lambda at: (at[0] > 1 or at[1] >= first, *at))
        for turn, k in turns:
            if self._late(_CORNERS_END):
                return
            values = {name: float(tables[k][turn][name]) for name in every[k].free}
            found = self._evaluate(replace(every[k].home, values=values, seed=self.seed))
            if found is not None:
                yield found

    def _led(self, every: list[Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
        """Every arm's own objective where one term leads, if it can, at typical counts.

        A short run attains the first term of many bounds whatever the others claim, and hides
        them from a search for the largest ratio: terms that fewer hyperparameters move come first.
        """
        for term, pinned in self._led_by():
            for k, arm in enumerate(every):
                if self._late(_TERMS_END):
                    return
                if not pinned.keys() <= set(arm.free):
                    continue
                instance, at = arm.lead(self.statement, term, pinned)
                if instance is None:
                    continue
                found = self._evaluate(replace(instance, seed=self.seed))
                if found is not None:
                    self.pool.append((self.score(found), k, at, self._leading(found)))
                    yield found

    def _led_by(self) -> Iterator[tuple[sp.Expr, dict[str, float]]]:
        """Each term with each choice of its counts: typical ones, then those between."""
        moved = set(self.statement.hyperparameters)
        terms = sorted(self._terms, key=lambda term: len(term.free_symbols & moved))
        seen = set()
        for values in (typical_values, finer_values):
            for term in terms:
                counts = [s for s in self.statement.symbols
                          if s in term.free_symbols & moved and s.domain.integer]  # fmt: skip
                for usual in itertools.product(*map(values, counts)):
                    if (term, usual) not in seen:
                        seen.add((term, usual))
                        yield term, {s.name: v for s, v in zip(counts, usual, strict=True)}

    def _random(self, every: list[Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
        """Random points; in turns, points at which one term of the bound leads."""
        turn = 0
        while every and not self._late(_RESERVE) and any(arm.size for arm in every):
            for k, arm in enumerate(every):
                at = with_ends(rng, arm.size)
                if turn % 2 and self._terms and arm.free:
                    at = at if turn % 4 == 1 and self.pool else arm.center()
                    term = self._terms[turn // 2 % len(self._terms)]
                    at = arm.lean(self.statement, at, term, rng)
                found = self._evaluate(arm.at(self.statement, at, self.seed))
                if found is not None:
                    self.pool.append((self.score(found), k, at, self._leading(found)))
                    yield found
                if self._late(_RESERVE):
                    return
            turn += 1

    def _cma(self, every: list[Arm], rng: np.random.Generator) -> Iterator[Evaluation]:
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
            yield from self._descend(every[k], at, self._spent + share, turn, term)

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
        self, arm: Arm, at: np.ndarray, until: float, turn: int, term: int
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
                if self.limit is None and self._late(1.0):  # a search with a limit ends as it did
                    return
                found = self._evaluate(arm.at(self.statement, np.asarray(x)[: arm.size], self.seed))
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
            return max(self.asked / self.limit, self.work / self.allowed)
        spent = time.monotonic() - self.begun
        return spent / self.budget if self.budget > 0 else math.inf

    def _late(self, share: float) -> bool:
        return self._spent >= share
