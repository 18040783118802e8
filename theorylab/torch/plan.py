"""``Plan``: the operations that lead to some vectors, computed block by block.

A block is a piece of one tensor that stays in a core's cache from the first operation to the last,
or a list of small tensors, which ``torch._foreach_*`` takes together; on a GPU all tensors are
one list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn

from theorylab.torch.draws import Stream
from theorylab.torch.layout import SPECIAL, Step
from theorylab.torch.loop import CHUNK, as_loop
from theorylab.torch.places import Below

if TYPE_CHECKING:
    from theorylab.torch.space import Space
    from theorylab.torch.vector import Vector

__all__ = ["BLOCK", "CHUNK", "Plan", "grouped"]

BLOCK = 1 << 19
"""Elements of a piece where little is held between: fewer calls, and the last cache is as good."""
_SMALL = 1 << 16
_PLAIN = (Tensor, nn.Parameter)


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
    """Operations, the leaves they read and write, and the numbers they take.

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
        self.layout, self.leaves, self.numbers = space.tape.wanted(wanted, shown)
        little = shown is None and self.layout.registers <= 1
        self._size = BLOCK if little else CHUNK
        self.loop = as_loop(self)

    @property
    def shown_is_scratch(self) -> bool:
        """Whether what :meth:`run` returns may be written over."""
        return self.layout.shown is not None and self.layout.shown < 0

    def run(self) -> Iterator[tuple[list[int], list[Tensor]]]:
        """Compute block by block; of each the owners and the shown vector's tensors."""
        shown, final = self.layout.shown, self.layout.final
        for block in self.space.lists:
            yield block, self._run_list(block)
        for i in self.space.large:
            steps = [self._for_tensor(step, i) for step in self.layout.steps]
            for slots in self._pieces(i):
                for function, given, sources, kwargs, target in steps:
                    taken = [a if s is None else slots[s] for a, s in zip(given, sources)]  # noqa: B905
                    function(*taken, **kwargs, out=slots[target])
                for source, d in final:
                    slots[d].copy_(slots[source])
                yield [i], [] if shown is None else [slots[shown]]

    def all(self) -> None:
        """Compute all that was wanted."""
        if self.loop is not None and self.loop.run():
            return
        for _ in self.run():
            pass

    def _for_tensor(self, step: Step, i: int) -> tuple[Any, ...]:
        """A step with the numbers that belong to the i-th tensor."""
        given = [None if n is None else self._number(n, i) for n in step.numbers]
        kwargs = {} if step.scale is None else {step.scale: self._number(step.scale_at, i)}
        if step.op in ("below", "draw"):
            given = [self.stream(step, i)]
        function = _SPECIALLY[step.op] if step.op in SPECIAL else getattr(torch, step.op)
        return function, given, step.sources, kwargs, step.target

    def _number(self, n: int, i: int) -> Any:
        found = self.numbers[n]
        return found[i] if isinstance(found, tuple) else found

    def stream(self, step: Step, owner: int) -> Stream | Below:
        """What an operation draws for a tensor, or for the list that it begins."""
        if step.op == "below":
            (limit,) = (self.numbers[n] for n in step.numbers if n is not None)
            return Below(limit - sum(self.space.sizes[:owner]))
        law, key = (self.numbers[n] for n in step.numbers if n is not None)
        return Stream(law, key, owner, self.space.device)

    def _pieces(self, i: int) -> Iterator[list[Tensor]]:
        """The i-th tensor's places piece by piece: the leaves, and registers from behind."""
        tensors = [leaf.tensors[i] for leaf in self.leaves]
        shape, many = self.space.shapes[i], self.layout.registers
        size, most = shape.numel(), self._size
        if not all(type(t) in _PLAIN and t.is_contiguous() for t in tensors):
            yield [*tensors, *(r.view(shape) for r in self.space.registers(many, size))]
            return
        rows = [t.view(-1) for t in tensors]
        if size <= most:
            yield [*rows, *self.space.registers(many, size)]
            return
        whole = self.space.registers(many, most)
        last, over = divmod(size, most)
        for piece, parts in enumerate(zip(*(row.split(most) for row in rows), strict=True)):
            if piece == last and over:
                whole = self.space.registers(many, over)
            yield [*parts, *whole]

    def _run_list(self, block: list[int]) -> list[Tensor]:
        every = len(block) == len(self.space.shapes)
        places: dict[int | None, Any] = {
            n: leaf.tensors if every else [leaf.tensors[i] for i in block]
            for n, leaf in enumerate(self.leaves)
        }
        numbers = [[a[i] for i in block] if isinstance(a, tuple) else a for a in self.numbers]
        for step in self.layout.steps:
            args = [places[s] if n is None else numbers[n]
                    for s, n in zip(step.sources, step.numbers)]  # noqa: B905  # fmt: skip
            kwargs = {} if step.scale is None else {step.scale: numbers[step.scale_at]}
            if step.many is None:
                made = self._one_by_one(step, args, kwargs, block)
            else:
                made = step.many(*args, **kwargs)
            for place in step.ends:
                if place < 0 and place != step.target:
                    del places[place]
            if step.in_place:
                continue
            if step.target < 0:
                places[step.target] = list(made)
            else:
                torch._foreach_copy_(places[step.target], list(made))
        for source, d in self.layout.final:
            torch._foreach_copy_(places[d], places[source])
        return [] if self.layout.shown is None else list(places[self.layout.shown])

    def _one_by_one(
        self, step: Step, args: list[Any], kwargs: dict[str, Any], block: list[int]
    ) -> Sequence[Tensor]:
        """What torch has no operation on lists for."""
        space = self.space
        shapes = [space.shapes[i] for i in block]
        if step.op == "copy":
            return [x.to(space.dtype, copy=True) for x in args[0]]
        if step.op == "draw":
            sizes = [s.numel() for s in shapes]
            row = torch.empty(sum(sizes), dtype=space.dtype, device=space.device)
            self.stream(step, block[0]).fill(row)
            return [part.view(s) for part, s in zip(row.split(sizes), shapes, strict=True)]
        if step.op == "below":
            made = [torch.empty(s, dtype=space.dtype, device=space.device) for s in shapes]
            for i, out in zip(block, made, strict=True):
                self.stream(step, i).fill(out.view(-1))
            return made
        function = _SPECIALLY[step.op] if step.op in SPECIAL else getattr(torch, step.op)
        made = []
        for n, shape in enumerate(shapes):
            out = torch.empty(shape, dtype=space.dtype, device=space.device)
            given = [a[n] if isinstance(a, list) else a for a in args]
            one = {k: v[n] if isinstance(v, list) else v for k, v in kwargs.items()}
            function(*given, **one, out=out)
            made.append(out)
        return made


def _where(condition: Tensor | float, x: Any, y: Any, out: Tensor) -> None:
    chosen = condition != 0
    torch.where(chosen if isinstance(chosen, Tensor) else torch.tensor(chosen), x, y, out=out)


_SPECIALLY: dict[str, Any] = {
    "copy": lambda x, out: out.copy_(x),
    "full": lambda value, out: out.fill_(value),
    "below": lambda ones, out: ones.fill(out.view(-1)),
    "draw": lambda stream, out: stream.fill(out.view(-1)),
    "top": lambda x, largest, out: largest.into(x, out),
    "where": _where,
}
