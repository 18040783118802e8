"""What a run records: quantities of the iterate, of the method's output and of its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.recorders import Passes, Recorder, recorders
from theorylab.errors import UsageError
from theorylab.method.rule import State, UpdateRule, entries, norm
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch

__all__ = [
    "Record", "Recording", "Reduce", "Tables", "check_names", "known_names", "name_of", "recorded",
]  # fmt: skip

Record = str | Recorder
"""By name, or a recorder itself: one that is bound, or that nobody registered."""
Reduce = Literal["mean", "sum", "min", "max"]
_OUTPUT, _STATE = "output.", "state."


def known_names(objective: Objective, rule: UpdateRule) -> list[str]:
    """All that can be recorded of the rule's runs."""
    state = rule.init(objective.start.unsqueeze(0), MiniBatch(objective))
    return [
        *recorders(), *(_OUTPUT + name for name, r in recorders().items() if not r.whole),
        *(_STATE + name for name in entries(state)),
    ]  # fmt: skip


def check_names(objective: Objective, rule: UpdateRule, record: Sequence[Record]) -> None:
    """Refuse what cannot be recorded.

    Raises
    ------
    UsageError
        Naming those that can.
    """
    known = known_names(objective, rule)
    for item in record:
        if name_of(item) not in known and not (isinstance(item, Recorder) and item.bound):
            raise UsageError(f"run: cannot record {name_of(item)!r}; known: {', '.join(known)}")
        lacking = set() if name_of(item).startswith(_STATE) else _lacking(item)
        if lacking:
            raise UsageError(f"run: {name_of(item)} needs {', '.join(sorted(lacking))}: give the "
                             "recorder bound to them")  # fmt: skip


def name_of(record: Record) -> str:
    """The name under which a record is found again."""
    return record if isinstance(record, str) else record.name


def _recorder(record: Record) -> Recorder:
    return recorders()[record.removeprefix(_OUTPUT)] if isinstance(record, str) else record


def _lacking(record: Record) -> set[str]:
    recorder = _recorder(record)
    return set(recorder.parameters) - set(dict(recorder.bound))


def recorded(
    record: Record, objective: Objective, rule: UpdateRule, w: Tensor, state: State
) -> Tensor:  # fmt: skip
    """One recorded quantity at the iterates ``w``, shape ``(R,)``, or ``(R, d)`` for points."""
    name = name_of(record)
    if name.startswith(_STATE):
        return _norms(state, name.removeprefix(_STATE), w)
    recorder = _recorder(record)
    if name.startswith(_OUTPUT):
        return recorder(objective, rule.output(w, state))
    return recorder(objective, w, state) if recorder.whole else recorder(objective, w)


def _norms(state: State, name: str, w: Tensor) -> Tensor:
    # An entry is one number where all rows agree.
    entry = torch.as_tensor(getattr(state, name), dtype=w.dtype)
    width = entry.shape[-1] if entry.ndim == 2 else 1
    if entry.ndim > 2:
        return norm(entry.flatten(1)).squeeze(-1)
    return norm(entry.expand(len(w), width)).squeeze(-1)


@final
class Tables:
    """Where what is recorded goes: whole, or reduced over time as it comes.

    Parameters
    ----------
    objective : Objective
    records : sequence of str or Recorder
    count, size : int
        Records of each row, and rows.
    reduce : "mean", "sum", "min" or "max", optional
        One number a row instead of ``count``.
    """

    def __init__(
        self, objective: Objective, records: Sequence[Record], count: int, size: int,
        reduce: Reduce | None,
    ) -> None:  # fmt: skip
        self.count, self.reduce = count, reduce
        dtype = objective.start[:0].numpy().dtype if reduce is None else np.dtype(float)
        self.found: dict[str, np.ndarray] = {}
        for record in records:
            width = (objective.dim,) if _is_points(record) else ()
            shape = (count if reduce is None else 1, size, *width)
            begin = {"min": np.inf, "max": -np.inf}.get(reduce or "", 0.0)
            self.found[name_of(record)] = np.full(shape, begin, dtype)

    @staticmethod
    def bytes(
        objective: Objective, records: Sequence[Record], count: int, size: int,
        reduce: Reduce | None,
    ) -> int:  # fmt: skip
        """What they take."""
        numbers = sum(objective.dim if _is_points(record) else 1 for record in records)
        width = objective.start.dtype.itemsize * count if reduce is None else 8
        return numbers * width * size

    def put(self, name: str, slot: int, rows: slice | np.ndarray, values: Tensor) -> None:
        """The numbers of some rows at record ``slot``."""
        table, numbers = self.found[name], values.numpy()
        if self.reduce is None:
            table[slot, rows] = numbers
        elif self.reduce in ("min", "max"):  # which keep a NaN
            extreme = np.minimum if self.reduce == "min" else np.maximum
            table[0, rows] = extreme(table[0, rows], numbers)
        else:
            with np.errstate(over="ignore", invalid="ignore"):  # a run may diverge
                table[0, rows] += numbers

    def finished(self) -> dict[str, np.ndarray]:
        """The quantities by name."""
        if self.reduce == "mean":
            for table in self.found.values():
                table /= self.count
        return self.found


