"""The law of a round's number of inner steps, from the rule's own restarts."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from theorylab.method.rule import round_starts
from theorylab.quantities.protocol import (
    Experiment,
    Law,
    Measurement,
    Protocol,
    steps_per_round,
)
from theorylab.quantities.ranges import certified_ranges

__all__ = ["RoundLengths"]

_RUNS, _STEPS = 64, 4096
_PER_GRADIENT = 40  # a draw costs this much less than the sample gradient effort is counted in


class RoundLengths(Protocol):
    """``mean_round_length`` is E[M_t]; ``round_length_probability`` is P(M_t = its ``length``)."""

    provides: ClassVar[frozenset[str]] = frozenset(
        {"mean_round_length", "round_length_probability"}
    )
    of_objective = False

    def measure(self, experiment: Experiment) -> Measurement:
        names: frozenset[str] = experiment.measured
        law: Law = "samples"
        starts = round_starts(experiment.rule, 1, _STEPS)
        if starts is None:
            lengths = self._lengths(experiment)
        else:  # no chance decides them
            law, lengths = "arithmetic", np.array([float(len(starts))])
        found = {"mean_round_length": lengths}
        if "round_length_probability" in names:
            length = experiment.parameter("round_length_probability", "length")
            hit = lengths == round(length)
            found["round_length_probability"] = hit.astype(float)
        values = {k: found[k][None, :] for k in names}
        return Measurement(values, law, ranges=certified_ranges(experiment.objective, names))

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
