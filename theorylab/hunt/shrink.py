"""Simplify what a hunt found: fewer knots, samples, rounds and digits while the claim still fails.

Whatever objective a hunt ended on, its restriction to the visited points is enough: a
:class:`theorylab.exact.tabular.Tabular`, whose constants come from its own knots, so the
counterexample no longer leans on any certificate.
"""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from bounds.statement import Statement
from theorylab.exact.tabular import Tabular, tabulates
from theorylab.hunt.search import Hunt, Instance
from theorylab.judge.check import constants_for
from theorylab.judge.domain import place
from theorylab.problem.objective import started_at
from theorylab.quantities.enumeration import enumerate_paths
from theorylab.quantities.points import sample_points
from theorylab.quantities.protocol import Experiment

__all__ = ["shrink", "shrink_instance"]

_KNOTS = 7
_ROUNDS = 60


def shrink_instance(statement: Statement, instance: Instance, budget: float = 10.0) -> Instance:
    """The instance with smaller and rounder parameters, still violated by the same check."""
    deadline = time.monotonic() + budget

    def violated(candidate: Instance) -> bool:
        try:
            verdict = candidate.check(statement, replicas=512, effort=5e5, confidence=0.999)
        except (ValueError, KeyError, ArithmeticError):
            return False
        return verdict.verdict == "violated"

    moved = True
    while moved and time.monotonic() < deadline:
        moved = False
        for candidate in _simpler_instances(instance):
            if time.monotonic() > deadline:
                break
            if violated(candidate):
                instance, moved = candidate, True
                break
    return instance


def _simpler_instances(instance: Instance) -> Iterator[Instance]:
    if not instance.quiet and instance.spec is not None:
        yield replace(instance, quiet=True)
    if (instance.a, instance.b) != (1.0, 1.0):
        yield replace(instance, a=1.0, b=1.0)
    if instance.spec is not None:
        given = dict(instance.spec.get("parameters", {}))
        for name, value in given.items():
            for simpler in _simpler(value):
                if name != "n" or simpler >= 2:
                    yield replace(
                        instance, spec={**instance.spec, "parameters": {**given, name: simpler}}
                    )
    for name, value in instance.values.items():
        for simpler in _simpler(value):
            yield replace(instance, values={**instance.values, name: simpler})


