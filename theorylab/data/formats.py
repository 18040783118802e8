"""Formats other than text: arrays, svmlight, Parquet, Excel, ARFF; each read by its own library."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
import pandas as pd

from theorylab.data.content import Content, require_room
from theorylab.data.record import Choices, listed
from theorylab.data.table import Table, is_header
from theorylab.data.text import decoded, delimited
from theorylab.errors import DataError, printable

__all__ = ["KINDS", "tabular"]

_SVMLIGHT = r"[+-]?[\d.eE+-]+(,[\d.]+)*(\s+qid:\d+)?(\s+\d+:\S+)+\s*(#.*)?"
_SPARSE = {"format", "shape", "data"}


def tabular(content: Content, choices: Choices, limit: int) -> Table:
    """The content as a table, read by what its suffix or its first bytes say.

    Raises
    ------
    DataError
        If the format is not read, needs a package that is not installed, or the file is damaged.
    """
    if content.data.startswith(b"PAR1"):
        return _parquet(content, choices, limit)
    kind = KINDS.get(content.suffix)
    if kind is None:
        raise DataError(f"{content.name}: expected a file named {', '.join(_SHOWN)} (or one of "
                        "them packed, as .csv.gz), got "
                        f"{printable(content.suffix) or 'no suffix'}")  # fmt: skip
    return kind(content, choices, limit)


@contextmanager
def _damaged(who: str, what: str) -> Iterator[None]:
    """Whatever a library raises on a damaged file is one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{who}: expected data that fit in memory, got larger ones") from None
    except Exception as error:
        reason = printable(" ".join(str(error).split()), 100)
        raise DataError(f"{who}: expected {what}: {reason or type(error).__name__}") from None


def _require_package(who: str, what: str, package: str, extra: str) -> None:
    if find_spec(package) is None:
        raise DataError(f"{who}: {what} needs {package}: pip install 'theorylab[{extra}]'")


def _text(content: Content, choices: Choices, limit: int) -> Table:
    head = content.data[: 2**14].decode("utf-8", "replace").splitlines()
    lines = [line for line in head[:-1] or head if line.strip() and not line.startswith("#")][:50]
    if lines and pd.Series(lines, dtype=object).str.fullmatch(_SVMLIGHT).all():
        return _svmlight(content, choices, limit)
    if next((x for x in head if x.strip()), "").lower().startswith(("@relation", "%")):
        return _arff(content, choices, limit)
    return delimited(content, choices, limit)


def _svmlight(content: Content, choices: Choices, limit: int) -> Table:
    from sklearn.datasets import load_svmlight_file  # slow to import, and seldom needed

    with _damaged(content.name, "an svmlight file"):
        X, y = load_svmlight_file(io.BytesIO(content.data), zero_based=True)
        rows, columns = X.shape
        require_room(content.name, 8 * rows * columns, limit, "the table, 0s written out,")
        base = int(X.indices.min()) if X.nnz else 0
        dense = X.toarray()[:, min(base, 1) :]
    return Table(
        pd.DataFrame(dense), "svmlight", ("",) * dense.shape[1], False, pd.Series(y),
        said=(f"indices from {min(base, 1)}",),
    )  # fmt: skip


def _npz(content: Content, choices: Choices, limit: int) -> Table:
    who = content.name
    with _damaged(who, "an .npz archive of plain numbers (nothing pickled)"):
        if content.data.startswith(b"\x93NUMPY"):
            raise DataError(f"{who}: expected an .npz archive, got a single array; "
                            "save it by np.savez(path, X=..., y=...)")  # fmt: skip
        with zipfile.ZipFile(io.BytesIO(content.data)) as archive:
            sizes = {
                entry.filename.removesuffix(".npy"): _declared(archive, entry)
                for entry in archive.infolist()
            }
        if set(sizes) >= _SPARSE and "X" not in sizes:
            require_room(who, sum(sizes.values()), limit, "what is packed in it")
            return _sparse(content, limit)
        for key in ("X", "y"):
            if key not in sizes:
                raise DataError(f"{who}: expected the keys X and y, got "
                                f"{listed(sizes) or 'nothing'}")  # fmt: skip
        require_room(who, sizes["X"] + sizes["y"], limit, "what is packed in it")
        arrays: dict[str, np.ndarray] = {}
        with np.load(io.BytesIO(content.data), allow_pickle=False) as held:
            for key, rank, kinds in (("X", 2, "fiub"), ("y", 1, "fiubUS")):
                array = held[key]
                if not isinstance(array, np.ndarray):
                    raise DataError(f"{who}, {key}: expected an array, got other bytes")
                if key == "y" and array.ndim == 2 and array.shape[1] == 1:
                    array = array[:, 0]
                if array.dtype.kind not in kinds:
                    raise DataError(f"{who}, {key}: expected numbers, got dtype {array.dtype}")
                if array.ndim != rank:
                    raise DataError(f"{who}, {key}: expected {rank} dimension{'s' * (rank > 1)}, "
                                    f"got shape {array.shape}")  # fmt: skip
                arrays[key] = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        X, y = arrays["X"], arrays["y"]
        if len(X) != len(y):
            raise DataError(f"{who}: expected as many rows in X as in y, got {len(X)} and {len(y)}")
        require_room(who, 8 * X.size, limit, "X")
    return Table(pd.DataFrame(X), "NPZ", ("",) * X.shape[1], False, pd.Series(y))


