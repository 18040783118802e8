"""Random numbers of optimizers: decided by a key and a place, on every machine alike."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, cast, final

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.native.library import library

__all__ = ["Lanes", "Later", "Stream", "mixed", "single"]

_MASK = (1 << 64) - 1
_DRAWN = 1 << 14  # drawn at once: normal numbers depend on it
_LANES, _ROW = 8, 16  # generators, and numbers of 32 bits that they give in turn
_SOURCE = r"""
#include <stdint.h>
#include <string.h>
typedef uint64_t Words __attribute__((vector_size(64)));
typedef uint32_t Halves __attribute__((vector_size(64)));
typedef int32_t Whole __attribute__((vector_size(64)));
typedef float Row __attribute__((vector_size(64)));

void fill(uint64_t *state, int64_t rows, float *out) {
  Words s[4];
  memcpy(s, state, sizeof s);
  for (int64_t k = 0; k < rows; k++) {
    const Words made = s[0] + s[1] + s[3];
    s[3] += 1;
    s[0] = s[1] ^ (s[1] >> 11);
    s[1] = s[2] + (s[2] << 3);
    s[2] = ((s[2] << 24) | (s[2] >> 40)) + made;
    const Row row = __builtin_convertvector((Whole)((Halves)made & 0xFFFFFF), Row)
        * 0x1p-24f;
    memcpy(out + 16 * k, &row, sizeof row);
  }
  memcpy(state, s, sizeof s);
}
"""


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
class Lanes:
    """Uniform numbers on [0, 1), multiples of 2^-24, from eight of numpy's SFC64 in turn.

    In C they cost a tenth of numpy's, who asks for one at a time; the numbers are the same where
    there is no compiler.

    >>> first, second = Lanes(5), Lanes(5)
    >>> rows = np.concatenate([first.rows(2), first.rows(1)])
    >>> bool((rows == second.rows(3, plain=True)).all()), rows.dtype, len(rows)
    (True, dtype('float32'), 48)
    """

    def __init__(self, key: int) -> None:
        words = np.random.SFC64(key).random_raw(3 * _LANES)
        self._state = np.concatenate([words, np.ones(_LANES, np.uint64)]).reshape(4, _LANES)

    def rows(self, many: int, out: Tensor | None = None, plain: bool = False) -> np.ndarray:
        """The next rows of sixteen numbers, end to end; written into ``out`` if it is given."""
        made = np.empty(_ROW * many, np.float32) if out is None else out.numpy()
        fill = None if plain else _in_c()
        if fill is not None:
            fill(self._state.ctypes.data, many, made.ctypes.data)
            return made
        words = np.empty((many, _LANES), "<u8")
        lane = np.random.SFC64(0)
        told = lane.state
        for j in range(_LANES):
            told["state"]["state"] = self._state[:, j]
            lane.state = told
            words[:, j] = lane.random_raw(many)
            self._state[:, j] = lane.state["state"]["state"]
        halves = words.view("<u4").reshape(-1)
        np.multiply(halves & 0xFFFFFF, np.float32(2.0**-24), out=made, casting="unsafe")
        return made


@cache
def _in_c() -> Callable[[int, int, int], None] | None:
    try:
        fill = library(_SOURCE).fill
    except Exception:  # whatever the compiler or the disk lacks, numpy has the same numbers
        return None
    fill.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
    fill.restype = None
    return cast(Callable[[int, int, int], None], fill)


@final
class Stream:
    """The draws of one tensor, or of a list of small ones: a tensor's first come first.

    On the CPU they are the same on every machine, in float64 as in float32, and however the tensor
    is cut.

    Parameters
    ----------
    law : "uniform" on [0, 1), or "normal"
    key, owner : int
        What decides them.
    device : torch.device

    >>> whole, parts = torch.empty(40), torch.empty(40, dtype=torch.float64)
    >>> Stream("uniform", 1, 0, whole.device).fill(whole)
    >>> stream = Stream("uniform", 1, 0, whole.device)
    >>> stream.fill(parts[:16]), stream.fill(parts[16:])
    (None, None)
    >>> bool((whole == parts).all())
    True
    """

    def __init__(self, law: str, key: int, owner: int, device: torch.device) -> None:
        key = mixed(key, owner)
        self._law = law
        self._lanes: Lanes | None = None
        if law == "uniform" and device.type == "cpu":
            self._lanes = Lanes(key)
        else:
            self._generator = torch.Generator(device)
            self._generator.manual_seed(key >> 1)  # 63 bits: seeds have a sign

    def fill(self, out: Tensor) -> None:
        """The next numbers, into a contiguous row; all rows but the last have 16 n of them."""
        if self._lanes is not None:
            many, over = divmod(len(out), _ROW)
            if over or out.dtype != torch.float32:
                made = torch.from_numpy(self._lanes.rows(many + (over > 0)))
                out.copy_(made[: len(out)])
            else:
                self._lanes.rows(many, out)
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
