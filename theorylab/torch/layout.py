"""``Layout``: the order of operations that lead to some vectors, and where each result lies.

It depends on how vectors were made and not on what is in them: a training run lays out one step
and looks the others up. A result is written straight over what it replaces where nothing reads
that any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, final

import torch
from torch import Tensor

if TYPE_CHECKING:
    from theorylab.torch.vector import Vector

__all__ = ["SPECIAL", "Graph", "Layout", "Step", "lay_out", "traced"]

Kind = int | type
"""A leaf's number, ``-1 - n`` for the n-th operation's result, or the type of a number."""
SPECIAL = frozenset({"copy", "full", "draw", "where"})
_NUMBERS = frozenset({float, tuple, Tensor, str, int})
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


def traced(
    wanted: Sequence[tuple[Vector, Vector]], shown: Vector | None
) -> tuple[Graph, list[Vector], list[Any]]:
    """How vectors were made, the leaves they come from and go to, and the numbers they met."""
    # Done at every step, so in few and plain operations. Leaves over one list are one: what is
    # written into one is seen by the other.
    slots: dict[int, int] = {}
    leaves: list[Vector] = []
    numbers: list[Any] = []
    place: dict[int, int] = {}
    nodes: list[tuple[str, tuple[Kind, ...], tuple[str, type] | None]] = []
    roots = [x for x, _ in wanted]
    ends = [leaf for _, leaf in wanted]
    made = _ordered(roots if shown is None else [*roots, shown])
    read = [a for x in made for a in x.args if a.__class__ not in _NUMBERS and a.op == "leaf"]
    for leaf in (*ends, *read, *(x for x in (*roots, shown) if x is not None and x.op == "leaf")):
        if id(leaf.tensors) not in slots:
            slots[id(leaf.tensors)] = len(leaves)
            leaves.append(leaf)
    for x in made:
        kinds: list[Kind] = []
        for a in x.args:
            kind = a.__class__
            if kind in _NUMBERS:
                numbers.append(a)
                kinds.append(kind)
            else:
                kinds.append(slots[id(a.tensors)] if a.op == "leaf" else place[a.serial])
        scale = None
        for name, value in x.kwargs.items():  # one at most
            numbers.append(value)
            scale = (name, value.__class__)
        place[x.serial] = -1 - len(nodes)
        nodes.append((x.op, tuple(kinds), scale))
    codes = [slots[id(x.tensors)] if x.op == "leaf" else place[x.serial] for x in roots]
    into = tuple((code, slots[id(leaf.tensors)]) for code, leaf in zip(codes, ends, strict=True))
    seen = None
    if shown is not None:
        seen = slots[id(shown.tensors)] if shown.op == "leaf" else place[shown.serial]
    graph = Graph(tuple(nodes), into, seen, tuple(leaf.plain for leaf in leaves))
    return graph, leaves, numbers


def _ordered(roots: Sequence[Vector]) -> list[Vector]:
    """All operations that the roots need, in the order in which they were noted."""
    found: dict[int, Vector] = {}
    todo = list(roots)
    while todo:
        x = todo.pop()
        if x.op == "leaf" or x.serial in found:
            continue
        found[x.serial] = x
        todo += [a for a in x.args if a.__class__ not in _NUMBERS]
    return [found[n] for n in sorted(found)]


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
