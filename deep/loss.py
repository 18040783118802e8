"""``Loss``: a batch's mean loss, its gradient left in the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from deep.settings import Settings
from theorylab.errors import UsageError

__all__ = ["Loss"]

_NOTHING = nullcontext()
# What ``loss.backward()`` comes to; its wrappers cost a twentieth of a small network's step.
_ENGINE: Any = getattr(torch.autograd.Variable, "_execution_engine", None)


@final
class Loss:
    """Evaluates a network's mean loss and its gradient, as the settings say.

    Parameters
    ----------
    network : Module
    parameters : sequence of Parameter
        Whose gradients are cleared before.
    settings : Settings
        Precision, layout, compilation and the parts that a batch is computed in.
    device : torch.device
    world : int
        Processes; their gradients are averaged.

    Raises
    ------
    UsageError
        If graphs of a CUDA device are asked for on another.

    >>> network = nn.Linear(2, 2)
    >>> with torch.no_grad():
    ...     _ = [p.zero_() for p in network.parameters()]
    >>> loss = Loss(network, list(network.parameters()), Settings(), torch.device("cpu"), 1)
    >>> round(loss.of_batch(torch.ones(1, 2), torch.tensor([0]), 1).item(), 3)
    0.693
    >>> network.bias.grad
    tensor([-0.5000,  0.5000])
    """

    def __init__(
        self,
        network: nn.Module,
        parameters: Sequence[nn.Parameter],
        settings: Settings,
        device: torch.device,
        world: int,
    ) -> None:
        self._parameters, self._settings, self._world = parameters, settings, world
        self._device = device.type
        self._ddp: DistributedDataParallel | None = None
        self._forward: Callable[[Tensor], Tensor] = network
        if world > 1:
            ids = [device.index] if self._device == "cuda" else None
            self._forward = self._ddp = DistributedDataParallel(network, device_ids=ids)
        if settings.cuda_graphs and self._device != "cuda":
            raise UsageError(f"--cuda-graphs needs a CUDA device, not {device}")
        compiled = settings.compile or settings.cuda_graphs
        if compiled:
            # Gradients of static shape: the last, short batch of an epoch compiles once more.
            self._forward = torch.compile(
                self._forward, mode="reduce-overhead" if settings.cuda_graphs else None
            )
        self._plain = world == settings.accumulate == 1 and self._device == "cpu" and not (
            compiled or settings.amp or settings.channels_last or _ENGINE is None
        )  # fmt: skip
        self._seed = (torch.ones(()),)

    def of_batch(self, images: Tensor, targets: Tensor, whole: int) -> Tensor:
        """The mean loss of a batch of ``whole`` samples over all processes: this one's part."""
        if self._plain and 1 / whole * targets.size(0) == 1:
            return self._at_once(images, targets)
        parts = [(images, targets)]
        if self._settings.accumulate > 1:
            chunks = (x.chunk(self._settings.accumulate) for x in (images, targets))
            parts = list(zip(*chunks, strict=True))
        # Processes' gradients are averaged: each counts by its share of the whole batch.
        return self.of_parts(parts, self._world / whole, len(parts))

    def of_parts(
        self, parts: Iterable[tuple[Tensor, Tensor]], weight: float, shared: int | None = None
    ) -> Tensor:
        """``weight`` times the summed loss; processes average gradients at the ``shared``-th."""
        settings = self._settings
        self._clear()
        whole: Any = torch.autocast(self._device, torch.bfloat16) if settings.amp else _NOTHING
        total: Any = None
        for number, (x, y) in enumerate(parts, 1):
            if settings.channels_last:
                x = x.contiguous(memory_format=torch.channels_last)
            waits = self._ddp is not None and number != shared
            with self._ddp.no_sync() if self._ddp and waits else _NOTHING:
                with whole:
                    scores = self._forward(x)
                if weight * len(y) == 1:  # one part, one process: a multiplication less
                    loss = F.cross_entropy(scores.float(), y)
                else:
                    loss = F.cross_entropy(scores.float(), y, reduction="sum") * weight
                loss.backward()
            total = loss.detach() if total is None else total + loss.detach()
        return total

    def _at_once(self, images: Tensor, targets: Tensor) -> Tensor:
        """What :meth:`of_parts` does, where nothing of it is asked for, with a twentieth less.

        Between a small network's operations every line of Python's counts: ``backward`` is called
        where its wrappers lead, and nothing is entered that does nothing.
        """
        self._clear()
        scores = self._forward(images)
        loss = F.cross_entropy(
            scores if scores.dtype is torch.float32 else scores.float(), targets
        )  # fmt: skip
        _ENGINE.run_backward(
            (loss,), self._seed, False, False, (), allow_unreachable=True, accumulate_grad=True
        )
        return loss.detach_()

    def _clear(self) -> None:
        for p in self._parameters:  # as zero_grad does, without its hooks for profilers
            p.grad = None
