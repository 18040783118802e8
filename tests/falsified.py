"""False claims that a hunt of a minute refutes at any seed, each with what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sympy as sp

from bounds import hardt_recht_singer, tralgo
from bounds.assumptions import (
    BOUNDED_BELOW,
    BOUNDED_VARIANCE,
    CONVEX,
    FINITE_SUM,
    SMOOTH,
    STRONGLY_CONVEX,
    Assumption,
)
from bounds.claim import Claim, Condition
from bounds.notation import B, Bf, Delta, G, S, T, beta, delta, ell, eta, mu, sigma
from bounds.quantities import (
    decrease,
    expected_twin_distance,
    final_suboptimality,
    first_distance_to_minimizer_squared,
    gradient_variance,
    min_gradient_norm_squared,
    total_decrease,
    twin_distance,
)
from bounds.statement import Algorithm, Statement
from theorylab.plugins import registry

__all__ = ["FALSE", "HEAVY_BALL", "MENDED", "NOISE_BY_BATCH", "NOISE_TOO_SMALL", "scaled"]


def _made(key: str, claim: Claim, *assumptions: Assumption, **settings: Any) -> Statement:
    return Statement(f"demo.{key}", key, "printed", claim, assumptions, **settings)


def scaled(statement: Statement, factor: Any, key: str = "demo.scaled") -> Statement:
    """The claim with ``factor`` times its bound."""
    claim = statement.claim
    return replace(statement, key=key, form="printed", proof=(),
                   claim=Claim(claim.lhs, claim.sense, factor * claim.rhs))  # fmt: skip


def _falls(rule: str) -> Statement:
    quiet = (Condition(eta, "<=", 1 / ell), Condition(sigma, "<=", 0))
    return _made(f"{rule}_falls", Claim(decrease, ">=", 0), SMOOTH, algorithm=Algorithm(rule),
                 conditions=quiet)  # fmt: skip


# TRAlgo's Theorem 2 without noise: its first term as printed, its error as it is proved.
MENDED = replace(
    tralgo.theorem_2, key="demo.theorem_2", conditions=(Condition(sigma, "<=", 0),),
    claim=Claim(tralgo.theorem_2.claim.lhs, "<=", 4 * ell * Bf / T + (3 * ell / (2 * ell - delta))
                ** 2 * (sigma**2 / S + ((ell + delta) * G / (2 * ell * S)) ** 2)),
)  # fmt: skip

_ROOTS = sp.sqrt(ell) + sp.sqrt(mu)
_Q = (sp.sqrt(ell) - sp.sqrt(mu)) / _ROOTS
HEAVY_BALL = Statement(
    "demo.heavy_ball", "Heavy ball", "printed",
    Claim(final_suboptimality, "<=", 1000 * _Q**T * Delta),
    (SMOOTH, STRONGLY_CONVEX), Algorithm("msgd", {"eta": eta, "beta": beta}),
    {eta: 4 / _ROOTS**2, beta: _Q**2}, (Condition(sigma, "<=", 0),),
)  # fmt: skip

_THEOREM_1 = registry.statement("sngm.theorem_1", "repaired")
_NOISE = sigma / sp.sqrt(B)
_OTHERS = _THEOREM_1.claim.rhs - _NOISE
NOISE_TOO_SMALL, NOISE_BY_BATCH = (
    replace(_THEOREM_1, key=f"demo.sngm_{name}", form="printed", proof=(),
            claim=Claim(_THEOREM_1.claim.lhs, "<=", _OTHERS + noise))
    for name, noise in (("noise_too_small", 0.9 * _NOISE), ("noise_by_batch", sigma / B))
)  # fmt: skip

_DESCENT = {"algorithm": Algorithm("sgd", {"eta": eta}), "prescription": {eta: 1 / ell}}
_MADE = (
    MENDED, HEAVY_BALL, NOISE_TOO_SMALL, NOISE_BY_BATCH, _falls("msgd"), _falls("nesterov"),
    scaled(hardt_recht_singer.theorem_3_8, sp.Rational(1, 2), "demo.half_of_convex_stability"),
    scaled(hardt_recht_singer.theorem_3_9, sp.Rational(2, 5), "demo.two_fifths_of_stability"),
    _made("unstable", Claim(final_suboptimality, "<=", Delta), BOUNDED_BELOW,
          algorithm=Algorithm("sgd", {"eta": 1})),
    _made("below_attained", Claim(gradient_variance, "<=", 0.99 * sigma**2), BOUNDED_VARIANCE),
    _made("fourth", Claim(min_gradient_norm_squared, "<=", ell * total_decrease / 4), SMOOTH,
          BOUNDED_BELOW, conditions=(Condition(T, "<=", 5), Condition(T, ">=", 5),
                                     Condition(sigma, "<=", 0)), **_DESCENT),
    _made("gradient_descent", Claim(final_suboptimality, "<=",
          ell * first_distance_to_minimizer_squared / (4 * T + 3)), SMOOTH, CONVEX,
          conditions=(Condition(sigma, "<=", 0),), **_DESCENT),
    # Of the factor by which a step on a quadratic contracts.
    _made("contraction_below", Claim(expected_twin_distance, "<=", sp.Rational(99, 100) * sp.Max(
          sp.Abs(1 - eta * mu), sp.Abs(1 - eta * ell)) * twin_distance), SMOOTH, STRONGLY_CONVEX,
          FINITE_SUM, algorithm=Algorithm("sgd")),
)  # fmt: skip
_KEYS = ("lrsgd.theorem_4_9", "sngm.eq_6", "lrsgd.theorem_4_3", "tralgo.theorem_1",
         "tralgo.theorem_2")  # fmt: skip

FALSE: Mapping[str, Statement] = {
    s.key: s for s in (*(registry.statement(key, "printed") for key in _KEYS), *_MADE)
}
