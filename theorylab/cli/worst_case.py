"""``theorylab worst-case``: exact worst cases by semidefinite programming (extra ``[pep]``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from theorylab.cli.options import Seed
from theorylab.cli.statements import Keys, Paper
from theorylab.console import console
from theorylab.errors import UsageError
from theorylab.options import counted
from theorylab.plugins.store import writable
from theorylab.studies.selection import select

if TYPE_CHECKING:
    from theorylab.studies.worst_case import WorstCaseReport

__all__ = ["command"]

_LARGEST = 1e12


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
    count: Annotated[int, counted(1, "Points of the domain, at most.")] = 6,
    hunt_seconds: Annotated[
        float, typer.Option("--hunt", min=0.0, help="Seconds to look for an actual run as bad.")
    ] = 5.0,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/worst_case"),
    page: Annotated[
        Path | None,
        typer.Option(help="A page to write the hunted rows into, between its markers."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """The exact worst case of one or a few steps, beside each statement's bound.

    Example: theorylab worst-case tralgo.lemma_1 --set eta=0.5
    """
    from theorylab.studies.pages import fill, held
    from theorylab.studies.worst_case import markdown, worst_cases

    fixed = _parse(values or [])
    chosen = select(keys or [], paper, form)
    target = writable(out / "results.json")
    if page is not None:
        held(page, "worst cases")  # refused before anything is computed
    report = worst_cases(chosen, fixed, count=count, hunt_seconds=hunt_seconds, seed=seed)
    report.keep(target)
    if page is not None:
        fill(page, "worst cases", markdown(report.to_json()))
    if as_json:
        print(json.dumps(report.to_json(), indent=1, allow_nan=False))
    else:
        _print(report)


def _parse(items: Sequence[str]) -> dict[str, float]:
    table: dict[str, float] = {}
    for item in items:
        name, _, text = item.partition("=")
        name = name.strip()
        if name in table:
            raise UsageError(f"--set takes each name once, got {name} twice")
        try:
            table[name] = float(text)
        except ValueError as error:
            raise UsageError(f"--set expects NAME=NUMBER, got {item!r}") from error
        if not abs(table[name]) <= _LARGEST:
            raise UsageError(f"--set expects numbers of size at most {_LARGEST:g}, got {item!r}")
    return table


def _print(report: WorstCaseReport) -> None:
    terminal = console()
    table = Table(title="Exact worst cases", title_justify="left")
    table.add_column("statement", overflow="fold", min_width=26)
    for name in ("measured", "primal", "dual", "gap", "bound", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status, scope, cross-check")
    for row in report:
        at = ", ".join(f"{k}={v:.4g}" for k, v in row.values.items())
        colour = "bold red" if row.refutes else "green"
        measured = "" if row.measured is None else f"{row.measured:.6g}"
        table.add_row(
            f"{row.key} ({row.form})\n[dim]{at}[/]", measured, f"{row.primal:.6g}",
            f"{row.dual:.6g}", f"{row.gap:.1e}", f"{row.bound:.6g}",
            f"[{colour}]{row.ratio:.6g}[/]",
            escape(f"{row.status}, {row.scope}; {row.cross_check}"),
        )  # fmt: skip
    if len(report):
        terminal.print(table)
    for name, reason in report.skipped.items():
        terminal.print(f"[dim]{escape(f'{name}: {reason}')}[/]", highlight=False)
