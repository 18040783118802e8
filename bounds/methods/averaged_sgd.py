"""SGD that returns the mean of its iterates (Polyak-Ruppert averaging), on Lipschitz functions.

Shalev-Shwartz & Ben-David, "Understanding Machine Learning" (2014), Theorem 14.8 by Lemma 14.1,
before a step is chosen, with a second moment in place of a bound on every gradient; likewise
Nemirovski, Juditsky, Lan & Shapiro, "Robust stochastic approximation approach to stochastic
programming" (SIAM J. Optimization 2009), section 2.2.
"""

from __future__ import annotations

from bounds.assumptions import BOUNDED_VARIANCE, CONVEX, LIPSCHITZ
from bounds.claim import Claim
from bounds.notation import B, G, T, eta, sigma
from bounds.quantities import first_distance_to_minimizer_squared, output_suboptimality
from bounds.statement import Algorithm, Statement

theorem_14_8 = Statement(
    key="averaged_sgd.theorem_14_8",
    label="Theorem 14.8",
    form="printed",
    claim=Claim(
        output_suboptimality,
        "<=",
        first_distance_to_minimizer_squared / (2 * eta * T) + eta * (G**2 + sigma**2 / B) / 2,
    ),
    assumptions=(CONVEX, LIPSCHITZ, BOUNDED_VARIANCE),
    algorithm=Algorithm("averaged_sgd", {"eta": eta}),
    text="E F((w_0 + ... + w_{T-1})/T) - F* <= ||w_0 - w*||^2/(2 eta T) + "
    "eta (G^2 + sigma^2/B)/2 for F convex and G-Lipschitz, at any step.",
    note="True: ||w_{t+1} - w*||^2 <= ||w_t - w*||^2 - 2 eta <g, w_t - w*> + eta^2 ||g||^2, "
    "summed; F of the mean is at most the mean of F. Attained, up to its kink, by G |w| from "
    "w_0 = eta G T: every step goes down the same slope.",
)
theorem_14_8_half = Statement(
    key="averaged_sgd.theorem_14_8.half",
    label="Theorem 14.8, half of its last term",
    form="printed",
    claim=Claim(
        output_suboptimality,
        "<=",
        first_distance_to_minimizer_squared / (2 * eta * T) + eta * (G**2 + sigma**2 / B) / 4,
    ),
    assumptions=theorem_14_8.assumptions,
    algorithm=theorem_14_8.algorithm,
    text="E F((w_0 + ... + w_{T-1})/T) - F* <= ||w_0 - w*||^2/(2 eta T) + eta (G^2 + sigma^2/B)/4.",
    note="False: half the last term. G |w| from w_0 = eta G T falls short of F* by "
    "eta G^2 (T + 1)/2.",
)

STATEMENTS: tuple[Statement, ...] = (theorem_14_8,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_14_8_half,)
