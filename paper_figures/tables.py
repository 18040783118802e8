"""Printed tables beside measured ones: difference, interval, and whether they are told apart."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.stats import t as student

from deep.arms import gains
from paper_figures.exhibit import FINAL, Exhibit, Place
from paper_figures.published import printed

__all__ = ["compared", "controls", "escaped", "interval", "latex", "scores"]

_OWN = "own step"
_LONG = 40


def scores(data: pd.DataFrame, row: str, column: str, arm: str, statistic: str) -> dict[int, float]:
    """The statistic of a run by seed, in percent for accuracies; seeds that diverged are left out.

    ``final`` is the last measurement of the test accuracy; ``last tenth`` its mean over the last
    tenth of the run (the last measurement, where fewer fall into it); ``maximum`` its largest.
    """
    chosen = data[(data.row == row) & (data.column == column) & (data.arm == arm)]
    needed = "test_accuracy" if statistic in (FINAL, "last tenth", "maximum") else statistic
    if not {"seed", needed} <= set(chosen.columns):
        return {}
    found = {}
    for seed, run in chosen.dropna(subset=["seed"]).groupby("seed"):
        if statistic in (FINAL, "last tenth", "maximum"):
            late = run[run.steps > 0.9 * run.steps.max()]
            values = {FINAL: run.test_accuracy.tail(1), "last tenth": late.test_accuracy,
                      "maximum": run.test_accuracy}[statistic]  # fmt: skip
            value = values.max() if statistic == "maximum" else values.mean(skipna=False)
        else:
            value = run[statistic].dropna().mean()
        if not math.isnan(value):
            found[int(seed)] = 100 * float(value)
    return found


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean and Student's interval; infinite with fewer than two values.

    >>> [round(x, 2) for x in interval([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]
    """
    count = len(values)
    if not count:
        return math.nan, math.nan, math.nan
    middle = sum(values) / count
    if count == 1:
        return middle, -math.inf, math.inf
    variance = sum((v - middle) ** 2 for v in values) / (count - 1)
    half = float(student.ppf(0.5 + level / 2, count - 1)) * math.sqrt(variance / count)
    return middle, middle - half, middle + half


