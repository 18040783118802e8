"""Simplify a counterexample and write it down so that a referee can check it by hand.

Whatever objective a hunt ended on, its restriction to the visited points is enough: a function
on the line whose gradient is linear between a few knots, with a few equally likely stochastic
gradients of the same kind. Its constants are read off the knots, so the counterexample no longer
leans on any certificate. Knots, samples, rounds and digits are then removed while it still
violates the claim, and where the numbers are rational the violation is confirmed exactly.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
import torch
from sympy.printing.numpy import NumPyPrinter

from bounds.statement import Statement
from theorylab.check import constants_for
from theorylab.domain import place
from theorylab.errors import UsageError
from theorylab.falsify import Hunt, Instance
from theorylab.measures.enumeration import enumerate_paths
from theorylab.measures.points import sample_points
from theorylab.measures.protocol import Experiment, build_rule
from theorylab.replay import replay
from theorylab.rule import UpdateRule

__all__ = ["Tabular", "script", "shrink", "shrink_instance", "write_counterexample"]

_MARGIN = 1e-6  # a shrunk counterexample violates by at least this, relatively
_PATHS = 1024
_LINES = 40
_KNOTS = 7
_ROUNDS = 60


# --- the canonical counterexample ---------------------------------------------------------------
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

    @property
    def violates(self) -> bool:
        """Whether the claim fails by more than rounding, inside the statement's domain."""
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
        """Constants, hyperparameters and prescriptions; raises outside the domain."""
        constants = self.constants() if self.knots else {}
        names = {s.name for s in (*self.statement.symbols, *self.statement.constants)}
        given = {k: v for k, v in {**constants, **self.values}.items() if k in names}
        return dict(self.statement.validate(given))

    def constants(self, number: Callable[[Any], Any] = float) -> dict[str, Any]:
        """What the knots certify; each is attained."""
        x = [number(v) for v in self.knots]
        rows = [[number(v) for v in row] for row in self.slopes]
        mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        bends = [(q - p) / (v - u) for p, q, u, v in zip(mean, mean[1:], x, x[1:], strict=False)]
        variance = max(
            sum((row[k] - mean[k]) ** 2 for row in rows) / len(rows) for k in range(len(x))
        )
        root = math.sqrt if number is float else (lambda v: sp.sqrt(_rational(v)))
        found = {
            "ell": max(abs(b) for b in bends), "L": max(*bends, bends[0]),
            "delta": max(-min(bends), number(0)), "G": max(abs(m) for m in mean),
            "sigma": root(variance), "n": len(rows), "d": 1,
        }  # fmt: skip
        lowest = self._extreme(x, mean, bends, -1)
        highest = self._extreme(x, mean, bends, 1)
        if mean[0] <= 0 <= mean[-1]:
            found["Delta"] = _value(number(self.start), x, mean) - lowest
        if mean[0] == 0 == mean[-1]:
            found["Bf"] = (highest - lowest) / 2
        return found

    @staticmethod
    def _extreme(x: list[Any], mean: list[Any], bends: list[Any], sign: int) -> Any:
        at = list(x)
        for k, bend in enumerate(bends):
            if bend != 0 and x[k] < x[k] - mean[k] / bend < x[k + 1]:
                at.append(x[k] - mean[k] / bend)
        return sign * max(sign * _value(w, x, mean) for w in at)

    def measured(self, number: Callable[[Any], Any] = float) -> dict[str, Any]:
        """Every measured quantity of the claim, its expectation over all paths."""
        names = {s.name for s in self.statement.claim.measured}
        if not names:
            return {}
        x = [number(v) for v in self.knots]
        rows = [[number(v) for v in row] for row in self.slopes]
        mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        paths = self.paths(number)
        context = _Context(paths, x, mean, self.known, number)
        return {name: _FORMULAS[name](context) for name in names}

    def paths(self, number: Callable[[Any], Any] = float) -> list[list[Any]]:
        """The iterates at each round's start and at the end, along every equally likely path."""
        moves = _moves(self.statement, tuple(sorted(self.known_floats.items())))
        x = [number(v) for v in self.knots]
        rows = [[number(v) for v in row] for row in self.slopes]
        batch = max(1, round(float(self.known.get("B", 1))))
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

    def confirm_exactly(self) -> tuple[sp.Expr, sp.Expr] | None:
        """Both sides in exact arithmetic if the claim fails there too, else ``None``."""
        claim = self.statement.claim
        try:
            numbers: dict[str, Any] = {k: _exact(v) for k, v in self.values.items()}
            if self.knots:
                numbers |= self.constants(_exact)
                numbers |= self.measured(_exact)
            table = {k: v if isinstance(v, sp.Expr) else _rational(v) for k, v in numbers.items()}
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

    def average(self, function: Callable[[list[Any]], Any]) -> Any:
        return sum(function(path) for path in self.paths) / len(self.paths)

    def value(self, w: Any) -> Any:
        return _value(w, self.x, self.mean)

    def square(self, w: Any) -> Any:
        return _slope(w, self.x, self.mean) ** 2

    def proximal(self) -> Any:
        """``argmin F + (lam/2)(w - w_0)^2``: the zero of an increasing piecewise-linear slope."""
        lam, anchor = self.number(self.known["lam"]), self.paths[0][0]
        low = min(self.x[0], anchor) - max(abs(m) for m in self.mean) / lam
        high = max(self.x[-1], anchor) + max(abs(m) for m in self.mean) / lam
        cuts = [low, *self.x, high]
        for left, right in itertools.pairwise(cuts):
            p, q = (_slope(w, self.x, self.mean) + lam * (w - anchor) for w in (left, right))
            if p <= 0 <= q:
                return left if p == q else left - p * (right - left) / (q - p)
        raise UsageError("no proximal minimizer")


