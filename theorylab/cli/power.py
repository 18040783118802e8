"""``theorylab power``: the share of deliberately weakened statements that the hunt catches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from theorylab.cli.options import MAX_SEED
from theorylab.cli.statements import Keys, Paper, select
from theorylab.console import console
from theorylab.errors import UsageError, require_finite
from theorylab.hunt.search import CONFIDENCE, hunt
from theorylab.plugins import registry
from theorylab.plugins.provenance import provenance
from theorylab.plugins.store import Store, compute, writable, write_json
from theorylab.studies.pages import fill, markdown_table, source
from theorylab.studies.power import FACTORS, measure_power

__all__ = ["command", "markdown", "summary"]


def command(
    keys: Keys = None,
    paper: Paper = None,
    budget: Annotated[
        float, typer.Option(min=0.1, help="Seconds on mutants in all, shared by the statements.")
    ] = 1800.0,
    seeds: Annotated[
        int, typer.Option(min=0, help="Further seeds on the unmutated statements.")
    ] = 0,
    instances: Annotated[
        int, typer.Option(min=1, help="Instances of each statement tried at each further seed.")
    ] = 12,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED)] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/power"),
    page: Annotated[
        Path | None, typer.Option(help="A page to write the tables into, between its markers.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Weaken every repaired statement on purpose and count what the hunt catches."""
    require_finite("power", {"budget": budget})
    chosen = [s for s in select(keys or [], paper, "repaired") if not s.claim.big_o]
    if seed + seeds > MAX_SEED:
        raise UsageError(f"--seed plus --seeds must be at most {MAX_SEED}, got {seed + seeds}")
    each = budget * jobs / max(1, len(chosen))
    store = Store(out)
    target = writable(out / "results.json")
    cells: list[dict[str, Any]] = [
        {"kind": "power", "key": s.key, "budget": each, "seed": seed, "family": len(chosen)}
        for s in chosen
    ]
    rows = [r for r in compute(power_cell, cells, store, jobs=jobs, label="mutants") if r]
    quiet: list[dict[str, Any]] = [
        {"kind": "alarm", "key": s.key, "seed": seed + 1 + k, "family": len(chosen),
         "limit": instances}
        for k in range(seeds) for s in chosen
    ]  # fmt: skip
    alarms = [
        cell for cell, result in zip(
            quiet, compute(alarm_cell, quiet, store, jobs=jobs, label="false alarms"), strict=True)
        if result and result["violated"]
    ]  # fmt: skip
    report = {
        "schema": 1,
        "provenance": provenance(seed=seed),
        "summary": summary(rows),
        "false_alarms": {
            "seeds": seeds + 1, "statements": len(chosen), "instances": instances,
            "called_violated": [r["key"] for r in rows if r["false_alarm"]]
            + [c["key"] for c in alarms],
            "expected_at_most": (seeds + 1) * (1 - CONFIDENCE),
        },
        "results": rows,
    }  # fmt: skip
    write_json(target, report)
    if page is not None:
        fill(page, "power", markdown(report))
    if as_json:
        print(json.dumps(report, indent=1, allow_nan=False))
    else:
        _print(report)


def power_cell(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """Mutate and hunt one statement."""
    statement = registry.statement(cell["key"], "repaired")
    return measure_power(statement, budget=cell["budget"], seed=cell["seed"],
                         family=cell["family"]).to_json()  # fmt: skip


def alarm_cell(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """Hunt one unmutated statement with another seed."""
    statement = registry.statement(cell["key"], "repaired")
    found = hunt(statement, limit=cell["limit"], seed=cell["seed"], family=cell["family"])
    return {"violated": found.verdict == "violated", "ratio": min(found.ratio, 1e300)}


def summary(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Caught, catchable and all mutants by kind, for all statements and for attained ones."""
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
            table.append({
                "kind": kind, "factor": factor, "attained_only": attained, "all": len(found),
                "caught": sum(o["caught"] for o in found),
                "catchable": sum(o["catchable"] in ("instance", "worst case") for o in found),
                "obeyed_where_solved": sum(o["catchable"] == "no, where solved" for o in found),
            })  # fmt: skip
    return table


_WHY = {
    "worst case": "an exact worst case refutes it; the hunt found no such run",
    "no, where solved": "true at every point where the exact worst case was solved",
    "unknown": "no instance and no exact worst case says whether it is false",
}


def markdown(report: Mapping[str, Any]) -> str:
    """The shares caught, what escaped at attained statements and why, and the false alarms."""
    pairs: dict[str, dict[bool, Mapping[str, Any]]] = {}
    for row in report["summary"]:
        pairs.setdefault(_name(row), {})[row["attained_only"]] = row
    counts = [
        (name, *(f"{row['caught']} / {row['catchable']} / {row['all']}"
                 for row in (pair[True], pair[False])))
        for name, pair in pairs.items()
    ]  # fmt: skip
    attained = [row for row in report["results"] if row["attained"]]
    escaped = [
        (f"`{row['key']}`", f"`{o['detail']}`", f"{o['ratio'] or 0:.3g}", _WHY[o["catchable"]])
        for row in attained for o in row["outcomes"]
        if not o["caught"] and o["kind"] in ("bound", "constant")
    ]  # fmt: skip
    parts = [
        f"{len(attained)} of {len(report['results'])} statements are attained (within 1%). "
        "Caught / can be caught / all:",
        markdown_table(("mutation", "of attained statements", "of all statements"), counts),
        "What escaped of the scaled bounds and terms of attained statements:" if escaped else
        "No scaled bound or term of an attained statement escaped.",
        markdown_table(("statement", "mutation", "best ratio", "why"), escaped) if escaped else "",
        _alarms(report["false_alarms"]) + ".",
        source(report),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part)


def _name(row: Mapping[str, Any]) -> str:
    return row["kind"] if row["factor"] == 1 else f"{row['kind']} x {row['factor']:g}"


def _alarms(alarms: Mapping[str, Any]) -> str:
    named = "".join(f" {key}" for key in alarms["called_violated"])
    return (
        f"false alarms: {len(alarms['called_violated'])}{named} over {alarms['seeds']} seeds and "
        f"{alarms['statements']} statements, {alarms['instances']} instances each (expected at "
        f"most {alarms['expected_at_most']:.3g})"
    )


def _print(report: Mapping[str, Any]) -> None:
    terminal = console()
    grid = Table(title="Mutants of repaired statements", title_justify="left")
    for name in ("mutation", "statements"):
        grid.add_column(name)
    for name in ("caught", "catchable", "all"):
        grid.add_column(name, justify="right")
    for row in report["summary"]:
        which = "attained" if row["attained_only"] else "all"
        grid.add_row(_name(row), which, *(str(row[k]) for k in ("caught", "catchable", "all")))
    terminal.print(grid)
    terminal.print(_alarms(report["false_alarms"]))
