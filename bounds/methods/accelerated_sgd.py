"""The coupled short and long steps of accelerated SGD, without noise: Nesterov's scheme.

Nesterov, "Introductory lectures on convex optimization" (2004), Theorem 2.2.3 and the constant-step
schemes of section 2.2.1, for strongly convex functions (the number was not checked against the
book). Accelerated SGD (Kidambi et al. 2018) with ``c = 1``, ``kappa = ell/mu`` and
``xi = sqrt(kappa)`` is such a scheme: short steps y of 1/ell, long ones z of 1/mu, and
``w = (y + a z)/(1 + a)`` with ``a = sqrt(mu/ell)``. The theorem bounds F(y) - F* +
(mu/2)||z - w*||^2; what the rule keeps is w, of which the corollary speaks.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import BOUNDED_BELOW, SMOOTH, STRONGLY_CONVEX
from bounds.claim import Claim, Condition
from bounds.notation import Delta, T, ell, mu, sigma
from bounds.quantities import (
    final_distance_to_minimizer_squared,
    first_distance_to_minimizer_squared,
)
from bounds.statement import Algorithm, Statement

_RATE = sp.sqrt(mu / ell)
_START = 2 * Delta / mu + first_distance_to_minimizer_squared

corollary_2_2_3 = Statement(
    key="accelerated_sgd.corollary_2_2_3",
    label="Theorem 2.2.3, of the coupled point",
    form="printed",
    claim=Claim(final_distance_to_minimizer_squared, "<=", (1 - _RATE) ** T * _START / (1 + _RATE)),
    assumptions=(SMOOTH, STRONGLY_CONVEX, BOUNDED_BELOW),
    algorithm=Algorithm(
        "accelerated_sgd",
        {"eta": 1 / ell, "kappa": ell / mu, "xi": sp.sqrt(ell / mu), "c": sp.Integer(1)},
    ),
    conditions=(Condition(sigma, "<=", 0),),
    text="||w_T - w*||^2 <= (1 - sqrt(mu/ell))^T (2 Delta/mu + ||w_0 - w*||^2)/(1 + sqrt(mu/ell)).",
    note="True: F(y) - F* + (mu/2)||z - w*||^2 shrinks by 1 - a a step, F(y) - F* is at least "
    "(mu/2)||y - w*||^2, and ||w - w*||^2 is at most the mean of the two with weights 1 and a.",
)
corollary_2_2_3_squared = Statement(
    key="accelerated_sgd.corollary_2_2_3.squared",
    label="Theorem 2.2.3, at twice the rate",
    form="printed",
    claim=Claim(
        final_distance_to_minimizer_squared, "<=", (1 - _RATE) ** (2 * T) * _START / (1 + _RATE)
    ),
    assumptions=corollary_2_2_3.assumptions,
    algorithm=corollary_2_2_3.algorithm,
    conditions=corollary_2_2_3.conditions,
    text="||w_T - w*||^2 <= (1 - sqrt(mu/ell))^(2T) (2 Delta/mu + ||w_0 - w*||^2)/"
    "(1 + sqrt(mu/ell)).",
    note="False: with a = sqrt(mu/ell), a coordinate of curvature mu follows w_T = (1 - a)^T "
    "(1 + T a/(1 + a)) w_0, and the square of that factor grows beyond 2/(1 + a).",
)

STATEMENTS: tuple[Statement, ...] = (corollary_2_2_3,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (corollary_2_2_3_squared,)
