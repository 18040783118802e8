"""Products of many rows with a table that all share, from registers and caches.

A row alone would read the whole table for two operations a number. Here eight rows share what is
read, in panels of three vectors' width; each number of the result is the sum over the table's rows
in their order, whatever rows stand beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

__all__ = ["LANES", "SOURCE", "panels", "shared_products"]

LANES = 32
"""Rows whose products are made together."""

_LEAST = 1 << 12  # numbers of a table below which a row has it in its first-level cache
_MOST = 1 << 24  # numbers of all tables together, which are copied into panels
_WIDTH, _DEEP = 64, 3  # bytes of a vector, and vectors of a panel
_VIEWS = frozenset({
    "slice", "permute", "t", "transpose", "select", "view", "_unsafe_view", "unsqueeze", "squeeze",
    "clone", "alias", "detach", "lift_fresh_copy", "expand",
})  # fmt: skip

SOURCE = r"""
#if defined(__AVX512F__) || defined(__aarch64__)
enum { HIGH = 8 };
#else
enum { HIGH = 2 };
#endif
#define UNROLLED _Pragma("GCC unroll 8")
#define PRODUCT(T) \
typedef T wide_##T __attribute__((vector_size(64), aligned(sizeof(T)), may_alias)); \
enum { WIDE_##T = 64 / sizeof(T) }; \
static inline __attribute__((always_inline)) void panel_##T( \
    const T *a, const T *b, T *c, int64_t n, int64_t m, int64_t width, \
    const int high, const int deep) { \
  wide_##T total[8][3]; \
  UNROLLED for (int i = 0; i < high; i++) \
    UNROLLED for (int v = 0; v < deep; v++) total[i][v] = (wide_##T){0}; \
  for (int64_t k = 0; k < n; k++, b += deep * WIDE_##T) { \
    wide_##T y[3]; \
    UNROLLED for (int v = 0; v < deep; v++) y[v] = *(const wide_##T *)(b + v * WIDE_##T); \
    UNROLLED for (int i = 0; i < high; i++) { \
      const T x = a[i * n + k]; \
      UNROLLED for (int v = 0; v < deep; v++) total[i][v] += x * y[v]; \
    } \
  } \
  UNROLLED for (int i = 0; i < high; i++) \
    UNROLLED for (int v = 0; v < deep; v++) { \
      const wide_##T done = total[i][v]; \
      const int64_t left = width - v * WIDE_##T; \
      T *out = c + i * m + v * WIDE_##T; \
      if (left >= WIDE_##T) *(wide_##T *)out = done; \
      else for (int64_t j = 0; j < left; j++) out[j] = done[j]; \
    } \
} \
static void product_##T(const T *a, const T *b, T *c, int64_t rows, int64_t n, int64_t m) { \
  for (int64_t first = 0; first < m; first += 3 * WIDE_##T) { \
    const int64_t left = m - first, width = left < 3 * WIDE_##T ? left : 3 * WIDE_##T; \
    const int64_t deep = (width + WIDE_##T - 1) / WIDE_##T; \
    int64_t i = 0; \
    for (int high = HIGH; high; high /= 2) \
      for (; rows - i >= high; i += high) { \
        const T *x = a + i * n; \
        T *y = c + i * m + first; \
        switch (4 * high + deep) { \
        ROWS(T, 8) ROWS(T, 4) ROWS(T, 2) ROWS(T, 1) \
        } \
      } \
    b += deep * WIDE_##T * n; \
  } \
}
#define ROWS(T, HIGH_) PANEL(T, HIGH_, 1) PANEL(T, HIGH_, 2) PANEL(T, HIGH_, 3)
#define PANEL(T, HIGH_, DEEP) \
  case 4 * HIGH_ + DEEP: panel_##T(x, b, y, n, m, width, HIGH_, DEEP); break;
"""


def shared_products(graph: fx.GraphModule) -> dict[fx.Node, Tensor]:
    """The products of a row's vector with a large table, and that table.

    Where copies of the tables would be too much, a row reads the rest of them alone.
    """
    left = _MOST
    known: dict[fx.Node, Tensor] = {}
    found: dict[fx.Node, Tensor] = {}
    for node in graph.graph.nodes:
        name = str(node.target).split(".")[-2] if "." in str(node.target) else ""
        if node.op == "get_attr":
            known[node] = getattr(graph, node.target).detach()
        elif name in _VIEWS and node.all_input_nodes and set(node.all_input_nodes) <= set(known):
            arguments, options = fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
            known[node] = node.target(*arguments, **options)
        elif name == "mm" and node.args[1] in known and node.args[0] not in known:
            table = known[node.args[1]]
            if len(node.args[0].meta["val"]) == 1 and _LEAST <= table.numel() <= left:
                found[node] = table
                left -= table.numel()
    return found


def panels(table: Tensor) -> Tensor:
    """A table in panels, one after another: each all rows of some columns, filled up with zeros.

    >>> panels(torch.arange(6.0).reshape(2, 3)).reshape(2, 16)[:, :4]
    tensor([[0., 1., 2., 0.],
            [3., 4., 5., 0.]])
    """
    wide = _WIDTH // table.element_size()
    rows, columns = table.shape
    whole = table.new_zeros(rows, -(-columns // wide) * wide)
    whole[:, :columns] = table
    return torch.cat([part.reshape(-1) for part in whole.split(_DEEP * wide, 1)])
