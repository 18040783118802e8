"""The one results store; :mod:`theorylab.studies.compute` fills it.

A cell is a JSON table of all that determines a result. Each finished cell is kept in a file
named by its hash, written to a temporary file, flushed and renamed, so a run that was stopped
anywhere goes on with what is missing. The file holds the cell itself and a checksum of its bytes:
what is damaged, or another cell's, is set aside and computed again.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from theorylab.errors import UsageError, printable
from theorylab.plugins.files import (
    at_work,
    clear_leftovers,
    left_at_work,
    set_aside,
    writable,
    write_text,
)
from theorylab.plugins.sealed import Damaged, read_bytes
from theorylab.regular import regular_bytes

__all__ = [
    "Cell", "Damaged", "Kept", "Store", "read_cell", "read_json", "sealed_table", "writable",
    "write_json", "write_sealed",
]  # fmt: skip

Cell = Mapping[str, Any]
_SEAL = ',\n"sha256": "'
_END = '"\n}\n'
_ODD = re.compile(rb"\\u|[^\x00-\x7e]|\\[bf]")  # what may be no printable text once it is read
_LARGEST = 2**28  # bytes of results that are read


@final
@dataclass(frozen=True)
class Kept:
    """A finished cell as its file holds it.

    Attributes
    ----------
    cell : mapping
    code : str
        The digest of the code that made the result (:func:`.code.code_of`).
    result
        JSON-ready.
    """

    cell: Cell
    code: str
    result: Any

    @property
    def name(self) -> str:
        """The name of its file, which covers the cell and the code."""
        return _name(self.cell, self.code)


def _name(cell: Cell, code: str) -> str:
    # As JSON gives the cell back: keys that are numbers are strings, and sorted as such.
    plain = json.loads(json.dumps({"cell": cell, "code": code}, allow_nan=False))
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32] + ".json"


def read_cell(path: Path) -> Kept:
    """A finished cell out of its file, every byte of which the checksum covers.

    Raises
    ------
    Damaged
        If the file is cut off, altered, not a cell, or another cell's than its name says.
    FileNotFoundError
        If there is none.
    """
    try:
        table, sealed = sealed_table(read_bytes(path))
        if not sealed:
            raise Damaged("it has no checksum")
        found = Kept(table["cell"], table["code"], table["result"])
        name = found.name
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Damaged("it is no finished cell") from None
    if name != path.name:
        raise Damaged("it holds another cell")
    return found


class Store:
    """Finished cells under ``root/cells``.

    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp())
    >>> store.put({"x": 1}, {"y": 2})
    >>> store.get({"x": 1}), store.get({"x": 2})
    ({'y': 2}, None)
    """

    def __init__(self, root: Path | str) -> None:
        if str(root) == "":
            raise UsageError("--out: a folder is required, got an empty name")
        self.root = Path(root)
        try:
            (self.root / "cells").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write results to {self.root}: {error.strerror}") from error
        clear_leftovers(self.root / "cells")

    def path(self, cell: Cell, code: str = "") -> Path:
        """Where the cell's result is kept: its hash covers the cell and the code behind it."""
        return self.root / "cells" / _name(cell, code)

    def get(self, cell: Cell, code: str = "") -> Any | None:
        """The result of a finished cell, or ``None``; what is damaged is set aside, with a line."""
        return self.finished([cell], [code])[0]

    def finished(
        self,
        cells: Sequence[Cell],
        codes: Sequence[str],
        reads: Callable[[Any], object] | None = None,
    ) -> list[Any | None]:
        """Each cell's result, or ``None``. Damaged files are set aside; one line on stderr.

        ``reads`` makes a record of a result: what it refuses is no result of this program, however
        well its checksum fits.
        """
        results: list[Any | None] = []
        damaged: dict[str, list[Path]] = {}
        for cell, code in zip(cells, codes, strict=True):
            path = self.path(cell, code)
            try:
                result = read_cell(path).result
                if reads is not None:
                    _checked(reads, cell, result)
                results.append(result)
            except FileNotFoundError:
                results.append(None)
            except Damaged as reason:
                damaged.setdefault(str(reason), []).append(set_aside(path))
                results.append(None)
        if damaged:
            every = [path for paths in damaged.values() for path in paths]
            why = "; ".join(f"{len(paths)}: {reason}" for reason, paths in damaged.items())
            print(f"{len(every)} damaged results in {self.root / 'cells'} are set aside, as "
                  f"{every[0].name}, and computed again ({why})", file=sys.stderr)  # fmt: skip
        return results

    def at_work(self, cell: Cell, code: str = "") -> AbstractContextManager[None]:
        """While the block runs, the store says that this cell is being computed here."""
        return at_work(self.path(cell, code))

    def killed(self, cells: Sequence[Cell], codes: Sequence[str]) -> frozenset[int]:
        """Which of the cells were being computed when their process was killed; said once.

        >>> import tempfile
        >>> Store(tempfile.mkdtemp()).killed([{"x": 1}], [""])
        frozenset()
        """
        left = left_at_work(self.root / "cells")
        if not left:
            return frozenset()
        names = [self.path(cell, code).name for cell, code in zip(cells, codes, strict=True)]
        for name in left.keys() & set(names):
            with suppress(OSError):
                left[name].unlink()
        return frozenset(i for i, name in enumerate(names) if name in left)

    def put(self, cell: Cell, result: Any, code: str = "") -> None:
        """Keep the result of a cell.

        Raises
        ------
        UsageError
            If it cannot be written.
        """
        write_sealed(self.path(cell, code), {"cell": cell, "code": code, "result": result})


