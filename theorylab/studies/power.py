"""How sharp are the checks? The share of deliberately weakened statements that the hunt catches.

The share caught means something beside the share that can be caught at all, and that must not be
read off the hunt itself: a mutant is known to be false if an exact worst case refutes it, or if
an instance does that a search of its own found, on other randomness, for the unmutated statement.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from bounds.evaluation import evaluate
from bounds.statement import Statement
from theorylab.errors import UsageError, require_each
from theorylab.exact.worst_case import MissingExtra, solve_points
from theorylab.hunt.instance import guess
from theorylab.hunt.search import CONFIDENCE, Evaluation, Hunt, hunt
from theorylab.plugins.provenance import provenance
from theorylab.plugins.shape import require, shaped
from theorylab.plugins.store import Store
from theorylab.progress import within
from theorylab.studies import cells
from theorylab.studies.compute import Lost, compute
from theorylab.studies.mutants import FACTORS, Mutant, mutants
from theorylab.studies.pages import markdown_table, source
from theorylab.studies.planning import end_of_plan
from theorylab.studies.report import Report
from theorylab.studies.scale import Scale

__all__ = [
    "Outcome", "PowerReport", "Score", "alarms_line", "kind_name", "markdown", "measure_power",
    "power", "summary",
]  # fmt: skip

_ATTAINED = 0.99
_ROUNDING = 1e-6
_OTHER = 7919  # added to the seed of the independent search
_KNOWN = ("exact value", "independent search", "worst case")


@dataclass(frozen=True)
class Outcome:
    """What the hunt made of one mutant.

    ``catchable`` says how the mutant is known to be false apart from the hunt: ``"exact value"``
    or ``"independent search"`` if an instance of the independent search violates it (computed, or
    by valid intervals), ``"worst case"`` if an exact worst case refutes it; ``"no, where solved"``
    if exact worst cases obey it at every point tried (which proves nothing elsewhere), and
    ``"unknown"`` otherwise.
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


@dataclass(frozen=True)
class PowerReport(Report):
    """The shares caught; ``results`` as :meth:`Score.to_json` gives them."""

    results: tuple[Mapping[str, Any], ...]
    false_alarms: Mapping[str, Any]
    seed: int = 0
    lost: tuple[Lost, ...] = ()

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame(summary(self.results))

    def to_json(self) -> dict[str, Any]:
        return {"schema": 2, "provenance": provenance(seed=self.seed),
                "summary": summary(self.results), "false_alarms": dict(self.false_alarms),
                "failed": [vars(lost) for lost in self.lost],
                "results": [dict(row) for row in self.results]}  # fmt: skip


def power(
    statements: Sequence[Statement],
    *,
    budget: float = 1800.0,
    seeds: int = 0,
    instances: int = 12,
    seed: int = 0,
    jobs: int | Scale = 1,
    out: Path | str = "results/power",
    progress: bool | None = None,
) -> PowerReport:
    """Weaken every statement on purpose and count what the hunt catches.

    Parameters
    ----------
    statements : sequence of Statement
        True ones, registered or not; O(.) claims are left out.
    budget : float
        Seconds in all, shared by the statements.
    seeds, instances : int
        Further seeds at which the unmutated statements are hunted, over so many instances each:
        every violation is a false alarm.
    seed, jobs, out : int, int, path
        As in :func:`theorylab.studies.falsify.falsify`.
    """
    require_each("power", "statements", statements, Statement)
    chosen = [s for s in statements if not s.claim.big_o]
    each = budget * Scale.of(jobs).jobs / max(1, len(chosen))
    sent, store = cells.unregistered(chosen), Store(out)
    table = [
        {"kind": "power", **cells.name(s), "budget": each, "seed": seed, "family": len(chosen)}
        for s in chosen
    ]
    rows = compute(partial(_power_cell, sent=sent), table, store, jobs=jobs, label="mutants",
                   progress=progress, reads=_score)  # fmt: skip
    quiet = [
        {"kind": "alarm", **cells.name(s), "seed": seed + 1 + k, "family": len(chosen),
         "limit": instances}
        for k in range(seeds) for s in chosen
    ]  # fmt: skip
    alarms = compute(partial(_alarm_cell, sent=sent), quiet, store, jobs=jobs,
                     label="false alarms", progress=progress, reads=shaped(_Alarm))  # fmt: skip
    end_of_plan()
    results = tuple(row for row in rows if row)
    called = [row["key"] for row in results if row["false_alarm"]]
    called += [cell["key"] for cell, found in zip(quiet, alarms, strict=True)
               if found and found["violated"]]  # fmt: skip
    return PowerReport(results, {
        "seeds": seeds + 1, "statements": len(chosen), "instances": instances,
        "called_violated": called, "expected_at_most": (seeds + 1) * (1 - CONFIDENCE),
    }, seed, rows.lost + alarms.lost)  # fmt: skip


