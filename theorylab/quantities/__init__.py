"""How each measured quantity of a statement is measured; ``PROTOCOLS`` lists the ways."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import bounds.quantities
from bounds.statement import Statement
from bounds.symbol import Measured
from theorylab.engine.recorders import Recorder
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

__all__ = [
    "PROTOCOLS",
    "Experiment",
    "Measurement",
    "Protocol",
    "build_rule",
    "protocol_for",
    "quantities",
]

PROTOCOLS: tuple[Protocol, ...] = (
    Points(), OneRound(), WholeRun(), RoundLengths(), Budgets(), TwinRuns(),
    TwinRound(), BesideSGD(), UpdateProbabilities(), CoordinateSteps(), ConstantProbability(),
    BlockSteps(), Regret(),
)  # fmt: skip


_EXPECTED = "a Measured, a Recorder or a Protocol"


def _is_other(item: object) -> bool:
    return isinstance(item, Recorder | Measured | Protocol)


@cache
def quantities() -> Mapping[str, Measured]:
    """Every measured quantity by name; third parties list theirs as ``QUANTITIES``.

    Examples
    --------
    >>> quantities()["regret"].units
    Units(F=1, X=0)
    """
    own = [item for item in vars(bounds.quantities).values() if isinstance(item, Measured)]
    return registry.table(
        "quantities", "QUANTITIES", lambda item: isinstance(item, Measured), _EXPECTED,
        own=own, beside=("RECORDERS", "PROTOCOLS"), elsewhere=_is_other,
    )  # fmt: skip


@cache
def _protocols() -> tuple[Protocol, ...]:
    found = registry.table(
        "quantities", "PROTOCOLS", lambda item: isinstance(item, Protocol), _EXPECTED,
        key=lambda item: f"{type(item).__module__}.{type(item).__qualname__}",
        own=PROTOCOLS, beside=("RECORDERS", "QUANTITIES"), elsewhere=_is_other,
    )  # fmt: skip
    by: dict[str, str] = {}
    kept = []
    for origin, protocol in found.items():
        if taken := sorted(protocol.provides & set(by)):
            said = f"{taken[0]} is measured already, by {by[taken[0]]}"
            registry.leave_out("quantities", origin, said)
            continue
        by |= dict.fromkeys(protocol.provides, origin)
        kept.append(protocol)
    return tuple(kept)


def protocol_for(statement: Statement) -> Protocol:
    """The protocol that measures every quantity of the statement's claim.

    Third parties add their own under the entry-point group ``theorylab.quantities``.

    Raises
    ------
    UsageError
        If no protocol measures them together.
    """
    quantities()  # whose names must be told apart
    for protocol in _protocols():
        if protocol.measures(statement.measured):
            return protocol
    names = {symbol.name for symbol in statement.measured}
    raise UsageError(
        f"{statement.key}: nothing measures {', '.join(sorted(names))} together; known: "
        + "; ".join(", ".join(sorted(p.provides)) for p in _protocols())
    )
