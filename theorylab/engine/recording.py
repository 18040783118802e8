"""What a run records: quantities of the iterate, of the method's output and of its state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.recorders import Recorder, recorders
from theorylab.errors import UsageError
from theorylab.method.rule import State, UpdateRule, entries, norm
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch

__all__ = ["Record", "Recording", "check_names", "known_names", "name_of", "recorded"]

Record = str | Recorder
"""By name, or a recorder itself: one that is bound, or that nobody registered."""
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
class Recording:
    """Snapshots of a run's rows on the way, from which the quantities are computed at its end.

    Parameters
    ----------
    objective, rule
    records : sequence of str or Recorder
        What to record.
    count, size : int
        Records of each row, and rows.
    """

    def __init__(
        self, objective: Objective, rule: UpdateRule, records: Sequence[Record], count: int,
        size: int,
    ) -> None:  # fmt: skip
        self.objective, self.rule, self.records = objective, rule, tuple(records)
        self.count, self.size = count, size
        like, rows = objective.start, count * size
        self._numbers = {
            record: torch.zeros(rows, dtype=like.dtype) for record in records if _at_once(record)
        }
        self._points: dict[str, Tensor] = {}
        for prefix in (_OUTPUT, ""):
            if any(self._prefix(r) == prefix for r in records if not _at_once(r)):
                self._points[prefix] = torch.zeros(rows, objective.dim, dtype=like.dtype)

    @staticmethod
    def _prefix(record: Record) -> str:
        return _OUTPUT if name_of(record).startswith(_OUTPUT) else ""

    def take(self, where: np.ndarray, w: Tensor, state: State) -> None:
        """Store the present of ``where`` (flat indices, record * size + row)."""
        flat = torch.from_numpy(where)
        picked = flat % self.size
        for prefix, points in self._points.items():
            now = self.rule.output(w, state) if prefix else w
            points.index_copy_(0, flat, now.index_select(0, picked))
        for record, numbers in self._numbers.items():
            values = recorded(record, self.objective, self.rule, w, state)
            numbers.index_copy_(0, flat, values.index_select(0, picked))

    def quantities(self, real: int) -> dict[str, np.ndarray]:
        """The quantities of the first ``real`` rows by name, each ``(m, real)``; points add d."""
        found: dict[str, np.ndarray] = {}
        for record in self.records:
            name = name_of(record)
            if record in self._numbers:
                found[name] = self._numbers[record].view(self.count, self.size)[:, :real].numpy()
                continue
            points = self._points[self._prefix(record)].view(self.count, self.size, -1)[:, :real]
            recorder = _recorder(record)
            found[name] = np.stack([recorder(self.objective, rows).numpy() for rows in points])
        return found


def _at_once(record: Record) -> bool:
    """Whether it is computed during the run, of what will not be kept."""
    name = name_of(record)
    if name.startswith(_OUTPUT):
        return False
    return name.startswith(_STATE) or _recorder(record).whole
