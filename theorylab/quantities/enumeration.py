"""Every path of a short run on a finite law, with its probability: no sampling needed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.recording import Record, recorded
from theorylab.engine.step import follow, repeat_rows
from theorylab.method.rule import State, UpdateRule, round_starts
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch, Oracle
from theorylab.problem.sampler import Branches, Sampler, weights_of
from theorylab.quantities.protocol import Experiment

__all__ = ["Paths", "enumerate_paths"]

_PATHS, _SAMPLES = 2048, 1 << 17


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

    def record(self, what: Record, rounds: Sequence[int]) -> np.ndarray:
        """A recorded quantity at some rounds, shape ``(len(rounds), m)``; ``"w"`` adds ``d``."""
        found = [
            recorded(what, self.objective, self.rule, self.iterates[k], self.states[k])
            for k in rounds
        ]
        return np.stack([values.numpy() for values in found])


@dataclass(frozen=True)
class _Tree:
    """All that the sampler may draw: a row a path, the children of a row beside each other.

    Attributes
    ----------
    widths : list of int
        How many children every row has at each step.
    draws : list of Tensor
        The mini-batches of each step, one a child.
    weights : ndarray
        The probability of each path.
    """

    widths: list[int]
    draws: list[Tensor]
    weights: np.ndarray


def _tree(objective: Objective, sampler: Sampler, size: int, steps: int) -> _Tree | None:
    """Every path of so many steps, or ``None`` where they are infinitely or too many."""
    most = min(_PATHS, _SAMPLES // size)
    if not 1 <= sampler.count(objective, size) <= most:
        return None
    held: list[Hashable] = [None]
    weights = np.ones(1)
    widths, draws = [], []
    known: dict[Hashable, Branches | None] = {}
    for _ in range(steps):
        for memory in held:
            if memory not in known:
                known[memory] = sampler.branches(objective, size, memory)
            found = known[memory]
            if found is None or len(held) * len(found.chances) > most:
                return None  # before the branches of every other memory are listed
        grown = [branches for memory in held if (branches := known[memory]) is not None]
        wide = {len(branches.chances) for branches in grown}
        if len(wide) != 1:
            return None
        widths.append(wide.pop())
        draws.append(torch.from_numpy(np.concatenate([branches.draws for branches in grown])))
        weights = np.repeat(weights, widths[-1])
        weights = weights * np.concatenate([branches.chances for branches in grown])
        held = [memory for branches in grown for memory in branches.memories]
    return _Tree(widths, draws, weights)


def enumerate_paths(experiment: Experiment) -> Paths | None:
    """All paths of the experiment's run; ``None`` where the law is infinite or they are too many.

    With m mini-batches a step and N steps there are ``m^N`` paths, in epochs of n mini-batches
    without repetition ``(n!)^(N/n)``; up to 2048 are followed, of up to 2^17 samples a step. Rules
    that draw randomness of their own, or that ask about earlier mini-batches, are left to sampling.
    """
    objective, rule = experiment.objective, experiment.rule
    if rule.draws or rule.lags != 1:
        return None
    sampler = rule.sampler
    starts = round_starts(rule, experiment.rounds)
    tree = None if starts is None else _tree(objective, sampler, experiment.batch_size, len(starts))
    if starts is None or tree is None:
        return None
    scales, total = weights_of(sampler, objective), len(tree.weights)

    def oracle_of(k: int, w: Tensor) -> Oracle:
        return MiniBatch(objective, [tree.draws[k]] if k >= 0 else [], scales)

    start = objective.start.unsqueeze(0)
    kept: list[Tensor] = []
    states: list[State] = []
    with torch.no_grad():
        path = follow(rule, start, oracle_of, starts.tolist(), branches=tree.widths)
        for (w, state), begins in zip(path, [*starts, True], strict=True):
            if begins:
                copies = total // len(w)
                kept.append(w.repeat_interleave(copies, dim=0))
                states.append(repeat_rows(state, len(w), copies))
    return Paths(objective, rule, tree.weights, torch.stack(kept), tuple(states))
