"""Readers on tiny files of the true formats, hostile pickles, augmentation, resume, metrics."""

from __future__ import annotations

import io
import math
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat
from torch import Tensor

from deep.data import (
    CITYSCAPES_PALETTE,
    DATASETS,
    PHOTO_PALETTE,
    AsIs,
    Augmentation,
    Batches,
    CentreCrop,
    CropFlip,
    FileSplit,
    Jitter,
    RandomResizedCrop,
    TensorSplit,
    channel_statistics,
    dataset,
    denormalise,
    label_map,
    load,
    normalise,
    seeded,
)
from deep.data.cache import cached, default_cache, fingerprint
from deep.data.cifar import CIFAR10_CLASSES
from deep.data.folder import decode
from deep.data.pickles import read_pickle
from deep.metrics import accuracy, confusion, l1, psnr, segmentation, ssim
from theorylab.errors import DataError, UnknownNameError, UsageError

PIXELS = 3 * 32 * 32


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# --- CIFAR -------------------------------------------------------------------------------------


def python2_pickle(images: np.ndarray, labels: list[int], key: bytes = b"labels") -> bytes:
    """Byte for byte the way Python 2 and numpy 1 wrote the published files."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    number = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R"
    number += b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b")
    array += b"\x87R(K\x01" + b"".join(b"J" + struct.pack("<i", n) for n in images.shape)
    array += b"\x86" + number + b"\x89T" + struct.pack("<i", images.size) + images.tobytes() + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key) + numbers + b"u."


def write_cifar10(base: Path, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """Six batches of two images; returns the training images and labels."""
    images = rng.integers(0, 256, (12, PIXELS), dtype=np.uint8)
    labels = [int(label) for label in rng.integers(0, 10, 12)]
    folder = base / ("cifar-10-batches-bin" if kind == "binary" else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for part, name in enumerate(names):
        rows = slice(2 * part, 2 * part + 2)
        if kind == "binary":
            body = b"".join(
                bytes([label]) + image.tobytes()
                for label, image in zip(labels[rows], images[rows], strict=True)
            )
            (folder / f"{name}.bin").write_bytes(body)
        elif kind == "python2":
            (folder / name).write_bytes(python2_pickle(images[rows], labels[rows]))
        else:
            content = {b"data": images[rows], b"labels": labels[rows]}
            (folder / name).write_bytes(pickle.dumps(content, protocol=int(kind)))
    return images[:10], labels[:10]


@pytest.mark.parametrize("kind", ["binary", "python2", "2", "3", "4", "5"])
@pytest.mark.parametrize("inside", [False, True])
def test_cifar10_formats(tmp_path: Path, rng: np.random.Generator, kind: str, inside: bool) -> None:
    images, labels = write_cifar10(tmp_path, kind, rng)
    where = next(tmp_path.iterdir()) if inside else tmp_path
    data = load("cifar10", where)
    assert isinstance(data.train, TensorSplit)
    assert (len(data.train), len(data.test), data.train.shape) == (10, 2, (3, 32, 32))
    assert torch.equal(data.train.images.flatten(1), torch.from_numpy(images))
    assert data.train.targets.tolist() == labels
    assert (data.label, data.classes) == ("CIFAR-10", CIFAR10_CLASSES)
    assert data.mean == (0.4914, 0.4822, 0.4465)
    assert data.std == (0.2023, 0.1994, 0.2010)
    assert data.training == CropFlip(padding=4, flip=True)


@pytest.mark.parametrize("kind", ["binary", "python2"])
def test_cifar100_takes_fine_labels(tmp_path: Path, rng: np.random.Generator, kind: str) -> None:
    images = rng.integers(0, 256, (3, PIXELS), dtype=np.uint8)
    for name in ("train", "test"):
        if kind == "binary":
            rows = [bytes([7, 90 + i]) + image.tobytes() for i, image in enumerate(images)]
            path = tmp_path / "cifar-100-binary" / f"{name}.bin"
            body = b"".join(rows)
        else:
            path = tmp_path / "cifar-100-python" / name
            body = python2_pickle(images, [90, 91, 92], b"fine_labels")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body)
    data = load("cifar100", tmp_path)
    assert data.train.targets.tolist() == [90, 91, 92]
    assert isinstance(data.train, TensorSplit)
    assert torch.equal(data.train.images.flatten(1), torch.from_numpy(images))


class Command:
    """Unpickled by the standard reader, this would make a file."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.call = call
        self.arguments = arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call, self.arguments


def test_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "pwned"
    body = pickle.dumps({b"data": Command(os.mkdir, str(mark))})
    pickle.loads(body)  # the attack is real:
    assert mark.is_dir()
    mark.rmdir()
    path = tmp_path / "data_batch_1"
    path.write_bytes(body)
    with pytest.raises(DataError, match=r"asks for \w+\.mkdir\. Refused, and nothing in it was"):
        read_pickle(path, "cifar10")
    assert not mark.exists()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (tmp_path / name).write_bytes(body)
    with pytest.raises(DataError, match=r"^cifar10: .*mkdir"):
        load("cifar10", tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "value",
    [
        Command(eval, "1"),
        Command(getattr, "a", "upper"),
        Command(np.load, "file"),
        np.array([{}], object),
        np.array([(1, 2)], dtype="i4,i4"),
        np.array(["text"]),
        {1, 2},
        1j,
        np.float64(1.5),
    ],
    ids=["eval", "getattr", "np.load", "objects", "record", "text", "set", "complex", "scalar"],
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_anything_but_plain_data_is_refused(tmp_path: Path, value: object, protocol: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps({b"data": value}, protocol=protocol))
    with pytest.raises(DataError, match="file"):
        read_pickle(path)


@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x02cnumpy\ndtype\n.",  # a bare stand-in
        b"\x80\x02cnumpy\ndtype\n)R}(U\x01aK\x01ub.",  # state pushed into one
        b"\x80\x02cnumpy\ndtype\n}b.",  # state pushed into the class itself
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R.",
        b"\x80\x02c_codecs\nencode\nU\x01aU\x04zlib\x86R.",
        b"\x80\x02U\x03idxQ.",  # a persistent id
        b"",
        b"\x80",
        b"no pickle",
    ],
)
def test_crafted_pickles_are_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(body)
    with pytest.raises(DataError):
        read_pickle(path)


