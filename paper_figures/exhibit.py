"""``Exhibit``: one figure or table of a paper, in two halves: compute, and draw from the data."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import pandas as pd
from matplotlib.figure import Figure

from paper_figures.session import Session
from paper_figures.style import Style
from theorylab.errors import UsageError
from theorylab.plugins.files import write_text
from theorylab.regular import regular

__all__ = ["FINAL", "Exhibit", "Place", "Refused", "read_csv", "write_csv"]

_LONGEST = 1_000_000  # bytes of a first line

FINAL = "final"
"""Statistics of a run's test accuracy: ``final``, ``last tenth`` (mean), ``maximum``; any other
name is a column of the data."""


@final
@dataclass(frozen=True)
class Refused:
    """A figure that was asked for and could not be drawn, and why."""

    key: str
    reason: str


@final
@dataclass(frozen=True)
class Place:
    """A cell of a printed table, and what of which run belongs there.

    Attributes
    ----------
    row, column : str
        The printed labels.
    run : (row, column)
        Labels of the run in the data.
    statistic : str
        ``final``, ``last tenth``, ``maximum``, or a column of the data.
    minus : (row, column), optional
        The run whose statistic is subtracted (for a printed improvement).
    """

    row: str
    column: str
    run: tuple[str, str]
    statistic: str = FINAL
    minus: tuple[str, str] | None = None


@final
@dataclass(frozen=True)
class Exhibit:
    """One exhibit.

    Attributes
    ----------
    key : str
        Such as ``sngm.table_2``.
    title : str
        What it shows.
    number : str
        ``Table 2``, as the paper has it.
    compute : callable
        ``compute(session) -> DataFrame``, tidy.
    draw : callable
        ``draw(data, style) -> Figure``, from the data alone.
    places : callable, optional
        For a printed table: ``places(data) -> sequence of Place``.
    data : str
        The paper's data set.
    statistic : str
        By which control arms are compared; see :data:`FINAL`.
    supports : str
        What the exhibit can and cannot support, in a sentence.
    tables : callable, optional
        For tables that are not numbers: ``tables(data) -> LaTeX``.
    """

    key: str
    title: str
    number: str
    compute: Callable[[Session], pd.DataFrame]
    draw: Callable[[pd.DataFrame, Style], Figure]
    places: Callable[[pd.DataFrame], Sequence[Place]] | None = None
    data: str = "cifar10"
    statistic: str = FINAL
    supports: str = ""
    tables: Callable[[pd.DataFrame], str] | None = None

    @property
    def paper(self) -> str:
        return self.key.split(".")[0]

    @property
    def table(self) -> str:
        return self.key.split(".")[1]


def write_csv(path: Path, data: pd.DataFrame, provenance: Mapping[str, Any]) -> Path:
    """The data as CSV; its first line is a comment with the provenance as JSON.

    ``sha256`` in it is that of all that follows: it tells what was edited.
    """
    text = data.to_csv(index=False, lineterminator="\n")
    made = {**provenance, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    write_text(path, f"# {json.dumps(made, sort_keys=True)}\n{text}")
    return path


def read_csv(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """What :func:`write_csv` wrote: the data, and its provenance.

    Raises
    ------
    UsageError
        If the file is absent, something else, or was edited; one without a checksum, of an older
        version, is read as it is.
    """
    try:
        with regular(path) as stream:
            head = stream.readline(_LONGEST).decode()
            if not head.startswith("# {"):
                raise ValueError("its first line is no provenance")
            body = stream.read()
            made = json.loads(head[2:])
            if made.pop("sha256", digest := hashlib.sha256(body).hexdigest()) != digest:
                raise ValueError("it is damaged, or was edited: its checksum does not fit")
            labels = {"row": str, "column": str, "arm": str, "scale": str, "notes": str}
            data = pd.read_csv(io.BytesIO(body), dtype=labels, keep_default_na=True)
        for name in labels:
            if name in data:
                data[name] = data[name].fillna("")
        return data, made
    except FileNotFoundError:
        raise UsageError(f"no data at {path}; run `theorylab figure` first") from None
    except (ValueError, OSError, RecursionError) as error:
        raise UsageError(f"{path} is not what `theorylab figure` writes: {error}") from error
