"""``catalogue``: statements as rows, with all that they assume and claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import pandas as pd

from bounds.render import latex
from bounds.statement import Statement
from theorylab.studies.report import Report

__all__ = ["Catalogue", "catalogue"]


@final
@dataclass(frozen=True)
class Catalogue(Report):
    """Statements, one row each."""

    statements: tuple[Statement, ...]

    def __iter__(self) -> Iterator[Statement]:
        return iter(self.statements)

    def __len__(self) -> int:
        return len(self.statements)

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame(
            [(s.key, s.form, s.label, str(s.claim), s.units) for s in self.statements],
            columns=["key", "form", "label", "claim", "units"],
        )

    def to_json(self) -> dict[str, Any]:
        return {"schema": 1, "statements": [_row(s) for s in self.statements]}


def catalogue(statements: Sequence[Statement]) -> Catalogue:
    """The statements as a report.

    Parameters
    ----------
    statements : sequence of Statement
        Registered or not; :func:`theorylab.studies.selection.select` finds registered ones.

    Examples
    --------
    >>> from bounds import sngm
    >>> catalogue([sngm.lemma_2]).to_pandas()[["key", "form"]].values.tolist()
    [['sngm.lemma_2', 'printed']]
    """
    return Catalogue(tuple(statements))


def _row(s: Statement) -> dict[str, Any]:
    return {
        "key": s.key,
        "form": s.form,
        "paper": s.paper,
        "label": s.label,
        "text": s.text,
        "claim": str(s.claim),
        "latex": latex(s),
        "assumptions": [a.name for a in s.assumptions],
        "algorithm": s.algorithm.rule if s.algorithm else None,
        "prescription": {k.name: str(v) for k, v in s.prescription.items()},
        "conditions": [str(c) for c in s.conditions],
        "constants": [c.name for c in s.constants],
        "hyperparameters": [h.name for h in s.hyperparameters],
        "rate": {k.name: str(v) for k, v in s.rate.exponents.items()} if s.rate else None,
        "units": s.units,
        "units_fault": str(s.units_fault) if s.units_fault else None,
        "note": s.note,
        "proof": [step.text for step in s.proof],
    }
