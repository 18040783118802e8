"""Image folders, one folder a class: any of them, ImageNet, and CIFAR-10 as JPEG files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed
from PIL import Image

from deep.data.augment import CentreCrop, CropFlip, RandomResizedCrop
from deep.data.cache import cached, default_cache, fingerprint
from deep.data.cifar import CIFAR10_CLASSES, CIFAR10_MEAN, CIFAR10_STD
from deep.data.dataset import Dataset
from deep.data.files import contents, required_directory
from deep.data.splits import FileSplit, Split, TensorSplit, channel_statistics
from theorylab.errors import DataError, printable
from theorylab.progress import track
from theorylab.regular import regular

__all__ = ["read_cifar10_jpeg", "decode", "read_folder", "read_imagenet"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm"}
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM")
_LARGEST = 2**26  # pixels; a file of some kilobytes can ask for any number
_BYTES, _ALL = 2**28, 2**36  # of one image in a tar, and of all
_TEST_NAMES = ("test", "val", "valid", "validation")
# Enters the cache's key: to be raised when decoding changes.
_VERSION = 1


class Listing(NamedTuple):
    """The images of one split: where, and of which class."""

    names: list[str]
    classes: list[str]
    sources: Sequence[Path | bytes]


def decode(source: Path | bytes, side: int | None = None, name: str = "") -> np.ndarray:
    """One image as uint8 of shape ``(3, h, w)``, in RGB.

    With ``side`` the shorter side is scaled to it (bilinear) and the centre is cut out.

    Raises
    ------
    DataError
        If the image cannot be read.
    """
    label = name or (str(source) if isinstance(source, Path) else "an image")
    try:
        stream = io.BytesIO(source) if isinstance(source, bytes) else regular(source)
        with stream, Image.open(stream, formats=_FORMATS) as opened:
            if opened.width * opened.height > _LARGEST:
                raise ValueError(f"it has {opened.width}x{opened.height} pixels")
            image = opened.convert("RGB")
    except Exception as error:  # a damaged image can fail in nearly any way
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise DataError(f"{label} is not a readable image: {reason}") from None
    if side is not None and image.size != (side, side):
        scale = side / min(image.size)
        width, height = (max(side, round(length * scale)) for length in image.size)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        image = image.crop((left, top, left + side, top + side))
    return np.ascontiguousarray(np.asarray(image, np.uint8).transpose(2, 0, 1))


def read_folder(
    directory: Path,
    *,
    image_size: int | None = None,
    jobs: int = 1,
    cache: Path | None = None,
    memory_limit: int = 8 * 2**30,
    progress: bool | None = None,
) -> Dataset:
    """Any image folder: ``train/CLASS/*`` and ``test/CLASS/*`` (or ``val``), or a tar of them.

    Parameters
    ----------
    directory : Path
        The folder, or a ``.tar`` (also ``.xz``, ``.gz``, ``.bz2``) that holds it.
    image_size : int, optional
        Side the images are scaled and cut to; not needed if all have one square size.
    jobs : int
        Decoding threads.
    cache : Path, optional
        Where decoded images are kept; by default ``$THEORYLAB_CACHE`` or the user's cache.
    memory_limit : int
        Bytes of decoded images beyond which a folder's files are read as they are needed.
    progress : bool, optional
        Show a bar; by default on a terminal.

    Raises
    ------
    DataError
        If there is no such layout, or an image cannot be read.
    """
    return _folder(
        "folder", directory.name.split(".")[0] or "folder", directory,
        image_size, jobs, cache, memory_limit, progress,
    )  # fmt: skip


def read_imagenet(
    directory: Path,
    *,
    image_size: int = 256,
    crop: int = 224,
    jobs: int = 4,
    cache: Path | None = None,
    memory_limit: int = 8 * 2**30,
    progress: bool | None = None,
) -> Dataset:
    """ImageNet from ``train/nXXXXXXXX/*`` and ``val/nXXXXXXXX/*``; as :func:`read_folder`.

    Images are decoded to 256x256 (shorter side scaled, centre cut) as they are needed, then a
    random resized crop of 224 is taken on the device; in evaluation the centre. So a crop never
    reaches what the centre cut left out, unlike in the usual code.
    """
    data = _folder(
        "imagenet", "ImageNet", directory, image_size, jobs, cache, memory_limit, progress
    )
    return Dataset(
        data.label, data.train, data.test, data.classes, IMAGENET_MEAN, IMAGENET_STD,
        RandomResizedCrop(crop), CentreCrop(crop),
    )  # fmt: skip


def read_cifar10_jpeg(
    directory: Path,
    *,
    jobs: int = 1,
    cache: Path | None = None,
    progress: bool | None = None,
) -> Dataset:
    """CIFAR-10 as JPEG files, a folder or a tar; lossy, so labelled ``CIFAR-10-JPEG``.

    Layout and parameters as in :func:`read_folder`; normalised with CIFAR-10's constants.
    """
    data = _folder("cifar10-jpeg", "CIFAR-10-JPEG", directory, 32, jobs, cache, 8 * 2**30, progress)
    if data.classes != CIFAR10_CLASSES:
        raise DataError(
            f"cifar10-jpeg: the classes {', '.join(CIFAR10_CLASSES)} required, {directory} has "
            f"{', '.join(data.classes)}"
        )
    return Dataset(
        data.label, data.train, data.test, CIFAR10_CLASSES, CIFAR10_MEAN, CIFAR10_STD,
        CropFlip(padding=4),
    )  # fmt: skip


def _folder(
    who: str, label: str, path: Path, side: int | None, jobs: int, cache: Path | None,
    memory_limit: int, progress: bool | None,
) -> Dataset:  # fmt: skip
    if path.is_file():
        # The hash comes before the listing: a cached archive need not be unpacked.
        key, listings = fingerprint(path), None
    else:
        listings = _list_folder(who, path)
        files = [file for listing in listings for file in listing.sources]
        key = fingerprint(path, [file for file in files if isinstance(file, Path)])
        if side is not None and len(files) * 3 * side**2 > memory_limit:
            return _on_demand(label, listings, side, jobs)

    def make() -> dict[str, np.ndarray]:
        found = listings or _list_archive(who, path)
        classes = sorted(set(found[0].classes))
        arrays: dict[str, np.ndarray] = {"classes": np.array(classes)}
        for part, listing in zip(("train", "test"), found, strict=True):
            arrays[f"{part}_images"] = _decode_all(who, listing, side, jobs, progress)
            arrays[f"{part}_labels"] = _numbers(who, part, listing, classes)
        return arrays

    where = default_cache() if cache is None else cache
    name = f"images-{_VERSION}-{side}-{key}"
    arrays = cached(where, name, lambda: _unchanged(who, path, key, make))
    train, test = (
        TensorSplit(*(torch.from_numpy(arrays[f"{part}_{what}"]) for what in ("images", "labels")))
        for part in ("train", "test")
    )
    mean, std = channel_statistics(train.images)
    padding = train.shape[1] // 8
    classes = tuple(arrays["classes"].tolist())
    return Dataset(label, train, test, classes, mean, std, CropFlip(padding))


def _unchanged(
    who: str, path: Path, key: str, make: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What ``make`` read, if the source is still the one that the key was taken of."""
    arrays = make()
    files = [] if path.is_file() else [f for x in _list_folder(who, path) for f in x.sources]
    if fingerprint(path, [file for file in files if isinstance(file, Path)]) != key:
        raise DataError(f"{who}: {path} was changed while it was read; run it again")
    return arrays


def _on_demand(label: str, listings: tuple[Listing, Listing], side: int, jobs: int) -> Dataset:
    classes = sorted(set(listings[0].classes))
    splits: list[Split] = []
    for part, listing in zip(("train", "test"), listings, strict=True):
        files = [file for file in listing.sources if isinstance(file, Path)]
        labels = torch.from_numpy(_numbers(label, part, listing, classes))
        splits.append(FileSplit(files, labels, side, decode, jobs))
    # Statistics would need every image decoded: ImageNet's constants stand in.
    return Dataset(
        label, splits[0], splits[1], tuple(classes), IMAGENET_MEAN, IMAGENET_STD,
        CropFlip(side // 8),
    )  # fmt: skip


def _list_folder(who: str, directory: Path) -> tuple[Listing, Listing]:
    required_directory(who, directory)
    parts = {p.name: p for p in directory.iterdir() if p.is_dir()}
    test = next((parts[name] for name in _TEST_NAMES if name in parts), None)
    train = parts.get("train")
    if train is None or test is None:
        raise DataError(
            f"{who}: train/CLASS/ and test/CLASS/ (or val/CLASS/) with images required, "
            f"got {directory} holding {contents(directory)}"
        )
    listings = []
    for part in (train, test):
        files = sorted(p for p in part.glob("*/*") if p.suffix.lower() in _SUFFIXES)
        if not files:
            raise DataError(
                f"{who}: images in {part.name}/CLASS/ required ({' '.join(sorted(_SUFFIXES))}), "
                f"got {part} holding {contents(part)}"
            )
        listings.append(Listing([str(f) for f in files], [f.parent.name for f in files], files))
    return listings[0], listings[1]


