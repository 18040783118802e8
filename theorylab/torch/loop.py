"""The operations of a layout as one loop in C: every number is read once and written once.

Torch's own operations go over memory, or a cache, once each. Where there is no C compiler, or an
operation that is not here, they do it all the same, to rounding.
"""

from __future__ import annotations

import ctypes
import os
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, cast, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from theorylab.engine.native.library import library
from theorylab.torch.layout import Layout, Step

if TYPE_CHECKING:
    from theorylab.torch.plan import Plan
    from theorylab.torch.space import Space
    from theorylab.torch.vector import Vector

__all__ = ["CHUNK", "LEAST", "Inner", "Loop", "as_loop", "head", "inner", "name_of"]

CHUNK = 1 << 17
"""Elements of a piece: small enough for a cache, large enough for two threads.

Sums are made of it, so results depend on it.
"""
LEAST = 1 << 13
"""Numbers of a vector that are worth a compiler's tenth of a second, once on a machine."""
_PIECE = 1 << 18  # of a thread, at a time
_PLAIN = frozenset({Tensor, nn.Parameter})
_LOOK = attrgetter("shape", "dtype", "is_cpu")
_TYPES = {torch.float32: "float", torch.float64: "double"}
_BINARY = {
    "mul": "{0} * {1}", "div": "{0} / {1}", "lt": "{0} < {1}", "le": "{0} <= {1}",
    "gt": "{0} > {1}", "ge": "{0} >= {1}", "eq": "{0} == {1}", "ne": "{0} != {1}",
    # A NaN stays one, as in torch.
    "maximum": "({0} > {1} || {0} != {0}) ? {0} : {1}",
    "minimum": "({0} < {1} || {0} != {0}) ? {0} : {1}",
    "clamp_min": "({0} < {1}) ? {1} : {0}", "clamp_max": "({0} > {1}) ? {1} : {0}",
}  # fmt: skip
_TERNARY = {
    "where": "({0} != 0) ? {1} : {2}",
    "lerp": "(ABS({2}) < H) ? {0} + {2} * ({1} - {0}) : {1} - ({1} - {0}) * (1 - {2})",
}
_UNARY = {
    "neg": "-{0}", "abs": "ABS({0})", "sqrt": "SQRT({0})", "reciprocal": "1 / {0}",
    "rsqrt": "1 / SQRT({0})", "sign": "(T)({0} > 0) - (T)({0} < 0)", "copy": "{0}", "full": "{0}",
}  # fmt: skip
_SCALED = {
    "add": ("{0} + {1}", "{0} + {s} * {1}"),
    "addcmul": ("{0} + {1} * {2}", "{0} + {s} * {1} * {2}"),
    "addcdiv": ("{0} + {1} / {2}", "{0} + {s} * ({1} / {2})"),
}
_HEAD = {
    "float": "#define T float\n#define H 0.5f\n#define SQRT(x) __builtin_sqrtf(x)\n"
             "#define ABS(x) __builtin_fabsf(x)\n",
    "double": "#define T double\n#define H 0.5\n#define SQRT(x) __builtin_sqrt(x)\n"
              "#define ABS(x) __builtin_fabs(x)\n",
}  # fmt: skip
# 1/(1 + exp(-x)): the exponential is 2^k times Taylor's polynomial on half of log 2 about 0.
_SIGMOID = """static inline float sigmoid(float x) {
  float y = -x;
  y = y > 88.0f ? 88.0f : y;
  y = y < -87.0f ? -87.0f : y;
  const float k = (y * 1.44269504f + 12582912.0f) - 12582912.0f;
  const float r = (y - k * 0.693359375f) + k * 2.12194440e-4f;
  float e = 1.9875691500e-4f;
  e = e * r + 1.3981999507e-3f;
  e = e * r + 8.3334519073e-3f;
  e = e * r + 4.1665795894e-2f;
  e = e * r + 1.6666665459e-1f;
  e = e * r + 5.0000001201e-1f;
  e = e * r * r + r + 1.0f;
  union { int32_t i; float f; } two = {((int32_t)k + 127) << 23};
  return 1.0f / (1.0f + e * two.f);
}
"""


def name_of(place: int) -> str:
    """What a place is called in C."""
    return f"x{place}" if place >= 0 else f"r{-place}"


def _expression(step: Step, kind: str) -> str | None:
    """The value of one operation in C; ``None`` if it is not known here."""
    args = [name_of(s) if s is not None else f"c{n}"
            for s, n in zip(step.sources, step.numbers, strict=True)]  # fmt: skip
    if step.op in _SCALED:
        return _SCALED[step.op][step.scale is not None].format(*args, s=f"c{step.scale_at}")
    if step.op == "sigmoid" and kind == "float" and step.scale is None:
        return f"sigmoid({args[0]})"
    known = _UNARY.get(step.op) or _BINARY.get(step.op) or _TERNARY.get(step.op)
    return known.format(*args) if known is not None and step.scale is None else None


