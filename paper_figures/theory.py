"""Measured against bound along an axis, for any statement: ``theorylab figure KEY``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bounds.render import expression_latex
from paper_figures.style import COLUMN, figure, rc, save
from theorylab.cli.statements import Keys, select
from theorylab.console import console
from theorylab.errors import AssumptionError, UsageError
from theorylab.judge.check import constants_for
from theorylab.plugins import registry
from theorylab.plugins.specs import (
    Spec,
    build_objective,
    objective_specs,
    parse_parameters,
    with_parameters,
)  # fmt: skip
from theorylab.plugins.store import write_json
from theorylab.problem.objective import FiniteSum
from theorylab.studies.sweep import default_axis, sweep

__all__ = ["command", "draw"]

# What `make verify` draws: for each paper its main rate, along its natural axis.
MAIN = {
    "tralgo": ("tralgo.theorem_2", "T"),
    "lrsgd": ("lrsgd.theorem_3_4", "T"),
    "sngm": ("sngm.theorem_1", "T"),
    "stochastic_batch_size": ("stochastic_batch_size.claim_noise_variance", "B"),
}
_STYLES = {"printed": ("C3", "--"), "repaired": ("C0", "-")}


def draw(data: Mapping[str, Any], path: Path) -> list[Path]:
    """Draw a stored sweep as ``path.pdf`` and ``path.svg``; nothing is computed here.

    Raises
    ------
    UsageError
        If the sweep holds no rows.
    """
    if not data["rows"]:
        raise UsageError(f"{data['key']}: no point of the sweep over {data['axis']} is admissible")
    with rc():
        canvas = figure(COLUMN, 0.8 * COLUMN)
        axes = canvas.add_subplot()
        measured = False
        for form in ("printed", "repaired"):
            rows = [r for r in data["rows"] if r["form"] == form and r["bound"] is not None]
            if not rows:
                continue
            x = [r["x"] for r in rows]
            colour, line = _STYLES[form]
            if not measured:
                kept = [r for r in rows if r["measured"] is not None]
                middle = [r["measured"] for r in kept]
                low = [max(0.0, r["measured"] - (r["interval"][0] or r["measured"])) for r in kept]
                high = [max(0.0, (r["interval"][1] or r["measured"]) - r["measured"]) for r in kept]
                axes.errorbar([r["x"] for r in kept], middle, yerr=[low, high], fmt="o",
                              color="black", capsize=2, label="measured", zorder=3)  # fmt: skip
                measured = True
            axes.plot(x, [r["bound"] for r in rows], line, color=colour, label=f"{form} bound")
        if all(r["x"] > 0 for r in data["rows"]):
            axes.set_xscale("log")
        if all((r["measured"] or 0) > 0 and (r["bound"] or 0) > 0 for r in data["rows"]):
            axes.set_yscale("log")
        axes.set_xlabel(_axis_label(data["key"], data["axis"], data["objective"]))
        statement = registry.statement(data["key"])
        # Mathtext sets a sum's limits over the fraction before it.
        label = expression_latex(statement.claim.lhs).replace(r"\sum", r"\;\;\sum")
        axes.set_ylabel(f"${label}$")
        axes.set_title("\n".join([f"{statement.paper}: {statement.label}", data["objective"],
                                  *_held(data)]))  # fmt: skip
        canvas.legend(loc="outside lower center", ncols=3)
        return save(canvas, path, data["provenance"])


def _axis_label(key: str, axis: str, objective: str) -> str:
    names = {s.name: s.latex for s in registry.statement(key).symbols if s.role != "constant"}
    if axis == "n" or axis in names:
        return f"${names.get(axis, axis)}$"
    return f"{axis} of {objective}"  # a family's parameter, in its own words


def _held(data: Mapping[str, Any]) -> list[str]:
    """What stays as it is along the axis, in lines that fit the title."""
    held = {**data.get("parameters", {}), **data["fixed"]}
    parts = [f"{k} = {v:.4g}" if isinstance(v, float | int) else f"{k} = {v}"
             for k, v in held.items() if k != data["axis"] and v is not None]  # fmt: skip
    return textwrap.wrap(", ".join(parts), 60)


def command(
    keys: Keys = None,
    axis: Annotated[
        str | None,
        typer.Option(help="What to vary: a hyper-parameter (T, eta, B, n, ...) or a family's own."),
    ] = None,
    objective: Annotated[str | None, typer.Option(help="The objective family.")] = None,
    data: Annotated[str | None, typer.Option(help="A bundled data set, a CSV or NPZ file.")] = None,
    parameters: Annotated[
        str | None,
        typer.Option("--set", help="Hyper-parameters or a family's parameters: eta=0.1,ell=2."),
    ] = None,
    replicas: Annotated[int, typer.Option(min=2)] = 256,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    jobs: Annotated[int, typer.Option(min=1)] = 1,
    out: Annotated[Path, typer.Option(help="Where figures and their data go.")] = Path(
        "results/figures"
    ),
) -> None:
    """Draw measured against bound: one figure for each KEY, or one for each paper."""
    chosen = (
        [(s.key, axis) for s in select(keys or [], None, "both")] if keys else list(MAIN.values())
    )
    terminal = console()
    given = parse_parameters(parameters)
    for key, along in dict(chosen).items():
        statement = registry.statement(key, "repaired")
        free = {s.name for s in statement.hyperparameters}
        fixed = {k: float(v) for k, v in given.items() if k in free}
        spec = _spec(key, objective, data)
        if others := {k: v for k, v in given.items() if k not in free}:
            spec = with_parameters(spec, others)
        along = along or default_axis(statement, spec)
        table = sweep(key, along, spec, fixed=fixed, replicas=replicas, seed=seed, jobs=jobs,
                      out=out)  # fmt: skip
        stem = out / f"{key}.{along}"
        write_json(stem.with_name(stem.name + ".json"), table)
        stored = json.loads(stem.with_name(stem.name + ".json").read_text())
        for path in draw(stored, stem):
            terminal.print(f"figure: {path}")


def _spec(key: str, objective: str | None, data: str | None) -> Spec:
    """The first objective that satisfies the statement (a finite sum where it needs one)."""
    statement = registry.statement(key, "repaired")
    reason = ""
    for spec in objective_specs(objective, data):
        try:
            constants_for(statement, build_objective(spec))
        except AssumptionError as error:
            reason = str(error)
            continue
        if "n" in {s.name for s in statement.symbols} and not isinstance(
            build_objective(spec), FiniteSum
        ):
            continue
        return spec
    raise UsageError(reason or f"no objective satisfies {key}")
