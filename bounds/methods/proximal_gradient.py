"""Proximal gradient (ISTA).

Beck & Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems"
(SIAM J. Imaging Sciences 2009), Theorem 3.1, for the constant step 1/L, and Lemma 2.3 at y = x;
these two numbers were not checked against the article's text. The tight constant is that of
Taylor, Hendrickx & Glineur, "Exact worst-case performance of first-order methods for composite
convex optimization" (SIAM J. Optimization 2017), stated as in PEPit's documentation of their
Theorem 4.1 on the proximal point method with step 1/L, whose worst instance, a line on a half-line,
is that of this method as well.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import COMPOSITE, CONVEX, SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import T, ell, sigma
from bounds.quantities import (
    decrease,
    displacement_squared,
    final_suboptimality,
    first_distance_to_minimizer_squared,
)
from bounds.statement import Algorithm, Rate, Statement

lemma_2_3 = Statement(
    key="proximal_gradient.lemma_2_3",
    label="Lemma 2.3",
    form="printed",
    claim=Claim(decrease, ">=", ell * displacement_squared / 2),
    assumptions=(COMPOSITE, CONVEX, SMOOTH),
    algorithm=Algorithm("proximal_gradient", {"eta": 1 / ell}),
    conditions=(Condition(sigma, "<=", 0),),
    text="F(w_t) - F(w_{t+1}) >= (ell/2) ||w_{t+1} - w_t||^2: the lemma at y = x.",
    note="True: smoothness, and the optimality of w_{t+1} in the prox. Attained where f has "
    "curvature ell and h is linear.",
)
lemma_2_3_eleven_tenths = Statement(
    key="proximal_gradient.lemma_2_3.eleven_tenths",
    label="Lemma 2.3, 1.1 of it",
    form="printed",
    claim=Claim(decrease, ">=", 11 * ell * displacement_squared / 20),
    assumptions=lemma_2_3.assumptions,
    algorithm=lemma_2_3.algorithm,
    conditions=lemma_2_3.conditions,
    text="F(w_t) - F(w_{t+1}) >= 1.1 (ell/2) ||w_{t+1} - w_t||^2.",
    note="False: (ell/2) (w - c)^2 + weight |w| falls by exactly (ell/2) ||w_{t+1} - w_t||^2 where "
    "w keeps its sign.",
)
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

STATEMENTS: tuple[Statement, ...] = (lemma_2_3, theorem_3_1, theorem_4_1)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (
    lemma_2_3_eleven_tenths,
    theorem_4_1_nine_tenths,
    theorem_3_1_square,
)