def test_array_that_claims_more_than_it_holds(tmp_path: Path, rng: np.random.Generator) -> None:
    body = python2_pickle(rng.integers(0, 256, (2, PIXELS), dtype=np.uint8), [1, 2])
    path = tmp_path / "file"
    path.write_bytes(body.replace(b"J\x02\x00\x00\x00", b"J\x00\x00\x00\x7f"))
    with pytest.raises(DataError, match="bytes for an array of shape"):
        read_pickle(path)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, 6_000), flip=st.integers(0, 255))
def test_damaged_pickles_never_get_past_as_something_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    body = bytearray(python2_pickle(np.zeros((2, PIXELS), np.uint8), [1, 2]))
    body[cut % len(body)] ^= flip
    path = tmp_path_factory.mktemp("damaged") / "file"
    path.write_bytes(bytes(body))
    try:
        content = read_pickle(path)
    except DataError:
        return
    assert isinstance(content, dict | list | int | bytes | str | tuple | np.ndarray | None)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_come_back_as_they_were(tmp_path: Path, protocol: int) -> None:
    arrays = [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(4, dtype=">i4"),
        np.array([True, False]),
    ]
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps(arrays, protocol=protocol))
    for found, array in zip(read_pickle(path), arrays, strict=True):
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)


@pytest.mark.parametrize("kind", ["binary", "python2"])
@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.xz"])
def test_cifar_archives_are_read_in_place(
    tmp_path: Path, rng: np.random.Generator, kind: str, ending: str
) -> None:
    images, labels = write_cifar10(tmp_path / "there", kind, rng)
    archive = tmp_path / f"cifar-10.{ending}"
    mode: Any = "w:" + ending.partition(".")[2]
    with tarfile.open(archive, mode) as made:
        made.add(next((tmp_path / "there").iterdir()), f"./cifar-10-batches-{kind[:2]}n"
                 if kind == "binary" else "./cifar-10-batches-py")  # fmt: skip
    data = load("cifar10", archive)
    assert isinstance(data.train, TensorSplit)
    assert torch.equal(data.train.images.flatten(1), torch.from_numpy(images))
    assert data.train.targets.tolist() == labels
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["there", archive.name])


def test_archives_cannot_reach_out(tmp_path: Path, rng: np.random.Generator) -> None:
    write_cifar10(tmp_path / "there", "binary", rng)
    folder = next((tmp_path / "there").iterdir())
    secret = tmp_path / "secret"
    secret.write_bytes((folder / "test_batch.bin").read_bytes())

    def pack(name: str, test: tarfile.TarInfo, body: bytes = b"") -> Path:
        archive = tmp_path / name
        with tarfile.open(archive, "w") as made:
            for number in range(1, 6):
                made.add(folder / f"data_batch_{number}.bin",
                         f"../../{folder.name}/data_batch_{number}.bin")  # fmt: skip
            made.addfile(test, io.BytesIO(body))
        return archive

    # Where members say they lie does not matter: nothing is written.
    body = (folder / "test_batch.bin").read_bytes()
    plain = tarfile.TarInfo(f"/etc/{folder.name}/test_batch.bin")
    plain.size = len(body)
    before = sorted(p for p in tmp_path.parent.rglob("*"))
    archive = pack("outside.tar", plain, body)
    assert len(load("cifar10", archive).test) == 2
    assert sorted(p for p in tmp_path.parent.rglob("*")) == sorted([*before, archive])
    # Links are not followed, inside or outside.
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        link = tarfile.TarInfo(f"{folder.name}/test_batch.bin")
        link.type, link.linkname = kind, str(secret)
        with pytest.raises(DataError, match=r"it lacks test_batch\.bin"):
            load("cifar10", pack("link.tar", link))
    huge = tarfile.TarInfo(f"{folder.name}/data_batch_1.bin")
    with pytest.raises(DataError, match=r"data_batch_1\.bin twice"):
        load("cifar10", pack("twice.tar", huge))
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    with pytest.raises(DataError, match="not a readable tar archive"):
        load("cifar10", tmp_path / "broken.tar")
    # A pickle in an archive is read as one outside: nothing of it runs.
    evil = tarfile.TarInfo("cifar-100-python/train")
    content = pickle.dumps(Evil(tmp_path / "ran"))
    evil.size = len(content)
    with tarfile.open(tmp_path / "evil.tar", "w") as made:
        made.addfile(evil, io.BytesIO(content))
        evil.name = "cifar-100-python/test"
        made.addfile(evil, io.BytesIO(content))
    with pytest.raises(DataError, match="nothing in it was run"):
        load("cifar100", tmp_path / "evil.tar")
    assert not (tmp_path / "ran").exists()


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.mkdir, (self.target,))


