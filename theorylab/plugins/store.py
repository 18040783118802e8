"""The one results store; :mod:`theorylab.studies.compute` fills it.

A cell is a JSON table of all that determines a result. Each finished cell is kept in a file
named by its hash, written to a temporary file and renamed, so a run that was stopped anywhere
goes on with what is missing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from theorylab.errors import UsageError

__all__ = ["Cell", "Store", "read_json", "writable", "write_json"]

Cell = Mapping[str, Any]


class Store:
    """Finished cells under ``root/cells``.

    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp())
    >>> store.put({"x": 1}, {"y": 2})
    >>> store.get({"x": 1}), store.get({"x": 2})
    ({'y': 2}, None)
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        try:
            (self.root / "cells").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write results to {self.root}: {error.strerror}") from error

    def path(self, cell: Cell, code: str = "") -> Path:
        """Where the cell's result is kept: its hash covers the cell and the code behind it."""
        text = json.dumps({"cell": cell, "code": code}, sort_keys=True, allow_nan=False)
        return self.root / "cells" / (hashlib.sha256(text.encode()).hexdigest()[:32] + ".json")

    def get(self, cell: Cell, code: str = "") -> Any | None:
        """The result of a finished cell, or ``None``. A damaged file counts as missing."""
        try:
            return json.loads(self.path(cell, code).read_text())["result"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def put(self, cell: Cell, result: Any, code: str = "") -> None:
        """Keep the result of a cell."""
        write_json(self.path(cell, code), {"cell": cell, "code": code, "result": result})


def write_json(path: Path, table: Any) -> None:
    """Write JSON to a temporary file beside ``path`` and rename it: all or nothing.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    try:
        _write_json(path, table)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _write_json(path: Path, table: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w") as stream:
            json.dump(table, stream, indent=1, allow_nan=False)
            stream.write("\n")
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def writable(path: Path) -> Path:
    """``path``, if a file can be written there: asked before hours of work, not after.

    Raises
    ------
    UsageError
        If it cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def read_json(path: Path, command: str) -> Any:
    """The JSON that ``command`` wrote.

    Raises
    ------
    UsageError
        If the file is absent, unreadable or no JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"no results at {path}; run `{command}` first") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
