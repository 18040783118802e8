"""Readers on tiny files of the true formats, hostile pickles, augmentation, resume, metrics."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from deep_data import pack
from PIL import Image

from deep.data import (
    CITYSCAPES_PALETTE,
    PHOTO_PALETTE,
    FileSplit,
    TensorSplit,
    channel_statistics,
    label_map,
    load,
)
from deep.data.cache import cached, default_cache, fingerprint
from deep.data.cifar import CIFAR10_CLASSES
from deep.data.folder import decode
from deep.metrics import confusion, segmentation
from theorylab.errors import DataError


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
    assert not list(cache.glob(".*.tmp"))


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
