"""Shorter runs of the same method: a run of T rounds holds every run that ends before it does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from bounds.claim import DomainError
from bounds.evaluation import evaluate
from bounds.statement import Statement
from bounds.symbol import Symbol
from theorylab.errors import UsageError
from theorylab.judge import modes
from theorylab.judge.comparison import compare
from theorylab.judge.looks import CLOSER, LOOKS
from theorylab.quantities import Experiment, Measurement

__all__ = ["broken_earlier", "read_on_the_way", "shares", "shorter"]

_READ = 64  # horizons of a run, at most
_JUDGED = 3  # of those that seem to break the claim
_LAST = 7 / 8  # of a point's risk, for the run as long as it is
_OUTSIDE = (DomainError, KeyError, ZeroDivisionError, FloatingPointError)


def shorter(statement: Statement, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The same point with half the rounds, a quarter and so on, where the statement allows it.

    Nothing where the number of rounds is no symbol of its own to choose.

    >>> from bounds import sngm
    >>> at = {"T": 9.0, "beta": 0.5, "eta": 0.1, "B": 1.0, "ell": 1.0, "Delta": 1.0, "sigma": 0.0}
    >>> [point["T"] for point in shorter(sngm.theorem_1, at)]
    [4.0, 2.0, 1.0]
    """
    horizon = _horizon(statement)
    rounds = 0 if horizon is None else int(values[horizon.name]) // 2
    while horizon is not None and rounds >= 1:
        with suppress(*_OUTSIDE):
            yield statement.validate(_of_length(statement, values, horizon, rounds))
        rounds //= 2


def read_on_the_way(experiment: Experiment, fixed: Collection[str] = ()) -> Experiment:
    """The experiment, which says at which earlier ends its runs are read as well.

    It says no ends where another number of rounds makes another method, or where the number is
    ``fixed``.
    """
    statement, last = experiment.statement, experiment.rounds
    horizon = _horizon(statement)
    if horizon is None or horizon.name in fixed or last < 2:
        return experiment
    try:
        half = statement.resolve(_of_length(statement, experiment.values, horizon, last // 2))
        other = replace(experiment, values=half)
        if _method(other) != _method(experiment):
            return experiment
    except (*_OUTSIDE, UsageError):
        return experiment
    ends = np.unique(np.rint(np.geomspace(1, last - 1, _READ)).astype(int))
    return replace(experiment, horizons=tuple(ends.tolist()))


def shares(risk: float, experiment: Experiment) -> tuple[float, float]:
    """The risk of a point's verdict at its own number of rounds, and of one at an earlier end.

    Together they are the point's ``risk``, all of the first where no earlier end is read.

    A true claim is no sooner violated for it. Which end is judged depends on the looks at the
    longer run alone, with the seeds ``repeat, .., repeat + LOOKS - 1``; the looks that judge it
    have others, so given all that chose it each is a fresh sample, whose interval misses with
    probability at most a third of the end's share ``s``: whatever end it was, however many were
    read. A violation takes two of three such looks. At an end where the claim is true it is found
    with probability at most ``3 (s / 3)**2 = s**2 / 3``; at the last end likewise with its share
    ``r``, and ``(r**2 + s**2) / 3 <= (r + s)**2 / 3``: no more than without earlier ends. Any
    interval at all misses with probability ``r + s`` at most: it is the point's risk.

    >>> import synthetic
    >>> from bounds import sngm
    >>> at = {"T": 9.0, "beta": 0.5, "eta": 0.1, "B": 1.0, "ell": 1.0, "Delta": 1.0, "sigma": 0.0}
    >>> alone = Experiment(sngm.theorem_1, synthetic.quadratic(dim=2), at)
    >>> shares(0.01, alone), sum(shares(0.01, replace(alone, horizons=(4,))))
    ((0.01, 0.0), 0.01)
    """
    last = risk if not experiment.horizons else _LAST * risk
    return last, risk - last


def broken_earlier(
    experiment: Experiment, read: Measurement | None, risk: float
) -> Iterator[Experiment]:
    """Shorter runs that seem to break the claim, the worst first: each is to be judged by itself.

    What was ``read`` on the way of longer runs only proposes them. A few where it is exact; of
    samples one, if eight times as many might refute the claim there at this ``risk``, to be run
    with randomness that no look at the longer run has seen.
    """
    statement, horizon = experiment.statement, _horizon(experiment.statement)
    if horizon is None or read is None:
        return
    ends = np.array(read.ends, dtype=float)[:, None]
    try:
        table = statement.resolve(_of_length(statement, experiment.values, horizon, ends))
        exceeding = _exceeding(experiment, table, read)
        if not exceeding.any():
            return  # as mostly, and told without the costlier comparison
        compared = compare(statement.claim, table, read, risk ** (1 / CLOSER))
        outcomes = compared.outcomes()
        if experiment.run_by_run:
            outcomes = modes.run_by_run(compared, modes.allowed_failure(statement, table))
    except (*_OUTSIDE, UsageError):
        return
    broken = outcomes == "violated"
    order = np.argsort(-np.nan_to_num(compared.steady_ratio, nan=0.0), kind="stable")
    sampled = not read.exact and statement.claim.mode != "every run"
    for i in [i for i in order if broken[i]][: 1 if sampled else _JUDGED]:
        with suppress(*_OUTSIDE):
            values = _of_length(statement, experiment.values, horizon, read.ends[i])
            yield replace(experiment, values=statement.validate(values), horizons=(),
                          repeat=experiment.repeat + (LOOKS if sampled else 0))  # fmt: skip


def _exceeding(
    experiment: Experiment, table: Mapping[str, Any], read: Measurement
) -> np.ndarray:  # fmt: skip
    """At which ends the measured side, the mean or that of some run, exceeds the bound at all."""
    alone = experiment.run_by_run
    means = {k: v if alone else v.mean(-1, keepdims=True) for k, v in read.values.items()}
    claim = experiment.statement.claim
    with np.errstate(all="ignore"):
        small, large = (evaluate(side, {**table, **means}) for side in claim.sides)
        return np.asarray(small != large if claim.sense == "==" else ~(small <= large))


def _horizon(statement: Statement) -> Symbol | None:
    """The symbol that is the number of rounds, where it is the statement's to choose."""
    horizon = None if statement.algorithm is None else statement.algorithm.horizon
    if not isinstance(horizon, Symbol) or horizon not in statement.hyperparameters:
        return None
    return None if horizon in statement.prescription else horizon


def _of_length(
    statement: Statement, values: Mapping[str, Any], horizon: Symbol, rounds: Any
) -> dict[str, Any]:
    """The values that are chosen, with another number of rounds."""
    prescribed = {symbol.name for symbol in statement.prescription}
    free = {name: value for name, value in values.items() if name not in prescribed}
    return {**free, horizon.name: rounds if isinstance(rounds, np.ndarray) else float(rounds)}


def _method(experiment: Experiment) -> tuple[Any, ...]:
    """All that a run is made of, but its length."""
    bound = [experiment.parameter(q.name, name)
             for q in experiment.statement.measured for name in q.parameters]  # fmt: skip
    return experiment.rule, experiment.batch_size, bound
