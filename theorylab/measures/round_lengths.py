"""The law of a round's number of inner steps, from the rule's own restarts."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from theorylab.measures.protocol import Experiment, Measurement, Protocol

__all__ = ["RoundLengths"]

_RUNS, _STEPS = 64, 4096


class RoundLengths(Protocol):
    """``mean_round_length`` is E[M_t]; ``round_length_probability`` is P(M_t = K)."""

    provides: ClassVar[frozenset[str]] = frozenset(
        {"mean_round_length", "round_length_probability"}
    )

    def measure(self, experiment: Experiment) -> Measurement:
        lengths = self._lengths(experiment)
        found = {"mean_round_length": lengths}
        if "round_length_probability" in experiment.measured:
            hit = lengths == round(float(experiment.values["K"]))
            found["round_length_probability"] = hit.astype(float)
        return Measurement({k: found[k][None, :] for k in experiment.measured}, exact=False)

    @staticmethod
    def _lengths(experiment: Experiment) -> np.ndarray:
        """Complete rounds of many long runs; the last, cut one of each run is left out.

        Rounds are taken up to the same index in every run: taking all that fit into the run
        would favour short ones.
        """
        rng = np.random.default_rng(experiment.run_seed)
        mask = experiment.rule.restarts(rng, 0, _STEPS, _RUNS)
        if mask is None:
            return np.ones(_RUNS)
        mask = np.broadcast_to(mask, (_STEPS, _RUNS))
        starts = [np.flatnonzero(column) for column in mask.T]
        kept = min(len(s) for s in starts) - 1
        return np.concatenate([np.diff(s[: kept + 1]) for s in starts]).astype(float)
