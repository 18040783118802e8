"""The one results store; :mod:`theorylab.studies.compute` fills it.

A cell is a JSON table of all that determines a result. Each finished cell is kept in a file
named by its hash, written to a temporary file, flushed and renamed, so a run that was stopped
anywhere goes on with what is missing. The file holds the cell itself and a checksum of its bytes:
what is damaged, or another cell's, is set aside and computed again.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from theorylab.errors import UsageError
from theorylab.plugins.files import clear_leftovers, set_aside, writable, write_text
from theorylab.plugins.sealed import Damaged, read_bytes
from theorylab.regular import regular_text

__all__ = [
    "Cell", "Damaged", "Kept", "Store", "read_cell", "read_json", "writable", "write_json",
]  # fmt: skip

Cell = Mapping[str, Any]
_SEAL = ',\n"sha256": "'
_END = '"\n}\n'


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
    body, seal, end = read_bytes(path).rpartition(_SEAL.encode())
    if not seal:
        raise Damaged("it has no checksum")
    if end != f"{hashlib.sha256(body).hexdigest()}{_END}".encode():
        raise Damaged("its checksum does not fit")
    try:
        table = json.loads(body + b"}")
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

    def finished(self, cells: Sequence[Cell], codes: Sequence[str]) -> list[Any | None]:
        """Each cell's result, or ``None``. Damaged files are set aside; one line on stderr."""
        results: list[Any | None] = []
        damaged: dict[str, list[Path]] = {}
        for cell, code in zip(cells, codes, strict=True):
            path = self.path(cell, code)
            try:
                results.append(read_cell(path).result)
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

    def put(self, cell: Cell, result: Any, code: str = "") -> None:
        """Keep the result of a cell.

        Raises
        ------
        UsageError
            If it cannot be written.
        """
        table = {"cell": cell, "code": code, "result": result}
        body = json.dumps(table, indent=1, allow_nan=False)[:-2]  # without its closing brace
        checksum = hashlib.sha256(body.encode()).hexdigest()
        write_text(self.path(cell, code), f"{body}{_SEAL}{checksum}{_END}")


def write_json(path: Path, table: Any) -> None:
    """Write JSON to a temporary file beside ``path`` and rename it: all or nothing.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    write_text(path, json.dumps(table, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, command: str) -> Any:
    """The JSON that ``command`` wrote.

    Raises
    ------
    UsageError
        If the file is absent, unreadable or no JSON.
    """
    try:
        return json.loads(regular_text(path))
    except FileNotFoundError:
        raise UsageError(f"no results at {path}; run `{command}` first") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
