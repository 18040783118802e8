"""``theorylab falsify``: search for counterexamples, confirm them, and write them down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from theorylab.cli.options import Data, Family, Parameters, Seed, Target, chosen_objectives
from theorylab.cli.statements import Keys, Paper
from theorylab.console import console, say_where
from theorylab.errors import require_finite
from theorylab.options import BackendName, Jobs, Memory, Scheduler, counted
from theorylab.plugins.store import writable
from theorylab.studies.selection import select

if TYPE_CHECKING:
    from theorylab.hunt.search import Hunt
    from theorylab.studies.falsify import FalsifyReport

__all__ = ["command"]

_NAMED = 3  # statements that a reason names
_COLOURS = {"violated": "bold red", "not refuted": "green", "not applicable": "dim"}


def command(
    keys: Keys = None,
    paper: Paper = None,
    form: Annotated[
        Literal["printed", "repaired", "both"], typer.Option(help="Which form of a statement.")
    ] = "both",
    objective: Family = None,
    data: Data = None,
    column: Target = None,
    parameters: Parameters = None,
    budget: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds in all, shared by the statements."),
    ] = 600.0,
    limit: Annotated[
        int | None,
        counted(
            1,
            "Instances a statement, instead of seconds: the same bits on any machine.",
            "--instances",
        ),
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = 1,
    backend: BackendName = "local",
    scheduler: Scheduler = None,
    memory: Memory = None,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/falsify"),
    database: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|none",
            help="Counterexamples found before, tried first; OUT/database by default.",
        ),
    ] = None,
    write: Annotated[bool, typer.Option(help="Shrink and write counterexamples.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Search for an instance on which each statement fails, and write it as a counterexample.

    Example: theorylab falsify sngm.eq_6 --form printed --budget 60
    """
    from theorylab.studies.falsify import falsify
    from theorylab.studies.scale import Scale

    require_finite("falsify", {"budget": budget})
    scale = Scale.asked(jobs, backend, scheduler, memory)
    chosen = select(keys or [], paper, form)
    specs = None
    if any(x is not None for x in (objective, data, parameters, column)):
        specs = chosen_objectives(objective, data, parameters, column)
        specs = specs if data is None else specs[:1]  # on these data alone
    target = writable(out / "results.json")
    kept: str | Path | None = out / "database" if database is None else database
    if database is not None and database.lower() == "none":
        kept = None
    report = falsify(chosen, specs, budget=budget, limit=limit, seed=seed, jobs=scale, out=out,
                     write=write, database=kept)  # fmt: skip
    report.keep(target)
    if as_json:
        print(json.dumps(report.to_json(), indent=1, allow_nan=False))
    else:
        _print(report, target)
    if report.lost:
        raise typer.Exit(1)


def _print(report: FalsifyReport, target: Path) -> None:
    table = Table(title="The hunt", title_justify="left")
    for name in ("statement", "form", "verdict", "how"):
        table.add_column(name, no_wrap=True)
    for name in ("ratio", "tries"):
        table.add_column(name, justify="right", no_wrap=True)
    for h in report:
        ratio = "-" if h.best is None else f"{h.ratio:.4g}"
        table.add_row(h.key, h.form, _verdict(h), h.how, ratio, str(h.evaluations))
    terminal = console(table)
    terminal.print(table)
    reasons: dict[str, list[str]] = {}
    for h in report:
        if h.verdict == "violated" and h.best is not None:
            gap = f"{h.best.measured:.4g} against {h.best.bound:.4g}"
            reasons[f"{gap}, {_where(h)}"] = [f"{h.key} ({h.form})"]
        elif h.reason:
            reasons.setdefault(h.reason, []).append(f"{h.key} ({h.form})")
    for reason, names in reasons.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        said = f"{', '.join(names[:_NAMED])}{more}: {reason}"
        terminal.print(escape(said), highlight=False, soft_wrap=True)
    for form in ("printed", "repaired"):
        if tally := report.tally(form):
            terminal.print(f"{form}: " + ", ".join(f"{k} {n}" for k, n in sorted(tally.items())))
    if late := len(report.unhunted):
        terminal.print(f"{late} of {len(report)} were not hunted: the budget ended first; "
                       "the same command goes on with them")  # fmt: skip
    terminal.print(f"{report.seconds:.0f} s in all")
    say_where("results", target)


def _verdict(h: Hunt) -> str:
    known = f" ({h.best.evidence})" if h.verdict == "violated" and h.best is not None else ""
    return f"[{_COLOURS[h.verdict]}]{h.verdict}[/]{known}"


def _where(h: Hunt) -> str:
    values = ", ".join(f"{k} = {v:.4g}" for k, v in h.measured_at.items())
    on = "" if h.best is None or h.best.objective == "-" else f"on {h.best.objective} "
    return f"{on}at {values}" if values else on.strip()
