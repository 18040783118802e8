"""numpy's bounded integers and uniform numbers, the same bits, several times as fast.

A compiled run would spend more time in drawing its samples than in its steps: numpy asks its
generator for one number at a time, through a pointer.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, final

import numpy as np

from theorylab.engine.native.library import library

__all__ = ["GROUP", "FastGenerator", "uniforms"]

GROUP = 4
"""Generators whose numbers :func:`uniforms` makes together."""

_LEAST = 1 << 10  # numbers below which numpy's own way costs less than saving the state

# numpy's SFC64; uniform numbers of 53 bits; Lemire's method on each half, the lower first.
_SOURCE = r"""
#include <stdint.h>
#include <string.h>

static inline uint64_t next(uint64_t *s) {
  const uint64_t made = s[0] + s[1] + s[3]++;
  s[0] = s[1] ^ (s[1] >> 11);
  s[1] = s[2] + (s[2] << 3);
  s[2] = ((s[2] << 24) | (s[2] >> 40)) + made;
  return made;
}

void uniform(uint64_t *state, int64_t count, double *out) {
  uint64_t s[4] = {state[0], state[1], state[2], state[3]};
  for (int64_t k = 0; k < count; k++) out[k] = (next(s) >> 11) * (1.0 / 9007199254740992.0);
  for (int j = 0; j < 4; j++) state[j] = s[j];
}

/* Four generators side by side, each into rows of its own. */
typedef uint64_t four __attribute__((vector_size(32)));
typedef int64_t whole __attribute__((vector_size(32)));
typedef double four_double __attribute__((vector_size(32)));
typedef float four_float __attribute__((vector_size(16)));
#if defined(__clang__) || __GNUC__ >= 12
#define PICK(A, B, ...) __builtin_shufflevector(A, B, __VA_ARGS__)
#else
#define PICK(A, B, ...) __builtin_shuffle(A, B, (four){__VA_ARGS__})
#endif
#define UNIFORMS(T) \
void uniforms_##T(uint64_t *state, int64_t steps, int64_t count, int64_t stride, \
                  const int64_t *kept, T *const *out) { \
  four s[4]; \
  for (int j = 0; j < 4; j++) s[j] = (four){state[j], state[4 + j], state[8 + j], state[12 + j]}; \
  for (int64_t k = 0; k < steps; k++) for (int64_t i = 0; i < count; i += 4) { \
    four x[4]; \
    for (int j = 0; j < 4; j++) { \
      const four made = s[0] + s[1] + s[3]; \
      s[3] += 1; \
      s[0] = s[1] ^ (s[1] >> 11); \
      s[1] = s[2] + (s[2] << 3); \
      s[2] = ((s[2] << 24) | (s[2] >> 40)) + made; \
      x[j] = made >> 11; \
    } \
    const four a = PICK(x[0], x[1], 0, 4, 2, 6), b = PICK(x[0], x[1], 1, 5, 3, 7), \
               c = PICK(x[2], x[3], 0, 4, 2, 6), d = PICK(x[2], x[3], 1, 5, 3, 7); \
    const four y[4] = {PICK(a, c, 0, 1, 4, 5), PICK(b, d, 0, 1, 4, 5), \
                       PICK(a, c, 2, 3, 6, 7), PICK(b, d, 2, 3, 6, 7)}; \
    for (int j = 0; j < 4; j++) { \
      const four_##T numbers = __builtin_convertvector( \
        __builtin_convertvector((whole)y[j], four_double) * (1.0 / 9007199254740992.0), four_##T); \
      T *here = out[j] + k * stride + i; \
      if (kept[j] - i >= 4) memcpy(here, &numbers, sizeof(numbers)); \
      else if (kept[j] > i) memcpy(here, &numbers, (kept[j] - i) * sizeof(T)); \
    } \
  } \
  for (int j = 0; j < 4; j++) for (int l = 0; l < 4; l++) state[4 * l + j] = s[j][l]; \
}
UNIFORMS(double) UNIFORMS(float)

