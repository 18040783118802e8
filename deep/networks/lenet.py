"""LeNet for 32x32 images: two 5x5 convolutions, three linear layers."""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LeNet"]


@final
class LeNet(nn.Module):
    """LeNet-5 with rectifiers, max pooling and full connections.

    ``conv(6) pool conv(16) pool 120 84 classes``, both kernels 5x5 without padding, so that a
    32x32 image ends as 16 maps of 5x5. ``dropout`` acts before each of the last two layers.

    Source: LeCun et al. (1998), in the form the LRSGD paper trains on CIFAR-10.
    Shapes: ``(n, in_channels, image_size, image_size)`` to ``(n, num_classes)``.

    >>> LeNet()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        image_size: int = 32,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        side = ((image_size - 4) // 2 - 4) // 2
        if side < 1:
            raise ValueError(f"LeNet: image_size must be at least 16, got {image_size}")
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.dropout(F.relu(self.fc1(torch.flatten(x, 1))))
        return self.fc3(self.dropout(F.relu(self.fc2(x))))
