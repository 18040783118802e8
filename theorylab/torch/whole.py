"""``Whole``: a rule's step on a small network as one call of a function in C.

Between a network's backward and its next forward, where nothing of Python's is in a cache, every
line of Python's costs several times what it does in a row of its like: a step that is a single
call takes a fifth of the time. So the rule's code is run once on vectors and numbers that only
note what is done to them; norms and sums, what is made of the step's index and of the step size,
and the operations on vectors become one text in C, compiled once on a machine.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from struct import Struct
from typing import TYPE_CHECKING, Any, NoReturn, final

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from theorylab.engine.native.library import library
from theorylab.method.rule import Drawn, UpdateRule, entries
from theorylab.problem.oracle import Oracle
from theorylab.torch import loop as loops
from theorylab.torch.scalars import Lines, Scalar
from theorylab.torch.vector import Unsupported, Vector, leaf_of, unsupported

if TYPE_CHECKING:
    from theorylab.torch.forms import InParts, Kept
    from theorylab.torch.layout import Layout
    from theorylab.torch.space import Space

__all__ = ["MOST", "Script", "Whole", "whole"]

MOST = 1 << 19
"""Numbers of a vector above which Python's share of a step is small, and threads pay."""
_TYPES = {torch.float32: "float", torch.float64: "double"}
_PLAIN = frozenset({Tensor, nn.Parameter})
_LOOK, _KIND = attrgetter("shape", "dtype", "is_cpu"), attrgetter("dtype")
# What a rule's code may raise on vectors and numbers that are not known.
_CANNOT = (Unsupported, TypeError, ValueError, RuntimeError, AttributeError)


@final
class Script:
    """The text of a step in C as it grows: loops over the vectors, and lines between them.

    Parameters
    ----------
    space : Space
    gradients : Vector
        The first of the leaves, which is elsewhere at every step.
    """

    def __init__(self, space: Space, gradients: Vector) -> None:
        self.space, self.kind = space, _TYPES[space.dtype]
        self.lines = Lines()
        self.leaves = [gradients]
        self.written: set[int] = set()

    def reduced(self, x: Vector, what: str, each: bool) -> Scalar:
        """The ``"norm"`` or ``"sum"`` of a vector, added up in double precision."""
        if each:
            unsupported("one number a tensor")
        layout, leaves, numbers = self.space.tape.wanted([], x)
        assert layout.shown is not None
        term = f"(double){loops.name_of(layout.shown)}"
        total = f"total{len(self.lines.text)}"
        self.lines.text.append(f"double {total} = 0;")
        self._loop(layout, leaves, numbers, total, f"{term} * {term}" if what == "norm" else term)
        return self.lines.scalar(f"sqrt({total})" if what == "norm" else total)

    def write(self, ends: Sequence[tuple[Vector, Vector]]) -> None:
        """Compute each first vector into the tensors of the second one."""
        self._loop(*self.space.tape.wanted([(new, leaf_of(old)) for new, old in ends], None))

    def _loop(
        self, layout: Layout, leaves: Sequence[Vector], numbers: Sequence[Any],
        total: str = "", term: str = "",
    ) -> None:  # fmt: skip
        found = loops.inner(layout, self.kind, len(leaves))
        if found is None or found.draws:
            unsupported("a step that C cannot say")
        slots = [self._slot(leaf) for leaf in leaves]
        self.written |= {slots[n] for n in found.written}
        out = self.lines.text
        out.append("for (int64_t k = 0; k < tensors; k++) {")
        out += [f"  T *a{n} = at[{slot} * tensors + k];" for n, slot in enumerate(slots)]
        out += [f"  const T c{n} = {self.lines.name(numbers[n])};" for n in found.numbers]
        out.append("  const int64_t size = sizes[k];")
        if total:
            out.append("  double part = 0;")
        out.append(f"  #pragma omp simd{' reduction(+:part)' if total else ''}")
        out.append("  for (int64_t i = 0; i < size; i++) {")
        out += [f"    {line}" for line in found.lines]
        if total:
            out.append(f"    part += {term};")
        out.append("  }")
        if total:
            out.append(f"  {total} += part;")
        out.append("}")

    def _slot(self, leaf: Vector) -> int:
        if not leaf.plain:
            unsupported("numbers of another type")
        for n, known in enumerate(self.leaves):
            if known.tensors is leaf.tensors:
                return n
        self.leaves.append(leaf)
        return len(self.leaves) - 1

    def text(self) -> str:
        """All of it."""
        return "\n".join((
            "#include <math.h>", loops.head(self.kind),
            "void step(int64_t tensors, const int64_t *sizes, T *const *at, const double *given,",
            "          T *const *kept, float *counts) {",
            "  for (int64_t k = 0; counts && k < tensors; k++) counts[k] += 1;",
            *(f"  {line}" for line in self.lines.text), "}", "",
        ))  # fmt: skip


@final
class _AtHand(Oracle):
    """Answers with the gradient at hand, and with nothing else."""

    def __init__(self, w: Vector, leaf: Vector) -> None:
        super().__init__()
        self._w, self._leaf = w, leaf

    def gradient(self, w: Any, lag: int = 0) -> Any:
        if w is not self._w or lag:
            unsupported("another gradient")
        return self._leaf

    def _lacks(self, what: str) -> NoReturn:
        unsupported(what)


@cache
def _compiled(text: str) -> Callable[..., None] | None:
    try:
        step: Callable[..., None] = library(text).step
    except Exception:  # whatever the compiler or the disk lacks: the step is taken in parts
        return None
    step.restype = None  # type: ignore[attr-defined]
    return step