def compared(exhibit: Exhibit, data: pd.DataFrame) -> pd.DataFrame:
    """A printed table beside the measured one, one row a cell, in percent.

    Columns: ``row, column, published, spread, measured, low, high, seeds, difference, told apart,
    scale, notes``. ``told apart`` is ``yes`` if the difference is larger than its 95% half-width,
    the root of the measured half-width squared plus, where the paper prints a deviation, that of
    the published mean squared (a published number without one counts as exact); ``one seed``
    where there is no interval. ``scale`` is ``as in the paper`` or says what was reduced: a
    difference at a reduced scale is no failed replication.
    """
    places = {(p.row, p.column): p for p in (exhibit.places(data) if exhibit.places else ())}
    rows = []
    for cell in printed(exhibit.paper, exhibit.table):
        place = places.get((cell.row, cell.column))
        if place is None:
            continue
        values = _values(data, place)
        middle, low, high = interval(list(values.values()))
        published = math.nan if cell.percent is None else cell.percent
        factor = 100 if cell.unit == "fraction" else 1
        spread = math.nan if cell.spread is None else cell.spread * factor
        others = _wanted(data, place.run)
        margin = 0.0 if cell.spread is None else 1.96 * spread / math.sqrt(others)
        if not values or math.isnan(published):
            told = "-"
        elif len(values) == 1:
            told = "one seed"
        else:
            half = math.hypot((high - low) / 2, margin)
            told = "yes" if abs(middle - published) > half else "no"
        rows.append({
            "row": cell.row, "column": cell.column, "published": published, "spread": spread,
            "measured": middle, "low": low if math.isfinite(low) else math.nan,
            "high": high if math.isfinite(high) else math.nan, "seeds": len(values),
            "difference": middle - published, "told apart": told,
            "scale": _scale(data, place.run, values), "notes": cell.notes,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _values(data: pd.DataFrame, place: Place) -> dict[int, float]:
    found = scores(data, *place.run, "", place.statistic)
    if place.minus is None:
        return found
    other = scores(data, *place.minus, "", place.statistic)
    return {seed: found[seed] - other[seed] for seed in found if seed in other}


def _wanted(data: pd.DataFrame, run: tuple[str, str]) -> int:
    """Seeds of the paper."""
    chosen = data[(data.row == run[0]) & (data.column == run[1])]
    return int(chosen.seeds.iloc[0]) if len(chosen) else 1


def _scale(data: pd.DataFrame, run: tuple[str, str], values: Mapping[int, float]) -> str:
    chosen = data[(data.row == run[0]) & (data.column == run[1]) & (data.arm == "")]
    if chosen.empty:
        return "not run"
    text = str(chosen.scale.iloc[0] or "")
    if text.startswith("not run"):
        return text
    parts = [text] if text else []
    ran = chosen.seed.nunique()
    if len(values) < ran:
        parts.append(f"{ran - len(values)} of {ran} seeds diverged or lack the number")
    wanted = _wanted(data, run)
    if ran < wanted:
        parts.append(f"{ran} of {wanted} seeds")
    return "; ".join(parts) or "as in the paper"


def controls(data: pd.DataFrame, statistic: str = FINAL) -> pd.DataFrame:
    """What of each method's gain survives its control arms; paired over seeds, in points.

    Columns: ``row, column, arm, gain, low, high, seeds, survives`` (``yes``, ``no``: the arm is
    better, ``undecided``: also with fewer than three seeds, or where all differ by the same).
    Arms with their own step are compared with the method at its own.
    """
    rows: list[dict[str, Any]] = []
    heads = ["row", "column", "arm", "gain", "low", "high", "seeds", "survives"]
    arms = data[data.arm != ""][["row", "column", "arm"]].drop_duplicates()
    for row, column, arm in arms.itertuples(index=False):
        if arm == _OWN:
            continue
        first = scores(data, row, column, _OWN if arm.endswith(_OWN) else "", statistic)
        second = scores(data, row, column, arm, statistic)
        shared = sorted(set(first) & set(second))
        if not shared:
            continue
        (gain,) = gains({"method": [first[s] for s in shared], arm: [second[s] for s in shared]})
        # Accuracies are shares of few test samples: two seeds that differ alike are no evidence.
        told = gain.seeds > 2 and gain.high > gain.low
        rows.append({
            "row": row, "column": column, "arm": arm, "gain": gain.mean, "low": gain.low,
            "high": gain.high, "seeds": gain.seeds,
            "survives": gain.survives if told else "undecided",
        })  # fmt: skip
    return pd.DataFrame(rows, columns=heads)


# --- LaTeX --------------------------------------------------------------------------------------
def latex(
    exhibit: Exhibit, table: pd.DataFrame, arms: pd.DataFrame, provenance: Mapping[str, Any]
) -> str:
    """Both blocks as LaTeX with booktabs; longer ones break over pages (longtable)."""
    scales = list(dict.fromkeys(table.scale)) if len(table) else []
    letters = {text: _letter(i) for i, text in enumerate(scales)}
    lines = [
        [
            escaped(r["row"]), escaped(r["column"]),
            _number(r["published"])
            + ("" if math.isnan(r["spread"]) else rf" $\pm$ {r['spread']:.2f}"),
            _measured(r["measured"], r["low"], r["high"]), str(r["seeds"]),
            _signed(r["difference"]), escaped(r["told apart"]), letters[r["scale"]],
        ]
        for r in table.to_dict("records")
    ]  # fmt: skip
    title = f"{exhibit.number}: {exhibit.title}"
    key = " ".join(f"({letter}) {escaped(text)}." for text, letter in letters.items())
    blocks = [f"% {json.dumps(provenance, sort_keys=True)}", r"% needs booktabs, longtable"]
    if lines:
        heads = ("row", "column", r"published \%", r"measured \%", "seeds", "difference",
                 "told apart", "scale")  # fmt: skip
        words = f"{escaped(title)}. A difference at another scale is no failed replication: {key}"
        blocks.append(_block(heads, "llrrrrll", lines, words))
    if len(arms):
        inner = [
            [escaped(r["row"]), escaped(r["column"]), escaped(r["arm"]), _signed(r["gain"]),
             f"{_signed(r['low'])} to {_signed(r['high'])}" if math.isfinite(r["low"]) else "-",
             str(r["seeds"]), r["survives"]]
            for r in arms.to_dict("records")
        ]  # fmt: skip
        blocks.append(_block(
            ("method", "setting", "over", "gain", r"95\% interval", "seeds", "survives"),
            "lllrrrl", inner,
            escaped(f"{exhibit.number}: which part of the gain survives its control arms "
                 "(points, paired over seeds)") + ".",
        ))  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def _block(heads: Sequence[str], columns: str, lines: Sequence[Sequence[str]], text: str) -> str:
    head = " & ".join(heads) + r" \\"
    body = "\n".join(" & ".join(cells) + r" \\" for cells in lines)
    if len(lines) > _LONG:
        return (
            f"\\begin{{longtable}}{{{columns}}}\n\\caption{{{text}}}\\\\\n\\toprule\n{head}\n"
            f"\\midrule\n\\endhead\n\\bottomrule\n\\endfoot\n{body}\n\\end{{longtable}}"
        )
    return (f"\\begin{{table}}[t]\n\\centering\\small\n\\caption{{{text}}}\n"
            f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head}\n\\midrule\n{body}\n"
            "\\bottomrule\n\\end{tabular}\n\\end{table}")  # fmt: skip


_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip


def escaped(text: str) -> str:
    """Text for LaTeX.

    >>> escaped("100% of a_b")
    '100\\\\% of a\\\\_b'
    """
    return re.sub(r"[\\&%$#_{}~^<>|]", lambda sign: _SPECIAL[sign[0]], str(text))


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"a{_letter(number - 26)}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else f"${value:+.2f}$"


def _measured(middle: float, low: float, high: float) -> str:
    if math.isnan(middle):
        return "-"
    half = (high - low) / 2
    return _number(middle) + ("" if math.isnan(half) else rf" $\pm$ {half:.2f}")
