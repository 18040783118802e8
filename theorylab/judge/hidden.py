"""What an O(.) may hide: the constant, and the time that a run takes to get under way.

A true order grows beside its bound for as long as a run has not come to where the order tells, and
measured/bound may then have become as large as the constant that the O(.) hides. What that is made
of is known: numbers that mend the bound's units, as ``ell Delta`` does where ``1/T`` bounds a
squared gradient, and how far the bound has fallen while the slowest part of the function had hardly
moved. Growth tells of a false order beyond both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import sympy as sp

from bounds.assumptions import PER_SAMPLE
from bounds.evaluation import evaluate
from bounds.notation import L0 as relaxed
from bounds.notation import Bf, Delta, G, L, R, eta, mu, mu_pl, mu_qg, n, sigma
from bounds.notation import ell as smoothness
from bounds.statement import Statement
from bounds.symbol import Measured
from bounds.units import UnitsError, units_of

__all__ = ["fallen", "hidden_factor", "slowest_time"]


def hidden_factor(statement: Statement, values: Mapping[str, Any]) -> float:
    """How many times the bound an O(.) may mean where the bound leaves out what has units.

    Every term of the bound is multiplied by the largest number of the units it lacks that the
    constants make: of values ``ell X^2`` and lengths ``X``, for a length ``X`` among ``R``,
    ``sqrt(Delta/ell)``, ``sqrt(Bf/ell)``, ``G/ell`` and ``sigma/ell``. Never less than 1, which it
    is where the two sides have the same units.

    >>> from bounds import Claim
    >>> from bounds.notation import T
    >>> from bounds.quantities import min_gradient_norm_squared
    >>> known = {"ell": 2.0, "Delta": 9.0, "T": 5.0}
    >>> claims = [Claim(min_gradient_norm_squared, "<=", over / T, big_o=True)
    ...           for over in (1, smoothness * Delta)]
    >>> [round(hidden_factor(Statement("a.b", "", "printed", c), known), 9) for c in claims]
    [18.0, 1.0]
    """
    if statement.units == "consistent":
        return 1.0
    small, large = (statement.expanded(side) for side in statement.claim.sides)
    if large.has(Measured):
        return 1.0
    plain = mended = 0.0
    try:
        for term in sp.Add.make_args(sp.expand(large)):
            lacking = units_of(small) / units_of(term)
            size = abs(float(evaluate(term, values)))
            powers = float(lacking.F), float(lacking.X)
            plain += size
            mended += size * max(v ** powers[0] * x ** powers[1] for v, x in _natural(values))
    except (UnitsError, KeyError, TypeError, ArithmeticError):
        return 1.0
    return max(1.0, mended / plain) if plain > 0 and math.isfinite(mended) else 1.0


def slowest_time(statement: Statement, values: Mapping[str, Any]) -> float:
    """How many steps the slowest part of a run takes: ``1/(eta mu)``, and no less than its memory.

    Without strong convexity, or what does instead of it, ``1/(eta ell)``; where the step has other
    units than a step of gradient descent, or is none, it is taken as ``1/ell``. A momentum's memory
    is ``1/(1 - beta)``; that of a method that goes through the samples one by one is ``n``.
    """
    curvature = _curvature(values) or 1.0
    least = next((values[s.name] for s in (mu, mu_pl, mu_qg) if values.get(s.name, 0) > 0),
                 curvature)  # fmt: skip
    settings = {} if statement.algorithm is None else statement.algorithm.settings
    given = {k: statement.expanded(sp.sympify(e)) for k, e in settings.items()
             if not isinstance(e, str)}  # fmt: skip
    begun = {**values, "t": 1.0}
    steps, times = [1 / curvature], [1.0]
    for step in (*given.values(), *statement.hyperparameters):
        with suppress(UnitsError, KeyError, TypeError, ArithmeticError):
            if units_of(step) == eta.units and (size := float(evaluate(step, begun))) > 0:
                steps.append(size)
    with suppress(KeyError, TypeError, ArithmeticError):
        times.append(1 / (1 - float(evaluate(given.get("beta", sp.Integer(0)), begun))))
    if PER_SAMPLE in statement.assumptions:
        times.append(float(values.get(n.name, 1.0)))
    return max(*times, 1 / (float(least) * min(steps)))


def fallen(times: Sequence[float], bounds: Sequence[float], until: float) -> float:
    """How many times smaller the bound is at ``until`` than at the first time, and at least once.

    >>> round(fallen([1.0, 16.0, 64.0], [1.0, 1 / 16, 1 / 64], 4.0), 9)
    4.0
    """
    logs = np.log(np.asarray(bounds, dtype=float))
    there = float(np.interp(math.log(until), np.log(times), logs))
    return math.exp(min(700.0, max(0.0, float(logs[0]) - there)))


def _curvature(values: Mapping[str, Any]) -> float | None:
    return next((float(values[s.name]) for s in (smoothness, L, relaxed)
                 if values.get(s.name, 0) > 0), None)  # fmt: skip


def _natural(values: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Values and lengths that the constants make, in pairs."""
    known = {s: float(values[s.name]) for s in (R, Delta, Bf, G, sigma)
             if values.get(s.name, 0) > 0}  # fmt: skip
    bend = _curvature(values)
    if bend is not None:
        lengths = [known[R]] if R in known else []
        lengths += [math.sqrt(known[s] / bend) for s in (Delta, Bf) if s in known]
        lengths += [known[s] / bend for s in (G, sigma) if s in known]
        return [(bend * x**2, x) for x in lengths] or [(bend, 1.0)]
    x = known.get(R, 1.0)
    return [(v, x) for v in (known.get(Delta, 0.0), known.get(G, 0.0) * x) if v > 0] or [(1.0, x)]