def test_cifar_errors_say_what_came(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match=r"cifar10: a directory with .* required, got none"):
        load("cifar10")
    with pytest.raises(DataError, match=r"a directory is required, got .*absent \(nothing there"):
        load("cifar10", tmp_path / "absent")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        DataError, match=r"required \(unpacked, or their tar\), got .* holding notes.txt"
    ):
        load("cifar10", tmp_path)
    write_cifar10(tmp_path, "binary", rng)
    folder = tmp_path / "cifar-10-batches-bin"
    whole = (folder / "test_batch.bin").read_bytes()
    (folder / "test_batch.bin").write_bytes(whole[:-1])
    with pytest.raises(DataError, match="records of 3073 bytes, got 6145 bytes"):
        load("cifar10", tmp_path)
    (folder / "test_batch.bin").write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(DataError, match="labels must be 0 to 9"):
        load("cifar10", tmp_path)
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"lacks data_batch_3\.bin"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "must hold a dict, got a list"),
        ({b"labels": [1]}, "needs 'data', uint8 .* got none"),
        ({b"data": np.zeros((1, 5), np.uint8)}, r"got uint8 \(1, 5\)"),
        ({b"data": np.zeros((1, PIXELS))}, "got float64"),
        ({b"data": np.zeros((1, PIXELS), np.uint8)}, "'labels', one for each of 1 images, got no"),
        ({b"data": np.zeros((1, PIXELS), np.uint8), b"labels": [1, 2]}, "of 1 images, got 2"),
        ({b"data": np.zeros((1, PIXELS), np.uint8), b"labels": [0.5]}, "whole numbers"),
    ],
)
def test_cifar_pickles_of_other_content(tmp_path: Path, content: object, message: str) -> None:
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (tmp_path / name).write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=message):
        load("cifar10", tmp_path)


# --- SVHN and STL10 ----------------------------------------------------------------------------


