"""Paper column widths, colours that survive grey printing, and vector output with provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

__all__ = ["COLUMN", "PAGE", "decade_ticks", "figure", "save"]

COLUMN, PAGE = 3.25, 6.75  # inches: one column, and the whole width of a two-column page
GOLDEN = 0.68

_RC: Any = {
    "font.size": 8, "axes.labelsize": 8, "legend.fontsize": 7, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.titlesize": 8, "lines.linewidth": 1.2, "lines.markersize": 3.5,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "theorylab",
}  # fmt: skip


def figure(width: float = COLUMN, height: float | None = None) -> Figure:
    """An empty figure of a paper's column width (inches), without touching global state."""
    with mpl.rc_context(_RC):
        return Figure(figsize=(width, height or GOLDEN * width), layout="constrained")


def save(canvas: Figure, path: Path, provenance: Mapping[str, Any]) -> list[Path]:
    """Write ``path`` as PDF and SVG, each carrying its provenance in the file's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(provenance, sort_keys=True)
    written = []
    with mpl.rc_context(_RC):
        for suffix, metadata in (
            (".pdf", {"Keywords": text, "CreationDate": None}),
            (".svg", {"Description": text, "Date": None}),
        ):
            target = path.with_name(path.name + suffix)
            canvas.savefig(target, metadata=metadata)
            written.append(target)
    return written


def rc() -> Any:
    """The style as a context: artists created inside follow it."""
    return mpl.rc_context(_RC)


def decade_ticks(axis: Axis) -> None:
    """Labels at 1, 2 and 5 of each decade of a logarithmic axis, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
