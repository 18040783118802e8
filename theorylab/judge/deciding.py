"""The verdict at the instance that decides, from both sides of the claim there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bounds.evaluation import evaluate
from bounds.statement import Statement
from theorylab.judge.comparison import Comparison
from theorylab.judge.undecided import HIDDEN, NO_VALUE
from theorylab.judge.verdict import Evidence, Outcome, Verdict
from theorylab.quantities import Experiment
from theorylab.quantities.protocol import Law

__all__ = ["decisive", "outcome_of", "trivial_value", "verdict_at"]

_EVIDENCE: Mapping[Law, Evidence] = {
    "arithmetic": "exact arithmetic", "law": "exact law", "samples": "samples",
}  # fmt: skip


def trivial_value(statement: Statement, values: Mapping[str, Any]) -> float:
    """The value beyond which the bound says nothing; infinite where none is known here."""
    trivial = statement.trivial
    if trivial is None or any(s.name not in values for s in trivial.free_symbols):
        return math.inf
    return float(evaluate(trivial, values))


def decisive(outcomes: np.ndarray, compared: Comparison) -> int:
    """The instance that decides, the tightest of its kind.

    A violation, else what is not refuted, else what holds. Rounding and overflow decide nothing.
    """
    ratio = np.nan_to_num(compared.steady_ratio, nan=np.inf, posinf=np.inf)
    rank = np.select([outcomes == kind for kind in ("violated", "not refuted", "holds")], [3, 2, 1])
    return int(np.lexsort((ratio, rank))[-1])


def outcome_of(text: str) -> Outcome:
    """What a verdict calls an instance's outcome: what hides the answer refutes nothing."""
    return "not refuted" if text == "unknown" else str(text)  # type: ignore[return-value]


def verdict_at(
    experiment: Experiment,
    outcome: Outcome,
    compared: Comparison,
    i: int,
    reason: str,
    comparisons: int,
    undecided: int = 0,
) -> Verdict:
    """The verdict, with the numbers of instance ``i``."""
    statement = experiment.statement
    evidence: Evidence = "" if reason in (HIDDEN, NO_VALUE) else _EVIDENCE[compared.law]
    if compared.law == "samples" and outcome in ("violated", "holds"):
        evidence = "valid interval"
    names = {s.name: s for s in (*statement.symbols, *statement.prescription)}
    shown = {k: float(v) for k, v in experiment.values.items() if np.ndim(v) == 0}
    constants = {s.name for s in statement.constants}
    return Verdict(
        statement.key, statement.form, outcome, float(compared.measured[i]), compared.interval(i),
        float(compared.bound[i]), float(compared.ratio[i]), statement.units,
        experiment.objective.name,
        {k: v for k, v in shown.items() if k in constants},
        {k: v for k, v in shown.items() if k in names and k not in constants},
        compared.replicas, experiment.seed, comparisons, undecided, reason,
        evidence=evidence, standard_error=float(compared.standard_error[i]),
        # Of single runs one that breaks the claim counts, however rare the others are.
        unseen=0.0 if experiment.run_by_run else float(compared.unseen[i]),
    )  # fmt: skip