_FORMULAS: Mapping[str, Callable[[_Context], Any]] = {
    "decrease": lambda c: c.average(lambda p: c.value(p[0]) - c.value(p[-1])),
    "total_decrease": lambda c: c.average(lambda p: c.value(p[0]) - c.value(p[-1])),
    "gradient_norm_squared": lambda c: c.square(c.paths[0][0]),
    "first_gradient_norm_squared": lambda c: c.square(c.paths[0][0]),
    "next_gradient_norm_squared": lambda c: c.average(lambda p: c.square(p[-1])),
    "final_gradient_norm_squared": lambda c: c.average(lambda p: c.square(p[-1])),
    "displacement_squared": lambda c: c.average(lambda p: (p[-1] - p[0]) ** 2),
    "final_displacement_squared": lambda c: c.average(lambda p: (p[-1] - p[0]) ** 2),
    "inner_gradient_norm_squared": lambda c: c.average(
        lambda p: (_slope(p[-1], c.x, c.mean) + c.number(c.known["lam"]) * (p[-1] - p[0])) ** 2
    ),
    "inner_distance_squared": lambda c: c.average(lambda p: (p[-1] - c.proximal()) ** 2),
    "start_distance_squared": lambda c: (c.paths[0][0] - c.proximal()) ** 2,
    "mean_gradient_norm_squared": lambda c: c.average(
        lambda p: sum(c.square(w) for w in p[:-1]) / (len(p) - 1)
    ),
    "mean_next_gradient_norm_squared": lambda c: c.average(
        lambda p: sum(c.square(w) for w in p[1:]) / (len(p) - 1)
    ),
    "mean_gradient_norm": lambda c: c.average(
        lambda p: sum(abs(_slope(w, c.x, c.mean)) for w in p[:-1]) / (len(p) - 1)
    ),
    "min_gradient_norm_squared": lambda c: c.average(lambda p: min(c.square(w) for w in p)),
}

# The same quantities as numpy text, over W of shape (paths, rounds + 1).
_SOURCES: Mapping[str, str] = {
    "decrease": "np.mean(f(W[:, 0]) - f(W[:, -1]))",
    "total_decrease": "np.mean(f(W[:, 0]) - f(W[:, -1]))",
    "gradient_norm_squared": "g(W[0, 0])**2",
    "first_gradient_norm_squared": "g(W[0, 0])**2",
    "next_gradient_norm_squared": "np.mean(g(W[:, -1])**2)",
    "final_gradient_norm_squared": "np.mean(g(W[:, -1])**2)",
    "displacement_squared": "np.mean((W[:, -1] - W[:, 0])**2)",
    "final_displacement_squared": "np.mean((W[:, -1] - W[:, 0])**2)",
    "inner_gradient_norm_squared": "np.mean((g(W[:, -1]) + lam*(W[:, -1] - W[:, 0]))**2)",
    "inner_distance_squared": "np.mean((W[:, -1] - prox())**2)",
    "start_distance_squared": "(w0 - prox())**2",
    "mean_gradient_norm_squared": "np.mean(g(W[:, :-1])**2)",
    "mean_next_gradient_norm_squared": "np.mean(g(W[:, 1:])**2)",
    "mean_gradient_norm": "np.mean(np.abs(g(W[:, :-1])))",
    "min_gradient_norm_squared": "np.mean(np.min(g(W)**2, axis=1))",
}


