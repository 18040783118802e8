"""Random numbers of optimizers: decided by a key and a place, on every machine alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

__all__ = ["Later", "Stream", "mixed", "single"]

_MASK = (1 << 64) - 1
_DRAWN = 1 << 14  # drawn at once: normal numbers depend on it


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


@final
class Stream:
    """The draws of one tensor, or of a list of small ones: a tensor's first come first.

    On the CPU they are the same on every machine, in float64 as in float32 (where they are
    multiples of 2^-24), and however the tensor is cut.

    Parameters
    ----------
    law : "uniform" on [0, 1), or "normal"
    key, owner : int
        What decides them.
    device : torch.device

    >>> whole, parts = torch.empty(6), torch.empty(6, dtype=torch.float64)
    >>> Stream("uniform", 1, 0, whole.device).fill(whole)
    >>> stream = Stream("uniform", 1, 0, whole.device)
    >>> stream.fill(parts[:4]), stream.fill(parts[4:])
    (None, None)
    >>> bool((whole == parts).all())
    True
    """

    def __init__(self, law: str, key: int, owner: int, device: torch.device) -> None:
        key = mixed(key, owner)
        self._law = law
        self._words: np.random.SFC64 | None = None
        if law == "uniform" and device.type == "cpu":
            # numpy's fastest: 64 bits in the time that torch takes for 8.
            self._words = np.random.SFC64(key)
        else:
            self._generator = torch.Generator(device)
            self._generator.manual_seed(key >> 1)  # 63 bits: seeds have a sign

    def fill(self, out: Tensor) -> None:
        """The next numbers, into a contiguous row; of an even length unless it is the last."""
        if self._words is not None:
            words = self._words.random_raw((len(out) + 1) // 2)
            bits = torch.from_numpy(words.view(np.int32))[: len(out)]
            out.copy_(bits.bitwise_and_(0xFFFFFF)).mul_(2.0**-24)
            return
        for part in out.split(_DRAWN) if out.device.type == "cpu" else (out,):
            if self._law == "normal":
                part.normal_(generator=self._generator)
            else:
                part.uniform_(generator=self._generator)


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
