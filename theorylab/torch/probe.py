"""What a rule's code can do, found by running it on two numbers a tensor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.rule import Drawn, UpdateRule, entries
from theorylab.problem.oracle import Oracle
from theorylab.torch.forms import InParts, Kept
from theorylab.torch.space import Space
from theorylab.torch.vector import Unsupported

__all__ = ["Found", "by_coordinate", "in_parts", "with_memory"]


@final
class _Ones(Oracle):
    """Answers every question with ones, and notes whether it was about anything but ``w``."""

    def __init__(self, form: InParts) -> None:
        super().__init__()
        self._form = form
        self.more = False

    def gradient(self, w: Any, lag: int = 0) -> Any:
        self.more |= w is not self._form.w or lag > 0
        return self._form.space.vector([torch.ones(2) for _ in self._form.space.shapes])

    def value(self, w: Any, lag: int = 0) -> Tensor:
        self.more = True
        return torch.ones(())

    def full_gradient(self, w: Any, when: Tensor | bool = True) -> Any:
        self.more = True
        return self.gradient(w)


def by_coordinate(rule: UpdateRule, kept: Kept, tensors: int) -> bool:
    """Whether each coordinate is moved by its own gradients alone, at steps like all others."""
    if rule.draws or type(rule).restarts is not UpdateRule.restarts:
        return False
    found = in_parts(rule, kept, tensors)
    return found is not None and not found.more


class Found(NamedTuple):
    """What two steps of a rule on vectors in parts do.

    Attributes
    ----------
    more : bool
        Whether they ask for sums, values or other points.
    placed : bool
        Whether they ask where numbers stand in the vector, or which are largest.
    counts : frozenset of str
        The parts of the state that they make plain numbers.
    """

    more: bool
    placed: bool
    counts: frozenset[str]


def in_parts(rule: UpdateRule, kept: Kept, tensors: int) -> Found | None:
    """What the rule's code does with vectors in parts; ``None`` if it cannot do with those."""
    rows: list[Tensor] = [torch.ones(2) for _ in range(tensors)]
    states: list[dict[str, Any]] = [{} for _ in rows]
    more, placed, counts = False, False, set(kept.numbers)
    for restart in (True, False):
        form = InParts("", rows, [1.0] * tensors, Space(rows))
        form.counts = frozenset(() if restart else counts)
        oracle = _Ones(form)
        try:
            form.begin(rule, kept, states)
            own: dict[str, Any] = {d.name: form.draws(d.law, 0, None) if d.per == "coordinate"
                   else form.common(0.5) for d in rule.draws}  # fmt: skip
            draw = Drawn(form.common(1.0), restart, own)
            moved, state = rule.update(form.w, oracle, form.state(rule, kept, states), draw)
            form.write(moved, state, kept, states)
        except (Unsupported, TypeError, ValueError, RuntimeError, AttributeError):
            return None
        counts &= {n for n, x in entries(state).items() if isinstance(x, int | float)}
        more |= oracle.more or form.space.summed
        placed |= form.space.placed
    return Found(more, placed, frozenset(counts))


def with_memory(rule: UpdateRule, closures: int) -> UpdateRule:
    """The rule that asks about so many mini-batches."""
    changed: dict[str, Any] = {"memory": closures} if hasattr(rule, "memory") else {}
    return replace(rule, **changed)