@dataclass
class _Slot:
    """Points of one record that wait for those of other rows."""

    points: dict[str, Tensor]
    filled: np.ndarray


@final
class Recording:
    """Computes what is recorded of some rows of a run, record by record as they are complete.

    Rows come to a record at different steps. Their points wait, so that all are computed together,
    unless more wait than ``hold`` bytes: then the oldest are computed at once.

    Parameters
    ----------
    objective, rule
    records : sequence of str or Recorder
        What to record.
    tables : Tables
    rows : slice
        Which of their rows.
    hold : int
    """

    def __init__(
        self, objective: Objective, rule: UpdateRule, records: Sequence[Record], tables: Tables,
        rows: slice, hold: int,
    ) -> None:  # fmt: skip
        self.objective, self.rule, self.tables = objective, rule, tables
        self.first, self.size = rows.start, rows.stop - rows.start
        self._now = [record for record in records if _at_once(record)]
        self._later: dict[str, list[Record]] = {}
        for record in records:
            if not _at_once(record):
                prefix = _OUTPUT if name_of(record).startswith(_OUTPUT) else ""
                self._later.setdefault(prefix, []).append(record)
        one = max(1, len(self._later)) * self.size * objective.dim * objective.start.itemsize
        self._most = max(1, hold // one)
        self._waiting: dict[int, _Slot] = {}
        self._last: dict[Record, Tensor] = {}

    def take(
        self, slot: int, rows: np.ndarray | None, w: Tensor, state: State,
        places: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Record the present of ``rows`` (or of all) as ``slot``.

        They stand in ``w`` at ``places``, where other rows have dropped out of it.
        """
        places = rows if places is None else places
        points = {
            prefix: self.rule.output(w, state) if prefix else w for prefix in self._later
        }  # fmt: skip
        here = {prefix: Passes(self.objective, now) for prefix, now in points.items()}
        if self._now:
            of_w = here.get("") or Passes(self.objective, w)
            for record in self._now:
                values = self._present(record, of_w, state)
                if rows is not None:
                    values = values.index_select(0, torch.from_numpy(places))
                self._put(record, slot, rows, values)
        if rows is None or len(rows) == self.size:
            self._compute(slot, None, here)
        elif points:
            assert places is not None
            self._wait(slot, rows, places, points)

    def repeat(self, slot: int) -> None:
        """Record as ``slot`` what was last recorded of all rows at once."""
        for record, values in self._last.items():
            self._put(record, slot, None, values)

    def finish(self) -> None:
        """Compute what still waits."""
        while self._waiting:
            self._flush(next(iter(self._waiting)))

    def _present(self, record: Record, here: Passes, state: State) -> Tensor:
        name = name_of(record)
        if name.startswith(_STATE):
            return _norms(state, name.removeprefix(_STATE), here.w)
        return _recorder(record).at(here, state)

    def _wait(
        self, slot: int, rows: np.ndarray, places: np.ndarray, points: dict[str, Tensor]
    ) -> None:
        held = self._waiting.get(slot)
        if held is None:
            if len(self._waiting) >= self._most:
                self._flush(next(iter(self._waiting)))
            held = self._waiting[slot] = _Slot(
                {k: now.new_zeros(self.size, now.shape[-1]) for k, now in points.items()},
                np.zeros(self.size, dtype=bool),
            )
        where, here = torch.from_numpy(rows), torch.from_numpy(places)
        for prefix, now in points.items():
            held.points[prefix].index_copy_(0, where, now.index_select(0, here))
        held.filled[rows] = True
        if held.filled.all():
            self._flush(slot)

    def _flush(self, slot: int) -> None:
        held = self._waiting.pop(slot)
        rows = None if held.filled.all() else np.flatnonzero(held.filled)
        self._compute(slot, rows, {k: Passes(self.objective, w) for k, w in held.points.items()})

    def _compute(self, slot: int, rows: np.ndarray | None, here: dict[str, Passes]) -> None:
        """What is recorded at all the points, put down for ``rows``."""
        for prefix, records in self._later.items():
            for record in records:
                values = _recorder(record).at(here[prefix])
                if rows is not None:
                    values = values.index_select(0, torch.from_numpy(rows))
                self._put(record, slot, rows, values)

    def _put(self, record: Record, slot: int, rows: np.ndarray | None, values: Tensor) -> None:
        if rows is None:
            self._last[record] = values
        where = slice(self.first, self.first + self.size) if rows is None else self.first + rows
        self.tables.put(name_of(record), slot, where, values)


def _at_once(record: Record) -> bool:
    """Whether it is computed when it comes, of what will not be kept."""
    name = name_of(record)
    if name.startswith(_OUTPUT):
        return False
    return name.startswith(_STATE) or _recorder(record).whole


def _is_points(record: Record) -> bool:
    return name_of(record) in ("w", _OUTPUT + "w")
