"""What a run records: quantities of the iterate, of the method's output and of its state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.recorders import recorders
from theorylab.errors import UsageError
from theorylab.method.rule import State, UpdateRule, entries, norm
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch

__all__ = ["Recording", "check_names", "known_names", "recorded"]

_OUTPUT, _STATE = "output.", "state."


def known_names(objective: Objective, rule: UpdateRule) -> list[str]:
    """All that can be recorded of the rule's runs."""
    state = rule.init(objective.start.unsqueeze(0), MiniBatch(objective))
    return [
        *recorders(), *(_OUTPUT + name for name, r in recorders().items() if not r.whole),
        *(_STATE + name for name in entries(state)),
    ]  # fmt: skip


def check_names(objective: Objective, rule: UpdateRule, record: Sequence[str]) -> None:
    """Refuse a name that cannot be recorded.

    Raises
    ------
    UsageError
        Naming those that can.
    """
    known = known_names(objective, rule)
    for name in record:
        if name not in known:
            raise UsageError(f"run: cannot record {name!r}; known: {', '.join(known)}")


def recorded(
    name: str, objective: Objective, rule: UpdateRule, w: Tensor, state: State
) -> Tensor:  # fmt: skip
    """One recorded quantity at the iterates ``w``, shape ``(R,)``, or ``(R, d)`` for points."""
    if name.startswith(_STATE):
        return _norms(state, name.removeprefix(_STATE), w)
    if name.startswith(_OUTPUT):
        return recorders()[name.removeprefix(_OUTPUT)](objective, rule.output(w, state))
    recorder = recorders()[name]
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
    names : sequence of str
        What to record.
    count, size : int
        Records of each row, and rows.
    """

    def __init__(
        self, objective: Objective, rule: UpdateRule, names: Sequence[str], count: int, size: int
    ) -> None:
        self.objective, self.rule, self.names = objective, rule, tuple(names)
        self.count, self.size = count, size
        like, rows = objective.start, count * size
        self._numbers = {
            name: torch.zeros(rows, dtype=like.dtype) for name in names if _at_once(name)
        }
        self._points: dict[str, Tensor] = {}
        for prefix in (_OUTPUT, ""):
            if any(self._prefix(name) == prefix for name in names if not _at_once(name)):
                self._points[prefix] = torch.zeros(rows, objective.dim, dtype=like.dtype)

    @staticmethod
    def _prefix(name: str) -> str:
        return _OUTPUT if name.startswith(_OUTPUT) else ""

    def take(self, where: np.ndarray, w: Tensor, state: State) -> None:
        """Store the present of ``where`` (flat indices, record * size + row)."""
        flat = torch.from_numpy(where)
        picked = flat % self.size
        for prefix, points in self._points.items():
            now = self.rule.output(w, state) if prefix else w
            points.index_copy_(0, flat, now.index_select(0, picked))
        for name, numbers in self._numbers.items():
            values = recorded(name, self.objective, self.rule, w, state)
            numbers.index_copy_(0, flat, values.index_select(0, picked))

    def quantities(self, real: int) -> dict[str, np.ndarray]:
        """The quantities of the first ``real`` rows by name, each ``(m, real)``; points add d."""
        found: dict[str, np.ndarray] = {}
        for name in self.names:
            if name in self._numbers:
                found[name] = self._numbers[name].view(self.count, self.size)[:, :real].numpy()
                continue
            prefix = self._prefix(name)
            points = self._points[prefix].view(self.count, self.size, -1)[:, :real]
            recorder = recorders()[name.removeprefix(prefix)]
            found[name] = np.stack([recorder(self.objective, rows).numpy() for rows in points])
        return found


def _at_once(name: str) -> bool:
    """Whether it is computed during the run, of what will not be kept."""
    return name.startswith(_STATE) or (not name.startswith(_OUTPUT) and recorders()[name].whole)
