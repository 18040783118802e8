"""Proximal gradient (ISTA).

Beck & Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems"
(SIAM J. Imaging Sciences 2009), Theorem 3.1, for the constant step 1/L. The tight constant is that
of Taylor, Hendrickx & Glineur, "Exact worst-case performance of first-order methods for composite
convex optimization" (SIAM J. Optimization 2017), stated as in PEPit's documentation of their
Theorem 4.1 on the proximal point method with step 1/L, whose worst instance, a line on a half-line,
is that of this method as well. The number 3.1 was not checked against the article's text.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import COMPOSITE, CONVEX, SMOOTH
from bounds.notation import T, ell, sigma
from bounds.quantities import final_suboptimality, first_distance_to_minimizer_squared
from bounds.statement import Algorithm, Claim, Condition, Rate, Statement

theorem_3_1 = Statement(
    key="proximal_gradient.theorem_3_1",
    label="Theorem 3.1",
    form="printed",
    claim=Claim(final_suboptimality, "<=", ell * first_distance_to_minimizer_squared / (2 * T)),
    assumptions=(COMPOSITE, CONVEX, SMOOTH),
    algorithm=Algorithm("proximal_gradient", {"eta": 1 / ell}),
    conditions=(Condition(sigma, "<=", 0),),
    rate=Rate(T, {T: sp.Integer(-1)}),
    text="F(w_T) - F* <= ell ||w_0 - w*||^2/(2T) for f convex and smooth, h convex.",
    note="True: 2 (F(w_{k+1}) - F*)/ell <= ||w_k - w*||^2 - ||w_{k+1} - w*||^2 sums, and F falls.",
)
theorem_4_1 = Statement(
    key="proximal_gradient.theorem_4_1",
    label="Theorem 4.1",
    form="printed",
    claim=Claim(final_suboptimality, "<=", ell * first_distance_to_minimizer_squared / (4 * T)),
    assumptions=theorem_3_1.assumptions,
    algorithm=theorem_3_1.algorithm,
    conditions=theorem_3_1.conditions,
    rate=theorem_3_1.rate,
    text="F(w_T) - F* <= ell ||w_0 - w*||^2/(4T): half of the classical bound, and tight.",
    note="True, from the dual of the worst case's semidefinite program. Attained by a line on "
    "[0, w_0] whose steps cover half of the way in T.",
)
theorem_4_1_nine_tenths = Statement(
    key="proximal_gradient.theorem_4_1.nine_tenths",
    label="Theorem 4.1, 0.9 of it",
    form="printed",
    claim=Claim(
        final_suboptimality, "<=", 9 * ell * first_distance_to_minimizer_squared / (40 * T)
    ),
    assumptions=theorem_3_1.assumptions,
    algorithm=theorem_3_1.algorithm,
    conditions=theorem_3_1.conditions,
    text="F(w_T) - F* <= 0.9 ell ||w_0 - w*||^2/(4T).",
    note="False: the constant is 0.9 of the tight one, which the line on [0, 2 T width] attains.",
)
theorem_3_1_square = Statement(
    key="proximal_gradient.theorem_3_1.square",
    label="Theorem 3.1, 1/T^2",
    form="printed",
    claim=Claim(final_suboptimality, "<=", ell * first_distance_to_minimizer_squared / (2 * T**2)),
    assumptions=theorem_3_1.assumptions,
    algorithm=theorem_3_1.algorithm,
    conditions=theorem_3_1.conditions,
    text="F(w_T) - F* <= ell ||w_0 - w*||^2/(2 T^2).",
    note="False from T = 3 on: the rate is that of the accelerated method, and a line on "
    "[0, 2 T width] is left ell ||w_0 - w*||^2/(4T) above its minimum.",
)

STATEMENTS: tuple[Statement, ...] = (theorem_3_1, theorem_4_1)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_4_1_nine_tenths, theorem_3_1_square)
