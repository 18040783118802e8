"""Points of a statement's domain: its corners, typical values and random ones between."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp

from bounds.claim import DomainError
from bounds.evaluation import evaluate
from bounds.statement import Statement
from bounds.symbol import Symbol
from theorylab.errors import UsageError
from theorylab.judge.corners import corners, nearest
from theorylab.judge.covering import covering_rows

__all__ = ["enough", "natural_scale", "place", "points", "unbounded"]

_CURVATURES = ("ell", "L", "L0", "mu", "delta")
_VALUES = ("Delta", "Bf")
_FEWEST = 6  # points of a check
_LONGER = 7  # a search may take counts so many times beyond the typical ones
_WIDER = 4  # a check, for the rest; a step of 4/ell is beyond what any curvature of ell bears
_FARTHER = 25  # likewise a search: between kinks it takes longer steps to get lost
_SAME = 1e-12  # of a typical value, relative: what misses an end by less is rounding
_FLIP = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}


def natural_scale(symbol: Symbol, known: Mapping[str, Any]) -> float:
    """The natural unit for ``symbol``'s values, from the objective's own constants.

    The unit of value is Delta (or Bf), the unit of length ``sqrt(Delta/ell)``; so a step size
    is measured in ``1/ell`` and a normalised step in ``sqrt(Delta/ell)``.

    >>> from bounds.notation import eta
    >>> natural_scale(eta, {"ell": 4.0, "Delta": 1.0})
    0.25
    """
    curvature, value = _first_positive(known, _CURVATURES), _first_positive(known, _VALUES)
    # Value over length squared is the curvature itself, and not what a root's square leaves of it.
    halves = float(symbol.units.X) / 2
    return float(value ** (float(symbol.units.F) + halves) * curvature**-halves)


def _first_positive(known: Mapping[str, Any], names: tuple[str, ...]) -> float:
    for name in names:
        value = known.get(name)
        if value is not None and (isinstance(value, float) or np.ndim(value) == 0) and value > 0:
            return float(value)
    return 1.0


def points(
    statement: Statement,
    known: Mapping[str, float],
    seed: int = 0,
    count: int = 16,
    admit: Callable[[Mapping[str, Any]], bool] | None = None,
    typical: bool = False,
) -> list[dict[str, Any]]:
    """At most ``count`` distinct points of the domain, each a full table of values.

    A typical point comes first, then the corners: every pair of free symbols at every pair of
    their ends, as :func:`enough` points hold. An end is that of the range as the domain and the
    conditions leave it; four times the largest typical value where it is unbounded, of a count the
    largest. Then typical and random values mixed. ``known`` holds the values that are fixed, the
    objective's constants first of all; ``admit`` may turn points down (those that would take too
    long to run): a corner gives way to one near by. With ``typical`` there are no corners and
    nothing random between: typical values alone.

    Raises
    ------
    UsageError
        If no admissible point is found.

    Examples
    --------
    >>> from bounds import Claim, Condition, Statement
    >>> from bounds.notation import ell, eta
    >>> demo = Statement("demo.lemma", "Lemma", "printed", Claim(eta * ell, "<=", 1),
    ...                  conditions=(Condition(eta, "<=", 1 / ell),))
    >>> max(p["eta"] for p in points(demo, {"ell": 4.0}, count=8))
    0.25
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xD0,)))
    free = [s for s in _ordered(statement) if s.name not in known]
    counts = {s.name for s in free if s.domain.integer}
    wishes: list[dict[str, str] | None] = [{}]
    if not typical:
        chosen = _chosen(statement, known)
        beyond = [s.name for s in chosen if unbounded(statement, s)]
        wishes = corners([s.name for s in chosen], beyond, count)
    found: list[dict[str, Any]] = []
    seen: set[tuple[Any, ...]] = set()

    def at(wish: Mapping[str, str] | None, reach: float = 1.0) -> dict[str, Any] | None:
        values = _one(statement, free, known, wish, rng, typical, reach)
        return values if values is None or admit is None or admit(values) else None

    # Where nothing is free to choose, one attempt is all of them.
    attempts = 0 if not _possible(statement, known) else max(60, 12 * count) if free else 1
    for attempt in range(attempts):
        if len(found) >= count:
            break
        wish = wishes[attempt] if attempt < len(wishes) else None
        values = at(None) if wish is None else nearest(at, wish, counts)
        if values is None:
            continue
        key = tuple(values[s.name] for s in free)
        if key not in seen:
            seen.add(key)
            found.append(values)
    if not found:
        fixed = ", ".join(f"{k} = {float(v):.6g}" for k, v in known.items() if np.ndim(v) == 0)
        needs = "; ".join(str(c) for c in statement.conditions)
        raise UsageError(
            f"{statement.key} ({statement.form}): no admissible point found with {fixed}; "
            f"its conditions: {needs or 'none'}"
            + ("" if admit is None else "; points too long to run do not count")
        )
    return found