def _list_archive(who: str, path: Path) -> tuple[Listing, Listing]:
    """Images of a tar, read in one pass; nothing is unpacked to disk."""
    found: dict[str, list[tuple[str, str, bytes]]] = {"train": [], "test": []}
    total = 0
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if not member.isfile() or name.suffix.lower() not in _SUFFIXES:
                    continue
                if len(name.parts) < 3 or (stream := archive.extractfile(member)) is None:
                    continue
                total += member.size
                if member.size > _BYTES or total > _ALL:
                    raise DataError(f"{who}: {path} holds {printable(member.name)} with "
                                    f"{member.size} bytes, {total} so far: unpack it")  # fmt: skip
                part = "test" if name.parts[-3] in _TEST_NAMES else name.parts[-3]
                if part in found:
                    found[part].append((str(name), name.parts[-2], stream.read()))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{who}: {path} is not a readable tar archive: {error}") from None
    if not found["train"] or not found["test"]:
        counts = {part: len(items) for part, items in found.items()}
        raise DataError(
            f"{who}: train/CLASS/ and test/CLASS/ (or val/CLASS/) with images required in "
            f"{path}, got {counts['train']} and {counts['test']} images"
        )
    train, test = (
        Listing(*(list(column) for column in zip(*sorted(found[part]), strict=True)))
        for part in ("train", "test")
    )
    return train, test


