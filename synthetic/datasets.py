"""Data sets: scikit-learn's bundled ones, and a user's CSV or NPZ file."""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from theorylab.errors import DataError

__all__ = ["BUNDLED", "Dataset", "bundled_dataset", "load"]

BUNDLED = ("breast_cancer", "digits", "diabetes")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A table of numbers and a target.

    Parameters
    ----------
    name : str
    X : ndarray, shape (n, d)
    y : ndarray, shape (n,)
    """

    name: str
    X: np.ndarray
    y: np.ndarray

    def standardised(self) -> Dataset:
        """Columns and target with mean 0 and variance 1; constant columns become 0.

        >>> Dataset("toy", np.array([[1.0], [3.0]]), np.array([0.0, 2.0])).standardised().y
        array([-1.,  1.])
        """

        def standard(x: np.ndarray) -> np.ndarray:
            x = _unit(x)
            centred = x - x.mean(0)
            flat = _flat(x)
            return np.where(flat, 0.0, centred / np.where(flat, 1.0, centred.std(0)))

        return Dataset(self.name, standard(self.X), standard(self.y))

    def signs(self) -> np.ndarray:
        """The target as +1 (above its mean) or -1: its two values, where it has two."""
        return np.where(self.y > self.y.mean(), 1.0, -1.0)


def _unit(x: np.ndarray) -> np.ndarray:
    """Each column over a power of two of its size: exact, and no square over- or underflows."""
    return np.ldexp(x, -np.frexp(np.abs(x).max(0))[1])


def _flat(unit: np.ndarray) -> np.ndarray:
    """Which columns vary by no more than rounding of their largest entry."""
    return unit.std(0) <= 1e-12 * np.abs(unit).max(0)


def bundled_dataset(name: str) -> Dataset:
    """One of scikit-learn's bundled data sets (no download).

    Raises
    ------
    DataError
        If there is none of that name.

    Examples
    --------
    >>> bundled_dataset("diabetes").X.shape
    (442, 10)
    """
    if name not in BUNDLED:
        raise DataError(f"no bundled data set {name!r}; known: {', '.join(BUNDLED)}")
    from sklearn import datasets as bundled  # slow to import, and seldom needed

    X, y = getattr(bundled, f"load_{name}")(return_X_y=True)
    return Dataset(name, np.asarray(X, float), np.asarray(y, float))


def load(path: str | Path) -> Dataset:
    """Read a CSV (comma-separated numbers, the last column the target) or an NPZ (``X``, ``y``).

    A CSV's first line may name the columns. Nothing is ever unpickled.

    Raises
    ------
    DataError
        Naming the file, the line and column or the key, what was required and what came.
    """
    path = Path(path)
    if not path.exists():
        close = difflib.get_close_matches(str(path), BUNDLED)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise DataError(f"{path}: no such file{hint}")
    if not path.is_file():
        raise DataError(f"{path}: expected a file, got a directory")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".npz"):
        raise DataError(f"{path}: expected a .csv or .npz file, got {suffix or 'no suffix'}")
    try:
        return _csv(path) if suffix == ".csv" else _npz(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _number(text: str) -> float | None:
    # float() also takes "1_000", which no other program would read as a number.
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _csv(path: Path) -> Dataset:
    table: list[list[float]] = []
    names: list[str] | None = None
    width = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                line = reader.line_num
                if not width:
                    width = len(cells)
                    if width < 2:
                        raise DataError(f"{path}, line {line}: expected at least two columns "
                                        "(features, then the target), got one")  # fmt: skip
                    if all(_number(cell) is None for cell in cells):
                        names = [cell.strip() for cell in cells]
                        continue
                if len(cells) != width:
                    raise DataError(
                        f"{path}, line {line}: expected {width} columns, got {len(cells)}"
                    )
                table.append(_row(path, line, cells, names))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, got byte {error.object[error.start]:#04x} "
                        f"at position {error.start}") from None  # fmt: skip
    except csv.Error as error:
        raise DataError(f"{path}: not a readable CSV file: {error}") from None
    if not table:
        raise DataError(f"{path}: expected rows of numbers, got "
                        + ("a header line alone" if names else "an empty file"))  # fmt: skip
    array = np.array(table)
    return _checked(path, array[:, :-1], array[:, -1])


def _row(path: Path, line: int, cells: list[str], names: list[str] | None) -> list[float]:
    row = []
    for column, cell in enumerate(cells, 1):
        where = f"{path}, line {line}, column {column}"
        where += f" ({names[column - 1]})" if names and names[column - 1] else ""
        value = _number(cell)
        if value is None:
            got = f"the text {cell.strip()[:40]!r}" if cell.strip() else "nothing"
            raise DataError(f"{where}: expected a number, got {got}")
        if not np.isfinite(value):
            raise DataError(f"{where}: expected a finite number, got {cell.strip()}")
        row.append(value)
    return row


def _npz(path: Path) -> Dataset:
    arrays: dict[str, np.ndarray] = {}
    try:
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: expected an .npz archive, got a single array")
            with archive:
                for key in ("X", "y"):
                    if key not in archive.files:
                        names = ", ".join(archive.files) or "nothing"
                        raise DataError(f"{path}: expected the keys X and y, got {names}")
                    held = archive[key]
                    if not isinstance(held, np.ndarray):
                        raise DataError(f"{path}, {key}: expected an array, got other bytes")
                    arrays[key] = held
    except (DataError, OSError):
        raise
    except MemoryError:
        raise DataError(f"{path}: expected arrays that fit in memory, got larger ones") from None
    except Exception:  # a damaged archive raises what zipfile, zlib or a parser happens to
        raise DataError(f"{path}: expected an .npz archive of plain numbers (nothing pickled), "
                        "got something else") from None  # fmt: skip
    for key, rank in (("X", 2), ("y", 1)):
        array = arrays[key]
        if array.dtype.kind not in "fiub":
            raise DataError(f"{path}, {key}: expected numbers, got dtype {array.dtype}")
        if array.ndim != rank:
            raise DataError(f"{path}, {key}: expected {rank} dimension{'s' * (rank > 1)}, "
                            f"got shape {array.shape}")  # fmt: skip
    X, y = (arrays[key].astype(float) for key in ("X", "y"))
    if len(X) != len(y):
        raise DataError(f"{path}: expected as many rows in X as in y, got {len(X)} and {len(y)}")
    for key, array in (("X", X), ("y", y)):
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            where = ", ".join(str(int(i)) for i in bad[0])
            raise DataError(f"{path}, {key}[{where}]: expected a finite number, "
                            f"got {array[tuple(bad[0])]}")  # fmt: skip
    return _checked(path, X, y)


def _checked(path: Path, X: np.ndarray, y: np.ndarray) -> Dataset:
    if X.shape[1] < 1:
        raise DataError(f"{path}: expected at least one feature column, got none")
    if len(y) < 2:
        raise DataError(f"{path}: expected at least two rows, got {len(y)}")
    if _flat(_unit(y)):
        raise DataError(f"{path}: expected a target that varies, got {y[0]:g} in every row")
    with np.errstate(over="ignore"):
        spread = X.std(0)
        if not (np.isfinite(spread).all() and np.isfinite(y.std())):
            raise DataError(f"{path}: expected numbers whose squares are finite, got larger ones")
    if _flat(_unit(X)).all():
        raise DataError(f"{path}: expected at least one feature column that varies, got none")
    return Dataset(path.stem, X, y)
