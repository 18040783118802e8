"""FISTA, the accelerated proximal gradient method.

Beck & Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems"
(SIAM J. Imaging Sciences 2009), Theorem 4.4, for the constant step 1/L.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import COMPOSITE, CONVEX, SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import T, ell, sigma
from bounds.quantities import final_suboptimality, first_distance_to_minimizer_squared
from bounds.statement import Algorithm, Rate, Statement

theorem_4_4 = Statement(
    key="fista.theorem_4_4",
    label="Theorem 4.4",
    form="printed",
    claim=Claim(
        final_suboptimality, "<=", 2 * ell * first_distance_to_minimizer_squared / (T + 1) ** 2
    ),
    assumptions=(COMPOSITE, CONVEX, SMOOTH),
    algorithm=Algorithm("fista", {"eta": 1 / ell}),
    conditions=(Condition(sigma, "<=", 0),),
    rate=Rate(T, {T: sp.Integer(-2)}),
    text="F(w_T) - F* <= 2 ell ||w_0 - w*||^2/(T+1)^2 for f convex and smooth, h convex.",
    note="True: 2 theta_k^2 (F(w_k) - F*)/ell plus a squared distance does not grow, and "
    "theta_T >= (T+1)/2.",
)
theorem_4_4_half = Statement(
    key="fista.theorem_4_4.half",
    label="Theorem 4.4, half of it",
    form="printed",
    claim=Claim(
        final_suboptimality, "<=", ell * first_distance_to_minimizer_squared / (T + 1) ** 2
    ),
    assumptions=theorem_4_4.assumptions,
    algorithm=theorem_4_4.algorithm,
    conditions=theorem_4_4.conditions,
    text="F(w_T) - F* <= ell ||w_0 - w*||^2/(T+1)^2.",
    note="False from T = 2 on: half the constant, of which the worst case of T steps takes more "
    "(at T = 1 exactly half: a line on [0, w_0] that one step takes half down).",
)

STATEMENTS: tuple[Statement, ...] = (theorem_4_4,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_4_4_half,)
