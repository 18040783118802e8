"""Label-to-photo pairs: aligned image files, and a generated street."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deep.data.augment import AsIs, Jitter
from deep.data.dataset import Dataset
from deep.data.files import contents, required_directory
from deep.data.folder import decode
from deep.data.splits import TensorSplit
from theorylab.errors import DataError
from theorylab.progress import track

__all__ = ["CITYSCAPES_PALETTE", "PHOTO_PALETTE", "generate_pairs", "label_map", "read_pairs"]

# The 19 classes that Cityscapes evaluates, and their colours in its label images.
CITYSCAPES_PALETTE: dict[str, tuple[int, int, int]] = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}

# The generated street's classes, and the colours of its photos before light and texture.
PHOTO_PALETTE: dict[str, tuple[int, int, int]] = {
    "road": (84, 84, 92),
    "sidewalk": (196, 180, 164),
    "building": (164, 84, 60),
    "vegetation": (44, 124, 36),
    "sky": (156, 204, 252),
    "car": (236, 220, 20),
    "person": (204, 20, 148),
    "pole": (12, 12, 12),
}
_HALF = (0.5, 0.5, 0.5)


def label_map(images: Tensor, palette: tuple[tuple[int, int, int], ...]) -> Tensor:
    """The class of each pixel: the nearest colour of the palette (the first of equals).

    Shapes: uint8 ``(n, 3, h, w)`` to int64 ``(n, h, w)``.

    >>> image = torch.tensor([250, 9, 0], dtype=torch.uint8).reshape(1, 3, 1, 1)
    >>> label_map(image, ((0, 0, 0), (255, 0, 0))).tolist()
    [[[1]]]
    """
    best = torch.full(images.shape[:1] + images.shape[2:], torch.iinfo(torch.int32).max)
    best = best.to(images.device)
    nearest = torch.zeros_like(best)
    pixels = images.to(torch.int64)
    for number, colour in enumerate(palette):
        centre = torch.tensor(colour, device=images.device).view(1, 3, 1, 1)
        distance = (pixels - centre).square().sum(1)
        closer = distance < best
        best = torch.where(closer, distance, best)
        nearest = torch.where(closer, number, nearest)
    return nearest


def read_pairs(
    directory: Path,
    *,
    image_size: int = 256,
    direction: Literal["BtoA", "AtoB"] = "BtoA",
    progress: bool | None = None,
) -> Dataset:
    """Label-to-photo pairs: Cityscapes as it is published, or as pix2pix distributes it.

    Cityscapes: ``leftImg8bit/train/CITY/*_leftImg8bit.png`` and, for each, the coloured labels
    ``gtFine/train/CITY/*_gtFine_color.png``; ``val`` is tested on. pix2pix: files in ``train/``
    and ``test/`` (or ``val/``), photo A and label B side by side; with ``BtoA`` the right half is
    the input. Images are scaled to ``image_size``; training enlarges by 286/256 and crops. Values
    are normalised to [-1, 1]. In scores a pixel of no evaluated class counts as the class of the
    nearest colour.

    Raises
    ------
    DataError
        If there is no such layout, a photo has no labels, or an image has no two halves of equal
        width.
    """
    required_directory("pairs", directory)
    raw = (directory / "leftImg8bit").is_dir() or (directory / "gtFine").is_dir()
    splits = []
    for part in (("train",), ("val",)) if raw else (("train",), ("test", "val")):
        if raw:
            splits.append(_published(directory, part[0], image_size, progress))
            continue
        there = [directory / name for name in part if (directory / name).is_dir()]
        files = [p for p in sorted(there[0].iterdir()) if p.is_file()] if there else []
        files = [p for p in files if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
        if not files:
            raise DataError(
                f"pairs: {'/ or '.join(part)}/ with images of two halves (or leftImg8bit/ and "
                f"gtFine/) required, got {directory} holding {contents(directory)}"
            )
        splits.append(_aligned(files, image_size, direction, progress))
    return Dataset(
        "Cityscapes" if raw else directory.name, splits[0], splits[1], tuple(CITYSCAPES_PALETTE),
        _HALF, _HALF, Jitter(image_size * 286 // 256, image_size), AsIs(),
        tuple(CITYSCAPES_PALETTE.values()),
    )  # fmt: skip


def _published(directory: Path, part: str, side: int, progress: bool | None) -> TensorSplit:
    """One split of Cityscapes' own folders."""
    ending = "_leftImg8bit.png"
    photos = sorted((directory / "leftImg8bit" / part).glob(f"*/*{ending}"))
    if not photos:
        raise DataError(
            f"pairs: leftImg8bit/{part}/CITY/*{ending} required, got {directory} holding "
            f"{contents(directory)}"
        )
    pairs = []
    for photo in photos:
        name = photo.name.removesuffix(ending) + "_gtFine_color.png"
        label = directory / "gtFine" / part / photo.parent.name / name
        if not label.is_file():
            raise DataError(f"pairs: {photo} has no labels {label}")
        pairs.append((label, photo))
    read = ((_decoded(label), _decoded(photo)) for label, photo in pairs)
    return _scaled(read, len(pairs), side, progress)


def _decoded(file: Path) -> Tensor:
    return torch.from_numpy(decode(file))[None]


