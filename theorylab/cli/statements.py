"""``theorylab statements``: every registered lemma and theorem."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer
from rich.table import Table

from bounds.render import text
from theorylab.console import console
from theorylab.plugins import registry
from theorylab.studies.catalogue import catalogue
from theorylab.studies.selection import select

__all__ = ["Keys", "Paper", "command"]


def _complete(incomplete: str) -> list[str]:
    return [
        k for k in dict.fromkeys(k for k, _ in registry.statements()) if k.startswith(incomplete)
    ]


Keys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY]...", help="Statement keys, or prefixes.", autocompletion=_complete
    ),
]
Paper = Annotated[str | None, typer.Option("--paper", help="Only this paper.")]


def command(
    keys: Keys = None,
    paper: Paper = None,
    form: Annotated[
        Literal["printed", "repaired", "both"], typer.Option(help="Which form of a statement.")
    ] = "both",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """List the statements, or show some of them in full."""
    chosen = select(keys or [], paper, form)
    if as_json:
        print(json.dumps(catalogue(chosen).to_json(), indent=1))
        return
    terminal = console()
    if keys:
        for statement in chosen:
            terminal.print(text(statement), highlight=False, markup=False)
            terminal.print()
        return
    table = Table("key", "form", "label", "claim", "units", title=f"{len(chosen)} statements")
    for s in chosen:
        colour = "red" if s.units == "inconsistent" else "green"
        table.add_row(s.key, s.form, s.label, str(s.claim), f"[{colour}]{s.units}[/]")
    terminal.print(table)
