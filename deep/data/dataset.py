"""``Dataset``: a training and a test split, and how their images reach a network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import torch

from deep.data.augment import AsIs, Augmentation, normalise
from deep.data.batches import Batch, Batches
from deep.data.splits import Split
from theorylab.errors import UsageError

__all__ = ["Dataset", "seeded"]


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split, and how their images reach a network.

    Attributes
    ----------
    label : str
        What results on it are called.
    train, test : Split
    classes : tuple of str
        Names of the classes (of the label colours, for pairs).
    mean, std : tuple of float
        Normalisation ``(x / 255 - mean) / std`` for each channel.
    training, evaluation : Augmentation
        Default transforms of training and test images.
    palette : tuple of (red, green, blue)
        For pairs: the colour of each class in the label images.
    origin : str
        The ``digest`` of the data that this was cut from; empty if it was not.
    """

    label: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    training: Augmentation
    evaluation: Augmentation = field(default_factory=AsIs)
    palette: tuple[tuple[int, int, int], ...] = ()
    origin: str = ""

    @cached_property
    def digest(self) -> str:
        """A hash of all that reaches a network: images, targets, normalisation, transforms."""
        transforms = [
            (type(t).__qualname__, sorted(vars(t).items()))
            for t in (self.training, self.evaluation)
        ]
        rest = (self.classes, self.mean, self.std, transforms, self.palette)
        text = repr((self.train.digest(), self.test.digest(), rest))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def paired(self) -> bool:
        """Whether the targets are images (label-to-photo pairs) rather than class labels."""
        return self.train.targets.ndim == 4

    @property
    def input_size(self) -> tuple[int, int, int]:
        """``(channels, height, width)`` of a transformed image."""
        channels, *_ = self.train.shape
        height, width = self.training.output_size(*self.train.shape[1:])
        return channels, height, width

    def to(self, device: torch.device | str) -> Dataset:
        """The same data on another device."""
        return replace(self, train=self.train.to(device), test=self.test.to(device))

    def batches(
        self, batch_size: int, seed: int, *, split: Split | None = None, **options: Any
    ) -> Batches:
        """Shuffled, augmented batches of the training split (or ``split``), from a seed.

        ``options`` are those of :class:`~deep.data.batches.Batches`.
        """
        settings: dict[str, Any] = {
            "augmentation": self.training, "mean": self.mean, "std": self.std
        }  # fmt: skip
        return Batches(
            self.train if split is None else split, batch_size, seeded(seed), **settings | options
        )

    def in_order(
        self, split: Split, batch_size: int, dtype: torch.dtype = torch.float32
    ) -> Iterator[Batch]:
        """Every sample of ``split`` once, in order, as in evaluation: the last batch is short."""
        for start in range(0, len(split), batch_size):
            index = torch.arange(start, min(start + batch_size, len(split)), device=split.device)
            images, targets = split.take(index)
            plan = torch.empty(len(index), 0)
            images = normalise(self.evaluation.apply(images, plan), self.mean, self.std, dtype)
            if targets.ndim == 4:
                targets = self.evaluation.apply(targets, plan)
                targets = normalise(targets, self.mean, self.std, dtype)
            yield Batch(images, targets, index)


def seeded(seed: int, *purpose: int) -> torch.Generator:
    """A CPU generator for one purpose of a seed; different purposes give unrelated streams.

    >>> bool(torch.rand(1, generator=seeded(1)) == torch.rand(1, generator=seeded(1, 1)))
    False
    """
    if seed < 0:
        raise UsageError(f"a seed must be a non-negative integer, got {seed}")
    state = np.random.SeedSequence([seed, *purpose]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