def whole(
    form: InParts, rule: UpdateRule, arguments: Mapping[str, Any], moving: Sequence[str],
    kept: Kept, states: list[dict[str, Any]], counts: Tensor | None, restart: bool,
) -> Whole | None:  # fmt: skip
    """A step as one call; ``None`` where the rule asks for more, or its code cannot be noted.

    Parameters
    ----------
    form : InParts
        Parameters and state as a step finds them.
    rule, arguments
        The rule, and what it was made of.
    moving : sequence of str
        The fields that may be others at every step.
    kept : Kept
    states : list of dict
    counts : Tensor, optional
        The steps taken, of each parameter, side by side in float32: the call counts them.
    restart : bool
        Whether the step begins a round.
    """
    space = form.space
    if space.device.type != "cpu" or space.held or space.dtype not in _TYPES:
        return None
    if not loops.LEAST <= space.many < MOST or form.upward:
        return None
    if rule.draws or rule.lags > 1:
        return None
    before: Any = form.state(rule, kept, states)
    held = [states[0][name] for name in kept.numbers]
    if any(x.dtype != space.dtype or x.numel() != 1 or not x.is_cpu for x in held) or any(
        s[name] is not x for name, x in zip(kept.numbers, held, strict=True) for s in states
    ):
        return None
    gradients = Vector(space, "leaf", ())
    gradients.tensors = list(form.params)  # of their shapes
    script = Script(space, gradients)
    lines = script.lines
    space.tape.clear()
    space.script = script
    try:
        t, *values = [lines.scalar(lines.name(0.0)) for _ in range(1 + len(moving))]
        made = type(rule)(**{**arguments, **dict(zip(moving, values, strict=True))})
        numbers = {name: lines.scalar(f"*kept[{n}]") for n, name in enumerate(kept.numbers)}
        given = before._replace(**numbers)
        moved, state = made.update(form.w, _AtHand(form.w, gradients), given, Drawn(t, restart))
        parts = entries(state)
        script.write(form.ends(moved, parts, kept))
        lines.text += [f"*kept[{n}] = {lines.name(parts[name])};"
                       for n, name in enumerate(kept.numbers)]  # fmt: skip
    except _CANNOT:
        return None
    finally:
        space.script = None
        space.tape.clear()
    step = _compiled(script.text())
    return None if step is None else Whole(space, script, held, counts, len(moving), step)


@final
class Whole:
    """A step as one call; see the module's text.

    Parameters
    ----------
    space : Space
    script : Script
    held : sequence of Tensor
        The numbers that are kept.
    counts : Tensor, optional
    moving : int
        How many numbers a step takes beside its index.
    step : callable
        The script, compiled.
    """

    def __init__(
        self, space: Space, script: Script, held: Sequence[Tensor], counts: Tensor | None,
        moving: int, step: Callable[..., None],
    ) -> None:  # fmt: skip
        self._many = len(space.shapes)
        rows = [x for leaf in script.leaves[1:] for x in leaf.tensors]
        self.sound = _in_rows(rows, space)
        self._fixed = [*rows, *held, *([] if counts is None else [counts])]
        self._rows = list(map(Tensor.data_ptr, self._fixed))
        self._written = [x for n in sorted(script.written) for x in script.leaves[n].tensors]
        self._kinds, self._lengths = [space.dtype] * self._many, space.many_each
        self._at = array("Q", [0] * self._many + self._rows[: len(rows)])
        self._kept = array("Q", [*map(Tensor.data_ptr, held), 0])
        self._given = array("d", script.lines.given)
        self._place = Struct(f"{self._many}Q").pack_into
        self._give = Struct(f"{1 + moving}d").pack_into
        self._sizes, self._step = space.lengths, step
        self._told = (
            ctypes.c_int64(self._many), ctypes.c_void_p(self._sizes.ctypes.data),
            *(ctypes.c_void_p(x.buffer_info()[0]) for x in (self._at, self._given, self._kept)),
            ctypes.c_void_p(None if counts is None else counts.data_ptr()),
        )  # fmt: skip

    def ready(self, gradients: list[Tensor]) -> bool:
        """Whether all lies where it did, and these gradients, none missing, in rows.

        Parameters that lie where they did and have such gradients have not changed: torch sees to
        it that a gradient is of its parameter's shape.
        """
        if not (
            self.sound
            and list(map(Tensor.data_ptr, self._fixed)) == self._rows
            and _PLAIN.issuperset(map(type, gradients))
            and list(map(_KIND, gradients)) == self._kinds
            and all(map(Tensor.is_contiguous, gradients))
            and list(map(Tensor.numel, gradients)) == self._lengths
        ):
            return False
        self._place(self._at, 0, *map(Tensor.data_ptr, gradients))
        return True

    def run(self, t: float, moving: Sequence[float]) -> None:
        """Take the step, of this index and these numbers, if it is ready."""
        self._give(self._given, 0, t, *moving)
        increment_version(self._written)
        self._step(*self._told)


def _in_rows(tensors: Sequence[Tensor], space: Space) -> bool:
    """Whether tensors lie as the vector's numbers do, end to end each."""
    return (
        list(map(_LOOK, tensors)) == space.looks * (len(tensors) // len(space.shapes))
        and _PLAIN.issuperset(map(type, tensors))
        and all(map(Tensor.is_contiguous, tensors))
        and 0 not in map(Tensor.data_ptr, tensors)
    )
