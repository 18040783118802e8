"""``Rounds``: which steps begin a round, and the counts of it that parameters keep.

``state[p]["position"]`` is the inner index, ``state[p]["rounds"]`` how many were begun: tensors
that all parameters share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from theorylab.method.rule import UpdateRule
from theorylab.torch.draws import Later
from theorylab.torch.standing import Standing

__all__ = ["Rounds", "shared", "steady"]

_AHEAD = 256  # steps that are looked at together


_State = Mapping[Tensor, Mapping[str, Any]]


def shared(state: _State, name: str) -> int:
    """A count that all parameters share; 0 before the first step."""
    found = {id(x): x for s in state.values() if (x := s.get(name)) is not None}
    return max((int(x) for x in found.values()), default=0)


def steady(rule: UpdateRule, first: int, steps: int) -> np.ndarray | None:
    """Which of steps ``first .. first+steps-1`` (from 0) begin a round.

    ``None`` where that is random, and where every step does.

    >>> from theorylab.method import TRSGD
    >>> steady(TRSGD(lam=1.0, S=2), 3, 3).tolist()
    [False, True, False]
    """
    mask = rule.restarts(np.random.default_rng(0), first, steps, 2)
    return None if mask is None or mask.shape[1] > 1 else mask[:, 0]


@final
class Rounds:
    """Says of each step whether it begins a round, and counts.

    Parameters
    ----------
    key : callable
        What decides the present step's draws, where rounds are random.
    """

    def __init__(self, key: Callable[[], int]) -> None:
        self._later: Any = Later(key)
        self._ahead: tuple[UpdateRule, int, list[bool] | None] | None = None

    def begins(self, rule: UpdateRule, position: int) -> bool:
        """Whether the step at this inner index begins a round."""
        block, place = divmod(position, _AHEAD)
        ahead = self._ahead
        if ahead is None or ahead[0] is not rule or ahead[1] != block:
            known = steady(rule, block * _AHEAD, _AHEAD)
            ahead = self._ahead = rule, block, None if known is None else known.tolist()
        if ahead[2] is not None:
            return ahead[2][place]
        mask = rule.restarts(self._later, position, 1, 1)
        return mask is None or bool(mask[0, 0])

    def next(self, rule: UpdateRule, last: Standing | None, state: _State) -> bool:
        """Whether the next step begins a round."""
        counts = None if last is None else last.in_round
        at = shared(state, "position") if counts is None else counts[0].value
        return self.begins(rule, at)

    def enter(
        self, rule: UpdateRule, last: Standing | None, states: Sequence[dict[str, Any]],
        state: _State,
    ) -> bool:  # fmt: skip
        """Move the inner index on; whether the step begins a round.

        ``states`` are of those parameters that move.
        """
        counts = None if last is None else last.in_round
        if counts is not None:
            position, rounds = counts
            begins = self.begins(rule, position.value)
            position.value += 1
            if begins:
                rounds.value += 1
            return begins
        # Rounds are of the whole vector: where it grows, all parameters begin one.
        joined = any("position" not in s for s in states)
        at = 0 if joined else shared(state, "position")
        begins = self.begins(rule, at)
        begun, after = torch.tensor(shared(state, "rounds") + begins), torch.tensor(at + 1)
        for s in states:
            s["position"], s["rounds"] = after, begun
        return begins
