"""Sympy symbols that know what they mean: ``Symbol``, a number; ``Measured``, a measurement."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import sympy as sp
from sympy.printing.latex import greek_letters_set, tex_greek_dictionary, translate

from bounds.path import PathOf
from bounds.units import DIMENSIONLESS, Units

__all__ = ["COUNT", "POSITIVE", "REAL", "UNIT_INTERVAL", "Domain", "Measured", "Symbol"]

Role = Literal["constant", "hyperparameter", "derived"]


@dataclass(frozen=True)
class Domain:
    """The set a symbol's value must lie in: an interval, of integers or of reals, never infinite.

    Sympy assumptions cannot do this job: with a positive symbol ``eta > 0`` collapses to
    ``True`` and a negative value would then pass unchecked.

    >>> print(Domain(0, 1, lower_open=True), Domain(1, integer=True))
    (0, 1] {1, 2, ...}
    >>> Domain(0, 1).contains(1.5)
    False
    """

    lower: float = -math.inf
    upper: float = math.inf
    lower_open: bool = False
    upper_open: bool = False
    integer: bool = False

    def contains(self, value: Any) -> bool:
        """Whether every entry of ``value`` (a number or an array) lies in the domain."""
        if isinstance(value, float):  # as points of a domain are: no arrays for one number
            low = value > self.lower if self.lower_open else value >= self.lower
            high = value < self.upper if self.upper_open else value <= self.upper
            return low and high and math.isfinite(value) and not (self.integer and value % 1)
        array = np.asarray(value, dtype=float)
        above = array > self.lower if self.lower_open else array >= self.lower
        below = array < self.upper if self.upper_open else array <= self.upper
        whole = array == np.round(array) if self.integer else True
        return bool(np.all(above & below & whole & np.isfinite(array)))

    def __str__(self) -> str:
        if self.integer:
            end = "..." if math.isinf(self.upper) else f"..., {self.upper:g}"
            return f"{{{self.lower:g}, {self.lower + 1:g}, {end}}}".replace(", ..., ", ", ..., ")
        left = "(" if self.lower_open or math.isinf(self.lower) else "["
        right = ")" if self.upper_open or math.isinf(self.upper) else "]"
        return f"{left}{self.lower:g}, {self.upper:g}{right}"


REAL = Domain()
POSITIVE = Domain(0, lower_open=True)
COUNT = Domain(1, integer=True)
UNIT_INTERVAL = Domain(0, 1, upper_open=True)

_NAMED = {"ell": r"\ell", "lam": r"\lambda", "eps": r"\epsilon"}
_ESCAPED = re.compile(r"([%&#${}])")


class Symbol(sp.Symbol):
    """A number that appears in a statement, with its meaning, domain and units.

    Parameters
    ----------
    name : str
        The plain name, used as the key in every table of values (``"eta"``).
    meaning : str
        What it is, in one phrase.
    domain : Domain
        Values outside are refused by :meth:`bounds.Statement.bound`.
    units : Units
        How it scales with ``f`` and ``w``.
    role : "constant", "hyperparameter" or "derived"
        A constant is certified by the objective, a hyperparameter is chosen by the
        experimenter, a derived symbol is always given by a prescription.
    latex : str
        How it is typeset, in mathematical mode; if empty, as the name says: ``eta_max`` as
        ``\\eta_{\\mathrm{max}}``.
    typical : tuple of float
        Values worth trying where no statement says otherwise, in natural units (the
        objective's own units of ``f`` and ``w``); its domain's corners are always tried.

    Raises
    ------
    ValueError
        If the braces or dollar signs of ``latex`` would break the formulas that it is part of.

    Examples
    --------
    >>> eta = Symbol("eta", "step size", POSITIVE, Units(F=-1, X=2), latex=r"\\eta")
    >>> eta.domain.contains(-1.0), str(eta.units)
    (False, 'X^2/F')
    >>> print(Symbol("eta_max").latex, Symbol("worst_case").latex)
    \\eta_{\\mathrm{max}} \\mathrm{worst\\ case}
    """

    __slots__ = ("_content", "domain", "latex", "meaning", "role", "typical", "units")

    meaning: str
    domain: Domain
    units: Units
    role: Role
    latex: str
    typical: tuple[float, ...]
    _content: tuple[Any, ...]

    def __new__(
        cls,
        name: str,
        meaning: str = "",
        domain: Domain = REAL,
        units: Units = DIMENSIONLESS,
        role: Role = "hyperparameter",
        latex: str = "",
        typical: tuple[float, ...] = (),
    ) -> Symbol:
        positive = domain.lower > 0 or (domain.lower == 0 and domain.lower_open)
        assumptions: dict[str, bool] = {"real": True}
        if domain.integer:
            assumptions["integer"] = True
        if positive:
            assumptions["positive"] = True
        elif domain.lower >= 0:
            assumptions["nonnegative"] = True
        self = sp.Symbol.__xnew__(cls, name, **assumptions)
        self.meaning, self.domain, self.units, self.role = meaning, domain, units, role
        self.latex, self.typical = _whole(name, latex) if latex else _typeset(name), typical
        # Sympy caches expressions by equality: were two symbols of one name but different units
        # equal, cached expressions of one would carry the units of the other. Strings, because
        # sympy also orders symbols by these entries; made once, because it compares all the time.
        own = (str(domain), str(units), role, self.latex, meaning)
        self._content = (*sp.Symbol._hashable_content(self), *own)
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return self._definition(), {}

    def _hashable_content(self) -> tuple[Any, ...]:
        return self._content

    def _definition(self) -> tuple[Any, ...]:
        return (
            self.name,
            self.meaning,
            self.domain,
            self.units,
            self.role,
            self.latex,
            self.typical,
        )

    def __getstate__(self) -> None:
        return None

    def _latex(self, printer: Any) -> str:
        return self.latex


def _typeset(name: str) -> str:
    """A name in LaTeX: a letter with what follows as its index, or words."""
    head, *rest = (_ESCAPED.sub(r"\\\1", part) for part in re.split("_+", name.strip("_")))
    letter = _letter(head)
    if letter is None:
        words = r"\ ".join([head, *rest])
        return rf"\mathrm{{{words}}}"
    index = ",".join(_letter(p) or (p if p.isdigit() else rf"\mathrm{{{p}}}") for p in rest)
    return f"{letter}_{{{index}}}" if index else letter


def _letter(word: str) -> str | None:
    """A letter by itself or by its name; ``None`` of any other word."""
    known = len(word) == 1 or word in greek_letters_set or word in tex_greek_dictionary
    return _NAMED.get(word, translate(word) if known else None)


def _whole(name: str, latex: str) -> str:
    """What may stand inside a formula: its braces are closed, and nothing leaves the mode."""
    marks = re.findall(r"(?<!\\)(?:\\\\)*([{}$])", latex)
    depth = [1 if m == "{" else -1 for m in marks if m != "$"]
    if "$" in marks or sum(depth) != 0 or min(accumulate(depth), default=0) < 0:
        raise ValueError(f"{name}: braces that close and no $ required in latex, got {latex!r}")
    return latex


class Measured(Symbol):
    """A quantity that must be measured.

    One of a whole run says in ``path`` what it is made of, and every way of measuring it reads
    that. The measurements of the others are found by name in :mod:`theorylab.quantities`.

    Parameters
    ----------
    name, meaning, units, latex
        As of a :class:`Symbol`.
    nonnegative : bool
        Whether it can never fall below 0.
    path : PathOf, optional
    parameters : mapping of str to expression, optional
        What its definition leaves open (the step of a gradient mapping), each with the
        expression that it is at; ``None`` where a statement must say (:meth:`bind`).
    of_run : bool, optional
        Whether it depends on how long the run is; by default where its path does. A statement on
        it is about every horizon, whether it names ``T`` or not.

    Examples
    --------
    >>> Measured("gradient_norm_squared", "||grad F(w_t)||^2", Units(F=2, X=-2)).name
    'gradient_norm_squared'
    >>> print(Measured("worst_value", path=PathOf("max", "value", "0..T")).path)
    max of value at 0..T
    """

    __slots__ = ("of_run", "parameters", "path")

    of_run: bool
    path: PathOf | None
    parameters: Mapping[str, sp.Expr | None]

    def __new__(
        cls,
        name: str,
        meaning: str = "",
        units: Units = DIMENSIONLESS,
        latex: str = "",
        nonnegative: bool = False,
        path: PathOf | None = None,
        parameters: Mapping[str, Any] | None = None,
        of_run: bool | None = None,
    ) -> Measured:
        domain = Domain(0) if nonnegative else REAL
        self: Measured = Symbol.__new__(cls, name, meaning, domain, units, "derived", latex)
        self.path = path
        along = path is not None and any(part.times != "0" for part in path.parts)
        self.of_run = along if of_run is None else of_run
        given = (parameters or {}).items()
        self.parameters = MappingProxyType(
            {key: None if value is None else sp.sympify(value) for key, value in given}
        )
        bound = tuple(f"{key} = {value}" for key, value in self.parameters.items())
        self._content = (*self._content, str(path), self.of_run, *bound)
        return self

    def bind(self, **parameters: Any) -> Measured:
        """The same quantity with parameters of its definition bound to a statement's symbols.

        Raises
        ------
        ValueError
            If it has no such parameter.

        Examples
        --------
        >>> from bounds.notation import eta
        >>> gap = Measured("gap", parameters={"step": None})
        >>> dict(gap.bind(step=eta / 2).parameters)
        {'step': eta/2}
        """
        for key in parameters.keys() - self.parameters.keys():
            known = ", ".join(self.parameters) or "none"
            raise ValueError(f"{self.name} has no parameter {key}; it has {known}")
        return Measured(
            self.name, self.meaning, self.units, self.latex, self.domain.lower == 0, self.path,
            {**self.parameters, **parameters}, self.of_run,
        )  # fmt: skip

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        own = (self.name, self.meaning, self.units, self.latex, self.domain.lower == 0, self.path)
        return (*own, dict(self.parameters), self.of_run), {}
