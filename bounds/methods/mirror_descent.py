"""Entropic mirror descent on the simplex.

Beck & Teboulle, "Mirror descent and nonlinear projected subgradient methods for convex
optimization" (Operations Research Letters 2003), Theorem 5.1; Bubeck, "Convex optimization:
algorithms and complexity" (2015), Theorem 4.2, for the mean of the iterates. Neither number was
checked against the texts. The simplex may have any size: what its coordinates sum to is ``D1/2``,
half its diameter in the l1 norm, so that a change of units leaves the theorem true.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import BOUNDED_ENTRIES, CONSTRAINED, CONVEX, FROM_CENTRE
from bounds.claim import Claim, Condition
from bounds.notation import D1, G_inf, T, d, sigma
from bounds.quantities import output_suboptimality
from bounds.statement import Algorithm, Rate, Statement

theorem_4_2 = Statement(
    key="mirror_descent.theorem_4_2",
    label="Theorem 4.2",
    form="printed",
    claim=Claim(output_suboptimality, "<=", G_inf * D1 * sp.sqrt(sp.log(d) / (2 * T))),
    assumptions=(CONSTRAINED, FROM_CENTRE, CONVEX, BOUNDED_ENTRIES),
    algorithm=Algorithm("mirror_descent", {"eta": D1 * sp.sqrt(sp.log(d) / (2 * T)) / G_inf}),
    conditions=(Condition(d, ">=", 2), Condition(sigma, "<=", 0)),
    rate=Rate(T, {T: -sp.Rational(1, 2)}),
    text="F(mean of w_0..w_{T-1}) - F* <= G_inf (D1/2) sqrt(2 log(d)/T) on a simplex.",
    note="True: the entropy is 1-strongly convex in the l1 norm, and from the centre its "
    "divergence to any point is at most (D1/2)^2 log d.",
)
theorem_4_2_three_quarters = Statement(
    key="mirror_descent.theorem_4_2.three_quarters",
    label="Theorem 4.2, 3/4 of it",
    form="printed",
    claim=Claim(output_suboptimality, "<=", 3 * theorem_4_2.claim.rhs / 4),
    assumptions=theorem_4_2.assumptions,
    algorithm=theorem_4_2.algorithm,
    conditions=theorem_4_2.conditions,
    text="F(mean of w_0..w_{T-1}) - F* <= (3/4) G_inf (D1/2) sqrt(2 log(d)/T).",
    note="False at T = 1: the centre of three corners lies 4/3 G_inf (D1/2) above the minimum of "
    "w_2 + w_3 - w_1, where the claim allows 1.11.",
)
theorem_4_2_dimension_free = Statement(
    key="mirror_descent.theorem_4_2.dimension_free",
    label="Theorem 4.2, without the logarithm",
    form="printed",
    claim=Claim(output_suboptimality, "<=", G_inf * D1 / sp.sqrt(2 * T)),
    assumptions=theorem_4_2.assumptions,
    algorithm=theorem_4_2.algorithm,
    conditions=theorem_4_2.conditions,
    text="F(mean of w_0..w_{T-1}) - F* <= G_inf (D1/2) sqrt(2/T).",
    note="False from d = 4 on, at T = 1: the centre lies 2 (1 - 1/d) G_inf (D1/2) above the "
    "minimum of w_2 + ... + w_d - w_1.",
)

STATEMENTS: tuple[Statement, ...] = (theorem_4_2,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_4_2_three_quarters, theorem_4_2_dimension_free)
