"""``theorylab figure``: the papers' exhibits, and measured against bound for any statement."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bounds.statement import Statement
from deep.settings import MAX_SEED
from paper_figures import theory
from paper_figures.exhibit import Refused
from paper_figures.exhibits import EXHIBITS, Drawn, produce_each
from paper_figures.scale import SCALES, scale
from paper_figures.session import Session, recorded
from paper_figures.style import FORMATS, STYLES, style
from theorylab.cli.options import Target, families, say_data
from theorylab.console import console, say_where
from theorylab.data.record import Choices
from theorylab.errors import DataError, UnknownNameError, UsageError
from theorylab.options import BackendName, Jobs, Memory, Scheduler, counted, typed
from theorylab.plugins import registry
from theorylab.plugins.specs import objective_specs, parse_parameters
from theorylab.plugins.store import Store, writable
from theorylab.studies.planning import end_of_plan
from theorylab.studies.scale import Scale
from theorylab.studies.selection import select

__all__ = ["command"]

# What only the one or the other kind of figure reads.
_OF_STATEMENTS = ("column", "axis", "objective", "parameters", "replicas")
_OF_EXHIBITS = ("preset", "style_", "data_dir", "device", "budget", "recorded_", "segmenter",
                "weights", "formats")  # fmt: skip


def _complete(incomplete: str) -> list[str]:
    known = [*EXHIBITS, *dict.fromkeys(key for key, _ in registry.statements())]
    return [key for key in known if key.startswith(incomplete)]


def _completes(names: Iterable[str]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def command(
    context: typer.Context,
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY]...", autocompletion=_complete,
            help="Exhibits such as sngm.table_2, or statements such as sngm.theorem_1.",
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every exhibit.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the exhibits.")] = False,
    preset: Annotated[
        str,
        typer.Option(
            help=f"How much to run: {', '.join(SCALES)}.", autocompletion=_completes(SCALES)
        ),
    ] = "laptop",
    style_: Annotated[
        str,
        typer.Option(
            "--style", help=f"Column widths: {', '.join(STYLES)}.",
            autocompletion=_completes(STYLES),
        ),
    ] = "neurips",
    data_dir: Annotated[
        Path | None,
        typer.Option(help="A data set's folder or archive, or a folder with one for each by name."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Exhibits: a data set in place of the paper's first. Statements: "
                     "a bundled data set or a file of yours."),
    ] = None,
    column: Target = None,
    axis: Annotated[
        str | None,
        typer.Option(help="Statements: what to vary: T, eta, B, n, ... or a family's parameter."),
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="Statements: the objective family.", autocompletion=families)
    ] = None,
    parameters: Annotated[
        str | None,
        typer.Option("--set", help="Statements: hyper-parameters or a family's: eta=0.1,ell=2."),
    ] = None,
    replicas: Annotated[int, counted(2, "Statements: independent runs.")] = 256,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED)] = 0,
    jobs: Jobs = 1,
    backend: BackendName = "local",
    scheduler: Scheduler = None,
    memory: Memory = None,
    device: Annotated[str, typer.Option(help="Exhibits: cpu, cuda or auto.")] = "auto",
    budget: Annotated[
        float | None,
        typer.Option(min=0.0, help="Seconds an exhibit may start new runs in."),
    ] = None,
    recorded_: Annotated[
        list[Path] | None,
        typer.Option("--recorded", help="What `make gpu` recorded: its cells stand in place of "
                     "the preset's. Several may be given."),
    ] = None,
    segmenter: Annotated[
        str | None, typer.Option(metavar="MODULE:FACTORY", help="For FCN-scores, with --weights.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The segmentation network's state_dict.")
    ] = None,
    formats: Annotated[
        str, typer.Option("--formats", help="Some of pdf,svg,png,pgf (pgf needs LaTeX).")
    ] = ",".join(FORMATS),
    out: Annotated[Path, typer.Option(help="Where figures, tables and data go.")] = Path(
        "results/figures"
    ),
) -> None:  # fmt: skip
    """Draw exhibits of the papers, or measured against bound for statements.

    Stopped anywhere, the same command goes on. Without KEY, one figure for each paper's main rate.
    """
    if list_:
        _list()
        return
    workers = Scale.asked(jobs, backend, scheduler, memory)
    keys = list(EXHIBITS) if all_ else list(keys or [])
    chosen = [key for key in keys if key in EXHIBITS and axis is None]
    others = [key for key in keys if key not in chosen]
    _known(others)
    _read(context, chosen, others)
    refused: list[Refused] = []
    lost = False
    if others or not keys:
        wanted = [(forms, axis) for forms in _forms(others)] if others else theory.main_rates()
        faults, lost = _print_curves(theory.each(
            wanted, **_objectives(objective, data, column, parse_parameters(parameters)),
            replicas=replicas, seed=seed, jobs=workers, out=out,
        ))  # fmt: skip
        refused += faults
    if chosen:
        kinds = tuple(part.strip() for part in formats.split(","))
        if unknown := set(kinds) - set(FORMATS):
            raise UsageError(
                f"--formats: unknown {sorted(unknown)[0]!r}; known: {', '.join(FORMATS)}"
            )
        amount = scale(preset) if data is None else scale(preset).on(data)
        if data_dir is not None and not data_dir.exists():
            raise DataError(f"--data-dir: {data_dir} does not exist")
        look = style(style_)
        if (segmenter is None) != (weights is None):
            raise UsageError("figure: --segmenter and --weights go together")
        if weights is not None and not weights.is_file():
            raise DataError(f"--weights: there is no file {weights}")
        reader = None if segmenter is None or weights is None else (segmenter, weights)
        elsewhere = recorded(*recorded_ or ())
        writable(out / f"{chosen[0]}.csv")
        session = Session(Store(out), amount, data_dir, seed=seed, jobs=workers, device=device,
                          budget=budget, recorded=elsewhere, segmenter=reader)  # fmt: skip
        refused += _print_exhibits(produce_each(chosen, session, out, look, kinds))
        lost = lost or bool(session.lost)
    end_of_plan()
    if refused:
        what = "exhibits" if chosen else "statements"
        raise UsageError(
            f"{len(refused)} of {len(chosen or others)} {what} were not drawn; the rest were"
        )
    if lost:
        raise typer.Exit(1)


def _read(context: typer.Context, exhibits: list[str], statements: list[str]) -> None:
    """Refuse options of the other kind of figure: nothing would read them."""
    if exhibits and statements:
        return
    what, other = ("an exhibit", "statements") if exhibits else ("a statement", "exhibits")
    if idle := typed(context, _OF_STATEMENTS if exhibits else _OF_EXHIBITS):
        named = next(iter(exhibits or statements), "a paper's main rate")
        raise UsageError(f"figure: only {other} take {', '.join(idle)}; {named} is {what}")


def _objectives(
    objective: str | None, data: str | None, column: str | None, given: dict[str, Any]
) -> dict[str, Any]:
    """Where curves are measured, and what else --set names: hyper-parameters, or of the family."""
    reading = {k: given.pop(k) for k in set(given) & {f.name for f in fields(Choices)}}
    if objective is None and data is None and not reading and column is None:
        return {"given": given}
    specs = objective_specs(objective, data, reading, column)
    if data is not None:
        specs = specs[:1]  # on these data or not at all
        say_data(specs)
    return {"specs": specs, "given": given}


def _print_curves(found: Iterable[theory.Curves | Refused]) -> tuple[list[Refused], bool]:
    """Print the files as they are drawn; those that were not, and whether cells failed."""
    refused, lost = [], False
    for made in found:
        if isinstance(made, Refused):
            refused.append(made)
            print(f"{made.key}: {made.reason}", file=sys.stderr)
            continue
        for path in made.files[1:]:
            say_where("figure", path)
        lost = lost or bool(made.report.lost)
    return refused, lost


def _print_exhibits(found: Iterable[Drawn | Refused]) -> list[Refused]:
    """Print where each exhibit is as it is drawn; those that were not."""
    terminal = console()
    refused = []
    for made in found:
        if isinstance(made, Refused):
            refused.append(made)
            print(f"{made.key}: {made.reason}", file=sys.stderr)
            continue
        say_where(made.key, made.files[0].parent / f"{made.key}.*")
        if made.missing:
            terminal.print(f"{made.key}: {made.missing} runs are missing; the same command goes on")
    return refused


def _forms(keys: list[str]) -> list[list[Statement]]:
    """The statements that the keys name, their forms together."""
    found: dict[str, list[Statement]] = {}
    for statement in select(keys, None, "both"):
        found.setdefault(statement.key, []).append(statement)
    return list(found.values())


def _known(keys: list[str]) -> None:
    """Refuse what is neither an exhibit nor the beginning of a statement's key."""
    statements = list(dict.fromkeys(key for key, _ in registry.statements()))
    for key in keys:
        if key in EXHIBITS or any(
            s == key or s.startswith((f"{key}_", f"{key}.")) for s in statements
        ):
            continue
        raise _unknown(key, statements)


def _unknown(key: str, statements: list[str]) -> UnknownNameError:
    close = difflib.get_close_matches(key, [*EXHIBITS, *statements], n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "`figure --list` shows the exhibits"
    return UnknownNameError(f"unknown exhibit or statement {key!r}; {hint}")


def _list() -> None:
    table = Table("exhibit", "paper's", "title", box=None, pad_edge=False)
    for item in EXHIBITS.values():
        table.add_row(item.key, item.number, item.title)
    console().print(table)
