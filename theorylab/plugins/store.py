"""The one results store, and the one parallel map that fills it.

A cell is a JSON table of all that determines a result. Each finished cell is kept in a file
named by its hash, written to a temporary file and renamed, so a run that was stopped anywhere
goes on with what is missing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed

from theorylab.errors import UsageError
from theorylab.plugins.code import code_of
from theorylab.progress import bar

__all__ = ["Cell", "Store", "compute", "read_json", "writable", "write_json"]

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


def compute(
    function: Callable[[Any], Any],
    cells: Sequence[Cell],
    store: Store,
    *,
    jobs: int = 1,
    label: str = "checking",
    budget: float | None = None,
    progress: bool | None = None,
) -> list[Any | None]:
    """``function(cell)`` for every cell, from the store where it is finished, in cell order.

    A stored result counts as long as the code behind it is the same (:func:`.code.code_of`).

    Parameters
    ----------
    function : callable
        Maps a cell to a JSON-ready result; importable by name, so that workers find it. It may
        depend on the cell alone: results are the same bits for any number of jobs.
    cells : sequence of mapping
    store : Store
    jobs : int
        Worker processes.
    budget : float, optional
        Seconds after which no new cell is started; those left are ``None``.

    Raises
    ------
    UsageError
        If ``jobs`` is not positive.
    """
    if jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {jobs}")
    codes = [code_of(function, cell) for cell in cells]
    results: list[Any | None] = [
        store.get(cell, code) for cell, code in zip(cells, codes, strict=True)
    ]
    missing = [i for i, result in enumerate(results) if result is None]
    if damaged := [i for i in missing if store.path(cells[i], codes[i]).exists()]:
        said = f"{len(damaged)} damaged results in {store.root / 'cells'} are computed again"
        print(said, file=sys.stderr)
    deadline = None if budget is None else time.monotonic() + budget
    with bar(progress) as display:
        task = display.add_task(label, total=len(cells), completed=len(cells) - len(missing))
        for i, result in _completed(function, cells, missing, jobs, deadline):
            store.put(cells[i], result, codes[i])
            results[i] = result
            display.advance(task)
    return results


def _completed(
    function: Callable[[Any], Any],
    cells: Sequence[Cell],
    missing: Sequence[int],
    jobs: int,
    deadline: float | None,
) -> Iterator[tuple[int, Any]]:
    def in_time() -> Iterator[int]:
        for i in missing:
            if deadline is None or time.monotonic() < deadline:
                yield i

    if jobs == 1 or len(missing) <= 1:
        for i in in_time():
            yield _one(function, i, cells[i])
        return
    parallel = Parallel(n_jobs=min(jobs, len(missing)), return_as="generator_unordered",
                        pre_dispatch="2*n_jobs", batch_size=1)  # fmt: skip
    yield from parallel(delayed(_one)(function, i, cells[i]) for i in in_time())


def _one(function: Callable[[Any], Any], index: int, cell: Cell) -> tuple[int, Any]:
    # One thread everywhere: several processes beat several threads, and a sum's order (so its
    # bits) must not depend on how many workers there are.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return index, function(cell)
    finally:
        torch.set_num_threads(before)
