"""Statements whose two sides scale differently, and what that breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bounds.statement import Statement
from theorylab.hunt.rescaling import Attack, rescaling_attack
from theorylab.plugins.provenance import provenance
from theorylab.plugins.specs import objective_specs
from theorylab.studies.report import Report

__all__ = ["UnitsFault", "UnitsReport", "units"]


@dataclass(frozen=True)
class UnitsFault:
    """One statement whose two sides have different units.

    Attributes
    ----------
    key, form, claim : str
        The statement.
    fault : str
        Which units disagree.
    terms : tuple of str
        The terms at fault.
    attack : Attack, optional
        An instance that a change of units turned into a violation.
    """

    key: str
    form: str
    claim: str
    fault: str
    terms: tuple[str, ...]
    attack: Attack | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        found = self.attack
        return {
            "key": self.key, "form": self.form, "claim": self.claim, "fault": self.fault,
            "terms": list(self.terms),
            "attack": None if found is None else {
                "a": found.a, "b": found.b, "objective": found.spec,
                "verdict": found.verdict.to_json(),
            },
        }  # fmt: skip


@dataclass(frozen=True)
class UnitsReport(Report):
    """The faults found among ``consistent + len(faults)`` statements."""

    faults: tuple[UnitsFault, ...]
    consistent: int
    attacked: bool = True
    seed: int = 0

    def to_pandas(self) -> pd.DataFrame:
        names = ("key", "form", "fault", "a", "b", "measured", "bound", "objective")
        rows = []
        for row in self.faults:
            hit = row.attack
            broken = (
                (None,) * 5
                if hit is None
                else (hit.a, hit.b, hit.verdict.measured, hit.verdict.bound, hit.verdict.objective)
            )
            rows.append(dict(zip(names, (row.key, row.form, row.fault, *broken), strict=True)))
        return pd.DataFrame(rows, columns=names)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "provenance": provenance(seed=self.seed),
            "consistent": self.consistent,
            "results": [row.to_json() for row in self.faults],
        }


def units(statements: Sequence[Statement], *, attack: bool = True, seed: int = 0) -> UnitsReport:
    """The statements whose two sides have different units.

    Parameters
    ----------
    statements : sequence of Statement
    attack : bool
        Look for a change of units, ``f -> a f(w/b)``, that turns each fault into a violation.
    seed : int

    Examples
    --------
    >>> from bounds import tralgo
    >>> report = units([tralgo.lemma_2, tralgo.lemma_2_repaired], attack=False)
    >>> [(row.key, row.form) for row in report.faults], report.consistent
    ([('tralgo.lemma_2', 'printed')], 1)
    """
    specs = objective_specs() if attack else []
    faults = []
    for statement in statements:
        fault = statement.units_fault
        if fault is None:
            continue
        found = rescaling_attack(statement, specs, seed=seed) if attack else None
        faults.append(UnitsFault(
            statement.key, statement.form, str(statement.claim), str(fault),
            tuple(str(term) for term in fault.terms), found,
        ))  # fmt: skip
    return UnitsReport(tuple(faults), len(statements) - len(faults), attack, seed)
