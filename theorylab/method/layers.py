"""Layers of a flat parameter vector, for rules that treat them apart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["VECTORS", "Layout", "check_layout", "reduce_layers", "spread_layers"]

Layout = tuple[tuple[str, int], ...]
"""Consecutive segments of the flat vector: the kind of layer and its number of parameters.

Empty: the whole vector is one layer.
"""

VECTORS = frozenset({"vector", "bias", "normalization"})
"""Kinds of layers whose parameters are a vector, not a matrix or filters."""


def check_layout(name: str, layout: Layout) -> None:
    """Raise ``ValueError`` unless every segment is a pair of a kind and a positive size."""
    for segment in layout:
        if len(segment) != 2 or not isinstance(segment[0], str) or not int(segment[1]) >= 1:
            raise ValueError(
                f"{name}: layout must be pairs (kind, number of parameters), got {segment!r}"
            )


def reduce_layers(reduce: Callable[[Tensor], Tensor], x: Tensor, layout: Layout) -> Tensor:
    """``reduce`` (of the last axis, kept) of every layer: shape (..., d) to (..., L)."""
    if len(layout) <= 1:
        return reduce(x)
    if not isinstance(x, Tensor):  # a vector in parts, one a layer
        return reduce(x.per_layer())
    return torch.cat([reduce(part) for part in x.split([n for _, n in layout], -1)], -1)


def spread_layers(values: Tensor, layout: Layout, like: Tensor) -> Tensor:
    """One number a layer to what goes with ``like``: (..., L) to (..., d).

    One layer stays (..., 1), and vectors in parts take one number a part as it is.
    """
    if len(layout) <= 1 or not isinstance(like, Tensor):
        return values
    parts = zip(values.split(1, -1), layout, strict=True)
    return torch.cat([part.expand(*part.shape[:-1], n) for part, (_, n) in parts], -1)
