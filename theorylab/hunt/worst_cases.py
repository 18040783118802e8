"""What an exact worst case says to a hunt: an instance to be measured, or a verdict."""

from __future__ import annotations

import math

from bounds.statement import Statement
from theorylab.exact.refutation import refutation
from theorylab.exact.worst_case import WorstCase
from theorylab.hunt.instance import FAILURES, Instance
from theorylab.judge.verdict import Verdict

__all__ = ["worst_instance"]


def worst_instance(
    statement: Statement, seed: int = 0, programs: int = 12, until: float = math.inf
) -> tuple[Verdict, Instance | None] | None:
    """A violation from the exact worst case; ``None`` where there is none or none can be asked.

    The worst function of the class is rebuilt and measured like any other instance. Where it
    cannot be, or its own numbers do not show the violation, the verdict is that of the
    semidefinite program, and there is no instance. No program is begun after ``until``.

    Examples
    --------
    >>> from bounds import sngm
    >>> worst_instance(sngm.lemma_2) is None    # no semidefinite program models a buffer's norm
    True
    """
    found = refutation(statement, programs, seed, until)
    if found is None:
        return None
    if found.spec is not None:
        free = {s.name for s in (*statement.hyperparameters, *statement.lengths)}
        values = {k: v for k, v in found.values.items() if k in free}
        instance = Instance(found.spec, values)
        try:
            verdict = instance.check(statement)
        except FAILURES:
            return _by_program(statement, found), None
        if verdict.verdict == "violated":
            return verdict, instance
    return _by_program(statement, found), None


def _by_program(statement: Statement, found: WorstCase) -> Verdict:
    values = {k: float(v) for k, v in found.values.items()}
    constants = {s.name for s in statement.constants}
    return Verdict(
        statement.key, statement.form, "violated", found.primal, (found.primal, found.dual),
        found.bound, found.ratio, statement.units, "the worst function of its class",
        {k: v for k, v in values.items() if k in constants},
        {k: v for k, v in values.items() if k not in constants}, 1, 0, 1, 0,
        f"a semidefinite program, solved with a gap of {found.gap:.1g}; {found.cross_check}",
        evidence="exact worst case",
    )  # fmt: skip