def _simpler(value: Any) -> Iterator[Any]:
    """Simpler numbers, the simplest first; nothing for text and nothing for what is simple."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
        return
    size = _complexity(float(value))
    sign = math.copysign(1, value)
    options = [sign, 2 * sign, sign / 2]
    if float(value).is_integer() and abs(value) > 1:
        options += [value // 2, value - sign]
    elif not float(value).is_integer():
        options += [float(f"{value:.1g}"), float(f"{value:.2g}"), float(f"{value:.3g}")]
    for option in options:
        kept = int(option) if isinstance(value, int) else float(option)
        if kept == option and _complexity(float(option)) < size:
            yield kept


def _complexity(value: float) -> float:
    """Few digits beat many, then small integers beat large ones."""
    exact = Fraction(value).limit_denominator(1000)
    if abs(float(exact) - value) < 1e-12 * abs(value):
        return math.log1p(abs(exact.numerator)) + math.log(exact.denominator)
    return 20.0 + len(f"{value:.6g}")


def shrink(statement: Statement, found: Hunt, budget: float = 60.0) -> Tabular | None:
    """A canonical counterexample from what a hunt found; ``None`` if it has no such form.

    Instances on one dimension with a finite law and few paths have one, and relations between
    numbers. The result violates the claim by itself: its constants come from its own knots.
    ``budget`` is in seconds, for all steps together.
    """
    if found.instance is None:
        return None
    deadline = time.monotonic() + budget
    instance = found.instance
    if statement.claim.big_o:
        return None
    if instance.spec is None:
        table = Tabular(statement, (), (), 0.0, dict(instance.values))
        return _greedy(table, deadline) if table.violates else None
    candidates = [instance]
    smaller = shrink_instance(statement, instance, budget / 6)
    candidates.insert(0, smaller)
    for candidate in candidates:
        tables = [t for t in _tabulate(statement, candidate) if t.violates]
        if tables:
            return _greedy(max(tables, key=lambda t: min(t.ratio, 1e9)), deadline)
    on_line = _search_on_line(statement, smaller, budget / 3)
    return None if on_line is None else _greedy(on_line, deadline)


def _tabulate(statement: Statement, instance: Instance) -> Iterator[Tabular]:
    """The instance's restriction to the visited points, with more and more knots between them."""
    objective = instance.objective(statement)
    assert objective is not None
    law = objective.outcomes()
    if objective.dim != 1 or law is None or len(law[0]) > 64 or np.ptp(law[1]) > 1e-12:
        return
    try:
        known = statement.validate({**constants_for(statement, objective), **instance.values})
    except (ValueError, KeyError):
        return
    if not all(map(tabulates, statement.claim.measured)) or statement.algorithm is None:
        return
    experiment = Experiment(statement, objective, known, seed=instance.seed)
    draws = torch.from_numpy(np.ascontiguousarray(law[0]))
    starts = [objective.start]
    if any(quantity.path is None for quantity in statement.claim.measured):  # of any w_t
        starts = list(sample_points(objective, 12, instance.seed))
    least = objective.minimizer()
    for start in starts:
        here = started_at(objective, start)
        walked = enumerate_paths(replace(experiment, objective=here))
        if walked is None:
            continue
        visited = {float(w) for w in walked.iterates.ravel()}
        visited |= set() if least is None else {float(least[0])}
        span = max(visited) - min(visited) or max(1.0, abs(float(start[0])))
        ends = {min(visited) - 0.25 * span, max(visited) + 0.25 * span}
        for refine in (0, 1, 3, 7):
            marks = sorted(visited | ends)
            knots = sorted(
                {u + (v - u) * j / (refine + 1) for u, v in itertools.pairwise(marks)
                 for j in range(refine + 1)} | set(marks)
            )  # fmt: skip
            knots = [k for i, k in enumerate(knots) if i == 0 or k - knots[i - 1] > 1e-9 * span]
            if len(knots) > 200:
                break
            at = torch.tensor(knots, dtype=torch.float64).unsqueeze(1)
            with torch.no_grad():
                rows = [
                    objective.sample_gradient(at, draw.expand(len(knots), *draw.shape).unsqueeze(1))
                    for draw in draws
                ]
            slopes = tuple(tuple(float(v) for v in row.ravel()) for row in rows)
            yield Tabular(statement, tuple(knots), slopes, float(start[0]), dict(instance.values))


