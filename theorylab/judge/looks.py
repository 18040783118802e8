"""What is known of each point of a domain, and where a closer look may still decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from bounds.statement import Statement
from theorylab.judge import modes
from theorylab.judge.comparison import Comparison, compare
from theorylab.judge.deciding import decisive, outcome_of, trivial_value, verdict_at
from theorylab.judge.undecided import LOST, is_lost, reason_of
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry
from theorylab.problem.objective import coarsened, started_at
from theorylab.quantities import Experiment, Measurement, Protocol
from theorylab.quantities.protocol import value_scale

__all__ = ["CLOSER", "LOOKS", "Judged", "looks_at", "settled"]

LOOKS, CLOSER = 3, 8
"""How often samples are looked at, at most, and how much more effort a closer look is given."""


@final
@dataclass(frozen=True)
class Judged:
    """What is known of a point.

    Attributes
    ----------
    verdict : Verdict
    may_hold : bool
        Whether a closer look may still show that the claim holds there.
    earlier : Measurement, optional
        What was read on the way: see :class:`~theorylab.quantities.protocol.Measurement`.
    """

    verdict: Verdict
    may_hold: bool = False
    earlier: Measurement | None = None


def settled(judged: Sequence[Judged], looks: Sequence[Iterator[Judged]]) -> list[Verdict]:
    """The verdicts, after closer looks at all points where these may show that the claim holds.

    What one point leaves open no look at another can settle: then none is taken.

    Parameters
    ----------
    judged : sequence of Judged
        Each point after its first look.
    looks : sequence of iterator
        Each point's closer looks; only the first is taken.

    Examples
    --------
    >>> opened, held = (Verdict("k", "printed", outcome, evidence="samples")
    ...                 for outcome in ("not refuted", "holds"))
    >>> [v.verdict for v in settled([Judged(opened, True)], [iter([Judged(held)])])]
    ['holds']
    """
    found = [point.verdict for point in judged]
    if not any(_open(point.verdict) for point in judged if not point.may_hold):
        for k in [k for k, point in enumerate(judged) if point.may_hold]:
            found[k] = next(looks[k]).verdict
            if _open(found[k]):
                break
    return found


def _open(verdict: Verdict) -> bool:
    """Whether a statement does not hold that is so at one point."""
    return verdict.verdict == "violated" or (
        verdict.verdict == "not refuted" and bool(verdict.evidence)
    )


def looks_at(protocol: Protocol, experiment: Experiment, risk: float) -> Iterator[Judged]:
    """What is known of one point of the domain: at first, and after closer looks.

    Samples are looked at up to three times, each time afresh and with a third of the risk; a
    violation must be seen twice. Whoever iterates decides about a second look that could only
    show that the claim holds.
    """
    statement = experiment.statement
    again = replace(
        experiment, effort=CLOSER * experiment.effort, replicas=CLOSER**2 * experiment.replicas
    )
    seen: np.ndarray | int = 0
    for look in range(LOOKS):
        now = replace(again if look else experiment, repeat=experiment.repeat + look)
        measured = modes.admitted(statement, experiment.values, protocol.measure(now))
        if measured is None:
            yield Judged(Verdict(
                statement.key, statement.form, "not refuted", units=statement.units,
                objective=experiment.objective.name, seed=experiment.seed,
                reason="no instance met the conditions on what is measured",
            ))  # fmt: skip
            return
        found = measured
        compared = compare(statement.claim, experiment.values, found, risk / LOOKS)
        if experiment.run_by_run:
            failure = modes.allowed_failure(statement, experiment.values)
            outcomes = modes.run_by_run(compared, failure)
            compared = modes.worst_run(compared)
            if failure is None:
                break  # one run that breaks it is enough, and none proves nothing
        else:
            outcomes = compared.outcomes()
        if "violated" in outcomes and _asks_values(statement):
            steady = _steady(protocol, now, compared, risk / LOOKS)
            outcomes = np.where((outcomes == "violated") & ~steady, "unknown", outcomes)
        if compared.law != "samples":
            break
        violated = outcomes == "violated"
        seen = seen + violated
        outcomes = np.where(seen == 1, "not refuted", np.where(violated, "violated", outcomes))
        if np.any(seen == 1):
            continue
        promise = "not refuted" if look else compared.promising(CLOSER)
        if promise == "holds":
            yield Judged(_told(experiment, compared, outcomes, found), True, found.earlier)
        elif promise != "violated":
            break
    yield Judged(_told(experiment, compared, outcomes, found), earlier=found.earlier)


def _told(
    experiment: Experiment, compared: Comparison, outcomes: np.ndarray, found: Measurement
) -> Verdict:
    """The verdict at the instance that decides."""
    statement = experiment.statement
    k = decisive(outcomes, compared)
    outcome = outcome_of(outcomes[k])
    reason = found.labels[k] if k < len(found.labels) else ""
    if outcomes[k] == "unknown":
        reason = reason_of(compared, experiment.values, found, k)
    elif outcome == "not refuted" and is_lost(compared, found, k):
        reason = LOST
    elif compared.left[k]:
        reason = "a sample left its certified range, which certifies nothing then"
    trivial = trivial_value(statement, experiment.values)
    if outcome != "violated" and compared.bound[k] >= trivial:
        outcome, reason = "vacuous", f"the bound exceeds the trivial {trivial:.4g}"
    undecided = int(np.isin(outcomes, ("not refuted", "unknown")).sum())
    verdict = verdict_at(experiment, outcome, compared, k, reason, len(outcomes), undecided)
    if statement.claim.mode == "every run" and outcome == "violated":
        return replace(verdict, evidence="exact arithmetic")
    return verdict


def _asks_values(statement: Statement) -> bool:
    """Whether the method's steps are made of values, whose differences may be all rounding."""
    algorithm = statement.algorithm
    return algorithm is not None and "value" in registry.rule(algorithm.rule).needs


def _steady(
    protocol: Protocol, experiment: Experiment, compared: Comparison, risk: float
) -> np.ndarray:  # fmt: skip
    """Where the sides stay as they are, but for a tenth of their gap, if rounding is another.

    Steps are made of it where they change with a start that moves a little, or with values that
    are rounded four bits before their last.
    """
    objective = experiment.objective
    start = objective.start
    apart = 1e-9 * start.abs() + 1e-12 * max(1e-3, float(start.abs().max()))
    grain = 16 * float(np.finfo(float).eps) * value_scale(objective, objective.value(start[None]))
    others = [started_at(objective, start + apart)]
    if grain > 0:
        others.append(coarsened(objective, grain))
    steady = np.ones(len(compared.gap), dtype=bool)
    for other in others:
        measured = protocol.measure(replace(experiment, objective=other))
        again = compare(experiment.statement.claim, experiment.values, measured, risk)
        if again.gap.shape != compared.gap.shape:
            return np.zeros(len(compared.gap), dtype=bool)
        with np.errstate(all="ignore"):
            moved = np.abs(again.measured - compared.measured)
            moved += np.abs(again.bound - compared.bound)
            steady &= moved <= 0.1 * np.abs(compared.measured - compared.bound)
    return steady
