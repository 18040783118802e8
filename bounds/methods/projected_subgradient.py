"""The projected subgradient method.

Nesterov, "Introductory lectures on convex optimization" (2004), section 3.2.3; Boyd, Xiao &
Mutapcic, "Subgradient methods" (lecture notes, 2003), equation (2), for steps of one size. With the
best size it is tight: Drori & Teboulle, "An optimal variant of Kelley's cutting-plane method"
(Mathematical Programming 2016), appendix A. Numbers as in PEPit's documentation of the method.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import CONSTRAINED, CONVEX, KNOWN_DISTANCE, LIPSCHITZ
from bounds.claim import Claim, Condition
from bounds.notation import G, R, T, eta, sigma
from bounds.proof import Identity
from bounds.quantities import min_suboptimality
from bounds.statement import Algorithm, Rate, Statement

equation_2 = Statement(
    key="projected_subgradient.equation_2",
    label="Equation (2)",
    form="printed",
    claim=Claim(min_suboptimality, "<=", R**2 / (2 * eta * (T + 1)) + G**2 * eta / 2),
    assumptions=(CONSTRAINED, CONVEX, LIPSCHITZ, KNOWN_DISTANCE),
    algorithm=Algorithm("projected_subgradient", {"eta": eta}),
    conditions=(Condition(sigma, "<=", 0),),
    text="min_{t<=T} F(w_t) - F* <= (R^2 + (T+1) G^2 eta^2)/(2 eta (T+1)) for F convex.",
    note="True: a step gains 2 eta (F(w_t) - F*) - eta^2 G^2 in squared distance; T + 1 iterates.",
)
best_step = Statement(
    key="projected_subgradient.best_step",
    label="Section 3.2.3",
    form="printed",
    claim=Claim(min_suboptimality, "<=", G * R / sp.sqrt(T + 1)),
    assumptions=equation_2.assumptions,
    algorithm=Algorithm("projected_subgradient", {"eta": R / (G * sp.sqrt(T + 1))}),
    conditions=equation_2.conditions,
    rate=Rate(T, {T: -sp.Rational(1, 2)}),
    text="With eta = R/(G sqrt(T+1)): min_{t<=T} F(w_t) - F* <= G R/sqrt(T+1).",
    note="True, and attained by G max_j w_j in T + 1 dimensions, from the centre of a ball of "
    "radius R: every subgradient lowers one coordinate, and one is left.",
    proof=(
        Identity(
            "equation (2) at the step that makes it least",
            R**2 / (2 * eta * (T + 1)) + G**2 * eta / 2,
            G * R / sp.sqrt(T + 1),
            {eta: R / (G * sp.sqrt(T + 1))},
        ),
    ),
)
best_step_nine_tenths = Statement(
    key="projected_subgradient.best_step.nine_tenths",
    label="Section 3.2.3, 0.9 of it",
    form="printed",
    claim=Claim(min_suboptimality, "<=", 9 * G * R / (10 * sp.sqrt(T + 1))),
    assumptions=equation_2.assumptions,
    algorithm=best_step.algorithm,
    conditions=equation_2.conditions,
    text="min_{t<=T} F(w_t) - F* <= 0.9 G R/sqrt(T+1).",
    note="False: 0.9 of what max_j w_j in T + 1 dimensions attains.",
)
equation_2_first_term = Statement(
    key="projected_subgradient.equation_2.first_term",
    label="Equation (2), its first term alone",
    form="printed",
    claim=Claim(min_suboptimality, "<=", R**2 / (2 * eta * (T + 1))),
    assumptions=equation_2.assumptions,
    algorithm=equation_2.algorithm,
    conditions=equation_2.conditions,
    text="min_{t<=T} F(w_t) - F* <= R^2/(2 eta (T+1)).",
    note="False: that is a rate of smooth functions; here steps of one size end in a cycle about "
    "the minimum, as wide as they are long.",
)

STATEMENTS: tuple[Statement, ...] = (equation_2, best_step)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (best_step_nine_tenths, equation_2_first_term)
