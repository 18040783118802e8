"""``theorylab units``: statements whose two sides scale differently, and what that breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from theorylab.cli.options import Seed
from theorylab.cli.statements import Keys, Paper
from theorylab.console import console
from theorylab.plugins.store import writable
from theorylab.studies.selection import select

if TYPE_CHECKING:
    from theorylab.studies.units import UnitsReport

__all__ = ["command"]


def command(
    keys: Keys = None,
    paper: Paper = None,
    form: Annotated[
        Literal["printed", "repaired", "both"], typer.Option(help="Which form of a statement.")
    ] = "both",
    attack: Annotated[
        bool, typer.Option(help="Turn each inconsistency into a violated instance.")
    ] = True,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/units"),
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """List the statements whose two sides have different units, with the term at fault.

    Example: theorylab units sngm
    """
    from theorylab.studies.units import units

    chosen = select(keys or [], paper, form)
    target = writable(out / "results.json")
    report = units(chosen, attack=attack, seed=seed)
    report.keep(target)
    if as_json:
        print(json.dumps(report.to_json(), indent=1, allow_nan=False))
    else:
        _print(report)


def _print(report: UnitsReport) -> None:
    faults = report.faults
    table = Table(title=f"{len(faults)} of {report.consistent + len(faults)} statements have "
                  "inconsistent units", title_justify="left")  # fmt: skip
    for name in ("statement", "form", "fault", "violated under f -> a f(w/b)"):
        table.add_column(name, overflow="fold")
    for row in faults:
        broken = "not found" if report.attacked else "-"
        if row.attack is not None:
            v = row.attack.verdict
            sides = f"{v.measured:.4g} > {v.bound:.4g}"
            broken = f"a={row.attack.a:g}, b={row.attack.b:g}: {sides} on {v.objective}"
        table.add_row(row.key, row.form, escape(row.fault), escape(broken))
    console().print(table)
