"""``theorylab results``: what a folder of results holds, verified, exported, pruned."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from theorylab.console import console
from theorylab.errors import UsageError, printable

if TYPE_CHECKING:
    from theorylab.studies.results import ResultsReport

__all__ = ["command"]


def command(
    action: Annotated[
        Literal["ls", "show", "verify", "export", "prune"],
        typer.Argument(help="List, show one, verify checksums, export cells, remove leftovers."),
    ] = "ls",
    folder: Annotated[Path, typer.Argument(help="The folder, such as results/verify.")] = Path(
        "results"
    ),
    name: Annotated[
        str | None, typer.Argument(help="show: a file's path in FOLDER, or how its name begins.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="export: a .csv, .parquet or .json file.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="prune: say what would go, remove nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Look after a folder of results: theorylab results verify results/verify."""
    from theorylab.studies.results import export, prune, results, show

    if action == "show":
        if name is None:
            raise UsageError("results show needs a name: theorylab results show FOLDER NAME")
        print(json.dumps(show(folder, name), indent=1, allow_nan=False))
    elif action == "export":
        if to is None:
            raise UsageError("results export needs a file: --to cells.csv")
        count = export(folder, to)
        _say(f"{count} cells: {to}", {"cells": count}, as_json)
    elif action == "prune":
        gone = prune(folder, dry_run=dry_run)
        words = "would be removed" if dry_run else "removed"
        named = [printable(path, 500) for path in gone]
        _say("\n".join([*named, f"{len(gone)} files {words}"]), {"removed": gone}, as_json)
    else:
        found = results(folder)
        if as_json:
            print(json.dumps(found.to_json(), indent=1, allow_nan=False))
        else:
            _print(found, action == "ls")
        if action == "verify" and found.faulty:
            raise typer.Exit(1)


def _say(text: str, table: object, as_json: bool) -> None:
    print(json.dumps(table, indent=1) if as_json else text)


def _print(found: ResultsReport, listed: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    terminal = console()
    if listed and len(found):
        table = Table(box=None, pad_edge=False)
        for head in ("file", "kind", "what"):
            table.add_column(head, overflow="fold")
        table.add_column("bytes", justify="right", no_wrap=True)
        for item in found:
            told = f"{item.what} DAMAGED: {item.fault}" if item.fault else item.what
            table.add_row(
                escape(printable(item.path, 500)),
                item.kind,
                escape(told.strip()),
                f"{item.bytes:,}",
            )
        terminal.print(table)
    else:
        for item in found.faulty:
            terminal.print(
                f"{printable(item.path, 500)}: {item.fault}", markup=False, highlight=False
            )
    kinds = Counter(item.kind for item in found)
    told = ", ".join(f"{count} {kind}" + "s" * (count > 1 and kind != "set aside")
                     for kind, count in kinds.items())  # fmt: skip
    terminal.print(f"{told or 'nothing'}; {len(found.faulty)} damaged", highlight=False)
