"""A counterexample for a notebook: its formula, its numbers, and F with the runs on it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from bounds.render import mathml

if TYPE_CHECKING:
    from theorylab.exact.tabular import Tabular

__all__ = ["html", "line"]

_WIDE, _HIGH, _EDGE = 300, 130, 14
_POINTS, _SHOWN = 120, 16  # of the curve; runs drawn


def line(table: Tabular) -> str:
    """One line: the statement, its two sides, and where.

    >>> from bounds import Claim, Statement
    >>> from bounds.notation import beta
    >>> from theorylab.exact.tabular import Tabular
    >>> false = Statement("demo.false", "Remark", "printed", Claim(1 / (1 - beta), "<=", 3))
    >>> line(Tabular(false, (), (), 0.0, {"beta": 0.75}))
    'counterexample to demo.false (printed): 4 > 3 at beta = 0.75'
    """
    small, large = table.sides()
    values = ", ".join(f"{name} = {value:.6g}" for name, value in table.values.items())
    statement = table.statement
    where = f" at {values}" if values else ""
    sign = "!=" if statement.claim.sense == "==" else ">"
    return (f"counterexample to {statement.key} ({statement.form}): {small:.6g} {sign} "
            f"{large:.6g}{where}")  # fmt: skip


def html(table: Tabular) -> str:
    """:func:`line` below the claim, the knots of F', and F with the runs on it."""
    parts = [f"<div>{mathml(table.statement)}</div>", f"<div>{escape(line(table))}</div>"]
    if table.knots:
        rows = "".join(
            f"<tr><td>{escape(name)}</td>" + "".join(f"<td>{v:.6g}</td>" for v in row) + "</tr>"
            for name, row in [("w", table.knots), *((f"g_{i}", s) for i, s in
                                                    enumerate(table.slopes, 1))]
        )  # fmt: skip
        parts += [
            f"<div>from w_0 = {table.start:.6g}; stochastic gradients, equally likely, linear "
            f"between the knots:</div><table><tbody>{rows}</tbody></table>",
            _plot(table),
        ]
    return f"<div>{''.join(parts)}</div>"


def _plot(table: Tabular) -> str:
    """F along the line, and up to 16 runs as dots on it."""
    from theorylab.exact.tabular import integral

    knots, mean = list(table.knots), [float(v) for v in np.mean(table.slopes, axis=0)]
    runs = [[float(w) for w in run] for run in table.paths()[:_SHOWN]]
    visited = [w for run in runs for w in run]
    left, right = min([*knots, *visited]), max([*knots, *visited])
    curve = [(w, float(integral(w, knots, mean))) for w in np.linspace(left, right, _POINTS)]
    heights = [f for _, f in curve]
    low, high = min(heights), max(heights)
    if not (right > left and np.isfinite(heights).all()):
        return ""

    def at(w: float) -> str:
        share = (float(integral(w, knots, mean)) - low) / (high - low) if high > low else 0.5
        x = _EDGE + (_WIDE - 2 * _EDGE) * (w - left) / (right - left)
        return f"{x:.1f},{_HIGH - _EDGE - (_HIGH - 2 * _EDGE) * share:.1f}"

    marks = [f'<polyline points="{" ".join(at(w) for w, _ in curve)}" fill="none" '
             'stroke="currentColor" stroke-opacity=".6"/>']  # fmt: skip
    for run in runs:
        places = [at(w) for w in run]
        marks.append(f'<polyline points="{" ".join(places)}" fill="none" stroke="#D55E00" '
                     'stroke-opacity=".5"/>')  # fmt: skip
        for place in places:
            x, y = place.split(",")
            marks.append(f'<circle cx="{x}" cy="{y}" r="2.5" fill="#D55E00"/>')
    told = f"F over w in [{left:.3g}, {right:.3g}]; dots: the runs"
    marks.append(
        f'<text x="{_EDGE}" y="{_HIGH - 2}" font-size="10" fill="currentColor">{told}</text>'
    )
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{_HIGH}" '
            f'role="img">{"".join(marks)}</svg>')  # fmt: skip
