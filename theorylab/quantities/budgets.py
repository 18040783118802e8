"""Searches over a budget: how large a batch may be, how many evaluations an accuracy takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from theorylab.engine.driver import Stratified, run
from theorylab.errors import UsageError
from theorylab.quantities.moments import moments
from theorylab.quantities.protocol import Experiment, Measurement, Protocol
from theorylab.quantities.runs import every_round

__all__ = ["Budgets"]

_SQUARES = "gradient_norm_squared"
_GROUPS = 8
_STRATA = 32
_RELATIVE = 1e-9  # rounding of a run's numbers
_LEAST_STEPS = 16  # fewer and a run says nothing of the long run


class Budgets(Protocol):
    """Quantities found by a search over runs of one total budget of gradient evaluations.

    ``largest_batch_size``: the largest power of two B for which it and every smaller one keep the
    mean of ``||grad F(w_t)||^2`` over ``T = C/B >= 16`` steps within twice that of B = 1. Exact
    where moments give these means (:mod:`.moments`) or nothing is random.
    ``evaluations_to_reach``: gradient evaluations until the running mean of
    ``||grad F(w_t)||^2`` is at most its ``accuracy``. Each column is the answer of one group of
    replicas.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"largest_batch_size", "evaluations_to_reach"})

    def measure(self, experiment: Experiment) -> Measurement:
        found: dict[str, np.ndarray] = {}
        if experiment.measured == {"largest_batch_size"}:
            exact = self._exactly(experiment)
            if exact is not None:
                return Measurement({"largest_batch_size": np.array([[exact]])}, law="law")
        if "largest_batch_size" in experiment.measured:
            found["largest_batch_size"] = self._largest_batch(experiment)
        if "evaluations_to_reach" in experiment.measured:
            found["evaluations_to_reach"] = self._evaluations(experiment)
        return Measurement({k: v[None, :] for k, v in found.items()}, law="samples")

    def _exactly(self, experiment: Experiment) -> float | None:
        """The largest batch by exact means; ``None`` where they are not known well enough."""
        sizes = self._sizes(experiment)
        means, errors = [], []
        for size in sizes:
            there = self._at(experiment, size)
            T, batch = there.rounds, there.batch_size
            if there.deterministic:
                squares = every_round(there, [_SQUARES], range(T))[_SQUARES][:, 0]
                lost = _RELATIVE * squares
            else:
                found = moments(there.objective, there.rule, T, batch, range(T))
                if found is None:
                    return None
                squares, lost = found.quadratic(found.gradient_norm_squared)
            means.append(squares.mean())
            errors.append(lost.mean())
        low, high = np.array(means) - errors, np.array(means) + errors
        surely, perhaps = (
            int(np.logical_and.accumulate(ends <= 2 * first).sum())
            for ends, first in ((high, low[0]), (low, high[0]))
        )
        return float(sizes[surely - 1]) if surely == perhaps > 0 else None

    def _largest_batch(self, experiment: Experiment) -> np.ndarray:
        sizes = self._sizes(experiment)
        means = np.stack([self._mean(self._at(experiment, size)) for size in sizes])
        good = np.logical_and.accumulate(means <= 2 * means[0], axis=0)
        return np.array(sizes, dtype=float)[good.sum(0) - 1]

    @staticmethod
    def _sizes(experiment: Experiment) -> list[int]:
        """The batch sizes that leave the budget steps enough."""
        budget = round(experiment.parameter("largest_batch_size", "budget"))
        return [2**k for k in range(max(1, (budget // _LEAST_STEPS).bit_length()))]

    def _evaluations(self, experiment: Experiment) -> np.ndarray:
        rounds = experiment.rounds
        accuracy = experiment.parameter("evaluations_to_reach", "accuracy")
        replicas = _GROUPS * max(
            4, experiment.affordable(rounds * experiment.batch_size) // _GROUPS
        )
        out = run(experiment.objective, experiment.rule, rounds=rounds,
                  batch_size=experiment.batch_size, replicas=replicas, seed=experiment.run_seed,
                  record=(_SQUARES,), at=range(rounds), compile=False, progress=False)  # fmt: skip
        squares = out[_SQUARES].reshape(rounds, _GROUPS, -1).mean(-1)
        spent = out.evaluations.reshape(rounds, _GROUPS, -1).mean(-1)
        running = np.cumsum(squares, axis=0) / np.arange(1, rounds + 1)[:, None]
        reached = running <= accuracy
        first = np.where(reached.any(0), reached.argmax(0), rounds - 1)
        evaluations = spent[first, np.arange(_GROUPS)] + experiment.batch_size
        return np.where(reached.any(0), evaluations, np.inf)

    @staticmethod
    def _at(experiment: Experiment, size: int) -> Experiment:
        """The experiment at this batch size, with the steps that the budget leaves."""
        statement, algorithm = experiment.statement, experiment.statement.algorithm
        if algorithm is None or not algorithm.batch.is_Symbol:
            raise UsageError(f"{statement.key}: the batch size must be a symbol, to be varied")
        budget = round(experiment.parameter("largest_batch_size", "budget"))
        kept = {s.name for s in (*statement.symbols, *statement.constants)}
        values: dict[str, Any] = {k: v for k, v in experiment.values.items() if k in kept}
        if algorithm.horizon.is_Symbol:
            values[algorithm.horizon.name] = max(1, budget // size)
        values[algorithm.batch.name] = size
        return replace(experiment, values=statement.resolve(values))

    @staticmethod
    def _mean(there: Experiment) -> np.ndarray:
        """The mean of ``||grad F||^2`` over a run, one number a group."""
        rounds = there.rounds
        replicas = _GROUPS * max(2, there.affordable(rounds * there.batch_size) // _GROUPS)
        at = Stratified(_STRATA) if rounds > _STRATA else range(rounds)
        out = run(there.objective, there.rule, rounds=rounds, batch_size=there.batch_size,
                  replicas=replicas, seed=there.run_seed, record=(_SQUARES,),
                  at=at, compile=False, progress=False)  # fmt: skip
        return out.mean(_SQUARES).reshape(_GROUPS, -1).mean(-1)
