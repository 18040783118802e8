"""``theorylab plan``: what a command would compute, how long it would take, and in what memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from theorylab.console import console
from theorylab.errors import UsageError
from theorylab.options import takes_rest

if TYPE_CHECKING:
    from theorylab.studies.planning import Plan

__all__ = ["command"]

_PLANNED = ("verify", "falsify", "power", "stability", "figure", "compare", "train")


def _complete(incomplete: str) -> list[str]:
    return [name for name in _PLANNED if name.startswith(incomplete)]


@takes_rest
def command(
    name: Annotated[
        str, typer.Argument(metavar="COMMAND", help=", ".join(_PLANNED), autocompletion=_complete)
    ],
    line: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGUMENT]...", help="As it is called.")
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(min=0.0, max=3600.0, help="Of cells that are run to estimate the others."),
    ] = 10.0,
    cells: Annotated[bool, typer.Option("--cells", help="Name every cell.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, every cell.")] = False,
) -> None:
    """Print a command's cells, the time and memory they would take, and what is stored of them.

    Example: theorylab plan verify sngm --jobs 2
    """
    from theorylab.cli import command_line
    from theorylab.studies.planning import plan_only

    if name not in _PLANNED:
        raise UsageError(f"plan: {', '.join(_PLANNED)} are split into cells, got {name!r}")
    words = [word for word in line or () if word != "--json"]
    with plan_only() as planner:
        command_line(name)(words, prog_name=f"theorylab {name}", standalone_mode=False)
    plan = planner.plan(" ".join(["theorylab", name, *words]), seconds)
    if as_json or len(words) < len(line or ()):
        print(json.dumps(plan.to_json(), indent=1, allow_nan=False))
    else:
        _print(plan, cells)


def _print(plan: Plan, cells: bool) -> None:
    terminal = console()
    table = Table(title=escape(plan.command), title_justify="left")
    table.add_column("stage", overflow="fold")
    for head in ("cells", "stored", "to do", "tried", "on one worker"):
        table.add_column(head, justify="right", no_wrap=True)
    for s in plan:
        took = "unknown" if s.seconds is None else _time(s.seconds)
        table.add_row(escape(s.label), f"{s.cells:,}", f"{s.cached:,}", f"{s.cells - s.cached:,}",
                      str(s.tried), took)  # fmt: skip
    terminal.print(table)
    if cells:
        for cell in plan.cells:
            state = "stored" if cell.cached else "to do"
            terminal.print(f"{cell.stage}: {cell.name}: {state}", markup=False, highlight=False)
    took = "an unknown time" if plan.seconds is None else f"about {_time(plan.seconds)}"
    workers = f"{plan.workers} worker" + "s" * (plan.workers > 1)
    terminal.print(f"{took} on {workers}, about {plan.memory / 2**20:,.0f} MiB together; "
                   "cells that were tried are stored", highlight=False)  # fmt: skip
    if len(plan) > 1:
        terminal.print("later stages shrink where an earlier one settles a statement",
                       highlight=False)  # fmt: skip


def _time(seconds: float) -> str:
    """As people say it.

    >>> _time(0.2), _time(75), _time(7300)
    ('0.2 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {rest} min"
