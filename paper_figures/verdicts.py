"""Figures of what a run found: how tight each bound is, and how the papers' statements fared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.figure import Figure

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
        yield from save(draw(report, look), folder / name, report.provenance or {}, FORMATS)


def draw_tightness(report: RunReport, look: Style) -> Figure:
    """Measured over bound at the deciding instance, by statement: 1 is attained.

    Diamonds as printed, circles as repaired; those left of the axis have ratios below 0.001.
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
            rows.append((entry.key, ratios))
    if not rows:
        raise UsageError("no statement has a ratio to draw")
    with look.rc():
        canvas = Figure(figsize=(look.page, 0.13 * len(rows) + 0.7), layout="constrained")
        axes = canvas.subplots()
        for i, (_, ratios) in enumerate(rows):
            y = len(rows) - 1 - i
            for form, value in ratios.items():
                mark, face, edge = (
                    ("D", "white", "#D55E00") if form == "printed" else ("o", "black", "black")
                )
                axes.plot([max(value, _FLOOR)], [y], mark, markerfacecolor=face,
                          markeredgecolor=edge, markersize=3)  # fmt: skip
        axes.plot([], [], "D", markerfacecolor="white", markeredgecolor="#D55E00", label="printed")
        axes.plot([], [], "o", color="black", label="repaired")
        axes.axvline(1.0, color="#555555", linewidth=0.8)
        axes.set_xscale("log")
        largest = max(value for _, ratios in rows for value in ratios.values())
        axes.set_xlim(0.7 * _FLOOR, max(10.0, min(largest * 2, 1e6)))
        axes.set_ylim(-0.8, len(rows) - 0.2)
        names = [key for key, _ in rows]
        axes.set_yticks(range(len(rows) - 1, -1, -1), names, fontsize=look.size - 3)
        axes.grid(axis="y", linewidth=0.3, alpha=0.5)
        axes.set_xlabel("measured / bound at the deciding instance")
        canvas.legend(loc="outside upper center", ncols=2)
    return canvas


def draw_errata(report: RunReport, look: Style) -> Figure:
    """How many statements of each paper got each verdict, as printed and as repaired."""
    papers = list(dict.fromkeys(entry.paper for entry in report))
    counts = {
        (paper, form): Counter(e.outcome(form)[0] for e in report if e.paper == paper)
        for paper in papers for form in FORMS
    }  # fmt: skip
    with look.rc():
        canvas = Figure(figsize=(look.page, 0.34 * len(papers) + 1.0), layout="constrained")
        axes = canvas.subplots()
        ticks = []
        for i, paper in enumerate(papers):
            for k, form in enumerate(FORMS):
                y = -(i + 0.42 * k)
                ticks.append((y, f"{paper.replace('_', ' ')}, {form}"))
                left = 0
                for verdict, (colour, hatch) in _BARS.items():
                    if number := counts[paper, form][verdict]:
                        axes.barh(y, number, 0.36, left, color=colour, hatch=hatch,
                                  edgecolor="white", linewidth=0.5)  # fmt: skip
                        axes.text(left + number / 2, y, str(number), ha="center", va="center",
                                  color="black" if verdict != "holds" else "white",
                                  fontsize=look.size - 2)  # fmt: skip
                        left += number
        for verdict, (colour, hatch) in _BARS.items():
            if any(counts[place][verdict] for place in counts):
                axes.barh(0, 0, color=colour, hatch=hatch, edgecolor="white", label=verdict)
        axes.set_yticks([y for y, _ in ticks], [name for _, name in ticks])
        axes.set_xlabel("statements")
        canvas.legend(loc="outside upper center", ncols=len(_BARS))
    return canvas
