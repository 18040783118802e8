"""Readers on tiny files of the true formats, hostile pickles, augmentation, resume, metrics."""

from __future__ import annotations

import io
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
from scipy.io import savemat

from deep.data import (
    CropFlip,
    TensorSplit,
    load,
)
from deep.data.cifar import CIFAR10_CLASSES
from deep.data.pickles import read_pickle
from theorylab.errors import DataError

PIXELS = 3 * 32 * 32


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


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
