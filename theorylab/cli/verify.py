"""``theorylab verify``: every statement against measured runs, on certified objectives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich import box
from rich.table import Table

from bounds.statement import Statement
from theorylab.cli.statements import Keys, Paper, select
from theorylab.console import console
from theorylab.errors import AssumptionError, UsageError
from theorylab.judge.check import check, constants_for
from theorylab.judge.verdict import Verdict, worst
from theorylab.plugins import registry
from theorylab.plugins.provenance import provenance
from theorylab.plugins.specs import DATA_FAMILY, Spec, build_objective, objective_specs
from theorylab.plugins.store import Store, compute, writable, write_json

__all__ = ["command", "verify"]

_COLOURS = {"violated": "bold red", "not refuted": "yellow", "holds": "green",
            "vacuous": "magenta", "not applicable": "dim"}  # fmt: skip
_CONFIDENCE = 0.99
_RATE_OBJECTIVES = 4
_FEW = 4


def command(
    keys: Keys = None,
    paper: Paper = None,
    form: Annotated[
        Literal["printed", "repaired", "both"], typer.Option(help="Which form of a statement.")
    ] = "both",
    objective: Annotated[
        str | None, typer.Option(help="Check on this objective family alone.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="breast_cancer, digits, diabetes, or a CSV or NPZ file; adds it."),
    ] = None,
    replicas: Annotated[int, typer.Option(min=2, help="Independent runs, at most.")] = 256,
    budget: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds after which no new check starts.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/verify"),
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on any violation.")] = False,
) -> None:
    """Check every statement (or those named by KEY) against measured runs."""
    chosen = select(keys or [], paper, form)
    specs = objective_specs(objective, data)
    if keys and objective is not None:
        for statement in chosen:  # an explicit pair that cannot be checked is a mistake
            if statement.claim.measured:
                constants_for(statement, build_objective(specs[0]))
    target = writable(out / "results.json")
    verdicts = verify(chosen, specs, form=form, replicas=replicas, budget=budget, seed=seed,
                      jobs=jobs, out=out)  # fmt: skip
    report = {
        "schema": 1,
        "provenance": provenance(seed=seed, data=[s.get("digest") for s in specs if "digest" in s]),
        "results": [v.to_json() for v in verdicts],
    }
    write_json(target, report)
    if as_json:
        print(json.dumps(report, indent=1, allow_nan=False))
    else:
        _print(verdicts, out)
    if strict and any(v.verdict == "violated" for v in verdicts):
        raise typer.Exit(1)


def verify(
    statements: Sequence[Statement],
    specs: Sequence[Spec] | None = None,
    *,
    form: str = "both",
    replicas: int = 256,
    effort: float = 3e5,
    count: int = 6,
    budget: float | None = None,
    seed: int = 0,
    jobs: int = 1,
    out: Path | str = "results/verify",
    progress: bool | None = None,
) -> list[Verdict]:
    """One verdict for each statement and form: the gravest over the objectives that apply.

    ``specs`` name the objectives (``{"family": ..., "parameters": {...}}``), by default every
    registered family's default instances. Intervals are corrected for all checks together.
    """
    specs = objective_specs() if specs is None else specs
    queue: list[tuple[int, int, dict[str, Any]]] = []
    reasons: dict[int, str] = {}
    for i, statement in enumerate(statements):
        applicable: list[Spec | None] = [None]
        if statement.claim.measured:
            applicable = []
            for spec in specs:
                try:
                    constants_for(statement, build_objective(spec))
                    applicable.append(spec)
                except AssumptionError as error:
                    reasons[i] = str(error)
            applicable.sort(key=partial(_slack, statement))
        if statement.claim.big_o:  # each such check is a whole experiment over growing sizes
            applicable = applicable[:_RATE_OBJECTIVES]
        for rank, chosen in enumerate(applicable):
            queue.append((rank, i, {
                "kind": "check", "key": statement.key, "form": statement.form, "objective": chosen,
                "count": count, "replicas": replicas, "effort": effort, "seed": seed,
            }))  # fmt: skip
    # Every statement's first objective comes before any statement's second: a budget that runs
    # out leaves no statement unchecked.
    queue.sort(key=lambda entry: entry[0])
    owners = [owner for _, owner, _ in queue]
    cells = [{**cell, "family": len(queue)} for _, _, cell in queue]
    results = compute(check_cell, cells, Store(out), jobs=jobs, label="checking", budget=budget,
                      progress=progress)  # fmt: skip
    found: dict[int, list[Verdict]] = {}
    for owner, cell, result in zip(owners, cells, results, strict=True):
        blank = Verdict(cell["key"], cell["form"], "not refuted", seed=seed,
                        units=statements[owner].units, reason="the budget ran out",
                        undecided=1)  # fmt: skip
        found.setdefault(owner, []).append(blank if result is None else Verdict.from_json(result))
    verdicts: list[Verdict] = []
    for i, statement in enumerate(statements):
        absent = Verdict(statement.key, statement.form, "not applicable", units=statement.units,
                         seed=seed, reason=reasons.get(i, ""))  # fmt: skip
        verdict = worst(found.get(i, [absent]))
        verdicts.append(verdict)
        if form != "printed" and statement.form == "printed" and _needs_no_repair(statement):
            copy = replace(verdict, form="repaired", reason="true as printed; " + verdict.reason)
            verdicts.append(copy) if form == "both" else verdicts.__setitem__(-1, copy)
    return verdicts


def _slack(statement: Statement, spec: Spec) -> int:
    """How many of the statement's constants the objective certifies without attaining them.

    The fewer, the closer the objective comes to the worst case: such objectives come first,
    after the data that the user named.
    """
    if spec["family"] == DATA_FAMILY:
        return -1
    objective = build_objective(spec)
    names = {symbol.name for symbol in statement.constants}
    per_sample = objective.sample_constants()
    certified = {**objective.constants(), **per_sample}
    return sum(not certified[name].attained for name in names if name in certified)


def check_cell(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """Run one check; a check that cannot be made is ``not applicable`` and says why."""
    statement = registry.statements()[cell["key"], cell["form"]]
    spec = cell["objective"]
    objective = None if spec is None else build_objective(spec)
    try:
        verdict = check(
            statement, objective, count=cell["count"], replicas=cell["replicas"],
            effort=cell["effort"], seed=cell["seed"], confidence=_CONFIDENCE,
            family=cell["family"],
        )  # fmt: skip
    except UsageError as error:
        name = "-" if objective is None else objective.name
        verdict = Verdict(statement.key, statement.form, "not applicable", objective=name,
                          units=statement.units, seed=cell["seed"], reason=str(error))  # fmt: skip
    return verdict.to_json()


def _needs_no_repair(statement: Statement) -> bool:
    return (statement.key, "repaired") not in registry.statements()


def _print(verdicts: Sequence[Verdict], out: Path) -> None:
    terminal = console()
    table = Table(box=box.SIMPLE_HEAD, title="Statements against measured runs",
                  title_justify="left", padding=(0, 1))  # fmt: skip
    table.add_column("statement", no_wrap=True)
    for form in ("printed", "repaired"):
        table.add_column(form, no_wrap=True)
        table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("units as printed", no_wrap=True)
    keys = dict.fromkeys(v.key for v in verdicts)
    by_form = {(v.key, v.form): v for v in verdicts}
    paper = ""
    for key in keys:
        if key.split(".", 1)[0] != paper:
            paper = key.split(".", 1)[0]
            table.add_row(f"[bold]{paper}[/]")
        pair = [by_form.get((key, form)) for form in ("printed", "repaired")]
        cells = [text for v in pair for text in (("", "") if v is None else _cell(v))]
        faulty = pair[0] is not None and pair[0].units == "inconsistent"
        units = "[red]inconsistent[/]" if faulty else "ok" if pair[0] is not None else ""
        table.add_row("  " + key.split(".", 1)[1], *cells, units)
    terminal.print(table)
    if len(keys) <= _FEW:
        for v in verdicts:
            terminal.print(_detail(v), highlight=False)
    for form in ("printed", "repaired"):
        tally: Counter[str] = Counter(v.verdict for v in verdicts if v.form == form)
        if tally:
            parts = ", ".join(f"[{_COLOURS[k]}]{k} {tally[k]}[/]" for k in _COLOURS if tally[k])
            terminal.print(f"{form}: {parts}")
    if undecided := sum(v.undecided for v in verdicts):
        most = max(verdicts, key=lambda v: v.undecided)
        terminal.print(
            f"undecided: {undecided:,} of {sum(v.comparisons for v in verdicts):,} instances, "
            f"most in {most.key} ({most.undecided:,}); a check the budget left out counts as one"
        )
    terminal.print("ratio: measured/bound at the deciding instance; 1 is attained")
    terminal.print(f"results: {out / 'results.json'}")


def _cell(v: Verdict) -> tuple[str, str]:
    return f"[{_COLOURS[v.verdict]}]{v.told}[/]", _number(v.ratio)


def _detail(v: Verdict) -> str:
    """The deciding instance in a line or two."""
    head = f"{v.key} ({v.form}): [{_COLOURS[v.verdict]}]{v.told}[/]: "
    if v.verdict == "not applicable":
        return head + v.reason
    at = ", ".join(f"{k} = {_number(x)}" for k, x in {**v.constants, **v.hyperparameters}.items())
    low, high = map(_number, v.interval)
    line = (
        f"{head}measured {_number(v.measured)} in \\[{low}, {high}] against {_number(v.bound)} "
        f"on {v.objective} with {at}; {v.comparisons} instances, {v.undecided} undecided"
    )
    return line + (f"; {v.reason}" if v.reason else "")


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3g}"
