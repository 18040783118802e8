"""The law of a round's number of inner steps, from the rule's own restarts."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from theorylab.quantities.protocol import (
    Experiment,
    Measurement,
    Protocol,
    steps_per_round,
)

__all__ = ["RoundLengths"]

_RUNS, _STEPS = 64, 4096
_UNSEEN = 10  # an event expected this often is missed with probability exp(-10)
_PER_GRADIENT = 40  # a draw costs this much less than the sample gradient effort is counted in


class RoundLengths(Protocol):
    """``mean_round_length`` is E[M_t]; ``round_length_probability`` is P(M_t = K)."""

    provides: ClassVar[frozenset[str]] = frozenset(
        {"mean_round_length", "round_length_probability"}
    )

    def measure(self, experiment: Experiment) -> Measurement:
        lengths = self._lengths(experiment)
        found = {"mean_round_length": lengths}
        rounding = 0.0
        if "round_length_probability" in experiment.measured:
            hit = lengths == round(float(experiment.values["K"]))
            found["round_length_probability"] = hit.astype(float)
            # A length that was never drawn has no spread, yet it may have a probability.
            rounding = _UNSEEN / len(lengths)
        return Measurement(
            {k: found[k][None, :] for k in experiment.measured}, law="samples", rounding=rounding
        )

    @staticmethod
    def _lengths(experiment: Experiment) -> np.ndarray:
        """The first rounds of many runs: taking all that fit into a run would favour short ones."""
        rule = experiment.rule
        rng = np.random.default_rng(experiment.run_seed)
        draws = _PER_GRADIENT * experiment.effort
        rounds = max(64, round(draws / steps_per_round(rule) / _RUNS))
        parts: list[np.ndarray] = []
        begun = np.zeros(_RUNS, dtype=np.int64)
        while begun.min() <= rounds:
            mask = rule.restarts(rng, _STEPS * len(parts), _STEPS, _RUNS)
            if mask is None:
                return np.ones(_RUNS)
            parts.append(np.broadcast_to(mask, (_STEPS, _RUNS)))
            begun += parts[-1].sum(0)
        columns = np.concatenate(parts).T
        return np.concatenate(
            [np.diff(np.flatnonzero(column)[: rounds + 1]) for column in columns]
        ).astype(float)
