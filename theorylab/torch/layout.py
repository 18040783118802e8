"""``Layout``: the order of operations that lead to some vectors, and where each result lies.

It depends on how vectors were made and not on what is in them: a training run lays out one step
and looks the others up. A result is written straight over what it replaces where nothing reads
that any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, final

import torch
from torch import Tensor

from theorylab.torch.places import Largest
from theorylab.torch.scalars import Scalar

if TYPE_CHECKING:
    from theorylab.torch.vector import Vector

__all__ = ["SPECIAL", "Graph", "Layout", "Step", "Tape", "lay_out"]

Kind = int | type
"""A leaf's number, ``-1 - n`` for the n-th operation's result, or the type of a number."""
SPECIAL = frozenset({"below", "copy", "draw", "full", "top", "where"})
_NUMBERS = frozenset({float, tuple, Tensor, str, int, Largest, Scalar})
_ALONE = frozenset({
    "abs", "ceil", "exp", "expm1", "floor", "log", "log1p", "neg", "reciprocal", "rsqrt",
    "sigmoid", "sign", "sqrt", "tanh",
})  # fmt: skip
_LISTED = frozenset({"add", "mul", "div", "maximum", "minimum", "clamp_min", "clamp_max"})
_EITHER = frozenset({"add", "mul", "maximum", "minimum"})  # of two vectors in any order


class Graph(NamedTuple):
    """How vectors were made.

    Attributes
    ----------
    nodes : tuple of (op, kinds of its operands, name and kind of its scale)
    roots : tuple of (int, int)
        Which result is wanted in which leaf.
    shown : int, optional
        Which is to be seen.
    plain : tuple of bool
        Whether a leaf's tensors have the type that is computed in.
    """

    nodes: tuple[tuple[str, tuple[Kind, ...], tuple[str, type] | None], ...]
    roots: tuple[tuple[int, int], ...]
    shown: int | None
    plain: tuple[bool, ...]


class Step(NamedTuple):
    """One operation: where its vectors are, which numbers it takes, and where the result goes.

    ``many`` does it for lists of tensors, ``in_place`` if the result goes where an operand is.
    ``None``: tensor by tensor.
    """

    op: str
    sources: tuple[int | None, ...]
    numbers: tuple[int | None, ...]
    scale: str | None
    scale_at: int
    target: int
    ends: tuple[int, ...]
    many: Callable[..., Any] | None
    in_place: bool


class Layout(NamedTuple):
    """Operations in order; places from 0 are leaves, those below are registers."""

    steps: tuple[Step, ...]
    final: tuple[tuple[int, int], ...]
    registers: int
    shown: int | None


@final
class Tape:
    """The operations of one step as they are noted, the leaves they read and the numbers they meet.

    At every step the same is noted: where everything lies is looked up by that.
    """

    def __init__(self) -> None:
        self.age = 0
        self.clear()

    def clear(self) -> None:
        """Forget all; what was noted is noted again where it is used again."""
        self.age += 1
        self.notes: list[Any] = []
        self.numbers: list[Any] = []
        self.leaves: list[Vector] = []
        self._slots: dict[int, int] = {}

    def leaf(self, x: Vector) -> int:
        """The number of a leaf. Leaves over one list are one: what is written is seen by both."""
        slot = self._slots.get(id(x.tensors))
        if slot is None:
            slot = self._slots[id(x.tensors)] = len(self.leaves)
            self.leaves.append(x)
            self.notes.append(x.plain)
        return slot

    def note(self, op: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        """The place of an operation's result."""
        age, told = self.age, self.numbers
        kinds = [kind if (kind := a.__class__) in _NUMBERS
                 else a.at if a.age == age else a.place() for a in args]  # fmt: skip
        told += [a for a in args if a.__class__ in _NUMBERS]
        scale = None
        for name, value in kwargs.items():  # one at most
            told.append(value)
            scale = (name, value.__class__)
        self.notes.append((op, tuple(kinds), scale))
        return len(self.leaves) - len(self.notes)

    def wanted(
        self, ends: Sequence[tuple[Vector, Vector]], shown: Vector | None
    ) -> tuple[Layout, list[Vector], list[Any]]:
        """Where all lies, for vectors to be written into leaves; the leaves, and the numbers."""
        into = tuple([(x.place(), self.leaf(leaf)) for x, leaf in ends])
        seen = None if shown is None else shown.place()
        found = _needed(tuple(self.notes), into, seen)
        leaves, numbers = self.leaves, self.numbers
        if found.leaves is not None:
            leaves = [leaves[n] for n in found.leaves]
        if found.numbers is not None:
            numbers = [numbers[n] for n in found.numbers]
        return found.layout, leaves, numbers


class _Needed(NamedTuple):
    """A layout, and which of a tape's leaves and numbers it takes; ``None``: all."""

    layout: Layout
    leaves: list[int] | None
    numbers: list[int] | None


