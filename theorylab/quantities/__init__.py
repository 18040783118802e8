"""How each measured quantity of a statement is measured; ``PROTOCOLS`` lists the ways."""

from __future__ import annotations

from functools import cache

from bounds.statement import Statement
from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.quantities.beside_sgd import BesideSGD
from theorylab.quantities.blocks import BlockSteps
from theorylab.quantities.budgets import Budgets
from theorylab.quantities.one_round import OneRound
from theorylab.quantities.points import Points
from theorylab.quantities.protocol import Experiment, Measurement, Protocol, build_rule
from theorylab.quantities.regret import Regret
from theorylab.quantities.round_lengths import RoundLengths
from theorylab.quantities.stochastic_batch_size import (
    ConstantProbability,
    CoordinateSteps,
    UpdateProbabilities,
)
from theorylab.quantities.twins import TwinRound, TwinRuns
from theorylab.quantities.whole_run import WholeRun

__all__ = ["PROTOCOLS", "Experiment", "Measurement", "Protocol", "build_rule", "protocol_for"]

PROTOCOLS: tuple[Protocol, ...] = (
    Points(), OneRound(), WholeRun(), RoundLengths(), Budgets(), TwinRuns(),
    TwinRound(), BesideSGD(), UpdateProbabilities(), CoordinateSteps(), ConstantProbability(),
    BlockSteps(), Regret(),
)  # fmt: skip


@cache
def _plugged() -> tuple[Protocol, ...]:
    return tuple(
        protocol for _, protocol in registry.plugins("quantities", "PROTOCOLS", required=False)
    )


def protocol_for(statement: Statement) -> Protocol:
    """The protocol that measures every quantity of the statement's claim.

    Third parties add their own under the entry-point group ``theorylab.quantities``.

    Raises
    ------
    UsageError
        If no protocol measures them together.
    """
    for protocol in (*PROTOCOLS, *_plugged()):
        if protocol.measures(statement.measured):
            return protocol
    names = {symbol.name for symbol in statement.measured}
    raise UsageError(
        f"{statement.key}: nothing measures {', '.join(sorted(names))} together; known: "
        + "; ".join(", ".join(sorted(p.provides)) for p in PROTOCOLS)
    )