def _power_cell(cell: Mapping[str, Any], sent: Sequence[Statement] = ()) -> Mapping[str, Any]:
    """Mutate and hunt one statement."""
    return measure_power(cells.find(cell, sent), budget=cell["budget"], seed=cell["seed"],
                         family=cell["family"]).to_json()  # fmt: skip


def _score(table: Mapping[str, Any]) -> Score:
    """The score that was stored; a ratio that is not finite counts as none."""
    rows = [{**row, "ratio": row["ratio"] or 0.0} for row in table["outcomes"]]
    known: dict[str, Any] = {**table, "outcomes": rows, "best": table["best"] or 0.0}
    require(Score, known)
    named = {f.name: known[f.name] for f in dataclasses.fields(Score)}
    return Score(**named | {"outcomes": tuple(Outcome(**row) for row in rows)})


class _Alarm(TypedDict):
    violated: bool
    ratio: float


def _alarm_cell(cell: Mapping[str, Any], sent: Sequence[Statement] = ()) -> _Alarm:
    """Hunt one unmutated statement with another seed."""
    found = hunt(cells.find(cell, sent), limit=cell["limit"], seed=cell["seed"],
                 family=cell["family"], progress=within())  # fmt: skip
    return {"violated": found.verdict == "violated", "ratio": min(found.ratio, 1e300)}


def measure_power(statement: Statement, *, budget: float = 30.0, seed: int = 0,
                  family: int = 1) -> Score:  # fmt: skip
    """Hunt a statement, then each of its mutants.

    A third of the budget goes to the statement itself, a sixth to the independent search. Every
    measurement of the hunt is held against every mutant first, since a mutant changes the bound
    alone; those that survive are hunted on their own with what is left, the boldest of each part
    first: where x 0.5 escapes, x 0.9 is not tried. Dropped conditions, many of which leave a true
    claim, come last.
    """
    pool: list[Evaluation] = []
    others: list[Evaluation] = []
    base = hunt(statement, budget=budget / 3, seed=seed, family=family, watch=pool.append,
                progress=within())  # fmt: skip
    best = _best(base, pool)  # before mutants' own measurements join the pool
    hunt(statement, budget=budget / 6, seed=seed + _OTHER, family=family, watch=others.append,
         progress=within())  # fmt: skip
    every = mutants(statement)
    deadline = time.monotonic() + budget / 2
    caught: dict[int, float] = {}
    ratios: dict[int, float] = {}
    escaped: dict[str, float] = {}

    def pooled(k: int) -> bool:
        if k not in caught and (found := _from_pool(every[k], pool, seed)) is not None:
            caught[k] = found[0]
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
        result = hunt(mutant.statement, budget=share, seed=seed, watch=pool.append,
                      progress=within())  # fmt: skip
        if result.verdict == "violated":
            caught[k] = result.ratio
            left = [j for j in left if not (every[j].part == mutant.part and pooled(j))]
        else:
            ratios[k] = escaped[mutant.part] = result.ratio
    outcomes = tuple(
        Outcome(m.kind, m.factor, m.detail, k in caught, _catchable(m, others, seed + _OTHER),
                caught.get(k, ratios.get(k, 0.0)))
        for k, m in enumerate(every)
    )  # fmt: skip
    return Score(statement.key, statement.form, best, _exact_ratio(statement),
                 base.verdict == "violated", outcomes, base.to_json())  # fmt: skip


def _best(base: Hunt, pool: Sequence[Evaluation]) -> float:
    """The largest ratio that is exact, or three standard errors below a sampled one."""
    exact = [e.verdict.ratio for e in pool if e.verdict.exact and e.verdict.verdict == "holds"]
    if base.best is not None and base.best.bound > 0:
        exact.append(guess(base.best) / base.best.bound)
    # Beyond 1 and yet no violation: a supremum that was itself found by search.
    return max((r for r in exact if math.isfinite(r) and r <= 1 + _ROUNDING), default=0.0)