def _checked(reads: Callable[[Any], object], cell: Cell, result: Any) -> None:
    try:
        reads(result)
        # Of which statement, form or rule it is, the cell has said already.
        for name in cell.keys() & (result.keys() if isinstance(result, Mapping) else set()):
            if isinstance(cell[name], str) and result[name] != cell[name]:
                raise ValueError(f"{name} is {cell[name]!r}, got {result[name]!r}")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"it is no such result: {printable(error, 80)}") from None


def write_json(path: Path, table: Any) -> None:
    """Write JSON to a temporary file beside ``path`` and rename it: all or nothing.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    write_text(path, json.dumps(table, indent=1, allow_nan=False) + "\n")


def write_sealed(path: Path, table: Mapping[str, Any]) -> None:
    """:func:`write_json` with a last entry, ``sha256``: the checksum of all bytes before it.

    It tells what was damaged or edited, not what somebody sealed anew.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    body = json.dumps(table, indent=1, allow_nan=False)[:-2]  # without its closing brace
    write_text(path, f"{body}{_SEAL}{hashlib.sha256(body.encode()).hexdigest()}{_END}")


def sealed_table(data: bytes) -> tuple[Any, bool]:
    """The JSON in a file's bytes, and whether it carries a checksum, which then fits.

    Raises
    ------
    Damaged
        If the checksum does not fit: an entry ``sha256`` at the end of other bytes.
    ValueError, RecursionError
        If it is no JSON.

    Examples
    --------
    >>> sealed_table(b'{"x": 1}')
    ({'x': 1}, False)
    """
    body, seal, end = data.rpartition(_SEAL.encode())
    if seal and end == f"{hashlib.sha256(body).hexdigest()}{_END}".encode():
        return json.loads(body + b"}"), True
    table = None if seal else json.loads(data)
    if seal or (isinstance(table, Mapping) and "sha256" in table):
        raise Damaged("its checksum does not fit")
    return table, False


def _escaped(value: Any) -> Any:
    """The same with no character in its text that a terminal would obey."""
    if isinstance(value, str):
        return value if value.isprintable() else "".join(
            c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in value
        )  # fmt: skip
    if isinstance(value, Mapping):
        return {_escaped(k): _escaped(v) for k, v in value.items()}
    return [_escaped(v) for v in value] if isinstance(value, list) else value


def read_json(path: Path, command: str) -> Any:
    """The JSON that ``command`` wrote.

    Results without a checksum, of an older version or of somebody's own making, are read, and a
    line on stderr says so. Control characters in its text are escaped, as it ends on terminals and
    pages.

    Raises
    ------
    UsageError
        If the file is absent, unreadable, larger than 256 MiB or no JSON, or its checksum does not
        fit.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise Damaged("it is larger than the 256 MiB that are read")
        data = regular_bytes(path)
        table, sealed = sealed_table(data)
        if not sealed and isinstance(table, Mapping) and "provenance" in table:
            print(f"{printable(path, 500)} carries no checksum: nothing tells whether it was "
                  "edited", file=sys.stderr)  # fmt: skip
        return _escaped(table) if _ODD.search(data) else table
    except Damaged as error:
        raise UsageError(f"{path} is damaged, or was edited ({error}); run `{command}` again "
                         "for results to rely on") from None  # fmt: skip
    except FileNotFoundError:
        raise UsageError(f"no results at {path}; run `{command}` first") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
