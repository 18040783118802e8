"""What statements are made of: every symbol, measured quantity and assumption, from the registries.

Each is listed with the number of registered statements that use it; those of a package of one's
own come with its statements.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, final

import pandas as pd

import bounds.assumptions
import bounds.notation
from bounds.assumptions import Assumption
from bounds.symbol import Measured, Symbol
from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.quantities import quantities as measured_quantities
from theorylab.studies.report import Report

__all__ = ["Glossary", "Kind", "Term", "assumptions", "glossary", "quantities", "symbols"]

Kind = Literal["symbols", "quantities", "assumptions"]


@final
@dataclass(frozen=True)
class Term:
    """One symbol, quantity or assumption.

    Attributes
    ----------
    name : str
        As Python and tables of values call it.
    meaning : str
        In a phrase; for an assumption the condition itself.
    latex : str
        How it is typeset; empty for an assumption.
    domain, units, role : str
        A symbol's; empty where there is none. ``units`` are powers of F, the unit of value, and
        X, the unit of length.
    constants : tuple of str
        What an assumption asks an objective to certify.
    statements : tuple of str
        Keys of the registered statements that use it.
    """

    name: str
    meaning: str
    latex: str = ""
    domain: str = ""
    units: str = ""
    role: str = ""
    constants: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Glossary(Report):
    """The terms of one kind, by name."""

    kind: Kind
    terms: tuple[Term, ...]

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def __len__(self) -> int:
        return len(self.terms)

    def matching(self, word: str) -> Glossary:
        """Those whose name or meaning contains the word.

        >>> [term.name for term in quantities().matching("regret")]
        ['regret']
        """
        low = word.lower()
        kept = (t for t in self.terms if low in t.name.lower() or low in t.meaning.lower())
        return Glossary(self.kind, tuple(kept))

    def to_pandas(self) -> pd.DataFrame:
        columns = {
            "symbols": ("name", "meaning", "domain", "units", "role"),
            "quantities": ("name", "meaning", "units"),
            "assumptions": ("name", "meaning", "constants"),
        }[self.kind]
        rows = [
            [", ".join(t.constants) if c == "constants" else getattr(t, c) for c in columns]
            + [len(t.statements)]
            for t in self.terms
        ]
        return pd.DataFrame(rows, columns=[*columns, "statements"])

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            self.kind: [
                {"name": t.name, "meaning": t.meaning, "latex": t.latex, "domain": t.domain,
                 "units": t.units, "role": t.role, "constants": list(t.constants),
                 "statements": list(t.statements)}
                for t in self.terms
            ],
        }  # fmt: skip


def symbols() -> Glossary:
    """Every symbol of the symbol table and of the registered statements, by name.

    >>> [term.meaning for term in symbols() if term.name == "ell"]
    ['Lipschitz constant of the gradient (smoothness)']
    """
    found: dict[tuple[str, str], tuple[Symbol, set[str]]] = {}
    for name in bounds.notation.__all__:
        item = getattr(bounds.notation, name)
        if isinstance(item, Symbol):
            found[item.name, item.meaning] = (item, set())
    for statement in registry.statements().values():
        for item in (*statement.symbols, *statement.constants, *statement.prescription):
            kept = found.setdefault((item.name, item.meaning), (item, set()))
            kept[1].add(statement.key)
    return Glossary("symbols", tuple(
        Term(s.name, s.meaning, s.latex, str(s.domain), str(s.units), s.role,
             statements=tuple(sorted(keys)))
        for s, keys in (found[place] for place in sorted(found, key=_by_name))
    ))  # fmt: skip


def quantities() -> Glossary:
    """Every measured quantity, by name.

    >>> [term.units for term in quantities() if term.name == "final_suboptimality"]
    ['F']
    """
    table: dict[str, tuple[Measured, set[str]]] = {
        name: (quantity, set()) for name, quantity in measured_quantities().items()
    }
    for statement in registry.statements().values():
        for quantity in statement.measured:
            table.setdefault(quantity.name, (quantity, set()))[1].add(statement.key)
    return Glossary("quantities", tuple(
        Term(q.name, q.meaning, q.latex, units=str(q.units), statements=tuple(sorted(keys)))
        for q, keys in (table[name] for name in sorted(table))
    ))  # fmt: skip


def assumptions() -> Glossary:
    """Every assumption, by name, with the constants that an objective must certify.

    >>> [term.constants for term in assumptions() if term.name == "bounded_variance"]
    [('sigma',)]
    """
    known = [item for item in vars(bounds.assumptions).values() if isinstance(item, Assumption)]
    table: dict[str, tuple[Assumption, set[str]]] = {a.name: (a, set()) for a in known}
    for statement in registry.statements().values():
        for assumption in statement.assumptions:
            table.setdefault(assumption.name, (assumption, set()))[1].add(statement.key)
    return Glossary("assumptions", tuple(
        Term(a.name, a.text, constants=tuple(s.name for s in a.constants),
             statements=tuple(sorted(keys)))
        for a, keys in (table[name] for name in sorted(table))
    ))  # fmt: skip


def glossary(kind: Kind) -> Glossary:
    """The glossary of a kind.

    >>> len(glossary("assumptions")) > 10
    True
    """
    makers = {"symbols": symbols, "quantities": quantities, "assumptions": assumptions}
    if kind not in makers:
        raise UsageError(f"glossary: expected one of {', '.join(makers)}, got {kind!r}")
    return makers[kind]()


def _by_name(place: tuple[str, str]) -> tuple[str, str, str]:
    name, meaning = place
    return name.lower(), name, meaning
