"""``theorylab statements``: every registered lemma and theorem."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from theorylab.console import console
from theorylab.plugins.listing import listing
from theorylab.studies.selection import select, select_from

__all__ = ["Keys", "Paper", "command"]


def _complete(incomplete: str) -> list[str]:
    return [k for k in dict.fromkeys(k for k, _ in listing()) if k.startswith(incomplete)]


def _papers(incomplete: str) -> list[str]:
    papers = dict.fromkeys(key.split(".", 1)[0] for key, _ in listing())
    return [paper for paper in papers if paper.startswith(incomplete)]


Keys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY]...", help="Statement keys, or prefixes.", autocompletion=_complete
    ),
]
Paper = Annotated[
    str | None, typer.Option("--paper", help="Only this paper.", autocompletion=_papers)
]


def command(
    keys: Keys = None,
    paper: Paper = None,
    form: Annotated[
        Literal["printed", "repaired", "both"], typer.Option(help="Which form of a statement.")
    ] = "both",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """List the statements, or show some in full: claim, symbols and ranges, algorithm, note.

    Example: theorylab statements sngm.theorem_1 --form repaired
    """
    terminal = console()
    if as_json or keys:
        from theorylab.studies.catalogue import catalogue, describe

        named = select(keys or [], paper, form)
        if as_json:
            print(json.dumps(catalogue(named).to_json(), indent=1))
            return
        for statement in named:
            print(describe(statement, terminal.width) + "\n")
        return
    chosen = select_from(listing(), [], paper, form)
    # Keys are to be copied: the claim gives way, and nothing is cut.
    table = Table(title=f"{len(chosen)} statements", title_justify="left")
    table.add_column("key", min_width=max(len(s.key) for s in chosen), overflow="fold")
    for name in ("form", "algorithm"):
        table.add_column(name, overflow="fold")
    table.add_column("claim", overflow="fold", ratio=1)
    for s in chosen:
        claim = Text(s.claim)
        if not s.consistent:
            claim.append("  units differ", style="red")
        table.add_row(s.key, s.form, s.rule, claim)
    terminal.print(table)
    terminal.print("theorylab statements KEY shows one in full.")
