"""Delimited text: which delimiter, which decimal sign, whether the first row names the columns."""

from __future__ import annotations

import csv
import io
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from theorylab.data.content import Content, require_room
from theorylab.data.record import Choices
from theorylab.data.table import Table, is_header
from theorylab.errors import DataError, printable

__all__ = ["decoded", "delimited"]

_COLUMNS = 100_000  # with more, naming and reading them takes longer than the numbers
_HEAD = 200
_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": r"\s+"}
# What pandas takes as missing, and what the UCI repository writes.
_MISSING = frozenset({"", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>"})
# Before pandas 3.1 only this converter gave the nearest float.
_EXACT = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {
    "float_precision": "round_trip"
}  # fmt: skip


def decoded(content: Content) -> str:
    """The content as text: UTF-8, or UTF-16 where it begins with that mark.

    Raises
    ------
    DataError
    """
    wide = content.data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{content.name}: expected UTF-8 text, got byte "
                        f"{content.data[error.start]:#04x} at position {error.start}; save it as "
                        "UTF-8") from None  # fmt: skip
    if "\0" in text:
        raise DataError(f"{content.name}: expected text, got binary data")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def delimited(content: Content, choices: Choices, limit: int) -> Table:
    """A table of delimited text, every column as pandas reads it.

    Raises
    ------
    DataError
        If it has no rows, one column, or rows of different lengths.
    """
    who, text = content.name, decoded(content)
    comments, text = _comments(text)
    head = [line for line in _lines(text, 4 * _HEAD) if line.strip()][:_HEAD]
    if not head:
        raise DataError(f"{who}: expected rows of numbers, got an empty file")
    word = choices.delimiter or _delimiter(who, head)
    separator = _SEPARATORS[word]
    rows = [row for row in _split(head, separator) if row]
    width = Counter(len(row) for row in rows[1:] or rows).most_common(1)[0][0]
    if width < 2:
        raise DataError(f"{who}: expected at least two columns (features and a target), got one; "
                        "columns are told apart by , ; | tab or space")  # fmt: skip
    if width > _COLUMNS:
        raise DataError(f"{who}: expected at most {_COLUMNS:,} columns, got {width:,}; an NPZ file "
                        "holds more")  # fmt: skip
    require_room(who, 8 * _cells(text, separator), limit, "the table")
    names, skipped = _names(who, rows, width, comments, separator, choices)
    stream = io.StringIO(text)
    if skipped:
        _skip_row(stream, separator)
    frame, decimal = _parsed(who, stream, separator, choices, skipped)
    if frame is None:
        raise DataError(f"{who}: expected rows of numbers, got a header line alone")
    if frame.shape[1] != width or frame.iloc[:, -1].isna().any():  # what pandas fills up
        _require_even(who, text, separator, width, skipped)
    form = "TSV" if word == "tab" else "CSV"
    return Table(frame, form, tuple(names) if names else ("",) * width, bool(names),
                 delimiter=word, decimal=decimal)  # fmt: skip


def _lines(text: str, most: int) -> Iterator[str]:
    stream = io.StringIO(text)
    for _, line in zip(range(most), stream, strict=False):
        yield line


def _comments(text: str) -> tuple[list[str], str]:
    """Leading lines that begin with ``#`` (numpy writes its header so), and the rest."""
    found = []
    while text.startswith("#"):
        line, _, text = text.partition("\n")
        found.append(line.lstrip("#").strip())
    return found, text


def _split(lines: Sequence[str], separator: str) -> Iterator[list[str]]:
    if separator == r"\s+":
        yield from (line.split() for line in lines)
        return
    try:
        for row in csv.reader(lines, delimiter=separator, skipinitialspace=True):
            yield [cell.strip() for cell in row]
    except csv.Error:  # a field longer than any number or label
        return


def _number(cell: str, comma: bool = False) -> bool:
    # float() also takes "1_000", which no other program would read as a number.
    try:
        float(cell.replace(",", ".", 1) if comma else cell)
    except ValueError:
        return False
    return "_" not in cell


def _delimiter(who: str, head: Sequence[str]) -> str:
    """The delimiter that gives rows of one length and most numbers."""
    best, word = 0.0, ""
    for name, separator in _SEPARATORS.items():
        rows = [row for row in _split(head, separator) if row]
        body = rows[1:] or rows
        if not body:
            continue
        width = Counter(map(len, body)).most_common(1)[0][0]
        if width < 2:
            continue
        even = sum(len(row) == width for row in rows) / len(rows)
        cells = [cell for row in body for cell in row if cell]
        numbers = max(sum(_number(cell, comma) for cell in cells)
                      for comma in (False, separator != ","))  # fmt: skip
        score = even + numbers / max(1, len(cells))
        if score > best + 1e-9:
            best, word = score, name
    if not word:
        raise DataError(f"{who}: expected at least two columns (features and a target), got one; "
                        "columns are told apart by , ; | tab or space")  # fmt: skip
    return word


def _cells(text: str, separator: str) -> int:
    if separator == r"\s+":
        return (
            len(text) // 2 if len(text) > 2**24 else sum(len(x.split()) for x in text.split("\n"))
        )
    return text.count(separator) + text.count("\n") + 1


def _names(
    who: str, rows: Sequence[list[str]], width: int, comments: Sequence[str], separator: str,
    choices: Choices,
) -> tuple[list[str], bool]:  # fmt: skip
    """The columns' names, if there are any, and whether they are the first row."""
    first, body = rows[0], rows[1:]
    if choices.header == "no":
        return [], False
    if comments and choices.header is None:
        row = next(_split([comments[-1]], separator), [])
        if len(row) == width and not all(map(_number, row)):
            return row, False
    comma = separator != ","
    columns = [[row[j] for row in body if j < len(row)] for j in range(width)]
    if len(first) == width - 1 and body:
        # R names the rows and not their column; others end every row with a delimiter.
        first = [*first, ""] if not any(columns[-1]) else ["", *first]
    if len(first) != width:
        return [], False
    numeric = [
        any(column) and all(cell in _MISSING or _number(cell, comma) for cell in column)
        for column in columns
    ]
    whole = all(cell.lstrip("+-").isdigit() for column in columns for cell in column)
    if choices.header == "yes" or is_header(
        who, first, numeric, [set(column) for column in columns], whole, comma
    ):
        return first, True
    return [], False


def _skip_row(stream: io.StringIO, separator: str) -> None:
    """Move past the first row that is not blank."""
    if separator == r"\s+":
        while not (stream.readline()).strip():
            pass
        return
    for row in csv.reader(iter(stream.readline, ""), delimiter=separator):
        if any(cell.strip() for cell in row):
            return


def _parsed(
    who: str, stream: io.StringIO, separator: str, choices: Choices, skipped: bool
) -> tuple[pd.DataFrame | None, str]:
    """The rows from where the stream stands, with the decimal sign that makes more numbers."""
    at = stream.tell()
    point = "." if choices.decimal != "comma" else ","

    def read(decimal: str) -> pd.DataFrame:
        stream.seek(at)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            return pd.read_csv(
                stream, sep=separator, header=None, decimal=decimal, low_memory=False,
                skipinitialspace=True, na_values=["?"], index_col=None, **_EXACT,
            )  # fmt: skip

    try:
        frame = read(point)
        if choices.decimal is None and separator != ",":
            texts = _texts(frame)
            if texts and _texts(other := read(",")) < texts:
                return other, "comma"
    except pd.errors.EmptyDataError:
        return None, ""
    except pd.errors.ParserError as error:
        _require_even(who, stream.getvalue(), separator, 0, skipped)
        raise DataError(f"{who}: not a readable table: {printable(error, 120)}") from None
    except (ValueError, OverflowError, csv.Error) as error:
        raise DataError(f"{who}: not a readable table: {printable(error, 120)}") from None
    return frame, "comma" if point == "," else "point"


def _texts(frame: pd.DataFrame) -> int:
    return sum(not pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes)


def _require_even(who: str, text: str, separator: str, width: int, header: bool) -> None:
    """Name the first row with another number of cells than most."""
    rows = [row for row in _split(text.splitlines(), separator) if any(row)]
    lengths = np.array([len(row) for row in rows[header:]])
    usual = width or int(np.bincount(lengths).argmax())
    odd = np.flatnonzero(lengths != usual)
    if len(odd):
        raise DataError(f"{who}, row {odd[0] + 1}: expected {usual} columns, got "
                        f"{lengths[odd[0]]}")  # fmt: skip
