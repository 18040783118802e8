"""A verdict for a notebook: one line with its evidence, and a small plot of the two sides."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from theorylab.judge.verdict import Verdict

__all__ = ["html", "line"]

_WIDE, _HIGH, _EDGE = 300, 40, 12
# Okabe and Ito's, as in the figures.
_COLOURS = {"violated": "#D55E00", "holds": "#0072B2", "not refuted": "#8A6100"}


def line(verdict: Verdict) -> str:
    """One line: the statement, what is known and how, both sides, and where.

    >>> from theorylab.judge.verdict import Verdict
    >>> line(Verdict("k", "printed", "holds", 1.0, bound=2.0, ratio=0.5, evidence="exact law",
    ...              objective="bowl"))
    'k (printed): holds (exact law), measured 1, bound 2, ratio 0.5, on bowl'
    """
    parts = [f"{verdict.key} ({verdict.form}): {verdict.told}"]
    if not (math.isnan(verdict.measured) or math.isnan(verdict.bound)):
        parts.append(f"measured {verdict.measured:.3g}, bound {verdict.bound:.3g}")
        parts.append(f"ratio {verdict.shown_ratio}")
    if verdict.objective != "-":
        parts.append(f"on {verdict.objective}")
    if len(parts) == 1 and verdict.reason:
        parts.append(verdict.reason)
    return ", ".join(parts)


def html(verdict: Verdict) -> str:
    """:func:`line`, its reason and values, and the measured side beside the bound."""
    colour = _COLOURS.get(verdict.verdict, "#555555")
    values = {**verdict.constants, **verdict.hyperparameters}
    shown = ", ".join(f"{name} = {value:.4g}" for name, value in values.items())
    small = "; ".join(part for part in (verdict.reason, shown) if part)
    return (
        f'<div><span style="color:{colour}">&#9632;</span> {escape(line(verdict))}'
        + (f'<br><small style="opacity:.75">{escape(small)}</small>' if small else "")
        + (f"<br>{plot}" if (plot := _plot(verdict, colour)) else "")
        + "</div>"
    )


def _plot(verdict: Verdict, colour: str) -> str:
    """Both sides on one axis from 0 (or the least of them): a dot with its interval, and a bar."""
    low, high = verdict.interval
    ends = [v for v in (verdict.measured, verdict.bound, low, high) if math.isfinite(v)]
    if not (math.isfinite(verdict.measured) and math.isfinite(verdict.bound)):
        return ""
    least, most = min(0.0, *ends), max(0.0, *ends)
    if not most > least:
        return ""

    def at(value: float) -> float:
        return _EDGE + (_WIDE - 2 * _EDGE) * (value - least) / (most - least)

    middle = _HIGH / 2 - 6
    marks = [
        f'<line x1="{_EDGE}" x2="{_WIDE - _EDGE}" y1="{middle}" y2="{middle}" '
        'stroke="currentColor" stroke-opacity=".25"/>'
    ]
    if math.isfinite(low) and math.isfinite(high) and high > low:
        marks.append(f'<line x1="{at(low):.1f}" x2="{at(high):.1f}" y1="{middle}" y2="{middle}" '
                     f'stroke="{colour}" stroke-width="3"/>')  # fmt: skip
    bound, dot = at(verdict.bound), at(verdict.measured)
    marks += [
        f'<line x1="{bound:.1f}" x2="{bound:.1f}" y1="{middle - 9}" y2="{middle + 9}" '
        'stroke="currentColor" stroke-width="2"/>',
        f'<circle cx="{dot:.1f}" cy="{middle}" r="4" fill="{colour}"/>',
        f'<text x="{_EDGE}" y="{_HIGH - 3}" font-size="10" fill="currentColor">'
        f"dot: measured {verdict.measured:.3g}; bar: bound {verdict.bound:.3g}</text>",
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{_HIGH}" role="img" '
        f'aria-label="measured beside bound">{"".join(marks)}</svg>'
    )
