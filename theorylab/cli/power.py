"""``theorylab power``: the share of deliberately weakened statements that the hunt catches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from theorylab.cli.options import MAX_SEED, Seed
from theorylab.cli.statements import Keys, Paper
from theorylab.console import console
from theorylab.errors import UsageError, require_finite
from theorylab.options import BackendName, Jobs, Memory, Scheduler, counted
from theorylab.plugins.store import writable
from theorylab.studies.selection import select

if TYPE_CHECKING:
    from theorylab.studies.power import PowerReport

__all__ = ["command"]


def command(
    keys: Keys = None,
    paper: Paper = None,
    budget: Annotated[
        float, typer.Option(min=0.1, help="Seconds on mutants in all, shared by the statements.")
    ] = 1800.0,
    seeds: Annotated[int, counted(0, "Further seeds on the unmutated statements.")] = 0,
    instances: Annotated[
        int, counted(1, "Instances of each statement tried at each further seed.")
    ] = 12,
    seed: Seed = 0,
    jobs: Jobs = 1,
    backend: BackendName = "local",
    scheduler: Scheduler = None,
    memory: Memory = None,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/power"),
    page: Annotated[
        Path | None, typer.Option(help="A page to write the tables into, between its markers.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Weaken every repaired statement on purpose and count what the hunt catches.

    Example: theorylab power sngm --budget 120 --jobs 2
    """
    from theorylab.studies.pages import fill, held
    from theorylab.studies.power import markdown, power
    from theorylab.studies.scale import Scale

    require_finite("power", {"budget": budget})
    if seed + seeds > MAX_SEED:
        raise UsageError(f"--seed plus --seeds must be at most {MAX_SEED}, got {seed + seeds}")
    scale = Scale.asked(jobs, backend, scheduler, memory)
    chosen = select(keys or [], paper, "repaired")
    target = writable(out / "results.json")
    if page is not None:
        held(page, "power")  # refused before anything is computed
    report = power(chosen, budget=budget, seeds=seeds, instances=instances, seed=seed, jobs=scale,
                   out=out)  # fmt: skip
    report.keep(target)
    if page is not None:
        fill(page, "power", markdown(report.to_json()))
    if as_json:
        print(json.dumps(report.to_json(), indent=1, allow_nan=False))
    else:
        _print(report)
    if report.lost:
        raise typer.Exit(1)


def _print(report: PowerReport) -> None:
    from theorylab.studies.power import alarms_line, kind_name, summary

    terminal = console()
    grid = Table(title="Mutants of repaired statements", title_justify="left")
    for name in ("mutation", "statements"):
        grid.add_column(name)
    columns = ("caught_of_catchable", "catchable", "caught", "all")
    for name in columns:
        grid.add_column(name.replace("_", " "), justify="right")
    for row in summary(report.results):
        which = "attained" if row["attained_only"] else "all"
        grid.add_row(kind_name(row), which, *(str(row[k]) for k in columns))
    terminal.print(grid)
    terminal.print(alarms_line(report.false_alarms))