class Inner(NamedTuple):
    """What is done with each element, in C: ``x0, ...`` are the leaves', ``c0, ...`` numbers.

    ``a0[i], ...`` are where leaves and what was drawn are read, and leaves written.
    """

    lines: list[str]
    numbers: list[int]
    draws: int
    written: list[int]


def inner(layout: Layout, kind: str, leaves: int) -> Inner | None:
    """A layout element by element; ``None`` if it cannot be said."""
    lines = [f"T {name_of(n)} = a{n}[i];" for n in range(leaves)]
    declared: set[str] = set()
    written: set[int] = set()
    numbers: set[int] = set()
    draws = 0

    def put(place: int, value: str) -> None:
        name = name_of(place)
        if place >= 0:
            written.add(place)
        lines.append(f"{'' if place >= 0 or name in declared else 'T '}{name} = {value};")
        declared.add(name)

    for step in layout.steps:
        if step.op == "draw":
            put(step.target, f"a{leaves + draws}[i]")
            draws += 1
            continue
        value = _expression(step, kind)
        if value is None:
            return None
        numbers |= {n for n in step.numbers if n is not None}
        if step.scale is not None:
            numbers.add(step.scale_at)
        put(step.target, value)
    for place, leaf in layout.final:
        put(leaf, name_of(place))
    lines += [f"a{n}[i] = {name_of(n)};" for n in sorted(written)]
    return Inner(lines, sorted(numbers), draws, sorted(written))


def head(kind: str) -> str:
    """What stands before a loop over numbers of this type."""
    return "#include <stdint.h>\n" + _HEAD[kind] + (_SIGMOID if kind == "float" else "")


def source(layout: Layout, kind: str, leaves: int) -> str | None:
    """The C text of a layout that is written and not shown; ``None`` if it cannot be said."""
    found = inner(layout, kind, leaves)
    if found is None:
        return None
    width = leaves + found.draws
    outer = [f"T *a{n} = at[k * {width} + {n}];" for n in range(width)]
    outer += [f"const T c{n} = numbers[k * stride + {n}];" for n in found.numbers]
    return "\n".join((
        head(kind),
        "void step(int64_t first, int64_t last, const int64_t *sizes, T *const *at,",
        "          const double *numbers, int64_t stride) {",
        "  for (int64_t k = first; k < last; k++) {",
        *(f"    {line}" for line in outer),
        "    const int64_t size = sizes[k];",
        "    #pragma omp simd",
        "    for (int64_t i = 0; i < size; i++) {",
        *(f"      {line}" for line in found.lines),
        "    }", "  }", "}", "",
    ))  # fmt: skip


