"""Matrix products in tiles of a fixed height, so that a row's result depends on that row alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from theorylab.problem.tracing import row_by_row
from theorylab.threads import alone

__all__ = ["HEIGHT", "by_tiles", "column_blocks"]

HEIGHT = 64
_BYTES = 2**18  # larger temporaries are mapped afresh, page by page, at every operation


def by_tiles(function: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """``function(w)`` computed ``HEIGHT`` rows at a time, the last tile padded with zeros.

    BLAS picks its kernel, and with it the order of its sums, by the shape of the product. With
    one shape for every product, on one thread, row ``r`` of the result is the same bits in any
    batch. Compiled code takes each row alone: there nothing is padded.

    Parameters
    ----------
    function : callable
        From ``(HEIGHT, ...)`` to ``(HEIGHT, ...)``, row by row.
    w : Tensor, shape (R, ...)

    Examples
    --------
    >>> by_tiles(lambda tile: 2 * tile, torch.ones(3, 1)).shape
    torch.Size([3, 1])
    """
    rows = w.shape[0]
    if row_by_row():
        return function(w)
    if torch.get_num_threads() > 1:
        with alone():
            return by_tiles(function, w)
    parts = []
    for first in range(0, rows, HEIGHT):
        tile = w[first : first + HEIGHT]
        height = tile.shape[0]
        if height < HEIGHT:
            tile = torch.cat([tile, tile.new_zeros(HEIGHT - height, *w.shape[1:])])
        parts.append(function(tile.contiguous())[:height])
    if not parts:
        return function(w.new_zeros(HEIGHT, *w.shape[1:]))[:0]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def column_blocks(table: Tensor) -> list[slice]:
    """The rows of ``table`` in blocks, so that a tile's products with one stay in the cache.

    >>> column_blocks(torch.zeros(600, 2, dtype=torch.float64))
    [slice(0, 512, None), slice(512, 600, None)]
    """
    width = _BYTES // (HEIGHT * table.element_size())
    n = table.shape[0]
    return [slice(first, min(first + width, n)) for first in range(0, n, width)]
