"""scikit-learn's handwritten digits: small, and always at hand."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from deep.data.augment import CropFlip
from deep.data.dataset import Dataset
from deep.data.splits import TensorSplit, channel_statistics

__all__ = ["read_digits"]


def read_digits(test: int = 360) -> Dataset:
    """1,797 grey digits of 8x8 pixels, split at random once and for all.

    ``test`` samples are held out; the rest is for training. The grey levels 0 to 16 are spread
    over 0 to 255.

    Source: scikit-learn's ``load_digits`` (Alpaydin and Kaynak, 1998).

    >>> read_digits().train.shape, len(read_digits().train), len(read_digits().test)
    ((1, 8, 8), 1437, 360)
    """
    content = load_digits()
    order = np.random.default_rng(0).permutation(len(content.target))
    levels = np.rint(content.images[order] * (255 / 16)).astype(np.uint8)
    images = torch.from_numpy(levels)[:, None]
    labels = torch.from_numpy(content.target[order].astype(np.int64))
    if not 0 < test < len(labels):
        raise ValueError(f"digits: test must be between 1 and {len(labels) - 1}, got {test}")
    train = TensorSplit(images[test:], labels[test:])
    mean, std = channel_statistics(train.images)
    names = tuple(str(digit) for digit in range(10))
    held_out = TensorSplit(images[:test], labels[:test])
    return Dataset("digits", train, held_out, names, mean, std, CropFlip(padding=1, flip=False))
