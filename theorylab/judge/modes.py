"""Claims of each run's own numbers, and conditions on what is measured.

A claim on every run is refuted by one run that breaks it, computed and reproducible. A claim with
probability at least 1 - p is judged by how many of independent runs break it: exact binomial
(Clopper-Pearson) bounds on that chance, each at its own share of the risk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from bounds.evaluation import evaluate
from bounds.statement import Statement
from theorylab.errors import UsageError
from theorylab.judge.comparison import Comparison
from theorylab.quantities import Measurement

__all__ = ["admitted", "allowed_failure", "chance_of_failure", "run_by_run", "worst_run"]


def chance_of_failure(failures: np.ndarray, runs: int, risk: float) -> tuple[Any, Any]:
    """A lower and an upper bound on a chance, from how often it struck in ``runs`` trials.

    Clopper & Pearson 1934: each bound fails with probability at most ``risk``, whatever the chance.

    >>> low, high = chance_of_failure(np.array([0, 10]), 10, 0.05)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.741], [0.259, 1.0])
    """
    low = np.where(failures > 0, special.betaincinv(failures, runs - failures + 1, risk), 0.0)
    high = np.where(failures < runs, special.betainccinv(failures + 1, runs - failures, risk), 1.0)
    return low, high


def run_by_run(compared: Comparison, failure: np.ndarray | float | None) -> np.ndarray:
    """Instance by instance what the runs say: the words of :meth:`Comparison.outcomes`.

    Parameters
    ----------
    compared : Comparison
        Both sides, one column a run.
    failure : float or ndarray, optional
        The p of "with probability at least 1 - p"; ``None`` for "every run".
    """
    if compared.law == "arithmetic":  # one run, or a point: there is nothing to chance
        return compared.outcomes()
    if compared.law == "law":  # expectations say nothing of single runs
        return np.full(len(compared.gap), "not refuted")
    broken = _broken(compared).sum(-1)
    if failure is None:
        return np.where(broken > 0, "violated", "not refuted")
    share = compared.risk / (2 * len(compared.gap))
    low, _ = chance_of_failure(broken, compared.replicas, share)
    lost = np.isnan(compared.gap).sum(-1)  # of which nobody knows whether they kept it
    _, high = chance_of_failure(broken + lost, compared.replicas, share)
    return np.where(low > failure, "violated", np.where(high <= failure, "holds", "not refuted"))


def worst_run(compared: Comparison) -> Comparison:
    """The comparison with its measured side that of the run that goes furthest."""
    if compared.law != "samples":
        return compared
    gap = np.abs(compared.gap) if compared.claim.sense == "==" else compared.gap
    return replace(compared, measured=compared.bound + np.nan_to_num(gap, nan=-np.inf).max(-1))


def _broken(compared: Comparison) -> np.ndarray:
    gap = np.abs(compared.gap) if compared.claim.sense == "==" else compared.gap
    with np.errstate(invalid="ignore"):
        return np.asarray(gap > compared.tolerance[:, None])


def admitted(
    statement: Statement, values: Mapping[str, Any], found: Measurement
) -> Measurement | None:
    """The instances that meet the conditions on measured quantities; ``None`` if there is none.

    Raises
    ------
    UsageError
        If such a condition is on a quantity that was sampled: it holds of some runs and not of
        others.
    """
    conditions = [c for c in statement.conditions if c.measured]
    if not conditions:
        return found
    for condition in conditions:
        for name in (s.name for s in condition.measured):
            if found.law == "samples" and found.values[name].shape[1] > 1:
                raise UsageError(
                    f"{statement.key}: {condition} is on {name}, which differs from run to run"
                )
    rows = len(next(iter(found.values.values())))
    table = {**values, **{k: v[:, :1] for k, v in found.values.items()}}
    keep = np.ones(rows, dtype=bool)
    for condition in conditions:
        keep &= np.broadcast_to(condition.met(table), (rows, 1))[:, 0]
    if not keep.any():
        return None

    def cut(x: Any) -> Any:
        return x[keep] if np.ndim(x) and len(x) == rows else x

    return replace(
        found,
        values={k: v[keep] for k, v in found.values.items()},
        labels=tuple(np.array(found.labels)[keep]) if len(found.labels) == rows else found.labels,
        rounding=cut(found.rounding),
        scales={k: cut(v) for k, v in found.scales.items()},
        ranges={k: (cut(low), cut(high)) for k, (low, high) in found.ranges.items()},
    )


def allowed_failure(statement: Statement, values: Mapping[str, Any]) -> np.ndarray | None:
    """The p of a claim with probability at least 1 - p, at ``values``: one, or one an instance."""
    failure = statement.claim.failure
    return None if failure is None else np.ravel(evaluate(failure, values))
