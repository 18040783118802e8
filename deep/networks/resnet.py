"""Residual networks: the thin ones for CIFAR, the wide ones for 32x32 images and for ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep.regularizers import StochasticDepth, rates_by_depth

__all__ = ["Residual", "ResNet", "resnet18", "resnet20", "resnet50", "resnet56", "resnet101"]

Shortcut = Literal["A", "B"]


def _conv(width: int, out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(width, out, kernel, stride, kernel // 2, bias=False)


@final
class PadShortcut(nn.Module):
    """Option A: every ``stride``-th pixel, the new channels zero on either side; no parameters."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (out - width) // 2
        self.after = out - width - self.before

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


@final
class Residual(nn.Module):
    """``relu(shortcut(x) + depth(branch(x)))``: the post-activation block of He et al. (2016).

    The branch is two 3x3 convolutions (``expansion`` 1) or 1x1, 3x3, 1x1 with a fourfold wider
    end (``expansion`` 4, the stride on the 3x3 one), each followed by batch norm.
    """

    def __init__(
        self, width: int, inner: int, stride: int, expansion: int, shortcut: Shortcut, drop: float
    ) -> None:
        super().__init__()
        out = inner * expansion
        if expansion == 1:
            convolutions = [_conv(width, inner, 3, stride), _conv(inner, out, 3)]
        else:
            convolutions = [
                _conv(width, inner, 1), _conv(inner, inner, 3, stride), _conv(inner, out, 1)
            ]  # fmt: skip
        layers: list[nn.Module] = []
        for conv in convolutions:
            layers += [conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU()]
        self.branch = nn.Sequential(*layers[:-1])
        self.shortcut: nn.Module
        if stride == 1 and width == out:
            self.shortcut = nn.Identity()
        elif shortcut == "A":
            self.shortcut = PadShortcut(width, out, stride)
        else:
            self.shortcut = nn.Sequential(_conv(width, out, 1, stride), nn.BatchNorm2d(out))
        self.depth = StochasticDepth(drop) if drop > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.depth(self.branch(x)))


@final
class ResNet(nn.Module):
    """Stem, stages of residual blocks (each after the first halves the side), mean, linear.

    Parameters
    ----------
    blocks : sequence of int
        Blocks in each stage.
    width : int
        Inner width of the first stage, doubled at every further one.
    expansion : 1 or 4
        Two 3x3 convolutions a block, or a bottleneck.
    stem : "small" or "imagenet"
        3x3 convolution, or 7x7 of stride 2 and a max pooling.
    shortcut : "A" or "B"
        Where shapes change: padding with zeros, or a 1x1 convolution with batch norm.
    dropout : float
        Rate before the linear layer.
    stochastic_depth : float
        Drop rate of the last block; it grows linearly from the first.

    Source: He et al. (2016). Convolutions are initialised as in He et al. (2015), fan out.
    Shapes: ``(n, in_channels, h, w)`` to ``(n, num_classes)``.

    >>> ResNet((1, 1), 4, num_classes=5)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        blocks: Sequence[int],
        width: int,
        expansion: int = 1,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        stem: Literal["small", "imagenet"] = "small",
        shortcut: Shortcut = "B",
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        if stem == "small":
            layers = [_conv(in_channels, width, 3), nn.BatchNorm2d(width), nn.ReLU()]
        else:
            layers = [
                _conv(in_channels, width, 7, 2), nn.BatchNorm2d(width), nn.ReLU(),
                nn.MaxPool2d(3, 2, 1),
            ]  # fmt: skip
        self.stem = nn.Sequential(*layers)
        rates = iter(rates_by_depth(sum(blocks), stochastic_depth))
        stages = []
        current = width
        for level, count in enumerate(blocks):
            inner = width * 2**level
            stage = []
            for index in range(count):
                stride = 2 if level > 0 and index == 0 else 1
                stage.append(Residual(current, inner, stride, expansion, shortcut, next(rates)))
                current = inner * expansion
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(current, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stages(self.stem(x)))
        return self.fc(self.dropout(torch.flatten(x, 1)))


def _thin(
    blocks: int, num_classes: int, in_channels: int, shortcut: Shortcut, dropout: float,
    stochastic_depth: float,
) -> ResNet:  # fmt: skip
    return ResNet(
        (blocks,) * 3, 16, num_classes=num_classes, in_channels=in_channels, shortcut=shortcut,
        dropout=dropout, stochastic_depth=stochastic_depth,
    )  # fmt: skip


def resnet20(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    shortcut: Shortcut = "A",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> ResNet:
    """ResNet20 for CIFAR: three stages of three blocks, widths 16, 32, 64, option A."""
    return _thin(3, num_classes, in_channels, shortcut, dropout, stochastic_depth)


def resnet56(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    shortcut: Shortcut = "A",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> ResNet:
    """ResNet56 for CIFAR: three stages of nine blocks, widths 16, 32, 64, option A."""
    return _thin(9, num_classes, in_channels, shortcut, dropout, stochastic_depth)


def resnet18(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    stem: Literal["small", "imagenet"] = "small",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> ResNet:
    """ResNet18: stages of 2, 2, 2, 2 plain blocks, widths 64 to 512."""
    return ResNet(
        (2, 2, 2, 2), 64, num_classes=num_classes, in_channels=in_channels, stem=stem,
        dropout=dropout, stochastic_depth=stochastic_depth,
    )  # fmt: skip


def resnet50(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    stem: Literal["small", "imagenet"] = "small",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> ResNet:
    """ResNet50: stages of 3, 4, 6, 3 bottlenecks, inner widths 64 to 512."""
    return ResNet(
        (3, 4, 6, 3), 64, 4, num_classes=num_classes, in_channels=in_channels, stem=stem,
        dropout=dropout, stochastic_depth=stochastic_depth,
    )  # fmt: skip


def resnet101(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    stem: Literal["small", "imagenet"] = "small",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> ResNet:
    """ResNet101: stages of 3, 4, 23, 3 bottlenecks, inner widths 64 to 512."""
    return ResNet(
        (3, 4, 23, 3), 64, 4, num_classes=num_classes, in_channels=in_channels, stem=stem,
        dropout=dropout, stochastic_depth=stochastic_depth,
    )  # fmt: skip