@cache
def _compiled(layout: Layout, kind: str, leaves: int) -> Callable[..., None] | None:
    text = source(layout, kind, leaves)
    if text is None:
        return None
    try:
        step = library(text).step
    except Exception:  # whatever the compiler or the disk lacks, torch's operations do the same
        return None
    step.argtypes = [*[ctypes.c_int64] * 2, *[ctypes.c_void_p] * 3, ctypes.c_int64]
    step.restype = None
    return cast(Callable[..., None], step)


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process: those of a parent do not outlive a fork."""
    return ThreadPoolExecutor(threads)


class _Known(NamedTuple):
    """What was compiled of a layout, which of its operations draw, and which leaves it writes."""

    layout: Layout
    step: Callable[..., None] | None
    draws: list[Step]
    written: list[int]


# By a layout's place, not its hash: this is looked up at every step.
_found: dict[tuple[int, str, int], _Known] = {}


def as_loop(plan: Plan) -> Loop | None:
    """The plan as one loop, where that is known, and pays."""
    space, layout = plan.space, plan.layout
    kind = _TYPES.get(space.dtype)
    if (kind is None or space.device.type != "cpu" or space.held or layout.shown is not None
            or space.many < LEAST):  # fmt: skip
        return None
    for leaf in plan.leaves:
        if not leaf.plain:
            return None
    key = id(layout), kind, len(plan.leaves)
    known = _found.get(key)
    if known is None or known.layout is not layout:
        targets = {s.target for s in layout.steps} | {d for _, d in layout.final}
        known = _found[key] = _Known(
            layout, _compiled(layout, kind, len(plan.leaves)),
            [s for s in layout.steps if s.op == "draw"], sorted(t for t in targets if t >= 0),
        )  # fmt: skip
    return None if known.step is None else Loop(plan, known)


@final
class Loop:
    """A plan's loop.

    Parameters
    ----------
    plan : Plan
    known : _Known
        What was compiled.
    """

    def __init__(self, plan: Plan, known: _Known) -> None:
        self._plan, self._known = plan, known
        told: list[Any] = [x if x.__class__ in (float, tuple) else 0.0 for x in plan.numbers]
        self._stride = len(told) if tuple in map(type, told) else 0
        if self._stride:  # a row a tensor
            many = len(plan.space.shapes)
            columns = [x if isinstance(x, tuple) else (x,) * many for x in told]
            self._numbers = np.ascontiguousarray(np.array(columns, np.float64).T)
        else:
            self._numbers = np.frombuffer(array("d", [*told, 0.0]))

    def run(self) -> bool:
        """Compute all that is wanted, into the leaves; ``False`` if they do not lie in rows."""
        plan, space, known = self._plan, self._plan.space, self._known
        rows = [_row(leaf, space, n in known.written) for n, leaf in enumerate(plan.leaves)]
        if None in rows:
            return False
        for n in known.written:  # as operations of torch's do, so that autograd knows
            increment_version(plan.leaves[n].tensors)
        threads = torch.get_num_threads()
        if known.draws:
            self._with_draws(np.array(rows, np.uint64).T)
        elif threads == 1 or space.many < 2 * _PIECE:
            at = np.frombuffer(array("Q", chain.from_iterable(zip(*rows, strict=True))), np.uint64)
            self._call(0, len(space.shapes), space.lengths, at, self._numbers)
        else:
            self._in_threads(np.array(rows, np.uint64).T, threads)
        return True

    def _in_threads(self, at: np.ndarray, threads: int) -> None:
        """In as many threads as torch uses."""
        owners, offsets, sizes = self._plan.space.pieces(_PIECE)
        width = np.uint64(self._plan.space.dtype.itemsize)
        cut = np.ascontiguousarray(at[owners] + (offsets * width)[:, None])
        told = np.ascontiguousarray(self._numbers[owners]) if self._stride else self._numbers
        ends = np.linspace(0, len(cut), threads + 1).astype(int).tolist()
        pool = _pool(os.getpid(), threads)
        calls = [pool.submit(self._call, a, b, sizes, cut, told)
                 for a, b in pairwise(ends)]  # fmt: skip
        for call in calls:
            call.result()

    def _call(
        self, first: int, last: int, sizes: np.ndarray, at: np.ndarray, numbers: np.ndarray
    ) -> None:
        where = [x.__array_interface__["data"][0] for x in (sizes, at, numbers)]
        assert self._known.step is not None
        self._known.step(first, last, *where, self._stride)

    def _with_draws(self, at: np.ndarray) -> None:
        """In pieces: what is drawn for one is still in a cache when it is used."""
        space, draws = self._plan.space, self._known.draws
        width = space.dtype.itemsize
        for block in space.lists:
            sizes = space.lengths[block]
            begins = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.uint64)
            rows = [torch.empty(int(sizes.sum()), dtype=space.dtype) for _ in draws]
            for step, row in zip(draws, rows, strict=True):
                self._plan.stream(step, block[0]).fill(row)
            drawn = [np.uint64(row.data_ptr()) + begins * np.uint64(width) for row in rows]
            where = np.ascontiguousarray(np.concatenate([at[block], np.stack(drawn, 1)], 1))
            told = np.ascontiguousarray(self._numbers[block]) if self._stride else self._numbers
            self._call(0, len(block), sizes, where, told)
        scratch = space.registers(len(draws), CHUNK)[: len(draws)]
        piece = np.empty(1, np.int64)
        for i in space.large:
            streams = [self._plan.stream(step, i) for step in draws]
            drawn = [np.array([x.data_ptr()], np.uint64) for x in scratch]
            where = np.concatenate([at[i], *drawn])
            told = self._numbers[i] if self._stride else self._numbers
            for begin in range(0, int(space.lengths[i]), CHUNK):
                size = min(CHUNK, int(space.lengths[i]) - begin)
                for stream, row in zip(streams, scratch, strict=True):
                    stream.fill(row[:size])
                piece[0] = size
                self._call(0, 1, piece, where, told)
                where[: at.shape[1]] += np.uint64(CHUNK * width)


def _row(leaf: Vector, space: Space, ours: bool) -> list[int] | None:
    """Where a leaf's tensors begin; ``None`` if any is not a row of the numbers that belong there.

    What is written into (``ours``) is looked at again only where it is not where it was.
    """
    tensors = leaf.tensors
    found = list(map(Tensor.data_ptr, tensors))
    if ours and leaf.rows == found and list(map(Tensor.numel, tensors)) == space.many_each:
        return found
    if (list(map(_LOOK, tensors)) != space.looks or not _PLAIN.issuperset(map(type, tensors))
            or not all(map(Tensor.is_contiguous, tensors)) or 0 in found):  # fmt: skip
        return None
    leaf.rows = found
    return found
