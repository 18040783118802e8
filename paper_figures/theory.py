"""Measured against bound along an axis, for any statement: ``theorylab figure KEY``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from bounds.render import expression_latex
from bounds.statement import Statement
from paper_figures.exhibit import Refused
from paper_figures.names import paper_name
from paper_figures.style import COLUMN, decade_ticks, figure, formula, rc, save
from theorylab.errors import AssumptionError, UsageError
from theorylab.judge.check import constants_for
from theorylab.plugins.provenance import provenance
from theorylab.plugins.specs import (
    Spec,
    build_objective,
    objective_specs,
    require_read,
    with_parameters,
)
from theorylab.problem.objective import FiniteSum
from theorylab.studies.planning import Planned
from theorylab.studies.scale import Scale
from theorylab.studies.selection import select
from theorylab.studies.sweep import SweepReport, SweepRow, default_axis, sweep

__all__ = ["MAIN", "Curves", "draw", "each", "fitting", "main_rates", "measured_against_bound"]

# What `make verify` draws: for each paper its main rate, along its natural axis.
MAIN = {
    "tralgo": ("tralgo.theorem_2", "T"),
    "lrsgd": ("lrsgd.theorem_3_4", "T"),
    "sngm": ("sngm.theorem_1", "T"),
    "stochastic_batch_size": ("stochastic_batch_size.claim_noise_variance", "B"),
}
_DEPTH = 1e-9  # of the bound: how far down an axis goes
_TITLE = 44  # letters that fit a title's line
_MOST = 1e150  # margins of a logarithmic axis overflow beyond
_MEASURED = "measured, 99% interval"  # as `sweep` checks
_STYLES = {"printed": ("#D55E00", "--"), "repaired": ("#0072B2", "-")}


@final
@dataclass(frozen=True)
class Curves:
    """A sweep, and the files it was kept and drawn in: its data first."""

    report: SweepReport
    files: tuple[Path, ...]


def measured_against_bound(
    forms: Sequence[Statement],
    axis: str | None = None,
    specs: Sequence[Spec] | None = None,
    *,
    given: Mapping[str, float | str] | None = None,
    replicas: int = 256,
    seed: int = 0,
    jobs: int | Scale = 1,
    out: Path | str = "results/figures",
    progress: bool | None = None,
) -> Curves:
    """Sweep a statement's forms along an axis, and draw what was measured beside their bounds.

    Parameters
    ----------
    forms : sequence of Statement
        Registered or not; the last one chooses the objective and the values that are held.
    axis : str, optional
        As :func:`theorylab.studies.sweep.sweep` takes it; its natural axis by default.
    specs : sequence of mapping, optional
        Objectives, of which the first that fits is taken; by default those of every family.
    given : mapping, optional
        Hyperparameters to hold, and parameters of the objective's family.
    replicas, seed, jobs, out
        As in :func:`theorylab.studies.sweep.sweep`; figures go to ``out`` too.

    Raises
    ------
    UsageError
        If no objective fits, or no point of the axis is admissible.
    """
    lead, given = forms[-1], given or {}
    free = {s.name for s in lead.hyperparameters}
    others = {k: v for k, v in given.items() if k not in free}
    if specs is None:
        spec = fitting(lead, objective_specs())
        spec = with_parameters(spec, others) if others else spec
    else:
        spec = fitting(lead, [with_parameters(s, others) for s in specs] if others else specs)
    require_read([spec], others)
    along = axis or default_axis(lead, spec, given)
    found = sweep(forms, along, spec, fixed={k: float(v) for k, v in given.items() if k in free},
                  replicas=replicas, seed=seed, jobs=jobs, out=out, progress=progress)  # fmt: skip
    stem = Path(out) / f"{lead.key}.{along}"
    files = [stem.with_name(f"{stem.name}.{kind}") for kind in ("json", "pdf", "svg")]
    kept = found.keep(*files)
    return Curves(found, (kept, *draw(found, stem)))


def main_rates() -> list[tuple[list[Statement], str]]:
    """Each paper's main rate, in all of its forms, and its natural axis."""
    return [(select([key], None, "both"), axis) for key, axis in MAIN.values()]


def each(
    wanted: Sequence[tuple[Sequence[Statement], str | None]], **options: Any
) -> Iterator[Curves | Refused]:
    """:func:`measured_against_bound` of every pair of forms and axis, with the same options.

    One that cannot be drawn is named with its reason; where it is the only one, it raises.
    """
    for forms, axis in wanted:
        try:
            yield measured_against_bound(forms, axis, **options)
        except Planned:  # the others' cells belong to the plan too
            continue
        except UsageError as error:
            if len(wanted) == 1:
                raise
            yield Refused(forms[-1].key, str(error.args[0]))


def fitting(statement: Statement, specs: Sequence[Spec]) -> Spec:
    """The first objective that satisfies the statement (a finite sum where it needs one).

    Raises
    ------
    UsageError
        If there is none.
    """
    reason = ""
    for spec in specs:
        objective = build_objective(spec)
        try:
            constants_for(statement, objective)
        except AssumptionError as error:
            reason = str(error)
            continue
        if "n" in {s.name for s in statement.symbols} and not isinstance(objective, FiniteSum):
            continue
        return spec
    raise UsageError(reason or f"no objective satisfies {statement.key}")


