"""``theorylab report``: one page, or LaTeX, of what a run's folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paper_figures.report.collect import collect
from theorylab.console import console, say_where
from theorylab.errors import foreign
from theorylab.plugins.files import writable, write_text

__all__ = ["command"]


def command(
    run_dir: Annotated[
        Path, typer.Argument(help="What verify, falsify, worst-case, stability or figure wrote.")
    ] = Path("results/verify"),
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file; by default in RUN_DIR.")
    ] = None,
    as_latex: Annotated[
        bool, typer.Option("--latex", help="The verdict table and the errata as LaTeX.")
    ] = False,
) -> None:
    """Write one self-contained page: verdicts, statements, plots, counterexamples, exhibits.

    Example: theorylab report results/verify --out report.html
    """
    found = collect(run_dir)
    target = out or run_dir / ("report.tex" if as_latex else "report.html")
    writable(target)
    with foreign(f"what lies in {run_dir}"):
        text = found.to_latex() if as_latex else found._repr_html_()
    write_text(target, text)
    exhibits = f", {len(found.exhibits)} exhibits" if found.exhibits else ""
    plural = "s" * (len(found) != 1)
    console().print(f"{len(found)} statement{plural}{exhibits}", highlight=False)
    say_where("report", target)
