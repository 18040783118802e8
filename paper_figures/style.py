"""Venues' column widths, colours that survive grey printing, vector output with provenance."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any, final

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from theorylab.errors import UnknownNameError
from theorylab.plugins.files import keep_beside, write_text, writing
from theorylab.plugins.provenance import run_of
from theorylab.regular import regular

__all__ = [
    "COLUMN", "FORMATS", "PAGE", "STYLES", "Style", "decade_ticks", "figure", "formula", "line",
    "save", "style",
]  # fmt: skip

COLUMN, PAGE = 3.25, 6.75  # inches: one column, and the whole width of a two-column page
GOLDEN = 0.68
_HEAD = 1_000_000  # bytes of an SVG before its drawing

FORMATS = ("pdf", "svg", "png", "pgf")
"""What :func:`save` can write; ``pgf`` needs LaTeX."""

_RC: Any = {
    "font.size": 8, "axes.labelsize": 8, "legend.fontsize": 7, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.titlesize": 8, "lines.linewidth": 1.2, "lines.markersize": 3.5,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "theorylab",
    "pgf.texsystem": "pdflatex", "pgf.rcfonts": False,
}  # fmt: skip

# Keys and names have underscores: such a one is itself in text, and a subscript in mathematics.
_UNDERSCORE = r"""% needs pgf, amsmath, amssymb
\begingroup\providecommand{\mathdefault}[1]{#1}\catcode`\_=\active%
\protected\def_{\ifmmode\expandafter\sb\else\textunderscore\fi}%
"""

_PICTURE = re.compile(r"\{([^{}]+-img\d+\.png)\}")

# Okabe and Ito's colours, in an order whose greys differ, each with a dash and a marker of its own.
_LINES = (
    ("#000000", "-", "o"), ("#D55E00", "--", "s"), ("#0072B2", "-.", "^"), ("#E69F00", ":", "D"),
    ("#009E73", (0, (5, 1)), "v"), ("#CC79A7", (0, (3, 1, 1, 1)), "P"), ("#56B4E9", "-", "X"),
    ("#8A8A8A", "--", "<"),
)  # fmt: skip


@final
@dataclass(frozen=True)
class Style:
    """A venue's widths in inches, and its font size.

    Attributes
    ----------
    name : str
    column, page : float
        A narrow figure, and one over the whole text width (the same where there is one column).
    size : float
        Points of labels; legends and ticks are one smaller.
    serif : bool
        Whether the text around is set in a serif face.
    """

    name: str
    column: float
    page: float
    size: float = 8.0
    serif: bool = True

    def rc(self) -> Any:
        """The style as a context: artists created inside follow it."""
        small = self.size - 1
        fonts: Any = {"font.family": "serif" if self.serif else "sans-serif"}
        sizes: Any = {
            "font.size": self.size, "axes.labelsize": self.size, "axes.titlesize": self.size,
            "legend.fontsize": small, "xtick.labelsize": small, "ytick.labelsize": small,
            "mathtext.fontset": "dejavuserif" if self.serif else "dejavusans",
        }  # fmt: skip
        return mpl.rc_context({**_RC, **fonts, **sizes})


STYLES: dict[str, Style] = {
    item.name: item
    for item in (
        Style("neurips", 2.7, 5.5),
        Style("icml", 3.25, 6.75),
        Style("iclr", 2.7, 5.5),
        Style("aaai", 3.3, 7.0),
        Style("jmlr", 2.95, 6.0, 9.0),
        Style("thesis", 2.9, 5.9, 9.0),
        Style("screen", 3.6, 7.4, 9.0, serif=False),
    )
}
"""By name; ``neurips`` and ``iclr`` have one column, so the narrow width is half of it."""


def style(name: str) -> Style:
    """The style of a venue.

    >>> style("icml").page
    6.75

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    """
    if name not in STYLES:
        raise UnknownNameError(f"unknown style {name!r}; known: {', '.join(STYLES)}")
    return STYLES[name]


def line(number: int) -> dict[str, Any]:
    """Colour, dash and marker of the curve with this number: told apart in grey too.

    >>> line(0)["color"], line(1)["linestyle"]
    ('#000000', '--')
    """
    colour, dash, marker = _LINES[number % len(_LINES)]
    return {"color": colour, "linestyle": dash, "marker": marker}


def figure(width: float = COLUMN, height: float | None = None) -> Figure:
    """An empty figure of a paper's column width (inches), without touching global state."""
    with mpl.rc_context(_RC):
        return Figure(figsize=(width, height or GOLDEN * width), layout="constrained")


def save(
    canvas: Figure,
    path: Path,
    provenance: Mapping[str, Any],
    formats: Sequence[str] = ("pdf", "svg"),
) -> list[Path]:
    """Write ``path`` in each format, each file carrying its provenance; fonts are embedded.

    PDF and SVG keep it in their metadata, PNG in a text chunk, PGF in a comment. ``pgf`` is left
    out where LaTeX is not installed. Each file is whole, or as it was. What another run, or one in
    another style, drew there stays, with a name of its own; the SVG tells.

    Raises
    ------
    UsageError
        If a file cannot be written.
    """
    text = json.dumps(provenance, sort_keys=True)
    written = []
    vector = path.with_name(f"{path.name}.svg")
    if "svg" in formats and vector.is_file() and _drawn_by(vector) != _run(json.loads(text)):
        keep_beside(vector, *(path.with_name(f"{path.name}.{kind}") for kind in formats
                              if kind != "svg"))  # fmt: skip
    with mpl.rc_context(_RC):
        canvas.draw_without_rendering()
        canvas.set_layout_engine("none")  # laid out once: that takes longer than all the rest
        for kind in formats:
            target = path.with_name(f"{path.name}.{kind}")
            if kind == "pgf":
                if shutil.which("pdflatex") is None:
                    continue
                _save_pgf(canvas, target, text)
            else:
                with writing(target) as stream:
                    canvas.savefig(stream, format=kind, **_kept(kind, text))
            written.append(target)
    return written


def _run(made: Mapping[str, Any]) -> list[Any]:
    return [*run_of(made), made.get("style")]


def _drawn_by(path: Path) -> list[Any] | None:
    """Which run an SVG says that it is of; ``None`` of anything else."""
    try:
        with regular(path) as stream:
            head = stream.read(_HEAD).decode(errors="replace")
        found = re.search(r"<dc:description>(.*?)</dc:description>", head, re.DOTALL)
        made = json.loads(unescape(found[1])) if found else None
    except (OSError, ValueError, RecursionError):
        return None
    return _run(made) if isinstance(made, Mapping) else None


def _kept(kind: str, text: str) -> dict[str, Any]:
    """What ``savefig`` is told so that a file keeps its provenance, and no date of its own."""
    if kind == "pdf":
        return {"metadata": {"Keywords": text, "CreationDate": None}}
    if kind == "svg":
        return {"metadata": {"Description": text, "Date": None}}
    return {"metadata": {"Description": text}, "dpi": 200}


def _save_pgf(canvas: Figure, target: Path, text: str) -> None:
    """Drawn apart, since its images go into files beside it; it comes after them."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / target.name
        canvas.savefig(drawn)
        body = _PICTURE.sub(r"{\\detokenize{\1}}", drawn.read_text())
        for picture in sorted(drawn.parent.glob("*.png")):
            with writing(target.with_name(picture.name)) as stream:
                stream.write(picture.read_bytes())
    write_text(target, f"% {text}\n{_UNDERSCORE}{body}\\endgroup%\n")


def rc() -> Any:
    """The style as a context: artists created inside follow it."""
    return mpl.rc_context(_RC)


def formula(latex: str, plain: str) -> str:
    """A formula as matplotlib sets it; ``plain`` where it does not know the LaTeX.

    >>> formula(r"\\eta^2", "eta^2"), formula(r"\\bm{v}", "the velocity")
    ('$\\\\eta^2$', 'the velocity')
    """
    try:
        MathTextParser("path").parse(f"${latex}$")
    except ValueError:
        return plain.replace("_", " ").replace("$", r"\$")
    return f"${latex}$"


def decade_ticks(axis: Axis) -> None:
    """Labels of a logarithmic axis as plain numbers.

    At 1, 2 and 5 of each decade; where it spans more than two, at the decades alone.
    """
    low, high = sorted(axis.get_view_interval())
    long = low > 0 and high / low > 100
    axis.set_major_locator(LogLocator(subs=(1.0,) if long else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
