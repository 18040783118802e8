"""A run's rows from step to step: operation by operation, or by machine code."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.chunks import TimeChunk
from theorylab.engine.clock import watched_clock
from theorylab.engine.native.kernel import Kernel, Steps, advance, compiled
from theorylab.engine.step import eager_step
from theorylab.engine.streams import alone
from theorylab.method.rule import Drawn, State, UpdateRule, map_state, tables
from theorylab.problem.objective import Objective

__all__ = ["CompiledWalk", "EagerWalk", "Walk"]

_FEW = 256  # rows that cost about as much as one
_LOOK = 16  # steps between looks whether the last one changed anything


class Walk(abc.ABC):
    """The iterates ``w`` and the state of some rows, on their way through chunks of steps.

    Parameters
    ----------
    objective : Objective
    rule : UpdateRule
    w : Tensor, shape (R, d)
        Where they start; not to be used elsewhere.
    state : NamedTuple
    weights : Tensor, optional
        The sampler's.

    Attributes
    ----------
    still : bool
        Whether no further step changes a bit of the iterates or the state.
    """

    still = False

    def __init__(
        self, objective: Objective, rule: UpdateRule, w: Tensor, state: State,
        weights: Tensor | None,
    ) -> None:  # fmt: skip
        self.objective, self.rule, self.weights = objective, rule, weights
        self.w, self.state = w, state
        self._step = 0

    def enter(self, chunk: TimeChunk) -> None:
        """Stand before the first step of the next chunk."""
        self._step = 0
        if len(chunk.ticks) and not self.still:
            self._prepare(chunk)

    def to(self, stop: int) -> None:
        """Take the chunk's steps before step ``stop``."""
        if stop > self._step and not self.still:
            self._take(self._step, stop)
        self._step = max(stop, self._step)

    def places(self, rows: np.ndarray | None) -> np.ndarray | None:
        """Where in ``w`` some of the rows are; ``None`` stands for all of them."""
        return rows

    @abc.abstractmethod
    def _prepare(self, chunk: TimeChunk) -> None: ...

    @abc.abstractmethod
    def _take(self, first: int, stop: int) -> None: ...


@final
class EagerWalk(Walk):
    """The step as torch runs it; rows whose last round is over drop out of it."""

    _samples: Sequence[Tensor]
    _draws: Sequence[Drawn]
    _lagged: Sequence[Tensor] = ()
    _ends: np.ndarray | None = None
    _left: Tensor | None = None  # the rows that still move, if not all
    _alike = False  # whether the chunk's steps differ in nothing but their index

    def __init__(
        self, objective: Objective, rule: UpdateRule, w: Tensor, state: State,
        weights: Tensor | None,
    ) -> None:  # fmt: skip
        super().__init__(objective, rule, w, state, weights)
        self._once = eager_step(objective, rule, weights)

    def places(self, rows: np.ndarray | None) -> np.ndarray | None:
        if self._left is None or rows is None:
            return rows
        return np.searchsorted(self._left.numpy(), rows)

    def _prepare(self, chunk: TimeChunk) -> None:
        samples = chunk.samples
        # Draws that hold nothing, as of exact gradients, are all the same.
        alike = [samples[0]] * len(samples) if samples.numel() == 0 else samples.unbind(0)
        self._samples, self._draws = alike, chunk.draws()
        self._ends = None if tables(self.rule) else chunk.ends
        begins = chunk.restarts
        self._alike = samples.numel() == 0 and not chunk.own and (
            not isinstance(begins, Tensor) and all(begins)
        )  # fmt: skip

    def _take(self, first: int, stop: int) -> None:
        self._drop(first)
        step, lags = self._once, self.rule.lags
        w, state, lagged = self.w, self.state, self._lagged
        before = w
        for k in range(first, stop):
            sample, draw = self._samples[k], self._draws[k]
            if self._left is not None:
                sample, draw = sample.index_select(0, self._left), _of_rows(draw, self._left)
            lagged, before = [sample, *lagged][:lags], w
            w, state = step(w, lagged, state, draw)
        self.w, self.state, self._lagged = w, state, lagged
        looks = self._alike and first // _LOOK < stop // _LOOK
        self.still = looks and _same(before, w) and self._stands(draw)

    def _stands(self, draw: Drawn) -> bool:
        """Whether a step changes nothing, and would not at any other time."""
        clock, reads = watched_clock()
        w, state = self._once(self.w, self._lagged, self.state, draw._replace(t=clock(draw.t)))
        return _same((self.w, *self.state), (w, *state)) and not reads

    def _drop(self, k: int) -> None:
        """Leave behind the rows that end at step ``k``, once they are half of all."""
        if self._ends is None or len(self.w) <= _FEW:
            return
        stay = (self._ends if self._left is None else self._ends[self._left.numpy()]) > k
        if 2 * np.count_nonzero(stay) > len(stay):
            return
        kept, count = torch.from_numpy(np.flatnonzero(stay)), len(stay)

        def cut(x: Any) -> Any:
            rows = isinstance(x, Tensor) and x.ndim and len(x) == count
            return x.index_select(0, kept) if rows else x

        self.w, self.state = cut(self.w), map_state(cut, self.state)
        self._lagged = [cut(batch) for batch in self._lagged]
        self._left = kept if self._left is None else self._left[kept]


