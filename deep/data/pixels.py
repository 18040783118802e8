"""``Pixels``: chosen windows of uint8 images as normalised numbers, in one pass over the pixels.

Torch's own operations go over the numbers five times, which for a small network at a small batch is
a tenth of a step. In C each pixel is looked up once in a table of the 256 values there are, which
:func:`~deep.data.augment.normalise` has made: so the bits are its own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import cast, final

import torch
from torch import Tensor

from deep.data.augment import normalise
from theorylab.engine.native.library import library

__all__ = ["Pixels", "pixels"]

_TYPES = {torch.float32: "float", torch.float64: "double"}
_SOURCE = r"""
#include <stdint.h>
// Lines are short and what is looked up is cached: vectors cost more than they save.
#pragma GCC optimize("no-tree-vectorize", "unroll-loops")

void windows(const uint8_t *images, const int64_t *rows, const int64_t *places,
             const T *restrict table, T *restrict out, int64_t many, int64_t channels,
             int64_t tall, int64_t wide, int64_t height, int64_t width) {
  for (int64_t n = 0; n < many; n++) {
    const int64_t top = places[3 * n], left = places[3 * n + 1], turned = places[3 * n + 2];
    const int64_t first = left < 0 ? (-left < width ? -left : width) : 0;
    const int64_t inside = wide - left < width ? wide - left : width;
    const int64_t last = inside > first ? inside : first;
    for (int64_t c = 0; c < channels; c++) {
      const T *restrict known = table + 256 * c;
      const uint8_t *plane = images + (rows[n] * channels + c) * tall * wide;
      for (int64_t y = top; y < top + height; y++, out += width) {
        const int64_t here = y >= 0 && y < tall;
        const uint8_t *line = plane + y * wide + left;
        const int64_t begin = here ? first : width, end = here ? last : width;
        for (int64_t x = 0; x < begin; x++) out[turned ? width - 1 - x : x] = known[0];
        if (turned)
          for (int64_t x = begin; x < end; x++) out[width - 1 - x] = known[line[x]];
        else
          for (int64_t x = begin; x < end; x++) out[x] = known[line[x]];
        for (int64_t x = end; x < width; x++) out[turned ? width - 1 - x : x] = known[0];
      }
    }
  }
}
"""


@cache
def _in_c(dtype: torch.dtype) -> Callable[..., None] | None:
    try:
        found = library(f"#define T {_TYPES[dtype]}\n{_SOURCE}").windows
    except Exception:  # whatever the compiler or the disk lacks, torch has the same numbers
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    found.argtypes = [pointer] * 5 + [number] * 6
    found.restype = None
    return cast(Callable[..., None], found)


@final
class Pixels:
    """Images, and what each value of a pixel is to a network.

    Parameters
    ----------
    images : Tensor, uint8 ``(n, c, h, w)``
        Contiguous, on the CPU.
    table : Tensor, ``(c, 256)``
        Of each channel the numbers that stand for 0 to 255.

    >>> images = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
    >>> found = pixels(images, torch.zeros(1), torch.full((1,), 1 / 255), torch.float32)
    >>> place = torch.tensor([[0, -1, 1]])
    >>> found is None or found.windows(torch.tensor([0]), place, (2, 2)).round().tolist()
    [[[[1.0, 0.0], [3.0, 0.0]]]]
    """

    def __init__(self, images: Tensor, table: Tensor) -> None:
        self._images, self._table = images, table

    def windows(self, rows: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
        """Windows of the images at these rows, black where they stick out.

        Parameters
        ----------
        rows : Tensor, int64 ``(b,)``
        places : Tensor, int64 ``(b, 3)``
            Top and left of each window, and whether it is turned left to right.
        size : (height, width)
            Of every window.
        """
        call = _in_c(self._table.dtype)
        assert call is not None
        given = self._images, rows.contiguous(), places.contiguous(), self._table
        out = torch.empty((len(rows), self._images.shape[1], *size), dtype=self._table.dtype)
        call(*map(Tensor.data_ptr, (*given, out)), len(rows), *self._images.shape[1:], *size)
        return out


def pixels(images: Tensor, mean: Tensor, std: Tensor, dtype: torch.dtype) -> Pixels | None:
    """These images normalised; ``None`` where that is left to torch.

    >>> pixels(torch.zeros(1, 1, 2, 2, dtype=torch.uint8).mT, *[torch.ones(1)] * 2, torch.half)
    """
    if not (images.is_cpu and images.is_contiguous() and dtype in _TYPES and _in_c(dtype)):
        return None
    values = torch.arange(256, dtype=torch.uint8).view(-1, 1, 1, 1)
    table = normalise(values.expand(-1, images.shape[1], 1, 1), mean, std, dtype)
    return Pixels(images, table[:, :, 0, 0].T.contiguous())
