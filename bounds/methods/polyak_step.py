"""Polyak's step with factor 2 on smooth strongly convex functions.

Barre, Taylor and d'Aspremont (2020), "Complexity guarantees for Polyak steps with momentum",
Proposition 1 (stated as in PEPit's example ``polyak_steps_in_distance_to_optimum``, which gives the
tight factor for each effective step gamma); their L is ``ell``. Its greatest value over gamma, at
``gamma = 2/(ell + mu)``, is the factor below.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import FITTED, SMOOTH, STRONGLY_CONVEX
from bounds.claim import Claim, Condition
from bounds.notation import T, ell, mu, sigma
from bounds.proof import Identity, Nonnegative
from bounds.quantities import (
    final_distance_to_minimizer_squared,
    first_distance_to_minimizer_squared,
)
from bounds.statement import Algorithm, Statement

__all__ = ["FALSE_NEIGHBOURS", "STATEMENTS"]

# gamma = 2 (F - F*)/||g||^2 never exceeds 1/mu.
_ALGORITHM = Algorithm("polyak_step", {"eta": 1 / mu, "c": sp.Rational(1, 2)})
_FACTOR = (ell - mu) / (ell + mu)
_mu, _gap = sp.Symbol("m", positive=True), sp.Symbol("k", nonnegative=True)
_L, _g = _mu + _gap, sp.Symbol("gamma", positive=True)
# 1/L <= gamma, so gamma (L + mu) > 1.
_TIGHT = (_g * _L - 1) * (1 - _g * _mu) / (_g * (_L + _mu) - 1)

proposition_1 = Statement(
    key="polyak_step.proposition_1",
    label="Proposition 1",
    form="printed",
    claim=Claim(
        final_distance_to_minimizer_squared,
        "<=",
        _FACTOR ** (2 * T) * first_distance_to_minimizer_squared,
    ),
    assumptions=(SMOOTH, STRONGLY_CONVEX, FITTED),
    algorithm=_ALGORITHM,
    conditions=(Condition(sigma, "<=", 0),),
    text="With gamma ||grad F||^2 = 2 (F - F*), a step contracts ||w - w*|| by (ell - mu)/"
    "(ell + mu) at least.",
    note="True and tight: on a quadratic of eigenvalues ell and mu, from w_0 with "
    "ell w_1^2 = mu w_2^2 (Kantorovich's inequality), every step contracts by just that.",
    proof=(
        Identity(
            "the factor at gamma = 2/(ell + mu)",
            _TIGHT,
            (_gap / (_L + _mu)) ** 2,
            {_g: 2 / (_L + _mu)},
        ),
        Nonnegative(
            "no gamma has a larger one: the difference times gamma (ell + mu) - 1",
            (_gap / (_L + _mu)) ** 2 * (_g * (_L + _mu) - 1) - (_g * _L - 1) * (1 - _g * _mu),
            _L * _mu * (_g - 2 / (_L + _mu)) ** 2,
        ),
    ),
)

proposition_1_faster = Statement(
    key="polyak_step.proposition_1.faster",
    label="Proposition 1, exponent 4 T",
    form="printed",
    claim=Claim(
        final_distance_to_minimizer_squared,
        "<=",
        _FACTOR ** (4 * T) * first_distance_to_minimizer_squared,
    ),
    assumptions=proposition_1.assumptions,
    algorithm=_ALGORITHM,
    conditions=proposition_1.conditions,
    note="False: from w_0 = (1, 1) on a quadratic of eigenvalues ell and mu each step contracts "
    "||w||^2 by (ell - mu)^2/(2 (ell^2 + mu^2)), more slowly.",
)

STATEMENTS: tuple[Statement, ...] = (proposition_1,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (proposition_1_faster,)
