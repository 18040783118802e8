"""Shorter runs of the same method: a run of T rounds holds every run that ends before it does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from bounds.claim import DomainError
from bounds.statement import Statement
from bounds.symbol import Symbol
from theorylab.errors import UsageError
from theorylab.judge.comparison import compare
from theorylab.quantities import Experiment, Measurement

__all__ = ["broken_earlier", "read_on_the_way", "shorter"]

_READ = 64  # horizons of a run, at most
_JUDGED = 3  # of those that seem to break the claim
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
            yield statement.validate(_ended(statement, values, horizon, rounds))
        rounds //= 2


def read_on_the_way(experiment: Experiment, fixed: Collection[str] = ()) -> Experiment:
    """The experiment, which says at which earlier ends its runs are read as well.

    None where another number of rounds makes another method, or where the number is ``fixed``.
    """
    statement, last = experiment.statement, experiment.rounds
    horizon = _horizon(statement)
    if horizon is None or horizon.name in fixed or last < 2:
        return experiment
    try:
        half = statement.resolve(_ended(statement, experiment.values, horizon, last // 2))
        other = replace(experiment, values=half)
        if _method(other) != _method(experiment):
            return experiment
    except (*_OUTSIDE, UsageError):
        return experiment
    ends = np.unique(np.rint(np.geomspace(1, last - 1, _READ)).astype(int))
    return replace(experiment, horizons=tuple(ends.tolist()))


def broken_earlier(
    experiment: Experiment, found: Mapping[str, np.ndarray], risk: float
) -> Iterator[dict[str, Any]]:
    """Points with fewer rounds at which the claim seems to break, the worst first.

    What was ``found`` on the way of longer runs only proposes them: each is to be judged by itself.
    """
    horizon = _horizon(experiment.statement)
    if horizon is None or not experiment.horizons or not found:
        return
    statement = experiment.statement
    ends = np.array(experiment.horizons, dtype=float)[:, None]
    try:
        table = statement.resolve(_ended(statement, experiment.values, horizon, ends))
        compared = compare(statement.claim, table, Measurement(found, "arithmetic"), risk)
    except (*_OUTSIDE, UsageError):
        return
    broken = compared.outcomes() == "violated"
    order = np.argsort(-np.nan_to_num(compared.ratio, nan=0.0), kind="stable")
    for i in [i for i in order if broken[i]][:_JUDGED]:
        with suppress(*_OUTSIDE):
            yield statement.validate(
                _ended(statement, experiment.values, horizon, experiment.horizons[i])
            )


def _horizon(statement: Statement) -> Symbol | None:
    """The symbol that is the number of rounds, where it is the statement's to choose."""
    horizon = None if statement.algorithm is None else statement.algorithm.horizon
    if not isinstance(horizon, Symbol) or horizon not in statement.hyperparameters:
        return None
    return None if horizon in statement.prescription else horizon


def _ended(
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
