"""The target as numbers: two classes as -1 and +1, quantities as they are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from theorylab.data.columns import as_numbers
from theorylab.data.record import Choices, few_values, flat, listed, unit
from theorylab.errors import DataError, printable

__all__ = ["target_values"]

Classes = tuple[tuple[str, float], ...]
_PAIRS = ((0.0, 1.0), (1.0, 2.0), (-1.0, 1.0))


def target_values(
    who: str, column: pd.Series, called: str, choices: Choices
) -> tuple[np.ndarray, Classes]:
    """The target, and what each label became.

    Two labels become -1 and +1 in their order (numbers by size, text by the alphabet); of more,
    ``positive`` sets one against the rest.

    Raises
    ------
    DataError
        If a value is missing or not finite, all are the same, or there are three classes or more.
    """
    where = f"{who}, target {called}"
    gaps = column.isna().to_numpy(bool)
    if gaps.any():
        more = int(gaps.sum()) - 1
        raise DataError(f"{who}, row {int(gaps.argmax()) + 1}, target {called}: no value"
                        f"{f' (and {more} more gaps)' if more else ''}; leave the row out (a target"
                        " is never filled)")  # fmt: skip
    values, wrong = as_numbers(column)
    if wrong.any() and not wrong.all():
        i = int(wrong.argmax())
        raise DataError(f"{who}, row {i + 1}, target {called}: expected a number, got the text "
                        f"{printable(str(column.iloc[i]).strip())!r}")  # fmt: skip
    if wrong.any():
        text = column.astype(str).str.strip().to_numpy(object)
        return _classes(where, text, sorted(set(text)), choices)
    if not np.isfinite(values).all():
        i = int((~np.isfinite(values)).argmax())
        raise DataError(f"{who}, row {i + 1}, target {called}: expected a finite number, "
                        f"got {values[i]}")  # fmt: skip
    different = np.unique(values)
    if choices.labels != "numbers" or choices.positive is not None:
        pair = len(different) == 2 and (len(values) > 2 or tuple(different) in _PAIRS)
        if pair or choices.positive is not None or (
            len(different) > 2 and few_values(values)
        ):  # fmt: skip
            return _classes(where, values, list(different), choices)
    if flat(unit(values)):
        raise DataError(f"{where}: expected a target that varies, got {values[0]:g} in every row")
    return values, ()


def _classes(
    where: str, values: np.ndarray, different: list[object], choices: Choices
) -> tuple[np.ndarray, Classes]:
    shown = [printable(f"{v:g}" if isinstance(v, float) else v) for v in different]
    if len(different) < 2:
        raise DataError(f"{where}: expected a target that varies, got {shown[0]} in every row")
    if choices.positive is None:
        if len(different) == 2:
            high = different[1]
            return np.where(values == high, 1.0, -1.0), ((shown[0], -1.0), (shown[1], 1.0))
        numbers = ", or --set labels=numbers to take them as a quantity"
        raise DataError(f"{where}: expected two classes, got {len(different)} ({listed(shown)}); "
                        "--set positive=LABEL sets one against the rest"
                        + numbers * isinstance(different[0], float))  # fmt: skip
    match = [k for k, v in enumerate(different) if _same(v, choices.positive)]
    if not match:
        raise DataError(f"{where}: no label {printable(choices.positive)!r}; it has "
                        f"{listed(shown, 10)}")  # fmt: skip
    k = match[0]
    rest = shown[1 - k] if len(different) == 2 else "the rest"
    return np.where(values == different[k], 1.0, -1.0), ((rest, -1.0), (shown[k], 1.0))


def _same(value: object, wanted: str) -> bool:
    if isinstance(value, str):
        return value == wanted.strip()
    try:
        return float(wanted) == value
    except ValueError:
        return False
