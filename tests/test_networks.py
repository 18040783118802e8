"""Every registered network: counts against published numbers and against a formula, shapes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from deep.networks import NETWORKS, Network, network, networks, parameter_count
from deep.networks.densenet import DenseNet
from deep.networks.pix2pix import PatchGAN, UNet
from deep.networks.resnet import PadShortcut, Residual, ResNet
from deep.networks.vgg import VGG
from deep.regularizers import StochasticDepth, rates_by_depth
from theorylab.errors import UnknownNameError, UsageError

# What others have published (or print) for the same architecture.
PUBLISHED = {
    "lenet": 62_006,
    "two_conv": 1_663_370,  # McMahan et al. (2017), Section 3
    "vgg11": 9_756_426,
    "vgg16": 15_253_578,
    "resnet20": 269_722,
    "resnet56": 853_018,
    "resnet18": 11_173_962,
    "resnet50": 23_520_842,
    "resnet101": 42_512_970,
    "resnet18_imagenet": 11_689_512,
    "resnet50_imagenet": 25_557_032,
    "densenet121": 6_956_298,
    "pix2pix_unet256": 54_413_955,
    "pix2pix_patchgan": 2_768_705,
}


def conv(width: int, out: int, kernel: int, bias: bool = False) -> int:
    return width * out * kernel**2 + (out if bias else 0)


def linear(width: int, out: int) -> int:
    return width * out + out


def vgg_count(widths: list[int]) -> int:
    pairs = zip([3, *widths], widths, strict=False)
    features = sum(conv(a, b, 3, bias=True) + 2 * b for a, b in pairs)
    return features + 2 * linear(512, 512) + linear(512, 10)


def thin_count(blocks: int, projection: bool = False) -> int:
    total = conv(3, 16, 3) + 2 * 16 + linear(64, 10)
    for width, before in ((16, 16), (32, 16), (64, 32)):
        total += conv(before, width, 3) + (2 * blocks - 1) * conv(width, width, 3)
        total += 2 * blocks * 2 * width
        if projection and before != width:
            total += conv(before, width, 1) + 2 * width
    return total


def wide_count(blocks: tuple[int, ...], expansion: int, stem: int, classes: int) -> int:
    current = 64
    total = conv(3, 64, stem) + 2 * 64
    for level, count in enumerate(blocks):
        inner, out = 64 * 2**level, 64 * 2**level * expansion
        for index in range(count):
            if expansion == 1:
                total += conv(current, inner, 3) + conv(inner, inner, 3) + 4 * inner
            else:
                total += conv(current, inner, 1) + conv(inner, inner, 3) + conv(inner, out, 1)
                total += 4 * inner + 2 * out
            if index == 0 and (level > 0 or current != out):
                total += conv(current, out, 1) + 2 * out
            current = out
    return total + linear(current, classes)


def dense_count() -> int:
    width, total = 64, conv(3, 64, 3)
    for level, count in enumerate((6, 12, 24, 16)):
        if level > 0:
            total += 2 * width + conv(width, width // 2, 1)
            width //= 2
        for _ in range(count):
            total += 2 * width + conv(width, 128, 1) + 2 * 128 + conv(128, 32, 3)
            width += 32
    return total + 2 * width + linear(width, 10)


def unet_count() -> int:
    widths = [64, 128, 256, 512, 512, 512, 512, 512]
    down = sum(conv(a, b, 4) for a, b in zip([3, *widths], widths, strict=False))
    norms = 2 * sum(widths[1:7]) + 2 * sum(widths[:7])
    up = conv(512, 512, 4) + sum(conv(2 * widths[k], widths[k - 1], 4) for k in range(1, 7))
    return down + norms + up + conv(128, 3, 4, bias=True)


FORMULAS = {
    "lenet": conv(3, 6, 5, True) + conv(6, 16, 5, True)
    + linear(400, 120) + linear(120, 84) + linear(84, 10),
    "two_conv": conv(1, 32, 5, True) + conv(32, 64, 5, True)
    + linear(7 * 7 * 64, 512) + linear(512, 10),
    "vgg11": vgg_count([64, 128, 256, 256, 512, 512, 512, 512]),
    "vgg16": vgg_count([64, 64, 128, 128, *[256] * 3, *[512] * 6]),
    "resnet20": thin_count(3),
    "resnet56": thin_count(9),
    "resnet18": wide_count((2, 2, 2, 2), 1, 3, 10),
    "resnet50": wide_count((3, 4, 6, 3), 4, 3, 10),
    "resnet101": wide_count((3, 4, 23, 3), 4, 3, 10),
    "resnet18_imagenet": wide_count((2, 2, 2, 2), 1, 7, 1000),
    "resnet50_imagenet": wide_count((3, 4, 6, 3), 4, 7, 1000),
    "densenet121": dense_count(),
    "pix2pix_unet256": unet_count(),
    "pix2pix_patchgan": conv(6, 64, 4, True) + conv(64, 128, 4) + conv(128, 256, 4)
    + conv(256, 512, 4) + 2 * (128 + 256 + 512) + conv(512, 1, 4, True),
}  # fmt: skip

OUTPUT = {"pix2pix_unet256": (2, 3, 256, 256), "pix2pix_patchgan": (2, 1, 30, 30)}
every = pytest.mark.parametrize("entry", NETWORKS.values(), ids=list(NETWORKS))
classifiers = pytest.mark.parametrize(
    "name", [n.name for n in NETWORKS.values() if n.kind == "classifier"]
)


@every
def test_count_is_the_published_one_and_the_formula(entry: Network) -> None:
    module = entry.canonical()
    assert parameter_count(module) == entry.parameters
    assert entry.parameters == PUBLISHED[entry.name] == FORMULAS[entry.name]


@every
def test_output_shape(entry: Network) -> None:
    with torch.device("meta"):
        out = entry.build()(torch.zeros(2, *entry.input_size))
    assert tuple(out.shape) == OUTPUT.get(entry.name, (2, entry.outputs))


@every
def test_other_classes_and_channels(entry: Network) -> None:
    channels = entry.input_size[0] + 1
    with torch.device("meta"):
        module = entry.build(7, channels)
        out = module(torch.zeros(2, channels, *entry.input_size[1:]))
    assert out.shape[1] == 7


@every
def test_smallest_image(entry: Network) -> None:
    with torch.device("meta"):
        module = entry.build(image_size=entry.smallest).eval()
        out = module(torch.zeros(2, entry.input_size[0], entry.smallest, entry.smallest))
    assert out.shape[0] == 2
    if entry.smallest > 1:
        with pytest.raises(UsageError, match=f"side {entry.smallest} or more, got"):
            entry.build(image_size=entry.smallest - 1)


@pytest.mark.parametrize("name", [n.name for n in NETWORKS.values() if n.parameters < 2_000_000])
def test_same_seed_same_weights_and_untouched_generator(name: str) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (network(name).build(seed=s).state_dict() for s in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_projection_shortcuts_have_the_other_well_known_counts() -> None:
    for name, blocks, count in (("resnet20", 3, 272_474), ("resnet56", 9, 855_770)):
        with torch.device("meta"):
            module = network(name).build(shortcut="B")
        assert parameter_count(module) == count == thin_count(blocks, projection=True)


def test_padding_shortcut_by_hand() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    out = PadShortcut(1, 3, 2)(x)
    assert torch.equal(out[0, 1], torch.tensor([[0.0, 2.0], [8.0, 10.0]]))
    assert not out[0, 0].any()
    assert not out[0, 2].any()


def tiny(kind: str, dropout: float = 0.0, stochastic_depth: float = 0.0) -> nn.Module:
    if kind == "vgg":
        return VGG(((4,), (8,)), hidden=(6,), dropout=dropout, depth_dropout=stochastic_depth)
    if kind == "densenet":
        return DenseNet((2, 2), 4, dropout=dropout)
    if kind == "bottleneck":
        return ResNet((1, 1), 4, 4, dropout=dropout, stochastic_depth=stochastic_depth)
    if kind in ("lenet", "two_conv"):
        return network(kind).build(in_channels=3, image_size=16, dropout=dropout)
    return ResNet((2, 2), 4, shortcut="A", dropout=dropout, stochastic_depth=stochastic_depth)


TINY = ["lenet", "two_conv", "vgg", "plain", "bottleneck", "densenet"]


@pytest.mark.parametrize("kind", TINY)
def test_every_parameter_gets_a_gradient(kind: str) -> None:
    torch.manual_seed(0)
    module = tiny(kind)
    module(torch.randn(4, 3, 16, 16)).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # A bias in front of batch norm is cancelled by it; everything else moves the output.
        if not (kind == "vgg" and name.startswith("features") and name.endswith("bias")):
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", TINY)
def test_dropout_is_random_in_training_and_silent_in_evaluation(kind: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 16, 16)
    module = tiny(kind, dropout=0.5)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))
    plain = tiny(kind)
    assert torch.equal(plain(x), plain(x))


@pytest.mark.parametrize("kind", ["vgg", "plain", "bottleneck"])
def test_depth_regulariser_is_random_in_training_only(kind: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 16, 16)
    module = tiny(kind, stochastic_depth=0.9)
    outputs = {tuple(module(x).flatten().tolist()) for _ in range(12)}
    assert len(outputs) > 1
    module.eval()
    assert torch.equal(module(x), module(x))


@classifiers
def test_every_classifier_takes_dropout(name: str) -> None:
    with torch.device("meta"):
        network(name).build(dropout=0.5)


def test_dropout_of_lrsgds_vgg16_is_on() -> None:
    with torch.device("meta"):
        head = network("vgg16").build().classifier
    assert isinstance(head, nn.Sequential)
    assert [m.p for m in head if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    assert [m.in_features for m in head if isinstance(m, nn.Linear)] == [512, 512, 512]


class TestStochasticDepth:
    def test_rates(self) -> None:
        assert rates_by_depth(5, 0.5) == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5))
        with pytest.raises(ValueError, match="last must be in"):
            rates_by_depth(5, 1.0)
        with pytest.raises(ValueError, match="rate must be in"):
            StochasticDepth(-0.1)

    def test_resnet_rates_grow_with_depth(self) -> None:
        module = ResNet((2, 2), 4, stochastic_depth=0.4)
        rates = [m.rate for m in module.modules() if isinstance(m, StochasticDepth)]
        assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4])

    @pytest.mark.parametrize(("per", "shared"), [("batch", True), ("sample", False)])
    def test_keeps_with_the_stated_probability(self, per: str, shared: bool) -> None:
        torch.manual_seed(0)
        module = StochasticDepth(0.3, per=per)  # type: ignore[arg-type]
        draws = torch.stack([module(torch.ones(16, 1, 1, 1)).flatten() for _ in range(2000)])
        assert set(draws.unique().tolist()) == {0.0, 1.0}
        assert bool((draws == draws[:, :1]).all()) is shared
        # five standard errors of 2,000 independent coins
        assert abs(float(draws[:, 0].mean()) - 0.7) < 5 * (0.21 / 2000) ** 0.5

    def test_dropped_block_is_its_shortcut(self) -> None:
        block = Residual(4, 4, 1, 1, "A", 0.999999)
        x = torch.randn(2, 4, 6, 6).relu()
        assert torch.equal(block(x), x)


class TestPix2pix:
    def test_depth_follows_the_image(self) -> None:
        for side in (4, 32, 256, 512):
            with torch.device("meta"):
                module = network("pix2pix_unet256").build(image_size=side, width=4)
                assert module(torch.zeros(1, 3, side, side)).shape == (1, 3, side, side)
            assert module.depth == min(8, side.bit_length() - 1)

    def test_wrong_side_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"multiples of 8, got \(12, 12\)"):
            UNet(depth=3, width=2)(torch.zeros(1, 3, 12, 12))

    def test_works_on_single_images_in_training(self) -> None:
        torch.manual_seed(0)
        label = torch.rand(1, 3, 32, 32)
        photo = UNet(depth=5, width=4)(label)
        logits = PatchGAN(width=4)(torch.cat([label, photo], 1))
        logits.sum().backward()
        assert photo.abs().max() <= 1
        assert logits.shape == (1, 1, 2, 2)

    def test_a_logit_sees_70_pixels(self) -> None:
        torch.manual_seed(0)
        module = PatchGAN(1, 1, width=2).eval()
        x = torch.zeros(1, 1, 128, 128, requires_grad=True)
        module(x)[0, 0, 7, 7].backward()
        assert x.grad is not None
        seen = x.grad[0, 0].abs().sum(0).nonzero().flatten()
        assert int(seen[-1] - seen[0]) + 1 == 70

    def test_initial_spread(self) -> None:
        torch.manual_seed(0)
        module = UNet(depth=4, width=8)
        weights = torch.cat([p.detach().flatten() for p in module.parameters() if p.ndim == 4])
        assert float(weights.std()) == pytest.approx(0.02, rel=0.03)
        gains = torch.cat(
            [m.weight.detach() for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
        )
        assert float(gains.mean()) == pytest.approx(1.0, abs=0.01)
        assert 0.01 < float(gains.std()) < 0.03


def test_he_initialisation_spread() -> None:
    torch.manual_seed(0)
    module = network("resnet20").build()
    weight: Tensor = module.get_parameter("stages.2.1.branch.0.weight").detach()
    assert float(weight.std(unbiased=False)) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)


def test_unknown_names_and_options() -> None:
    with pytest.raises(UnknownNameError, match="did you mean resnet20"):
        network("resnet2")
    with pytest.raises(UsageError, match="'lenet' has no option 'depth'; it has dropout"):
        network("lenet").build(depth=3)
    assert set(NETWORKS) <= set(networks())
