"""Shared by the tests of deep_data."""

from __future__ import annotations

import tarfile
from pathlib import Path

from deep.data import (
    Batches,
    CropFlip,
    TensorSplit,
    seeded,
)


def pack(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:xz") as stream:
        stream.add(folder, arcname=".")
    return archive


def make(split: TensorSplit, seed: int = 0, batch: int = 5, **options: object) -> Batches:
    return Batches(
        split, batch, seeded(seed), augmentation=CropFlip(2), mean=(0.5,) * 3, std=(0.25,) * 3,
        **options,  # type: ignore[arg-type]
    )  # fmt: skip