/* Words are made ahead, so that what is made of them goes side by side. */
enum { AHEAD = 256 };
void integers(uint64_t *state, uint32_t n, int64_t count, int32_t *out) {
  uint64_t s[4] = {state[0], state[1], state[2], state[3]}, held = state[4], upper = state[5];
  const uint32_t low = -n % n;
  int64_t k = 0;
  while (k < count) {
    while (!held && k + 1 < count) {
      uint64_t words[AHEAD], both[AHEAD], refused = 0;
      const int64_t left = (count - k) / 2, pairs = left < AHEAD ? left : AHEAD;
      for (int64_t i = 0; i < pairs; i++) words[i] = next(s);
      for (int64_t i = 0; i < pairs; i++) {
        const uint64_t a = (uint32_t)words[i] * (uint64_t)n, b = (words[i] >> 32) * n;
        refused |= ((uint32_t)a < low) | ((uint32_t)b < low);
        both[i] = a >> 32 | (b >> 32 << 32);
      }
      if (__builtin_expect(!refused, 1)) {
        memcpy(out + k, both, pairs * sizeof(uint64_t));
        k += 2 * pairs;
      } else for (int64_t i = 0; i < pairs; i++) {
        const uint64_t a = (uint32_t)words[i] * (uint64_t)n, b = (words[i] >> 32) * n;
        if ((uint32_t)a >= low) out[k++] = a >> 32;
        if ((uint32_t)b >= low) out[k++] = b >> 32;
      }
      upper = words[pairs - 1] >> 32;
    }
    if (k == count) break;
    uint64_t x = upper;
    if (!held) {
      x = next(s);
      upper = x >> 32;
      x = (uint32_t)x;
    }
    held = !held;
    x *= n;
    if ((uint32_t)x >= low) out[k++] = x >> 32;
  }
  for (int j = 0; j < 4; j++) state[j] = s[j];
  state[4] = held;
  state[5] = upper;
}
"""


@final
class FastGenerator(np.random.Generator):
    """A generator on :class:`numpy.random.SFC64` whose uniform numbers cost less.

    Every number is what :class:`numpy.random.Generator` gives, and the state after it.

    >>> fast, plain = (make(np.random.SFC64(0)) for make in (FastGenerator, np.random.Generator))
    >>> np.array_equal(*(g.integers(0, 1000, size=5001, dtype=np.int32) for g in (fast, plain)))
    True
    >>> np.array_equal(*(g.random((3, 1000)) for g in (fast, plain)))
    True
    """

    def integers(self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64,
                 endpoint: bool = False) -> Any:  # fmt: skip
        """As :meth:`numpy.random.Generator.integers`; ``int32`` from 0 on is what is fast."""
        plain = isinstance(low, int) and low == 0 and isinstance(high, int) and not endpoint
        if plain and dtype is np.int32 and 1 < high <= 2**31 and _many(size):
            made = _native()
            if made is not None:
                return made.integers(self.bit_generator, high, size)
        return super().integers(low, high, size, dtype, endpoint)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """As :meth:`numpy.random.Generator.random`; ``float64`` is what is fast."""
        if dtype is np.float64 and out is None and _many(size):
            made = _native()
            if made is not None:
                return made.uniform(self.bit_generator, size)
        return super().random(size, dtype, out)


def uniforms(generators: Sequence[np.random.Generator], out: np.ndarray, height: int) -> bool:
    """Fill ``out`` by what each of at most :data:`GROUP` generators draws for rows of its own.

    Parameters
    ----------
    generators : sequence of Generator
        Each draws ``random((steps, height, width))``.
    out : ndarray, shape (steps, rows, width)
        Contiguous along the last two axes; of the last generator's rows some may be left out.
    height : int

    Returns
    -------
    bool
        Whether it was done: not where there is no C compiler, or a generator is a plain one.

    Examples
    --------
    >>> fast, plain = (make(np.random.SFC64(0)) for make in (FastGenerator, np.random.Generator))
    >>> out = np.empty((2, 3, 5))
    >>> uniforms([fast], out, 4) and np.array_equal(out, plain.random((2, 4, 5))[:, :3])
    True
    """
    made = _native() if all(isinstance(g, FastGenerator) for g in generators) else None
    if made is None or height * out.shape[2] % GROUP:
        return False
    made.side_by_side([g.bit_generator for g in generators], out, height)
    return True


def _many(size: Any) -> bool:
    return size is not None and math.prod(np.atleast_1d(size).tolist()) >= _LEAST


@final
class _Native:
    """The C functions on the state of an SFC64."""

    def __init__(self, code: ctypes.CDLL) -> None:
        self._integers, self._uniform = code.integers, code.uniform
        state, count = ctypes.c_void_p, ctypes.c_int64
        self._integers.argtypes = [state, ctypes.c_uint32, count, ctypes.c_void_p]
        self._uniform.argtypes = [state, count, ctypes.c_void_p]
        self._integers.restype = self._uniform.restype = None
        self._uniforms = {4: code.uniforms_float, 8: code.uniforms_double}
        for fill in self._uniforms.values():
            fill.argtypes = [state, count, count, count, ctypes.c_void_p, ctypes.c_void_p]
            fill.restype = None

    def integers(self, bits: Any, n: int, size: Any) -> np.ndarray:
        """Integers below ``n``."""
        out = np.empty(size, dtype=np.int32)
        self._advance(bits, lambda state: self._integers(state, n, out.size, out.ctypes.data))
        return out

    def uniform(self, bits: Any, size: Any) -> np.ndarray:
        """Numbers in [0, 1)."""
        out = np.empty(size, dtype=np.float64)
        self._advance(bits, lambda state: self._uniform(state, out.size, out.ctypes.data))
        return out

    def side_by_side(self, bits: Sequence[Any], out: np.ndarray, height: int) -> None:
        """Uniform numbers of several generators, each for ``height`` rows of ``out``."""
        steps, rows, width = out.shape
        assert out.strides[1:] == (width * out.itemsize, out.itemsize)
        firsts = [min(k * height, rows) for k in range(GROUP + 1)]
        kept = np.array([(b - a) * width for a, b in pairwise(firsts)], dtype=np.int64)
        places = np.array([out.ctypes.data + a * out.strides[1] for a in firsts], dtype=np.int64)
        told = [b.state for b in bits]
        words = np.zeros((GROUP, 4), dtype=np.uint64)
        for word, state in zip(words, told, strict=False):
            word[:] = state["state"]["state"]
        fill = self._uniforms[out.dtype.itemsize]
        fill(words.ctypes.data, steps, height * width, out.strides[0] // out.itemsize,
             kept.ctypes.data, places.ctypes.data)  # fmt: skip
        for one, word, state in zip(bits, words, told, strict=False):
            state["state"]["state"] = word
            one.state = state

    @staticmethod
    def _advance(bits: Any, step: Callable[[int], None]) -> None:
        with bits.lock:
            told = bits.state
            words = np.array([*told["state"]["state"], told["has_uint32"], told["uinteger"]],
                             dtype=np.uint64)  # fmt: skip
            step(words.ctypes.data)
            told["state"]["state"] = words[:4]
            told["has_uint32"], told["uinteger"] = int(words[4]), int(words[5])
            bits.state = told


@cache
def _native() -> _Native | None:
    """The C functions; ``None`` where they cannot be had, or numpy draws otherwise than it did."""
    try:
        made = _Native(library(_SOURCE))
    except Exception:  # whatever the compiler or the disk lacks, numpy has the same numbers
        return None
    for n in (3, 1000, 2**31 - 1, 3 * 2**29 + 1):
        ours, theirs = (np.random.SFC64(n) for _ in range(2))
        plain = np.random.Generator(theirs)
        for count in (1, 64):
            if not (
                np.array_equal(made.integers(ours, n, count),
                               plain.integers(0, n, size=count, dtype=np.int32))
                and np.array_equal(made.uniform(ours, count), plain.random(count))
            ):  # fmt: skip
                return None
        out = np.empty((2, 3, 4), dtype=np.float32)
        made.side_by_side([ours], out, 3)
        if not np.array_equal(out, plain.random(out.shape).astype(out.dtype)):
            return None
        if str(ours.state) != str(theirs.state):
            return None
    return made
