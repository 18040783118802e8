"""Where a run without randomness comes to rest: its rounds no longer change a bit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

import numpy as np
from torch import Tensor

from theorylab.engine.clock import watched_clock
from theorylab.engine.step import Step
from theorylab.method.rule import Drawn, State

__all__ = ["Rest"]

_LOOK = 16  # steps between looks


@final
class Rest:
    """Looks whether a round ends where it began, and would at any other time.

    Later rounds of as many steps then end there too, whatever they do on their way.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._clock, self._reads = watched_clock()
        self._begun: tuple[int, Tensor, State] | None = None  # the last round
        self._due: float = _LOOK
        self._length, self._into = 1, 0  # of the round; how far into it the run is

    def reached(
        self, k: int, w: Tensor, state: State, lagged: Sequence[Tensor], draw: Drawn
    ) -> bool:  # fmt: skip
        """Whether the run is at rest before its step ``k``, which begins a round."""
        begun, self._begun = self._begun, (k, w, state)
        if begun is None or k < self._due:
            return False
        self._due = k + _LOOK
        if not _same(begun[1:], (w, state)):
            return False
        self._length, self._into = k - begun[0], 0
        now = w, state
        for j in range(self._length):
            now = self._step(
                now[0], lagged, now[1], draw._replace(t=self._clock(draw.t), restart=j == 0)
            )
        if self._reads:
            self._due = math.inf
        return not self._reads and _same(now, (w, state))

    def lasts(self, begins: Sequence[bool] | None) -> bool:
        """Whether the next steps begin rounds of the same length; their number is noted."""
        if begins is None:
            return False
        into = (np.arange(len(begins) + 1) + self._into) % self._length
        if not np.array_equal(begins, into[:-1] == 0):
            return False
        self._into = int(into[-1])
        return True

    def resumed(
        self, w: Tensor, state: State, lagged: Sequence[Tensor], draw: Drawn
    ) -> tuple[Tensor, State]:  # fmt: skip
        """Where the run is on its way through the round."""
        for j in range(self._into):
            w, state = self._step(w, lagged, state, draw._replace(restart=j == 0))
        return w, state


def _same(old: Any, new: Any) -> bool:
    """Whether they are the same bits, so that an overflow is itself and -0 is not 0."""
    if isinstance(old, tuple):
        return len(old) == len(new) and all(map(_same, old, new))
    if isinstance(old, Tensor):
        return old is new or old.numpy().tobytes() == new.numpy().tobytes()
    return bool(old == new)
