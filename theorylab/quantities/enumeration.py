"""Every path of a short run on a finite law, with its probability: no sampling needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.driver import RECORDERS
from theorylab.engine.step import follow, repeat_rows
from theorylab.method.rule import State, norm, round_starts
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch, Oracle
from theorylab.quantities.protocol import Experiment

__all__ = ["Paths", "enumerate_paths"]

_PATHS = 2048


@dataclass(frozen=True)
class Paths:
    """All outcomes of a run.

    Attributes
    ----------
    weights : ndarray, shape (m,)
        The probability of each path.
    iterates : Tensor, shape (T + 1, m, d)
        The start of each round along each path, and the end.
    states : tuple of NamedTuple
        The rule's state at the same moments.
    """

    objective: Objective
    weights: np.ndarray
    iterates: Tensor
    states: tuple[State, ...]

    def record(self, name: str, rounds: Sequence[int]) -> np.ndarray:
        """A recorded quantity at some rounds, shape ``(len(rounds), m)``; ``"w"`` adds ``d``."""
        if name.startswith("state."):
            entry = name.removeprefix("state.")
            return np.stack(
                [norm(getattr(self.states[k], entry)).squeeze(-1).numpy() for k in rounds]
            )
        return np.stack([RECORDERS[name](self.objective, self.iterates[k]).numpy() for k in rounds])


def enumerate_paths(experiment: Experiment) -> Paths | None:
    """All paths of the experiment's run; ``None`` where the law is infinite or they are too many.

    With m outcomes of one draw, batch size b and N steps there are ``m^(b N)`` paths; up to
    2048 are followed. Rules that draw randomness of their own are left to sampling.
    """
    objective, rule = experiment.objective, experiment.rule
    law = objective.outcomes()
    if law is None or rule.draws or rule.lags != 1:
        return None
    draws, chances = law
    size = experiment.batch_size
    starts = round_starts(rule, experiment.rounds)
    if starts is None or len(draws) ** (size * len(starts)) > _PATHS:
        return None
    picks = np.array(list(product(range(len(draws)), repeat=size)))
    batches = torch.from_numpy(np.ascontiguousarray(draws[picks]))
    batch_chances = np.prod(chances[picks], axis=1)
    width = len(picks)
    total = width ** len(starts)
    weights = np.ones(1)
    for _ in starts:
        weights = np.repeat(weights, width) * np.tile(batch_chances, len(weights))

    def oracle_of(k: int, w: Tensor) -> Oracle:
        copies = len(w) // width
        return MiniBatch(objective, [batches.repeat((copies,) + (1,) * (batches.ndim - 1))])

    start = objective.start.unsqueeze(0)
    kept: list[Tensor] = []
    states: list[State] = []
    with torch.no_grad():
        path = follow(rule, start, oracle_of, starts.tolist(), branches=width)
        for (w, state), begins in zip(path, [*starts, True], strict=True):
            if begins:
                copies = total // len(w)
                kept.append(w.repeat_interleave(copies, dim=0))
                states.append(repeat_rows(state, len(w), copies))
    return Paths(objective, weights, torch.stack(kept), tuple(states))
