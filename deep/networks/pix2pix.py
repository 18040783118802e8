"""pix2pix: the U-Net generator and the patch discriminator."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

__all__ = ["PatchGAN", "UNet", "patchgan", "unet256"]


def _initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), batch-norm gains N(1, 0.02), biases 0, as the paper's appendix says."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, 0.02)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
        else:
            continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)


@final
class UNet(nn.Module):
    """Encoder and decoder of stride-2 4x4 convolutions with skips between equal sides.

    With ``depth`` levels the widths are ``width * min(2**k, 8)`` and the innermost side is
    ``side / 2**depth``. Batch norm everywhere but at the outermost and innermost convolutions;
    leaky rectifiers (0.2) going down, rectifiers going up, ``tanh`` at the end. ``dropout`` acts
    on the (at most three) full-width levels above the innermost one. Trained on single images,
    batch norm normalises by the image's own statistics; pix2pix keeps that, and the dropout, at
    test time too (``module.train()``).

    Source: Isola et al. (2017), Appendix 6.1. Shapes: ``(n, in_channels, s, s)`` with s a
    multiple of ``2**depth``, to ``(n, out_channels, s, s)`` in [-1, 1].

    >>> UNet(3, 3, depth=3, width=4)(torch.zeros(1, 3, 16, 16)).shape
    torch.Size([1, 3, 16, 16])
    """

    def __init__(
        self,
        out_channels: int = 3,
        in_channels: int = 3,
        *,
        depth: int = 8,
        width: int = 64,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"UNet: depth must be at least 2, got {depth}")
        self.depth = depth
        widths = [width * min(2**level, 8) for level in range(depth)]
        down: list[nn.Module] = []
        for level, out in enumerate(widths):
            layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if level > 0 else []
            before = widths[level - 1] if level > 0 else in_channels
            layers.append(nn.Conv2d(before, out, 4, 2, 1, bias=False))
            if 0 < level < depth - 1:
                layers.append(nn.BatchNorm2d(out))
            down.append(nn.Sequential(*layers))
        up: list[nn.Module] = []
        for level in range(depth - 1, 0, -1):
            before = widths[level] * (1 if level == depth - 1 else 2)
            layers = [
                nn.ReLU(),
                nn.ConvTranspose2d(before, widths[level - 1], 4, 2, 1, bias=False),
                nn.BatchNorm2d(widths[level - 1]),
            ]
            if 4 <= level < depth - 1:
                layers.append(nn.Dropout(dropout))
            up.append(nn.Sequential(*layers))
        up.append(
            nn.Sequential(
                nn.ReLU(), nn.ConvTranspose2d(2 * widths[0], out_channels, 4, 2, 1), nn.Tanh()
            )
        )
        self.down = nn.ModuleList(down)
        self.up = nn.ModuleList(up)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % 2**self.depth or x.shape[-2] % 2**self.depth:
            raise ValueError(
                f"UNet: the image sides must be multiples of {2**self.depth}, "
                f"got {tuple(x.shape[-2:])}"
            )
        skips: list[Tensor] = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x = self.up[0](skips.pop())
        for layer in list(self.up)[1:]:
            x = layer(torch.cat([skips.pop(), x], 1))
        return x


@final
class PatchGAN(nn.Module):
    """Judges overlapping patches (70x70 with three levels) of an input and output side by side.

    Logits, one a patch: no sigmoid.

    Source: Isola et al. (2017), Appendix 6.1.2. Shapes: ``(n, in_channels, s, s)``, the label
    and the photo concatenated, to ``(n, 1, s/8 - 2, s/8 - 2)`` with three levels.

    >>> PatchGAN(width=4)(torch.zeros(1, 6, 64, 64)).shape
    torch.Size([1, 1, 6, 6])
    """

    def __init__(
        self, out_channels: int = 1, in_channels: int = 6, *, levels: int = 3, width: int = 64
    ) -> None:
        super().__init__()
        current = width
        layers: list[nn.Module] = [nn.Conv2d(in_channels, current, 4, 2, 1), nn.LeakyReLU(0.2)]
        for level in range(1, levels + 1):
            out = width * min(2**level, 8)
            stride = 2 if level < levels else 1
            layers += [
                nn.Conv2d(current, out, 4, stride, 1, bias=False), nn.BatchNorm2d(out),
                nn.LeakyReLU(0.2),
            ]  # fmt: skip
            current = out
        self.layers = nn.Sequential(*layers, nn.Conv2d(current, out_channels, 4, 1, 1))
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def unet256(
    num_classes: int = 3,
    in_channels: int = 3,
    *,
    image_size: int = 256,
    width: int = 64,
    dropout: float = 0.5,
) -> UNet:
    """U-Net-256 with ``num_classes`` image channels out.

    As many levels as ``image_size`` allows, at most the paper's eight: sides 4, 8, .. 128 give a
    shallower net of the same kind.
    """
    twos = (image_size & -image_size).bit_length() - 1
    return UNet(num_classes, in_channels, depth=min(twos, 8), width=width, dropout=dropout)


def patchgan(
    num_classes: int = 1, in_channels: int = 6, *, levels: int = 3, width: int = 64
) -> PatchGAN:
    """PatchGAN; ``in_channels`` counts the label's and the photo's channels together."""
    return PatchGAN(num_classes, in_channels, levels=levels, width=width)