def enough(statement: Statement, known: Mapping[str, Any]) -> int:
    """How many points hold every combination of ends that :func:`covering_rows` promises.

    Beside the corners there are a typical point, one far out and one drawn from between.
    """
    return max(_FEWEST, len(covering_rows(len(_chosen(statement, known)))) + 3)


def _chosen(statement: Statement, known: Mapping[str, Any]) -> list[Symbol]:
    return [
        s for s in _ordered(statement) if s.name not in known and s not in statement.prescription
    ]


def _possible(statement: Statement, known: Mapping[str, Any]) -> bool:
    """Whether the values that are fixed meet the conditions that speak of nothing else."""
    decided = (
        c for c in statement.conditions
        if not c.measured and _known(c.lhs, known) and _known(c.rhs, known)
    )  # fmt: skip
    return all(condition.holds(known) for condition in decided)


def place(
    statement: Statement, known: Mapping[str, Any], fractions: Mapping[str, float]
) -> dict[str, Any] | None:
    """The point whose free symbols lie at given fractions of their ranges, for a search to move.

    A range is what the domain and the conditions leave, symbol by symbol; where it is
    unbounded, typical values widened. Fractions 0 and 1 are its ends, so corners are reached.
    ``None`` if no admissible point lies there.

    Examples
    --------
    >>> from bounds import Claim, Condition, Statement
    >>> from bounds.notation import ell, eta
    >>> demo = Statement("demo.lemma", "Lemma", "printed", Claim(eta * ell, "<=", 1),
    ...                  conditions=(Condition(eta, "<=", 1 / ell),))
    >>> place(demo, {"ell": 4.0}, {"eta": 1.0})["eta"]
    0.25
    """
    values: dict[str, Any] = dict(known)
    for symbol in _ordered(statement):
        values = _prescribed(statement, values)
        if symbol.name in values:
            continue
        limits = _limits(symbol, statement, values)
        if not limits[0] < math.inf or limits[0] > limits[1]:
            return None
        low, high = _range(symbol, limits, known)
        if not low <= high < math.inf:
            return None
        fraction = min(1.0, max(0.0, fractions.get(symbol.name, 0.5)))
        if low > 0 and high > 4 * low:
            value = math.exp(math.log(low) + fraction * math.log(high / low))
            value = high if fraction == 1 else max(low, min(high, value))
        else:
            value = low + fraction * (high - low)
        values[symbol.name] = float(round(value)) if symbol.domain.integer else value
    try:
        return statement.validate(values)
    except (DomainError, KeyError, ZeroDivisionError, FloatingPointError):
        return None


def _range(
    symbol: Symbol, limits: tuple[float, float, bool, bool], known: Mapping[str, Any]
) -> tuple[float, float]:
    lower, upper, lower_open, upper_open = limits
    scale = natural_scale(symbol, known)
    typical = [v * scale for v in symbol.typical if v > 0] or [1e-2 * scale, 1e2 * scale]
    widest = max(typical) * (_LONGER if symbol.domain.integer else _FARTHER)
    high = upper if math.isfinite(upper) else max(widest, 2 * lower)
    if upper_open and math.isfinite(upper):
        high = _nudge(upper, lower, symbol)
    low = lower
    if not math.isfinite(lower):
        low = -high if high > 0 else 2 * high - scale
    elif lower_open:
        low = min(1e-2 * min(typical), 1e-3 * high) if lower == 0 else _nudge(lower, high, symbol)
    if symbol.domain.integer:
        low, high = math.ceil(low), math.floor(high)
    return low, high


