"""The one parallel map: a function over cells, through the store, on any backend."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, final

from theorylab.errors import UsageError
from theorylab.plugins.code import code_of
from theorylab.plugins.store import Cell, Store
from theorylab.progress import bar
from theorylab.studies.planning import Trial, planner
from theorylab.studies.scale import Scale
from theorylab.studies.workers import Failure, Task, spread

__all__ = ["Computed", "Lost", "compute", "title"]

_NAMED = 5


@final
@dataclass(frozen=True)
class Lost:
    """A cell that has no result because it failed.

    Attributes
    ----------
    cell : str
        Its name, for people.
    reason : str
        The error, in a line.
    """

    cell: str
    reason: str


@final
@dataclass(frozen=True)
class Computed(Sequence[Any]):
    """A result for each cell, ``None`` where there is none.

    Attributes
    ----------
    results : tuple
    failed : mapping of int to Lost
        By place, the cells that failed; the others without a result were not begun.
    """

    results: tuple[Any | None, ...]
    failed: Mapping[int, Lost] = field(default_factory=dict)

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def why(self, index: int) -> str:
        """Why there is no result at this place."""
        lost = self.failed.get(index)
        return "the budget ran out" if lost is None else f"it failed: {lost.reason}"

    @property
    def lost(self) -> tuple[Lost, ...]:
        """The cells that failed."""
        return tuple(self.failed.values())


def compute(
    function: Callable[[Any], Any],
    cells: Sequence[Cell],
    store: Store,
    *,
    jobs: int | Scale = 1,
    label: str = "checking",
    budget: float | None = None,
    progress: bool | None = None,
    trial: Trial | None = None,
    reads: Callable[[Any], object] | None = None,
) -> Computed:
    """``function(cell)`` for every cell, from the store where it is finished, in cell order.

    A stored result counts as long as the code behind it is the same (:func:`.code.code_of`). A
    cell that raises, or whose worker dies twice, is named on stderr and has no result; the others
    go on. One at which this process itself was killed is named, and tried last, by the next run.

    Parameters
    ----------
    function : callable
        Maps a cell to a JSON-ready result; importable by name, so that workers find it. It may
        depend on the cell alone: results are the same bits wherever it runs.
    cells : sequence of mapping
    store : Store
    jobs : int or Scale
        Worker processes; or workers elsewhere.
    budget : float, optional
        Seconds after which no new cell is started; those left are ``None``.
    trial : callable, optional
        Estimates the seconds of a cell, for a plan (:mod:`theorylab.studies.planning`) of cells
        that take too long to be run for that.
    reads : callable, optional
        Makes a record of a result. A stored one that it refuses is damaged: set aside, and
        computed again.

    Raises
    ------
    UsageError
        If ``jobs`` is not positive, the backend cannot be used, or every cell fails by the same
        mistake in what was asked for.

    Examples
    --------
    >>> import tempfile
    >>> def halve(cell):
    ...     return 1 / cell["x"]
    >>> found = compute(halve, [{"x": 2}, {"x": 4}], Store(tempfile.mkdtemp()), progress=False)
    >>> list(found), found.lost
    ([0.5, 0.25], ())
    """
    scale = Scale.of(jobs)
    codes = [code_of(function, cell) for cell in cells]
    results = store.finished(cells, codes, reads)
    missing = [i for i, result in enumerate(results) if result is None]
    if (asked := planner()) is not None:
        asked.add(label, [title(cell) for cell in cells], cells,
                  [result is not None for result in results],
                  run=partial(_one, function, store, scale), trial=trial,
                  workers=scale.jobs)  # fmt: skip
        return Computed(tuple(results))
    missing = _killed_last(missing, cells, codes, store)
    deadline = None if budget is None else time.monotonic() + budget

    def in_time() -> Iterator[int]:
        for i in missing:
            if deadline is None or time.monotonic() < deadline:
                yield i

    if scale.backend == "local":
        scale = replace(scale, jobs=min(scale.jobs, max(1, len(missing))))
    task = Task(function, cells, codes, scale.share())
    failed: dict[int, Failure] = {}
    with bar(progress) as display:
        shown = display.add_task(label, total=len(cells), completed=len(cells) - len(missing))
        for i, result in spread(task, in_time(), scale, store):
            if isinstance(result, Failure):
                failed[i] = result
            else:
                if scale.backend != "slurm":  # there a job keeps what it finds
                    store.put(cells[i], result, codes[i])
                results[i] = result
            display.advance(shown)
    _tell(failed, cells, results)
    lost = {i: Lost(title(cells[i]), failed[i].reason) for i in sorted(failed)}
    return Computed(tuple(results), lost)


def _killed_last(
    missing: Sequence[int], cells: Sequence[Cell], codes: Sequence[str], store: Store
) -> list[int]:
    """What is to do; a cell at which an earlier run was killed is named, and comes last."""
    last = {missing[k] for k in store.killed([cells[i] for i in missing],
                                             [codes[i] for i in missing])}  # fmt: skip
    for i in sorted(last):
        print(f"{title(cells[i])} was being computed when a run was killed (by hand, or out of "
              "memory); it is tried last", file=sys.stderr)  # fmt: skip
    return [*(i for i in missing if i not in last), *sorted(last)]


def _one(function: Callable[[Any], Any], store: Store, scale: Scale, cell: Cell) -> None:
    """One cell, here and now; one that fails is left to be named by the run itself."""
    code = code_of(function, cell)
    task = Task(function, [cell], [code], scale.share())
    for _, result in spread(task, iter([0]), Scale(), store):
        if not isinstance(result, Failure):
            store.put(cell, result, code)


def _tell(
    failed: Mapping[int, Failure], cells: Sequence[Cell], results: Sequence[Any | None]
) -> None:
    """Name what failed; one mistake that every cell shares is the command's."""
    kinds = {(failure.reason, failure.usage) for failure in failed.values()}
    if len(kinds) == 1 and all(result is None for result in results):
        reason, usage = next(iter(kinds))
        if usage:
            raise UsageError(reason)
    for i in sorted(failed)[:_NAMED]:
        print(f"failed: {title(cells[i])}: {failed[i].reason}", file=sys.stderr)
    if len(failed) > _NAMED:
        print(f"failed: {len(failed) - _NAMED} more, each named in the JSON", file=sys.stderr)


def title(cell: Cell) -> str:
    """A cell's name, for people.

    >>> title({"kind": "check", "key": "sngm.lemma_2", "form": "printed", "seed": 0,
    ...        "objective": {"family": "quadratic", "parameters": {"dim": 2}}})
    'check sngm.lemma_2 printed on quadratic(dim=2), seed 0'
    """
    settings = cell.get("settings")
    table = {**cell, **settings} if isinstance(settings, Mapping) else cell
    parts = [str(table[name]) for name in _SHOWN if isinstance(table.get(name), str)]
    parts += [f"{name}={table[name]:g}" for name in _NUMBERS
              if isinstance(table.get(name), int | float)]  # fmt: skip
    objective = table.get("objective")
    if isinstance(objective, Mapping):
        given = ", ".join(f"{k}={v}" for k, v in (objective.get("parameters") or {}).items())
        parts.append(f"on {objective.get('family')}" + (f"({given})" if given else ""))
    text = " ".join(parts) or "a cell"
    return text if table.get("seed") is None else f"{text}, seed {table['seed']}"


_SHOWN = ("kind", "key", "form", "rule", "axis", "model", "optimizer")
_NUMBERS = ("x", "n", "T", "c", "theta", "batch_size", "lr")
