"""Searches over a budget: how large a batch may be, how many evaluations an accuracy takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from theorylab.engine.driver import Stratified, run
from theorylab.quantities.protocol import Experiment, Measurement, Protocol

__all__ = ["Budgets"]

_GROUPS = 8
_STRATA = 32
_LEAST_STEPS = 16  # fewer and a run says nothing of the long run


class Budgets(Protocol):
    """Quantities found by a search over runs of one total budget of gradient evaluations.

    ``largest_batch_size``: the largest power of two B for which it and every smaller one keep the
    mean of ``||grad F(w_t)||^2`` over ``T = C/B >= 16`` steps within twice that of B = 1.
    ``evaluations_to_reach``: gradient evaluations until the running mean of
    ``||grad F(w_t)||^2`` is at most eps. Each column is the answer of one group of replicas.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"largest_batch_size", "evaluations_to_reach"})

    def measure(self, experiment: Experiment) -> Measurement:
        found: dict[str, np.ndarray] = {}
        if "largest_batch_size" in experiment.measured:
            found["largest_batch_size"] = self._largest_batch(experiment)
        if "evaluations_to_reach" in experiment.measured:
            found["evaluations_to_reach"] = self._evaluations(experiment)
        return Measurement({k: v[None, :] for k, v in found.items()}, law="samples")

    def _largest_batch(self, experiment: Experiment) -> np.ndarray:
        budget = round(float(experiment.values["C"]))
        sizes = [2**k for k in range(max(1, (budget // _LEAST_STEPS).bit_length()))]
        means = np.stack(
            [self._mean(experiment, {"B": b, "T": max(1, budget // b)}) for b in sizes]
        )
        good = np.logical_and.accumulate(means <= 2 * means[0], axis=0)
        return np.array(sizes, dtype=float)[good.sum(0) - 1]

    def _evaluations(self, experiment: Experiment) -> np.ndarray:
        rounds, eps = experiment.rounds, float(experiment.values["eps"])
        replicas = _GROUPS * max(
            4, experiment.affordable(rounds * experiment.batch_size) // _GROUPS
        )
        out = run(experiment.objective, experiment.rule, rounds=rounds,
                  batch_size=experiment.batch_size, replicas=replicas, seed=experiment.run_seed,
                  record=("gradient_norm_squared",), at=range(rounds), progress=False)  # fmt: skip
        squares = out["gradient_norm_squared"].reshape(rounds, _GROUPS, -1).mean(-1)
        spent = out.evaluations.reshape(rounds, _GROUPS, -1).mean(-1)
        running = np.cumsum(squares, axis=0) / np.arange(1, rounds + 1)[:, None]
        reached = running <= eps
        first = np.where(reached.any(0), reached.argmax(0), rounds - 1)
        evaluations = spent[first, np.arange(_GROUPS)] + experiment.batch_size
        return np.where(reached.any(0), evaluations, np.inf)

    @staticmethod
    def _mean(experiment: Experiment, values: dict[str, Any]) -> np.ndarray:
        """The mean of ``||grad F||^2`` over a run at other ``values``, one number a group."""
        statement = experiment.statement
        kept = {s.name for s in (*statement.symbols, *statement.constants)}
        base = {k: v for k, v in experiment.values.items() if k in kept}
        there = replace(experiment, values=statement.resolve(base | values))
        rounds = there.rounds
        replicas = _GROUPS * max(2, there.affordable(rounds * there.batch_size) // _GROUPS)
        at = Stratified(_STRATA) if rounds > _STRATA else range(rounds)
        out = run(there.objective, there.rule, rounds=rounds, batch_size=there.batch_size,
                  replicas=replicas, seed=there.run_seed, record=("gradient_norm_squared",),
                  at=at, progress=False)  # fmt: skip
        return out.mean("gradient_norm_squared").reshape(_GROUPS, -1).mean(-1)
