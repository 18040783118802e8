"""Every number of every table of the four papers, as printed: ``published/PAPER.csv``.

A CSV has the columns ``paper, table, row, column, value, spread, unit, notes``. Labels are the
paper's own; ``row`` and ``column`` join nested heads with a slash. What the papers' text does not
show legibly has no value, and ``notes`` says why.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import final

from theorylab.errors import UnknownNameError

__all__ = ["PAPERS", "Printed", "printed", "tables"]

PAPERS = ("tralgo", "lrsgd", "sngm", "stochastic_batch_size")


@final
@dataclass(frozen=True)
class Printed:
    """One printed number.

    Attributes
    ----------
    paper, table, row, column : str
        Where it stands.
    value : float or None
        ``None`` where it is no number, or cannot be read.
    spread : float or None
        As printed; what it is, a deviation or an interval, is in ``notes``.
    unit : str
        ``%``, ``fraction``, ``%-point``, ``1``, ``samples``, ``yes/no`` or ``formula``.
    notes : str
        What a reader must know about the transcription.
    """

    paper: str
    table: str
    row: str
    column: str
    value: float | None
    spread: float | None
    unit: str
    notes: str

    @property
    def percent(self) -> float | None:
        """The value on the scale of percent, whether printed as a share or as percent."""
        return None if self.value is None else self.value * (100 if self.unit == "fraction" else 1)


@cache
def printed(paper: str, table: str | None = None) -> tuple[Printed, ...]:
    """The numbers of a paper, or of one of its tables, in reading order.

    Raises
    ------
    UnknownNameError
        If there is no such paper or table.

    Examples
    --------
    >>> found = printed("tralgo", "table_4")
    >>> len(found), found[0].row, found[0].column, found[0].value
    (8, 'SGD', '2', 0.8569)
    """
    if paper not in PAPERS:
        raise _unknown("paper", paper, PAPERS)
    source = files(__name__).joinpath(f"{paper}.csv").read_text(encoding="utf-8")
    rows = tuple(map(_parsed, csv.DictReader(source.splitlines())))
    if table is None:
        return rows
    chosen = tuple(row for row in rows if row.table == table)
    if not chosen:
        raise _unknown("table", table, tables(paper))
    return chosen


def tables(paper: str) -> tuple[str, ...]:
    """The tables of a paper that have numbers.

    >>> tables("lrsgd")
    ('table_1',)
    """
    return tuple(sorted({row.table for row in printed(paper)}))


def _parsed(row: Mapping[str, str]) -> Printed:
    numbers = {"value": _number(row["value"]), "spread": _number(row["spread"])}
    return Printed(**{**row, **numbers})  # type: ignore[arg-type]


def _number(text: str) -> float | None:
    return float(text) if text else None


def _unknown(kind: str, name: str, known: tuple[str, ...]) -> UnknownNameError:
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
    return UnknownNameError(f"unknown {kind} {name!r}; {hint}")