def _search_on_line(statement: Statement, instance: Instance, budget: float) -> Tabular | None:
    """A counterexample on the line, where the one found has more dimensions or samples.

    CMA-ES over slopes at equally spaced knots (scaled to ell = 1), the size of two-point noise,
    the start and the statement's domain.
    """
    import cma

    if not all(map(tabulates, statement.claim.measured)) or statement.algorithm is None:
        return None
    free = tuple(instance.values)
    needed = {s.name for s in statement.constants}
    deadline = time.monotonic() + budget

    def build(x: np.ndarray) -> Tabular | None:
        u = np.clip((x - 0.5) * 1.08 + 0.5, 0.0, 1.0)
        rise = 4 * u[:_KNOTS] - 2
        if "Bf" in needed:
            rise[0] = rise[-1] = 0.0
        elif needed & {"Delta", "R"}:
            rise[0], rise[-1] = -abs(rise[0]), abs(rise[-1])
        steepest = float(np.abs(np.diff(rise)).max())
        if steepest == 0:
            return None
        mean = rise / steepest
        noise = 2 * u[_KNOTS] if "sigma" in needed and not instance.quiet else 0.0
        rows = [mean] if noise == 0 else [mean - noise, mean + noise]
        slopes = tuple(tuple(float(v) for v in row) for row in rows)
        knots = tuple(float(k) for k in range(_KNOTS))
        start = float(u[_KNOTS + 1] * (_KNOTS - 1))
        draft = Tabular(statement, knots, slopes, start, {})
        fractions = dict(zip(free, u[_KNOTS + 2 :].tolist(), strict=True))
        try:
            point = place(statement, draft.constants(), fractions)
        except (ValueError, KeyError, ArithmeticError):
            return None
        if point is None:
            return None
        return replace(draft, values={name: float(point[name]) for name in free})

    def cost(x: np.ndarray) -> tuple[float, Tabular | None]:
        table = build(x)
        if table is None:
            return 2.0, None
        try:
            if statement.rounds(table.known) > _ROUNDS:
                return 2.0, None
            small, large = table.sides()
        except (ValueError, KeyError, ArithmeticError, IndexError):
            return 2.0, None
        size = abs(small) + abs(large)
        return (2.0 if not size > 0 else (large - small) / size), table

    rng = np.random.default_rng(11)
    best: tuple[float, Tabular | None] = (2.0, None)
    dimension = _KNOTS + 2 + len(free)
    while time.monotonic() < deadline and not (best[1] is not None and best[0] < -1e-3):
        trials = [rng.random(dimension) for _ in range(40)]
        start = min(trials, key=lambda x: cost(x)[0])
        options = {"bounds": [0, 1], "seed": int(rng.integers(1, 10**6)), "verbose": -9}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            strategy = cma.CMAEvolutionStrategy(np.clip(start, 0.02, 0.98), 0.25, options)
            while not strategy.stop() and time.monotonic() < deadline:
                asked = strategy.ask()
                costs = [cost(np.asarray(x)) for x in asked]
                strategy.tell(asked, [c for c, _ in costs])
                best = min([best, *costs], key=lambda pair: pair[0])
                if best[0] < -0.02:
                    break
    table = best[1]
    return table if table is not None and table.violates else None


def _greedy(table: Tabular, deadline: float) -> Tabular:
    moved = True
    while moved and time.monotonic() < deadline:
        moved = False
        for candidate in _simpler_tables(table):
            if time.monotonic() > deadline:
                return table
            if candidate.violates and candidate.ratio > 1 + 0.25 * (min(table.ratio, 3.0) - 1):
                table, moved = candidate, True
                break
    return table


def _simpler_tables(table: Tabular) -> Iterator[Tabular]:
    for name, value in table.values.items():
        for simpler in _simpler(value):
            yield replace(table, values={**table.values, name: simpler})
    if not table.knots:
        return
    if len(table.slopes) > 1:
        mean = tuple(float(v) for v in np.mean(table.slopes, axis=0))
        yield replace(table, slopes=(mean,))
    if len(table.slopes) > 2:
        mean_row = np.mean(table.slopes, axis=0)
        spread = np.std(table.slopes, axis=0).max()
        yield replace(table, slopes=tuple(tuple(float(v) for v in mean_row + s * spread)
                                          for s in (-1, 1)))  # fmt: skip
    if len(table.knots) > 2:
        for k in range(len(table.knots)):
            yield replace(
                table, knots=table.knots[:k] + table.knots[k + 1 :],
                slopes=tuple(row[:k] + row[k + 1 :] for row in table.slopes),
            )  # fmt: skip
    for simpler in _simpler(table.start):
        yield replace(table, start=simpler)
    for k, value in enumerate(table.knots):
        for simpler in (0.0, *_simpler(value)):
            knots = (*table.knots[:k], float(simpler), *table.knots[k + 1 :])
            if _complexity(simpler) < _complexity(value) and all(np.diff(knots) > 0):
                yield replace(table, knots=knots)
    for i, row in enumerate(table.slopes):
        for k, value in enumerate(row):
            for simpler in (0.0, *_simpler(value)):
                if _complexity(simpler) < _complexity(value):
                    changed = (*row[:k], float(simpler), *row[k + 1 :])
                    slopes = (*table.slopes[:i], changed, *table.slopes[i + 1 :])
                    yield replace(table, slopes=slopes)
