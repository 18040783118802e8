"""``theorylab worst-case``: exact worst cases by semidefinite programming (extra ``[pep]``)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from bounds.statement import Condition, DomainError, Statement
from bounds.symbol import Symbol
from theorylab.cli.options import MAX_SEED
from theorylab.cli.statements import Keys, Paper, select
from theorylab.console import console
from theorylab.errors import UsageError
from theorylab.exact.worst_case import MissingExtra, WorstCase, solve_points, worst_case
from theorylab.hunt.search import Evaluation, hunt, score
from theorylab.judge.domain import natural_scale
from theorylab.judge.verdict import Verdict
from theorylab.plugins.provenance import provenance
from theorylab.plugins.store import writable, write_json
from theorylab.studies.pages import fill, markdown_table, source

__all__ = ["command", "hunted", "markdown"]

_BLIND = 1e-6  # in natural units; the solver's error is no smaller than 1e-9
_NEXT = 5
_LARGEST = 1e12
_FEW = 2  # rounds and inner steps of the runs a hunt may try: more are too many to solve for


def command(
    keys: Keys = None,
    paper: Paper = None,
    form: Annotated[
        Literal["printed", "repaired", "both"], typer.Option(help="Which form of a statement.")
    ] = "both",
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Fix a constant or hyperparameter."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Points of the domain, at most.")] = 6,
    hunt_seconds: Annotated[
        float, typer.Option("--hunt", min=0.0, help="Seconds to look for an actual run as bad.")
    ] = 5.0,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED)] = 0,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/worst_case"),
    page: Annotated[
        Path | None,
        typer.Option(help="A page to write the hunted rows into, between its markers."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """The exact worst case of one or a few steps, beside each statement's bound."""
    chosen = select(keys or [], paper, form)
    fixed = _parse(values or [])
    _settable(chosen, fixed)
    target = writable(out / "results.json")
    rows: list[WorstCase] = []
    skipped: dict[str, str] = {}
    for statement in chosen:
        try:
            rows += list(solve_points(statement, fixed, count, seed))
            if hunt_seconds and (joined := hunted(statement, fixed, hunt_seconds, seed)):
                rows.append(joined)
        except MissingExtra:
            raise
        except (UsageError, DomainError) as error:
            if len(chosen) == 1:
                raise
            skipped[f"{statement.key} ({statement.form})"] = str(error)
    report = {
        "schema": 1,
        "provenance": provenance(seed=seed),
        "results": [row.to_json() for row in rows],
        "skipped": skipped,
    }
    write_json(target, report)
    if page is not None:
        fill(page, "worst cases", markdown(report))
    if as_json:
        print(json.dumps(report, indent=1, allow_nan=False))
    else:
        _print(rows, skipped)


def hunted(
    statement: Statement, fixed: Mapping[str, float], budget: float, seed: int
) -> WorstCase | None:
    """The worst run a hunt finds, beside the exact worst case at the very same values.

    So that measured <= worst case <= bound can be read in one row. ``None`` if nothing was
    found at which the problem can be solved.
    """
    held = [Condition(s, op, fixed[s.name])  # type: ignore[arg-type]
            for s in statement.symbols if s.name in fixed for op in ("<=", ">=")]  # fmt: skip
    few = [Condition(s, "<=", _FEW) for s in statement.hyperparameters if s.name in ("T", "S")]
    short = replace(statement, conditions=(*statement.conditions, *held, *few))
    seen: list[Evaluation] = []
    found = hunt(short, budget=budget, seed=seed, stop=False, watch=seen.append)
    if found.best is None or not math.isfinite(found.ratio):
        return None
    # Where the worst run's bound is too small for the solver, the next ones will do.
    seen.sort(key=lambda e: -score(e.verdict, short))
    for verdict in (found.best, *(e.verdict for e in seen[:_NEXT])):
        row = _beside(statement, verdict)
        if row is not None:
            return row
    return None


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


def _parse(items: Sequence[str]) -> dict[str, float]:
    table = {}
    for item in items:
        name, _, text = item.partition("=")
        try:
            table[name.strip()] = float(text)
        except ValueError as error:
            raise UsageError(f"--set expects NAME=NUMBER, got {item!r}") from error
        if not abs(table[name.strip()]) <= _LARGEST:
            raise UsageError(f"--set expects numbers of size at most {_LARGEST:g}, got {item!r}")
    return table


def _settable(statements: Sequence[Statement], fixed: Mapping[str, float]) -> None:
    """Refuse a name that no statement leaves open."""
    known = {s.name for chosen in statements for s in (*chosen.symbols, *chosen.constants)}
    for name in fixed:
        if name in known:
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


def _print(rows: Sequence[WorstCase], skipped: Mapping[str, str]) -> None:
    terminal = console()
    table = Table(title="Exact worst cases", title_justify="left")
    table.add_column("statement", overflow="fold", min_width=26)
    for name in ("measured", "primal", "dual", "gap", "bound", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status, scope")
    for row in rows:
        at = ", ".join(f"{k}={v:.4g}" for k, v in row.values.items())
        colour = "bold red" if row.refutes else "green"
        measured = "" if row.measured is None else f"{row.measured:.6g}"
        table.add_row(
            f"{row.key} ({row.form})\n[dim]{at}[/]", measured, f"{row.primal:.6g}",
            f"{row.dual:.6g}", f"{row.gap:.1e}", f"{row.bound:.6g}",
            f"[{colour}]{row.ratio:.6g}[/]", f"{row.status}, {row.scope}",
        )  # fmt: skip
    terminal.print(table)
    for name, reason in skipped.items():
        terminal.print(f"[dim]{name}: {reason}[/]", highlight=False)
