"""``Space``: what the vectors of one step share: their tensors' shapes, scratch, what was noted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor

from theorylab.torch.layout import Tape
from theorylab.torch.loop import CHUNK
from theorylab.torch.places import Largest
from theorylab.torch.plan import BLOCK, Plan, grouped
from theorylab.torch.scalars import Scalar
from theorylab.torch.shards import Shards
from theorylab.torch.vector import Vector, leaf_of, unsupported

if TYPE_CHECKING:
    from theorylab.torch.whole import Script

__all__ = ["Space"]


@final
class Space:
    """What all vectors of one step have in common: the shapes of their tensors.

    Parameters
    ----------
    like : sequence of Tensor
        Tensors of these shapes, on one device. Half-precision ones are computed with in float32.
    held : bool
        Never fetch a number from a tensor, as a captured graph must not.
    shards : Shards, optional
        Who holds the other parts of the tensors, where these are parts.
    sizes : sequence of int, optional
        Entries of the tensors with all their parts.
    """

    def __init__(
        self,
        like: Sequence[Tensor],
        held: bool = False,
        shards: Shards | None = None,
        sizes: Sequence[int] | None = None,
    ) -> None:
        self.shapes = [t.shape for t in like]
        self.device = like[0].device
        wide = any(t.dtype == torch.float64 for t in like)
        self.dtype = torch.float64 if wide else torch.float32
        self.held = held
        self.shards = shards
        self.sizes = [t.numel() for t in like] if sizes is None else list(sizes)
        self.numel = sum(self.sizes)
        self.lengths = np.array([s.numel() for s in self.shapes], np.int64)
        self.many_each = self.lengths.tolist()
        self.many = sum(self.many_each)  # in this process
        self.looks = [(s, self.dtype, self.device.type == "cpu") for s in self.shapes]
        self.summed = False  # whether anything was
        self.placed = False  # whether places or ranks were asked for
        self.lists, self.large = grouped(self.shapes, self.device)
        self.tape = Tape()
        self.script: Script | None = None  # while a step is noted as one text
        self._registers: dict[int, list[Tensor]] = {}

    def vector(self, tensors: Sequence[Tensor]) -> Vector:
        """These tensors as a vector; what is written into them is seen by it."""
        leaf = Vector(self, "leaf", ())
        leaf.tensors = list(tensors)
        if {t.dtype for t in leaf.tensors} != {self.dtype}:
            leaf.plain = False
            return Vector(self, "copy", (leaf,))
        return leaf

    def pieces(self, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The tensors cut to pieces: of each its tensor, where it begins there, and its length."""
        cut = [(i, begin, min(most, n - begin)) for i, n in enumerate(self.lengths.tolist())
               for begin in range(0, n, most)]  # fmt: skip
        owners, begins, sizes = np.array(cut, np.int64).T
        return owners, begins.astype(np.uint64), np.ascontiguousarray(sizes)

    def drawn(self, law: str, key: int) -> Vector:
        """Numbers drawn from a law, decided by the key and the shapes alone."""
        return Vector(self, "draw", (law, key))

    def registers(self, many: int, size: int) -> list[Tensor]:
        """Scratch of so many numbers each, the same at every call; the last is the first."""
        held = self._registers.setdefault(size, [])
        while len(held) < many:
            # Sizes up to a block share its memory: they are never in use together.
            if size >= BLOCK or size == CHUNK:
                held.insert(0, torch.empty(size, dtype=self.dtype))
            else:
                full = CHUNK if size < CHUNK else BLOCK
                held.insert(0, self.registers(len(held) + 1, full)[0][:size])
        return held[len(held) - many :]

    def number(self, x: Any) -> Any:
        """A number for an operation: a float, a scalar tensor, or a tuple of one a tensor."""
        if isinstance(x, bool | int | float):
            return float(x)
        if isinstance(x, Scalar):
            return x
        if not isinstance(x, Tensor):
            unsupported(type(x).__name__)
        fetched = x.device.type == "cpu" and not self.held
        if x.numel() == 1:
            return float(x.item()) if fetched else x.reshape(()).to(self.dtype)
        if x.numel() == len(self.shapes) and x.ndim == 1:
            return tuple(x.tolist() if fetched else x.to(self.dtype).unbind())
        return unsupported(f"arithmetic with a tensor of shape {tuple(x.shape)}")

    # --- computing ---------------------------------------------------------------------------
    def planned(self, results_into: Sequence[tuple[Vector, Vector]]) -> Plan:
        """How each first vector will be computed into the tensors of the second one."""
        plan = Plan(self, [(new, leaf_of(old)) for new, old in results_into])
        self.tape.clear()  # gradients are not held beyond a step
        return plan

    def write(self, results_into: Sequence[tuple[Vector, Vector]]) -> None:
        """Compute each first vector into the tensors of the second one."""
        self.planned(results_into).all()

    def tensors(self, x: Vector) -> list[Tensor]:
        """The vector's numbers in new tensors of its shapes."""
        made = [torch.empty(s, dtype=self.dtype, device=self.device) for s in self.shapes]
        self.write([(x, self.vector(made))])
        return made

    def reduced(self, x: Vector, what: str, each: bool) -> Tensor:
        """The ``"norm"`` or ``"sum"`` of a vector; with ``each``, of each of its tensors."""
        self.summed = True
        if self.script is not None:
            return self.script.reduced(x, what, each)
        owners: list[int] = []
        parts: list[Tensor] = []
        for block, tensors in Plan(self, [], x).run():
            parts += _norms(tensors) if what == "norm" else [t.sum() for t in tensors]
            owners += block
        found = torch.stack(parts)
        if self.device.type == "cpu" and not each and self.shards is None:
            # Few numbers: Python adds them before torch has found its kernel.
            many = found.tolist()
            total = math.sqrt(sum(x * x for x in many)) if what == "norm" else sum(many)
            return torch.tensor(total, dtype=torch.float64)
        found = found.to(torch.float64)
        if what == "norm":
            found = found.square()
        found = self._joined(found, owners, each)
        if what == "norm":
            found = found.sqrt()
        return found if self.device.type == "cpu" else found.to(self.dtype)

    def first(self, many: int) -> Vector:
        """1 for so many numbers from the first on, 0 for the others."""
        self.summed = self.placed = True
        return Vector(self, "below", (many,))

    def top(self, x: Vector, k: int) -> Vector:
        """The k entries of largest magnitude, zeros elsewhere."""
        self.summed = self.placed = True
        if self.script is not None:
            unsupported("ranks in one text")
        parts = (t for _, tensors in Plan(self, [], x).run() for t in tensors)
        return Vector(self, "top", (x, Largest(parts, k)))

    def spread(self, x: Vector) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a vector's numbers (``x.each``: of each tensor's).

        Both in one pass: of every block its own, joined as Chan, Golub and LeVeque (1983) do.
        """
        self.summed = True
        if self.script is not None:
            unsupported("a deviation in one text")
        owners: list[int] = []
        many: list[int] = []
        sums: list[Tensor] = []
        means: list[Tensor] = []
        norms: list[Tensor] = []
        plan = Plan(self, [], x)
        for block, tensors in plan.run():
            sizes = [t.numel() for t in tensors]
            total = [t.sum() for t in tensors]
            middle = [t / n for t, n in zip(total, sizes, strict=True)]
            if plan.shown_is_scratch:
                torch._foreach_sub_(tensors, middle)
                norms += _norms(tensors)
            else:
                norms += _norms(torch._foreach_sub(tensors, middle))
            sums += total
            means += middle
            many += sizes
            owners += block
        size = torch.tensor(many, dtype=torch.float64, device=self.device)
        each, mean, off = (torch.stack(y).to(torch.float64) for y in (sums, means, norms))
        whole = self._joined(size, owners, x.each)
        centre = self._joined(each, owners, x.each) / whole
        theirs = centre[torch.tensor(owners, device=self.device)] if x.each else centre
        square = off.square() + size * (mean - theirs).square()
        deviation = (self._joined(square, owners, x.each) / whole).sqrt()
        if self.device.type == "cpu":
            return centre, deviation
        return centre.to(self.dtype), deviation.to(self.dtype)

    def _joined(self, parts: Tensor, owners: Sequence[int], each: bool) -> Tensor:
        """The sum of blocks' numbers, or with ``each`` of each tensor's, over all processes."""
        if each:
            zero = parts.new_zeros(len(self.shapes))
            found = zero.index_add(0, torch.tensor(owners, device=parts.device), parts)
        else:
            found = parts.sum()
        return found if self.shards is None else self.shards.summed(found)


def _norms(tensors: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    if len(tensors) > 1:
        return list(torch._foreach_norm(tensors))
    return [torch.linalg.vector_norm(tensors[0])]