def test_svhn(tmp_path: Path, rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    for name in ("train", "test"):
        labels = np.array([[10], [1], [9], [2]], np.uint8)
        savemat(tmp_path / f"{name}_32x32.mat", {"X": images, "y": labels})
    data = load("svhn", tmp_path)
    assert data.train.targets.tolist() == [0, 1, 9, 2]
    assert isinstance(data.train, TensorSplit)
    assert int(data.train.images[3, 1, 5, 7]) == images[5, 7, 1, 3]
    assert data.training == CropFlip(padding=4, flip=False)
    savemat(tmp_path / "test_32x32.mat", {"X": images, "y": np.array([[0], [1], [9], [2]])})
    with pytest.raises(DataError, match=r"labels 1 to 10, got \[0, 1, 2, 9\]"):
        load("svhn", tmp_path)
    savemat(tmp_path / "test_32x32.mat", {"X": images[:, :, :, :2], "y": np.ones((3, 1))})
    with pytest.raises(DataError, match=r"needs X, uint8 \(32, 32, 3, n\)"):
        load("svhn", tmp_path)
    (tmp_path / "test_32x32.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    with pytest.raises(DataError, match="not a readable MATLAB file"):
        load("svhn", tmp_path)


def test_stl10_columns_first(tmp_path: Path, rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (2, 3, 96, 96), dtype=np.uint8)
    for part in ("train", "test"):
        (tmp_path / f"{part}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())
        (tmp_path / f"{part}_y.bin").write_bytes(bytes([1, 10]))
    data = load("stl10", tmp_path)
    assert isinstance(data.train, TensorSplit)
    assert torch.equal(data.train.images, torch.from_numpy(images))
    assert data.train.targets.tolist() == [0, 9]
    assert load("stl10", tmp_path, image_size=32).train.shape == (3, 32, 32)
    (tmp_path / "test_y.bin").write_bytes(bytes([1, 11]))
    with pytest.raises(DataError, match="labels 1 to 10, got 1 to 11"):
        load("stl10", tmp_path)
    (tmp_path / "test_y.bin").write_bytes(bytes([1]))
    with pytest.raises(DataError, match="1 labels for 2 images"):
        load("stl10", tmp_path)


# --- image folders -----------------------------------------------------------------------------


def picture(colour: tuple[int, int, int], width: int = 32, height: int = 32) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(stream, "PNG")
    return stream.getvalue()


def write_folder(
    base: Path, classes: tuple[str, ...], test: str = "test", size: tuple[int, int] = (32, 32)
) -> Path:
    for part, count in (("train", 3), (test, 1)):
        for number, name in enumerate(classes):
            folder = base / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f"{index}.png").write_bytes(picture((number, index, 7), *size))
    return base


def pack(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:xz") as stream:
        stream.add(folder, arcname=".")
    return archive


@pytest.mark.parametrize("test", ["test", "val"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("jobs", [1, 2])
def test_folder(tmp_path: Path, test: str, packed: bool, jobs: int) -> None:
    where = write_folder(tmp_path / "birds", ("b", "a"), test)
    if packed:
        where = pack(where, tmp_path / "birds.tar.xz")
    data = load("folder", where, cache=tmp_path / "cache", jobs=jobs)
    assert data.classes == ("a", "b")
    assert data.label == "birds"
    assert isinstance(data.train, TensorSplit)
    assert data.train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.targets.tolist() == [0, 1]
    # files were numbered by the order of writing: "b" is 0, "a" is 1
    assert data.train.images[:, :, 4, 9].tolist() == [
        [1, 0, 7], [1, 1, 7], [1, 2, 7], [0, 0, 7], [0, 1, 7], [0, 2, 7]
    ]  # fmt: skip


def test_cifar10_jpeg_label_and_classes(tmp_path: Path) -> None:
    where = pack(write_folder(tmp_path / "images", CIFAR10_CLASSES), tmp_path / "c.tar.xz")
    data = load("cifar10-jpeg", where, cache=tmp_path / "cache")
    assert data.label == "CIFAR-10-JPEG"
    assert data.mean == (0.4914, 0.4822, 0.4465)
    assert data.test.targets.tolist() == list(range(10))
    other = write_folder(tmp_path / "other", ("cat", "dog"))
    with pytest.raises(DataError, match=r"classes airplane, .* required, .* has cat, dog"):
        load("cifar10-jpeg", other, cache=tmp_path / "cache")


def test_decoding_happens_once_and_again_when_the_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = write_folder(tmp_path / "images", ("a",))
    calls = []

    def counting(source: Path, side: int | None = None, name: str = "") -> np.ndarray:
        calls.append(name)
        return decode(source, side, name)

    monkeypatch.setattr("deep.data.folder.decode", counting)
    monkeypatch.setenv("THEORYLAB_CACHE", str(tmp_path / "cache"))
    first = load("folder", where, image_size=32)
    assert len(calls) == 4
    again = load("folder", where, image_size=32)
    assert len(calls) == 4
    assert isinstance(first.train, TensorSplit)
    assert isinstance(again.train, TensorSplit)
    assert torch.equal(first.train.images, again.train.images)
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".npz"]
    changed = where / "train" / "a" / "0.png"
    changed.write_bytes(picture((9, 9, 9)))
    os.utime(changed, ns=(1, 1))
    third = load("folder", where, image_size=32)
    assert len(calls) == 8
    assert isinstance(third.train, TensorSplit)
    assert third.train.images[0, 0, 0, 0] == 9


def test_cache_survives_damage_and_unwritable_places(tmp_path: Path) -> None:
    made = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return {"x": np.arange(1000)}

    cached(tmp_path, "key", make)
    path = tmp_path / "key.npz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (b"", whole[:100], flipped):
        before = len(made)
        path.write_bytes(damaged)
        assert np.array_equal(cached(tmp_path, "key", make)["x"], np.arange(1000))
        assert len(made) == before + 1
        assert path.read_bytes() == whole
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.warns(UserWarning, match="decoded images are not kept"):
        assert np.array_equal(cached(blocked / "sub", "key", make)["x"], np.arange(1000))


def test_fingerprint_and_default_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one")
    first = fingerprint(file)
    file.write_bytes(b"two")
    assert fingerprint(file) != first
    monkeypatch.delenv("THEORYLAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "theorylab"


def test_folder_errors(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=r"train/CLASS/ and test/CLASS/ .* holding train/"):
        load("folder", tmp_path, cache=cache)
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match=r"images in train/CLASS/ required .* holding nothing"):
        load("folder", tmp_path, cache=cache)
    base = write_folder(tmp_path / "images", ("a",), size=(20, 10))
    with pytest.raises(DataError, match=r"image_size required, .* is not square"):
        load("folder", base, cache=cache)
    assert load("folder", base, image_size=8, cache=cache).train.shape == (3, 8, 8)
    (base / "train" / "a" / "0.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"0\.png is not a readable image"):
        load("folder", base, image_size=8, cache=cache)
    mixed = write_folder(tmp_path / "mixed", ("a",))
    (mixed / "train" / "a" / "1.png").write_bytes(picture((1, 1, 1), 16, 16))
    with pytest.raises(DataError, match=r"differ in size: .*1\.png is 16x16, the first 32x32"):
        load("folder", mixed, cache=cache)
    (mixed / "test" / "z").mkdir()
    (mixed / "test" / "z" / "0.png").write_bytes(picture((1, 1, 1)))
    with pytest.raises(DataError, match="classes that train lacks: z"):
        load("folder", mixed, image_size=32, cache=cache)
    archive = tmp_path / "broken.tar.xz"
    archive.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="not a readable tar archive"):
        load("folder", archive, cache=cache)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="got 0 and 0 images"):
        load("folder", pack(empty, tmp_path / "empty.tar"), cache=cache)
    assert not list(cache.glob("*.part"))


def test_decode_scales_the_shorter_side_and_cuts_the_centre() -> None:
    strip = np.zeros((4, 12, 3), np.uint8)
    strip[:, 4:8] = 200
    stream = io.BytesIO()
    Image.fromarray(strip).save(stream, "PNG")
    assert np.array_equal(decode(stream.getvalue(), 4), np.full((3, 4, 4), 200))
    assert decode(stream.getvalue()).shape == (3, 4, 12)
    grey = io.BytesIO()
    Image.new("L", (2, 2), 5).save(grey, "PNG")
    assert np.array_equal(decode(grey.getvalue()), np.full((3, 2, 2), 5))


def test_large_folders_are_read_on_demand(tmp_path: Path) -> None:
    where = write_folder(tmp_path / "images", ("a", "b"), "val", (40, 32))
    settings = {"image_size": 32, "jobs": 2, "cache": tmp_path / "cache"}
    whole, lazy = (load("folder", where, memory_limit=limit, **settings) for limit in (2**30, 1000))
    assert isinstance(whole.train, TensorSplit)
    assert isinstance(lazy.train, FileSplit)
    order = torch.tensor([5, 0, 3])
    for part, other in ((whole.train, lazy.train), (whole.train.subset(order),) * 2):
        assert torch.equal(part.targets, other.targets)
    for ours, theirs in zip(whole.train.take(order), lazy.train.take(order), strict=True):
        assert torch.equal(ours, theirs)
    assert lazy.train.subset(order).take(torch.tensor([1]))[1].tolist() == [0]
    assert lazy.train.to("cpu").shape == (3, 32, 32)


def test_imagenet(tmp_path: Path) -> None:
    where = write_folder(tmp_path / "images", ("n01440764", "n01443537"), "val", (50, 40))
    data = load("imagenet", where, image_size=32, crop=24, cache=tmp_path / "cache")
    assert data.label == "ImageNet"
    assert data.input_size == (3, 24, 24)
    assert data.mean == (0.485, 0.456, 0.406)
    batch = data.batches(6, seed=0).draw()
    assert batch.images.shape == (6, 3, 24, 24)
    assert [b.images.shape for b in data.in_order(data.test, 2)] == [(2, 3, 24, 24)]


JPEG = os.environ.get("THEORYLAB_CIFAR10_JPEG", "")


@pytest.mark.slow
@pytest.mark.skipif(not JPEG, reason="THEORYLAB_CIFAR10_JPEG names no copy")
def test_the_real_jpeg_set() -> None:
    data = load("cifar10-jpeg", JPEG, jobs=2)
    assert torch.bincount(data.train.targets).tolist() == [5000] * 10
    assert torch.bincount(data.test.targets).tolist() == [1000] * 10
    assert isinstance(data.train, TensorSplit)
    # JPEG keeps means; the published ones are CIFAR-10's own
    assert channel_statistics(data.train.images)[0] == pytest.approx(data.mean, abs=5e-4)


# --- pairs -------------------------------------------------------------------------------------


def test_aligned_pairs(tmp_path: Path) -> None:
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        both = np.zeros((8, 16, 3), np.uint8)
        both[:, :8], both[:, 8:] = (10, 20, 30), (128, 64, 128)
        Image.fromarray(both).save(tmp_path / part / "1.png")
    data = load("cityscapes", tmp_path, image_size=4)
    assert data.paired
    labels, photos = data.train.take(torch.tensor([0]))
    assert labels[0, :, 0, 0].tolist() == [128, 64, 128]
    assert photos[0, :, 3, 3].tolist() == [10, 20, 30]
    assert label_map(labels, data.palette).unique().tolist() == [data.classes.index("road")]
    turned = load("cityscapes", tmp_path, image_size=4, direction="AtoB")
    assert torch.equal(turned.train.take(torch.tensor([0]))[1], labels)
    Image.new("RGB", (7, 4)).save(tmp_path / "val" / "1.png")
    with pytest.raises(DataError, match=r"two halves of equal width required, .* is 7 wide"):
        load("cityscapes", tmp_path, image_size=4)
    (tmp_path / "val" / "1.png").unlink()
    with pytest.raises(DataError, match=r"test/ or val/ with images of two halves .or leftImg8bit"):
        load("cityscapes", tmp_path)


def write_cityscapes(base: Path, part: str, city: str, colour: tuple[int, int, int]) -> None:
    for folder, ending, mode, value in (
        ("leftImg8bit", "leftImg8bit", "RGB", (10, 20, 30)),
        ("gtFine", "gtFine_color", "RGBA", (*colour, 255)),
    ):
        where = base / folder / part / city
        where.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (16, 8), value).save(where / f"{city}_000001_{ending}.png")


def test_cityscapes_as_it_is_published(tmp_path: Path) -> None:
    road, car = CITYSCAPES_PALETTE["road"], CITYSCAPES_PALETTE["car"]
    for part, city, colour in (("train", "aachen", road), ("train", "bremen", car),
                               ("val", "lindau", road)):  # fmt: skip
        write_cityscapes(tmp_path, part, city, colour)
    # Neither other renderings of the labels nor the test set without labels get in the way.
    Image.new("L", (16, 8)).save(
        tmp_path / "gtFine" / "train" / "aachen" / "aachen_000001_gtFine_labelIds.png"
    )
    (tmp_path / "leftImg8bit" / "test").mkdir()
    data = load("cityscapes", tmp_path, image_size=4)
    assert (data.label, len(data.train), len(data.test)) == ("Cityscapes", 2, 1)
    labels, photos = data.train.take(torch.tensor([0, 1]))
    found = label_map(labels, data.palette)
    assert [data.classes[int(x)] for x in found[:, 0, 0]] == ["road", "car"]
    assert photos.shape == labels.shape == (2, 3, 4, 4)
    assert photos[1, :, 3, 3].tolist() == [10, 20, 30]
    (tmp_path / "gtFine" / "val" / "lindau" / "lindau_000001_gtFine_color.png").unlink()
    with pytest.raises(DataError, match=r"lindau_000001_leftImg8bit\.png has no labels"):
        load("cityscapes", tmp_path, image_size=4)
    (tmp_path / "leftImg8bit" / "val" / "lindau" / "lindau_000001_leftImg8bit.png").unlink()
    with pytest.raises(DataError, match=r"leftImg8bit/val/CITY/.* required"):
        load("cityscapes", tmp_path, image_size=4)


def test_generated_pairs() -> None:
    data, again, other = (
        load("generated-pairs", image_size=32, train=20, test=4, seed=seed) for seed in (0, 0, 1)
    )
    every = torch.arange(20)
    labels, photos = data.train.take(every)
    for ours, theirs in zip((labels, photos), again.train.take(every), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(labels, other.train.take(every)[0])
    assert not torch.equal(labels[:4], data.test.take(every[:4])[0])
    truth = label_map(labels, data.palette)
    assert truth.unique().tolist() == list(range(8))
    # labels hold the palette's colours alone, so mapping back is exact
    assert torch.equal(torch.tensor(data.palette, dtype=torch.uint8)[truth].movedim(3, 1), labels)
    seen = label_map(photos, tuple(PHOTO_PALETTE.values()))
    score = segmentation(confusion(seen, truth, 8))
    assert score.per_pixel > 0.97
    assert score.class_iou > 0.9


def test_pairs_move_together() -> None:
    data = load("generated-pairs", image_size=32, train=8, test=2)
    labels, _ = data.train.take(torch.arange(8))
    same = TensorSplit(labels, labels)
    batch = data.batches(8, seed=3, split=same).draw()
    assert torch.equal(batch.images, batch.targets)
    assert batch.images.shape == (8, 3, 32, 32)
    assert batch.images.abs().max() <= 1
    assert batch.images.min() < -0.9


# --- augmentation ------------------------------------------------------------------------------


def numbered(count: int, channels: int = 3, side: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (count, channels, side, side)
    return torch.randint(1, 256, shape, generator=generator, dtype=torch.uint8)


def crop_by_hand(image: Tensor, top: int, left: int, flip: int, padding: int) -> np.ndarray:
    side = image.shape[1]
    padded = np.pad(image.numpy(), ((0, 0), (padding, padding), (padding, padding)))
    window = padded[:, top : top + side, left : left + side]
    return window[:, :, ::-1] if flip else window


@settings(max_examples=25, deadline=None)
@given(padding=st.integers(0, 5), flip=st.booleans(), seed=st.integers(0, 1000))
def test_crop_and_flip_against_a_loop(padding: int, flip: bool, seed: int) -> None:
    augmentation = CropFlip(padding, flip)
    uniform = torch.rand(6, 3, generator=seeded(seed), dtype=torch.float64)
    images = numbered(6)
    plan = augmentation.plan(uniform, 8, 8)
    out = augmentation.apply(images, plan)
    assert out.dtype == torch.uint8
    for row, (top, left, turned) in enumerate(plan.tolist()):
        assert 0 <= min(top, left) <= max(top, left) <= 2 * padding
        assert np.array_equal(out[row], crop_by_hand(images[row], top, left, turned, padding))


def test_every_offset_and_flip_is_equally_likely() -> None:
    draws = 90_000
    uniform = torch.rand(draws, 3, generator=seeded(0), dtype=torch.float64)
    plan = CropFlip(padding=4).plan(uniform, 32, 32)
    cells = torch.bincount((plan[:, 0] * 9 + plan[:, 1]) * 2 + plan[:, 2], minlength=162)
    expected = draws / 162
    chi2 = float(((cells - expected) ** 2 / expected).sum())
    assert chi2 < 161 + 5 * math.sqrt(2 * 161)
    assert CropFlip(padding=4, flip=False).plan(uniform, 32, 32)[:, 2].sum() == 0
    edge = torch.full((1, 3), math.nextafter(1.0, 0.0), dtype=torch.float64)
    assert CropFlip(padding=4).plan(edge, 32, 32).tolist() == [[8, 8, 0]]


def test_jitter_without_enlarging_is_a_crop() -> None:
    images = numbered(4, side=9)
    augmentation = Jitter(load=9, size=6)
    out = augmentation.apply(images, torch.tensor([[0, 0, 0], [3, 3, 0], [1, 2, 1], [3, 0, 1]]))
    assert torch.equal(out[0], images[0, :, :6, :6].float())
    assert torch.equal(out[1], images[1, :, 3:, 3:].float())
    assert torch.equal(out[2], images[2, :, 1:7, 2:8].flip(-1).float())
    assert augmentation.output_size(9, 9) == (6, 6)
    assert Jitter(18, 12).apply(images, torch.zeros(4, 3, dtype=torch.int64)).shape[2:] == (12, 12)


def test_random_resized_crop_by_hand() -> None:
    images = numbered(3, side=8)
    plan = torch.tensor(
        [[0.5, 0.5, 1.0, 1.0, 0.0], [0.5, 0.5, 1.0, 1.0, 1.0], [0.25, 0.75, 0.5, 0.5, 0.0]]
    )
    same = RandomResizedCrop(size=8).apply(images, plan)
    assert torch.allclose(same[0], images[0].float(), atol=1e-3)
    assert torch.allclose(same[1], images[1].flip(-1).float(), atol=1e-3)
    quarter = RandomResizedCrop(size=4).apply(images, plan)
    assert torch.allclose(quarter[2], images[2, :, 4:, :4].float(), atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), height=st.integers(8, 20), width=st.integers(8, 20))
def test_random_resized_crop_stays_inside(seed: int, height: int, width: int) -> None:
    augmentation = RandomResizedCrop(size=8)
    uniform = torch.rand(200, 5, generator=seeded(seed), dtype=torch.float64)
    x, y, wide, tall, _ = augmentation.plan(uniform, height, width).unbind(1)
    for centre, extent in ((x, wide), (y, tall)):
        assert (centre - extent / 2).min() >= -1e-6
        assert (centre + extent / 2).max() <= 1 + 1e-6
    whole = (wide < 1) & (tall < 1)
    area = (wide * tall)[whole]
    assert area.min() >= 0.08 - 1e-6
    ratio = ((wide * width) / (tall * height))[whole]
    assert ratio.min() >= 0.75 - 1e-4
    assert ratio.max() <= 4 / 3 + 1e-4


@pytest.mark.parametrize(
    "augmentation",
    [AsIs(), CropFlip(), Jitter(12, 10), CentreCrop(6), RandomResizedCrop(6)],
    ids=lambda a: type(a).__name__,
)
def test_size_is_as_announced(augmentation: Augmentation) -> None:
    images = numbered(5, side=10)
    numbers = torch.rand(5, augmentation.numbers, dtype=torch.float64, generator=seeded(0))
    out = augmentation.apply(images, augmentation.plan(numbers, 10, 10))
    assert tuple(out.shape[2:]) == augmentation.output_size(10, 10)


def test_normalisation_by_hand_and_back() -> None:
    images = numbered(2)
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    out = normalise(images, mean, std)
    expected = (int(images[1, 2, 3, 4]) / 255 - 0.4465) / 0.2010
    assert float(out[1, 2, 3, 4]) == pytest.approx(expected, rel=1e-5)
    assert torch.equal(denormalise(out, mean, std), images)
    assert normalise(images, mean, std, torch.bfloat16).dtype == torch.bfloat16
    assert normalise(images, mean, std, torch.float64).dtype == torch.float64


def test_channel_statistics_against_numpy() -> None:
    images = numbered(7)
    mean, std = channel_statistics(images)
    scaled = images.numpy() / 255
    assert mean == pytest.approx(scaled.mean((0, 2, 3)), rel=1e-12)
    assert std == pytest.approx(scaled.std((0, 2, 3)), rel=1e-12)


# --- batches -----------------------------------------------------------------------------------


def toy(samples: int = 23) -> TensorSplit:
    return TensorSplit(numbered(samples), torch.arange(samples))


def make(split: TensorSplit, seed: int = 0, batch: int = 5, **options: object) -> Batches:
    return Batches(
        split, batch, seeded(seed), augmentation=CropFlip(2), mean=(0.5,) * 3, std=(0.25,) * 3,
        **options,  # type: ignore[arg-type]
    )  # fmt: skip


def test_an_epoch_is_a_permutation_and_the_next_another() -> None:
    batches = make(toy())
    first, second = ([b.rows for b in batches] for _ in range(2))
    assert [len(rows) for rows in first] == [5, 5, 5, 5, 3]
    assert sorted(torch.cat(first).tolist()) == list(range(23))
    assert sorted(torch.cat(second).tolist()) == list(range(23))
    assert torch.cat(first).tolist() != torch.cat(second).tolist()
    assert batches.epoch == 1
    assert [len(b.rows) for b in make(toy(), drop_last=True)] == [5, 5, 5, 5]


@settings(max_examples=30, deadline=None)
@given(stop=st.integers(0, 17), seed=st.integers(0, 99))
def test_resumes_bit_for_bit_anywhere(stop: int, seed: int) -> None:
    whole, half = make(toy(), seed), make(toy(), seed)
    for _ in range(stop):
        whole.draw()
        half.draw()
    stream = io.BytesIO()
    torch.save(half.state_dict(), stream)
    stream.seek(0)
    resumed = make(toy(), seed + 1)  # its own generator must not matter
    resumed.load_state_dict(torch.load(stream, weights_only=True))
    assert (resumed.epoch, resumed.position) == (whole.epoch, whole.position)
    for _ in range(8):
        for ours, theirs in zip(whole.draw(), resumed.draw(), strict=True):
            assert torch.equal(ours, theirs)


def test_iterating_finishes_the_epoch_under_way() -> None:
    batches = make(toy())
    rows = [batches.draw().rows, batches.draw().rows]
    rows += [b.rows for b in batches]
    assert sorted(torch.cat(rows).tolist()) == list(range(23))
    assert batches.position == len(batches)


def test_twins_share_order_and_augmentation() -> None:
    split = toy()
    twin = split.replaced(11, torch.zeros(3, 8, 8, dtype=torch.uint8), 99)
    differing = 0
    for ours, theirs in zip(make(split), make(twin), strict=True):
        assert torch.equal(ours.rows, theirs.rows)
        other = ours.rows != 11
        assert torch.equal(ours.images[other], theirs.images[other])
        differing += int((ours.targets != theirs.targets).sum())
    assert differing == 1
    assert split.targets[11] == 11


@pytest.mark.parametrize("world", [2, 3])
def test_shards_make_up_the_batches(world: int) -> None:
    whole = make(toy())
    shards = [make(toy(), shard=(rank, world)) for rank in range(world)]
    for batch in whole:
        parts = [shard.draw() for shard in shards]
        for rank, part in enumerate(parts):
            assert torch.equal(part.images, batch.images[rank::world])
        assert sum(len(part.rows) for part in parts) == len(batch.rows)


def test_evaluation_sees_every_sample_once_in_order_and_unchanged() -> None:
    data = load("digits")
    seen = list(data.in_order(data.test, 100))
    assert [len(b.images) for b in seen] == [100, 100, 100, 60]
    assert torch.equal(torch.cat([b.rows for b in seen]), torch.arange(360))
    images = denormalise(torch.cat([b.images for b in seen]), data.mean, data.std)
    assert isinstance(data.test, TensorSplit)
    assert torch.equal(images, data.test.images)


def test_batches_refuse_the_impossible() -> None:
    split = toy()
    with pytest.raises(UsageError, match="batch_size must be between 1 and the 23 samples, got 24"):
        make(split, batch=24)
    with pytest.raises(UsageError, match=r"shard must be .* got \(2, 2\)"):
        make(split, shard=(2, 2))
    with pytest.raises(UsageError, match=r"<= 3 .the smallest batch"):
        make(split, shard=(0, 4))
    with pytest.raises(UsageError, match="the state has batch_size 5, here it is 6"):
        make(split, batch=6).load_state_dict(make(split).state_dict())
    with pytest.raises(UsageError, match="non-negative"):
        seeded(-1)


def test_digits() -> None:
    data = load("digits")
    assert (len(data.train), len(data.test), data.train.shape) == (1437, 360, (1, 8, 8))
    both = torch.cat([data.train.targets, data.test.targets])
    assert torch.bincount(both).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert isinstance(data.train, TensorSplit)
    assert len(data.train.images.unique()) == 17
    large = load("digits", image_size=32)
    assert large.input_size == (1, 32, 32)
    assert large.to("cpu").train.device == torch.device("cpu")
    assert data.train.subset(torch.tensor([3, 1])).targets.tolist() == [
        int(data.train.targets[3]), int(data.train.targets[1])
    ]  # fmt: skip
    with pytest.raises(ValueError, match="test must be between 1 and 1796"):
        load("digits", test=0)


def test_splits_check_what_they_are_given() -> None:
    images = numbered(3)
    with pytest.raises(ValueError, match=r"images must be uint8 .* got torch.float32"):
        TensorSplit(images.float(), torch.arange(3))
    with pytest.raises(ValueError, match=r"targets must be int64 .* got torch.int32"):
        TensorSplit(images, torch.arange(3, dtype=torch.int32))
    with pytest.raises(ValueError, match="3 images but 2 targets"):
        TensorSplit(images, torch.arange(2))


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_source_says_what_it_needs(name: str, tmp_path: Path) -> None:
    source = dataset(name)
    assert "image_size" in source.options
    if source.layout:
        with pytest.raises(DataError, match=f"^{name}: a directory with .* required, got none"):
            load(name)
        with pytest.raises(DataError, match=r"nothing"):
            load(name, tmp_path)
    else:
        with pytest.raises(DataError, match=f"{name}: no directory is read"):
            load(name, tmp_path)
    with pytest.raises(UsageError, match="has no option 'colour'; it has"):
        load(name, tmp_path, colour=1)


def test_unknown_data_set() -> None:
    with pytest.raises(UnknownNameError, match="did you mean cifar10"):
        load("cifar1")


# --- metrics -----------------------------------------------------------------------------------


class TestMetrics:
    def test_accuracy_counts_samples(self) -> None:
        assert accuracy([4, 1], [5, 2]) == 5 / 7

    def test_the_authors_form_reads_low_on_a_short_batch(self) -> None:
        sizes = [128] * 78 + [16]
        assert accuracy(sizes, sizes) == 1
        by_hand = (78 * 128 + 16 * 16 / 128) / 10_000
        assert accuracy(sizes, sizes, 128, "authors") == pytest.approx(by_hand, rel=1e-14)
        assert round(by_hand, 4) == 0.9986
        with pytest.raises(ValueError, match="requires batch_size"):
            accuracy([1], [1], None, "authors")
        with pytest.raises(ValueError, match="2 counts for 1 batches"):
            accuracy([1, 1], [1])

    def test_l1_and_psnr_by_hand(self) -> None:
        x = torch.tensor([[[[0.0, 10.0], [20.0, 30.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
        y = torch.tensor([[[[1.0, 8.0], [20.0, 33.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
        assert l1(x, y).tolist() == [1.5, 0.0]
        by_hand = 10 * math.log10(255**2 / ((1 + 4 + 0 + 9) / 4))
        assert psnr(x, y, 255)[0].item() == pytest.approx(by_hand, rel=1e-6)
        assert psnr(x, y, 255)[1].item() == math.inf

    def test_ssim_of_constants(self) -> None:
        x, y = torch.full((1, 1, 12, 12), 0.3).double(), torch.full((1, 1, 12, 12), 0.6).double()
        c1 = 0.01**2
        by_hand = (2 * 0.3 * 0.6 + c1) / (0.3**2 + 0.6**2 + c1)
        assert ssim(x, y, 1.0).item() == pytest.approx(by_hand, rel=1e-9)

    def test_ssim_of_one_window_against_numpy(self) -> None:
        generator = np.random.default_rng(1)
        x, y = generator.uniform(0, 255, (2, 11, 11))
        g = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
        weights = np.outer(g, g) / g.sum() ** 2
        mx, my = (weights * x).sum(), (weights * y).sum()
        vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
        cov = (weights * (x - mx) * (y - my)).sum()
        c1, c2 = 2.55**2, 7.65**2
        by_hand = (2 * mx * my + c1) * (2 * cov + c2)
        by_hand /= (mx**2 + my**2 + c1) * (vx + vy + c2)
        first, second = (torch.from_numpy(v)[None, None] for v in (x, y))
        found = ssim(first, second, 255)
        assert found.item() == pytest.approx(by_hand, rel=1e-9)
        with pytest.raises(ValueError, match="at least 11"):
            ssim(torch.zeros(1, 1, 10, 11), torch.zeros(1, 1, 10, 11), 1.0)

    def test_ssim_keeps_images_and_channels_apart(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x, y = torch.rand(2, 3, 2, 16, 16, generator=generator, dtype=torch.float64)
        alone = [
            ssim(x[i : i + 1, c : c + 1], y[i : i + 1, c : c + 1], 1.0).item()
            for i in range(3) for c in range(2)
        ]  # fmt: skip
        assert ssim(x, y, 1.0).tolist() == pytest.approx(np.reshape(alone, (3, 2)).mean(1))

    def test_segmentation_by_hand(self) -> None:
        target = torch.tensor([[0, 0, 0, 1], [1, 2, 2, 255]])
        called = torch.tensor([[0, 0, 1, 1], [2, 2, 2, 0]])
        counts = confusion(called, target, 4, ignore=255)
        assert counts.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0]]
        score = segmentation(counts)
        assert score.per_pixel == pytest.approx(5 / 7)
        assert score.per_class == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
        assert score.class_iou == pytest.approx((2 / 3 + 1 / 3 + 2 / 3) / 3)
        zero = segmentation(counts, absent="zero")
        assert zero.per_class == pytest.approx((2 / 3 + 1 / 2 + 1) / 4)
        assert zero.class_iou == pytest.approx((2 / 3 + 1 / 3 + 2 / 3) / 4)

    def test_a_class_called_but_absent_lowers_iou_only(self) -> None:
        counts = confusion(torch.tensor([0, 1]), torch.tensor([0, 0]), 2)
        score = segmentation(counts)
        assert (score.per_class, score.class_iou) == (0.5, 0.25)

    def test_confusion_refuses(self) -> None:
        with pytest.raises(ValueError, match="classes 0 to 1 required, got 0 to 2"):
            confusion(torch.tensor([0, 2]), torch.tensor([0, 0]), 2)
        with pytest.raises(ValueError, match="shapes differ"):
            confusion(torch.tensor([0]), torch.tensor([0, 0]), 2)
        with pytest.raises(ValueError, match="no pixel was counted"):
            segmentation(torch.zeros(2, 2))
