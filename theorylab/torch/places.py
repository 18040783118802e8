"""What depends on a number's place in the vector, or on its rank among all, computed in parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor

__all__ = ["Below", "Largest"]


@final
class Below:
    """Ones up to a place of the vector, zeros from there on.

    Parameters
    ----------
    left : int
        How many of the numbers that are asked for next lie below it.

    >>> ones, out = Below(5), torch.empty(3)
    >>> ones.fill(out), ones.fill(out), out
    (None, None, tensor([1., 1., 0.]))
    """

    def __init__(self, left: int) -> None:
        self._left = left

    def fill(self, out: Tensor) -> None:
        """The next ones or zeros, into a row."""
        many = min(max(self._left, 0), len(out))
        out[:many] = 1
        out[many:] = 0
        self._left -= len(out)


@final
class Largest:
    """The entries of largest magnitude, zeros elsewhere.

    Parameters
    ----------
    parts : iterable of Tensor
        All of the vector, in any order.
    k : int
        How many are kept. Of equal ones those that are asked for first; NaN counts as largest.

    >>> parts, out = [torch.tensor([1.0, -3.0]), torch.tensor([3.0, 3.0])], torch.empty(2)
    >>> largest = Largest(parts, 2)
    >>> for part in parts:
    ...     largest.into(part, out)
    ...     print(out.tolist())
    [0.0, -3.0]
    [3.0, 0.0]
    """

    def __init__(self, parts: Iterable[Tensor], k: int) -> None:
        held = torch.empty(0)
        for part in parts:
            row = part.abs().reshape(-1)
            if len(row) > k:
                row = row.topk(k).values
            held = torch.cat([held.to(row), row])
            if len(held) > k:
                held = held.topk(k).values
        self._least = held.min() if len(held) == k else held.new_full((), -1.0)
        self._left = k - int((held > self._least).sum())  # of those that are equal to it

    def into(self, x: Tensor, out: Tensor) -> None:
        """The next entries, or zeros in their places."""
        size = x.abs()
        keep = ~(size < self._least)
        tied = size == self._least
        many = int(tied.sum())
        if many > self._left:
            rank = tied.reshape(-1).cumsum(0).view(tied.shape)
            keep &= ~tied | (rank <= self._left)
        self._left -= min(many, self._left)
        torch.where(keep, x, torch.zeros((), dtype=x.dtype, device=x.device), out=out)
