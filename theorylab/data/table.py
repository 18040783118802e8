"""What every format gives: columns by position, their names, and the target if it stands apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import final

import pandas as pd

from theorylab.data.record import listed
from theorylab.errors import DataError, printable

__all__ = ["Table", "is_header"]

_FEW = 2


@final
@dataclass(frozen=True, eq=False)
class Table:
    """Columns as they came.

    Attributes
    ----------
    frame : DataFrame
        Columns numbered from 0.
    form : str
        The format's name.
    names : tuple of str
        The columns'; empty where one has none.
    named : bool
        Whether there was a header.
    target : Series, optional
        Where the format keeps it apart.
    index : str
        What the format itself set aside as names of rows.
    delimiter, decimal : str
        Of text.
    places : tuple of int
        Where the columns were, from 0, once some are left out.
    said : tuple of str
    """

    frame: pd.DataFrame
    form: str
    names: tuple[str, ...]
    named: bool
    target: pd.Series | None = None
    index: str = ""
    delimiter: str = ""
    decimal: str = ""
    places: tuple[int, ...] = ()
    said: tuple[str, ...] = ()

    def where(self, column: int) -> str:
        """A column as messages call it.

        >>> Table(pd.DataFrame([[1, 2]]), "CSV", ("a", ""), True).where(0)
        'column 1 (a)'
        """
        name = self.names[column]
        return f"{self._place(column)} ({printable(name)})" if name else self._place(column)

    def called(self, column: int) -> str:
        """A column's name, or its number where it has none."""
        return printable(self.names[column]) if self.names[column] else self._place(column)

    def _place(self, column: int) -> str:
        return f"column {(self.places[column] if self.places else column) + 1}"

    def without(self, column: int) -> Table:
        """The table without a column; the others keep their names and places."""
        kept = [k for k in range(self.frame.shape[1]) if k != column]
        frame = self.frame[kept].copy()
        frame.columns = pd.RangeIndex(len(kept))
        places = self.places or tuple(range(len(self.names)))
        return replace(self, frame=frame, names=tuple(self.names[k] for k in kept),
                       places=tuple(places[k] for k in kept))  # fmt: skip


def is_header(
    who: str,
    first: Sequence[str],
    numeric: Sequence[bool],
    values: Sequence[Collection[str]],
    whole: bool,
    comma: bool = False,
) -> bool:
    """Whether a first row names the columns.

    It does if it holds nothing but text, above numbers or repeated in no row, or 0, 1, 2, ...,
    which pandas writes above an array.

    Parameters
    ----------
    who : str
    first : sequence of str
    numeric : sequence of bool
        Which columns hold numbers alone below.
    values : sequence of collections
        What the columns hold below.
    whole : bool
        Whether all that is below is whole numbers.
    comma : bool
        Whether a number may have a decimal comma.

    Raises
    ------
    DataError
        If it may be either: ``0, 1`` above two columns of whole numbers, or text among other
        whole numbers, above numbers.

    Examples
    --------
    >>> is_header("x", ["a", "b"], [True, True], [{"1"}, {"2"}], True)
    True
    >>> is_header("x", ["0.5", "b"], [True, True], [{"1"}, {"2"}], False)
    False
    """

    def number(cell: str) -> bool:
        try:
            float(cell.replace(",", ".", 1) if comma else cell)
        except ValueError:
            return False
        return "_" not in cell

    cells = [cell.strip() for cell in first]
    if not any(values):
        return all(cell and not number(cell) for cell in cells)
    held = [(j, cell) for j, cell in enumerate(cells) if cell and number(cell)]
    counting = len(held) > 0 and (
        [cell for _, cell in held] == [str(k) for k in range(len(held))]
        and [j for j, _ in held] == list(range(held[0][0], held[0][0] + len(held)))
        and held[0][0] <= 1  # an index column may come first
    )
    texts = [j for j, cell in enumerate(cells) if cell and not number(cell)]
    above = any(numeric[j] for j in texts)
    new = all(cells[j] not in values[j] for j in texts)
    if not held:
        return above or (new and bool(texts))
    if counting and len(held) + len(texts) + (held[0][0] == 1) >= len(cells):
        # pandas writes 0, 1 above two columns: so might a sample of whole numbers begin.
        if texts or len(held) > _FEW or held[0][0] == 1 or not whole:
            return new
    elif not (above and new and all(cell.isdigit() for _, cell in held)):
        return False
    raise DataError(f"{who}: the first row ({listed(cells)}) may be a header or a sample; say "
                    "which: --set header=yes or --set header=no")  # fmt: skip
