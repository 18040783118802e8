"""``Batches``: shuffled, augmented mini-batches that can be stopped and continued exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from deep.data.augment import AsIs, Augmentation, normalise
from deep.data.splits import Split, TensorSplit
from theorylab.errors import UsageError

__all__ = ["Batch", "Batches"]


_AHEAD, _MOST_AHEAD = 1 << 19, 256  # numbers, samples


class Batch(NamedTuple):
    """Normalised images ``(b, c, h, w)``; labels ``(b,)`` or target images; their rows ``(b,)``."""

    images: Tensor
    targets: Tensor
    rows: Tensor


@final
class Batches:
    """Mini-batches of a split, epoch after epoch, each epoch in a fresh random order.

    An epoch's order and its augmentation are drawn together, at its start, from ``generator``:
    first a permutation of the rows, then the augmentation's uniform numbers, one row a position.
    So what is drawn depends on the generator and the number of samples alone: twins whose data
    differ in one sample share order and augmentation, and the state of a half-finished epoch is
    the generator's state at its start and a position.

    Iterating gives the rest of the current epoch (a whole one when none is under way);
    :meth:`draw` gives the next batch and runs on into further epochs.

    Parameters
    ----------
    split : Split
        Where images and targets come from; batches appear on its device.
    batch_size : int
        Samples a batch, over all shards together.
    generator : torch.Generator
        A CPU generator; it is advanced at the start of every epoch.
    augmentation : Augmentation
        Applied to the images, and alike to targets that are images.
    mean, std : sequence of float
        Normalisation of each channel.
    drop_last : bool
        Leave out the last, short batch of an epoch.
    shard : (rank, world)
        Gives only every ``world``-th sample of each batch, from ``rank`` on: processes with equal
        generators together see the batches of one process.
    dtype : torch.dtype
        Of the images.

    Raises
    ------
    UsageError
        If the batch size, the shard or the generator's device is impossible.

    >>> from deep.data import load
    >>> batches = load("digits").batches(512, seed=0)
    >>> [len(batch.images) for batch in batches]
    [512, 512, 413]
    >>> first = batches.draw()
    >>> state = batches.state_dict()
    >>> second = batches.draw()
    >>> batches.load_state_dict(state)
    >>> bool((batches.draw().images == second.images).all())
    True
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        generator: torch.Generator,
        *,
        augmentation: Augmentation | None = None,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        drop_last: bool = False,
        shard: tuple[int, int] = (0, 1),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        samples = len(split)
        if not 1 <= batch_size <= samples:
            raise UsageError(
                f"Batches: batch_size must be between 1 and the {samples} samples, got {batch_size}"
            )
        rank, world = shard
        last = batch_size if drop_last else samples % batch_size or batch_size
        if not (0 <= rank < world <= last):
            raise UsageError(
                f"Batches: shard must be (rank, world), 0 <= rank < world <= {last} (the smallest "
                f"batch), got {shard}"
            )
        if generator.device.type != "cpu":
            raise UsageError(f"Batches: generator must be a CPU one, got {generator.device}")
        self.split = split
        self.batch_size = batch_size
        self.generator = generator
        self.augmentation = AsIs() if augmentation is None else augmentation
        work = torch.float64 if dtype == torch.float64 else torch.float32
        self.mean = torch.tensor(mean, dtype=work, device=split.device)
        self.std = torch.tensor(std, dtype=work, device=split.device)
        self.drop_last = drop_last
        self.shard = shard
        self.dtype = dtype
        self._many = (math.floor if drop_last else math.ceil)(samples / batch_size)
        self.epoch = -1
        self.position = len(self)
        self._block = self._samples_ahead()
        self._ahead: Iterator[Batch] = iter(())
        self._start = generator.get_state()

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._many

    def __iter__(self) -> Iterator[Batch]:
        yield self.draw()
        while self.position < len(self):
            yield self.draw()

    def draw(self) -> Batch:
        """The next batch, of a new epoch where the current one is over."""
        batch = next(self._ahead, None)
        if batch is None:
            batch = self._next()
        self.position += 1
        return batch

    def _next(self) -> Batch:
        """The batch at this position, and those made with it ahead."""
        if self.position >= self._many:
            self._begin(self.epoch + 1)
        rank, world = self.shard
        first = self.position * self.batch_size
        if world > 1 or self._block <= self.batch_size:
            return self._made(slice(first + rank, first + self.batch_size, world))
        # Small batches are made many at a time; blocks begin at fixed places of the epoch.
        place = first % self._block
        end = min(first - place + self._block, self._many * self.batch_size)
        made = self._made(slice(first - place, end))
        # Cut at once: one by one, between two steps, cutting costs ten times as much.
        cut = [*zip(*(part.split(self.batch_size) for part in made), strict=True)]
        self._ahead = iter([Batch(*parts) for parts in cut[place // self.batch_size :]])
        return next(self._ahead)

    def _made(self, rows: slice) -> Batch:
        """The samples at these places of the epoch."""
        index, plan = self._order[rows], self._plan[rows]
        images, targets = self.split.take(index)
        images = self._transform(images, plan)
        if targets.ndim == 4:
            targets = self._transform(targets, plan)
        return Batch(images, targets, index)

    def state_dict(self) -> dict[str, Any]:
        """Where this stands: numbers and one tensor, safe to load with ``weights_only=True``."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "generator": self._start.clone(),
            "samples": len(self.split),
            "batch_size": self.batch_size,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where the state was taken.

        Raises
        ------
        UsageError
            If the state is of other data or another batch size.
        """
        for name, here in (("samples", len(self.split)), ("batch_size", self.batch_size)):
            if state[name] != here:
                raise UsageError(f"Batches: the state has {name} {state[name]}, here it is {here}")
        self.generator.set_state(state["generator"])
        if state["epoch"] >= 0:
            self._begin(state["epoch"])
        self.epoch, self.position, self._ahead = state["epoch"], state["position"], iter(())

    def _begin(self, epoch: int) -> None:
        self._start = self.generator.get_state()
        samples = len(self.split)
        order = torch.randperm(samples, generator=self.generator)
        numbers = (samples, self.augmentation.numbers)
        uniform = torch.rand(numbers, generator=self.generator, dtype=torch.float64)
        # Moved once an epoch, so that a step waits for no transfer.
        self._order = order.to(self.split.device)
        self._plan = self.augmentation.plan(uniform, *self.split.shape[1:]).to(self.split.device)
        self.epoch, self.position, self._ahead = epoch, 0, iter(())

    def _samples_ahead(self) -> int:
        """Samples made at once: of small images in memory whose augmentation is one by one."""
        if not (isinstance(self.split, TensorSplit) and self.augmentation.exact):
            return 0
        numbers = math.prod(self.split.shape)
        return min(_AHEAD // numbers, _MOST_AHEAD) // self.batch_size * self.batch_size

    def _transform(self, images: Tensor, plan: Tensor) -> Tensor:
        return normalise(self.augmentation.apply(images, plan), self.mean, self.std, self.dtype)
