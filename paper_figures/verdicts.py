"""Figures of what a run found: how tight each bound is, and how the papers' statements fared."""

from __future__ import annotations

import math
import pkgutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure

import bounds.methods
from paper_figures.names import paper_name, statement_names
from paper_figures.report.collect import RunReport, collect
from paper_figures.style import FORMATS, STYLES, Style, save, style
from theorylab.console import console
from theorylab.errors import UsageError, foreign, printable

__all__ = ["command", "draw_errata", "draw_run", "draw_tightness"]

FORMS = ("printed", "repaired")
# Heaviest first; hatches tell the bars apart in grey.
_BARS = {
    "violated": ("#D55E00", ""), "not refuted": ("#E69F00", "///"), "holds": ("#0072B2", ""),
    "vacuous": ("#CC79A7", "..."), "not applicable": ("#BBBBBB", ""),
}  # fmt: skip
_FLOOR = 1e-3
_LONG, _TALL, _LETTERS = 60, 8.3, 44  # rows of one column; inches of a page; letters of a name
_OTHERS = "Other methods"
_MARKS: Mapping[str, Any] = {
    "printed": {"marker": "D", "linestyle": "", "markerfacecolor": "white",
                "markeredgecolor": "#D55E00", "markersize": 3},
    "repaired": {"marker": "o", "linestyle": "", "color": "black", "markersize": 3},
}  # fmt: skip


def command(
    run_dir: Annotated[Path, typer.Argument(help="What verify, and maybe falsify, wrote.")] = Path(
        "results/verify"
    ),
    style_: Annotated[
        str, typer.Option("--style", help=f"Column widths: {', '.join(STYLES)}.")
    ] = "neurips",
    out: Annotated[Path | None, typer.Option(help="Where figures go; RUN_DIR by default.")] = None,
) -> None:
    """Draw tightness and verdicts of a run, from its results alone."""
    found, look = collect(run_dir), style(style_)
    with foreign(f"what lies in {run_dir}"):
        paths = list(draw_run(found, look, out or run_dir))
    for path in paths:
        console().print(printable(path, 5000), highlight=False, markup=False, soft_wrap=True)


def draw_run(report: RunReport, look: Style, folder: Path) -> Iterator[Path]:
    """Draw tightness and verdicts into a folder; each file as it is there.

    Raises
    ------
    UsageError
        If the run holds no verdicts.
    """
    if not len(report):
        raise UsageError(f"{report.folder} holds no verdicts")
    for name, draw in (("tightness", draw_tightness), ("verdicts", draw_errata)):
        made = {**(report.provenance or {}), "style": look.name}
        yield from save(draw(report, look), folder / name, made, FORMATS)


def draw_tightness(report: RunReport, look: Style) -> Figure:
    """Measured over bound at the deciding instance, by statement: 1 is attained.

    Diamonds as printed, circles as repaired; those at the left end have ratios below 0.001. Long
    ones come in two columns, so that they fit a page.
    """
    rows = []
    for entry in report:
        ratios = {}
        for form in FORMS:
            finding = entry.findings.get(form)
            value = math.nan if finding is None else finding.verdict.ratio
            if not math.isnan(value) and value > 0:
                ratios[form] = value
        if ratios:
            rows.append((entry, ratios))
    if not rows:
        raise UsageError("no statement has a ratio to draw")
    names = statement_names([(entry.key, entry.label) for entry, _ in rows])
    wide = 1 if len(rows) <= _LONG else 2
    deep = math.ceil(len(rows) / wide)
    largest = max(value for _, ratios in rows for value in ratios.values())
    with look.rc():
        height = min(0.13, _TALL / deep) * deep + 0.7
        canvas = Figure(figsize=(look.page, height), layout="constrained")
        for column, axes in enumerate(canvas.subplots(1, wide, squeeze=False).ravel()):
            first = column * deep
            part = rows[first : first + deep]
            for y, (_, ratios) in enumerate(part):
                for form, value in ratios.items():
                    axes.plot([max(value, _FLOOR)], [y], **_MARKS[form])
            axes.axvline(1.0, color="#555555", linewidth=0.8)
            axes.set_xscale("log")
            axes.set_xlim(0.7 * _FLOOR, max(10.0, min(largest * 2, 1e6)))
            axes.set_ylim(deep - 0.2, -0.8)
            shown = [shorten(name, _LETTERS, placeholder="...") for name in names[first:]]
            axes.set_yticks(range(len(part)), shown[: len(part)], fontsize=look.size - 3)
            axes.grid(axis="y", linewidth=0.3, alpha=0.5)
            axes.set_xlabel("measured / bound")
        seen = [form for form in FORMS if any(form in ratios for _, ratios in rows)]
        marks = [axes.plot([], [], label=f"{form}, at the deciding instance", **_MARKS[form])[0]
                 for form in seen]  # fmt: skip
        canvas.legend(handles=marks, loc="outside upper center", ncols=2)
    return canvas


def _group(paper: str) -> str:
    """A paper's name; one for all methods of :mod:`bounds.methods`."""
    known = {module.name for module in pkgutil.iter_modules(bounds.methods.__path__)}
    return _OTHERS if paper in known else paper_name(paper)


def draw_errata(report: RunReport, look: Style) -> Figure:
    """How many statements of each paper got each verdict, as printed and as repaired.

    Known theorems of single methods (:mod:`bounds.methods`) count as one.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    for entry in report:
        for form in FORMS:
            if verdict := entry.outcome(form)[0]:
                counts.setdefault((_group(entry.paper), form), Counter())[verdict] += 1
    papers = sorted({paper for paper, _ in counts}, key=lambda name: (name == _OTHERS, name))
    with look.rc():
        canvas = Figure(figsize=(look.page, 0.17 * len(counts) + 0.9), layout="constrained")
        axes = canvas.subplots()
        ticks, y = [], 0.0
        for paper in papers:
            y -= 0.16
            for form in (form for form in FORMS if (paper, form) in counts):
                y -= 0.42
                ticks.append((y, f"{paper}, {form}"))
                left = 0
                for verdict, (colour, hatch) in _BARS.items():
                    if number := counts[paper, form][verdict]:
                        axes.barh(y, number, 0.36, left, color=colour, hatch=hatch,
                                  edgecolor="white", linewidth=0.5)  # fmt: skip
                        axes.text(left + number / 2, y, str(number), ha="center", va="center",
                                  color="black" if verdict != "holds" else "white",
                                  fontsize=look.size - 2,
                                  bbox={"facecolor": colour, "edgecolor": "none",
                                        "pad": 0.5})  # fmt: skip
                        left += number
        for verdict, (colour, hatch) in _BARS.items():
            if any(counts[place][verdict] for place in counts):
                axes.barh(
                    ticks[0][0], 0, color=colour, hatch=hatch, edgecolor="white", label=verdict
                )
        axes.set_yticks([y for y, _ in ticks], [name for _, name in ticks])
        axes.set_ylim(y - 0.4, 0.0)
        axes.set_xlabel("number of statements")
        canvas.legend(loc="outside upper center", ncols=len(_BARS))
    return canvas
