"""Every path of a short run on a finite law, with its probability: no sampling needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.recording import recorded
from theorylab.engine.step import follow, repeat_rows
from theorylab.method.rule import State, UpdateRule, round_starts
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch, Oracle
from theorylab.problem.sampler import weights_of
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
    rule: UpdateRule
    weights: np.ndarray
    iterates: Tensor
    states: tuple[State, ...]

    def record(self, name: str, rounds: Sequence[int]) -> np.ndarray:
        """A recorded quantity at some rounds, shape ``(len(rounds), m)``; ``"w"`` adds ``d``."""
        found = [
            recorded(name, self.objective, self.rule, self.iterates[k], self.states[k])
            for k in rounds
        ]
        return np.stack([values.numpy() for values in found])


def enumerate_paths(experiment: Experiment) -> Paths | None:
    """All paths of the experiment's run; ``None`` where the law is infinite or they are too many.

    With m mini-batches and N steps there are ``m^N`` paths; up to 2048 are followed. Rules that
    draw randomness of their own, or mini-batches that depend on earlier ones, are left to sampling.
    """
    objective, rule = experiment.objective, experiment.rule
    if rule.draws or rule.lags != 1:
        return None
    size, sampler = experiment.batch_size, rule.sampler
    starts = round_starts(rule, experiment.rounds)
    # In logarithms: the number itself may be beyond every float.
    most = math.log(_PATHS) * (1 + 1e-12)
    if starts is None or len(starts) * math.log(sampler.count(objective, size)) > most:
        return None
    law = sampler.batches(objective, size)
    if law is None:
        return None
    batches, batch_chances = torch.from_numpy(np.ascontiguousarray(law[0])), law[1]
    width, scales = len(batches), weights_of(sampler, objective)
    total = width ** len(starts)
    weights = np.ones(1)
    for _ in starts:
        weights = np.repeat(weights, width) * np.tile(batch_chances, len(weights))

    def oracle_of(k: int, w: Tensor) -> Oracle:
        copies = len(w) // width
        batch = batches.repeat((copies,) + (1,) * (batches.ndim - 1))
        return MiniBatch(objective, [batch], scales)

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
    return Paths(objective, rule, weights, torch.stack(kept), tuple(states))
