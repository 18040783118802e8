"""The two-convolution network: the smallest one here, for images of any size from 4x4."""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["TwoConv"]


@final
class TwoConv(nn.Module):
    """``conv(32) pool conv(64) pool 512 classes``, both kernels 5x5, padded to keep the size.

    ``dropout`` acts before the last layer.

    Source: McMahan et al., Communication-Efficient Learning (2017), Section 3: 1,663,370
    parameters on 28x28 grey images. The stochastic-batch-size paper's printed text describes
    no two-convolution network, so its shape is taken from there.
    Shapes: ``(n, in_channels, image_size, image_size)`` to ``(n, num_classes)``.

    >>> TwoConv(image_size=8)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        image_size: int = 28,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if image_size < 4:
            raise ValueError(f"TwoConv: image_size must be at least 4, got {image_size}")
        self.conv1 = nn.Conv2d(in_channels, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc1 = nn.Linear(64 * (image_size // 4) ** 2, 512)
        self.fc2 = nn.Linear(512, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(self.dropout(F.relu(self.fc1(torch.flatten(x, 1)))))
