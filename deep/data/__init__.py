"""Data from a directory the user names, and some that is always at hand: :data:`DATASETS`.

A package of yours adds its own under the entry point ``theorylab.datasets``: a
:class:`~deep.data.source.Source`, or a module with ``DATASETS``, a sequence of them.
"""

from __future__ import annotations

import difflib
import functools
from pathlib import Path
from typing import Any

from deep.data.augment import (
    AsIs,
    Augmentation,
    CentreCrop,
    CropFlip,
    Jitter,
    RandomResizedCrop,
    denormalise,
    normalise,
)
from deep.data.batches import Batch, Batches
from deep.data.cifar import read_cifar10, read_cifar100
from deep.data.dataset import Dataset, seeded
from deep.data.digits import read_digits
from deep.data.folder import read_cifar10_jpeg, read_folder, read_imagenet
from deep.data.pairs import CITYSCAPES_PALETTE, PHOTO_PALETTE, generate_pairs, label_map, read_pairs
from deep.data.source import Source
from deep.data.splits import FileSplit, Split, TensorSplit, channel_statistics
from deep.data.stl10 import read_stl10
from deep.data.svhn import read_svhn
from deep.data.synthetic import generate_images
from theorylab.errors import UnknownNameError
from theorylab.plugins.registry import table

__all__ = [
    "CITYSCAPES_PALETTE", "DATASETS", "PHOTO_PALETTE", "AsIs", "Augmentation", "Batch", "Batches",
    "CentreCrop", "CropFlip", "Dataset", "FileSplit", "Jitter", "RandomResizedCrop", "Source",
    "Split", "TensorSplit", "channel_statistics", "dataset", "datasets", "denormalise",
    "label_map", "load", "normalise", "seeded",
]  # fmt: skip

_FOLDERS = "train/CLASS/ and test/CLASS/ (or val/CLASS/) with images, or a tar of them,"
_OWN = (
    *(Source(name, reader, layout, paired=False) for name, reader, layout in (
        ("cifar10", read_cifar10, "cifar-10-batches-py/ or cifar-10-batches-bin/, or their tar"),
        ("cifar100", read_cifar100, "cifar-100-python/ or cifar-100-binary/, or their tar"),
        ("svhn", read_svhn, "train_32x32.mat and test_32x32.mat"),
        ("stl10", read_stl10, "stl10_binary/, or its tar"),
        ("cifar10-jpeg", read_cifar10_jpeg, _FOLDERS),
        ("imagenet", read_imagenet, _FOLDERS),
        ("folder", read_folder, _FOLDERS),
        ("digits", read_digits, ""),
        ("synthetic-images", generate_images, ""),
    )),
    Source(
        "cityscapes",
        read_pairs,
        "train/ and test/ (or val/) with photo and label side by side, or leftImg8bit/ and gtFine/",
        paired=True,
    ),
    Source("generated-pairs", generate_pairs, paired=True),
)  # fmt: skip

DATASETS: dict[str, Source] = {item.name: item for item in _OWN}


@functools.cache
def datasets() -> dict[str, Source]:
    """:data:`DATASETS` and those of installed packages.

    Raises
    ------
    UsageError
        If a name is registered twice.
    """
    return table(
        "datasets", "DATASETS", lambda item: isinstance(item, Source), "a Source", own=_OWN
    )


def dataset(name: str) -> Source:
    """The data set registered under ``name``."""
    known = datasets()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        if not close and Path(name).suffix:
            raise UnknownNameError(
                f"{name!r} is no data set for networks; a table of your own is for verify, "
                "falsify, stability and figure KEY"
            )
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
        raise UnknownNameError(f"unknown data set {name!r}; {hint}")
    return known[name]


def load(name: str, directory: Path | str | None = None, **options: Any) -> Dataset:
    """Read the data set registered under ``name`` from ``directory``.

    >>> load("digits", image_size=32).train.shape
    (1, 32, 32)
    """
    return dataset(name).load(directory, **options)
