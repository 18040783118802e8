"""CIFAR-10 and CIFAR-100, in the Python and the binary format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from deep.data.augment import CropFlip
from deep.data.dataset import Dataset
from deep.data.files import Readable, find, read_bytes
from deep.data.pickles import read_pickle
from deep.data.splits import TensorSplit, channel_statistics
from theorylab.errors import DataError

__all__ = ["CIFAR10_CLASSES", "CIFAR10_MEAN", "CIFAR10_STD", "read_cifar10", "read_cifar100"]

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
)  # fmt: skip
# What the papers' code uses. The deviations are means over images of each image's deviation;
# over all pixels they would be 0.247, 0.243, 0.262.
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2023, 0.1994, 0.2010)

_PIXELS = 3 * 32 * 32
_TEN = tuple(f"data_batch_{number}" for number in range(1, 6))


def read_cifar10(directory: Path) -> Dataset:
    """CIFAR-10 from ``cifar-10-batches-py`` or ``cifar-10-batches-bin``.

    Normalised with the constants of the papers' code. ``directory`` is that folder, the one
    above it, or the published tar archive, which is read in place.

    Raises
    ------
    DataError
        If files are missing, damaged, or hold anything but numbers.
    """
    files = find(
        "cifar10", directory,
        ("cifar-10-batches-py", (*_TEN, "test_batch")),
        ("cifar-10-batches-bin", (*(f"{name}.bin" for name in _TEN), "test_batch.bin")),
    )  # fmt: skip
    train, test = _splits("cifar10", files[:-1], files[-1], "labels", 10)
    return Dataset(
        "CIFAR-10", train, test, CIFAR10_CLASSES, CIFAR10_MEAN, CIFAR10_STD, CropFlip(padding=4)
    )


def read_cifar100(directory: Path) -> Dataset:
    """CIFAR-100, fine labels, from ``cifar-100-python`` or ``cifar-100-binary``.

    Normalised by the training images' own statistics. ``directory`` is that folder, the one
    above it, or the published tar archive, which is read in place.

    Raises
    ------
    DataError
        If files are missing, damaged, or hold anything but numbers.
    """
    train_file, test_file = find(
        "cifar100", directory,
        ("cifar-100-python", ("train", "test")), ("cifar-100-binary", ("train.bin", "test.bin")),
    )  # fmt: skip
    train, test = _splits("cifar100", [train_file], test_file, "fine_labels", 100)
    mean, std = channel_statistics(train.images)
    classes = tuple(str(number) for number in range(100))
    return Dataset("CIFAR-100", train, test, classes, mean, std, CropFlip(padding=4))


def _splits(
    who: str, train: Sequence[Readable], test: Readable, key: str, classes: int
) -> tuple[TensorSplit, TensorSplit]:
    parts = [_read(who, path, key, classes) for path in train]
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    return _tensors(images, labels), _tensors(*_read(who, test, key, classes))


def _tensors(images: np.ndarray, labels: np.ndarray) -> TensorSplit:
    pixels = torch.from_numpy(np.array(images, order="C")).view(-1, 3, 32, 32)
    return TensorSplit(pixels, torch.from_numpy(labels.astype(np.int64)))


def _read(who: str, path: Readable, key: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    if path.suffix == ".bin":
        # CIFAR-100 has a coarse label before the fine one.
        extra = 1 if classes == 10 else 2
        raw = np.frombuffer(read_bytes(who, path, extra + _PIXELS), np.uint8)
        raw = raw.reshape(-1, extra + _PIXELS)
        images, labels = raw[:, extra:], raw[:, extra - 1].astype(np.int64)
    else:
        images, labels = _from_pickle(who, path, key)
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"{who}: labels must be 0 to {classes - 1}, {path} has {labels.min()} to {labels.max()}"
        )
    return images, labels


def _from_pickle(who: str, path: Readable, key: str) -> tuple[np.ndarray, np.ndarray]:
    content = read_pickle(path, who)
    if not isinstance(content, dict):
        raise DataError(f"{who}: {path} must hold a dict, got a {type(content).__name__}")
    named = {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in content.items()}
    images, labels = named.get("data"), named.get(key)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or (
        images.ndim != 2 or images.shape[1] != _PIXELS
    ):  # fmt: skip
        came = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else "none"
        raise DataError(f"{who}: {path} needs 'data', uint8 of shape (n, {_PIXELS}), got {came}")
    if not isinstance(labels, list | np.ndarray) or len(labels) != len(images) or not len(images):
        came = f"{len(labels)}" if isinstance(labels, list | np.ndarray) else "none"
        raise DataError(
            f"{who}: {path} needs {key!r}, one for each of {len(images)} images, got {came}"
        )
    array = np.asarray(labels)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise DataError(f"{who}: {path} needs whole numbers in {key!r}, got {array.dtype}")
    return images, array.astype(np.int64)
