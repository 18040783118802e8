"""O(.) claims: does measured/bound keep growing with what grows? Then no constant will do.

One instance of the domain is followed over growing sizes of the symbol that the statement's
:class:`bounds.Rate` names, and the slope of log(measured/bound) is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from bounds.statement import DomainError, Statement, evaluate
from theorylab.errors import AssumptionError, UsageError
from theorylab.judge.check import _compare, _trivial, _verdict, constants_for
from theorylab.judge.domain import points
from theorylab.judge.verdict import Outcome, Verdict
from theorylab.problem.objective import FiniteSum, Objective
from theorylab.quantities import Experiment, Protocol

__all__ = ["check_order"]

_SIZES = 5
_RATE_POINTS = 6
_EFFORT_PER_STEP = 15  # of an O(.) check: the longest run takes this share of it


def check_order(
    statement: Statement, objective: Objective, protocol: Protocol, fixed: Mapping[str, float],
    replicas: int, effort: float, seed: int, repeat: int, risk: float,
) -> Verdict:  # fmt: skip
    """The verdict on an O(.) claim; a growth must show again on fresh randomness."""
    arguments = (statement, objective, protocol, fixed, replicas, effort, seed)
    verdict = _measure(*arguments, repeat, risk)
    if verdict.verdict != "violated":
        return verdict
    again = _measure(*arguments, repeat + 1, risk)
    once = f"grew once, did not on fresh randomness: {again.reason}"
    return verdict if again.verdict == "violated" else replace(again, reason=once)


def _measure(
    statement: Statement, objective: Objective, protocol: Protocol, fixed: Mapping[str, float],
    replicas: int, effort: float, seed: int, repeat: int, risk: float,
) -> Verdict:  # fmt: skip
    """Does measured/bound keep growing with the statement's scale? Then no constant will do."""
    rate = statement.rate
    if rate is None:
        raise UsageError(f"{statement.key}: an O(.) claim needs a rate that says what grows")
    name = rate.scale.name
    sizes = _sizes(statement, objective, effort)
    logs, ratios, errors = [], [], []
    last: Verdict | None = None
    comparisons = 0
    first: Mapping[str, Any] | None = None
    for size in sizes:
        here = objective
        if name == "n":
            assert isinstance(objective, FiniteSum)
            here = objective.resize(int(size), seed)
        known = {**constants_for(statement, here), **fixed, name: size}
        follow = {s.name: float(evaluate(e, known)) for s, e in rate.along.items()}
        known |= follow
        try:
            if first is None:
                first = _telling(
                    statement, points(statement, known, seed, _RATE_POINTS, typical=True)
                )
            free = {s.name for s in statement.hyperparameters} - set(known)
            known |= {k: first[k] for k in free if k in first}
            values = statement.validate(known)
        except (DomainError, UsageError):
            continue  # the domain may begin at a larger size
        experiment = Experiment(
            statement, here, values, replicas, effort / len(sizes), seed, repeat
        )
        if experiment.steps > effort / _EFFORT_PER_STEP:
            continue  # too long to run
        found = protocol.measure(experiment)
        # No size alone refutes an order, so samples that agree (counts do) need no allowance.
        compared = _compare(statement.claim, values, found, risk / len(sizes), deterministic=True)
        comparisons += len(compared.measured)
        i = int(np.argmax(compared.ratio))
        last = _verdict(experiment, "holds", compared, i, "", comparisons)
        if compared.bound[i] >= _trivial(statement, values):
            continue  # a ratio to a bound beyond the trivial value says nothing of the rate
        if not (compared.measured[i] > 0 and compared.bound[i] > 0):
            continue
        logs.append(math.log(size))
        ratios.append(math.log(compared.measured[i] / compared.bound[i]))
        errors.append(float(compared.half[i] / compared.measured[i]))
    if last is None:
        raise UsageError(f"{statement.key}: no size of {name} among {sizes} is admissible")
    if len(logs) < 3:
        reason = "too few sizes gave a positive ratio"
        return replace(last, verdict="not refuted", evidence="samples", reason=reason)
    # The small sizes are pre-asymptotic: the slope is that of the larger ones.
    slope, low, high = _slope(np.array(logs)[-4:], np.array(ratios)[-4:], np.array(errors)[-4:])
    # A ratio that grows but is still below 1 may be on its way to a constant.
    grows = low > 0.02 and ratios[-1] > 0
    outcome: Outcome = "violated" if grows else "holds" if high <= 0.1 else "not refuted"
    reason = f"log(measured/bound) grows like {slope:+.3f} log {name} [{low:+.3f}, {high:+.3f}]"
    return replace(last, verdict=outcome, evidence="growth", reason=reason,
                   growth=(slope, low, high))  # fmt: skip


def _telling(statement: Statement, table: list[dict[str, Any]]) -> dict[str, Any]:
    """The first point at which the bound says anything; the first of all if it never does."""
    for point in table:
        if statement.trivial is not None and (
            evaluate(statement.claim.rhs, point) < _trivial(statement, point)
        ):
            return point
    return table[0]


def _sizes(statement: Statement, objective: Objective, effort: float) -> list[float]:
    """Sizes of the growing symbol, evenly spaced in its logarithm, as far as the effort goes."""
    assert statement.rate is not None
    scale = statement.rate.scale
    if scale.name == "n":
        if not isinstance(objective, FiniteSum):
            raise AssumptionError(f"{statement.key} grows n; {objective.name} is no finite sum")
        return [float(32 * 2**k) for k in range(_SIZES)]
    if scale.name == "eps":
        return [max(scale.typical) / 2**k for k in range(_SIZES)]
    least = max(16.0, min(scale.typical or (16.0,)))
    factor = min(4.0, max(1.5, (effort / 100 / least) ** (1 / (_SIZES - 1))))
    return [float(round(least * factor**k)) for k in range(_SIZES)]


def _slope(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> tuple[float, float, float]:
    """Least-squares slope; its interval moves every point by its own (already corrected) error."""
    centred = x - x.mean()
    weights = centred / (centred**2).sum()
    slope = float(weights @ y)
    margin = float(np.abs(weights) @ error)
    residual = y - y.mean() - slope * centred
    if len(x) > 2:
        scatter = math.sqrt(float(residual @ residual) / (len(x) - 2) / float(centred @ centred))
        margin += float(stats.t.isf(0.025, len(x) - 2)) * scatter
    return slope, slope - margin, slope + margin
