"""Which column numbers the rows, which is the target, and the features as numbers."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import pandas as pd

from theorylab.data.content import require_room
from theorylab.data.record import Choices, few_values, flat, listed, unit
from theorylab.data.table import Table
from theorylab.errors import DataError, printable

__all__ = [
    "Features",
    "as_numbers",
    "find_column",
    "features",
    "few_values",
    "set_aside",
    "target_of",
]

_ROW_NAMES = frozenset({"index", "id", "row", "rownames", "row_names", "row_id", "level_0"})
_TARGETS = frozenset({"target", "label", "labels", "class", "y"})
_UNNAMED = frozenset({"", "Unnamed: 0"})
_COUNT = 5  # rows that must count on before a column without a name is an index
_MANY = 20  # rows from which another whole number in each is more likely a name
_CATEGORIES = 50


def find_column(who: str, table: Table, wanted: str, option: str) -> int:
    """The column that a user named.

    Raises
    ------
    DataError
        If there is none, or several.
    """
    found = [j for j, name in enumerate(table.names) if name.strip() == wanted.strip()]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise DataError(f"{who}: {len(found)} columns are called {printable(wanted)!r}; rename one")
    width = table.frame.shape[1]
    if wanted in ("first", "last"):
        return 0 if wanted == "first" else width - 1
    places = table.places or tuple(range(width))
    if not table.named and wanted.isdecimal() and int(wanted) - 1 in places:
        return places.index(int(wanted) - 1)
    names = [name for name in table.names if name]
    close = difflib.get_close_matches(wanted, names, n=1)
    if not table.named:
        hint = f"its {width} columns have no names: first, last, or a number from 1"
    elif close:
        hint = f"did you mean {printable(close[0])}?"
    else:
        hint = f"it has {listed(names, 8)}"
    raise DataError(f"{who}: {option}: no column {printable(wanted)!r}; {hint}")


def set_aside(who: str, table: Table, choices: Choices) -> Table:
    """The table without an empty last column, and without the column that numbers its rows.

    Raises
    ------
    DataError
        If the user names an index that is not there.
    """
    last = table.frame.shape[1] - 1
    if last >= 1 and not table.names[last] and table.frame[last].isna().all():
        table = replace(table, said=(*table.said, "empty last column set aside")).without(last)
    if choices.index == "no":
        return table
    if choices.index is not None:
        j = find_column(who, table, choices.index, "index")
        return replace(table, index=table.called(j)).without(j)
    if table.target is not None or table.index or table.form in ("svmlight", "sparse NPZ", "ARFF"):
        return table
    name, column = table.names[0], table.frame[0]
    if choices.target in ("first", name) and choices.target:
        return table
    width, counts = table.frame.shape[1], _counts(column)
    if table.named:
        if (name.strip() in _UNNAMED and width > 1) or (
            name.strip().lower() in _ROW_NAMES and width > 2 and column.is_unique
            and not pd.api.types.is_float_dtype(column.dtype)
        ):  # fmt: skip
            return replace(table, index=printable(name) or "column 1 (no name)").without(0)
    elif counts and width > 2 and len(column) >= _COUNT:
        return replace(table, index="column 1 (counts the rows)").without(0)
    if width > 2 and (counts or (_whole(column) and column.is_unique and len(column) >= _MANY)):
        what = "counts the rows" if counts else "is another whole number in every row"
        name = printable(name) or "1"
        note = f"{table.called(0)} {what} (--set index={name} sets it aside)"
        return replace(table, said=(*table.said, note))
    return table


def _whole(column: pd.Series) -> bool:
    return pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any()


def _counts(column: pd.Series) -> bool:
    """Whether a column is 0, 1, 2, ... or 1, 2, 3, ..."""
    if not _whole(column):
        return False
    values = column.to_numpy()
    return bool(values[0] in (0, 1) and (np.diff(values) == 1).all())


def _like_labels(column: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(column.dtype):
        return True
    if pd.api.types.is_numeric_dtype(column.dtype):
        return few_values(column.dropna().to_numpy(float))
    return bool(as_numbers(column)[1].all()) and 2 <= column.nunique() <= len(column) // 2


def target_of(who: str, table: Table, choices: Choices) -> tuple[Table, pd.Series, str]:
    """The features' table, the target's column, and what it is called.

    The last column, or the first if that is called target, label, class or y.

    Raises
    ------
    DataError
        If the user must say which it is: another column is called so, or the first looks like
        labels and the last does not.
    """
    if table.target is not None:
        if choices.target not in (None, "y", "target"):
            raise DataError(f"{who}: {table.form} keeps its target apart; leave --target out")
        return table, table.target, "y"
    frame = table.frame
    if frame.shape[1] < 2:
        raise DataError(f"{who}: expected at least one feature column beside the target, got none")
    last = frame.shape[1] - 1
    known = [j for j, name in enumerate(table.names) if name.strip().lower() in _TARGETS]
    if choices.target is not None:
        j = find_column(who, table, choices.target, "--target")
    elif last in known and 0 not in known:
        j = last
    elif known == [0]:
        j = 0
    elif known:
        names = listed(dict.fromkeys([*(table.called(j) for j in known), table.called(last)]))
        raise DataError(f"{who}: each of {names} may be the target; name it: --target COLUMN")
    elif _like_labels(frame[0]) and not _like_labels(frame[last]):
        raise DataError(f"{who}: {table.where(0)} looks like labels, {table.where(last)} does not; "
                        "name the target: --target first or --target last")  # fmt: skip
    else:
        j = last
    said = ", the last" if choices.target is None and not known else ""
    return table.without(j), frame[j], table.called(j) + said


@final
@dataclass(frozen=True, eq=False)
class Features:
    """The features as numbers.

    Attributes
    ----------
    X : ndarray, shape (n, d)
    said : tuple of str
    """

    X: np.ndarray
    said: tuple[str, ...]


def as_numbers(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """A column's numbers, ``nan`` where there is none, and where it has something else."""
    kind = column.dtype
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind):
        return column.to_numpy(float, na_value=np.nan), np.zeros(len(column), bool)
    text = column.astype(object).map(_shown, na_action="ignore")
    # "1_000" and such are no numbers to any other program.
    odd = text.str.contains("_", na=False).to_numpy(bool)
    values = pd.to_numeric(text.where(~odd), errors="coerce").to_numpy(float, na_value=np.nan)
    return values, np.isnan(values) & text.notna().to_numpy(bool)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(float(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value).strip()


def features(who: str, table: Table, choices: Choices, limit: int) -> Features:
    """Every feature as a number: text refused or one-hot, gaps refused or filled.

    Raises
    ------
    DataError
        Naming row and column.
    """
    frame = table.frame
    rows = len(frame)
    parts: list[np.ndarray] = []
    names: list[str] = []
    places: list[str] = []
    texts: list[int] = []
    said: list[str] = []
    for j in range(frame.shape[1]):
        values, wrong = as_numbers(frame[j])
        if not wrong.any():
            parts.append(values[:, None])
            names.append(table.called(j))
            places.append(table.where(j))
        elif not np.isnan(values).all():
            i = int(wrong.argmax())
            raise DataError(f"{who}, row {i + 1}, {table.where(j)}: expected a number, got the "
                            f"text {printable(str(frame[j].iloc[i]).strip())!r}")  # fmt: skip
        elif choices.text == "one_hot":
            block, labels = _one_hot(who, table, j)
            parts.append(block)
            names += [f"{table.called(j)}={label}" for label in labels]
            places += [table.where(j)] * len(labels)
            said.append(f"{table.called(j)} one-hot ({len(labels)} columns)")
        else:
            texts.append(j)
        require_room(who, 8 * rows * len(names), limit, "the table")
    if texts:
        j = texts[0]
        example = printable(str(frame[j].dropna().iloc[0]).strip())
        which = listed((table.where(k) for k in texts), 3)
        raise DataError(f"{who}: {which}: expected numbers, got text such as {example!r}; --set "
                        "text=one_hot makes columns of 0 and 1, --target names the target, --set "
                        "index= sets one column aside")  # fmt: skip
    if not parts:
        raise DataError(f"{who}: expected at least one feature column, got none")
    X = np.ascontiguousarray(np.concatenate(parts, axis=1))  # one layout, so one rounding of sums
    gaps = np.isnan(X)
    _require_finite(who, X, places)
    if gaps.any():
        X = _filled(who, X, gaps, places, choices)
        how = f"by the column's {choices.impute}"
        said.append(f"{int(gaps.sum())} missing values filled {how}")
    return Features(X, (*said, *_worth_saying(X, names)))


def _one_hot(who: str, table: Table, j: int) -> tuple[np.ndarray, Sequence[str]]:
    from sklearn.preprocessing import OneHotEncoder  # slow to import, and seldom needed

    column = table.frame[j]
    if column.isna().any():
        row = int(column.isna().to_numpy(bool).argmax()) + 1
        raise DataError(f"{who}, row {row}, {table.where(j)}: no value; one-hot columns cannot "
                        "fill a gap, leave the row out or name its value")  # fmt: skip
    labels = column.astype(object).map(_shown).to_numpy(object)[:, None]
    if (count := len(set(labels[:, 0]))) > _CATEGORIES:
        raise DataError(f"{who}, {table.where(j)}: {count} different texts would make as many "
                        f"columns, more than {_CATEGORIES}; --set index= sets one column "
                        "aside")  # fmt: skip
    encoder = OneHotEncoder(sparse_output=False)
    block = encoder.fit_transform(labels)
    return np.asarray(block, float), [printable(label) for label in encoder.categories_[0]]


def _require_finite(who: str, X: np.ndarray, places: Sequence[str]) -> None:
    bad = np.argwhere(np.isinf(X))
    if len(bad):
        i, j = bad[0]
        raise DataError(f"{who}, row {i + 1}, {places[j]}: expected a finite number, got {X[i, j]}")


def _filled(
    who: str, X: np.ndarray, gaps: np.ndarray, places: Sequence[str], choices: Choices
) -> np.ndarray:
    empty = gaps.all(0)
    if empty.any():
        raise DataError(f"{who}, {places[int(empty.argmax())]}: no row has a value; leave it out")
    if choices.impute is None:
        i, j = np.argwhere(gaps)[0]
        more = int(gaps.sum()) - 1
        raise DataError(f"{who}, row {i + 1}, {places[j]}: no value"
                        f"{f' (and {more} more gaps)' if more else ''}; leave the row out, or --set"
                        " impute=mean or impute=median")  # fmt: skip
    from sklearn.impute import SimpleImputer  # slow to import, and seldom needed

    return np.asarray(SimpleImputer(strategy=choices.impute).fit_transform(X), float)


def _worth_saying(X: np.ndarray, names: Sequence[str]) -> list[str]:
    said = []
    still = flat(unit(X))
    if still.any():
        said.append(f"constant: {listed(n for n, s in zip(names, still, strict=True) if s)}")
    seen: dict[bytes, str] = {}
    twins = []
    for j, name in enumerate(names):
        if still[j]:
            continue
        key = np.ascontiguousarray(X[:, j]).tobytes()
        if key in seen:
            twins.append(f"{name} = {seen[key]}")
        seen.setdefault(key, name)
    if twins:
        said.append(f"equal columns: {listed(twins)}")
    return said
