"""``worst_cases``: the exact worst case of each statement beside its bound, as a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from bounds.claim import Condition, DomainError
from bounds.statement import Statement
from bounds.symbol import Symbol
from theorylab.errors import UsageError
from theorylab.exact.worst_case import MissingExtra, WorstCase, solve_points, worst_case
from theorylab.hunt.instance import Evaluation, score
from theorylab.hunt.search import hunt
from theorylab.judge.domain import natural_scale
from theorylab.judge.verdict import Verdict
from theorylab.plugins.provenance import provenance
from theorylab.quantities.protocol import symbol_of
from theorylab.studies.pages import markdown_table, source
from theorylab.studies.report import Report

__all__ = ["WorstCaseReport", "hunted", "markdown", "worst_cases"]

_BLIND = 1e-6  # in natural units; the solver's error is no smaller than 1e-9
_NEXT = 5
_FEW = 2  # rounds and inner steps of the runs a hunt may try: more are too many to solve for


@dataclass(frozen=True)
class WorstCaseReport(Report):
    """Exact worst cases, one row a point of a statement's domain.

    Attributes
    ----------
    rows : tuple of WorstCase
    skipped : mapping of str to str
        Statements that fit no semidefinite program, ``"key (form)"``, each with the reason.
    seed : int
    """

    rows: tuple[WorstCase, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def __iter__(self) -> Iterator[WorstCase]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> WorstCase:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame([{
            "key": r.key, "form": r.form, "measured": r.measured, "primal": r.primal,
            "dual": r.dual, "gap": r.gap, "bound": r.bound, "ratio": r.ratio, "scope": r.scope,
            "status": r.status, "refutes": r.refutes, "cross-check": r.cross_check,
            **r.values,
        } for r in self.rows])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return {"schema": 1, "provenance": provenance(seed=self.seed),
                "results": [row.to_json() for row in self.rows],
                "skipped": dict(self.skipped)}  # fmt: skip


def worst_cases(
    statements: Sequence[Statement],
    fixed: Mapping[str, float] | None = None,
    *,
    count: int = 6,
    hunt_seconds: float = 0.0,
    hunt_limit: int | None = None,
    seed: int = 0,
) -> WorstCaseReport:
    """Solve for the worst case of each statement at some points of its domain.

    Parameters
    ----------
    statements : sequence of Statement
        Registered or not.
    fixed : mapping of str to float, optional
        Constants and hyperparameters to hold.
    count : int
        Points of each domain, at most.
    hunt_seconds, hunt_limit : float, int
        Seconds, or instances in their place, to look for an actual run as bad; 0 for none.
    seed : int

    Returns
    -------
    WorstCaseReport

    Raises
    ------
    MissingExtra
        If the solver is not installed.
    UsageError
        If a name in ``fixed`` is none of theirs; if no form of the only statement fits a program.

    Examples
    --------
    >>> from bounds import tralgo
    >>> report = worst_cases([tralgo.lemma_1], count=2)            # doctest: +SKIP
    >>> report.to_pandas()[["ratio", "gap", "cross-check"]]        # doctest: +SKIP
    """
    held = dict(fixed or {})
    _settable(statements, held)
    rows: list[WorstCase] = []
    skipped: dict[str, str] = {}
    for statement in statements:
        try:
            rows += solve_points(statement, held, count, seed)
            if hunt_seconds or hunt_limit:
                joined = hunted(statement, held, hunt_seconds, seed, hunt_limit)
                rows += [] if joined is None else [joined]
        except MissingExtra:
            raise
        except (UsageError, DomainError) as error:
            if len({s.key for s in statements}) == 1 and not rows and statement is statements[-1]:
                raise  # none of its forms can be solved
            skipped[f"{statement.key} ({statement.form})"] = str(error)
    return WorstCaseReport(tuple(rows), skipped, seed)


def hunted(
    statement: Statement, fixed: Mapping[str, float], budget: float, seed: int,
    limit: int | None = None,
) -> WorstCase | None:  # fmt: skip
    """The worst run a hunt finds, beside the exact worst case at the very same values.

    So that measured <= worst case <= bound can be read in one row. ``None`` if nothing was
    found at which the problem can be solved.
    """
    held = [Condition(s, op, fixed[s.name])
            for s in statement.symbols if s.name in fixed for op in ("<=", ">=")]  # fmt: skip
    counts = [s for s in _rounds_and_steps(statement) if s in statement.hyperparameters]
    few = [Condition(s, "<=", _FEW) for s in counts]
    short = replace(statement, conditions=(*statement.conditions, *held, *few))
    seen: list[Evaluation] = []
    found = hunt(short, budget=budget, limit=limit, seed=seed, stop=False, watch=seen.append)
    if found.best is None or not math.isfinite(found.ratio):
        return None
    # Where the worst run's bound is too small for the solver, the next ones will do.
    seen.sort(key=lambda e: -score(e.verdict, short))
    run = [] if found.instance is None else [found.best]  # else no run, but the program itself
    for verdict in (*run, *(e.verdict for e in seen[:_NEXT])):
        row = _beside(statement, verdict)
        if row is not None:
            return row
    return None


def _rounds_and_steps(statement: Statement) -> set[Symbol]:
    if statement.algorithm is None:
        return set()
    inner = symbol_of(statement, "S")
    return set(statement.algorithm.horizon.free_symbols) | ({inner} if inner else set())


def _beside(statement: Statement, verdict: Verdict) -> WorstCase | None:
    """The exact worst case at a run's own values; ``None`` if it cannot be solved sharply."""
    values = {**verdict.constants, **verdict.hyperparameters}
    if statement.units_fault is None:
        values = _natural(statement, values)
    try:
        row = worst_case(statement, values)
    except MissingExtra:
        raise
    except (UsageError, DomainError, KeyError):
        return None
    if 0 < row.bound < _BLIND:
        return None
    low = verdict.interval[0]
    return replace(row, measured=low / verdict.bound * row.bound if verdict.bound > 0 else low)