def draw(found: SweepReport, path: Path) -> list[Path]:
    """Draw a sweep as ``path.pdf`` and ``path.svg``; nothing is computed here.

    Raises
    ------
    UsageError
        If the sweep holds no rows, or a number that no axis reaches.
    """
    if not found.rows:
        raise UsageError(f"{found.key}: no point of the sweep over {found.axis} is admissible")
    for r in found.rows:
        if any(abs(v or 0) > _MOST for v in (r.x, r.measured, r.bound, *r.interval)):
            raise UsageError(
                f"{found.key}: at {found.axis} = {r.x:g} a number is beyond {_MOST:g}, and no axis "
                "shows it; the table has it"
            )
    lead = found.statements[0]
    with rc():
        canvas = figure(COLUMN, 0.8 * COLUMN)
        axes = canvas.add_subplot()
        measured = False
        for form in ("printed", "repaired"):
            bounds = [(r.x, r.bound) for r in found.rows if r.form == form and r.bound is not None]
            if not bounds:
                continue
            colour, line = _STYLES[form]
            if not measured:
                bars = np.array([_bar(r) for r in found.rows if r.form == form and
                                 None not in (r.bound, r.measured)]).reshape(-1, 4)  # fmt: skip
                axes.errorbar(bars[:, 0], bars[:, 1], yerr=bars[:, 2:].T, fmt="o", color="black",
                              capsize=2, label=_MEASURED, zorder=3)  # fmt: skip
                measured = True
            axes.plot(*zip(*bounds, strict=True), line, color=colour, label=f"{form} bound")
        if all(r.x > 0 for r in found.rows):
            axes.set_xscale("log")
            decade_ticks(axes.xaxis)
        if all((r.measured or 0) > 0 and (r.bound or 0) > 0 for r in found.rows):
            # An interval may reach down to 0, which no logarithmic axis shows.
            least = min(min(r.measured or math.inf, r.bound or math.inf) for r in found.rows)
            most = max(max(r.measured or 0, r.bound or 0, r.interval[1] or 0) for r in found.rows)
            floor = _DEPTH * min(r.bound or math.inf for r in found.rows)
            axes.set_yscale("log")
            axes.set_ylim(max(least / 3, floor), 1.5 * most)
            if below := [r.x for r in found.rows if (r.measured or 0) < floor]:
                axes.plot(below, [2 * floor] * len(below), "v", color="black", markersize=3,
                          label="below the axis")  # fmt: skip
            decade_ticks(axes.yaxis)
        axes.set_xlabel(_axis_label(lead, found.axis, found.objective))
        # Mathtext sets a sum's limits over the fraction before it.
        label = expression_latex(lead.claim.lhs).replace(r"\frac{1}{T}\sum", r"T^{-1}\sum")
        label = label.replace(r"\sum", r"\;\;\sum")
        axes.set_ylabel(formula(label, str(lead.claim.lhs)))
        told = f"{paper_name(lead.paper)}, {lead.label}"
        axes.set_title("\n".join([told, *_held(found)]))
        canvas.legend(loc="outside lower center", ncols=2)  # a column is too narrow for three
        return save(canvas, path, provenance(seed=found.seed))


def _bar(row: SweepRow) -> tuple[float, float, float, float]:
    """The point, and how far its interval reaches below and above."""
    assert row.measured is not None
    low, high = row.interval
    # An end that is 0 or unknown is not drawn.
    return (row.x, row.measured, max(0.0, row.measured - (low or row.measured)),
            max(0.0, (high or row.measured) - row.measured))  # fmt: skip


def _axis_label(statement: Statement, axis: str, objective: str) -> str:
    names = {s.name: s.latex for s in statement.symbols if s.role != "constant"}
    if axis == "n" or axis in names:
        return formula(names.get(axis, axis), axis)
    return f"{axis} of {objective}"  # a family's parameter, in its own words


def _held(found: SweepReport) -> list[str]:
    """The objective, and what stays as it is along the axis, in lines that fit the title."""
    signs = {s.name: formula(s.latex, s.name) for s in found.statements[0].symbols}
    held = {k: v for k, v in {**found.parameters, **found.fixed}.items()
            if k not in (found.axis, "source", "digest") and v is not None}  # fmt: skip
    parts = [(found.objective.replace("_", " "), found.objective.replace("_", " "))]
    for name, value in held.items():
        number = f"{value:.4g}" if isinstance(value, float | int) else str(value).replace("_", " ")
        sign = signs.get(name, name.replace("_", " "))
        plain = re.sub(r"\\mathrm|\\(?=[a-zA-Z])|[${}]", "", sign)  # about as long as it is set
        parts.append((f"{sign} = {number}", f"{plain} = {number}"))
    lines, length = [""], 0
    for shown, plain in parts:  # one that is broken in two lines cannot be read
        if length and length + len(plain) > _TITLE:
            lines, length = [*lines, ""], 0
        lines[-1] += (", " if lines[-1] else "") + shown
        length += len(plain) + 2
    return [f"{line}," for line in lines[:-1]] + lines[-1:]
