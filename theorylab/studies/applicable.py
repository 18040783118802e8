"""Which objectives ``verify`` checks a statement on, and why it leaves the others out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import final

from bounds.statement import Statement
from theorylab.errors import UsageError
from theorylab.hunt.rescaling import without_noise
from theorylab.judge.check import constants_for, speaks_of_workers
from theorylab.judge.domain import points
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry
from theorylab.plugins.isolation import OWN
from theorylab.plugins.specs import DATA_FAMILY, Spec, build_objective, objective_specs
from theorylab.problem.objective import Objective
from theorylab.quantities import protocol_for

__all__ = [
    "Objectives", "are_chosen", "blank", "exact", "is_own", "objectives_for", "of_objective",
]  # fmt: skip

_RATE_OBJECTIVES = 4
_OBJECTIVES = 12
"""For each statement beside the user's data and plug-ins; the others are named, not dropped."""
_ALIKE = "what is measured is the same on every objective; name it to check it"


@final
@dataclass(frozen=True)
class Objectives:
    """The objectives of one statement.

    Attributes
    ----------
    kept : tuple of (mapping or None, bool)
        Those to check on, each with whether exact gradients stand in for its own.
    refused : tuple of (mapping, Verdict)
        Those of which the statement says nothing.
    left : tuple of Verdict
        The others, each with the reason.
    """

    kept: tuple[tuple[Spec | None, bool], ...]
    refused: tuple[tuple[Spec, Verdict], ...] = ()
    left: tuple[Verdict, ...] = ()


def objectives_for(
    statement: Statement, specs: Sequence[Spec], seed: int, given: bool, chosen: bool
) -> Objectives:
    """The objectives to check a statement on, those that attain its constants first.

    Parameters
    ----------
    statement : Statement
    specs : sequence of mapping
    seed : int
        What the rows of those left out say.
    given, chosen : bool
        Whether anybody named objectives; and others than data of their own.
    """
    if not statement.claim.measured:
        return Objectives(((None, False),))
    applicable: list[tuple[Spec | None, bool]] = []
    refused, apart = [], []
    for spec in specs:
        objective = build_objective(spec)
        if objective.workers and not given and not speaks_of_workers(statement):
            apart.append(blank(statement, spec, False, seed, "the statement speaks of no workers; "
                                "name it to check it"))  # fmt: skip
            continue
        fault = ""
        for quiet in (False, True):
            reason = _unfit(statement, exact(objective) if quiet else objective)
            if not reason:
                applicable.append((spec, quiet))
                break
            fault = fault or reason
        else:
            refused.append((spec, Verdict(
                statement.key, statement.form, "not applicable", objective=objective.name,
                units=statement.units, reason=fault,
            )))  # fmt: skip
    applicable.sort(key=lambda pair: _slack(statement, pair[0]))
    met: Counter[str] = Counter()
    turns: list[tuple[int, Spec | None, bool]] = []
    for admitted, silent in applicable:
        name = "" if admitted is None else str(admitted["family"])
        first = met[name] == 0 and _of_plugin(admitted)
        turns.append((-2 if is_own(admitted) else -1 if first else met[name], admitted, silent))
        met[name] += 1
    turns.sort(key=lambda entry: entry[0])  # one instance of every family before any second
    # Each check of an O(.) claim is a whole experiment over growing sizes.
    own = sum(is_own(spec) for _, spec, _ in turns)
    joined = sum(turn == -1 for turn, _, _ in turns)
    most = (_RATE_OBJECTIVES if statement.claim.big_o else _OBJECTIVES + own) + joined
    reason = f"beyond the {most} objectives that verify checks a statement on; name it to check it"
    alike = not (chosen or of_objective(statement))
    if alike:
        most, reason = max(1, own), _ALIKE
    kept, rest = turns[:most], turns[most:]
    spare = None if alike else next((k for k, x in enumerate(rest) if _is_quiet(*x[1:])), None)
    if spare is not None and not any(_is_quiet(*entry[1:]) for entry in kept):
        kept[-1], rest[spare] = rest[spare], kept[-1]  # some claims fail without noise alone
    left = [blank(statement, on, quiet, seed, reason) for _, on, quiet in rest]
    return Objectives(tuple(x[1:] for x in kept), tuple(refused), tuple(left + apart))


def of_objective(statement: Statement) -> bool:
    """Whether another objective may give another verdict."""
    try:
        return bool(statement.constants) or protocol_for(statement).of_objective
    except UsageError:
        return True


def blank(statement: Statement, spec: Spec | None, quiet: bool, seed: int, reason: str) -> Verdict:
    """The row of a check that was not run."""
    name = "-"
    if spec is not None:
        objective = build_objective(spec)
        name = (exact(objective) if quiet else objective).name
    return Verdict(statement.key, statement.form, "not refuted", seed=seed, objective=name,
                   units=statement.units, reason=reason, undecided=1)  # fmt: skip


def _unfit(statement: Statement, objective: Objective) -> str:
    """Why the statement says nothing of this objective; empty if it does."""
    try:
        known = constants_for(statement, objective)
        if any(s.name == "sigma" for c in statement.conditions for s in
               c.lhs.free_symbols | c.rhs.free_symbols):  # fmt: skip
            points(statement, known, count=1)
    except UsageError as error:
        return str(error)
    return ""


@cache
def exact(objective: Objective) -> Objective:
    """With exact gradients; made once for each objective that a spec names."""
    return without_noise(objective)


def _is_quiet(spec: Spec | None, quiet: bool) -> bool:
    if spec is None or quiet:
        return True
    sigma = build_objective(spec).constants().get("sigma")
    return sigma is not None and float(sigma) == 0


def is_own(spec: Spec | None) -> bool:
    """Whether it is data that the user named."""
    return spec is not None and spec["family"] == DATA_FAMILY


def _of_plugin(spec: Spec | None) -> bool:
    """Whether another package registered its family: whoever wrote one wants it tried."""
    if spec is None:
        return False
    return registry.family(spec["family"]).build.__module__.split(".")[0] not in OWN


def are_chosen(specs: Sequence[Spec]) -> bool:
    """Whether somebody chose the objectives: data of one's own leave the others as they are."""
    return [spec for spec in specs if not is_own(spec)] != objective_specs()


def _slack(statement: Statement, spec: Spec | None) -> int:
    """How many of the statement's constants the objective certifies without attaining them.

    The fewer, the closer the objective comes to the worst case: such objectives come first,
    after the data that the user named.
    """
    if spec is None or is_own(spec):
        return -1
    objective = build_objective(spec)
    names = {symbol.name for symbol in statement.constants}
    certified = {**objective.constants(), **objective.sample_constants(),
                 **objective.worker_constants()}  # fmt: skip
    return sum(not certified[name].attained for name in names if name in certified)
