"""``theorylab stability``: perturbed twins against every stability theorem of a rule."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from theorylab.cli.options import (
    Data,
    Family,
    Parameters,
    Seed,
    Target,
    chosen_objectives,
)
from theorylab.console import console, say_where
from theorylab.errors import UsageError
from theorylab.options import MAX_COUNT, BackendName, Jobs, Memory, Scheduler, counted, typed
from theorylab.plugins import registry
from theorylab.plugins.store import writable

if TYPE_CHECKING:
    from bounds.statement import Statement
    from theorylab.studies.stability import StabilityReport

__all__ = ["command"]

_RULES = "sgd,lrsgd_r,lrsgd_c"
_OBJECTIVE = "stability_twins"


def _numbers(text: str | None, kind: type, option: str) -> list[Any]:
    if text is None:
        return []
    try:
        found = [kind(part) for part in text.split(",") if part.strip()]
        if not found:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"{option} takes {'integers' if kind is int else 'numbers'} separated by commas, "
            f"got {text!r}"
        ) from None
    if kind is int and max(found) > MAX_COUNT:
        raise UsageError(f"{option} must be at most {MAX_COUNT}, got {max(found)}")
    return found


def command(
    context: typer.Context,
    rule: Annotated[
        str | None,
        typer.Option(help=f"Rules, separated by commas; those of --statement, or {_RULES}."),
    ] = None,
    data: Data = None,
    column: Target = None,
    objective: Family = None,
    parameters: Parameters = None,
    n: Annotated[str | None, typer.Option(help="Sizes of the data, separated by commas.")] = None,
    steps: Annotated[str, typer.Option(help="Rounds T, separated by commas.")] = "100",
    c: Annotated[str, typer.Option(help="Step multipliers: eta_t = c/(t ell).")] = "0.5",
    theta: Annotated[str, typer.Option(help="LRSGD-R's theta, separated by commas.")] = "0.25",
    inner: Annotated[int, counted(1, "Inner steps S of LRSGD-C, TRSGD.")] = 4,
    pairs: Annotated[int, counted(1, "Twins of each data set.")] = 8,
    seeds: Annotated[int, counted(8, "Repetitions.")] = 512,
    seed: Seed = 0,
    statement: Annotated[
        str | None, typer.Option(help="Statements (keys) whose steps and bounds to use.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove-one", help="Remove, not replace.")] = False,
    search: Annotated[int, counted(0, "Generations of a search for twins.")] = 0,
    jobs: Jobs = 1,
    backend: BackendName = "local",
    scheduler: Scheduler = None,
    memory: Memory = None,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path("results/stability"),
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Measure uniform stability on perturbed twins, beside each theorem's bound.

    Example: theorylab stability --rule sgd,lrsgd_r --n 20,40 --steps 50
    """
    from theorylab.studies.scale import Scale
    from theorylab.studies.stability import stability
    from theorylab.studies.twin_cells import explicit_bound, rule_of

    if objective is None and data is None:
        objective = _OBJECTIVE
    specs = chosen_objectives(objective, data, parameters, column)
    if not specs:
        raise UsageError(f"{objective} has no default instance; name its data with --data")
    named = _named(statement)
    if rule is None:
        rule = _RULES if named is None else ",".join(rule_of(explicit_bound(s)) for s in named)
    names = list(dict.fromkeys(name.strip() for name in rule.split(",")))
    _read(context, names)
    scale = Scale.asked(jobs, backend, scheduler, memory)
    target = writable(out / "stability.json")
    report = stability(
        names, specs[0],
        sizes=_numbers(n, int, "--n"),
        horizons=_numbers(steps, int, "--steps"), multipliers=_numbers(c, float, "--c"),
        thetas=_numbers(theta, float, "--theta"), inner=inner, pairs=pairs, seeds=seeds, seed=seed,
        statements=named, remove=remove,
        search=search, jobs=scale, out=out,
    )  # fmt: skip
    report.keep(target)
    if as_json:
        print(json.dumps(report.to_json(), indent=1, allow_nan=False))
    else:
        _print(report, target)
    if report.lost:
        raise typer.Exit(1)


def _read(context: typer.Context, names: Sequence[str]) -> None:
    """Refuse an option that sets a field which none of the rules has."""
    known = {field.name for name in names for field in fields(registry.rule(name))}
    for option, field in (("theta", "theta"), ("inner", "S")):
        if field not in known and typed(context, {option}):
            raise UsageError(
                f"stability: --{option} sets {field}, which {', '.join(names)} has not"
            )


def _named(keys: str | None) -> list[Statement] | None:
    """The statements of those keys, repaired where they are."""
    if not keys:
        return None
    return [registry.statement(key.strip(), "repaired") for key in keys.split(",")]


def _print(report: StabilityReport, target: Path) -> None:
    terminal = console()
    table = Table(
        title=f"Perturbed twins on {escape(report.objective['name'])}", title_justify="left"
    )
    for name in ("rule", "n", "T", "c", "theta", "gap", "bound", "ratio"):
        table.add_column(name, justify="left" if name == "rule" else "right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    colours = {"violated": "bold red", "not refuted": "green"}
    for row in report.rows:
        gap = "diverged"
        if row["gap"] is not None:
            end = row["interval"][1]
            gap = f"{_number(row['gap'])} ± {math.inf if end is None else end - row['gap']:.2g}"
        colour = colours.get(row["verdict"], "dim")
        told = f"{row['verdict']} ({row['evidence']})" if row["evidence"] else row["verdict"]
        table.add_row(row["rule"], str(row["n"]), str(row["T"]), _number(row["c"]),
                      _number(row["theta"]), gap,
                      _number(row["bound"]), _number(row["ratio"]),
                      f"[{colour}]{told}[/]")  # fmt: skip
    terminal.print(table)
    for fit in report.exponents:
        low, high = fit["interval"]
        left = f"; {fit['left_out']} points left out (0 or diverged)" if fit["left_out"] else ""
        terminal.print(
            f"{fit['rule']}: gap ~ {fit['along']}^{fit['exponent']:.3f} "
            f"({low:.3f} to {high:.3f}); the bound's {_number(fit['bound'])}, "
            f"its leading term's {_number(fit['predicted'])}, "
            f"older expansion {_number(fit['older'])}{left}", highlight=False,
        )  # fmt: skip
    say_where("results", target)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
