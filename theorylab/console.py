"""Where tables are printed: a terminal at its own width, a file or pipe wide enough for all."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from theorylab.errors import printable

__all__ = ["console", "say_where"]

_WIDE, _WIDEST = 120, 240


def console(table: Table | None = None) -> Console:
    """A console on stdout whose tables lose no cell when they are redirected.

    Redirected, it is as wide as the ``table`` needs, within reason.

    >>> console().width >= 1
    True
    """
    # sys.stdout as it is now: a notebook or a test may have replaced it.
    found = Console(file=sys.stdout)
    if found.is_terminal or found.is_jupyter:
        return found
    wide = Console(file=sys.stdout, width=_WIDEST)
    needed = 0 if table is None else Measurement.get(wide, wide.options, table).maximum
    return Console(file=sys.stdout, width=max(_WIDE, needed))


def say_where(what: str, path: Path) -> None:
    """Print where something is kept; nothing in the name is markup, and none of it is cut.

    >>> say_where("results", Path("[bold]/results.json"))
    results: [bold]/results.json
    """
    shown = f"{what}: {printable(path, 5000)}"
    console().print(shown, markup=False, highlight=False, soft_wrap=True)
