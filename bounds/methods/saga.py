"""SAGA, variance reduction by a table of gradients.

Defazio, Bach & Lacoste-Julien, "SAGA: a fast incremental gradient method with support for
non-strongly convex composite objectives" (NIPS 2014), Corollary 1, without the composite part.
"""

from __future__ import annotations

from bounds.assumptions import PER_SAMPLE, SMOOTH, STRONGLY_CONVEX
from bounds.claim import Claim
from bounds.notation import T, ell, eta, mu, n
from bounds.proof import Identity
from bounds.quantities import (
    final_distance_to_minimizer_squared,
    first_distance_to_minimizer_squared,
    first_suboptimality,
)
from bounds.statement import Algorithm, Statement

_START = first_distance_to_minimizer_squared + n / (mu * n + ell) * first_suboptimality

corollary_1 = Statement(
    key="saga.corollary_1",
    label="Corollary 1",
    form="printed",
    claim=Claim(
        final_distance_to_minimizer_squared, "<=", (1 - mu / (2 * (mu * n + ell))) ** T * _START
    ),
    assumptions=(PER_SAMPLE, SMOOTH, STRONGLY_CONVEX),
    algorithm=Algorithm("saga", {"eta": eta}),
    prescription={eta: 1 / (2 * (mu * n + ell))},
    text="E||w_T - w*||^2 <= (1 - mu/(2 (mu n + ell)))^T (||w_0 - w*||^2 + n (F(w_0) - F*)/"
    "(mu n + ell)) at the step 1/(2 (mu n + ell)).",
    note="True: by Theorem 1 each step takes a share eta mu of the Lyapunov function, the table's "
    "Bregman divergences plus c ||w - w*||^2 with c = 1/(2 eta (1 - eta mu) n).",
    proof=(
        Identity(
            "the share of a step",
            eta * mu,
            mu / (2 * (mu * n + ell)),
            {eta: 1 / (2 * (mu * n + ell))},
        ),
    ),
)
corollary_1_twice = Statement(
    key="saga.corollary_1.twice",
    label="Corollary 1, twice the rate",
    form="printed",
    claim=Claim(final_distance_to_minimizer_squared, "<=", (1 - mu / (mu * n + ell)) ** T * _START),
    assumptions=corollary_1.assumptions,
    algorithm=corollary_1.algorithm,
    prescription=corollary_1.prescription,
    text="E||w_T - w*||^2 <= (1 - mu/(mu n + ell))^T (||w_0 - w*||^2 + n (F(w_0) - F*)/"
    "(mu n + ell)).",
    note="False: the 2 of the rate is lost. Samples that are all (mu/2) w^2 make it gradient "
    "descent, which takes off (1 - eta mu)^2 > 1 - 2 eta mu a step: late in a run that is more.",
)

STATEMENTS: tuple[Statement, ...] = (corollary_1,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (corollary_1_twice,)
