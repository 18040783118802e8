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

__all__ = ["by_coordinate", "runs_in_parts", "with_memory"]


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


def runs_in_parts(rule: UpdateRule, kept: Kept, tensors: int) -> frozenset[str] | None:
    """Which parts of a state the rule's code makes plain numbers, given vectors in parts.

    ``None`` if it cannot do with those.
    """
    found = _run(rule, kept, tensors)
    return None if found is None else found.counts


def by_coordinate(rule: UpdateRule, kept: Kept, tensors: int) -> bool:
    """Whether each coordinate is moved by its own gradients alone, at steps like all others."""
    if rule.draws or type(rule).restarts is not UpdateRule.restarts:
        return False
    found = _run(rule, kept, tensors)
    return found is not None and not found.more


class _Found(NamedTuple):
    """Whether two steps ask for sums, values or other points, and what became plain numbers."""

    more: bool
    counts: frozenset[str]


def _run(rule: UpdateRule, kept: Kept, tensors: int) -> _Found | None:
    """What two steps do; ``None`` if they cannot be taken."""
    rows: list[Tensor] = [torch.ones(2) for _ in range(tensors)]
    states: list[dict[str, Any]] = [{} for _ in rows]
    more, counts = False, set(kept.numbers)
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
    return _Found(more, frozenset(counts))


def with_memory(rule: UpdateRule, closures: int) -> UpdateRule:
    """The rule that asks about so many mini-batches."""
    changed: dict[str, Any] = {"memory": closures} if hasattr(rule, "memory") else {}
    return replace(rule, **changed)
