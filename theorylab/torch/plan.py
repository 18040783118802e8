"""``Plan``: the operations that lead to some vectors, computed block by block.

A block is a piece of one tensor that stays in a core's cache from the first operation to the last,
or a list of small tensors, which ``torch._foreach_*`` takes together; on a GPU all tensors are
one list. A result is written straight over what it replaces where nothing reads that any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, final

import torch
from torch import Tensor, nn

from theorylab.torch.draws import fill, mixed

if TYPE_CHECKING:
    from theorylab.torch.vector import Space, Vector

__all__ = ["BLOCK", "CHUNK", "Plan", "grouped", "results"]

CHUNK = 1 << 17
"""Elements of a piece: small enough for a cache, large enough for two threads.

Draws are keyed by it and sums made of it, so results depend on it.
"""
BLOCK = 1 << 19
"""Elements of a piece where little is held between: fewer calls, and the last cache is as good."""
_SMALL = 1 << 14
_PLAIN = (Tensor, nn.Parameter)
_SPECIAL = frozenset({"copy", "full", "draw", "where"})
_ALONE = frozenset({
    "abs", "ceil", "exp", "expm1", "floor", "log", "log1p", "neg", "reciprocal", "rsqrt",
    "sigmoid", "sign", "sqrt", "tanh",
})  # fmt: skip
_LISTED = frozenset({"add", "mul", "div", "maximum", "minimum", "clamp_min", "clamp_max"})


class _Step(NamedTuple):
    """One operation: where its vectors are, its numbers, and where the result goes."""

    op: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    sources: tuple[int | None, ...]
    target: int
    ends: tuple[int, ...]


def grouped(
    shapes: Sequence[torch.Size], device: torch.device
) -> tuple[list[list[int]], list[int]]:
    """Which tensors, by number, are taken together as lists, and which are cut to pieces.

    >>> grouped([torch.Size([9]), torch.Size([10**6]), torch.Size([3, 3])], torch.device("cpu"))
    ([[0, 2]], [1])
    """
    lists: list[list[int]] = []
    large, held = [], CHUNK
    for i, shape in enumerate(shapes):
        size = shape.numel()
        if device.type == "cpu" and size > _SMALL:
            large.append(i)
            continue
        if not lists or (device.type == "cpu" and held + size > CHUNK):
            lists.append([])
            held = 0
        lists[-1].append(i)
        held += size
    return lists, large


@final
class Plan:
    """The order of operations, and which place holds what when.

    Parameters
    ----------
    space : Space
    wanted : sequence of (Vector, Vector)
        A vector, and the leaf whose tensors it is to be written into.
    shown : Vector, optional
        A vector that :meth:`run` returns.
    """

    def __init__(
        self, space: Space, wanted: Sequence[tuple[Vector, Vector]], shown: Vector | None = None
    ) -> None:
        self.space = space
        self.leaves: list[Vector] = []
        self._slots: dict[int, int] = {}
        for _, leaf in wanted:
            self._slot(leaf)
        roots = [(x, self._slot(leaf)) for x, leaf in wanted]
        copies = [(x, d) for x, d in roots if x.op == "leaf" and self._slot(x) != d]
        nodes = _ordered([x for x, _ in roots] + ([] if shown is None else [shown]))
        for x in nodes:
            for a in x.args:
                if not isinstance(a, (float, tuple, Tensor, str, int)) and a.op == "leaf":
                    self._slot(a)
        shown_slot = self._slot(shown) if shown is not None and shown.op == "leaf" else None
        self._lay_out(nodes, copies, roots, shown)
        self._size = CHUNK if shown is not None or self.registers > 1 else BLOCK
        self._shown = shown_slot if shown_slot is not None else (
            None if shown is None else self._place[id(shown)]
        )  # fmt: skip

    def _slot(self, leaf: Vector) -> int:
        # Leaves over one list are one: what is written into one is seen by the other.
        key = id(leaf.tensors)
        if key not in self._slots:
            self._slots[key] = len(self.leaves)
            self.leaves.append(leaf)
        return self._slots[key]

    # --- once --------------------------------------------------------------------------------
    def _lay_out(
        self,
        nodes: list[Vector],
        copies: list[tuple[Vector, int]],
        roots: list[tuple[Vector, int]],
        shown: Vector | None,
    ) -> None:
        first = len(copies)
        sources = [[(a, self._where(a)) for a in x.args] for x in nodes]
        last_read: dict[int, int] = {}
        for n, (x, _) in enumerate(copies):
            last_read[self._slot(x)] = n
        last_use: dict[int, int] = {}
        for n, found in enumerate(sources, first):
            for a, where in found:
                if where == "leaf":
                    last_read[self._slot(a)] = n
                elif where == "node":
                    last_use[a.serial] = n
        end = first + len(nodes)
        into: dict[int, list[int]] = {}
        for x, d in roots:
            if x.op != "leaf":
                into.setdefault(x.serial, []).append(d)
                last_use[x.serial] = end
        if shown is not None:
            last_use[shown.serial] = end
        self._place: dict[int, int] = {}
        self._final: list[tuple[int, int]] = []
        self._steps: list[_Step] = []
        free: list[int] = []
        self.registers = 0
        place: dict[int, int] = {}

        def temporary() -> int:
            if free:
                return free.pop()
            self.registers += 1
            return -self.registers

        for n, (x, d) in enumerate(copies):
            plainly = last_read.get(d, -1) <= n and self._writes_plainly(d)
            target = d if plainly else temporary()
            if not plainly:
                self._final.append((target, d))
            self._steps.append(_Step("copy", (None,), {}, (self._slot(x),), target, ()))
        for n, (x, found) in enumerate(zip(nodes, sources, strict=True), first):
            taken = tuple(
                None if kind is None else self._slot(a) if kind == "leaf" else place[a.serial]
                for a, kind in found
            )
            ends = tuple({place[a.serial] for a, kind in found
                          if kind == "node" and last_use[a.serial] == n})  # fmt: skip
            free += [p for p in ends if p < 0]
            targets = into.get(x.serial, [])
            direct = [d for d in targets
                      if last_read.get(d, -1) <= n and self._writes_plainly(d)]  # fmt: skip
            target = direct[0] if direct else temporary()
            place[x.serial] = target
            self._place[id(x)] = target
            self._final += [(target, d) for d in targets if d != target]
            if direct:
                last_read[target] = end  # it is the new value from here on
            args = tuple(None if kind is not None else a for a, kind in found)
            self._steps.append(_Step(x.op, args, x.kwargs, taken, target, ends))

    def _writes_plainly(self, slot: int) -> bool:
        return all(t.dtype == self.space.dtype for t in self.leaves[slot].tensors)

    def _where(self, a: Any) -> str | None:
        if isinstance(a, (float, tuple, Tensor, str, int)):
            return None
        return "leaf" if a.op == "leaf" else "node"

    # --- for every block ---------------------------------------------------------------------
    def run(self) -> Iterator[tuple[list[int], list[Tensor]]]:
        """Compute block by block; of each the owners and the shown vector's tensors."""
        for block in self.space.lists:
            yield block, self._run_list(block)
        for i in self.space.large:
            steps = self._for_tensor(i)
            for slots, piece in self._pieces(i):
                for function, args, sources, kwargs, target in steps:
                    given = [a if s is None else slots[s] for a, s in zip(args, sources)]  # noqa: B905
                    if function is None:
                        _special(kwargs["op"], given, slots[target], i, piece)
                    else:
                        function(*given, **kwargs, out=slots[target])
                for source, d in self._final:
                    slots[d].copy_(slots[source])
                yield [i], [] if self._shown is None else [slots[self._shown]]

    def _for_tensor(self, i: int) -> list[tuple[Any, ...]]:
        """The steps with the numbers that belong to the i-th tensor."""
        steps = []
        for step in self._steps:
            args = [a[i] if isinstance(a, tuple) else a for a in step.args]
            kwargs = {k: v[i] if isinstance(v, tuple) else v for k, v in step.kwargs.items()}
            special = step.op in _SPECIAL
            steps.append((
                None if special else getattr(torch, step.op), args, step.sources,
                {"op": step.op} if special else kwargs, step.target,
            ))  # fmt: skip
        return steps

    def _pieces(self, i: int) -> Iterator[tuple[list[Tensor], int]]:
        """The i-th tensor's places piece by piece: the leaves, and registers from behind."""
        tensors = [leaf.tensors[i] for leaf in self.leaves]
        size = self.space.shapes[i].numel()
        if not all(type(t) in _PLAIN and t.is_contiguous() for t in tensors):
            shape = self.space.shapes[i]
            yield (
                [*tensors, *(r.view(shape) for r in self.space.registers(self.registers, size))],
                0,
            )
            return
        rows = [t.view(-1) for t in tensors]
        most = self._size
        if size <= most:
            yield [*rows, *self.space.registers(self.registers, size)], 0
            return
        whole = self.space.registers(self.registers, most)
        cuts = zip(*(row.split(most) for row in rows), strict=True)
        last, over = divmod(size, most)
        for piece, parts in enumerate(cuts):
            if piece == last and over:
                whole = self.space.registers(self.registers, over)
            yield [*parts, *whole], piece * (most // CHUNK)

    def _run_list(self, block: list[int]) -> list[Tensor]:
        new: dict[int, Sequence[Tensor]] = {}
        leaves = [[leaf.tensors[i] for i in block] for leaf in self.leaves]
        for step in self._steps:
            args = [
                (a if not isinstance(a, tuple) else [a[i] for i in block]) if s is None
                else new[s] if s in new else leaves[s]
                for a, s in zip(step.args, step.sources, strict=True)
            ]  # fmt: skip
            kwargs = {k: [v[i] for i in block] if isinstance(v, tuple) else v
                      for k, v in step.kwargs.items()}  # fmt: skip
            result = _many(step.op, args, kwargs, block, self.space)
            for place in step.ends:
                new.pop(place, None)
            new[step.target] = result
        for source, d in self._final:
            new[d] = new[source]
        shown = self._shown
        answer = [] if shown is None else list(new[shown] if shown in new else leaves[shown])
        for slot, x in new.items():
            if slot >= 0:
                torch._foreach_copy_(leaves[slot], list(x))
        return answer


def _ordered(roots: Sequence[Vector]) -> list[Vector]:
    """All operations that the roots need, in the order in which they were noted."""
    found: dict[int, Vector] = {}
    todo = list(roots)
    while todo:
        x = todo.pop()
        if x.op == "leaf" or x.serial in found:
            continue
        found[x.serial] = x
        todo += [a for a in x.args if not isinstance(a, (float, tuple, Tensor, str, int))]
    return [found[n] for n in sorted(found)]


def _special(op: str, args: Sequence[Any], out: Tensor, owner: int, piece: int) -> None:
    """Operations that torch has not as a function with ``out``."""
    if op == "copy":
        out.copy_(args[0])
    elif op == "full":
        out.fill_(args[0])
    elif op == "draw":
        law, key = args
        row = out.view(-1)
        for n, part in enumerate(row.split(CHUNK) if len(row) > CHUNK else (row,), piece):
            fill(part, law, mixed(key, owner, n))
    else:
        condition, x, y = args
        chosen = condition != 0
        torch.where(chosen if isinstance(chosen, Tensor) else torch.tensor(chosen), x, y, out=out)


def _many(
    op: str, args: list[Any], kwargs: dict[str, Any], block: list[int], space: Space
) -> Sequence[Tensor]:
    """An operation on lists of tensors; numbers may come as one for all or as lists."""
    if op == "copy":
        return [x.to(space.dtype, copy=True) for x in args[0]]
    if op == "draw":
        law, key = args
        shapes = [space.shapes[i] for i in block]
        sizes = [s.numel() for s in shapes]
        row = torch.empty(sum(sizes), dtype=space.dtype, device=space.device)
        fill(row, law, mixed(key, block[0], 0))
        return [part.view(s) for part, s in zip(row.split(sizes), shapes, strict=True)]
    listed = [isinstance(a, list | tuple) for a in args]
    scale = kwargs.get("alpha", kwargs.get("value"))
    if op in _LISTED and not isinstance(scale, list):
        if listed[1] or isinstance(args[1], float) or op in ("add", "mul", "div"):
            return getattr(torch, f"_foreach_{op}")(*args, **kwargs)
    elif op == "lerp" and (listed[2] or isinstance(args[2], float)):
        return torch._foreach_lerp(*args)
    elif op == "addcmul" and all(listed) and not isinstance(scale, list):
        return torch._foreach_addcmul(*args, **kwargs)
    elif op in _ALONE:
        return getattr(torch, f"_foreach_{op}")(args[0])
    made = []
    for n, i in enumerate(block):
        out = torch.empty(space.shapes[i], dtype=space.dtype, device=space.device)
        given = [a[n] if many else a for a, many in zip(args, listed, strict=True)]
        if op in _SPECIAL:
            _special(op, given, out, i, 0)
        else:
            one = {k: v[n] if isinstance(v, list) else v for k, v in kwargs.items()}
            getattr(torch, op)(*given, **one, out=out)
        made.append(out)
    return made


def results(tensors: list[Tensor], what: str) -> list[Tensor]:
    """The norm or the sum of each of a block's tensors."""
    if what == "norm" and len(tensors) > 1:
        return list(torch._foreach_norm(tensors))
    if what == "norm":
        return [torch.linalg.vector_norm(tensors[0])]
    return [t.sum() for t in tensors]
