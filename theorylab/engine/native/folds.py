"""Operations along axes: sums, products of matrices, extremes, order."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import fx

from theorylab.engine.native.elementwise import Elementwise
from theorylab.engine.native.values import Index, Value, Writer, count, type_of

__all__ = ["Folds"]

_VECTORS = 4  # sums side by side, as many as a processor's additions wait for one another


class Folds(Elementwise, abc.ABC):
    """Loops over the axes of one array."""

    # --- over an axis ------------------------------------------------------------------------
    def _reduced(self, x: Value, dims: Sequence[int] | None, keep: bool, kind: str, start: str,
                 step: Callable[[str, str], str],
                 term: Callable[[str], str] | None = None) -> Value:  # fmt: skip
        """Elements folded over axes, in the order that a row's memory has.

        Sums of a ``term`` of each are made of several where they go along one axis.
        """
        axes = range(len(x.shape))
        over = {d % len(x.shape) for d in dims} if dims and x.shape else set(axes)
        outer = [n for d, n in enumerate(x.shape) if d not in over]
        shape = tuple(1 if d in over else n for d, n in enumerate(x.shape))
        made = self.writer.empty(shape, kind)
        last = max((d for d, n in enumerate(x.shape) if n > 1), default=-1)
        if last in over or count(outer) == 1:
            # Folded in a variable, whose order of additions the compiler may choose.
            inner = [n for d, n in enumerate(x.shape) if d in over]

            def fold(index: Index) -> str:
                there = Writer(arrays=self.writer.arrays, _made=self.writer._made)
                total = there.name("t")
                there.lines.append(f"{kind} {total} = {start};")

                def element(j: Index) -> str:
                    mine, its = iter(index), iter(j)
                    return x.cast(kind, [next(its if d in over else mine) for d in axes])

                def body(j: Index) -> str:
                    return f"{total} = {step(total, element(j))};"

                long = [k for k, n in enumerate(inner) if n > 1]
                if term is not None and kind in ("float", "double") and len(long) == 1:

                    def alone(j: str) -> str:
                        spot = [j if k == long[0] else "0" for k in range(len(inner))]
                        return term(element(spot))

                    self._in_lanes(there, kind, inner[long[0]], total, alone)
                else:
                    pragma = f"#pragma omp simd reduction(+:{total})" if term else ""
                    there.loops(inner, body, pragma)
                self.writer._made = there._made
                place = iter(index)
                spot = ["0" if d in over else next(place) for d in axes]
                return "\n".join([*there.lines, f"{made.at(spot)} = {total};"])

            self.writer.loops(outer, fold, "")
        else:
            self.writer.loops(shape, lambda i: f"{made.at(i)} = {start};")
            order = sorted(axes, key=lambda d: d not in over)

            def add(index: Index) -> str:
                full = [""] * len(order)
                for d, i in zip(order, index, strict=True):
                    full[d] = i
                spot = made.at(["0" if d in over else full[d] for d in axes])
                return f"{spot} = {step(spot, x.cast(kind, full))};"

            self.writer.loops([x.shape[d] for d in order], add)
        if keep:
            return made
        assert made.array is not None
        return self.writer.whole(made.array, outer, kind)

    def _added(self, x: Value, dims: Sequence[int] | None, keep: bool, kind: str,
               term: Callable[[str], str] = lambda b: b) -> Value:  # fmt: skip
        """The sum of a term of each element."""
        return self._reduced(x, dims, keep, kind, "0", lambda a, b: f"{a} + {term(b)}", term)

    def _in_lanes(self, there: Writer, kind: str, n: int, total: str,
                  term: Callable[[str], str]) -> None:  # fmt: skip
        """``n`` terms added to ``total``: in vectors side by side, whose waits overlap."""
        size, e, j = {"float": 4, "double": 8}[kind], there.name("e"), there.name("j")

        def block(sums: Sequence[str], wide: int, begin: str) -> list[str]:
            lanes = wide // size
            each = f"{e}[{j}] = {term(f'({begin} + {j})')};"
            return [
                f"{kind} {e}[{len(sums) * lanes}] __attribute__((aligned(64)));",
                "#pragma omp simd",
                f"for (int64_t {j} = 0; {j} < {len(sums) * lanes}; {j}++) {each}",
                *(f"{s} += *(const lanes_{kind}_{wide} *)({e} + {k * lanes});"
                  for k, s in enumerate(sums)),
            ]  # fmt: skip

        done, folded = 0, ""  # of the wider vectors, halved
        for wide in (w for w in (64, 32, 16) if w <= self.wide):
            lanes = wide // size
            vectors = (n - done) // lanes
            sums = [there.name("s") for _ in range(min(_VECTORS, (vectors + 3) // 4))]
            if vectors:
                step, begin = len(sums) * lanes, there.name("b")
                end, rest = done + vectors // len(sums) * step, vectors % len(sums)
                there.lines += [
                    f"lanes_{kind}_{wide} {', '.join(f'{s} = {{0}}' for s in sums)};",
                    f"for (int64_t {begin} = {done}; {begin} < {end}; {begin} += {step}) {{",
                    *block(sums, wide, begin), "}",
                ]  # fmt: skip
                if rest:
                    there.lines += ["{", *block(sums[:rest], wide, str(end)), "}"]
                done += vectors * lanes
            sums += [folded] if folded else []
            while len(sums) > 1:
                sums = [f"({' + '.join(sums[k : k + 2])})" for k in range(0, len(sums), 2)]
            if sums:
                name = f"total_{kind}" if wide == 16 else f"halved_{kind}_{wide}"
                folded = f"{name}({sums[0]})"
        if folded:
            there.lines.append(f"{total} = {folded};")
        there.lines += [f"{total} += {term(str(k))};" for k in range(done, n)]

    def _sum(self, node: fx.Node, x: Value, dims: Sequence[int] | None = None, keep: bool = False,
             dtype: Any = None) -> Value:  # fmt: skip
        return self._added(x, dims, keep, type_of(node)[1])

    def _mean(self, node: fx.Node, x: Value, dims: Sequence[int] | None = None, keep: bool = False,
              dtype: Any = None) -> Value:  # fmt: skip
        total = self._sum(node, x, dims, keep)
        size = count(x.shape) // max(1, count(total.shape))
        return Value(total.shape, total.kind, lambda i: f"({total.at(i)} / {size})")

    def _linalg_vector_norm(self, node: fx.Node, x: Value, order: float = 2,
                            dims: Sequence[int] | None = None, keep: bool = False,
                            dtype: Any = None) -> Value:  # fmt: skip
        kind, held = type_of(node)[1], self.writer.plain(x)
        if order == math.inf:
            return self._reduced(held, dims, keep, kind, "0",
                                 lambda a, b: f"larger_{kind}(fabs({b}), {a})")  # fmt: skip
        if order == 1:
            return self._added(held, dims, keep, kind, lambda b: f"fabs({b})")
        if order != 2:
            raise TypeError(f"no C for a norm of order {order}")
        square = self._added(held, dims, keep, kind, lambda b: f"{b} * {b}")
        return Value(square.shape, kind, lambda i: f"sqrt({square.at(i)})")

    def _amax(self, node: fx.Node, x: Value, dims: Sequence[int] = (), keep: bool = False) -> Value:
        return self._reduced(self.writer.plain(x), dims, keep, x.kind, "-INFINITY",
                             lambda a, b: f"larger_{x.kind}({b}, {a})")  # fmt: skip

    def _amin(self, node: fx.Node, x: Value, dims: Sequence[int] = (), keep: bool = False) -> Value:
        return self._reduced(self.writer.plain(x), dims, keep, x.kind, "INFINITY",
                             lambda a, b: f"smaller_{x.kind}({b}, {a})")  # fmt: skip

    def _prod(self, node: fx.Node, x: Value, dim: int, keep: bool = False) -> Value:
        return self._reduced(x, [dim], keep, x.kind, "1", lambda a, b: f"{a} * {b}")

    def _any(self, node: fx.Node, x: Value, dims: Any = None, keep: bool = False) -> Value:
        given = [dims] if isinstance(dims, int) else dims
        return self._reduced(x, given, keep, "uint8_t", "0", lambda a, b: f"{a} | ({b} != 0)")

    def _all(self, node: fx.Node, x: Value, dims: Any = None, keep: bool = False) -> Value:
        given = [dims] if isinstance(dims, int) else dims
        return self._reduced(x, given, keep, "uint8_t", "1", lambda a, b: f"{a} & ({b} != 0)")

    def _mm(self, node: fx.Node, a: Value, b: Value) -> Value:
        """``sum_k a[i, k] b[k, j]``; with leading axes, matrix by matrix."""
        table = self.panels.get(node)
        if table is not None:
            held, made = self.writer.own(a), self.writer.empty(*type_of(node))
            given = f"{held.array}_, {table}, {made.array}_, lanes, {a.shape[-1]}, {b.shape[-1]}"
            self.writer.together(f"product_{made.kind}({given});")
            return made
        left, right, kind = self.writer.plain(a), self.writer.plain(b), type_of(node)[1]
        *lead, n, k = a.shape
        m, stack = b.shape[-1], list(range(len(lead)))
        axis = len(lead)
        # Whether its rows are contiguous, those of a part of an array too.
        if right.at([*("i" for _ in lead), "k", "j"]).endswith(" + j)]"):
            shape = (*lead, n, k, m)
            product = Value(
                shape,
                kind,
                lambda i: (
                    f"({left.at([*i[:axis], i[-3], i[-2]])} * "
                    f"{right.at([*i[:axis], i[-2], i[-1]])})"
                ),
            )
            return self._added(product, [len(stack) + 1], False, kind)
        product = Value((*lead, n, m, k), kind,
                        lambda i: f"({left.at([*i[:axis], i[-3], i[-1]])} * "
                                  f"{right.at([*i[:axis], i[-1], i[-2]])})")  # fmt: skip
        return self._added(product, [-1], False, kind)

    _bmm = _mm

    def _cumsum(self, node: fx.Node, x: Value, dim: int, dtype: Any = None) -> Value:
        shape, kind = type_of(node)
        d, made = dim % len(shape), self.writer.empty(shape, kind, self.targets.get(node))
        self.writer.store(x, made.array)
        rest = [1 if axis == d else n for axis, n in enumerate(shape)]

        def run(index: Index) -> str:
            j = self.writer.name("j")
            here, before = ([*index[:d], k, *index[d + 1 :]] for k in (j, f"({j} - 1)"))
            return (f"for (int64_t {j} = 1; {j} < {shape[d]}; {j}++) "
                    f"{made.at(here)} += {made.at(before)};")  # fmt: skip

        if shape[d] > 1:
            self.writer.loops(rest, run, "")
        return made

    def _argmax(self, node: fx.Node, x: Value, dim: int | None = None,
                keep: bool = False) -> Value:  # fmt: skip
        largest = self._topk(node, x, 1, -1 if dim is None else dim)[1]
        if dim is None and count(x.shape) != x.shape[-1]:
            raise TypeError("no C for argmax over several axes")
        shape = type_of(node)[0]
        assert largest.array is not None
        return self.writer.whole(largest.array, shape, "int64_t")

    def _topk(self, node: fx.Node, x: Value, k: int, dim: int = -1, largest: bool = True,
              ordered: bool = True) -> list[Value]:  # fmt: skip
        """The ``k`` largest along the last axis, the first among equals first."""
        d = dim % len(x.shape)
        if d != len(x.shape) - 1:
            raise TypeError("no C for topk but along the last axis")
        held, n = self.writer.plain(x), x.shape[d]
        shape = (*x.shape[:d], k)
        values = self.writer.empty(shape, x.kind)
        places = self.writer.empty(shape, "int64_t")
        taken = self.writer.empty((n,), "uint8_t")
        sign = ">" if largest else "<"

        def pick(index: Index) -> str:
            row, c, j = list(index[:d]), self.writer.name("j"), self.writer.name("j")
            best, here = self.writer.name("t"), held.at([*row, j])
            at_best = held.at([*row, best])
            return (
                f"memset({taken.array}, 0, {n});\n"
                f"for (int64_t {c} = 0; {c} < {k}; {c}++) {{ int64_t {best} = -1;\n"
                f"for (int64_t {j} = 0; {j} < {n}; {j}++) if (!{taken.at([j])} && ({best} < 0 || "
                f"{here} {sign} {at_best} || ({here} != {here} && {at_best} == {at_best}))) "
                f"{best} = {j};\n"
                f"{taken.at([best])} = 1; {values.at([*row, c])} = {at_best}; "
                f"{places.at([*row, c])} = {best}; }}"
            )

        self.writer.loops((*x.shape[:d], 1), pick, "")
        return [values, places]

    def _sort(self, node: fx.Node, x: Value, dim: int = -1, descending: bool = False,
              stable: bool = False) -> list[Value]:  # fmt: skip
        return self._topk(node, x, x.shape[dim] if x.shape else 1, dim, descending)

    def _softmax(self, node: fx.Node, x: Value, dim: int, half: bool = False) -> Value:
        """``exp(x - max x)`` over its sum."""
        held = self.writer.plain(x)
        top = self._amax(node, held, [dim], True)
        powers = self.writer.store(self._each(node, "exp({0} - {1})", (held, top)))
        return self._each(node, "({0} / {1})", (powers, self._sum(node, powers, [dim], True)))

    def _log_softmax(self, node: fx.Node, x: Value, dim: int, half: bool = False) -> Value:
        held = self.writer.plain(x)
        top = self._amax(node, held, [dim], True)
        powers = self._each(node, "exp({0} - {1})", (held, top))
        total = self._sum(node, powers, [dim], True)
        return self._each(node, "({0} - {1} - log({2}))", (held, top, total))

    def _var(self, node: fx.Node, x: Value, dims: Sequence[int] | None = None,
             correction: float | None = None, keepdim: bool = False) -> Value:  # fmt: skip
        """The mean square about the mean, of ``correction`` fewer elements."""
        held, kind = self.writer.plain(x), type_of(node)[1]
        total = self._sum(node, held, dims, True)
        size = count(held.shape) // max(1, count(total.shape))
        shape, less = held.shape, 1 if correction is None else correction

        def about(index: Index) -> str:
            off = f"({held.at(index)} - {total.at(total.spread(shape, index))} / {size})"
            return f"({off} * {off})"

        square = self._sum(node, Value(shape, kind, about), dims, keepdim)
        return Value(square.shape, kind, lambda i: f"({square.at(i)} / {size - less})")
