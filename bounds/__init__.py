"""Lemmas and theorems as data: symbols with units, claims, assumptions, rates and proofs."""

from bounds.assumptions import Assumption
from bounds.claim import Claim, Condition, DomainError, Mode
from bounds.statement import Algorithm, Rate, Statement
from bounds.symbol import Domain, Measured, Symbol
from bounds.units import Units, UnitsError, units_of

__all__ = [
    "Algorithm", "Assumption", "Claim", "Condition", "Domain", "DomainError", "Measured", "Mode",
    "Rate", "Statement", "Symbol", "Units", "UnitsError", "units_of",
]  # fmt: skip
