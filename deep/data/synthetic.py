"""Images that look like CIFAR's to a network's shapes, and to nothing else: drawn by numbers."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from deep.data.augment import CropFlip
from deep.data.cifar import CIFAR10_CLASSES, CIFAR10_MEAN, CIFAR10_STD
from deep.data.dataset import Dataset, seeded
from deep.data.splits import TensorSplit

__all__ = ["generate_images"]

_LAYOUT, _TRAIN, _TEST = 0, 1, 2


def generate_images(*, train: int = 50_000, test: int = 10_000, seed: int = 0) -> Dataset:
    """Ten classes of 32x32 colour images: a smooth pattern each, moved, dimmed and noisy.

    For speed and for trying things out where no data is at hand. Accuracies on it say nothing
    about CIFAR-10, so it is labelled ``synthetic images``.

    >>> data = generate_images(train=20, test=10)
    >>> data.label, data.train.shape, data.train.targets[:3].tolist()
    ('synthetic images', (3, 32, 32), [0, 1, 2])
    """
    if min(train, test) < 1:
        raise ValueError(f"synthetic-images: train and test must be positive, got {train}, {test}")
    coarse = torch.rand(10, 3, 5, 5, generator=seeded(seed, _LAYOUT))
    patterns = F.interpolate(coarse, (48, 48), mode="bicubic").clamp_(0, 1)
    splits = [_draw(patterns, n, seeded(seed, p)) for n, p in ((train, _TRAIN), (test, _TEST))]
    return Dataset(
        "synthetic images", splits[0], splits[1], CIFAR10_CLASSES, CIFAR10_MEAN, CIFAR10_STD,
        CropFlip(padding=4),
    )  # fmt: skip


def _draw(patterns: torch.Tensor, count: int, generator: torch.Generator) -> TensorSplit:
    labels = torch.arange(count) % len(patterns)
    images = torch.empty(count, 3, 32, 32, dtype=torch.uint8)
    for rows in torch.arange(count).split(2048):
        corner = torch.randint(0, 16, (len(rows), 2), generator=generator)
        down = (corner[:, :1] + torch.arange(32))[:, None, :, None]
        right = (corner[:, 1:] + torch.arange(32))[:, None, None, :]
        channel = torch.arange(3)[None, :, None, None]
        drawn = patterns[labels[rows][:, None, None, None], channel, down, right]
        light = 0.5 + 0.5 * torch.rand(len(rows), 1, 1, 1, generator=generator)
        noise = 0.25 * torch.randn(drawn.shape, generator=generator)
        images[rows] = ((drawn * light + noise) * 255).clamp_(0, 255).to(torch.uint8)
    return TensorSplit(images, labels)
