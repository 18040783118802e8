"""``catalogue``: statements as rows, with what they assume and claim; ``describe``: one in full."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import sympy as sp

from bounds.render import formulas, latex
from bounds.statement import Statement
from bounds.symbol import Symbol
from theorylab.studies.report import Report

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Catalogue", "bound_symbols", "catalogue", "describe"]


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
        import pandas as pd

        return pd.DataFrame(
            [
                (
                    s.key,
                    s.form,
                    s.label,
                    s.algorithm.rule if s.algorithm else "",
                    str(s.claim),
                    s.units,
                )
                for s in self.statements
            ],
            columns=["key", "form", "label", "algorithm", "claim", "units"],
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


def describe(statement: Statement, width: int = 100) -> str:
    """All of a statement, in at most ``width`` columns.

    The claim with its conditions, then what each symbol means and the values it may take, the
    assumptions, the algorithm and how the symbols are bound to it, its units, and its note.

    Parameters
    ----------
    statement : Statement
    width : int
        Columns; a formula that is wider is written in one line.

    Examples
    --------
    >>> from bounds import sngm
    >>> print(next(row for row in describe(sngm.lemma_2).splitlines() if "chosen" in row))
      chosen    T in {1, 2, ...}: (outer) iterations
    """
    blocks = [f"{statement.label} ({statement.key}, {statement.form})"]
    blocks += formulas(statement, width)
    if statement.text:
        blocks.append(_entry("says", statement.text, width))
    for quantity in sorted(statement.measured, key=lambda q: q.name):
        told = f"{quantity.name}: {quantity.meaning} ({quantity.units})"
        blocks.append(_entry("measured", told, width))
    for assumption in statement.assumptions:
        blocks.append(_entry("assumes", f"{assumption.name}: {assumption.text}", width))
    for symbol in statement.constants:
        blocks.append(_entry("certified", _ranged(symbol), width))
    for symbol in statement.hyperparameters:
        limits = [str(c) for c in statement.conditions if not c.measured
                  and symbol in (c.lhs - c.rhs).free_symbols]  # fmt: skip
        blocks.append(_entry("chosen", "; ".join([_ranged(symbol), *limits]), width))
    if bound := bound_symbols(statement):
        blocks.append(_entry("algorithm", bound, width))
    fault = statement.units_fault
    blocks.append(_entry("units", "consistent" if fault is None else f"differ: {fault}", width))
    if statement.note:
        blocks.append(_entry("note", statement.note, width))
    for step in statement.proof:
        blocks.append(_entry("proof", step.text, width))
    return "\n".join(blocks)


def _ranged(symbol: Symbol) -> str:
    return f"{symbol.name} in {symbol.domain}: {symbol.meaning}"


def bound_symbols(statement: Statement) -> str:
    """The rule of a statement, and how its symbols are bound to it; empty where nothing is run.

    >>> from bounds import sngm
    >>> bound_symbols(sngm.lemma_2)
    'sngm (eta = eta, beta = beta), rounds T'
    """
    algorithm = statement.algorithm
    if algorithm is None:
        return ""
    settings = ", ".join(f"{k} = {v}" for k, v in algorithm.settings.items())
    told = algorithm.rule + (f" ({settings})" if settings else "")
    free = {s.name for s in (*statement.symbols, *statement.prescription)}
    lengths = [
        f"{what} {e}"
        for what, e in (("rounds", algorithm.horizon), ("mini-batch", algorithm.batch))
        if {s.name for s in sp.sympify(e).free_symbols} <= free
    ]
    return ", ".join([told, *lengths])


def _entry(name: str, told: str, width: int) -> str:
    return textwrap.fill(
        " ".join(told.split()), max(width, 40), initial_indent=f"  {name:<9} ",
        subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


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
        "domains": {h.name: str(h.domain) for h in (*s.constants, *s.hyperparameters)},
        "rate": {k.name: str(v) for k, v in s.rate.exponents.items()} if s.rate else None,
        "units": s.units,
        "units_fault": str(s.units_fault) if s.units_fault else None,
        "note": s.note,
        "proof": [step.text for step in s.proof],
    }
