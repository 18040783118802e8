"""What a data set is: splits that live on the device as one tensor, and how batches leave them."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["FileSplit", "Split", "TensorSplit", "channel_statistics"]

_DIGESTED = 4096  # rows at a time


class Split(abc.ABC):
    """Images and their targets, read by row numbers.

    ``targets`` is int64 of shape ``(n,)`` (class labels), or uint8 of shape ``(n, c, h, w)`` (the
    photo that belongs to each label image).
    """

    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    @property
    @abc.abstractmethod
    def device(self) -> torch.device:
        """Where batches appear."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """``(channels, height, width)`` of one image."""

    @abc.abstractmethod
    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Images, uint8 ``(b, c, h, w)``, and targets of the rows ``index``, int64 ``(b,)``."""

    @abc.abstractmethod
    def to(self, device: torch.device | str) -> Split:
        """The same split on another device."""

    @abc.abstractmethod
    def subset(self, index: Tensor) -> Split:
        """The rows ``index`` alone, in that order."""

    def digest(self) -> str:
        """SHA-256 of the content, in hex: every image and target, in order."""
        found = hashlib.sha256(repr((self.shape, tuple(self.targets.shape))).encode())
        for rows in torch.arange(len(self), device=self.device).split(_DIGESTED):
            for part in self.take(rows):
                found.update(part.cpu().contiguous().numpy().data)
        return found.hexdigest()


@final
@dataclass(frozen=True, eq=False)
class TensorSplit(Split):
    """A split held on its device as one uint8 tensor.

    Raises
    ------
    ValueError
        If shapes or types do not fit.

    >>> split = TensorSplit(torch.zeros(5, 3, 8, 8, dtype=torch.uint8), torch.arange(5))
    >>> split.take(torch.tensor([4, 0]))[1]
    tensor([4, 0])
    """

    images: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                "TensorSplit: images must be uint8 of shape (n, c, h, w), got "
                f"{self.images.dtype} of shape {tuple(self.images.shape)}"
            )
        expected = (torch.int64, 1) if self.targets.ndim == 1 else (torch.uint8, 4)
        if (self.targets.dtype, self.targets.ndim) != expected:
            raise ValueError(
                "TensorSplit: targets must be int64 (n,) or uint8 (n, c, h, w), got "
                f"{self.targets.dtype} of shape {tuple(self.targets.shape)}"
            )
        if len(self.images) != len(self.targets):
            raise ValueError(
                f"TensorSplit: {len(self.images)} images but {len(self.targets)} targets"
            )

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.images.index_select(0, index), self.targets.index_select(0, index)

    def to(self, device: torch.device | str) -> TensorSplit:
        return TensorSplit(self.images.to(device), self.targets.to(device))

    def subset(self, index: Tensor) -> TensorSplit:
        return TensorSplit(*self.take(index.to(self.device)))

    def replaced(self, row: int, image: Tensor, target: Tensor | int) -> TensorSplit:
        """A copy in which one row is another sample: the twin of this split."""
        images, targets = self.images.clone(), self.targets.clone()
        images[row], targets[row] = image, target
        return TensorSplit(images, targets)

    def resized(self, side: int) -> TensorSplit:
        """Images (not targets) resampled to ``side`` x ``side``, bilinear, antialiased."""
        if self.shape[1:] == (side, side):
            return self
        parts = [
            F.interpolate(part.float(), (side, side), mode="bilinear", antialias=True)
            .round_().clamp_(0, 255).to(torch.uint8)
            for part in self.images.split(1024)
        ]  # fmt: skip
        return TensorSplit(torch.cat(parts), self.targets)


@final
@dataclass(frozen=True, eq=False)
class FileSplit(Split):
    """A split too large for memory: image files decoded when their rows are asked for.

    Parameters
    ----------
    files : sequence of Path
        One file a row.
    targets : Tensor, int64 (n,)
        Class labels.
    side : int
        Side of the decoded images.
    decode : callable
        ``decode(file, side)``, a uint8 array of shape ``(3, side, side)``.
    jobs : int
        Decoding threads.
    """

    files: Sequence[Path]
    targets: Tensor
    side: int
    decode: Callable[[Path, int], np.ndarray] = field(repr=False)
    jobs: int = 1
    where: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def device(self) -> torch.device:
        return self.where

    @property
    def shape(self) -> tuple[int, int, int]:
        return 3, self.side, self.side

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        wanted = [self.files[row] for row in index.tolist()]
        with ThreadPoolExecutor(self.jobs) as pool:
            images = np.stack(list(pool.map(lambda file: self.decode(file, self.side), wanted)))
        return torch.from_numpy(images).to(self.where), self.targets.index_select(0, index)

    def to(self, device: torch.device | str) -> FileSplit:
        return replace(self, targets=self.targets.to(device), where=torch.device(device))

    def digest(self) -> str:
        """SHA-256 of the files' names, sizes and times of change: they are too many to be read."""
        found = hashlib.sha256(repr((self.side, self.targets.tolist())).encode())
        for file in self.files:
            status = file.stat()
            parts = (*file.parts[-2:], status.st_size, status.st_mtime_ns)
            found.update(repr(parts).encode())
        return found.hexdigest()

    def subset(self, index: Tensor) -> FileSplit:
        kept = [self.files[row] for row in index.tolist()]
        return replace(self, files=kept, targets=self.targets[index.to(self.targets.device)])


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 images, in units of 255.

    Exact: from the histogram of the 256 values. A constant channel gets standard deviation 1.

    >>> channel_statistics(torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1))
    ((0.5,), (0.5,))
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = torch.zeros(256, dtype=torch.int64, device=images.device)
        for part in images[:, channel].split(4096):
            counts += torch.bincount(part.reshape(-1), minlength=256)
        share = counts.cpu().double() / counts.sum().item()
        mean = float((share * levels).sum())
        variance = float((share * (levels - mean) ** 2).sum())
        means.append(mean)
        deviations.append(variance**0.5 or 1.0)
    return tuple(means), tuple(deviations)