def _declared(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """The bytes that a member says it takes, by the archive's list and by its own header."""
    try:
        with archive.open(entry) as stream:
            version = np.lib.format.read_magic(stream)
            header = {(1, 0): np.lib.format.read_array_header_1_0,
                      (2, 0): np.lib.format.read_array_header_2_0}[version]  # fmt: skip
            shape, _, dtype = header(stream)
    except (ValueError, KeyError, EOFError):  # no array; it is refused if it is asked for
        return entry.file_size
    size = dtype.itemsize
    for length in shape:
        size *= int(length)
    return max(entry.file_size, abs(size))


def _sparse(content: Content, limit: int) -> Table:
    from scipy.sparse import load_npz

    matrix = load_npz(io.BytesIO(content.data))
    rows, columns = matrix.shape
    require_room(content.name, 8 * rows * columns, limit, "the table, 0s written out,")
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)  # indices that point outside
    matrix = matrix.tocsr()
    matrix.check_format(full_check=True)
    return Table(pd.DataFrame(matrix.toarray()), "sparse NPZ", ("",) * columns, False)


def _parquet(content: Content, choices: Choices, limit: int) -> Table:
    _require_package(content.name, "Parquet", "pyarrow", "parquet")
    with _damaged(content.name, "a Parquet file"):
        from pyarrow import BufferReader
        from pyarrow.parquet import ParquetFile

        about = ParquetFile(BufferReader(content.data)).metadata
        packed = sum(about.row_group(k).total_byte_size for k in range(about.num_row_groups))
        size = max(packed, 8 * about.num_rows * about.num_columns)
        require_room(content.name, size, limit, "the table")
        return from_frame(pd.read_parquet(io.BytesIO(content.data), engine="pyarrow"), "Parquet")


def from_frame(frame: pd.DataFrame, form: str) -> Table:
    """A pandas frame as a table; an index that is more than a count is set aside."""
    index = ""
    if not isinstance(frame.index, pd.RangeIndex):
        index = printable(next((n for n in frame.index.names if n is not None), "of the frame"))
    names = tuple(
        " ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in frame.columns
    )
    plain = frame.reset_index(drop=True)
    plain.columns = pd.RangeIndex(plain.shape[1])
    return Table(plain, form, names, True, index=index)


_SHEET, _RATIO = 2**24, 200  # bytes of XML that may be packed more densely than any table is


def _excel(content: Content, choices: Choices, limit: int) -> Table:
    who = content.name
    engine, package = {".xls": ("xlrd", "xlrd"), ".ods": ("odf", "odf")}.get(
        content.suffix, ("openpyxl", "openpyxl")
    )
    _require_package(who, "Excel" if engine != "odf" else "OpenDocument", package, "excel")
    with _damaged(who, "a workbook"):
        if content.data.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content.data)) as archive:
                entries = archive.infolist()
            require_room(who, sum(entry.file_size for entry in entries), limit,
                         "what is packed in it")  # fmt: skip
            if any(e.file_size > max(_SHEET, _RATIO * e.compress_size) for e in entries):
                raise DataError(f"{who}: expected a workbook, got one that unpacks over "
                                f"{_RATIO}-fold; save it as CSV")  # fmt: skip
        with pd.ExcelFile(io.BytesIO(content.data), engine=engine) as book:
            frame = book.parse(book.sheet_names[0], header=None, dtype=object)
            sheets = [str(name) for name in book.sheet_names]
        frame = frame.dropna(how="all").reset_index(drop=True)
        if not len(frame):
            raise DataError(f"{who}: expected rows of numbers, got an empty sheet")
        require_room(who, 8 * frame.size, limit, "the table")
        first = ["" if pd.isna(cell) else str(cell) for cell in frame.iloc[0]]
        body = frame.iloc[1:].reset_index(drop=True).infer_objects()
        numeric = [pd.api.types.is_numeric_dtype(kind) for kind in body.dtypes]
        values = [set(map(str, body[j].dropna())) for j in body]
        whole = all(pd.api.types.is_integer_dtype(kind) for kind in body.dtypes)
        said = (f"first of {len(sheets)} sheets ({printable(sheets[0])})",) * (len(sheets) > 1)
        named = choices.header == "yes" or (
            choices.header is None and is_header(who, first, numeric, values, whole)
        )
        names = tuple(first) if named else ("",) * len(first)
        return Table(body if named else frame.infer_objects(), "Excel", names, named, said=said)


def _arff(content: Content, choices: Choices, limit: int) -> Table:
    from scipy.io import arff

    text = decoded(content)
    require_room(content.name, 8 * (text.count(",") + text.count("\n")), limit, "the table")
    with _damaged(content.name, "a dense ARFF file"):
        rows, about = arff.loadarff(io.StringIO(text))
        columns = {
            j: pd.Series(rows[name]).map(_nominal) if rows[name].dtype.kind == "S" else rows[name]
            for j, name in enumerate(about.names())
        }
        if not columns:
            raise DataError(f"{content.name}: expected an ARFF file with attributes, got none")
        return Table(pd.DataFrame(columns), "ARFF", tuple(about.names()), True)


def _nominal(value: bytes) -> str | None:
    text = value.decode()
    return None if text == "?" else text


_Kind = Callable[[Content, Choices, int], Table]
KINDS: Mapping[str, _Kind] = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt", ".dat", ".data"), _text),
    **dict.fromkeys((".svm", ".svmlight", ".libsvm"), _svmlight),
    ".npz": _npz,
    **dict.fromkeys((".parquet", ".pq"), _parquet),
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods"), _excel),
    ".arff": _arff,
}
_SHOWN = (".csv", ".tsv", ".txt", ".svm", ".npz", ".parquet", ".xlsx", ".arff")
