"""Statements weakened on purpose: each mutant claims a little more than its statement.

A constant or a whole bound scaled down, an exponent off by 1/4 or 1/2, a term or a condition
dropped. Some mutants are still true.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from bounds.claim import Claim
from bounds.statement import Statement
from bounds.symbol import Measured, Symbol
from bounds.units import DIMENSIONLESS

__all__ = ["FACTORS", "Mutant", "mutants"]

FACTORS = (0.9, 0.75, 0.5)


@dataclass(frozen=True)
class Mutant:
    """A statement made false, or at least bolder, on purpose.

    Attributes
    ----------
    statement : Statement
        Its key is the original's with ``@`` and what was done.
    kind : str
        ``"bound"`` (the whole bound scaled), ``"constant"`` (one of its terms scaled),
        ``"exponent"``, ``"term"`` (dropped) or ``"condition"`` (dropped).
    factor : float
        For ``"bound"`` and ``"constant"``; otherwise 1.
    detail : str
    part : str
        What was changed: mutants with the same part and a smaller factor claim more.
    """

    statement: Statement
    kind: str
    factor: float
    detail: str
    part: str


def mutants(statement: Statement) -> list[Mutant]:
    """Every mutant of a statement.

    Examples
    --------
    >>> from bounds.notation import B, Delta, T, ell, sigma
    >>> from bounds.quantities import mean_gradient_norm_squared
    >>> demo = Statement("demo.t", "Theorem", "repaired",
    ...     Claim(mean_gradient_norm_squared, "<=", 8*ell*Delta/(3*T) + sigma**2/(3*B)))
    >>> sorted(m.detail for m in mutants(demo) if m.kind == "term")
    ['8*Delta*ell/(3*T) dropped', 'sigma**2/(3*B) dropped']
    """
    found: list[Mutant] = []

    def add(kind: str, detail: str, factor: float = 1.0, **changes: Any) -> None:
        key = f"{statement.key}@{len(found) + 1}"
        part = f"{kind} {detail.removesuffix(f' x {factor:g}')}"
        changed = dataclasses.replace(statement, key=key, **changes)
        found.append(Mutant(changed, kind, factor, detail, part))

    for detail, kind, factor, claim in _claims(statement):
        add(kind, detail, factor, claim=claim)
    for k, condition in enumerate(statement.conditions):
        left = statement.conditions[:k] + statement.conditions[k + 1 :]
        add("condition", f"{condition} dropped", conditions=left)
    return found


def _claims(statement: Statement) -> list[tuple[str, str, float, Claim]]:
    claim = statement.claim
    small, large = claim.sides
    sense = "==" if claim.sense == "==" else "<="
    if sense == "==":
        small, large = claim.lhs, claim.rhs
    terms = [t for t in sp.Add.make_args(large) if t != 0]
    if not terms or claim.big_o:
        return []
    found = []

    def claimed(kept: Sequence[sp.Expr]) -> Claim:
        return Claim(small, sense, sp.Add(*kept, evaluate=len(kept) != 1))  # type: ignore[arg-type]

    for factor in FACTORS:
        r = sp.Rational(str(factor))
        scaled = [_scaled(t, r, sense) for t in terms]
        found.append((f"all x {factor:g}", "bound", factor, claimed(scaled)))
        if len(terms) > 1:
            found += [
                (f"{t} x {factor:g}", "constant", factor,
                 claimed([*terms[:k], _scaled(t, r, sense), *terms[k + 1 :]]))
                for k, t in enumerate(terms)
            ]  # fmt: skip
    if len(terms) > 1 and sense == "<=":
        found += [
            (f"{t} dropped", "term", 1.0, claimed([*terms[:k], *terms[k + 1 :]]))
            for k, t in enumerate(terms) if not t.could_extract_minus_sign()
        ]  # fmt: skip
    for k, term in enumerate(terms):
        if term.could_extract_minus_sign():
            continue
        for symbol in sorted(term.free_symbols, key=str):
            if isinstance(symbol, Measured) or not isinstance(symbol, Symbol):
                continue
            # A dimensional symbol's exponent is caught by the units alone.
            if symbol.units != DIMENSIONLESS or not symbol.domain.integer:
                continue
            for power in (sp.Rational(1, 4), sp.Rational(1, 2)):
                bolder = term * symbol**-power
                detail = f"{symbol}**(-{power}) times {term}"
                found.append(
                    (detail, "exponent", 1.0, claimed([*terms[:k], bolder, *terms[k + 1 :]]))
                )
    return found


def _scaled(term: sp.Expr, factor: sp.Expr, sense: str) -> sp.Expr:
    """The term moved so that the claim says more: a negative one grows."""
    grows = sense == "<=" and term.could_extract_minus_sign()
    return term / factor if grows else term * factor
