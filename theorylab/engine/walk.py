"""A run's rows from step to step: operation by operation, or by machine code."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.chunks import TimeChunk
from theorylab.engine.native.kernel import Kernel, Steps, advance, compiled
from theorylab.engine.rest import Rest
from theorylab.engine.step import eager_step
from theorylab.method.rule import Drawn, State, UpdateRule, map_state, tables
from theorylab.problem.objective import Objective
from theorylab.threads import alone

__all__ = ["CompiledWalk", "EagerWalk", "Walk"]

_FEW = 256  # rows that cost about as much as one


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
    by_rounds : bool
        Whether nothing is recorded but at the ends of rounds.

    Attributes
    ----------
    still : bool
        Whether no further round changes a bit of the iterates or the state.
    """

    still = False

    def __init__(
        self, objective: Objective, rule: UpdateRule, w: Tensor, state: State,
        weights: Tensor | None, by_rounds: bool,
    ) -> None:  # fmt: skip
        self.by_rounds = by_rounds
        self.objective, self.rule, self.weights = objective, rule, weights
        self.w, self.state = w, state
        self._step = 0

    def enter(self, chunk: TimeChunk) -> None:
        """Stand before the first step of the next chunk."""
        self._step = 0
        if len(chunk.ticks):
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
    _begins: Sequence[bool] | None = None  # of steps without randomness, which begin a round
    _before = 0  # the chunk

    def __init__(
        self, objective: Objective, rule: UpdateRule, w: Tensor, state: State,
        weights: Tensor | None, by_rounds: bool,
    ) -> None:  # fmt: skip
        super().__init__(objective, rule, w, state, weights, by_rounds)
        self._draws = ()
        self._once = eager_step(objective, rule, weights)
        self._rest = Rest(self._once)

    def places(self, rows: np.ndarray | None) -> np.ndarray | None:
        if self._left is None or rows is None:
            return rows
        return np.searchsorted(self._left.numpy(), rows)

    def _prepare(self, chunk: TimeChunk) -> None:
        samples, begins = chunk.samples, chunk.restarts
        self._begins = None
        if samples.numel() == 0 and not chunk.own and not isinstance(begins, Tensor):
            self._begins = begins if self.by_rounds or all(begins) else None
        if self.still and self._rest.lasts(self._begins):
            return
        # Draws that hold nothing, as of exact gradients, are all the same.
        alike = [samples[0]] * len(samples) if samples.numel() == 0 else samples.unbind(0)
        self._before += len(self._draws)
        self._samples, self._draws = alike, chunk.draws()
        self._ends = None if tables(self.rule) else chunk.ends
        if self.still:
            self.w, self.state = self._rest.resumed(self.w, self.state, alike[:1], self._draws[0])
            self.still = False

    def _take(self, first: int, stop: int) -> None:
        self._drop(first)
        step, lags, begins = self._once, self.rule.lags, self._begins
        w, state, lagged = self.w, self.state, self._lagged
        for k in range(first, stop):
            sample, draw = self._samples[k], self._draws[k]
            if self._left is not None:
                sample, draw = sample.index_select(0, self._left), _of_rows(draw, self._left)
            lagged = [sample, *lagged][:lags]
            if (
                begins is not None and begins[k]
                and self._rest.reached(self._before + k, w, state, lagged, draw)
                and self._rest.lasts(begins[k:])
            ):  # fmt: skip
                self.still = True
                break
            w, state = step(w, lagged, state, draw)
        self.w, self.state, self._lagged = w, state, lagged

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
        weights: Tensor | None, by_rounds: bool,
    ) -> None:  # fmt: skip
        super().__init__(objective, rule, w, state, weights, by_rounds)
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
