"""The same elements elsewhere, and elements picked by number."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from theorylab.engine.native.elementwise import Elementwise
from theorylab.engine.native.values import Index, Value, constant, flat, type_of, unflat

__all__ = ["Views"]


class Views(Elementwise, abc.ABC):
    """Where the elements of a result lie in its arguments."""

    # --- the same elements, elsewhere --------------------------------------------------------
    def _reshaped(self, node: fx.Node, x: Value) -> Value:
        shape, _ = type_of(node)
        if tuple(shape) == x.shape:
            return x
        if x.array is not None:
            return self.writer.whole(x.array, shape, x.kind)
        kept = [n for n in shape if n > 1] == [n for n in x.shape if n > 1]

        def at(index: Index) -> str:
            if kept:
                long = iter(i for i, n in zip(index, shape, strict=True) if n > 1)
                return x.at(["0" if n == 1 else next(long) for n in x.shape])
            return x.at(unflat(x.shape, flat(shape, index)))

        return Value(shape, x.kind, at, plain=x.plain)

    def _moved(self, node: fx.Node, x: Value, where: Callable[[Index], Index]) -> Value:
        return Value(type_of(node)[0], x.kind, lambda i: x.at(where(i)), plain=x.plain)

    def _expand(self, node: fx.Node, x: Value, size: Any, implicit: bool = False) -> Value:
        held, shape = self.writer.plain(x), type_of(node)[0]
        return self._moved(node, held, lambda i: held.spread(shape, i))

    def _permute(self, node: fx.Node, x: Value, dims: Sequence[int]) -> Value:
        axes = [d % len(x.shape) for d in dims]
        return self._moved(node, x, lambda i: [i[axes.index(a)] for a in range(len(axes))])

    def _transpose(self, node: fx.Node, x: Value, a: int, b: int) -> Value:
        axes = list(range(len(x.shape)))
        axes[a], axes[b] = axes[b], axes[a]
        return self._permute(node, x, axes)

    def _t(self, node: fx.Node, x: Value) -> Value:
        return self._permute(node, x, list(range(len(x.shape)))[::-1])

    def _select(self, node: fx.Node, x: Value, dim: int, index: int) -> Value:
        d = dim % len(x.shape)
        fixed = _fixed(index % x.shape[d], x.shape[d])
        return self._moved(node, x, lambda i: [*i[:d], fixed, *i[d:]])

    def _slice(self, node: fx.Node, x: Value, dim: int = 0, start: int | None = None,
               end: int | None = None, step: int = 1) -> Value:  # fmt: skip
        d = dim % len(x.shape)
        first = range(x.shape[d])[slice(start, end, step)]
        return self._moved(node, x, lambda i: [*i[:d], _along(first, i[d], x.shape[d]),
                                               *i[d + 1 :]])  # fmt: skip

    def _flip(self, node: fx.Node, x: Value, dims: Sequence[int]) -> Value:
        turned = {d % len(x.shape) for d in dims}
        return self._moved(node, x, lambda i: [
            f"({n - 1} - {k})" if d in turned and n > 1 else k
            for d, (k, n) in enumerate(zip(i, x.shape, strict=True))
        ])  # fmt: skip

    def _split_with_sizes(self, node: fx.Node, x: Value, sizes: Sequence[int],
                          dim: int = 0) -> list[Value]:  # fmt: skip
        d, held, parts, begin = dim % len(x.shape), self.writer.plain(x), [], 0
        for size in sizes:
            shape = (*x.shape[:d], size, *x.shape[d + 1 :])
            reach = range(begin, begin + size)

            def at(index: Index, reach: range = reach) -> str:
                moved = _along(reach, index[d], x.shape[d])
                return held.at([*index[:d], moved, *index[d + 1 :]])

            parts.append(Value(shape, x.kind, at, plain=True))
            begin += size
        return parts

    def _split(self, node: fx.Node, x: Value, size: int, dim: int = 0) -> list[Value]:
        n = x.shape[dim]
        sizes = [min(size, n - begin) for begin in range(0, n, size)]
        return self._split_with_sizes(node, x, sizes, dim)

    def _unbind(self, node: fx.Node, x: Value, dim: int = 0) -> list[Value]:
        d, held = dim % len(x.shape), self.writer.plain(x)
        shape = (*x.shape[:d], *x.shape[d + 1 :])
        return [
            Value(shape, x.kind, lambda i, k=k: held.at([*i[:d], k, *i[d:]]), plain=True)  # type: ignore[misc]
            for k in (_fixed(k, x.shape[d]) for k in range(x.shape[d]))
        ]

    def _getitem(self, node: fx.Node, parts: Sequence[Value], index: int) -> Value:
        return parts[index]

    def _cat(self, node: fx.Node, parts: Sequence[Value], dim: int = 0) -> Value:
        shape, kind = type_of(node)
        d, begin = dim % len(shape), 0
        made = self.writer.empty(shape, kind, self.targets.get(node))
        for part in parts:
            reach = range(begin, begin + part.shape[d])
            self._put(made, part, lambda i, reach=reach: [  # type: ignore[misc]
                *i[:d], _along(reach, i[d], shape[d]), *i[d + 1 :]])  # fmt: skip
            begin += part.shape[d]
        return made

    def _put(self, made: Value, part: Value, where: Callable[[Index], Index]) -> None:
        self.writer.loops(part.shape, lambda i: f"{made.at(where(i))} = "
                                                f"{part.cast(made.kind, i)};")  # fmt: skip

    def _slice_scatter(self, node: fx.Node, x: Value, part: Value, dim: int = 0,
                       start: int | None = None, end: int | None = None,
                       step: int = 1) -> Value:  # fmt: skip
        d = dim % len(x.shape)
        reach = range(x.shape[d])[slice(start, end, step)]
        made = self._own(node, x)
        self._put(made, part, lambda i: [*i[:d], _along(reach, i[d], x.shape[d]), *i[d + 1 :]])
        return made

    def _select_scatter(self, node: fx.Node, x: Value, part: Value, dim: int, index: int) -> Value:
        d = dim % len(x.shape)
        fixed, made = _fixed(index % x.shape[d], x.shape[d]), self._own(node, x)
        self._put(made, part, lambda i: [*i[:d], fixed, *i[d:]])
        return made

    def _own(self, node: fx.Node, x: Value) -> Value:
        """A copy that may be written to."""
        made = self.writer.empty(x.shape, x.kind, self.targets.get(node))
        return self.writer.store(x, made.array)

    # --- elements picked by number -----------------------------------------------------------
    def _places(self, index: Value, n: int) -> Value:
        """Stored positions below ``n``; others are noted."""
        made = self.writer.empty(index.shape, "int64_t")
        self.writer.loops(index.shape, lambda i: f"{made.at(i)} = place((int64_t){index.at(i)}, "
                                                 f"{n}, &bad);", "")  # fmt: skip
        return made

    def _index_select(self, node: fx.Node, x: Value, dim: int, index: Value) -> Value:
        d = dim % len(x.shape)
        where, held = self._places(index, x.shape[d]), self.writer.plain(x)
        one = len(index.shape)
        return self._moved(node, held, lambda i: [*i[:d], where.at(i[d : d + 1][:one]),
                                                  *i[d + 1 :]])  # fmt: skip

    def _index(self, node: fx.Node, x: Value, indices: Sequence[Value | None]) -> Value:
        axes = [d for d, index in enumerate(indices) if index is not None]
        if axes != list(range(axes[0], axes[-1] + 1)) or indices[axes[0]].kind == "uint8_t":  # type: ignore[union-attr]
            raise TypeError(f"no C for {node.target} with these indices")
        first, held = axes[0], self.writer.plain(x)
        where = [self._places(indices[d], x.shape[d]) for d in axes]  # type: ignore[arg-type]
        shape = tuple(torch.broadcast_shapes(*(w.shape for w in where)))

        def source(i: Index) -> Index:
            here = i[first : first + len(shape)]
            picked = [w.at(w.spread(shape, here)) for w in where]
            return [*i[:first], *picked, *i[first + len(shape) :]]

        return self._moved(node, held, source)

    def _gather(self, node: fx.Node, x: Value, dim: int, index: Value,
                sparse_grad: bool = False) -> Value:  # fmt: skip
        d = dim % len(x.shape)
        where, held = self._places(index, x.shape[d]), self.writer.plain(x)
        return self._moved(node, held, lambda i: [*i[:d], where.at(i), *i[d + 1 :]])

    def _scatter(self, node: fx.Node, x: Value, dim: int, index: Value, source: Any,
                 sign: str = "") -> Value:  # fmt: skip
        d = dim % len(x.shape)
        where, made = self._places(index, x.shape[d]), self._own(node, x)
        part = source if isinstance(source, Value) else constant(source, x.kind, index.shape)
        self.writer.loops(
            index.shape,
            lambda i: (
                f"{made.at([*i[:d], where.at(i), *i[d + 1 :]])} {sign}= {part.cast(x.kind, i)};"
            ),
            "",
        )
        return made

    def _scatter_add(self, node: fx.Node, x: Value, dim: int, index: Value, source: Value) -> Value:
        return self._scatter(node, x, dim, index, source, "+")


def _fixed(place: int, n: int) -> str:
    return "0" if n == 1 else f"{place}"


def _along(reach: range, i: str, n: int) -> str:
    """The place of the ``i``-th of a range, on an axis of length ``n``."""
    if n == 1:
        return "0"
    if len(reach) == 1 or i == "0":
        return str(reach.start)
    moved = i if reach.step == 1 else f"{i} * {reach.step}"
    return moved if reach.start == 0 else f"({moved} + {reach.start})"
