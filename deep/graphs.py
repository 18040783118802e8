"""One CUDA graph for a whole training step: forward, backward and the optimizer's update.

Launched from Python one by one, the hundreds of small kernels of a step at small batches keep the
host busier than the device. Captured once and replayed, they cost a single launch. What changes
from step to step enters through fixed tensors: images, targets, the step size, what the rule draws.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, final

import torch
from torch import Tensor

from theorylab.errors import UsageError
from theorylab.method.rule import Drawn, entries, map_state

if TYPE_CHECKING:
    from deep.training import Trainer

__all__ = ["StepGraph"]

_WARM = 3


class _Captured(NamedTuple):
    """A graph of one batch's shape, the tensors it reads, its loss, and the gradients it takes."""

    graph: Any
    images: Tensor
    targets: Tensor
    loss: Tensor
    gradients: int


@final
class StepGraph:
    """Runs a trainer's steps as replays of a graph; on a CPU the same code without one.

    The first batch is run a few times to warm up, which leaves weights, buffers and state as they
    were, then captured. A batch of another shape (the last of an epoch) is captured when its shape
    is seen again; until then the same code runs uncaptured.

    Parameters
    ----------
    trainer : Trainer
        Its network, optimizer and settings are used; :meth:`put_back` hands them over for a
        checkpoint.

    Raises
    ------
    UsageError
        If the method takes several mini-batches' or full gradients, in several processes, or if
        ``torch.compile`` is asked for graphs of its own.
    """

    def __init__(self, trainer: Trainer) -> None:
        settings = trainer.settings
        if trainer.optimizer.defaults.get("memory", 1) != 1:
            raise UsageError(f"--step-graph: {settings.optimizer} takes several gradients a step")
        if "full_gradient" in trainer.optimizer.rule.needs:
            raise UsageError(f"--step-graph: {settings.optimizer} takes full gradients")
        if trainer.world > 1 or settings.cuda_graphs:
            raise UsageError("--step-graph goes with one process and without --cuda-graphs")
        self.trainer = trainer
        self.device = trainer.device
        self.lr = self.lam = torch.empty(0)
        self._params: list[Tensor] = []
        self._state: Any = None
        self._draw: Any = None
        self._rule: Any = None
        self._flat = torch.empty(0)
        self._captured: dict[tuple[Any, ...], _Captured | None] = {}

    def step(self, images: Tensor, targets: Tensor, whole: int, lr: float) -> Tensor:
        """One step on a batch at step size ``lr``; the batch's mean loss."""
        first = self._rule is None
        if first:
            self._begin(images, targets, whole)
        self.lr.fill_(lr)
        ratio = self.trainer.settings.lam_over_lr
        if ratio is not None:
            self.lam.fill_(ratio / lr if lr > 0 else 0.0)
        shape = (*images.shape, whole)
        if self.device.type == "cuda":
            if first or (shape in self._captured and self._captured[shape] is None):
                self._captured[shape] = self._capture(images, targets, whole)
            self._captured.setdefault(shape)
        self.trainer.seed_layers()  # warming up drew from it
        drawn = self.trainer.optimizer.drawn(self._rule, self._params)
        self._draw.t.copy_(drawn.t)
        self._draw.restart.fill_(drawn.restart)
        for name, value in drawn.own.items():
            self._draw.own[name].copy_(value)
        if (held := self._captured.get(shape)) is None:
            return self._whole_step(images, targets, whole)
        held.images.copy_(images)
        held.targets.copy_(targets)
        held.graph.replay()
        self.trainer.gradients += held.gradients
        return held.loss.clone()

    def put_back(self) -> None:
        """Give optimizer and parameter groups the present state and plain numbers again."""
        if self._rule is None:
            return
        optimizer = self.trainer.optimizer
        optimizer.put_back(self._params, self._state)
        for group in optimizer.param_groups:
            group["lr"] = float(self.lr)
            if self.trainer.settings.lam_over_lr is not None:
                group["lam"] = float(self.lam)

    # --- how ---------------------------------------------------------------------------------
    def _begin(self, images: Tensor, targets: Tensor, whole: int) -> None:
        """Find parameters, rule and state, and make the tensors that graphs read and write."""
        trainer = self.trainer
        like = next(trainer.network.parameters()).detach()
        self.lr, self.lam = like.new_zeros(()), like.new_zeros(())
        buffers = list(trainer.network.buffers())
        saved, counted = [b.clone() for b in buffers], trainer.gradients
        trainer.closure(images, targets, whole)  # which parameters have gradients
        self._restore(saved, buffers)
        trainer.gradients = counted
        for group in trainer.optimizer.param_groups:
            group["lr"] = self.lr
            if trainer.settings.lam_over_lr is not None:
                group["lam"] = self.lam
        self._rule, self._params, state = trainer.optimizer.taken_apart()
        self._flat = torch.cat([p.detach().reshape(-1) for p in self._params])
        # Counts that are plain numbers outside a graph are tensors in it.
        self._state = map_state(
            lambda x: x.clone() if isinstance(x, Tensor) else self._flat.new_full((1,), x), state
        )
        own = {
            item.name: self._flat.new_zeros(
                self._flat.shape if item.per == "coordinate" else (1,)
            )
            for item in self._rule.draws
        }  # fmt: skip
        restart = torch.ones(1, dtype=torch.bool, device=self.device)
        self._draw = Drawn(self._flat.new_ones(()), restart, own)

    def _capture(self, images: Tensor, targets: Tensor, whole: int) -> _Captured:
        live = [*self._params, *self.trainer.network.buffers(), *entries(self._state).values()]
        saved, counted = [x.detach().clone() for x in live], self.trainer.gradients
        images, targets = images.clone(), targets.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM):
                self._whole_step(images, targets, whole)
        torch.cuda.current_stream().wait_stream(stream)
        self.trainer.optimizer.zero_grad(set_to_none=True)  # gradients live in the graph's memory
        graph = torch.cuda.CUDAGraph()
        warm = self.trainer.gradients
        with torch.cuda.graph(graph):
            loss = self._whole_step(images, targets, whole)
        each, self.trainer.gradients = self.trainer.gradients - warm, counted
        self._restore(saved, live)
        return _Captured(graph, images, targets, loss, each)

    @torch.no_grad()
    def _restore(self, saved: list[Tensor], live: list[Tensor]) -> None:
        for old, now in zip(saved, live, strict=True):
            now.copy_(old)

    def _whole_step(self, images: Tensor, targets: Tensor, whole: int) -> Tensor:
        closure = partial(self.trainer.closure, images, targets, whole)
        optimizer = self.trainer.optimizer
        loss, state = optimizer.moved(self._rule, closure, self._state, self._draw)
        held, new = entries(self._state), entries(state)
        # A part that becomes another's old value is copied before that one is overwritten.
        moved = {
            name: new[name].clone() if any(new[name] is x for x in held.values()) else new[name]
            for name in held if new[name] is not held[name]
        }  # fmt: skip
        for name, value in moved.items():
            held[name].copy_(value)
        return loss
