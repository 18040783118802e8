"""The one parallel map: a function over cells, through the store."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from joblib import Parallel, delayed

from theorylab.errors import UsageError
from theorylab.plugins.code import code_of
from theorylab.plugins.store import Cell, Store
from theorylab.progress import bar

__all__ = ["compute"]


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
