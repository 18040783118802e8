"""What a run asks of its oracle: what one step asks, times the steps.

A rule branches on no value, so what it asks in a step depends only on whether the step begins a
round and on the size of the mini-batch. One row says what all rows of a run cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from theorylab.method.rule import Drawn, UpdateRule
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import Calls, MiniBatch

__all__ = ["Costs", "costs"]


@final
@dataclass(frozen=True)
class Costs:
    """Calls of the first state, and of a step: one that begins a round, and another.

    A step's calls are of a mini-batch of one sample; ``slope`` is what each further sample adds.
    """

    start: Calls
    fresh: Calls
    plain: Calls
    slope: Calls

    @property
    def uneven(self) -> bool:
        """Whether steps that begin a round ask for more."""
        return self.fresh != self.plain

    def spent(self, steps: np.ndarray, rounds: np.ndarray, samples: np.ndarray) -> Calls:
        """All calls of so many steps, ``rounds`` of which began a round, on so many samples."""
        further = samples - steps

        def total(name: str) -> Any:
            start, fresh, plain, slope = (
                getattr(part, name) for part in (self.start, self.fresh, self.plain, self.slope)
            )
            return start + plain * steps + (fresh - plain) * rounds + slope * further

        return Calls(**{name: total(name) for name in vars(self.start)})


def costs(objective: Objective, rule: UpdateRule, weights: Tensor | None = None) -> Costs:
    """The rule's calls on the objective, from steps of one row.

    >>> import synthetic
    >>> from theorylab.method import SGD
    >>> found = costs(synthetic.quadratic(dim=2), SGD(eta=0.1))
    >>> found.plain.gradients, found.slope.gradients, found.uneven
    (1, 1, False)
    """
    rule = rule.rows(slice(0, 1))
    w = objective.start.unsqueeze(0)
    before = MiniBatch(objective)
    rng = np.random.default_rng(0)
    with torch.inference_mode():
        state = rule.init(w, before)

        def step(restart: bool, size: int) -> Calls:
            sample = torch.from_numpy(objective.draw(rng, 1, 1, size)[0])
            oracle = MiniBatch(objective, [sample], weights)
            own = {item.name: torch.zeros_like(w) for item in rule.draws}
            rule.update(w, oracle, state, Drawn(torch.ones((), dtype=w.dtype), restart, own))
            return oracle.calls

        fresh, larger = step(True, 1), step(True, 2)
        rounds = rule.restarts(np.random.default_rng(0), 0, 1, 1)
        plain = fresh if rounds is None else step(False, 1)
    slope: Callable[[str], int] = lambda name: getattr(larger, name) - getattr(fresh, name)
    return Costs(before.calls, fresh, plain, Calls(**{name: slope(name) for name in vars(fresh)}))
