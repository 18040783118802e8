"""SGD that goes through the samples in a new random order every epoch (random reshuffling).

Mishchenko, Khaled & Richtarik, "Random reshuffling: simple analysis with vast improvements"
(NeurIPS 2020), Theorem 1 with the shuffling radius bounded by Proposition 1. Each f_i is strongly
convex; T are epochs. The numbers are from memory.
"""

from __future__ import annotations

from bounds.assumptions import NOISE_AT_MINIMIZER, PER_SAMPLE, SMOOTH, STRONGLY_CONVEX
from bounds.claim import Claim, Condition
from bounds.notation import T, ell, eta, mu, n, sigma_star
from bounds.quantities import (
    final_distance_to_minimizer_squared,
    first_distance_to_minimizer_squared,
)
from bounds.statement import Algorithm, Statement

_SHRUNK = (1 - eta * mu) ** (n * T) * first_distance_to_minimizer_squared

theorem_1 = Statement(
    key="reshuffled_sgd.theorem_1",
    label="Theorem 1",
    form="printed",
    claim=Claim(
        final_distance_to_minimizer_squared,
        "<=",
        _SHRUNK + eta**2 * ell * n * sigma_star**2 / (2 * mu),
    ),
    assumptions=(PER_SAMPLE, SMOOTH, STRONGLY_CONVEX, NOISE_AT_MINIMIZER),
    algorithm=Algorithm("reshuffled_sgd", {"eta": eta}, horizon=n * T),
    conditions=(Condition(eta, "<=", 1 / ell),),
    text="E||w_T - w*||^2 <= (1 - eta mu)^(n T) ||w_0 - w*||^2 + eta^2 ell n sigma_*^2/(2 mu) "
    "after T epochs.",
    note="True: two neighbouring steps of a run from w* and of ours contract, and the run from w* "
    "strays by sums of k gradients drawn without replacement, whose mean square is "
    "k (n - k)/(n - 1) sigma_*^2 <= n sigma_*^2/2. Attained by two samples (ell/2) w^2 +- s w at "
    "eta = 1/ell: only the last one is left of an epoch.",
)
theorem_1_half = Statement(
    key="reshuffled_sgd.theorem_1.half",
    label="Theorem 1, half the shuffling radius",
    form="printed",
    claim=Claim(
        final_distance_to_minimizer_squared,
        "<=",
        _SHRUNK + eta**2 * ell * n * sigma_star**2 / (4 * mu),
    ),
    assumptions=theorem_1.assumptions,
    algorithm=theorem_1.algorithm,
    conditions=theorem_1.conditions,
    text="E||w_T - w*||^2 <= (1 - eta mu)^(n T) ||w_0 - w*||^2 + eta^2 ell n sigma_*^2/(4 mu).",
    note="False: half the last term. Two or three samples (ell/2) w^2 + s_i w at eta = 1/ell leave "
    "the last one's s_i/ell, of mean square sigma_*^2/ell^2, above n/4 of it.",
)

STATEMENTS: tuple[Statement, ...] = (theorem_1,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_1_half,)
