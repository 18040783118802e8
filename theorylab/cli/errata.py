"""``theorylab errata``: the page of corrections, written from results and from nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from theorylab.errors import printable

__all__ = ["command"]


def command(
    results: Annotated[
        list[Path] | None,
        typer.Option(
            help="What `theorylab falsify --form both` wrote; given again, what a later run of "
            "some statements wrote.",
            show_default="results/falsify/results.json",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("docs/errata.md"),
    as_json: Annotated[bool, typer.Option("--json", help="The page's rows as JSON.")] = False,
) -> None:
    """Write the errata page from the results of a hunt, its scripts in a folder beside it.

    Example: theorylab errata --results results/falsify/results.json --out errata.md
    """
    from theorylab.studies.errata import write_errata

    page = write_errata(results or [Path("results/falsify/results.json")], out)
    if as_json:
        typer.echo(json.dumps(page.to_json(), indent=1, allow_nan=False))
        return
    said = f"{len(page.rows)} printed statements, {len(page.scripts)} scripts"
    typer.echo(f"{printable(out, 5000)}: {said}")
