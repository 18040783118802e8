"""How sharp are the checks? Statements weakened on purpose, and the share of them the hunt catches.

A mutant claims a little more than its statement: a constant or a whole bound scaled down, an
exponent off by 1/4, a term or a condition dropped. Some mutants are still true, so the share
caught is shown beside the share that can be caught at all, as far as an exact worst case or an
instance that attains the bound can tell.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from bounds.statement import Claim, Statement, evaluate
from bounds.symbol import Measured, Symbol
from bounds.units import DIMENSIONLESS
from theorylab.errors import UsageError
from theorylab.exact.worst_case import MissingExtra, solve_points
from theorylab.hunt.search import Evaluation, Hunt, hunt

__all__ = ["FACTORS", "Mutant", "Outcome", "Score", "measure_power", "mutants"]

FACTORS = (0.9, 0.75, 0.5)
_ATTAINED = 0.99
_ROUNDING = 1e-6
_QUARTER = sp.Rational(1, 4)


@dataclass(frozen=True)
class Mutant:
    """A statement made false, or at least bolder, on purpose.

    Attributes
    ----------
    statement : Statement
        Its key is the original's with ``@`` and what was done.
    kind : str
        ``"bound"`` (the whole bound scaled), ``"constant"`` (one of its terms scaled),
        ``"exponent"``, ``"term"`` (dropped) or ``"condition"`` (dropped).
    factor : float
        For ``"bound"`` and ``"constant"``; otherwise 1.
    detail : str
    part : str
        What was changed: mutants with the same part and a smaller factor claim more.
    """

    statement: Statement
    kind: str
    factor: float
    detail: str
    part: str


def mutants(statement: Statement) -> list[Mutant]:
    """Every mutant of a statement.

    Examples
    --------
    >>> from bounds.notation import B, Delta, T, ell, sigma
    >>> from bounds.quantities import mean_gradient_norm_squared
    >>> demo = Statement("demo.t", "Theorem", "repaired",
    ...     Claim(mean_gradient_norm_squared, "<=", 8*ell*Delta/(3*T) + sigma**2/(3*B)))
    >>> sorted(m.detail for m in mutants(demo) if m.kind == "term")
    ['8*Delta*ell/(3*T) dropped', 'sigma**2/(3*B) dropped']
    """
    found: list[Mutant] = []

    def add(kind: str, detail: str, factor: float = 1.0, **changes: Any) -> None:
        key = f"{statement.key}@{len(found) + 1}"
        part = f"{kind} {detail.removesuffix(f' x {factor:g}')}"
        changed = dataclasses.replace(statement, key=key, **changes)
        found.append(Mutant(changed, kind, factor, detail, part))

    for detail, kind, factor, claim in _claims(statement):
        add(kind, detail, factor, claim=claim)
    for k, condition in enumerate(statement.conditions):
        left = statement.conditions[:k] + statement.conditions[k + 1 :]
        add("condition", f"{condition} dropped", conditions=left)
    return found


def _claims(statement: Statement) -> list[tuple[str, str, float, Claim]]:
    claim = statement.claim
    small, large = claim.sides
    sense = "==" if claim.sense == "==" else "<="
    if sense == "==":
        small, large = claim.lhs, claim.rhs
    terms = [t for t in sp.Add.make_args(large) if t != 0]
    if not terms or claim.big_o:
        return []
    found = []

    def claimed(kept: Sequence[sp.Expr]) -> Claim:
        return Claim(small, sense, sp.Add(*kept, evaluate=len(kept) != 1))  # type: ignore[arg-type]

    for factor in FACTORS:
        r = sp.Rational(str(factor))
        scaled = [_scaled(t, r, sense) for t in terms]
        found.append((f"all x {factor:g}", "bound", factor, claimed(scaled)))
        if len(terms) > 1:
            found += [
                (f"{t} x {factor:g}", "constant", factor,
                 claimed([*terms[:k], _scaled(t, r, sense), *terms[k + 1 :]]))
                for k, t in enumerate(terms)
            ]  # fmt: skip
    if len(terms) > 1 and sense == "<=":
        found += [
            (f"{t} dropped", "term", 1.0, claimed([*terms[:k], *terms[k + 1 :]]))
            for k, t in enumerate(terms) if not t.could_extract_minus_sign()
        ]  # fmt: skip
    for k, term in enumerate(terms):
        if term.could_extract_minus_sign():
            continue
        for symbol in sorted(term.free_symbols, key=str):
            if isinstance(symbol, Measured) or not isinstance(symbol, Symbol):
                continue
            # A dimensional symbol's exponent is caught by the units alone.
            if symbol.units != DIMENSIONLESS or not symbol.domain.integer:
                continue
            bolder = term * symbol ** (-_QUARTER)
            detail = f"{symbol}**(-1/4) times {term}"
            found.append((detail, "exponent", 1.0, claimed([*terms[:k], bolder, *terms[k + 1 :]])))
    return found


def _scaled(term: sp.Expr, factor: sp.Expr, sense: str) -> sp.Expr:
    """The term moved so that the claim says more: a negative one grows."""
    grows = sense == "<=" and term.could_extract_minus_sign()
    return term / factor if grows else term * factor


@dataclass(frozen=True)
class Outcome:
    """What the hunt made of one mutant.

    ``catchable`` is ``"instance"`` if it was caught, ``"worst case"`` if an exact worst case
    refutes it, ``"no, where solved"`` if exact worst cases obey it at every point tried (which
    proves nothing elsewhere), and ``"unknown"`` otherwise.
    """

    kind: str
    factor: float
    detail: str
    caught: bool
    catchable: str
    ratio: float


@dataclass(frozen=True)
class Score:
    """The power of the hunt on one statement.

    ``best`` is the largest measured/bound found for the statement itself, ``exact`` the largest
    exact worst case over bound where one was solved, ``false_alarm`` whether the unmutated
    statement was called violated.
    """

    key: str
    form: str
    best: float
    exact: float | None
    false_alarm: bool
    outcomes: tuple[Outcome, ...]
    hunt: Mapping[str, Any]

    @property
    def attained(self) -> bool:
        """Whether some instance comes within 1% of the bound."""
        return self.best >= _ATTAINED

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        table = dataclasses.asdict(self) | {"attained": self.attained}
        for row in (table, *table["outcomes"]):
            for name in ("best", "ratio", "exact"):
                if name in row and row[name] is not None and not math.isfinite(row[name]):
                    row[name] = None
        return table


def measure_power(statement: Statement, *, budget: float = 30.0, seed: int = 0,
                  family: int = 1) -> Score:  # fmt: skip
    """Hunt a statement, then each of its mutants.

    A third of the budget goes to the statement itself. Every measurement made so far is held
    against every mutant first, since a mutant changes the bound alone; those that survive are
    hunted on their own with what is left, the boldest of each part first: where x 0.5 escapes,
    x 0.9 is not tried. Dropped conditions, many of which leave a true claim, come last.
    """
    pool: list[Evaluation] = []
    base = hunt(statement, budget=budget / 3, seed=seed, family=family, watch=pool.append)
    best = _best(base, pool)  # before mutants' own measurements join the pool
    every = mutants(statement)
    deadline = time.monotonic() + 2 * budget / 3
    caught: dict[int, float] = {}
    ratios: dict[int, float] = {}
    escaped: dict[str, float] = {}

    def pooled(k: int) -> bool:
        if k not in caught and (found := _from_pool(every[k], pool, seed)) is not None:
            caught[k] = found
        return k in caught

    order = sorted(range(len(every)), key=lambda k: (every[k].kind == "condition", every[k].factor))
    left = [k for k in order if not pooled(k)]
    while left:
        k = left.pop(0)
        mutant = every[k]
        if mutant.part in escaped:
            ratios[k] = escaped[mutant.part]
            continue
        parts = {every[j].part for j in left} - {mutant.part, *escaped}
        share = max(0.2, (deadline - time.monotonic()) / (len(parts) + 1))
        result = hunt(mutant.statement, budget=share, seed=seed, watch=pool.append)
        if result.verdict == "violated":
            caught[k] = result.ratio
            left = [j for j in left if not (every[j].part == mutant.part and pooled(j))]
        else:
            ratios[k] = escaped[mutant.part] = result.ratio
    outcomes = tuple(
        Outcome(m.kind, m.factor, m.detail, k in caught, _catchable(m, k in caught),
                caught.get(k, ratios.get(k, 0.0)))
        for k, m in enumerate(every)
    )  # fmt: skip
    return Score(statement.key, statement.form, best, _exact_ratio(statement),
                 base.verdict == "violated", outcomes, base.to_json())  # fmt: skip


def _best(base: Hunt, pool: Sequence[Evaluation]) -> float:
    """The largest ratio that is exact, or the lower end of a sampled one's interval."""
    exact = [
        e.verdict.ratio for e in pool
        if e.verdict.interval[0] == e.verdict.interval[1] and e.verdict.verdict == "holds"
    ]  # fmt: skip
    if base.best is not None and base.best.bound > 0:
        exact.append(base.best.interval[0] / base.best.bound)
    # Beyond 1 and yet no violation: a supremum that was itself found by search.
    return max((r for r in exact if math.isfinite(r) and r <= 1 + _ROUNDING), default=0.0)


