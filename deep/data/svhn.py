"""SVHN: street-view house numbers, cropped digits, in MATLAB files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from scipy.io import loadmat

from deep.data.augment import CropFlip
from deep.data.dataset import Dataset
from deep.data.files import Readable, find
from deep.data.splits import TensorSplit, channel_statistics
from theorylab.errors import DataError

__all__ = ["read_svhn"]


def read_svhn(directory: Path) -> Dataset:
    """SVHN from ``train_32x32.mat`` and ``test_32x32.mat``.

    Label 10 is the digit 0. Normalised by the training images' own statistics. Digits are not
    mirrored: the augmentation crops only.

    Raises
    ------
    DataError
        If a file is missing, damaged, or holds other shapes.
    """
    files = find("svhn", directory, ("svhn", ("train_32x32.mat", "test_32x32.mat")))
    train, test = (_read(path) for path in files)
    mean, std = channel_statistics(train.images)
    digits = tuple(str(digit) for digit in range(10))
    return Dataset("SVHN", train, test, digits, mean, std, CropFlip(padding=4, flip=False))


def _read(path: Readable) -> TensorSplit:
    try:
        content = loadmat(io.BytesIO(path.read_bytes()), variable_names=["X", "y"])
    # loadmat fails in many ways on damaged files, and with NotImplementedError on version 7.3.
    except Exception as error:
        raise DataError(
            f"svhn: {path} is not a readable MATLAB file (version 5): "
            f"{type(error).__name__}: {error}"
        ) from None
    images, labels = content.get("X"), content.get("y")
    if images is None or labels is None or images.dtype != np.uint8 or (
        images.shape != (32, 32, 3, labels.size)
    ):  # fmt: skip
        came = {name: getattr(content.get(name), "shape", None) for name in ("X", "y")}
        raise DataError(f"svhn: {path} needs X, uint8 (32, 32, 3, n), and y, n labels, got {came}")
    labels = labels.ravel()
    if labels.dtype.kind not in "iuf" or not (labels == np.round(labels)).all():
        raise DataError(f"svhn: {path} needs whole numbers as labels")
    labels = labels.astype(np.int64)
    if not labels.size or labels.min() < 1 or labels.max() > 10:
        raise DataError(f"svhn: {path} needs labels 1 to 10, got {sorted(set(labels.tolist()))}")
    pixels = np.ascontiguousarray(images.transpose(3, 2, 0, 1))
    return TensorSplit(torch.from_numpy(pixels), torch.from_numpy(labels % 10))
