"""``Report``: what a study returns, as a table, a web page, LaTeX, or a file."""

from __future__ import annotations

import abc
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theorylab.errors import UsageError
from theorylab.plugins.files import keep_beside, write_text
from theorylab.plugins.provenance import run_of
from theorylab.plugins.store import write_sealed
from theorylab.regular import regular_bytes

if TYPE_CHECKING:
    import pandas as pd

    from theorylab.studies.compute import Lost

__all__ = ["Report"]

# What a report says of its settings, beside its command: from a notebook all commands are one.
_SETTINGS = ("settings", "plan", "axis", "objective", "fixed", "parameters")

# By number where both cells are numbers, else by text; again the other way round.
_SORT = (
    "const h=this,i=h.cellIndex,b=h.closest('table').tBodies[0],s=h.dataset.up=h.dataset.up=="
    "'1'?'':'1',c=r=>r.cells[i].innerText;[...b.rows].sort((p,q)=>{const x=c(p),y=c(q),d=x-y;"
    "return (isNaN(d)?x.localeCompare(y):d)*(s?1:-1)}).forEach(r=>b.append(r))"
)


class Report(abc.ABC):
    """The outcome of a study: frozen records that show themselves.

    A study's report is a frozen dataclass derived from this one. One that runs cells keeps as
    ``lost`` those that failed: the rest of it speaks of the others alone.
    """

    lost: tuple[Lost, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        # Before ``dataclass`` looks: its own repr of a report is hundreds of lines.
        super().__init_subclass__(**options)
        if "__repr__" not in vars(cls):
            cls.__repr__ = Report.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        frame = self.to_pandas()
        told = f"{len(frame)} row" + ("s" if len(frame) != 1 else "")
        return f"<{type(self).__name__}: {told} of {', '.join(map(str, frame.columns))}>"

    @abc.abstractmethod
    def to_pandas(self) -> pd.DataFrame:
        """One row a record."""

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """All of it, JSON-ready, with ``schema`` and ``provenance``."""

    def _repr_html_(self) -> str:
        """The table; a click on a column's head sorts by it."""
        table = str(self.to_pandas().to_html(index=False))
        return table.replace("<th>", f'<th style="cursor:pointer" onclick="{_SORT}">')

    def to_latex(self) -> str:
        """The table as LaTeX (``booktabs``)."""
        return str(self.to_pandas().to_latex(index=False, escape=True))

    def save(self, path: Path | str) -> Path:
        """Write it as ``.json``, ``.csv``, ``.tex`` or ``.html``, by the name's ending.

        Raises
        ------
        UsageError
            If the ending is another, or the file cannot be written.
        """
        target = Path(path)
        if target.suffix == ".json":
            write_sealed(target, self.to_json())
            return target
        texts = {
            ".csv": lambda: self.to_pandas().to_csv(index=False),
            ".tex": self.to_latex, ".html": self._repr_html_,
        }  # fmt: skip
        if target.suffix not in texts:
            raise UsageError(f"a report is saved as .json, {', '.join(texts)}; got {target.name}")
        write_text(target, str(texts[target.suffix]()))
        return target

    def keep(self, path: Path | str, *others: Path) -> Path:
        """:meth:`save` as JSON; another run's results that lie there stay, beside them.

        Another run is one of another command, settings, seed or data; its results get a name of
        their own, such as ``results-1f0c3a9b.json``, and so do ``others`` that go with them.

        Raises
        ------
        UsageError
            If a file cannot be written.
        """
        target, table = Path(path), self.to_json()
        _make_room(table, target, *others)
        write_sealed(target, table)
        return target

    def make_room(self, path: Path, *others: Path) -> None:
        """Give another run's results at ``path``, and what goes with them, a name of their own.

        Raises
        ------
        UsageError
            If a file cannot be renamed.
        """
        _make_room(self.to_json(), path, *others)


def _make_room(table: Any, path: Path, *others: Path) -> None:
    if path.is_file() and _run(_read(path)) != _run(json.loads(json.dumps(table))):
        keep_beside(path, *others)


def _read(path: Path) -> Any:
    try:
        return json.loads(regular_bytes(path))
    except (OSError, ValueError, RecursionError):
        return None


def _run(table: Any) -> Any:
    """What names the run that made a report."""
    made = table.get("provenance") if isinstance(table, Mapping) else None
    if not isinstance(made, Mapping):
        return None
    return run_of(made) + [table.get(name) for name in _SETTINGS]