def _from_pool(mutant: Mutant, pool: Sequence[Evaluation], seed: int) -> float | None:
    """The ratio of a pooled instance that violates the mutant afresh."""
    if mutant.kind == "condition":
        return None
    ranked = []
    large = mutant.statement.claim.rhs
    for evaluation in pool:
        v = evaluation.verdict
        table = {**v.constants, **v.hyperparameters}
        try:
            with np.errstate(all="ignore"):  # a mutant's bound may overflow where it is not asked
                bound = float(evaluate(large, table))
        except (KeyError, TypeError, ValueError):
            bound = v.bound * (mutant.factor if mutant.kind == "bound" else 1.0)
        gap = v.interval[0] - bound
        if mutant.statement.claim.sense == "==":
            gap = abs(v.measured - bound)
        size = abs(v.measured) + abs(bound)
        if size > 0 and gap / size > 1e-6:
            ranked.append((gap / size, evaluation))
    ranked.sort(key=lambda pair: -pair[0])
    for attempt, (_, evaluation) in enumerate(ranked[:3]):
        try:
            again = evaluation.instance.check(
                mutant.statement, replicas=2048, effort=2e6, confidence=0.999,
                repeat=2_000_000 + 1000 * attempt + seed,
            )  # fmt: skip
        except (ValueError, KeyError, ArithmeticError):
            continue
        if again.verdict == "violated":
            return again.ratio
    return None


def _catchable(mutant: Mutant, caught: bool) -> str:
    if caught:
        return "instance"
    try:
        rows = list(solve_points(mutant.statement, {}, 6, 0))
    except (MissingExtra, UsageError, ValueError, KeyError, ArithmeticError):
        return "unknown"
    if any(row.refutes for row in rows):
        return "worst case"
    return "no, where solved" if rows and all(r.scope == "exact" for r in rows) else "unknown"


def _exact_ratio(statement: Statement) -> float | None:
    try:
        rows = [r.ratio for r in solve_points(statement, {}, 6, 0) if r.scope == "exact"]
    except (MissingExtra, UsageError, ValueError, KeyError, ArithmeticError):
        return None
    return max(rows, default=None)