def _slope(w: Any, x: list[Any], slopes: list[Any]) -> Any:
    if w <= x[0]:
        return slopes[0]
    for k in range(len(x) - 1):
        if w <= x[k + 1]:
            return slopes[k] + (slopes[k + 1] - slopes[k]) * (w - x[k]) / (x[k + 1] - x[k])
    return slopes[-1]


def _value(w: Any, x: list[Any], slopes: list[Any]) -> Any:
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
class _Moves:
    """``w_{k+1} = w_0 - sum_s weights[k][s] g_s``, with unit gradients if ``normalised``."""

    weights: tuple[tuple[float, ...], ...]
    rounds: tuple[int, ...]
    normalised: bool


@lru_cache(maxsize=512)
def _moves(statement: Statement, values: tuple[tuple[str, float], ...]) -> _Moves:
    """The statement's rule, which must be linear in its gradients or in their directions."""
    table = dict(values)
    rule = build_rule(statement, table)
    if rule.draws or rule.lags != 1:
        raise UsageError(f"{rule.name} consumes randomness of its own")
    rounds, steps = _schedule(rule, max(1, round(table.get("T", 1))))
    rng = np.random.default_rng(3)
    g = torch.from_numpy(rng.uniform(0.5, 2.0, (steps, 1)) * rng.choice([-1, 1], (steps, 1)))
    fed = torch.eye(steps + 1, dtype=torch.float64)
    rows = _walk(rule, fed[:1], [fed[k + 1 : k + 2] for k in range(steps)], rounds)
    weights = tuple(tuple(-float(v) for v in row[0, 1 : k + 2]) for k, row in enumerate(rows))
    start = torch.full((1, 1), 0.7, dtype=torch.float64)
    actual = torch.stack(_walk(rule, start, [g[k : k + 1] for k in range(steps)], rounds))
    for normalised in (False, True):
        felt = g.sign() if normalised else g
        model = [0.7 - sum(c * float(v) for c, v in zip(row, felt, strict=False))
                 for row in weights]  # fmt: skip
        if np.allclose(actual.ravel().numpy(), model, rtol=1e-9, atol=1e-12):
            return _Moves(weights, rounds, normalised)
    raise UsageError(f"{rule.name} is linear neither in its gradients nor in their directions")


def _walk(
    rule: UpdateRule, w: torch.Tensor, gradients: list[torch.Tensor], rounds: tuple[int, ...]
) -> list[torch.Tensor]:
    state, found = rule.init(w), []
    for k, g in enumerate(gradients):
        draw = {"t": torch.tensor(float(k + 1), dtype=w.dtype),
                "restart": torch.tensor([[k in rounds]])}  # fmt: skip
        w, state = rule.update(w, g, state, draw)
        found.append(w)
    return found


def _schedule(rule: UpdateRule, rounds: int) -> tuple[tuple[int, ...], int]:
    masks = [rule.restarts(np.random.default_rng(s), 0, 256, 1) for s in (0, 1)]
    if masks[0] is None or masks[1] is None:
        return tuple(range(rounds)), rounds
    begins = np.flatnonzero(np.asarray(masks[0])[:, 0])
    if not np.array_equal(masks[0], masks[1]) or len(begins) <= rounds:
        raise UsageError(f"the rounds of {rule.name} are random or too long")
    return tuple(int(b) for b in begins[:rounds]), int(begins[rounds])


# --- shrinking ----------------------------------------------------------------------------------
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


