"""What statements are made of, and what they are checked on, from the registries.

Every symbol, measured quantity and assumption; every method and family of objectives.

Each but a family is listed with the number of registered statements that use it; those of a package
of one's own come with its statements.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from types import ModuleType
from typing import Any, Literal, final

import pandas as pd

import bounds.assumptions
import bounds.notation
import bounds.quantities
from bounds.assumptions import Assumption
from bounds.symbol import Measured, Symbol
from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.quantities import quantities as measured_quantities
from theorylab.studies.report import Report

__all__ = [
    "Glossary", "Kind", "Term", "assumptions", "glossary", "objectives", "quantities", "rules",
    "symbols",
]  # fmt: skip

Kind = Literal["symbols", "quantities", "assumptions", "rules", "objectives"]


@final
@dataclass(frozen=True)
class Term:
    """One symbol, quantity, assumption, method or family of objectives.

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
        What an assumption asks an objective to certify; what a family's default instance does.
    statements : tuple of str
        Keys of the registered statements that use it.
    python : str
        The import that gives it; empty where there is none.
    fields : tuple of str
        A method's, which a statement's ``Algorithm`` binds.
    declared : tuple of str
        Assumptions without constants that a family's default instance satisfies.
    """

    name: str
    meaning: str
    latex: str = ""
    domain: str = ""
    units: str = ""
    role: str = ""
    constants: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    python: str = ""
    fields: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()


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
        """Those whose name or meaning contains the word; of families, first those that certify it.

        >>> [term.name for term in quantities().matching("regret")]
        ['regret']
        """
        low = word.lower()
        able = tuple(t for t in self.terms if word in (*t.constants, *t.declared))
        if self.kind == "objectives" and able:
            return Glossary(self.kind, able)
        kept = (t for t in self.terms if low in t.name.lower() or low in t.meaning.lower())
        return Glossary(self.kind, tuple(kept))

    def to_pandas(self) -> pd.DataFrame:
        columns = {
            "symbols": ("name", "import", "meaning", "domain", "units", "role"),
            "quantities": ("name", "meaning", "units"),
            "assumptions": ("name", "import", "meaning", "constants"),
            "rules": ("name", "meaning", "fields"),
            "objectives": ("name", "meaning", "constants", "declared"),
        }[self.kind]
        if self.kind != "objectives":
            columns = (*columns, "statements")
        rows = [[_cell(term, column) for column in columns] for term in self.terms]
        return pd.DataFrame(rows, columns=columns)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            self.kind: [
                {"name": t.name, "meaning": t.meaning, "latex": t.latex, "domain": t.domain,
                 "units": t.units, "role": t.role, "constants": list(t.constants),
                 "statements": list(t.statements), "python": t.python,
                 "fields": list(t.fields), "declared": list(t.declared)}
                for t in self.terms
            ],
        }  # fmt: skip


def _cell(term: Term, column: str) -> str | int:
    if column == "statements":
        return len(term.statements)
    if column == "import":
        return term.python.rsplit(" ", 1)[-1]
    value: str | tuple[str, ...] = getattr(term, column)
    return ", ".join(value) if isinstance(value, tuple) else value


def _imports(module: ModuleType) -> dict[Any, str]:
    """Each term of a module, and the line that imports it."""
    return {
        item: f"from {module.__name__} import {name}"
        for name, item in vars(module).items()
        if isinstance(item, Symbol | Assumption) and not name.startswith("_")
    }


def symbols() -> Glossary:
    """Every symbol of the symbol table and of the registered statements, by name.

    >>> [term.meaning for term in symbols() if term.name == "ell"]
    ['Lipschitz constant of the gradient (smoothness)']
    """
    found: dict[tuple[str, str], tuple[Symbol, set[str]]] = {}
    imports = _imports(bounds.notation)
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
             statements=tuple(sorted(keys)), python=imports.get(s, ""))
        for s, keys in (found[place] for place in sorted(found, key=_by_name))
    ))  # fmt: skip


def quantities() -> Glossary:
    """Every measured quantity, by name.

    >>> [term.units for term in quantities() if term.name == "final_suboptimality"]
    ['F']
    """
    imports = _imports(bounds.quantities)
    table: dict[str, tuple[Measured, set[str]]] = {
        name: (quantity, set()) for name, quantity in measured_quantities().items()
    }
    for statement in registry.statements().values():
        for quantity in statement.measured:
            table.setdefault(quantity.name, (quantity, set()))[1].add(statement.key)
    return Glossary("quantities", tuple(
        Term(q.name, q.meaning, q.latex, units=str(q.units), statements=tuple(sorted(keys)),
             python=imports.get(q, ""))
        for q, keys in (table[name] for name in sorted(table))
    ))  # fmt: skip


def assumptions() -> Glossary:
    """Every assumption, by name, with the constants that an objective must certify.

    >>> [term.constants for term in assumptions() if term.name == "bounded_variance"]
    [('sigma',)]
    """
    imports = _imports(bounds.assumptions)
    table: dict[str, tuple[Assumption, set[str]]] = {
        a.name: (a, set()) for a in imports if isinstance(a, Assumption)
    }
    for statement in registry.statements().values():
        for assumption in statement.assumptions:
            table.setdefault(assumption.name, (assumption, set()))[1].add(statement.key)
    return Glossary("assumptions", tuple(
        Term(a.name, a.text, constants=tuple(s.name for s in a.constants),
             statements=tuple(sorted(keys)), python=imports.get(a, ""))
        for a, keys in (table[name] for name in sorted(table))
    ))  # fmt: skip


def rules() -> Glossary:
    """Every method that a statement's ``Algorithm`` may name, with its fields.

    >>> [term.fields for term in rules() if term.name == "sgd"]
    [('eta', 'weight_decay')]
    """
    used: dict[str, set[str]] = {}
    for statement in registry.statements().values():
        if statement.algorithm is not None:
            used.setdefault(statement.algorithm.rule, set()).add(statement.key)
    return Glossary("rules", tuple(
        Term(name, _summary(rule), fields=tuple(f.name for f in fields(rule) if f.init),
             statements=tuple(sorted(used.get(name, ()))),
             python=f"from {rule.__module__} import {rule.__name__}")
        for name, rule in sorted(registry.rules().items())
    ))  # fmt: skip


def objectives() -> Glossary:
    """Every family of objectives: what its first default instance certifies and satisfies.

    >>> [t.name for t in objectives().matching("L0")]
    ['cosh_sum', 'relaxed_smooth']
    """
    terms = []
    for name, family in sorted(registry.families().items()):
        one = family.build(**family.defaults[0]) if family.defaults else None
        constants = () if one is None else {*one.constants(), *one.worker_constants()}
        declared = () if one is None else one.declared
        terms.append(Term(name, _summary(family.build), constants=tuple(sorted(constants)),
                          declared=tuple(sorted(declared))))  # fmt: skip
    return Glossary("objectives", tuple(terms))


def _summary(item: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    text = inspect.getdoc(item.func if isinstance(item, partial) else item) or ""
    text = re.sub(r":\w+:`([^`]+)`", r"\1", text.split("\n\n")[0].replace("``", ""))
    return " ".join(text.split())


def glossary(kind: Kind) -> Glossary:
    """The glossary of a kind.

    >>> len(glossary("assumptions")) > 10
    True
    """
    makers = {"symbols": symbols, "quantities": quantities, "assumptions": assumptions,
              "rules": rules, "objectives": objectives}  # fmt: skip
    if kind not in makers:
        raise UsageError(f"glossary: expected one of {', '.join(makers)}, got {kind!r}")
    return makers[kind]()


def _by_name(place: tuple[str, str]) -> tuple[str, str, str]:
    name, meaning = place
    return name.lower(), name, meaning
