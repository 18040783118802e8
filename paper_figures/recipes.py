"""What several papers' recipes share: a method's control arms as runs, and tables drawn as dots."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.figure import Figure

from deep.arms import arms
from deep.settings import Settings
from paper_figures.drawing import dots
from paper_figures.exhibit import FINAL, Exhibit, Place
from paper_figures.scale import Run
from paper_figures.style import Style
from paper_figures.tables import compared, controls

__all__ = ["claimed", "draw_table", "straight"]


def claimed(
    row: str, column: str, settings: Settings, *, tune: bool = True, recipe: str = ""
) -> list[Run]:
    """A method that claims a gain, and its control arms (:mod:`deep.arms`) as runs.

    With ``tune`` come the method and its base at steps of their own, chosen on held-out samples:
    the arms ``own step`` and ``same gradients, own step``.

    >>> found = claimed("TRSGD", "CIFAR10", Settings(optimizer="trsgd"), tune=False)
    >>> [run.arm for run in found]
    ['', 'lambda=0', 'mean step', 'same gradients', 'same rounds']
    """
    others = arms(settings)
    others.pop(settings.optimizer)
    found = [Run(row, column, settings, recipe=recipe)]
    found += [
        Run(row, column, arm, name, recipe=f"{recipe}/{name}" if recipe else "")
        for name, arm in others.items()
    ]
    if tune and "same gradients" in others:
        found.append(Run(row, column, settings, "own step", tune=True))
        plain = others["same gradients"]
        found.append(Run(row, column, plain, "same gradients, own step", tune=True))
    return found


def straight(statistic: str = FINAL) -> Callable[[pd.DataFrame], Sequence[Place]]:
    """Places of a table whose labels are the data's own."""

    def places(data: pd.DataFrame) -> list[Place]:
        pairs = data[data.arm == ""][["row", "column"]].drop_duplicates()
        return [Place(r, c, (r, c), statistic) for r, c in pairs.itertuples(index=False)]

    return places


def draw_table(
    key: str,
    places: Callable[[pd.DataFrame], Sequence[Place]],
    per_line: int = 6,
    statistic: str = FINAL,
    heading: str = "{}",
) -> Callable[[pd.DataFrame, Style], Figure]:
    """Draws a printed table from its data: dots, and below its control arms by ``statistic``."""

    def draw(data: pd.DataFrame, style: Style) -> Figure:
        stub = Exhibit(key, "", "", lambda _: data, draw, places)
        return dots(data, compared(stub, data), controls(data, statistic), style, per_line,
                    statistic=statistic, heading=heading)  # fmt: skip

    return draw
