"""Readers on tiny files of the true formats, hostile pickles, augmentation, resume, metrics."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from deep_data import make
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deep.data import (
    DATASETS,
    AsIs,
    Augmentation,
    CentreCrop,
    CropFlip,
    Jitter,
    RandomResizedCrop,
    TensorSplit,
    channel_statistics,
    dataset,
    denormalise,
    load,
    normalise,
    seeded,
)
from deep.data.batches import Batches
from deep.metrics import accuracy, confusion, l1, psnr, segmentation, ssim
from theorylab.errors import DataError, UnknownNameError, UsageError


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
    [AsIs(), CropFlip(), Jitter(12, 10), CentreCrop(6), CentreCrop(13), RandomResizedCrop(6)],
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


def toy(samples: int = 23) -> TensorSplit:
    return TensorSplit(numbered(samples), torch.arange(samples))


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


@pytest.mark.parametrize("augmentation", [AsIs(), CropFlip(2, flip=True), CentreCrop(20)])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_made_ahead_are_those_made_one_by_one(
    augmentation: Augmentation, drop_last: bool
) -> None:
    split = load("digits").train.subset(torch.arange(101))
    found = []
    for ahead in (True, False):
        batches = Batches(split, 7, torch.Generator().manual_seed(3), augmentation=augmentation,
                          drop_last=drop_last)  # fmt: skip
        assert batches._block > 7
        batches._block = 28 if ahead else 0
        drawn = []
        for step in range(40):
            if step == 17:  # in the middle of what was made ahead
                state = batches.state_dict()
                batches = Batches(split, 7, torch.Generator(), augmentation=augmentation,
                                  drop_last=drop_last)  # fmt: skip
                batches._block = 28 if ahead else 0
                batches.load_state_dict(state)
            drawn.append(batches.draw())
        found.append(drawn)
    for one, other in zip(*found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


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