def _from_pool(mutant: Mutant, pool: Sequence[Evaluation], seed: int) -> tuple[float, bool] | None:
    """The ratio of a pooled instance that violates the mutant afresh, and whether it is exact."""
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
        gap = guess(v) - bound
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
            return again.ratio, again.exact
    return None


def _catchable(mutant: Mutant, others: Sequence[Evaluation], seed: int) -> str:
    found = _from_pool(mutant, others, seed)
    if found is not None:
        return "exact value" if found[1] else "independent search"
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


def summary(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mutants by kind, for all statements and for attained ones.

    ``all``; ``catchable``, known to be false apart from the hunt; ``caught_of_catchable``;
    ``caught``, those beyond included.
    """
    table = []
    kinds = [("bound", f) for f in FACTORS] + [("constant", f) for f in FACTORS]
    kinds += [("exponent", 1.0), ("term", 1.0), ("condition", 1.0)]
    listed = list(rows)
    for kind, factor in kinds:
        for attained in (False, True):
            found = [
                o for row in listed if row["attained"] or not attained
                for o in row["outcomes"] if o["kind"] == kind and o["factor"] == factor
            ]  # fmt: skip
            known = [o for o in found if o["catchable"] in _KNOWN]
            table.append({
                "kind": kind, "factor": factor, "attained_only": attained, "all": len(found),
                "caught": sum(o["caught"] for o in found), "catchable": len(known),
                "caught_of_catchable": sum(o["caught"] for o in known),
                "obeyed_where_solved": sum(o["catchable"] == "no, where solved" for o in found),
            })  # fmt: skip
    return table


_WHY = {
    "exact value": "false by an exact value of the independent search; the hunt missed it",
    "independent search": "false by the independent search; the hunt missed it",
    "worst case": "an exact worst case refutes it; the hunt found no such run",
    "no, where solved": "true at every point where the exact worst case was solved",
    "unknown": "nothing apart from the hunt says whether it is false",
}


def markdown(report: Mapping[str, Any]) -> str:
    """The shares caught, what escaped at attained statements and why, and the false alarms."""
    pairs: dict[str, dict[bool, Mapping[str, Any]]] = {}
    for row in report["summary"]:
        pairs.setdefault(kind_name(row), {})[row["attained_only"]] = row
    shown = ("caught_of_catchable", "catchable", "caught", "all")
    counts = [
        (name, *(" / ".join(str(row[k]) for k in shown) for row in (pair[True], pair[False])))
        for name, pair in pairs.items()
    ]
    attained = [row for row in report["results"] if row["attained"]]
    escaped = [
        (f"`{row['key']}`", f"`{o['detail']}`", f"{o['ratio'] or 0:.3g}", _WHY[o["catchable"]])
        for row in attained for o in row["outcomes"]
        if not o["caught"] and o["kind"] in ("bound", "constant")
    ]  # fmt: skip
    parts = [
        f"{len(attained)} of {len(report['results'])} statements are attained (within 1%). "
        "Caught of what can be caught / can be caught / caught in all / all:",
        markdown_table(("mutation", "of attained statements", "of all statements"), counts),
        "What escaped of the scaled bounds and terms of attained statements:" if escaped else
        "No scaled bound or term of an attained statement escaped.",
        markdown_table(("statement", "mutation", "best ratio", "why"), escaped) if escaped else "",
        alarms_line(report["false_alarms"]) + ".",
        source(report),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part)


def kind_name(row: Mapping[str, Any]) -> str:
    """The kind of a mutation, with its factor."""
    return row["kind"] if row["factor"] == 1 else f"{row['kind']} x {row['factor']:g}"


def alarms_line(alarms: Mapping[str, Any]) -> str:
    """How many true statements were called violated, and which."""
    named = "".join(f" {key}" for key in alarms["called_violated"])
    return (
        f"false alarms: {len(alarms['called_violated'])}{named} over {alarms['seeds']} seeds and "
        f"{alarms['statements']} statements, {alarms['instances']} instances each (expected at "
        f"most {alarms['expected_at_most']:.3g})"
    )
