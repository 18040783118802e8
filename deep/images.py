"""Generated photos beside their label images and the true ones, as arrays and as one grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from deep.data import Dataset, denormalise
from theorylab.plugins.files import writing

__all__ = ["grid", "made_in_order", "shown_pairs", "write_images"]

Shown = tuple[Tensor, Tensor, Tensor]


@torch.no_grad()
def made_in_order(
    generator: nn.Module, data: Dataset, seed: int, count: int | None = None
) -> Iterator[Shown]:
    """Each test pair (or the first ``count``) and the generator's photo of it, one at a time.

    The generator is run in training mode: pix2pix keeps dropout and the image's own batch
    statistics at test time. Its buffers are left as they were.
    """
    buffers = [value.clone() for value in generator.buffers()]
    generator.train()
    split = data.test if count is None else data.test.subset(
        torch.arange(min(count, len(data.test)))
    )  # fmt: skip
    devices = [p.device for p in generator.parameters() if p.device.type == "cuda"][:1]
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        for label, photo, _ in data.in_order(split, 1):
            yield label, photo, generator(label)
    for value, before in zip(generator.buffers(), buffers, strict=True):
        value.copy_(before)


def shown_pairs(generator: nn.Module, data: Dataset, count: int = 4, seed: int = 0) -> Shown:
    """The first ``count`` test pairs: label images, true photos, and the generator's photos.

    Each is uint8 of shape ``(count, 3, h, w)``, on the CPU.
    """
    rows = [
        [denormalise(image, data.mean, data.std).cpu() for image in row]
        for row in made_in_order(generator, data, seed, count)
    ]
    first, second, third = (torch.cat(column) for column in zip(*rows, strict=True))
    return first, second, third


def grid(columns: Sequence[Tensor], gap: int = 2) -> np.ndarray:
    """Columns of images as one white-edged picture, one row a sample: uint8 ``(H, W, 3)``.

    >>> grid([torch.zeros(2, 3, 4, 4, dtype=torch.uint8)] * 3).shape
    (14, 20, 3)
    """
    count, _, height, width = columns[0].shape
    size = (gap + count * (height + gap), gap + len(columns) * (width + gap), 3)
    picture = np.full(size, 255, np.uint8)
    for i, column in enumerate(columns):
        for j, image in enumerate(column):
            top, left = gap + j * (height + gap), gap + i * (width + gap)
            picture[top : top + height, left : left + width] = image.permute(1, 2, 0).numpy()
    return picture


def write_images(folder: Path, shown: Shown) -> None:
    """``images.png``, a grid with columns input, truth, output; ``images.npz``, the arrays.

    Raises
    ------
    UsageError
        If a file cannot be written.
    """
    with writing(folder / "images.png") as stream:
        Image.fromarray(grid(shown)).save(stream, "PNG")
    named = dict(zip(("input", "truth", "output"), (part.numpy() for part in shown), strict=True))
    with writing(folder / "images.npz") as stream:
        np.savez_compressed(stream, **named)  # type: ignore[arg-type]  # numpy's stub