def _numbers(who: str, part: str, listing: Listing, classes: list[str]) -> np.ndarray:
    number = {name: index for index, name in enumerate(classes)}
    if unknown := sorted(set(listing.classes) - set(number)):
        raise DataError(f"{who}: {part} has classes that train lacks: {', '.join(unknown[:5])}")
    return np.array([number[name] for name in listing.classes], np.int64)


def _decode_all(
    who: str, listing: Listing, side: int | None, jobs: int, progress: bool | None
) -> np.ndarray:
    """All images of a listing, in chunks over ``jobs`` threads (decoding releases the GIL)."""
    chunks = [range(i, min(i + 512, len(listing.names))) for i in range(0, len(listing.names), 512)]
    if side is None:
        first = decode(listing.sources[0], None, listing.names[0]).shape
        if first[1] != first[2]:
            raise DataError(f"{who}: image_size required, {listing.names[0]} is not square")
        side = first[1]
        exact = True
    else:
        exact = False

    def chunk(rows: range) -> list[np.ndarray]:
        images = []
        for row in rows:
            image = decode(listing.sources[row], None if exact else side, listing.names[row])
            if image.shape != (3, side, side):
                raise DataError(
                    f"{who}: image_size required, the images differ in size: {listing.names[row]} "
                    f"is {image.shape[2]}x{image.shape[1]}, the first {side}x{side}"
                )
            images.append(image)
        return images

    parallel = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
    parts: Iterator[list[np.ndarray]] = parallel(delayed(chunk)(rows) for rows in chunks)
    out = np.empty((len(listing.names), 3, side, side), np.uint8)
    shown = track(parts, f"decoding {who}", progress, total=len(chunks))
    for rows, images in zip(chunks, shown, strict=True):
        out[rows.start : rows.stop] = images
    return out
