"""Local SGD on identical data.

Khaled, Mishchenko & Richtarik, "Tighter theory for local SGD on identical and heterogeneous data"
(AISTATS 2020), Lemma 1: with identical data and steps of at most ``1/(2L)`` the workers' points
have ``E V_t <= (H - 1) gamma^2 sigma^2``, ``H - 1`` being the most steps since they were last
averaged. Here those are the ``S`` steps of a round. (The paper is confirmed; the number of the
lemma is from memory.)
"""

from __future__ import annotations

from bounds.assumptions import BOUNDED_VARIANCE, CONVEX, HETEROGENEITY, PER_WORKER, SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import B, M, S, T, ell, eta, sigma, zeta
from bounds.proof import Identity
from bounds.quantities import consensus_distance_squared
from bounds.statement import Algorithm, Statement

_spread = eta**2 * sigma**2 / B

lemma_1 = Statement(
    key="local_sgd.lemma_1",
    label="Lemma 1",
    form="printed",
    claim=Claim(consensus_distance_squared, "<=", S * _spread),
    assumptions=(PER_WORKER, SMOOTH, CONVEX, BOUNDED_VARIANCE, HETEROGENEITY),
    algorithm=Algorithm("local_sgd", {"eta": eta, "S": S}),
    conditions=(Condition(zeta, "<=", 0), Condition(eta, "<=", 1 / (2 * ell)),
                Condition(T, ">=", 1)),
    text="On identical data S local steps spread the workers by at most S eta^2 sigma^2/B.",
    note="True: a step expands no pair of points, and adds its noise; (1/M) sum ||w_m - w||^2 is "
    "half the mean of ||w_m - w_n||^2 over all pairs, so (1 - 1/M) S eta^2 sigma^2/B even.",
    proof=(
        Identity(
            "half the mean over all pairs, those of a worker with itself being 0",
            M * (M - 1) / (2 * M**2) * 2 * S * _spread,
            (1 - 1 / M) * S * _spread,
        ),
    ),
)  # fmt: skip
lemma_1_half = Statement(
    key="local_sgd.lemma_1.half",
    label="Lemma 1, half of it",
    form="printed",
    claim=Claim(consensus_distance_squared, "<=", S * _spread / 2),
    assumptions=lemma_1.assumptions,
    algorithm=lemma_1.algorithm,
    conditions=lemma_1.conditions,
    text="S eta^2 sigma^2/(2B).",
    note="False: after one step of M workers with one gradient the spread is "
    "(1 - 1/M) eta^2 sigma^2/B, two thirds of the printed bound with three workers.",
)

STATEMENTS: tuple[Statement, ...] = (lemma_1,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (lemma_1_half,)
