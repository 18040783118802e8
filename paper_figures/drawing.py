"""The two shapes of exhibit: curves in panels, and tables as dots; control arms below either."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from paper_figures.exhibit import FINAL
from paper_figures.style import Style, line
from paper_figures.tables import controls

__all__ = ["curves", "dots", "gain_panel", "hide", "scale_note", "sheet", "spelt"]

_PUBLISHED = "#D55E00"
_ONE = "test accuracy"  # the column of a table that has one
_ACCURACY = (FINAL, "last tenth", "maximum")

# As a reader of a paper knows them.
_SPELT: Mapping[str, str] = {
    r"\b(alpha|beta|eta|lambda|theta|gamma) ?= ?": r"$\\\1$ = ", r"\b(B|S|T|m|n) ?= ?": r"$\1$ = ",
    r"= -(?=\d)": "= $-$", r"\bcifar(\d+)": r"CIFAR-\1", r"\bstl10\b": "STL-10",
    r"\bsvhn\b": "SVHN", r"\bimagenet\b": "ImageNet", r"\bresnet(\d+)": r"ResNet\1",
    r"\bvgg(\d+)": r"VGG\1", r"\bdensenet(\d+)": r"DenseNet\1", r"\blenet\b": "LeNet",
    r"\btwo_conv\b": "two convolutions", "_": " ",
}  # fmt: skip

_METRICS = {
    "train_loss": "train loss", "test_loss": "test loss", "train_accuracy": "train accuracy (%)",
    "test_accuracy": "test accuracy (%)", "lr": "step size", "gap": "test loss $-$ train loss",
}  # fmt: skip
_AXES = {"steps": "steps", "rounds": "outer iterations", "gradients": "gradients",
         "epoch": "epochs (gradients / n)"}  # fmt: skip


def spelt(text: str) -> str:
    """Names and symbols as a paper sets them.

    >>> print(spelt("lambda=-4, digits for cifar10; two_conv for vgg11"))
    $\\lambda$ = $-$4, digits for CIFAR-10; two convolutions for VGG11
    """
    for found, put in _SPELT.items():
        text = re.sub(found, put, text)
    return text


def curves(
    data: pd.DataFrame,
    style: Style,
    panels: Sequence[tuple[str, Sequence[str]]],
    *,
    x: str = "steps",
    titles: Mapping[str, str] | None = None,
    columns: int = 4,
    ratio: float = 1.0,
    floor: float | None = None,
    arms: bool = True,
    statistic: str = FINAL,
) -> Figure:
    """One panel for each (column of the data, metrics), one line a row; seeds as a band.

    A panel with two metrics has the first in thin lines. Control arms come as
    panels of their own below, with what survives of each gain. ``floor`` clamps accuracies from
    below, in percent.
    """
    titles = titles or {}
    plain = data[(data.arm == "") & data.steps.notna()]
    gains = controls(data, statistic) if arms else pd.DataFrame()
    wide = min(columns, len(panels))
    deep = math.ceil(len(panels) / wide)
    canvas, upper, lower = sheet(style, deep * style.page / wide * ratio + 0.35, data, gains)
    with style.rc():
        axes = np.atleast_1d(upper.subplots(deep, wide, squeeze=False)).ravel()
        labels = list(dict.fromkeys(plain.row))
        for place, (column, metrics) in zip(axes, panels, strict=False):
            for i, label in enumerate(labels):
                chosen = plain[(plain.column == column) & (plain.row == label)]
                if len(chosen):
                    for k, metric in enumerate(metrics):
                        _curve(place, chosen, x, metric, i, len(metrics) > 1 and k == 0, floor)
            place.set_xlabel(_AXES.get(x, x))
            place.set_ylabel(_label(metrics))
            place.set_title(spelt(titles.get(column, column)))
        hide(axes[len(panels) :])
        handles = [
            axes[0].plot([], [], label=spelt(label), **line(i))[0] for i, label in enumerate(labels)
        ]
        upper.legend(handles=handles, loc="outside upper center", ncols=min(4, len(labels)))
        if lower is not None:
            gain_panel(lower, gains)
    return canvas


def sheet(
    style: Style, height: float, data: pd.DataFrame, gains: pd.DataFrame
) -> tuple[Figure, Any, Any]:
    """A page of the style's width: the exhibit's part, the control arms' (or ``None``), a foot.

    The foot says what was reduced.
    """
    foot = scale_note(data)
    heights = [height]
    if len(gains):
        heights.append(max(0.9, 0.15 * len(gains) + 0.65))
    with style.rc():
        if foot:
            heights.append(0.3)
        canvas = Figure(figsize=(style.page, sum(heights)), layout="constrained")
        if len(heights) == 1:
            return canvas, canvas, None
        parts: Any = canvas.subfigures(len(heights), 1, height_ratios=heights)
        if foot:
            parts[-1].text(0.5, 0.5, foot, ha="center", va="center", wrap=True, color="#555555",
                           fontsize=style.size - 2)  # fmt: skip
        return canvas, parts[0], parts[1] if len(gains) else None


def _label(metrics: Sequence[str]) -> str:
    """``train (thin) / test loss`` for two of a kind.

    >>> _label(["train_loss", "test_loss"]), _label(["lr"])
    ('train (thin) / test loss', 'step size')
    """
    words = [_METRICS.get(m, m) for m in metrics]
    if len(words) == 2 and words[0].split(" ", 1)[1:] == words[1].split(" ", 1)[1:]:
        first, rest = words[0].split(" ", 1)
        return f"{first} (thin) / {words[1].split(' ', 1)[0]} {rest}"
    return " / ".join(words)


def _curve(
    axes: Axes, runs: pd.DataFrame, x: str, metric: str, number: int, faint: bool,
    floor: float | None,
) -> None:  # fmt: skip
    factor = 100 if metric.endswith("accuracy") else 1
    values = runs.assign(y=runs[metric].astype(float) * factor)
    if floor is not None:
        values["y"] = values.y.fillna(0.0).clip(lower=floor)
    grouped = values.groupby(x).y
    middle, low, high = grouped.mean(), grouped.min(), grouped.max()
    look = dict(line(number))
    look["markevery"] = max(1, len(middle) // 5)
    if faint:
        look |= {"alpha": 0.55, "linewidth": 0.8, "marker": ""}
    axes.plot(middle.index, middle, **look)
    if values.seed.nunique() > 1:
        axes.fill_between(middle.index, low, high, color=look["color"], alpha=0.12, linewidth=0)


def dots(
    data: pd.DataFrame,
    table: pd.DataFrame,
    gains: pd.DataFrame,
    style: Style,
    per_line: int = 6,
    *,
    statistic: str = FINAL,
    heading: str = "{}",
) -> Figure:
    """A printed table as dots: open diamonds as published, filled circles as measured.

    One panel a printed column, its title ``heading`` with the column in it; one line a printed row;
    below, the control arms by ``statistic``.
    """  # fmt: skip
    rows, columns = list(dict.fromkeys(table.row)), list(dict.fromkeys(table.column))
    wide = min(per_line, len(columns))
    deep = math.ceil(len(columns) / wide)
    data_of = {c: _stand_in(table[table.column == c].scale) for c in columns}
    titles = {}
    for column in columns:
        head, *rest = heading.format(column).split("/", 1)
        used = data_of[column]
        rest += [f"({used})"] if used and len(set(data_of.values())) > 1 else []
        titles[column] = spelt("\n".join((head, *rest))) if column != _ONE else ""
    most = max(title.count("\n") for title in titles.values())
    height = deep * (0.18 * len(rows) + 0.55 + 0.15 * most) + 0.45
    canvas, upper, lower = sheet(style, height, data, gains)
    with style.rc():
        axes = upper.subplots(deep, wide, squeeze=False, sharey=True)
        places = {row: len(rows) - 1 - i for i, row in enumerate(rows)}
        for place, column in zip(axes.ravel(), columns, strict=False):
            for r in table[table.column == column].to_dict("records"):
                _dot(place, places[r["row"]], r)
            place.set_title(titles[column], fontsize=style.size - (wide > 6))
            place.set_ylim(-0.6, len(rows) - 0.4)
            shown = [spelt(row.replace("/", ", ")) for row in places]
            place.set_yticks(list(places.values()), shown)
            place.grid(axis="y", linewidth=0.3, alpha=0.5)
            place.xaxis.set_major_locator(MaxNLocator(2 if wide > 6 else 3, integer=wide > 6))
        hide(axes.ravel()[len(columns) :])
        first = axes[0, 0]
        handles = [
            first.plot([], [], "D", color=_PUBLISHED, markerfacecolor="white", label="published")[
                0
            ],
            first.plot([], [], "o", color="black", label="measured, 95% interval")[0],
        ]
        upper.supxlabel("test accuracy (%)" if statistic in _ACCURACY else "score (%)",
                        fontsize=style.size)  # fmt: skip
        upper.legend(handles=handles, loc="outside upper center", ncols=2)
        if lower is not None:
            gain_panel(lower, gains, heading)
    return canvas


def _stand_in(scales: Iterable[str]) -> str:
    """The data sets that cells ran on in the place of the paper's.

    >>> _stand_in(["digits for cifar10; 1% of the gradients", "as in the paper",
    ...            "not run: the smoke preset has a stand-in for cifar10 alone"])
    'digits'
    """
    first = [text.split(";")[0] for text in scales if not text.startswith("not run")]
    return ", ".join(dict.fromkeys(text.split(" for ")[0] for text in first if " for " in text))


def _dot(axes: Axes, y: float, r: Mapping[str, Any]) -> None:
    if not math.isnan(r["measured"]):
        half = [[0.0], [0.0]]
        if not math.isnan(r["low"]):
            # Accuracies lie in [0, 100]; Student's interval does not know.
            lowest = 0.0 if r["measured"] >= 0 else -100.0
            ends = max(r["low"], lowest), min(r["high"], 100.0)
            half = [[max(0.0, r["measured"] - ends[0])], [max(0.0, ends[1] - r["measured"])]]
        axes.errorbar([r["measured"]], [y], xerr=half, fmt="o", color="black", capsize=1.5,
                      linewidth=0.8, markersize=3)  # fmt: skip
    axes.plot([r["published"]], [y], "D", color=_PUBLISHED, markerfacecolor="white",
              markersize=3.5, zorder=3, clip_on=False)  # fmt: skip


def gain_panel(part: Any, gains: pd.DataFrame, heading: str = "{}") -> None:
    """The method less each control arm, in points; filled where the gain survives."""
    axes = part.subplots()
    names = []
    for i, r in enumerate(gains.to_dict("records")):
        y = len(gains) - 1 - i
        filled = "black" if r["survives"] == "yes" else "white"
        if math.isfinite(r["low"]):
            axes.plot([r["low"], r["high"]], [y, y], "-", color="black", linewidth=0.8)
        axes.plot([r["gain"]], [y], "o", color="black", markerfacecolor=filled, markersize=3.5)
        where = f" ({heading.format(r['column'])})" if r["column"] != _ONE else ""
        names.append(spelt(f"{r['row'].replace('/', ', ')}{where} over {r['arm']}"))
    axes.axvline(0.0, color="#8A8A8A", linewidth=0.8)
    axes.set_yticks(range(len(names) - 1, -1, -1), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    limit = float(np.nanmax(np.abs(gains.gain)))
    finite = gains[np.isfinite(gains.low)]
    if len(finite):  # the widest intervals are cut off
        limit = max(limit, min(float(np.nanmax(np.abs(finite[["low", "high"]]))), 4 * limit))
    axes.set_xlim(-1.1 * max(limit, 0.1), 1.1 * max(limit, 0.1))
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("gain (percentage points)")
    part.suptitle("Gain over the control arms, 95% intervals; filled: it survives",
                  fontsize=mpl.rcParams["axes.titlesize"])  # fmt: skip


def hide(axes: Iterable[Axes]) -> None:
    """Panels that are not needed."""
    for place in axes:
        place.set_axis_off()


def scale_note(data: pd.DataFrame) -> str:
    """What was reduced in a figure's runs, in a line or two; empty if nothing was."""
    ran = data[~data.scale.fillna("").str.startswith("not run")]
    parts: dict[str, None] = {}
    for text in dict.fromkeys(ran.scale.dropna()):
        parts |= dict.fromkeys(p for p in text.split("; ") if p and "of the gradients" not in p)
    words = [p for p in parts if not p.startswith("batch ")][:6]
    if any(p.startswith("batch ") for p in parts):
        words.append("smaller batches")
    if "share" in ran and (shares := ran.share.dropna()[ran.share < 1]).size:
        low, high = (f"{100 * x:.2g}" for x in (shares.min(), shares.max()))
        words.append(f"{low if low == high else f'{low} to {high}'}% of the gradients")
    if "seed" in ran and len(ran):
        seeds, wanted = ran.seed.nunique(), int(ran.seeds.max())
        words += [f"{seeds} of {wanted} seeds"] if seeds < wanted else []
    return spelt(f"Scale: {'; '.join(words)}") if words else ""
