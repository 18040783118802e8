"""Sign SGD with majority vote, on identical data.

Bernstein, Wang, Azizzadenesheli & Anandkumar, "signSGD: compressed optimisation for non-convex
problems" (ICML 2018), Theorem 2(b), before its steps are chosen: with noise that is unimodal and
symmetric in every coordinate, M workers' majority is wrong about coordinate i with probability at
most ``sigma_i/(sqrt(M) |g_i|)``. Here ``||L||_1 <= d ell`` and ``||sigma||_1 <= sqrt(d/B) sigma``.
(The paper and the role of Gauss's inequality in it are confirmed; the number is from memory.)
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import (
    BOUNDED_VARIANCE,
    HETEROGENEITY,
    PER_WORKER,
    SMOOTH,
    UNIMODAL_SYMMETRIC_NOISE,
)
from bounds.claim import Claim, Condition
from bounds.notation import B, M, T, d, ell, sigma, zeta
from bounds.notation import eta_length as eta
from bounds.quantities import mean_gradient_l1_norm, total_decrease
from bounds.statement import Algorithm, Statement

_claim = Claim(
    total_decrease,
    ">=",
    eta * T * mean_gradient_l1_norm
    - 2 * eta * T * sp.sqrt(d) * sigma / sp.sqrt(M * B)
    - T * d * ell * eta**2 / 2,
)

theorem_2 = Statement(
    key="majority_vote.theorem_2",
    label="Theorem 2(b), any step",
    form="printed",
    claim=_claim,
    assumptions=(PER_WORKER, SMOOTH, BOUNDED_VARIANCE, HETEROGENEITY, UNIMODAL_SYMMETRIC_NOISE),
    algorithm=Algorithm("majority_vote", {"eta": eta}),
    conditions=(Condition(zeta, "<=", 0),),
    text="F falls by eta ||grad F||_1 a step, less what wrong votes and the curvature cost.",
    note="True: a step moves every coordinate by eta, a wrong vote costs 2 eta |g_i|, and its "
    "probability is at most sigma_i/(sqrt(M B) |g_i|) by Gauss's and Cantelli's inequalities.",
)
theorem_2_any_noise = Statement(
    key="majority_vote.theorem_2.any_noise",
    label="Theorem 2(b), for any noise",
    form="printed",
    claim=_claim,
    assumptions=tuple(a for a in theorem_2.assumptions if a != UNIMODAL_SYMMETRIC_NOISE),
    algorithm=theorem_2.algorithm,
    conditions=theorem_2.conditions,
    text="The same for noise of bounded variance alone.",
    note="False: where the noise is mostly small and against the gradient, rarely large and with "
    "it, most workers vote the wrong way, and the more of them the surer they lose.",
)

STATEMENTS: tuple[Statement, ...] = (theorem_2,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_2_any_noise,)
