"""Frank-Wolfe.

Jaggi, "Revisiting Frank-Wolfe: projection-free sparse convex optimization" (ICML 2013), Theorem 1,
with the steps 2/(k+2), exact linear minimization, and the curvature constant at its bound
``C_f <= L diam^2``.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import BOUNDED_SET, CONSTRAINED, CONVEX, SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import D, T, ell, sigma
from bounds.quantities import final_suboptimality
from bounds.statement import Algorithm, Rate, Statement

theorem_1 = Statement(
    key="frank_wolfe.theorem_1",
    label="Theorem 1",
    form="printed",
    claim=Claim(final_suboptimality, "<=", 2 * ell * D**2 / (T + 2)),
    assumptions=(CONSTRAINED, BOUNDED_SET, CONVEX, SMOOTH),
    algorithm=Algorithm("frank_wolfe"),
    conditions=(Condition(sigma, "<=", 0),),
    rate=Rate(T, {T: sp.Integer(-1)}),
    text="F(w_T) - F* <= 2 ell D^2/(T+2) on a convex set of diameter D.",
    note="True: h_{k+1} <= (1 - gamma) h_k + gamma^2 ell D^2/2 with gamma = 2/(k+2).",
)
theorem_1_half = Statement(
    key="frank_wolfe.theorem_1.half",
    label="Theorem 1, half of it",
    form="printed",
    claim=Claim(final_suboptimality, "<=", ell * D**2 / (T + 2)),
    assumptions=theorem_1.assumptions,
    algorithm=theorem_1.algorithm,
    conditions=theorem_1.conditions,
    text="F(w_T) - F* <= ell D^2/(T+2).",
    note="False at T = 1: from one end of an interval, with the minimizer a hair inside, the first "
    "step goes to the other end, ell D^2/2 above the minimum; the claim allows ell D^2/3.",
)

STATEMENTS: tuple[Statement, ...] = (theorem_1,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_1_half,)
