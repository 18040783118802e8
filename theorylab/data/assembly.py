"""From a table to a data set and the record of how it was read."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from theorylab.data.columns import features, set_aside, target_of
from theorylab.data.formats import from_frame
from theorylab.data.labels import target_values
from theorylab.data.record import Choices, Dataset, Reading, flat, listed, unit
from theorylab.data.table import Table
from theorylab.errors import DataError, printable

__all__ = ["bundled", "dataset", "frame_table"]


def frame_table(source: Any) -> Table:
    """A pandas or polars frame as a table.

    Raises
    ------
    DataError
        If it is neither.
    """
    if isinstance(source, pd.DataFrame):
        return from_frame(source, "pandas frame")
    kind = type(source)
    if not (kind.__module__.startswith("polars") and kind.__name__ == "DataFrame"):
        cure = "; call .collect() first" if kind.__name__ == "LazyFrame" else ""
        raise DataError(f"expected a path or a pandas or polars frame, got {kind.__name__}{cure}")
    return from_frame(
        pd.DataFrame({name: source[name].to_list() for name in source.columns}), "polars frame"
    )


def bundled(name: str, positive: str | None) -> Dataset:
    """One of scikit-learn's data sets, of those that come with it."""
    from sklearn import datasets  # slow to import, and seldom needed

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    X, y = np.asarray(X, float), np.asarray(y, float)
    digest = _digest(X, y)
    classes: tuple[tuple[str, float], ...] = ()
    if positive is not None:
        y, classes = target_values(name, pd.Series(y), "target", Choices(positive=positive))
    form = "bundled with scikit-learn"
    return Dataset(
        name, X, y, Reading(name, form, len(X), X.shape[1], "target", digest, classes)
    )  # fmt: skip


def _digest(X: np.ndarray, y: np.ndarray) -> str:
    """SHA-256 of the numbers, as little-endian float64, and their shape."""
    found = hashlib.sha256(repr(X.shape).encode())
    for array in (X, y):
        found.update(np.ascontiguousarray(array, "<f8").tobytes())
    return found.hexdigest()


def dataset(
    who: str, stem: str, table: Table, choices: Choices, limit: int, sha256: str, name: str
) -> Dataset:
    """The features, the target and the record of a table; ``sha256`` is of the file's bytes.

    Raises
    ------
    DataError
        If it has too few rows or columns, or something that is not as it must be.
    """
    if len(table.frame) < 2:
        below = f" below the header ({listed(table.names, 3)})" if table.named else ""
        raise DataError(f"{who}: expected at least two rows{below}, got {len(table.frame)}")
    table = set_aside(who, table, choices)
    table, column, called = target_of(who, table, choices)
    found = features(who, table, choices, limit)
    y, classes = target_values(who, column, called, choices)
    X = found.X
    _require_usable(who, X, y)
    said = [*table.said, *found.said]
    both = pd.DataFrame(np.column_stack([X, y]))
    if repeated := int(both.duplicated().sum()):
        said.append(f"{repeated} duplicate row{'s' * (repeated > 1)}")
    reading = Reading(
        printable(name), table.form, len(X), X.shape[1], called, sha256 or _digest(X, y), classes,
        table.delimiter, table.decimal, table.index, tuple(said),
    )  # fmt: skip
    return Dataset(stem, X, y, reading)


def _require_usable(who: str, X: np.ndarray, y: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        if not (np.isfinite(X.std(0)).all() and np.isfinite(y.std())):
            raise DataError(f"{who}: expected numbers whose squares are finite, got larger ones")
    if flat(unit(X)).all():
        raise DataError(f"{who}: expected at least one feature column that varies, got none")
