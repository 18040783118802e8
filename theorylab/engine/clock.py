"""The index of a step that notes whether a rule reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

__all__ = ["watched_clock"]


def watched_clock() -> tuple[Callable[[Tensor], Tensor], list[bool]]:
    """Makes a tensor note in the list whenever anybody computes with it.

    >>> clock, reads = watched_clock()
    >>> t = clock(torch.tensor(3.0))
    >>> bool(reads), (2 * t).item(), bool(reads)
    (False, 6.0, True)
    """
    reads: list[bool] = []

    @final
    class Watched(Tensor):
        @classmethod
        def __torch_function__(
            cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            reads.append(True)
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))

    return lambda t: t.as_subclass(Watched), reads
