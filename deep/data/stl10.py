"""STL10, in its binary format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from deep.data.augment import CropFlip
from deep.data.dataset import Dataset
from deep.data.files import Readable, find, read_bytes
from deep.data.splits import TensorSplit, channel_statistics
from theorylab.errors import DataError

__all__ = ["read_stl10"]

_CLASSES = (
    "airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"
)  # fmt: skip
_PIXELS = 3 * 96 * 96


def read_stl10(directory: Path) -> Dataset:
    """STL10 from ``stl10_binary`` or its tar: 500 training and 800 test images a class, 96x96.

    Normalised by the training images' own statistics; the crop is padded by 12 pixels, the share
    of the side that 4 is of 32.

    Raises
    ------
    DataError
        If a file is missing or damaged.
    """
    names = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")
    train_x, train_y, test_x, test_y = find("stl10", directory, ("stl10_binary", names))
    train, test = _read(train_x, train_y), _read(test_x, test_y)
    mean, std = channel_statistics(train.images)
    return Dataset("STL10", train, test, _CLASSES, mean, std, CropFlip(padding=12))


def _read(images: Readable, labels: Readable) -> TensorSplit:
    raw = np.frombuffer(read_bytes("stl10", images, _PIXELS), np.uint8)
    # Each channel is stored column by column.
    pixels = np.array(raw.reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2), order="C")
    numbers = np.frombuffer(read_bytes("stl10", labels, 1), np.uint8).astype(np.int64)
    if len(numbers) != len(pixels):
        raise DataError(f"stl10: {labels} has {len(numbers)} labels for {len(pixels)} images")
    if numbers.min() < 1 or numbers.max() > 10:
        raise DataError(
            f"stl10: {labels} needs labels 1 to 10, got {numbers.min()} to {numbers.max()}"
        )
    return TensorSplit(torch.from_numpy(pixels), torch.from_numpy(numbers - 1))
