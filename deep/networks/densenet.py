"""DenseNet121 for 32x32 images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DenseNet", "densenet121"]


@final
class DenseLayer(nn.Module):
    """``[x, conv3(relu(bn(conv1(relu(bn(x))))))]``: adds ``growth`` channels to its input."""

    def __init__(self, width: int, growth: int, dropout: float) -> None:
        super().__init__()
        inner = 4 * growth
        self.norm1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, growth, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
        return torch.cat([x, self.dropout(new)], 1)


@final
class DenseNet(nn.Module):
    """DenseNet-BC: dense blocks joined by transitions that halve channels and side.

    Parameters
    ----------
    blocks : sequence of int
        Dense layers in each block.
    growth : int
        Channels a layer adds; the 3x3 stem has twice as many.
    dropout : float
        Rate after each 3x3 convolution (the paper uses 0.2 without augmentation).

    Source: Huang et al. (2017), Table 1, with a 3x3 stem and no stem pooling for small images.
    Initialised as in He et al. (2015), fan in. Shapes: ``(n, in_channels, h, w)``, h and w at
    least ``2 ** (len(blocks) - 1)``, to ``(n, num_classes)``.

    >>> DenseNet((2, 2), 4)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        blocks: Sequence[int],
        growth: int = 32,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = 2 * growth
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 3, padding=1, bias=False)]
        for level, count in enumerate(blocks):
            if level > 0:
                layers += [
                    nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1, bias=False),
                    nn.AvgPool2d(2),
                ]  # fmt: skip
                width //= 2
            for _ in range(count):
                layers.append(DenseLayer(width, growth, dropout))
                width += growth
        layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


def densenet121(
    num_classes: int = 10, in_channels: int = 3, *, growth: int = 32, dropout: float = 0.0
) -> DenseNet:
    """DenseNet121: blocks of 6, 12, 24, 16 layers, growth 32."""
    return DenseNet(
        (6, 12, 24, 16), growth, num_classes=num_classes, in_channels=in_channels, dropout=dropout
    )
