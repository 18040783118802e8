"""What ``train`` keeps: results by arm and seed that later commands add to, and tidy rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd

from deep.settings import Settings
from theorylab.errors import DataError
from theorylab.plugins.sealed import Damaged
from theorylab.plugins.shape import shaped
from theorylab.plugins.store import sealed_table
from theorylab.regular import regular_bytes

__all__ = [
    "SCHEMA",
    "Measured",
    "alike",
    "columns",
    "entry",
    "kept",
    "last_tenth",
    "maximum",
    "merged",
    "tidy",
]

SCHEMA = 2
Row = Mapping[str, Any]


class Measured(TypedDict):
    """What a run measures at one step, of :class:`deep.training.Trainer`; more if asked for."""

    steps: int
    rounds: float
    between_rounds: bool
    gradients: int
    seconds: float
    epoch: float
    lr: float
    train_loss: float | None
    test_loss: float | None
    train_accuracy: float | None
    test_accuracy: float | None
    gap: float | None


class _Arm(TypedDict):
    settings: dict[str, Any]
    lr: float
    seeds: list[int]
    history: list[list[Measured]]


def last_tenth(history: Sequence[Row], quantity: str = "test_accuracy") -> float | None:
    """The mean over a run's measurements in its last tenth, as the stochastic-batch-size paper.

    ``None`` if one of them is missing (the run diverged).

    >>> rows = [{"steps": s, "test_accuracy": a} for s, a in ((0, 0.1), (5, 0.9), (10, 0.7))]
    >>> last_tenth(rows), maximum(rows)
    (0.7, 0.9)
    """
    end = history[-1]["steps"]
    found = [row[quantity] for row in history if row["steps"] > 0.9 * end or row["steps"] == end]
    return None if None in found else sum(found) / len(found)


def maximum(history: Sequence[Row], quantity: str = "test_accuracy") -> float | None:
    """The largest value of a run, as papers report it; it profits from every look at the test set.

    ``None`` if there is none.
    """
    return max((row[quantity] for row in history if row[quantity] is not None), default=None)


def columns(table: Any, *required: str) -> dict[str, list[float | None]]:
    """A history by column, if it is one: numbers or ``None``, as many in each.

    >>> columns({"steps": [0, 5], "test_loss": [2.3, None]}, "steps")["steps"]
    [0, 5]

    Raises
    ------
    ValueError, KeyError
        If it is none, or lacks a column.
    """
    found: dict[str, list[float | None]] = shaped(dict[str, list[float | None]])(table)
    lengths = {len(found[name]) for name in (*required, *found)}
    if len(lengths) != 1 or not lengths.pop():
        raise ValueError("a history has as many values in each column, at least one")
    return found


def entry(
    settings: Settings,
    histories: Mapping[int, Sequence[Row]],
    made: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One arm's results: settings, step, what it was made with, and the history of every seed."""
    runs = [histories[seed] for seed in sorted(histories)]
    return {
        "settings": settings.to_json(), "made": dict(made or {}), "lr": settings.step_size,
        "seeds": sorted(histories),
        "history": runs, "last_tenth": [last_tenth(h) for h in runs],
        "maximum": [maximum(h) for h in runs],
    }  # fmt: skip


def kept(path: Path) -> dict[str, Any]:
    """The arms that ``results.json`` holds already; none where there is no such file.

    Raises
    ------
    DataError
        If the file is not one of these.
    """
    if not path.is_file():
        return {}
    try:
        table, _ = sealed_table(regular_bytes(path))
        if table["schema"] != SCHEMA:
            raise DataError(f"{path} is of another version of this program: choose another --out")
        arms: dict[str, Any] = shaped(dict[str, _Arm])(table["arms"])
        if any(not all(arm["history"]) or len(arm["history"]) != len(arm["seeds"])
               for arm in arms.values()):  # fmt: skip
            raise ValueError("every seed has a history")
        return arms
    except Damaged as error:
        raise DataError(
            f"{path} is damaged, or was edited ({error}): choose another --out"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} does not hold results of this program: {error}") from None


def alike(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two arms' results differ in their seeds alone: not in settings, data or code."""
    one, two = (json.loads(json.dumps([arm["settings"], arm.get("made")])) for arm in (old, new))
    return [one[0] | {"seed": 0}, one[1]] == [two[0] | {"seed": 0}, two[1]]


def merged(before: Mapping[str, Any], name: str, new: Mapping[str, Any]) -> dict[str, Any]:
    """An arm's results together with those of other seeds kept before."""
    if name not in before:
        return dict(new)
    old = before[name]
    runs = dict(zip(old["seeds"], old["history"], strict=True))
    runs |= dict(zip(new["seeds"], new["history"], strict=True))
    every = [runs[seed] for seed in sorted(runs)]
    return {
        **new, "seeds": sorted(runs), "history": every,
        "last_tenth": [last_tenth(h) for h in every], "maximum": [maximum(h) for h in every],
    }  # fmt: skip


def tidy(arms: Mapping[str, Any]) -> pd.DataFrame:
    """One row a measurement: arm, method, network, data, batch size, step, seed, and every value.

    >>> settings = Settings(steps=1)
    >>> rows = [{"steps": 0, "test_loss": 2.3}, {"steps": 1, "test_loss": None}]
    >>> tidy({"msgd": entry(settings, {0: [{**r, "test_accuracy": 0.1} for r in rows]})}).shape
    (2, 10)
    """
    rows = []
    for name, arm in arms.items():
        given = arm["settings"]
        common = {"arm": name, "optimizer": given["optimizer"], "model": given["model"],
                  "data": given["data"], "batch_size": given["batch_size"],
                  "step_size": arm["lr"]}  # fmt: skip
        for seed, history in zip(arm["seeds"], arm["history"], strict=True):
            rows += [{**common, "seed": seed, **row} for row in history]
    return pd.DataFrame(rows)
