"""``theorylab units``: statements whose two sides scale differently, and what that breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from bounds.statement import Statement
from theorylab.cli.statements import Keys, Paper, select
from theorylab.console import console
from theorylab.hunt.rescaling import Attack, rescaling_attack
from theorylab.plugins.provenance import provenance
from theorylab.plugins.specs import objective_specs
from theorylab.plugins.store import writable, write_json

__all__ = ["command", "unit_rows"]


def command(
    keys: Keys = None,
    paper: Paper = None,
    form: Annotated[
        Literal["printed", "repaired", "both"], typer.Option(help="Which form of a statement.")
    ] = "both",
    attack: Annotated[
        bool, typer.Option(help="Turn each inconsistency into a violated instance.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/units"),
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """List the statements whose two sides have different units, with the term at fault."""
    chosen = select(keys or [], paper, form)
    target = writable(out / "results.json")
    rows = unit_rows(chosen, attack=attack, seed=seed)
    report = {
        "schema": 1,
        "provenance": provenance(seed=seed),
        "consistent": len(chosen) - len(rows),
        "results": rows,
    }
    write_json(target, report)
    if as_json:
        print(json.dumps(report, indent=1, allow_nan=False))
        return
    terminal = console()
    table = Table(title=f"{len(rows)} of {len(chosen)} statements have inconsistent units",
                  title_justify="left")  # fmt: skip
    for name in ("statement", "form", "fault", "violated under f -> a f(w/b)"):
        table.add_column(name, overflow="fold")
    for row in rows:
        hit = row["attack"]
        broken = "not found" if attack else "-"
        if hit is not None:
            v = hit["verdict"]
            sides = f"{v['measured']:.4g} > {v['bound']:.4g}"
            broken = f"a={hit['a']:g}, b={hit['b']:g}: {sides} on {v['objective']}"
        table.add_row(row["key"], row["form"], row["fault"], broken)
    terminal.print(table)


def unit_rows(
    statements: list[Statement], *, attack: bool = True, seed: int = 0
) -> list[dict[str, Any]]:
    """One row for each inconsistent statement: the fault, its terms, and the attack's find."""
    specs = objective_specs() if attack else []
    rows = []
    for statement in statements:
        fault = statement.units_fault
        if fault is None:
            continue
        found = rescaling_attack(statement, specs, seed=seed) if attack else None
        rows.append({
            "key": statement.key, "form": statement.form, "claim": str(statement.claim),
            "fault": str(fault), "terms": [str(term) for term in fault.terms],
            "attack": None if found is None else _attack_row(found),
        })  # fmt: skip
    return rows


def _attack_row(found: Attack) -> dict[str, Any]:
    return {"a": found.a, "b": found.b, "objective": found.spec,
            "verdict": found.verdict.to_json()}  # fmt: skip
