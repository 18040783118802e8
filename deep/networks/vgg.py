"""VGG with batch norm for 32x32 images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from deep.regularizers import rates_by_depth

__all__ = ["VGG", "vgg11", "vgg16"]

# Widths of each stage's convolutions; a 2x2 max pooling ends every stage.
STAGES_11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))
STAGES_16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@final
class VGG(nn.Module):
    """3x3 convolutions with batch norm in five stages, then a small classifier.

    Parameters
    ----------
    stages : sequence of sequences of int
        Widths of the convolutions of each stage.
    hidden : sequence of int
        Widths of the classifier's hidden layers; ``()`` leaves one linear layer.
    dropout : float
        Rate before every linear layer of the classifier.
    depth_dropout : float
        Rate after the last convolution, growing linearly from the first: what stands for
        stochastic depth here, where no layer can be skipped (our choice, off by default).

    Source: Simonyan and Zisserman (2015), configurations A and D, with batch norm. Initialised
    as in He et al. (2015), fan out. Shapes: ``(n, in_channels, h, w)``, h and w at least 32,
    to ``(n, num_classes)``.

    >>> VGG(((4,),), 10, hidden=())(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        stages: Sequence[Sequence[int]],
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        hidden: Sequence[int] = (512, 512),
        dropout: float = 0.0,
        depth_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        rates = iter(rates_by_depth(sum(map(len, stages)), depth_dropout))
        layers: list[nn.Module] = []
        width = in_channels
        for stage in stages:
            for out in stage:
                layers += [nn.Conv2d(width, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
                if (rate := next(rates)) > 0:
                    layers.append(nn.Dropout(rate))
                width = out
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        head: list[nn.Module] = []
        for out in hidden:
            head += [nn.Dropout(dropout), nn.Linear(width, out), nn.ReLU()]
            width = out
        # A hidden-less classifier keeps its one dropout; the 512-512 one ends in a bare layer.
        head += [nn.Linear(width, num_classes)] if hidden else [
            nn.Dropout(dropout), nn.Linear(width, num_classes)
        ]  # fmt: skip
        self.classifier = nn.Sequential(*head)
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


def vgg11(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    hidden: Sequence[int] = (512, 512),
    dropout: float = 0.0,
    depth_dropout: float = 0.0,
) -> VGG:
    """VGG11 (configuration A); the stochastic-batch-size paper's dropout arm sets 0.5."""
    return VGG(
        STAGES_11, num_classes, in_channels,
        hidden=hidden, dropout=dropout, depth_dropout=depth_dropout,
    )  # fmt: skip


def vgg16(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    hidden: Sequence[int] = (512, 512),
    dropout: float = 0.5,
    depth_dropout: float = 0.0,
) -> VGG:
    """VGG16 (configuration D) with LRSGD's 512-512 classifier and dropout."""
    return VGG(
        STAGES_16, num_classes, in_channels,
        hidden=hidden, dropout=dropout, depth_dropout=depth_dropout,
    )  # fmt: skip
