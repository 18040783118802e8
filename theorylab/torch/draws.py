"""Random numbers of optimizers: decided by a key and a place, on every machine alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

__all__ = ["Later", "fill", "mixed", "single"]

_MASK = (1 << 64) - 1


def mixed(*numbers: int) -> int:
    """A number of 64 bits that any change of these changes altogether (splitmix64, repeated).

    >>> mixed(1, 2) == mixed(1, 2), mixed(1, 2) == mixed(2, 1)
    (True, False)
    """
    z = 0
    for number in numbers:
        z = (z ^ number) + 0x9E3779B97F4A7C15 & _MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
        z ^= z >> 31
    return z


def fill(out: Tensor, law: str, key: int) -> None:
    """Fill a contiguous tensor with draws: ``"uniform"`` on [0, 1), or ``"normal"``.

    On the CPU the numbers are the same on every machine, and those of a part are not those of
    the whole: whoever wants a place to keep its numbers draws the same parts.
    """
    if out.device.type != "cpu" or law == "normal":
        generator = torch.Generator(out.device)
        generator.manual_seed(key >> 1)  # 63 bits: seeds have a sign
        out.normal_(generator=generator) if law == "normal" else out.uniform_(generator=generator)
        return
    # numpy's fastest: 1.3 ns a number, where torch's own takes 2.1.
    flat = out.view(-1).numpy()
    np.random.Generator(np.random.SFC64(key)).random(out=flat, dtype=flat.dtype)


def single(law: str, key: int) -> float:
    """One draw."""
    rng = np.random.Generator(np.random.PCG64(key))
    return float(rng.random() if law == "uniform" else rng.standard_normal())


@final
class Later:
    """A numpy generator that is made, of the key at that time, when it is asked for anything."""

    def __init__(self, key: Callable[[], int]) -> None:
        self._key = key

    def __getattr__(self, name: str) -> Any:
        return getattr(np.random.Generator(np.random.PCG64(self._key())), name)