def _natural(statement: Statement, values: Mapping[str, float]) -> dict[str, float]:
    """``values`` in the units in which curvature and initial value are 1: solvers like those."""
    units = {
        s.name: s.units for s in (*statement.symbols, *statement.constants, *statement.prescription)
    }
    one = {name: Symbol(name, units=u) for name, u in units.items()}
    return {k: v / natural_scale(one[k], values) if k in one else v for k, v in values.items()}


def _settable(statements: Sequence[Statement], fixed: Mapping[str, float]) -> None:
    """Refuse a name that no statement leaves open, and a value outside of its domain."""
    known = {s.name: s.domain for chosen in statements
             for s in (*chosen.symbols, *chosen.constants)}  # fmt: skip
    for name, given in fixed.items():
        if name in known:
            if not known[name].contains(float(given)):
                raise UsageError(f"--set {name}: must be in {known[name]}, got {given:g}")
            continue
        can = f"can be set: {', '.join(sorted(known)) or 'nothing'}"
        for chosen in statements:
            for symbol, value in chosen.prescription.items():
                if symbol.name == name:
                    raise UsageError(
                        f"--set {name}: {chosen.key} prescribes {name} = {value}; {can}"
                    )
        raise UsageError(f"--set {name}: no such constant or hyperparameter; {can}")


def markdown(report: Mapping[str, Any]) -> str:
    """The hunted rows as a Markdown table: measured, worst case and bound at the same values."""
    rows = [
        (f"`{row['key']}`", row["form"], _size(row["values"]), f"{row['reached']:.3f}",
         f"{row['ratio']:.3f}", row["scope"])
        for row in report["results"] if row["reached"] is not None and row["ratio"] is not None
    ]  # fmt: skip
    heads = ("statement", "form", "rounds (x inner steps)", "measured / worst case",
             "worst case / bound", "scope")  # fmt: skip
    return f"{markdown_table(heads, rows)}\n\n{source(report)}"


def _size(values: Mapping[str, float]) -> str:
    inner = f" x {values['S']:g}" if "S" in values else ""
    return f"{values.get('T', 1):g}{inner}"
