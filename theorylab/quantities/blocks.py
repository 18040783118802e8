"""What each coordinate does at each step of alternating minimization."""

from __future__ import annotations

from itertools import product
from typing import ClassVar

import numpy as np
import torch

from theorylab.engine.step import follow
from theorylab.problem.oracle import MiniBatch
from theorylab.quantities.protocol import Experiment, Measurement, Protocol

__all__ = ["BlockSteps"]

_SWEEPS, _ROWS = 5, 4
_EPS = float(np.finfo(float).eps)


class BlockSteps(Protocol):
    """``block_move``, ``block_turn``, ``block_gradient``, ``full_block_gradient``. Exact.

    The moves are the rule's; whose turn it is (the first half of the coordinates at odd steps) and
    the gradients, each where the step before ended, come from an account kept beside it.
    """

    provides: ClassVar[frozenset[str]] = frozenset(
        {"block_move", "block_turn", "block_gradient", "full_block_gradient"}
    )

    def measure(self, experiment: Experiment) -> Measurement:
        objective, rule, steps = experiment.objective, experiment.rule, 2 * _SWEEPS
        rng = np.random.default_rng(experiment.run_seed)
        samples = torch.from_numpy(objective.draw(rng, steps, _ROWS, experiment.batch_size))
        start = objective.start.expand(_ROWS, -1).contiguous()
        with torch.no_grad():
            path = follow(
                rule, start,
                lambda k, w: MiniBatch(objective, (samples[k],) if k >= 0 else ()),
                [True] * steps,
            )  # fmt: skip
            at = torch.stack([w for w, _ in path])
            own = torch.stack([objective.sample_gradient(at[k], samples[k]) for k in range(steps)])
            full = torch.stack([objective.gradient(at[k]) for k in range(steps)])
        halves = np.arange(objective.dim) < -(-objective.dim // 2)
        turn = np.where(np.arange(steps)[:, None] % 2 == 0, halves, ~halves).astype(float)
        found = {
            "block_move": torch.diff(at, dim=0).numpy(),
            "block_turn": np.broadcast_to(turn[:, None], own.shape),
            "block_gradient": own.numpy(),
            "full_block_gradient": full.numpy(),
        }
        values = {k: found[k].reshape(-1, 1) for k in experiment.measured}
        lost = 8 * _EPS * at[:-1].abs().amax(-1, keepdim=True).expand_as(own).numpy()
        labels = tuple(
            f"step {t + 1}, run {r + 1}, coordinate {j + 1}"
            for t, r, j in product(range(steps), range(_ROWS), range(objective.dim))
        )
        return Measurement(values, "arithmetic", labels, lost.ravel())
