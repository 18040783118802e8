"""The one reader: a file, a frame or a bundled data set in, numbers and a record out."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from theorylab.data.content import LIMIT, content
from theorylab.data.record import BUNDLED, Choices, Dataset, by_name
from theorylab.errors import DataError, printable

__all__ = ["bundled_dataset", "load"]


def bundled_dataset(name: str, positive: str | None = None) -> Dataset:
    """One of scikit-learn's bundled data sets (no download), its target as scikit-learn gives it.

    Parameters
    ----------
    name : str
    positive : str, optional
        The label that becomes +1, every other one -1.

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
    from theorylab.data.assembly import bundled  # pandas takes a while to import

    return bundled(name, positive)


@by_name
def load(
    source: str | Path | Any,
    *,
    choices: Choices,
    digest: str | None = None,
    limit: int = LIMIT,
) -> Dataset:
    """Read a table: CSV, TSV, svmlight, NPZ, Parquet, Excel, ARFF, or a pandas or polars frame.

    Files may be packed (gz, bz2, xz, zip of one file). What is not said is decided from the data
    and kept in the data set's ``reading``; where it cannot be decided, one line says what to
    say. Nothing is ever unpickled, and nothing larger than ``limit`` is made.

    Parameters
    ----------
    source : str, Path or frame
    target, header, index, delimiter, decimal, text, impute, positive, labels
        See :class:`theorylab.data.Choices`.
    digest : str, optional
        The SHA-256 that the file must have, in hex.
    limit : int
        Bytes that file and table may take; 512 MiB.

    Raises
    ------
    DataError
        Naming the file, the row and column or the key, what was required and what came.
    UsageError
        If a choice is unknown.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"a": [1.0, 2.0, 3.5], "kind": ["no", "yes", "no"]})
    >>> data = load(frame, target="kind")
    >>> data.y.tolist(), data.reading.classes
    ([-1.0, 1.0, -1.0], (('no', -1.0), ('yes', 1.0)))
    """
    from theorylab.data.assembly import dataset, frame_table  # pandas takes a while to import
    from theorylab.data.formats import tabular

    if isinstance(source, str | Path):
        _require_known(source)
        held = content(source, limit)
        if digest is not None and digest != held.sha256:
            raise DataError(f"{held.name}: the file changed while the command ran (its SHA-256 was "
                            f"{digest[:12]}, now {held.sha256[:12]}); run it again")  # fmt: skip
        table = tabular(held, choices, limit)
        name = Path(source).name
        return dataset(held.name, held.stem, table, choices, limit, held.sha256, name)
    return dataset("the frame", "frame", frame_table(source), choices, limit, "", "frame")


def _require_known(source: str | Path) -> None:
    if not Path(source).exists():
        close = difflib.get_close_matches(str(source), BUNDLED)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise DataError(f"{printable(source, 500)}: no such file{hint}")