def _same(old: Any, new: Any) -> bool:
    """Whether they are the same bits, so that an overflow is itself and -0 is not 0."""
    if isinstance(old, tuple):
        return len(old) == len(new) and all(map(_same, old, new))
    if isinstance(old, Tensor):
        return old.numpy().tobytes() == new.numpy().tobytes()
    return bool(old == new)


def _of_rows(draw: Drawn, rows: Tensor) -> Drawn:
    """What some of the rows are given."""
    restart = draw.restart
    if isinstance(restart, Tensor):
        restart = restart.index_select(0, rows)
    return Drawn(draw.t, restart, {k: x.index_select(0, rows) for k, x in draw.own.items()})


@final
class CompiledWalk(Walk):
    """Machine code, in place; a step that begins a round may be other code than one that does not.

    Raises
    ------
    UsageError
        On the first steps, if they cannot be compiled.
    """

    _steps: Steps
    _last: Tensor | None = None  # the mini-batches that lags refer to

    def __init__(
        self, objective: Objective, rule: UpdateRule, w: Tensor, state: State,
        weights: Tensor | None,
    ) -> None:  # fmt: skip
        super().__init__(objective, rule, w, state, weights)
        self._made: dict[bool | None, Kernel] = {}
        self._held = state

    def _prepare(self, chunk: TimeChunk) -> None:
        samples, lags = chunk.samples, self.rule.lags
        if lags > 1:
            before = samples[:1].expand(lags - 1, *samples.shape[1:])
            with alone():
                samples = torch.cat([before if self._last is None else self._last, samples])
            self._last = samples[len(samples) - lags + 1 :]
        self._steps = Steps(samples, chunk.ticks, chunk.restarts, chunk.own, self.weights)

    def _take(self, first: int, stop: int) -> None:
        stretches: list[tuple[Kernel, int, int]] = []
        while first < stop:
            end, begins = self._steps.alike(first, stop)
            kernel = self._made.get(begins)
            if kernel is None:
                self._through(stretches)
                stretches = []
                sample, draw = self._steps.at(first)
                kernel, self._held = compiled(self.objective, self.rule, self.w, sample,
                                              self.state, draw, self.weights)  # fmt: skip
                self._made[begins] = kernel
            stretches.append((kernel, first, end))
            first = end
        self._through(stretches)

    def _through(self, stretches: Sequence[tuple[Kernel, int, int]]) -> None:
        """Take the steps in one go."""
        if stretches:
            advance(stretches, self.rule, self.w, self._held, self._steps)
            self.state = stretches[-1][0].shown(self._held)
