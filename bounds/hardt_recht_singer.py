"""Hardt, Recht & Singer 2016, "Train faster, generalize better": the stability baselines.

In the one symbol table their beta is ``ell``, their L is ``G``, their gamma is ``mu``, and the
``c`` of their steps ``c/t`` is ``c/ell`` (so their ``beta c`` is ``c``).
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import (
    BOUNDED,
    CONVEX,
    LIPSCHITZ,
    LIPSCHITZ_ON_REGION,
    PER_SAMPLE,
    SMOOTH,
    STRONGLY_CONVEX,
)
from bounds.claim import Claim, Condition
from bounds.notation import Bf, G, T, c, ell, eta, mu, n, t
from bounds.proof import Identity
from bounds.quantities import stability_gap
from bounds.statement import Algorithm, Rate, Statement

theorem_3_8 = Statement(
    key="hardt_recht_singer.theorem_3_8",
    label="Theorem 3.8",
    form="printed",
    claim=Claim(stability_gap, "<=", 2 * G**2 / n * T * eta),
    assumptions=(PER_SAMPLE, SMOOTH, LIPSCHITZ, CONVEX),
    algorithm=Algorithm("sgd", {"eta": eta}),
    conditions=(Condition(eta, "<=", 2 / ell),),
    rate=Rate(n, {T: sp.Integer(1), n: sp.Integer(-1)}, {T: 10 * n}),
    text="Convex losses: stability 2 G^2/n times the sum of the steps (constant here).",
    note="True: a shared sample does not expand, the replaced one adds 2 eta G with chance 1/n.",
)
theorem_3_9 = Statement(
    key="hardt_recht_singer.theorem_3_9",
    label="Theorem 3.9",
    form="printed",
    claim=Claim(stability_gap, "<=", 2 * G**2 / (mu * n)),
    assumptions=(PER_SAMPLE, SMOOTH, LIPSCHITZ_ON_REGION, STRONGLY_CONVEX),
    algorithm=Algorithm("sgd", {"eta": eta}),
    conditions=(Condition(eta, "<=", 1 / ell), Condition(T, ">=", 1)),
    rate=Rate(n, {T: sp.Integer(0), n: sp.Integer(-1)}, {T: 10 * n}),
    text="Strongly convex losses: stability 2 G^2/(mu n) for every T.",
    note="True: d_{t+1} <= (1 - eta mu) d_t + 2 eta G/n on average. G bounds the gradients on the "
    "set the iterates stay in (the paper projects on it): no strongly convex loss is Lipschitz on "
    "all of R^d.",
    proof=(
        Identity(
            "2G/(mu n) is the recursion's fixed point",
            (1 - eta * mu) * 2 * G / (mu * n) + 2 * eta * G / n,
            2 * G / (mu * n),
        ),
    ),
)
theorem_3_12 = Statement(
    key="hardt_recht_singer.theorem_3_12",
    label="Theorem 3.12",
    form="printed",
    claim=Claim(
        stability_gap,
        "<=",
        (1 + 1 / c) / (n - 1) * (2 * c * G**2 / ell) ** (1 / (c + 1)) * T ** (c / (c + 1)),
    ),
    assumptions=(PER_SAMPLE, SMOOTH, LIPSCHITZ, BOUNDED),
    algorithm=Algorithm("sgd", {"eta": c / (t * ell)}),
    conditions=(Condition(n, ">=", 2), Condition(Bf, "<=", sp.Rational(1, 2))),
    rate=Rate(n, {T: c / (c + 1), n: sp.Integer(-1)}, {T: 10 * n}),
    trivial=2 * Bf,
    text="Non-convex losses in an interval of length 1, alpha_t = c/(t ell).",
    note="Published for losses in [0, 1], that is |f| <= 1/2 up to a constant; fixing that range "
    "also fixes the unit of f, so the units disagree. Its t0 is a real number: rounding it up "
    "costs 1/n (lrsgd.remark_3_5.constants).",
)
theorem_3_12_repaired = Statement(
    key="hardt_recht_singer.theorem_3_12",
    label="Theorem 3.12",
    form="repaired",
    claim=Claim(
        stability_gap,
        "<=",
        theorem_3_12.claim.rhs.subs(T, 2 * Bf * T) + 2 * Bf / n,
    ),
    assumptions=theorem_3_12.assumptions,
    algorithm=theorem_3_12.algorithm,
    conditions=theorem_3_12.conditions[:1],
    rate=theorem_3_12.rate,
    trivial=2 * Bf,
    text="Non-convex losses with |f| <= Bf, an integer burn-in.",
    note="lrsgd.theorem_3_4.best_burn_in at delta = ell: losses of range 2 Bf, and 2 Bf/n for "
    "rounding the burn-in up. Rescaling f turns it into the published form (plus 1/n). A step of "
    "any size expands a shared sample by at most 1 + alpha ell, so no condition on c.",
    proof=(
        Identity(
            "at Bf = 1/2 it is the published bound plus 1/n",
            theorem_3_12.claim.rhs.subs(T, 2 * Bf * T) + 2 * Bf / n,
            theorem_3_12.claim.rhs + 1 / n,
            {Bf: sp.Rational(1, 2)},
        ),
    ),
)

STATEMENTS: tuple[Statement, ...] = (
    theorem_3_8,
    theorem_3_9,
    theorem_3_12,
    theorem_3_12_repaired,
)
