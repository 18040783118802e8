"""``Claim`` and ``Condition``: what a statement says of measured quantities, and where."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import sympy as sp

from bounds.evaluation import Values, evaluate
from bounds.symbol import Measured

__all__ = ["Claim", "Condition", "DomainError", "Mode"]

Sense = Literal["<=", ">=", "=="]
Comparison = Literal["<=", "<", ">=", ">"]
Mode = Literal["in expectation", "every run", "with probability", "O(.)"]


class DomainError(ValueError):
    """A value outside the domain in which a statement claims anything."""


@dataclass(frozen=True)
class Condition:
    """A side condition such as ``eta <= 1/(2 ell)``, kept as the paper writes it.

    It may name measured quantities (``distance <= 1/lambda``): it then restricts the instances
    measured, not the domain of the values. A value that a theorem fixes is no condition: it is
    bound in the algorithm, ``Algorithm("sgd", {"eta": 1 / ell})``, or prescribed.

    Raises
    ------
    ValueError
        If there is no such comparison.

    >>> from bounds.notation import L1
    >>> from bounds.quantities import distance
    >>> Condition(distance, "<=", 1 / L1).measured
    frozenset({distance})
    """

    lhs: sp.Expr
    op: Comparison
    rhs: sp.Expr

    def __post_init__(self) -> None:
        if self.op not in get_args(Comparison):
            raise ValueError(
                f"a condition compares by one of {get_args(Comparison)}, got {self.op!r}; to fix a "
                "value, bind it (Algorithm(rule, {field: value})) or prescribe it "
                "(Statement(prescription={symbol: value}))"
            )
        object.__setattr__(self, "lhs", sp.sympify(self.lhs))
        object.__setattr__(self, "rhs", sp.sympify(self.rhs))

    @cached_property
    def measured(self) -> frozenset[Measured]:
        """The measured quantities it names."""
        return frozenset((self.lhs + self.rhs).atoms(Measured))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all its symbols, in order."""
        return tuple(sorted(s.name for s in self.lhs.free_symbols | self.rhs.free_symbols))

    def holds(self, values: Values) -> bool:
        """Whether it holds at every entry of ``values`` (a rounding error is forgiven)."""
        return bool(np.all(self.met(values)))

    def met(self, values: Values) -> np.ndarray:
        """Where it holds, entry by entry of ``values`` (a rounding error is forgiven)."""
        left, right = evaluate(self.lhs, values), evaluate(self.rhs, values)
        slack = 1e-12 * np.maximum(np.abs(left), np.abs(right))
        if self.op in ("<=", "<"):
            return np.asarray(left < right if self.op == "<" else left <= right + slack)
        return np.asarray(left > right if self.op == ">" else left + slack >= right)

    def __str__(self) -> str:
        return self._shown

    @cached_property
    def _shown(self) -> str:  # sympy writes slowly, and every point outside the domain is told why
        return f"{self.lhs} {self.op} {self.rhs}"


@dataclass(frozen=True)
class Claim:
    """``lhs sense rhs``, in a mode.

    Parameters
    ----------
    lhs, sense, rhs
        The relation.
    big_o : bool
        Short for the mode ``"O(.)"``: the right side is known only up to a constant factor.
    mode : str
        ``"in expectation"`` (the default): the measured quantities are means over the method's
        randomness. ``"every run"``: the relation holds of each run's own numbers.
        ``"with probability"``: of a run's own numbers, except with probability ``failure``.
    failure : expression, optional
        The p of "with probability at least 1 - p".

    Raises
    ------
    ValueError
        If there is no such sense or mode; if ``failure`` is missing where the mode needs it, or
        given where it does not.

    >>> from bounds.notation import beta
    >>> from bounds.quantities import buffer_norm
    >>> print(Claim(buffer_norm, "<=", 1 / (1 - beta), mode="every run"))
    buffer_norm <= 1/(1 - beta) in every run
    """

    lhs: sp.Expr
    sense: Sense
    rhs: sp.Expr
    big_o: bool = False
    mode: Mode = "in expectation"
    failure: sp.Expr | None = None

    def __post_init__(self) -> None:
        if self.sense not in get_args(Sense):
            raise ValueError(f"a claim's sense is one of {get_args(Sense)}, got {self.sense!r}")
        if self.mode not in get_args(Mode):
            raise ValueError(f"a claim's mode is one of {get_args(Mode)}, got {self.mode!r}")
        object.__setattr__(self, "lhs", sp.sympify(self.lhs))
        object.__setattr__(self, "rhs", sp.sympify(self.rhs))
        if self.big_o and self.mode == "in expectation":
            object.__setattr__(self, "mode", "O(.)")
        object.__setattr__(self, "big_o", self.mode == "O(.)")
        if (self.failure is not None) != (self.mode == "with probability"):
            raise ValueError(
                f"a claim {self.mode} "
                + (
                    "needs its failure, the p of 1 - p"
                    if self.failure is None
                    else "has no probability of failure"
                )
            )
        if self.failure is not None:
            object.__setattr__(self, "failure", sp.sympify(self.failure))

    @cached_property
    def measured(self) -> frozenset[Measured]:
        """Every measured quantity on either side."""
        return frozenset(self.lhs.atoms(Measured) | self.rhs.atoms(Measured))

    @cached_property
    def sides(self) -> tuple[sp.Expr, sp.Expr]:
        """The claim as ``measured <= bound``: measured terms left, certified terms right.

        If nothing certified stands alone (or nothing is measured), the sides stay as printed.

        >>> from bounds.notation import eta, sigma
        >>> from bounds.quantities import decrease, gradient_norm_squared as g2
        >>> claim = Claim(decrease, ">=", eta * g2 / 2 - eta * sigma**2 / 4)
        >>> claim.sides
        (-decrease + gradient_norm_squared*eta/2, eta*sigma**2/4)
        """
        small, large = (self.lhs, self.rhs) if self.sense != ">=" else (self.rhs, self.lhs)
        if not self.measured:
            return small, large
        if not (small.atoms(Measured) and not large.atoms(Measured)):
            terms = sp.Add.make_args(sp.expand(small - large, deep=False))
            moved = [term for term in terms if term.atoms(Measured)]
            alone = [term for term in terms if not term.atoms(Measured)]
            if alone:
                return sp.Add(*moved), -sp.Add(*alone)
        return small, large

    def __str__(self) -> str:
        rhs = f"O({self.rhs})" if self.big_o else str(self.rhs)
        ending = {
            "every run": " in every run",
            "with probability": f" with probability at least 1 - {self.failure}",
        }.get(self.mode, "")
        return f"{self.lhs} {self.sense} {rhs}{ending}"