def shrink(statement: Statement, found: Hunt, budget: float = 20.0) -> Tabular | None:
    """A canonical counterexample from what a hunt found; ``None`` if it has no such form.

    Instances on one dimension with a finite law and few paths have one, and relations between
    numbers. The result violates the claim by itself: its constants come from its own knots.
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
    smaller = shrink_instance(statement, instance, budget / 2)
    candidates.insert(0, smaller)
    for candidate in candidates:
        tables = [t for t in _tabulate(statement, candidate) if t.violates]
        if tables:
            return _greedy(max(tables, key=lambda t: min(t.ratio, 1e9)), deadline + budget / 2)
    on_line = _search_on_line(statement, smaller, budget)
    return None if on_line is None else _greedy(on_line, time.monotonic() + budget)


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
    names = {s.name for s in statement.claim.measured}
    if not names <= set(_FORMULAS) or statement.algorithm is None:
        return
    experiment = Experiment(statement, objective, known, seed=instance.seed)
    draws = torch.from_numpy(np.ascontiguousarray(law[0]))
    starts = [objective.start]
    if "decrease" in names or not any(
        k.startswith(("mean", "final", "total", "min")) for k in names
    ):
        starts = list(sample_points(objective, 12, instance.seed))
    least = objective.minimizer()
    for start in starts:
        here = _At(objective, start)
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

    names = {s.name for s in statement.claim.measured}
    if not names <= set(_FORMULAS) or statement.algorithm is None:
        return None
    free = tuple(instance.values)
    needed = {s.name for s in statement.constants}
    deadline = time.monotonic() + budget

    def build(x: np.ndarray) -> Tabular | None:
        u = np.clip((x - 0.5) * 1.08 + 0.5, 0.0, 1.0)
        rise = 4 * u[:_KNOTS] - 2
        if "Bf" in needed:
            rise[0] = rise[-1] = 0.0
        elif "Delta" in needed:
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
        if table is None or table.known.get("T", 1.0) > _ROUNDS:
            return 2.0, None
        try:
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


def _At(objective: Any, start: torch.Tensor) -> Any:
    """The objective with another start."""
    import copy

    moved = copy.copy(objective)
    moved.start = start
    return moved


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


# --- exact arithmetic ---------------------------------------------------------------------------
def _exact(value: Any) -> Fraction:
    """The simple rational a float stands for: 0.1 means 1/10."""
    if isinstance(value, Fraction):
        return value
    number = float(value)
    simple = Fraction(number).limit_denominator(10**6)
    return simple if abs(float(simple) - number) <= 1e-12 * abs(number) else Fraction(number)


def _rational(value: Any) -> sp.Expr:
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
    from bounds.statement import evaluate

    return float(evaluate(side, table))


# --- writing it down ----------------------------------------------------------------------------
def script(table: Tabular) -> str:
    """A Python program (numpy alone, under 40 lines) that prints both sides.

    Its assertions check what the statement asks for; its output ends with the violated claim.
    """
    statement = table.statement
    claim = statement.claim
    lines = [
        f'"""Counterexample to {statement.key} ({statement.form}): {_ascii(claim)}."""',
        "import numpy as np",
    ]
    known = table.known
    needed = _needed(statement)
    if table.knots:
        lines += _function_lines(table, needed)
    literal = {k: v for k, v in table.values.items() if k in needed}
    lines += [f"{name} = {_literal(v)}" for name, v in literal.items()]
    lines += [
        f"{symbol.name} = {_source(rule)}"
        for symbol, rule in statement.prescription.items()
        if symbol.name in needed and symbol.name not in literal and symbol.name in known
    ]
    for condition in statement.conditions:
        source = f"{_source(condition.lhs)} {condition.op} {_source(condition.rhs)}"
        slack = " + 1e-12" if condition.op == "<=" else ""
        lines.append(f"assert {source}{slack}")
    if table.knots:
        lines += _path_lines(table)
        lines += [f"{s.name} = {_SOURCES[s.name]}" for s in sorted(claim.measured, key=str)]
    lines += [
        f"lhs = {_source(claim.lhs)}",
        f"rhs = {_source(claim.rhs)}",
        f'print(f"claimed: lhs {claim.sense} rhs;  lhs = {{lhs:.9g}},  rhs = {{rhs:.9g}}")',
        f"assert not {_negation(claim.sense)}, 'the claim holds here'",
    ]
    text = "\n".join(lines) + "\n"
    if text.count("\n") >= _LINES:
        raise UsageError(f"{statement.key}: the counterexample takes {text.count(chr(10))} lines")
    return text


def _needed(statement: Statement) -> set[str]:
    expressions = [statement.claim.lhs, statement.claim.rhs]
    expressions += [side for c in statement.conditions for side in (c.lhs, c.rhs)]
    names = {s.name for e in expressions for s in sp.sympify(e).free_symbols}
    if any("inner" in n or "start_distance" in n for n in names):
        names.add("lam")
    for symbol, rule in reversed(list(statement.prescription.items())):
        if symbol.name in names:
            names |= {s.name for s in sp.sympify(rule).free_symbols}
    return names


def _function_lines(table: Tabular, needed: set[str]) -> list[str]:
    lines = [
        f"knots = np.array({_literal(table.knots)})  # F' is linear between them, flat beyond",
        f"rows = np.array({_literal(table.slopes)})  # equally likely stochastic gradients there",
        f"mean, w0 = rows.mean(0), {_literal(table.start)}",
        "def g(w): return np.interp(w, knots, mean)  # F'",
        "def f(w):  # F, by integrating F' from the first knot",
        "    at = np.unique(np.r_[knots, w])",
        "    area = np.r_[0, np.cumsum(np.diff(at) * (g(at[1:]) + g(at[:-1])) / 2)]",
        "    return np.interp(w, at, area) - np.interp(knots[0], at, area)",
    ]
    zeros = "[x - m / b for x, m, b, y in zip(knots, mean, bends, knots[1:])"
    sources = {
        "ell": "np.abs(bends).max()", "L": "bends.max()", "delta": "max(-bends.min(), 0.0)",
        "G": "np.abs(mean).max()", "sigma": "np.sqrt(((rows - mean)**2).mean(0).max())",
        "n": "len(rows)", "d": "1",
    }  # fmt: skip
    used = [k for k in (*sources, "Delta", "Bf") if k in needed and k not in table.values]
    if used:
        lines.append("bends = np.diff(mean) / np.diff(knots)")
    if {"Delta", "Bf"} & set(used):
        lines.append(f"flat = {zeros} if b and x < x - m / b < y]")
        lines.append("vals = f(np.r_[knots, flat])")
        sources |= {"Delta": "f(w0) - vals.min()", "Bf": "(vals.max() - vals.min()) / 2"}
        ends = "mean[0] == 0 == mean[-1]" if "Bf" in used else "mean[0] <= 0 <= mean[-1]"
        lines.append(f"assert {ends}  # so that the extremes lie between the knots")
    lines += [f"{name} = {sources[name]}" for name in used]
    return lines


def _path_lines(table: Tabular) -> list[str]:
    moves = _moves(table.statement, tuple(sorted(table.known_floats.items())))
    steps, batch = len(moves.weights), max(1, round(float(table.known.get("B", 1))))
    felt = "np.sign(v)" if moves.normalised else "v"
    flat = {c for row in moves.weights for c in row}
    step = f"w0 - np.dot({_literal(moves.weights)}[k], moved)"
    if len(flat) == 1:
        step = f"w0 - {_literal(next(iter(flat)))} * sum(moved)"
    lines = [
        "from itertools import product",
        "paths = []",
        f"for path in product(range(len(rows)), repeat={batch * steps}):  # every path",
        "    w, moved, kept = w0, [], []",
        f"    for k in range({steps}):",
        f"        if k in {set(moves.rounds)!r}: kept.append(w)",
        f"        batch = path[k*{batch}:(k+1)*{batch}]",
        "        v = np.mean([np.interp(w, knots, rows[i]) for i in batch])",
        f"        moved.append({felt}); w = {step}",
        "    paths.append(kept + [w])",
        "W = np.array(paths)",
    ]
    if any(s.name in ("inner_distance_squared", "start_distance_squared")
           for s in table.statement.claim.measured):  # fmt: skip
        lines += [
            "def prox(lo=-1e6, hi=1e6):  # argmin F + (lam/2)(w - w0)^2",
            "    for _ in range(200):",
            "        m = (lo + hi) / 2",
            "        lo, hi = (m, hi) if g(m) + lam * (m - w0) < 0 else (lo, m)",
            "    return (lo + hi) / 2",
        ]
    return lines


def _negation(sense: str) -> str:
    if sense == "==":
        return "abs(lhs - rhs) <= 1e-7 * (abs(lhs) + abs(rhs))"
    return f"lhs {sense} rhs"


def _source(expression: Any) -> str:
    printer = NumPyPrinter({"fully_qualified_modules": True})
    return str(printer.doprint(sp.sympify(expression))).replace("numpy.", "np.")


def _literal(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_literal(v) for v in value) + "]"
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _ascii(claim: Any) -> str:
    return str(claim).replace('"', "'")


def _latex(table: Tabular, exact: tuple[sp.Expr, sp.Expr] | None) -> str:
    """A paragraph that states the counterexample."""
    statement = table.statement
    small, large = table.sides()
    where = ", ".join(
        f"${sp.latex(sp.Symbol(name))} = {sp.latex(_rational(v))}$"
        for name, v in table.values.items()
    )
    text = [r"\paragraph{Counterexample to " + statement.label + "}"]
    if table.knots:
        rows = "; ".join(
            "$(" + ", ".join(sp.latex(_rational(v)) for v in row) + ")$" for row in table.slopes
        )
        knots = ", ".join(sp.latex(_rational(v)) for v in table.knots)
        noun = "one gradient" if len(table.slopes) == 1 else (
            f"{len(table.slopes)} equally likely stochastic gradients"
        )  # fmt: skip
        text.append(
            f"On the line, let $F'$ be the mean of {noun}, linear between the knots "
            f"$({knots})$ and constant beyond, with values {rows} there; start at "
            f"$w_0 = {sp.latex(_rational(table.start))}$."
        )
    text.append(f"With {where}," if where else "Then")
    sides = f"{small:.6g} > {large:.6g}"
    if exact is not None:
        sides = f"{sp.latex(exact[0])} > {sp.latex(exact[1])}"
    if statement.claim.sense == "==":
        sides = sides.replace(">", r"\neq")
    text.append(f"the side claimed to be the smaller exceeds the other: ${sides}$.")
    return "\n".join(text) + "\n"


def _plot(table: Tabular, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.3, 2.4), layout="constrained")
    axes = figure.subplots()
    small, large = table.sides()
    if table.knots:
        mean = [float(v) for v in np.mean(table.slopes, axis=0)]
        x = np.linspace(table.knots[0], table.knots[-1], 300)
        axes.plot(x, [_value(w, list(table.knots), mean) for w in x], color="0.3")
        for walked in table.paths():
            axes.plot(walked, [_value(w, list(table.knots), mean) for w in walked], "o-",
                      markersize=3, linewidth=0.7, alpha=0.6)  # fmt: skip
        axes.set_xlabel("$w$")
        axes.set_ylabel("$F(w)$")
    else:
        axes.bar(["claimed smaller", "claimed larger"], [small, large], color=["C3", "C0"])
    axes.set_title(f"{table.statement.key}: {small:.4g} > {large:.4g}", fontsize=8)
    figure.savefig(path)


def _shows_it(path: Path, *flags: str) -> bool:
    """Whether the script, run by itself, ends with its assertion that the claim fails."""
    done = subprocess.run([sys.executable, *flags, str(path)], capture_output=True, check=False)
    if done.returncode != 0:
        path.unlink()
    return done.returncode == 0


def write_counterexample(statement: Statement, found: Hunt, out: Path | str) -> dict[str, Any]:
    """Write script, paragraph and plot under ``out/counterexamples``; returns a summary.

    Where the counterexample has no canonical form, or its script's own arithmetic does not show
    the violation, ``reason`` says so and ``replay`` names a script that needs theorylab
    (``None`` if the violation does not show there either).
    """
    folder = Path(out) / "counterexamples"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{statement.key.replace('.', '_')}_{statement.form}"
    path = folder / f"{stem}.py"
    table = shrink(statement, found)
    if table is None:
        return _write_replay(statement, found, path, "no form on the line with few enough paths")
    try:
        path.write_text(script(table))
    except UsageError as error:
        return _write_replay(statement, found, path, str(error))
    if not _shows_it(path, "-I"):
        reason = "the script's own arithmetic does not show it"
        return _write_replay(statement, found, path, reason)
    exact = table.confirm_exactly()
    small, large = table.sides()
    (folder / f"{stem}.tex").write_text(_latex(table, exact))
    _plot(table, folder / f"{stem}.svg")
    return {
        "script": f"counterexamples/{stem}.py", "reason": "",
        "smaller": small, "larger": large, "knots": list(table.knots),
        "slopes": [list(row) for row in table.slopes], "start": table.start,
        "values": dict(table.values),
        "exact": None if exact is None else [str(side) for side in exact],
    }  # fmt: skip


def _write_replay(statement: Statement, found: Hunt, path: Path, reason: str) -> dict[str, Any]:
    path = path.with_stem(path.stem + "_replay")
    assert found.instance is not None
    instances = [found.instance]
    if not statement.claim.big_o:
        instances.insert(0, shrink_instance(statement, found.instance))
    for instance in instances:
        path.write_text(replay(statement, instance))
        if _shows_it(path):
            return {"script": None, "reason": reason, "replay": f"counterexamples/{path.name}"}
    return {"script": None, "reason": reason, "replay": None}