def _scaled(
    pairs: Iterable[tuple[Tensor, Tensor]], count: int, side: int, progress: bool | None
) -> TensorSplit:
    """Label images and photos, ``(1, 3, h, w)`` each, at one size."""
    labels = torch.empty(count, 3, side, side, dtype=torch.uint8)
    photos = torch.empty_like(labels)
    for row, (label, photo) in enumerate(track(pairs, "reading pairs", progress, total=count)):
        # Mixing the colours of two classes would make a third: labels are never interpolated.
        labels[row] = F.interpolate(label, (side, side), mode="nearest-exact")[0]
        photos[row] = TensorSplit(photo, torch.zeros(1, dtype=torch.int64)).resized(side).images[0]
    return TensorSplit(labels, photos)


def _aligned(
    files: list[Path], side: int, direction: Literal["BtoA", "AtoB"], progress: bool | None
) -> TensorSplit:
    def halves() -> Iterator[tuple[Tensor, Tensor]]:
        for file in files:
            both = _decoded(file)
            if both.shape[3] % 2:
                raise DataError(
                    f"pairs: two halves of equal width required, {file} is {both.shape[3]} wide"
                )
            first, second = both.chunk(2, 3)
            yield (second, first) if direction == "BtoA" else (first, second)

    return _scaled(halves(), len(files), side, progress)


def generate_pairs(
    *, image_size: int = 64, train: int = 400, test: int = 100, seed: int = 0
) -> Dataset:
    """A street drawn by random numbers: label images and the photos that belong to them.

    Sky, houses, trees, a road between sidewalks, cars, people and poles at random places. A
    photo is the class's colour under a random light that falls off downwards, with the class's
    own stripes and some noise; so a network can learn it, and :func:`label_map` with
    :data:`PHOTO_PALETTE` recovers the classes of nearly all pixels of a good photo, in place of
    a segmentation network. Values are normalised to [-1, 1].

    >>> data = generate_pairs(image_size=32, train=3, test=2)
    >>> data.paired, data.train.shape, len(data.test)
    (True, (3, 32, 32), 2)
    """
    if image_size < 16 or min(train, test) < 1:
        raise ValueError(
            "generated_pairs: image_size must be at least 16 and train and test at least 1, got "
            f"{image_size}, {train} and {test}"
        )
    splits = []
    for part, count in enumerate((train, test)):
        drawn = [_street(np.random.default_rng([seed, part, i]), image_size) for i in range(count)]
        labels, photos = (torch.from_numpy(np.stack(side)) for side in zip(*drawn, strict=True))
        splits.append(TensorSplit(labels, photos))
    palette = tuple(CITYSCAPES_PALETTE[name] for name in PHOTO_PALETTE)
    return Dataset(
        "generated-pairs", splits[0], splits[1], tuple(PHOTO_PALETTE), _HALF, _HALF,
        Jitter(image_size * 286 // 256, image_size), AsIs(), palette,
    )  # fmt: skip


def _street(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """One label image and its photo, uint8 (3, side, side)."""
    number = {name: index for index, name in enumerate(PHOTO_PALETTE)}
    y, x = np.mgrid[0:side, 0:side] / side
    classes = np.full((side, side), number["sky"])
    horizon = rng.uniform(0.4, 0.6)
    for _ in range(rng.integers(2, 6)):
        left, width, top = rng.uniform(-0.1, 0.9), rng.uniform(0.15, 0.4), rng.uniform(0.05, 0.35)
        classes[(x >= left) & (x < left + width) & (y >= top)] = number["building"]
    for _ in range(rng.integers(1, 4)):
        centre, radius = rng.uniform(0, 1), rng.uniform(0.06, 0.14)
        crown = (x - centre) ** 2 + (y - horizon + radius) ** 2 < radius**2
        classes[crown] = number["vegetation"]
    classes[y >= horizon] = number["sidewalk"]
    middle, spread = rng.uniform(0.35, 0.65), rng.uniform(0.5, 0.9)
    half = 0.08 + spread * (y - horizon)
    classes[(y >= horizon) & (abs(x - middle) < half)] = number["road"]
    for name, most, width, height in (
        ("pole", 3, 0.03, 0.4), ("person", 3, 0.05, 0.2), ("car", 4, 0.22, 0.13)
    ):  # fmt: skip
        for _ in range(rng.integers(0, most)):
            foot = rng.uniform(horizon + 0.05, 0.95)
            size = 0.5 + (foot - horizon)
            left = rng.uniform(0, 1 - width * size)
            inside = (x >= left) & (x < left + max(width * size, 1 / side))
            classes[inside & (y < foot) & (y >= foot - height * size)] = number[name]
    labels = np.array([CITYSCAPES_PALETTE[name] for name in PHOTO_PALETTE], np.uint8)[classes]
    colours = np.array(list(PHOTO_PALETTE.values()), float)[classes]
    tilt = classes * np.pi / len(number)
    stripes = 8 * np.sin(2 * np.pi * (4 + 2 * classes) * (x * np.cos(tilt) + y * np.sin(tilt)))
    light = rng.uniform(0.9, 1.08) - 0.1 * y
    noise = rng.normal(0, 3, (side, side, 3))
    photo = np.clip(colours * light[..., None] + stripes[..., None] + noise, 0, 255)
    return labels.transpose(2, 0, 1).copy(), photo.astype(np.uint8).transpose(2, 0, 1).copy()