@lru_cache(maxsize=1024)
def _needed(
    notes: tuple[Any, ...], roots: tuple[tuple[int, int], ...], shown: int | None
) -> _Needed:
    """The layout of what leads to the roots, among all that was noted."""
    nodes = [note for note in notes if note.__class__ is tuple]
    plain = [note for note in notes if note.__class__ is bool]
    first = [0]  # each operation's numbers
    for _, kinds, scale in nodes:
        first.append(first[-1] + sum(not isinstance(k, int) for k in kinds) + (scale is not None))
    todo = [x for x, _ in roots] + ([] if shown is None else [shown])
    found, read = set(), {d for _, d in roots}
    while todo:
        x = todo.pop()
        if x >= 0:
            read.add(x)
        elif x not in found:
            found.add(x)
            todo += [k for k in nodes[-1 - x][1] if isinstance(k, int)]
    leaves, made = sorted(read), sorted(found, reverse=True)
    new = {old: n for n, old in enumerate(leaves)} | {old: -1 - n for n, old in enumerate(made)}
    graph = Graph(
        tuple((op, tuple(new[k] if isinstance(k, int) else k for k in kinds), scale)
              for op, kinds, scale in (nodes[-1 - x] for x in made)),
        tuple((new[x], new[d]) for x, d in roots),
        None if shown is None else new[shown], tuple(plain[n] for n in leaves),
    )  # fmt: skip
    numbers = [n for x in made for n in range(first[-1 - x], first[-x])]
    return _Needed(
        lay_out(graph),
        None if leaves == list(range(len(plain))) else leaves,
        None if numbers == list(range(first[-1])) else numbers,
    )


@lru_cache(maxsize=1024)
def lay_out(graph: Graph) -> Layout:
    """Where each result lies, and when a place is free again."""
    nodes, roots, shown, plain = graph
    copies = [(x, d) for x, d in roots if x >= 0 and x != d]
    first, end = len(copies), len(copies) + len(nodes)
    last_read = {x: n for n, (x, _) in enumerate(copies)}  # of leaves
    last_use: dict[int, int] = {}  # of results
    for n, (_, kinds, _) in enumerate(nodes, first):
        for a in kinds:
            if isinstance(a, int):
                (last_read if a >= 0 else last_use)[a] = n
    into: dict[int, list[int]] = {}
    for x, d in roots:
        if x < 0:
            into.setdefault(x, []).append(d)
            last_use[x] = end
    if shown is not None and shown < 0:
        last_use[shown] = end
    place: dict[int, int] = {}
    final: list[tuple[int, int]] = []
    steps: list[Step] = []
    free: list[int] = []
    registers = many = 0

    def temporary() -> int:
        nonlocal registers
        if free:
            return free.pop()
        registers += 1
        return -registers

    for n, (x, d) in enumerate(copies):
        target = d if last_read.get(d, -1) <= n and plain[d] else temporary()
        if target != d:
            final.append((target, d))
        steps.append(Step("copy", (x,), (None,), None, 0, target, (), None, False))
    for n, (op, kinds, scale) in enumerate(nodes, first):
        sources: list[int | None] = []
        at: list[int | None] = []
        for a in kinds:
            if isinstance(a, int):
                sources.append(a if a >= 0 else place[a])
                at.append(None)
            else:
                sources.append(None)
                at.append(many)
                many += 1
        ends = tuple({place[a] for a in kinds if isinstance(a, int) and a < 0
                      and last_use[a] == n})  # fmt: skip
        free += [p for p in ends if p < 0]
        code = -1 - (n - first)
        targets = into.get(code, [])
        direct = [d for d in targets if last_read.get(d, -1) <= n and plain[d]]
        target = direct[0] if direct else temporary()
        place[code] = target
        final += [(target, d) for d in targets if d != target]
        if direct:
            last_read[target] = end  # it is the new value from here on
        steps.append(Step(
            op, tuple(sources), tuple(at), scale and scale[0], many, target, ends,
            *_for_lists(op, kinds, scale and scale[1], sources, target),
        ))  # fmt: skip
        many += scale is not None
    seen = shown if shown is None or shown >= 0 else place[shown]
    return Layout(tuple(steps), tuple(final), registers, seen)


def _for_lists(
    op: str, kinds: Sequence[Kind], scale: type | None, sources: Sequence[int | None], target: int
) -> tuple[Callable[..., Any] | None, bool]:
    """The operation on lists of tensors, if torch has it, and whether it is done in place."""
    listed = [isinstance(kind, int) or kind is tuple for kind in kinds]
    known = False
    if scale is tuple:
        pass
    elif op in _LISTED:
        known = listed[1] or kinds[1] is float or op in ("add", "mul", "div")
    elif op == "lerp":
        known = listed[2] or kinds[2] is float
    elif op in ("addcmul", "addcdiv"):
        known = all(listed)
    elif op in _ALONE:
        known = True
    if not known:
        return None, False
    if sources[0] == target:
        return getattr(torch, f"_foreach_{op}_"), True
    if op in _EITHER and sources[1] == target:
        return _Turned(op), True
    return getattr(torch, f"_foreach_{op}"), False


@final
class _Turned:
    """An operation of two vectors written over the second."""

    def __init__(self, op: str) -> None:
        self._do = getattr(torch, f"_foreach_{op}_")

    def __call__(self, x: list[Tensor], y: list[Tensor], alpha: Any = None) -> None:
        if alpha is not None:
            torch._foreach_mul_(y, alpha)
        self._do(y, x)
