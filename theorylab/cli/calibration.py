"""``theorylab calibration``: how often the judge is wrong, and how often it decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from theorylab.cli.options import Seed
from theorylab.console import console, say_where
from theorylab.options import BackendName, Jobs, Memory, Scheduler, counted
from theorylab.plugins.store import writable

if TYPE_CHECKING:
    from theorylab.studies.calibration import Calibration

__all__ = ["command"]


def command(
    repetitions: Annotated[int, counted(1, "Checks of each claim on each law.")] = 200,
    replicas: Annotated[int, counted(2, "Samples of a first look.")] = 4096,
    seed: Seed = 0,
    jobs: Jobs = 1,
    backend: BackendName = "local",
    scheduler: Scheduler = None,
    memory: Memory = None,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path(
        "results/calibration"
    ),
    page: Annotated[
        Path | None, typer.Option(help="A page to write the tables into, between its markers.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Check claims on eight laws of exactly known mean, and count false verdicts.

    Example: theorylab calibration --repetitions 20
    """
    from theorylab.studies.calibration import calibrate
    from theorylab.studies.pages import fill, held
    from theorylab.studies.scale import Scale

    scale = Scale.asked(jobs, backend, scheduler, memory)
    target = writable(out / "results.json")
    if page is not None:
        held(page, "calibration")  # refused before anything is computed
    found = calibrate(repetitions=repetitions, replicas=replicas, seed=seed, jobs=scale,
                      out=str(out))  # fmt: skip
    found.keep(target)
    if page is not None:
        fill(page, "calibration", found.markdown())
    if as_json:
        print(json.dumps(found.to_json(), indent=1, allow_nan=False))
    else:
        _print(found, target)
    if found.lost or not found.calibrated:
        raise typer.Exit(1)


def _print(found: Calibration, target: Path) -> None:
    terminal = console()
    table = Table(title="Verdicts on laws of exactly known mean", title_justify="left")
    for name in ("law", "claim", "true"):
        table.add_column(name, no_wrap=True)
    for name in ("violated", "holds", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.rows:
        colour = "[bold red]" if row.wrong else ""
        table.add_row(row.law, row.claim, "yes" if row.true else "no", f"{colour}{row.violated}",
                      str(row.holds), str(row.repetitions))  # fmt: skip
    terminal.print(table)
    wrong = sum(row.wrong for row in found.rows)
    checks = sum(row.repetitions for row in found.rows)
    terminal.print(f"false verdicts: {wrong} of {checks:,}; stated risk of each: {found.risk:g}")
    say_where("results", target)
