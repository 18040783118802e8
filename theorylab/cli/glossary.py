"""``theorylab symbols``, ``quantities``, ``assumptions``, ``rules``, ``objectives``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from theorylab.console import console
from theorylab.errors import UnknownNameError

if TYPE_CHECKING:
    from theorylab.studies.glossary import Glossary, Kind

__all__ = ["assumptions", "objectives", "quantities", "rules", "symbols"]

Word = Annotated[
    str | None,
    typer.Argument(metavar="[WORD]", help="Only where this is in name or meaning; a constant."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


def symbols(word: Word = None, as_json: AsJson = False) -> None:
    """List the symbols: meaning, domain, units, and how many statements use each.

    Example: theorylab symbols step
    """
    _show("symbols", word, as_json)


def quantities(word: Word = None, as_json: AsJson = False) -> None:
    """List the measured quantities that a statement may use, with their units.

    Example: theorylab quantities suboptimality
    """
    _show("quantities", word, as_json)


def assumptions(word: Word = None, as_json: AsJson = False) -> None:
    """List the assumptions, with the constants that an objective must certify.

    Example: theorylab assumptions convex
    """
    _show("assumptions", word, as_json)


def rules(word: Word = None, as_json: AsJson = False) -> None:
    """List the methods that a statement may be about, with their fields.

    Example: theorylab rules momentum
    """
    _show("rules", word, as_json)


def objectives(word: Word = None, as_json: AsJson = False) -> None:
    """List the families of objectives, with the constants that each certifies.

    Example: theorylab objectives mu
    """
    _show("objectives", word, as_json)


def _show(kind: Kind, word: str | None, as_json: bool) -> None:
    from theorylab.studies.glossary import glossary

    found = glossary(kind)
    if word is not None:
        found = found.matching(word)
        if not len(found):
            raise UnknownNameError(f"no name or meaning among the {kind} contains {word!r}")
    if as_json:
        print(json.dumps(found.to_json(), indent=1))
    else:
        _print(found)


def _print(found: Glossary) -> None:
    frame = found.to_pandas()
    table = Table(title=f"{found.kind}: {len(found)}", title_justify="left")
    names = max(len(term.name) for term in found)
    for column in frame.columns:
        if column == "name":
            table.add_column(column, min_width=names, overflow="fold")
        else:
            table.add_column(column, overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(str(cell)) for cell in row))  # brackets are no markup
    console().print(table)
