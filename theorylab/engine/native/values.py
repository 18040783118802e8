"""Arrays of a row's step as C: where an element is found, and the loops that compute it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import fx

__all__ = [
    "Index",
    "Value",
    "Writer",
    "constant",
    "count",
    "flat",
    "kind_of",
    "literal",
    "type_of",
    "unflat",
]

Index = Sequence[str]
"""One C expression an axis; ``"0"`` on axes of length 1."""

_KINDS = {
    torch.float32: "float", torch.float64: "double", torch.int32: "int32_t",
    torch.int64: "int64_t", torch.bool: "uint8_t",
}  # fmt: skip
_COUNTERS = re.compile(r"for \(int64_t (\w+) = 0;")
_NAMES = re.compile(r"\b[a-z]\w*\b")
_ON_THE_STACK = 1 << 14  # bytes; larger arrays are allocated


@final
@dataclass(frozen=True)
class Value:
    """An array that may never be stored: ``at`` writes the expression of an element.

    Attributes
    ----------
    shape : tuple of int
    kind : str
        The C type of its elements.
    at : callable
        The C expression at an :data:`Index`.
    array : str, optional
        The contiguous C array that holds it.
    plain : bool
        Whether an element costs no more than a load.
    """

    shape: tuple[int, ...]
    kind: str
    at: Callable[[Index], str]
    array: str | None = None
    plain: bool = False

    def cast(self, kind: str, index: Index) -> str:
        """The element as another type."""
        here = self.at(index)
        if kind == self.kind:
            return here
        return f"({here} != 0)" if kind == "uint8_t" else f"(({kind}){here})"

    def spread(self, shape: Sequence[int], index: Index) -> Index:
        """Its own index where arrays of several shapes are laid over each other."""
        skipped = len(shape) - len(self.shape)
        return ["0" if n == 1 else i for n, i in zip(self.shape, index[skipped:], strict=True)]


def kind_of(dtype: torch.dtype) -> str:
    """The C type of a dtype.

    Raises
    ------
    TypeError
        If there is none.
    """
    if dtype not in _KINDS:
        raise TypeError(f"no C type for {dtype}")
    return _KINDS[dtype]


def count(shape: Sequence[int]) -> int:
    """How many elements."""
    return math.prod(shape)


def flat(shape: Sequence[int], index: Index) -> str:
    """The place of an element in a contiguous array.

    >>> flat((3, 1, 4), ["i", "0", "j"])
    '(i * 4 + j)'
    """
    terms, stride = [], 1
    for n, i in zip(reversed(shape), reversed(index), strict=True):
        if i != "0":
            terms.append(i if stride == 1 else f"{i} * {stride}")
        stride *= n
    return f"({' + '.join(reversed(terms))})" if terms else "0"


def unflat(shape: Sequence[int], place: str) -> Index:
    """The inverse of :func:`flat`."""
    index, stride = [], 1
    for n in reversed(shape):
        inner = place if stride == 1 else f"({place}) / {stride}"
        index.append("0" if n == 1 else f"(({inner}) % {n})")
        stride *= n
    return index[::-1]


def literal(number: float | int | bool, kind: str) -> str:
    """A number in C.

    >>> literal(0.1, "float"), literal(float("-inf"), "double")
    ('((float)0.1)', '((double)(-INFINITY))')
    """
    if isinstance(number, float) and not math.isfinite(number):
        text = "NAN" if math.isnan(number) else "INFINITY" if number > 0 else "(-INFINITY)"
    else:
        text = repr(int(number) if isinstance(number, bool) else number)
    return f"(({kind}){text})"


def constant(number: float | int | bool, kind: str, shape: Sequence[int] = ()) -> Value:
    """An array of one number."""
    text = literal(number, kind)
    return Value(tuple(shape), kind, lambda _: text, plain=True)


def type_of(node: fx.Node) -> tuple[tuple[int, ...], str]:
    """The shape of a traced value, of the first where there are several, and its C type."""
    made = node.meta["val"]
    if isinstance(made, list | tuple):
        made = made[0]
    return tuple(made.shape), kind_of(made.dtype)


@dataclass
class _Loop:
    """The loop that was written last: its counters, how many, where it ends, what it writes."""

    shape: tuple[int, ...]
    index: Index
    depth: int
    lines: list[str]
    end: int
    written: set[str | None]


@final
@dataclass
class Writer:
    """The lines of a step's body, and the arrays they need.

    Attributes
    ----------
    lines : list of str
    arrays : list of (kind, name, length)
        Declared ahead of all loops.
    parts : list of (lines, call)
        What comes before ``lines``: some lines for every row, then a call for all rows at once.
    in_parts : bool
        Whether there will be such calls: then all that is stored outlives them.
    """

    lines: list[str] = field(default_factory=list)
    arrays: list[tuple[str, str, int]] = field(default_factory=list)
    parts: list[tuple[list[str], str]] = field(default_factory=list)
    in_parts: bool = False
    _made: int = 0
    _open: _Loop | None = None

    def name(self, letter: str) -> str:
        """A name that was not given before."""
        self._made += 1
        return f"{letter}{self._made}"

    def empty(self, shape: Sequence[int], kind: str, target: str | None = None) -> Value:
        """A new array, or the one called ``target``."""
        where = target
        if where is None:
            where = self.name("a")
            self.arrays.append((kind, where, count(shape)))
        return self.whole(where, shape, kind)

    @staticmethod
    def whole(name: str, shape: Sequence[int], kind: str) -> Value:
        """The contiguous C array of that name."""
        return Value(tuple(shape), kind, lambda i: f"{name}[{flat(shape, i)}]", name, plain=True)

    def loops(
        self, shape: Sequence[int], body: Callable[[Index], str], inner: str = "#pragma omp simd"
    ) -> None:
        """``body`` at every index, ``inner`` before the innermost loop."""
        long = [axis for axis, n in enumerate(shape) if n > 1]
        index = ["0"] * len(shape)
        for axis in long:
            index[axis] = self.name("i")
            if axis == long[-1]:
                self.lines.append(inner)
            i = index[axis]
            self.lines.append(f"for (int64_t {i} = 0; {i} < {shape[axis]}; {i}++) {{")
        self.lines.append(body(index))
        self.lines.extend("}" for _ in long)

    def store(self, value: Value, target: str | None = None) -> Value:
        """The value where it lies in memory; one number becomes a variable."""
        if target is None and (value.array is not None or count(value.shape) == 1):
            if value.plain:
                return value
            if self.in_parts:
                return self.held(value)
            name = self.name("x")
            self.lines.append(f"const {value.kind} {name} = {value.at(['0'] * len(value.shape))};")
            return Value(value.shape, value.kind, lambda _: name, plain=True)
        made = self.empty(value.shape, value.kind, target)
        body: Callable[[Index], str] = lambda i: f"{made.at(i)} = {value.at(i)};"
        if not self._joined(made, body):
            begin = len(self.lines)
            self.loops(value.shape, body)
            index = _COUNTERS.findall("\n".join(self.lines[begin:]))
            counters = iter(index)
            self._open = _Loop(made.shape, ["0" if n == 1 else next(counters) for n in made.shape],
                               len(index), self.lines, len(self.lines), {made.array})  # fmt: skip
        return made

    def _joined(self, made: Value, body: Callable[[Index], str]) -> bool:
        """Whether ``body`` could stand in the last loop, where that one's numbers are at hand."""
        last = self._open
        if last is None or last.lines is not self.lines or last.end != len(self.lines):
            return False
        if last.shape != made.shape or not last.depth:
            return False
        text = body(last.index)
        here = flat(last.shape, last.index)
        for name in last.written:
            reads = len(re.findall(rf"\b{name}\b", text))
            if reads != text.count(f"{name}[{here}]"):
                return False  # elsewhere in it, which may not be there yet
        self.lines.insert(len(self.lines) - last.depth, text)
        last.end = len(self.lines)
        last.written.add(made.array)
        return True

    def plain(self, value: Value) -> Value:
        """The value, stored unless its elements cost no more than a load."""
        return value if value.plain else self.store(value)

    def held(self, value: Value) -> Value:
        """The value as a contiguous array."""
        if value.array is not None:
            return value
        made = self.empty(value.shape, value.kind)
        return self.store(value, made.array)

    def own(self, value: Value) -> Value:
        """The value in an array that the step makes."""
        if value.array in {name for _, name, _ in self.arrays}:
            return value
        return self.store(value, self.empty(value.shape, value.kind).array)

    def together(self, call: str) -> None:
        """End the lines that each row runs through alone by a call for all of them."""
        self.parts.append((self.lines, call))
        self.lines = []

    def laid_out(self, lanes: int) -> list[tuple[list[str], str]]:
        """The parts, and arrays that outlive one as an array a row, ``NAME_`` of all of them."""
        parts = [*self.parts, (self.lines, "")]
        words = [set(_NAMES.findall("\n".join([*lines, call]))) for lines, call in parts]
        heads: list[list[str]] = [[] for _ in parts]
        for k, (kind, name, length) in enumerate(self.arrays):
            found = [name in told for told in words]
            if f"{name}_" in set().union(*words) or sum(found) > 1:
                self.arrays[k] = kind, f"{name}_", length * lanes
                for head, used in zip(heads, found, strict=True):
                    if used:
                        head.append(f"{kind} *restrict {name} = {name}_ + l * {length};")
        return [([*head, *lines], call) for head, (lines, call) in zip(heads, parts, strict=True)]

    def declarations(self) -> tuple[list[str], list[str]]:
        """The arrays' declarations, and what frees them."""
        made, freed = [], []
        for kind, name, length in self.arrays:
            if length * 8 <= _ON_THE_STACK:
                made.append(f"{kind} {name}[{length}] __attribute__((aligned(64)));")
            else:
                made.append(f"{kind} *const {name} = malloc({length} * sizeof({kind}));")
                made.append(f"if (!{name}) return -1;")
                freed.append(f"free({name});")
        return made, freed