def _one(
    statement: Statement,
    free: list[Symbol],
    known: Mapping[str, float],
    wish: Mapping[str, str] | None,
    rng: np.random.Generator,
    typical: bool,
    reach: float,
) -> dict[str, Any] | None:
    values: dict[str, Any] = dict(known)
    for symbol in free:
        values = _prescribed(statement, values)
        if symbol.name in values:
            continue
        limits = _limits(symbol, statement, values)
        if not limits[0] < math.inf or limits[0] > limits[1]:
            return None
        values[symbol.name] = _choose(symbol, limits, known, wish, rng, typical, reach)
    try:
        return statement.validate(values)
    except (DomainError, KeyError, ZeroDivisionError, FloatingPointError):
        return None


def _choose(
    symbol: Symbol,
    limits: tuple[float, float, bool, bool],
    known: Mapping[str, float],
    wish: Mapping[str, str] | None,
    rng: np.random.Generator,
    only_usual: bool,
    reach: float,
) -> float:
    lower, upper, lower_open, upper_open = limits
    scale = natural_scale(symbol, known)
    typical = [v * scale for v in symbol.typical] or [scale]
    inside = _inside(symbol, typical, limits)
    mode = "typical" if wish is None else wish.get(symbol.name, "typical")
    if wish is None and not only_usual:
        mode = rng.choice(["typical", "random", "upper", "lower"], p=[0.35, 0.35, 0.2, 0.1])
    if mode == "upper" and math.isfinite(upper):
        value = upper if not upper_open else _nudge(upper, lower, symbol)
    elif mode == "upper" and symbol.typical:
        # An unbounded symbol's corner is beyond what anybody chooses: a step that a forgotten
        # condition should have excluded. Counts cost time.
        value = max(max(typical) * (1 if symbol.domain.integer else _WIDER), lower)
    elif mode == "lower" and math.isfinite(lower):
        value = lower if not lower_open else _nudge(lower, upper, symbol)
        if lower_open and lower == 0 and symbol.typical:  # far below what anybody would choose
            value = max(value, 0.1 * min(typical)) if inside else value
    elif mode == "typical" and inside:
        value = inside[0] if wish is not None else float(rng.choice(inside))
    elif mode == "typical" and upper < min(typical):
        value = upper if not upper_open else _nudge(upper, lower, symbol)
    else:
        low = (
            lower if lower > 0 else min(upper if upper > 0 else math.inf, *map(abs, typical)) * 1e-2
        )
        high = upper if math.isfinite(upper) else max(*typical, low) * 3 if typical else low * 100
        if lower < 0 or low <= 0 or high <= low:
            low = lower if math.isfinite(lower) else -scale
            high = upper if math.isfinite(upper) else low + 2 * scale
            value = float(rng.uniform(low, high))
        elif math.isfinite(upper) and rng.random() < 0.5:
            value = float(rng.uniform(max(lower, 0.0), upper))
        else:
            value = float(math.exp(rng.uniform(math.log(low), math.log(high))))
    if symbol.domain.integer:
        if mode == "upper" and reach < 1:  # of the way from its lower end, by factors
            least = max(lower, 1.0)
            value = least * (value / least) ** reach if value > least else value
        value = float(
            min(
                max(round(value), math.ceil(lower)),
                math.floor(upper) if math.isfinite(upper) else math.inf,
            )
        )
    return value


def _inside(
    symbol: Symbol, typical: Sequence[float], limits: tuple[float, float, bool, bool]
) -> list[float]:
    """The typical values within the limits; one that is an end but for rounding is that end."""
    lower, upper, lower_open, upper_open = limits
    found = []
    for value in typical:
        if math.isclose(value, upper, rel_tol=_SAME):
            value = upper if not upper_open else _nudge(upper, lower, symbol)
        elif math.isclose(value, lower, rel_tol=_SAME):
            value = lower if not lower_open else _nudge(lower, upper, symbol)
        if lower <= value <= upper:
            found.append(value)
    return found


