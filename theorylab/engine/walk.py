"""A run's rows from step to step: operation by operation, or by machine code."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from theorylab.engine.chunks import TimeChunk
from theorylab.engine.native.kernel import Kernel, Steps, compiled
from theorylab.engine.step import eager_step
from theorylab.method.rule import Drawn, State, UpdateRule
from theorylab.problem.objective import Objective

__all__ = ["CompiledWalk", "EagerWalk", "Walk"]


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
    """

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
        if len(chunk.ticks):
            self._prepare(chunk)

    def to(self, stop: int) -> None:
        """Take the chunk's steps before step ``stop``."""
        if stop > self._step:
            self._take(self._step, stop)
            self._step = stop

    @abc.abstractmethod
    def _prepare(self, chunk: TimeChunk) -> None: ...

    @abc.abstractmethod
    def _take(self, first: int, stop: int) -> None: ...


@final
class EagerWalk(Walk):
    """The step as torch runs it."""

    _samples: Sequence[Tensor]
    _draws: Sequence[Drawn]
    _lagged: Sequence[Tensor] = ()

    def _prepare(self, chunk: TimeChunk) -> None:
        self._samples, self._draws = chunk.samples.unbind(0), chunk.draws()

    def _take(self, first: int, stop: int) -> None:
        step, lags = eager_step(self.objective, self.rule, self.weights), self.rule.lags
        w, state, lagged = self.w, self.state, self._lagged
        for k in range(first, stop):
            lagged = [self._samples[k], *lagged][:lags]
            w, state = step(w, lagged, state, self._draws[k])
        self.w, self.state, self._lagged = w, state, lagged


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
            samples = torch.cat([before if self._last is None else self._last, samples])
            self._last = samples[len(samples) - lags + 1 :]
        self._steps = Steps(samples, chunk.ticks, chunk.restarts, chunk.own, self.weights)

    def _take(self, first: int, stop: int) -> None:
        while first < stop:
            end, begins = self._steps.alike(first, stop)
            kernel = self._made.get(begins)
            if kernel is None:
                sample, draw = self._steps.at(first)
                kernel, self._held = compiled(self.objective, self.rule, self.w, sample,
                                              self.state, draw, self.weights)  # fmt: skip
                self._made[begins] = kernel
            kernel.advance(self.rule, self.w, self._held, self._steps, first, end)
            self.state, first = kernel.shown(self._held), end
