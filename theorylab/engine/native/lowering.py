"""Torch operations as C expressions and loops, one row at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

from torch import fx

from theorylab.engine.native.elementwise import ARITHMETIC, COMPARISONS, LOGICAL
from theorylab.engine.native.folds import Folds
from theorylab.engine.native.values import Value
from theorylab.engine.native.views import Views

__all__ = ["HEADER", "Lowering"]

# glibc says which functions have forms for vectors, within 4 units in the last place, to those who
# ask for fast mathematics; nothing else of that is wanted.
HEADER = r"""
#if defined(__linux__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) \
  && !defined(__FAST_MATH__)
#define __FAST_MATH__ 1
#define FORMS_FOR_VECTORS
#endif
#include <math.h>
#ifdef FORMS_FOR_VECTORS
#undef __FAST_MATH__
#endif
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

static inline int64_t place(int64_t i, int64_t n, int64_t *bad) {
  if (i < 0) i += n;
  if ((uint64_t)i >= (uint64_t)n) { *bad = 1; return 0; }
  return i;
}
#define ORDER(T) \
static inline T sign_##T(T a) { return (T)((a > 0) - (a < 0)); } \
static inline T larger_##T(T a, T b) { return a > b || a != a ? a : b; } \
static inline T smaller_##T(T a, T b) { return a < b || a != a ? a : b; }
ORDER(float) ORDER(double) ORDER(int32_t) ORDER(int64_t)
#define MODULO(T) \
static inline T modulo_##T(T a, T b) { \
  T r = fmod(a, b); return r != 0 && (r < 0) != (b < 0) ? r + b : r; }
MODULO(float) MODULO(double)
static inline int64_t modulo_int64_t(int64_t a, int64_t b) {
  int64_t r = a % b; return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
#define LANES_OF(T, BYTES) \
typedef T lanes_##T##_##BYTES __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
#define HALVED(T, BYTES, HALF) \
LANES_OF(T, BYTES) \
static inline lanes_##T##_##HALF halved_##T##_##BYTES(lanes_##T##_##BYTES x) { \
  const lanes_##T##_##HALF *half = (const lanes_##T##_##HALF *)&x; return half[0] + half[1]; }
#define TOTALS(T, LAST) \
LANES_OF(T, 16) \
static inline T total_##T(lanes_##T##_16 x) { return LAST; } \
HALVED(T, 32, 16) HALVED(T, 64, 32)
TOTALS(float, (x[0] + x[2]) + (x[1] + x[3]))
TOTALS(double, x[0] + x[1])
#define BUCKET(T) \
static inline int64_t bucket_##T(T x, const T *edges, int64_t n, int right) { \
  int64_t low = 0, high = n; \
  while (low < high) { \
    int64_t middle = (low + high) / 2; \
    if (right ? edges[middle] <= x : edges[middle] < x) low = middle + 1; else high = middle; \
  } \
  return low; \
}
BUCKET(float) BUCKET(double)
"""

_SAME = frozenset({
    "clone", "alias", "detach", "lift_fresh_copy", "_to_copy", "contiguous", "to",
    "convert_element_type",
})  # fmt: skip
_RESHAPED = frozenset({"view", "_unsafe_view", "reshape", "unsqueeze", "squeeze"})


@final
class Lowering(Views, Folds):
    """Turns a graph's nodes into values, writing what must be stored on the way."""

    def value(self, node: fx.Node, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
        """The value of a call, its arguments being values; stored if it is used more than once.

        Raises
        ------
        TypeError
            If there is no C for the operation.
        """
        name = str(node.target).split(".")[-2] if "." in str(node.target) else "getitem"
        method: Callable[..., Any] | None = getattr(self, f"_{name.lstrip('_')}", None)
        if name in _SAME:
            found: Any = self._cast(node, arguments[0])
        elif name in _RESHAPED:
            found = self._reshaped(node, arguments[0])
        elif name in ARITHMETIC:
            expression = ARITHMETIC[name]
            found = self._each(node, expression, arguments)
        elif name in COMPARISONS:
            found = self._each(node, f"({{0}} {COMPARISONS[name]} {{1}})", arguments,
                               self._common(node))  # fmt: skip
        elif name in LOGICAL:
            found = self._each(node, f"({{0}} {LOGICAL[name]} {{1}})", arguments)
        elif method is not None:
            found = method(node, *arguments, **options)
        else:
            raise TypeError(f"no C for {node.target}")
        if isinstance(found, Value):
            target = self.targets.get(node)
            if target is not None:
                return found if found.array == target else self.writer.store(found, target)
            if len(node.users) > 1:
                return self.writer.plain(found)
        return found
