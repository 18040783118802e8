"""``Statement``: a lemma or theorem as a relation between measured quantities and constants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import sympy as sp

from bounds.assumptions import Assumption
from bounds.claim import Claim, Condition, DomainError
from bounds.evaluation import Values, evaluate, symbols_of
from bounds.notation import B, T
from bounds.proof import Step
from bounds.render import latex
from bounds.symbol import Measured, Symbol
from bounds.units import UnitsError, units_of

__all__ = ["Algorithm", "Form", "Rate", "Statement"]

Form = Literal["printed", "repaired"]
_KEY = re.compile(r"\w+(\.\w+)+(@\d+)?", re.ASCII)  # @: a mutant's


@dataclass(frozen=True)
class Algorithm:
    """A rule's registered name, and how the statement's symbols are bound to it.

    Parameters
    ----------
    rule : str
    settings : mapping of str to expression or str
        The rule's fields (an expression in ``t`` is a schedule); a word where a field takes one.
    horizon, batch : expression
        How many rounds are run and how many samples a step takes: the table's ``T``, which every
        claim on a run has, and ``B`` where the statement has that very symbol; else 1.

    >>> from bounds.notation import C, c, ell, t
    >>> Algorithm("sgd", {"eta": c / (t * ell)}).rule
    'sgd'
    >>> Algorithm("sgd", {"eta": 1 / ell}, horizon=C).horizon
    C
    """

    rule: str
    settings: Mapping[str, sp.Expr | str] = field(default_factory=dict)
    horizon: sp.Expr = T
    batch: sp.Expr = B

    def __post_init__(self) -> None:
        object.__setattr__(self, "horizon", sp.sympify(self.horizon))
        object.__setattr__(self, "batch", sp.sympify(self.batch))

    @property
    def bound(self) -> tuple[sp.Expr, ...]:
        """Every expression in which the statement binds the rule, defaults left out."""
        given = [e for e, usual in ((self.horizon, T), (self.batch, B)) if e != usual]
        fields = (sp.sympify(e) for e in self.settings.values() if not isinstance(e, str))
        return (*fields, *given)


@dataclass(frozen=True)
class Rate:
    """Predicted exponents: the bound grows like ``prod symbol**exponent`` along ``scale``.

    ``scale`` is the symbol that grows in an experiment (that shrinks, without ``grows``: an
    accuracy, say); ``along`` says how others follow it (``{T: n**2}``). ``exponents`` are those of
    the bound's leading term.
    """

    scale: Symbol
    exponents: Mapping[Symbol, sp.Expr]
    along: Mapping[Symbol, sp.Expr] = field(default_factory=dict)
    grows: bool = True


@dataclass(frozen=True, eq=False)
class Statement:
    """One claim of one paper, in one form, with all that is needed to check it.

    Parameters
    ----------
    key : str
        ``paper.label`` or ``paper.label.part``, e.g. ``"sngm.theorem_1"``, in letters, digits and
        ``_``: it names files, and stands in the source of scripts.
    label : str
        What the paper calls it: ``"Theorem 1"``.
    form : "printed" or "repaired"
        Exactly as printed, or as it can be proved.
    claim : Claim
        The relation. Its symbols are constants, hyperparameters, measured quantities and
        derived symbols, each derived symbol given by ``prescription``.
    assumptions : tuple of Assumption
        What the objective must certify.
    algorithm : Algorithm, optional
        What is run; ``None`` for relations between points or numbers.
    prescription : mapping of Symbol to expression
        Values the statement itself sets (``eta = 1/(2 ell)``), resolved in order.
    conditions : tuple of Condition
        The domain of validity beyond each symbol's own domain.
    rate : Rate, optional
        Predicted asymptotic exponents.
    trivial : expression, optional
        A value the measured side can never exceed; a larger bound is vacuous.
    burn_in : Symbol, optional
        Of a bound on perturbed twins: the rounds in which the replaced sample may not be drawn.
        Left free it holds for each, and the best is taken.
    text, note : str
        The statement in words; how the repaired form is proved or why the printed one fails.
    proof : tuple of Step
        The steps sympy replays.

    Raises
    ------
    ValueError
        If the key or the form is none, or a part is of another kind.
    """

    key: str
    label: str
    form: Form
    claim: Claim
    assumptions: tuple[Assumption, ...] = ()
    algorithm: Algorithm | None = None
    prescription: Mapping[Symbol, sp.Expr] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    rate: Rate | None = None
    trivial: sp.Expr | None = None
    burn_in: Symbol | None = None
    text: str = ""
    note: str = ""
    proof: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if not (isinstance(self.key, str) and _KEY.fullmatch(self.key)):
            got = str(self.key)[:80]
            raise ValueError(f"a key is PAPER.LABEL, in letters, digits and _; got {got!r}")
        if self.form not in get_args(Form):
            raise ValueError(f"{self.key}: a form is one of {get_args(Form)}, got {self.form!r}")
        method = () if self.algorithm is None else (self.algorithm,)
        parts: tuple[tuple[str, Any, type], ...] = (
            ("claim", (self.claim,), Claim),
            ("assumptions", self.assumptions, Assumption),
            ("algorithm", method, Algorithm),
            ("conditions", self.conditions, Condition),
        )
        for name, items, kind in parts:
            found = items if isinstance(items, tuple | list) else (items,)
            wrong = [item for item in found if not isinstance(item, kind)]
            if wrong or found is not items:
                some = "a tuple of" if name.endswith("s") else "one"
                got = str((wrong or [items])[0])[:80]
                raise ValueError(f"{self.key}: {name} is {some} {kind.__name__}, got {got}")
        for one, other in pairwise(self.symbols):
            if one.name == other.name:
                meant = " and ".join(sorted((repr(one.meaning), repr(other.meaning))))
                raise ValueError(
                    f"{self.key}: two symbols are called {one.name}, {meant}; rename "
                    "one, or give the run's length: Algorithm(..., horizon=...)"
                )

    @property
    def paper(self) -> str:
        """The paper's key: the part of ``key`` before the first dot."""
        return self.key.split(".", 1)[0]

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """Every symbol a value is needed for, by name: constants and hyperparameters.

        Of a claim on a whole run the horizon's are among them, named or not.
        """
        expressions = [self.claim.lhs, self.claim.rhs, *self.prescription.values()]
        expressions += [side for c in self.conditions for side in (c.lhs, c.rhs)]
        expressions += [e for q in self.measured for e in q.parameters.values() if e is not None]
        if self.claim.failure is not None:
            expressions.append(self.claim.failure)
        if self.algorithm is not None:
            expressions += self.algorithm.bound
        free = set().union(*(sp.sympify(e).free_symbols for e in expressions))
        if self.algorithm is not None and any(quantity.of_run for quantity in self.measured):
            free |= self.algorithm.horizon.free_symbols
        free -= set(self.prescription)
        named = {s for s in free if isinstance(s, Symbol) and not isinstance(s, Measured)}
        return tuple(sorted((s for s in named if s.name != "t"), key=lambda s: s.name))

    @cached_property
    def measured(self) -> frozenset[Measured]:
        """Every measured quantity of the claim and of the conditions."""
        return self.claim.measured.union(*(c.measured for c in self.conditions))

    @property
    def lengths(self) -> tuple[Symbol, ...]:
        """The symbols in which the algorithm's horizon and batch are given, ``T`` and ``B`` too."""
        if self.algorithm is None:
            return ()
        free = self.algorithm.horizon.free_symbols | self.algorithm.batch.free_symbols
        return tuple(sorted((s for s in free if isinstance(s, Symbol)), key=lambda s: s.name))

    def rounds(self, values: Values) -> int:
        """How many rounds are run at ``values``: the algorithm's horizon, or 1."""
        return self._number(None if self.algorithm is None else self.algorithm.horizon, values)

    def batch_size(self, values: Values) -> int:
        """How many samples a step takes at ``values``: the algorithm's batch, or 1.

        A claim on mini-batches that names no algorithm speaks of batches of the table's ``B``.
        """
        return self._number(B if self.algorithm is None else self.algorithm.batch, values)

    def _number(self, expression: sp.Expr | None, values: Values) -> int:
        if expression is None:
            return 1
        for symbol in symbols_of(expression):
            # A statement's own symbol that happens to be called T is not the horizon.
            if symbol.name not in values or self._own.get(symbol.name, symbol) != symbol:
                return 1
        return max(1, round(float(evaluate(expression, values))))

    @cached_property
    def _own(self) -> Mapping[str, Symbol]:
        return {s.name: s for s in (*self.symbols, *self.prescription)}

    @cached_property
    def constants(self) -> tuple[Symbol, ...]:
        """The symbols the objective must certify, those of the assumptions included."""
        needed = {s for s in self.symbols if s.role == "constant"}
        needed |= {s for a in self.assumptions for s in a.constants}
        return tuple(sorted(needed, key=lambda s: s.name))

    @cached_property
    def hyperparameters(self) -> tuple[Symbol, ...]:
        """The symbols left to the experimenter."""
        return tuple(s for s in self.symbols if s.role != "constant")

    def resolve(self, values: Values) -> dict[str, Any]:
        """``values`` completed by the prescription; values given explicitly are kept.

        Raises
        ------
        KeyError
            If a value is missing; the message names the symbol and its meaning.
        """
        resolved = dict(values)
        for symbol, expression in self.prescription.items():
            if symbol.name not in resolved:
                resolved[symbol.name] = evaluate(expression, resolved)
        return resolved

    def validate(self, values: Values) -> dict[str, Any]:
        """Resolve ``values`` and check every symbol's domain and every condition.

        Raises
        ------
        DomainError
            Naming the condition and the offending value.
        """
        resolved = self.resolve(values)
        for symbol in (*self.symbols, *self.prescription):
            if symbol.name in resolved and not symbol.domain.contains(resolved[symbol.name]):
                raise DomainError(
                    f"{self.key}: {symbol.name} ({symbol.meaning}) must lie in {symbol.domain}, "
                    f"got {_show(resolved[symbol.name])}"
                )
        for condition in self.conditions:
            if not condition.measured and not condition.holds(resolved):
                got = (name for name in condition.names if name in resolved)
                shown = ", ".join(f"{name} = {_show(resolved[name])}" for name in got)
                raise DomainError(f"{self.key} requires {condition}, got {shown}")
        return resolved

    def bound(self, values: Values) -> Any:
        """The right side at ``values`` (numbers or arrays that broadcast), inside the domain.

        Raises
        ------
        DomainError
            If a value lies outside the statement's domain.
        KeyError
            If a symbol has no value.
        """
        return evaluate(self.claim.rhs, self.validate(values))

    @cached_property
    def units_fault(self) -> UnitsError | None:
        """Why the two sides' units disagree, or ``None`` if they agree."""
        try:
            for condition in self.conditions:
                if condition.measured:
                    self._alike(condition.lhs, condition.rhs)
            if self.claim.failure is not None:
                self._alike(self.claim.failure, sp.Integer(1))
            lhs, rhs = (units_of(self.expanded(side)) for side in (self.claim.lhs, self.claim.rhs))
        except UnitsError as fault:
            return fault
        if lhs != rhs and not (self.claim.rhs == 0 or self.claim.lhs == 0):
            return UnitsError(
                f"left side has units {lhs}, right side {rhs}", (self.claim.lhs, self.claim.rhs)
            )
        return None

    def _alike(self, left: sp.Expr, right: sp.Expr) -> None:
        units_of(sp.Max(self.expanded(left), self.expanded(right), evaluate=False))

    @property
    def units(self) -> Literal["consistent", "inconsistent"]:
        """Whether both sides scale alike under ``f -> a f`` and ``w -> b w``."""
        return "consistent" if self.units_fault is None else "inconsistent"

    def expanded(self, expression: sp.Expr) -> sp.Expr:
        """``expression`` with every prescribed symbol put in."""
        # A prescribed symbol stands for its expression: eta = B/sqrt(C) has no units of a step.
        for symbol in reversed(list(self.prescription)):
            expression = expression.xreplace({symbol: sp.sympify(self.prescription[symbol])})
        return expression

    def __str__(self) -> str:
        return f"{self.key} ({self.form}): {self.claim}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {latex(self)}$"


def _show(value: Any) -> str:
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{array.item():.6g}"
    return f"an array from {array.min():.6g} to {array.max():.6g}"