def _nudge(end: float, other: float, symbol: Symbol) -> float:
    """A value just inside an open end."""
    if symbol.domain.integer:
        return end + 1 if other > end else end - 1
    width = abs(other - end) if math.isfinite(other) else max(1.0, abs(end))
    return end + math.copysign(1e-3 * width, other - end)


def _limits(
    symbol: Symbol, statement: Statement, values: Mapping[str, Any]
) -> tuple[float, float, bool, bool]:
    """The range left to ``symbol`` by its domain and the conditions already decidable."""
    domain = symbol.domain
    lower, upper = domain.lower, domain.upper
    lower_open, upper_open = domain.lower_open, domain.upper_open
    for op, other in _ends(statement, symbol):
        if not _known(other, values):
            continue
        limit = float(evaluate(other, values))
        if op in ("<=", "<") and limit <= upper:
            upper, upper_open = limit, op == "<"
        if op in (">=", ">") and limit >= lower:
            lower, lower_open = limit, op == ">"
    return lower, upper, lower_open, upper_open


def unbounded(statement: Statement, symbol: Symbol) -> bool:
    """Whether neither its domain nor a condition bounds a continuous symbol from above."""
    if symbol.domain.integer or not symbol.typical or math.isfinite(symbol.domain.upper):
        return False
    return not any(op in ("<=", "<") for op, _ in _ends(statement, symbol))


@lru_cache(maxsize=4096)
def _ends(statement: Statement, symbol: Symbol) -> tuple[tuple[str, sp.Expr], ...]:
    """What the conditions compare the symbol by itself with, and how."""
    turned = (
        side for c in statement.conditions
        for side in ((c.lhs, c.rhs, c.op), (c.rhs, c.lhs, _FLIP[c.op]))
    )  # fmt: skip
    return tuple((op, other) for side, other, op in turned if side == symbol)


def _prescribed(statement: Statement, values: Mapping[str, Any]) -> dict[str, Any]:
    resolved = dict(values)
    for symbol, expression in statement.prescription.items():
        if symbol.name not in resolved and _known(expression, resolved):
            resolved[symbol.name] = evaluate(expression, resolved)
    return resolved


def _known(expression: sp.Expr, values: Mapping[str, Any]) -> bool:
    return all(name in values for name in _names(expression))


@lru_cache(maxsize=4096)
def _names(expression: sp.Expr | float) -> tuple[str, ...]:
    return tuple(symbol.name for symbol in sp.sympify(expression).free_symbols)


@lru_cache(maxsize=256)
def _ordered(statement: Statement) -> tuple[Symbol, ...]:
    """Free symbols in an order in which each condition's limit is known when it is needed.

    A symbol bounded by an expression of others comes after them.
    """
    waits: dict[Symbol, set[Symbol]] = {s: set() for s in statement.symbols}
    for condition in statement.conditions:
        for side, other in ((condition.lhs, condition.rhs), (condition.rhs, condition.lhs)):
            if isinstance(side, Symbol) and side in waits:
                needs = _sources(statement, other) & set(waits)
                if side not in needs and not any(side in waits[s] for s in needs):
                    waits[side] |= needs
    ordered: list[Symbol] = []
    while len(ordered) < len(waits):
        ready = [s for s in waits if s not in ordered and waits[s] <= set(ordered)]
        ordered.append(ready[0] if ready else next(s for s in waits if s not in ordered))
    return tuple(ordered)


def _sources(statement: Statement, expression: sp.Expr) -> set[Symbol]:
    """The symbols an expression depends on once prescriptions are unfolded."""
    found: set[Symbol] = set()
    todo = list(sp.sympify(expression).free_symbols)
    while todo:
        symbol = todo.pop()
        if symbol in found:
            continue
        found.add(symbol)
        if symbol in statement.prescription:
            todo += list(sp.sympify(statement.prescription[symbol]).free_symbols)
    return found
