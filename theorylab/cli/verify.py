"""``theorylab verify``: every statement against measured runs, on certified objectives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from theorylab.cli.options import (
    Data,
    Parameters,
    Seed,
    Target,
    chosen_objectives,
    families,
)
from theorylab.cli.statements import Keys, Paper
from theorylab.console import console, say_where
from theorylab.options import BackendName, Jobs, Memory, Scheduler, counted
from theorylab.plugins.store import writable
from theorylab.studies.selection import select

if TYPE_CHECKING:
    from theorylab.judge.verdict import Verdict
    from theorylab.studies.verify import VerifyReport

__all__ = ["command"]

_COLOURS = {"violated": "bold red", "not refuted": "yellow", "holds": "green",
            "vacuous": "magenta", "not applicable": "dim"}  # fmt: skip
_FEW = 4


def command(
    keys: Keys = None,
    paper: Paper = None,
    form: Annotated[
        Literal["printed", "repaired", "both"], typer.Option(help="Which form of a statement.")
    ] = "both",
    objective: Annotated[
        str | None,
        typer.Option(help="Check on this objective family alone.", autocompletion=families),
    ] = None,
    data: Data = None,
    column: Target = None,
    parameters: Parameters = None,
    replicas: Annotated[int, counted(2, "Independent runs, at most.")] = 256,
    budget: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds after which no new check starts.")
    ] = None,
    instances: Annotated[
        int, counted(0, "Instances of the closing hunt of each printed claim.")
    ] = 60,
    seed: Seed = 0,
    jobs: Jobs = 1,
    backend: BackendName = "local",
    scheduler: Scheduler = None,
    memory: Memory = None,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/verify"),
    page: Annotated[
        Path | None,
        typer.Option(
            help="A page to write the table into, between its markers: of the statements that "
            "it lists there, or of all."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on any violation.")] = False,
) -> None:
    """Check every statement (or those named by KEY) against measured runs.

    Example: theorylab verify sngm lrsgd.theorem_3_6 --data breast_cancer --jobs 2
    """
    from theorylab.studies.pages import fill, held
    from theorylab.studies.scale import Scale
    from theorylab.studies.verdict_table import listed, markdown
    from theorylab.studies.verify import require_applicable, verify

    scale = Scale.asked(jobs, backend, scheduler, memory)
    chosen = select(keys or [], paper, form)
    specs = chosen_objectives(objective, data, parameters, column)
    if keys and objective is not None:
        require_applicable(chosen, specs[0])  # an explicit pair that cannot be checked
    target = writable(out / "results.json")
    rows = [] if page is None else listed(held(page, "verdicts"))
    named = specs if objective is not None or data is not None else None
    report = verify(chosen, named, form=form, replicas=replicas, budget=budget,
                    instances=instances, seed=seed, jobs=scale, out=out)  # fmt: skip
    report.keep(target)
    if page is not None:
        fill(page, "verdicts", markdown(report, rows))
    if as_json:
        print(json.dumps(report.to_json(), indent=1, allow_nan=False))
    else:
        _print(report, target)
    if report.lost or (strict and any(v.verdict == "violated" for v in report)):
        raise typer.Exit(1)


def _print(report: VerifyReport, target: Path) -> None:
    from theorylab.studies.verdict_table import RATIO, remarks

    verdicts = report.verdicts
    table = Table(box=box.SIMPLE_HEAD, title="Statements against measured runs",
                  title_justify="left", padding=(0, 1, 0, 0))  # fmt: skip
    table.add_column("statement", no_wrap=True)
    for form in ("printed", "repaired"):
        table.add_column(form, no_wrap=True)
        table.add_column("ratio", justify="right", no_wrap=True, min_width=8)
    table.add_column("units", no_wrap=True, min_width=6)
    keys = dict.fromkeys(v.key for v in verdicts)
    by_form = {(v.key, v.form): v for v in verdicts}
    paper = ""
    for key in keys:
        if key.split(".", 1)[0] != paper:
            paper = key.split(".", 1)[0]
            table.add_row(f"[bold]{paper}[/]")
        pair = [by_form.get((key, form)) for form in ("printed", "repaired")]
        cells = [text for v in pair for text in (("", "") if v is None else _cell(v))]
        faulty = pair[0] is not None and pair[0].units == "inconsistent"
        units = "[red]differ[/]" if faulty else "ok" if pair[0] is not None else ""
        table.add_row("  " + key.split(".", 1)[1], *cells, units)
    terminal = console(table)
    terminal.print(table)
    if len(keys) <= _FEW:
        for v in verdicts:
            terminal.print(_detail(v), highlight=False)
    _print_own(report)
    for form in ("printed", "repaired"):
        if tally := report.tally(form):
            parts = ", ".join(f"[{_COLOURS[k]}]{k} {tally[k]}[/]" for k in _COLOURS if tally[k])
            terminal.print(f"{form}: {parts}")
    for line in (*remarks(report), RATIO):
        terminal.print(escape(line))
    say_where("results", target)


def _print_own(report: VerifyReport) -> None:
    """What the user's own data say, whatever decided, and why where they cannot serve."""
    rows = [v for entry in report.checked for v in entry.own]
    if not rows:
        return
    names = ", ".join(dict.fromkeys(v.objective for v in rows))
    table = Table(box=box.SIMPLE_HEAD, title=f"On your data alone: {escape(names)}",
                  title_justify="left", padding=(0, 1))  # fmt: skip
    for column in ("statement", "form", "verdict"):
        table.add_column(column, no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("why")
    for v in rows:
        table.add_row(v.key, v.form, *_cell(v), escape(v.reason))
    console(table).print(table)


def _cell(v: Verdict) -> tuple[str, str]:
    return f"[{_COLOURS[v.verdict]}]{v.told}[/]", v.shown_ratio


def _detail(v: Verdict) -> str:
    """The deciding instance in a line or two."""
    head = f"{v.key} ({v.form}): [{_COLOURS[v.verdict]}]{v.told}[/]: "
    if v.verdict == "not applicable":
        return head + escape(v.reason)
    at = ", ".join(f"{k} = {_number(x)}" for k, x in {**v.constants, **v.hyperparameters}.items())
    low, high = map(_number, v.interval)
    line = (
        f"{head}measured {_number(v.measured)} in \\[{low}, {high}] against {_number(v.bound)} "
        f"on {escape(v.objective)} with {at}; {v.comparisons} instances, {v.undecided} undecided"
    )
    return line + (f"; {escape(v.reason)}" if v.reason else "")


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3g}"
