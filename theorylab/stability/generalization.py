"""The generalization gap of a rule: population risk less empirical risk."""

from __future__ import annotations

import numpy as np
import torch

from theorylab.engine.driver import Samples, run
from theorylab.method.rule import UpdateRule
from theorylab.problem.objective import FiniteSum
from theorylab.stability.twins import SharedDraws, require_followed

__all__ = ["generalization_gap"]

_GATHER_BYTES = 64 * 2**20


def generalization_gap(
    objective: FiniteSum,
    rule: UpdateRule,
    steps: int | None = None,
    *,
    rounds: int | None = None,
    batch_size: int = 1,
    seeds: int = 64,
    seed: int = 0,
    n: int | None = None,
    progress: bool | None = None,
) -> np.ndarray:
    """``F(A(S)) - F_S(A(S))``, less its mean-zero value at ``w_0``, in each repetition: ``(R,)``.

    Each repetition trains on n fresh samples S. Where the objective knows its population risk F,
    S comes from that population; otherwise the population is the uniform law on the objective's
    own samples, whose risk is their mean. Either way F is computed, not estimated.

    Parameters
    ----------
    n : int
        The size of S, by default the objective's.

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.method import SGD
    >>> data = synthetic.robust_regression(n=50, dim=3)
    >>> generalization_gap(data, SGD(eta=0.1), 20, seeds=8).shape
    (8,)
    """
    size = objective.n if n is None else n
    risk = objective.population_value
    if risk(objective.start.unsqueeze(0)) is not None:
        fresh = int(np.random.SeedSequence(seed, spawn_key=(0x6E,)).generate_state(1)[0])
        universe = objective.resize(seeds * size, fresh)
        chosen = np.arange(seeds * size, dtype=np.int32).reshape(seeds, size)
    else:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x6E,)))
        universe = objective
        chosen = rng.integers(0, objective.n, size=(seeds, size), dtype=np.int32)

    def remap(samples: Samples) -> np.ndarray:
        replica = np.arange(samples.rows.start, samples.rows.stop)[None, :, None]
        return chosen[replica, samples.draws]

    require_followed(rule)
    source = SharedDraws(objective, universe, size)
    out = run(source, rule, steps, batch_size, seeds, seed, ("w",), rounds=rounds, remap=remap,
              compile=False, progress=progress)  # fmt: skip
    w = torch.from_numpy(out["w"][0])
    with torch.no_grad():
        step = max(1, _GATHER_BYTES // (seeds * objective.dim * 8))
        table = torch.from_numpy(chosen)
        own = [universe.sample_value(w, table[:, i : i + step]) for i in range(0, size, step)]
        population = risk(w)
        if population is None:
            population = objective.value(w)
        # At the start the gap has mean zero: without it the same mean has less variance.
        gap = population - torch.cat(own, dim=1).mean(-1)
        start = objective.start.unsqueeze(0)
        first = universe.sample_value(start, torch.arange(universe.n).unsqueeze(0))[0]
        offset = risk(start)
        offset = objective.value(start) if offset is None else offset
        return (gap - offset + first[torch.from_numpy(chosen)].mean(-1)).numpy()
