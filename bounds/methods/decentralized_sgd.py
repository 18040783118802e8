"""Decentralised gradient descent: how far the workers stay apart.

Yuan, Ling & Yin, "On the convergence of decentralized gradient descent" (SIAM J. Optim. 26, 2016),
the bound on the deviation from the mean: with ``x^(k+1) = W x^k - alpha grad f(x^k)`` and
gradients of at most D, all workers' taken together, ``||x_i^k - xbar^k|| <= alpha D/(1 - beta)``,
beta being the second largest magnitude of W's eigenvalues. Here as the sum over workers, whose
gradients are at most G each, on a ring with weights 1/3: ``beta = |1/3 + (2/3) cos(2 pi/M)|`` for
four workers or more. (Paper and number are from memory.)

Koloskova, Loizou, Boreiri, Jaggi & Stich, "A unified theory of decentralized SGD with changing
topology and local updates" (ICML 2020), Assumption 4: ``||XW - Xbar||^2 <= (1 - p) ||X - Xbar||^2``
on average, here with the exact p of the ring, after one step from a common point. (Number from
memory.)
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import BOUNDED_VARIANCE, HETEROGENEITY, LIPSCHITZ, PER_WORKER
from bounds.claim import Claim, Condition
from bounds.notation import B, G, M, T, eta, gap, sigma, zeta
from bounds.proof import Identity
from bounds.quantities import consensus_distance_squared
from bounds.statement import Algorithm, Statement

_second = sp.Abs(sp.Rational(1, 3) + sp.Rational(2, 3) * sp.cos(2 * sp.pi / M))
_b = sp.Symbol("b", positive=True)

lemma_2 = Statement(
    key="decentralized_sgd.lemma_2",
    label="Lemma 2",
    form="printed",
    claim=Claim(consensus_distance_squared, "<=", (eta * G / (1 - _second)) ** 2),
    assumptions=(PER_WORKER, LIPSCHITZ),
    algorithm=Algorithm("decentralized_sgd", {"eta": eta, "mix_first": sp.Integer(1)}),
    conditions=(Condition(sigma, "<=", 0), Condition(M, ">=", 4), Condition(T, ">=", 1)),
    text="On a ring of M workers with gradients of at most G the points stay within "
    "eta G/(1 - beta) of their mean, root mean square.",
    note="True: a mixing shortens the deviation from the mean to beta of it, a step adds eta G; no "
    "convexity is needed.",
    proof=(
        Identity("eta G/(1 - beta) is the recursion's fixed point",
                 _b * eta * G / (1 - _b) + eta * G, eta * G / (1 - _b)),
    ),
)  # fmt: skip
lemma_2_root = Statement(
    key="decentralized_sgd.lemma_2.root",
    label="Lemma 2, with the root of the gap",
    form="printed",
    claim=Claim(consensus_distance_squared, "<=", (eta * G) ** 2 / (1 - _second)),
    assumptions=lemma_2.assumptions,
    algorithm=lemma_2.algorithm,
    conditions=lemma_2.conditions,
    text="The square of the distance within (eta G)^2/(1 - beta).",
    note="False: where worker m's pull turns evenly round a circle with m it is the slowest to "
    "mix, and pulls of T steps add up to eta G (1 - beta^T)/(1 - beta).",
)

_step = eta**2 * (zeta**2 + sigma**2 / B)

mixing = Statement(
    key="decentralized_sgd.mixing",
    label="Assumption 4, after one step",
    form="printed",
    claim=Claim(consensus_distance_squared, "<=", (1 - gap) * _step),
    assumptions=(PER_WORKER, HETEROGENEITY, BOUNDED_VARIANCE),
    algorithm=Algorithm("decentralized_sgd", {"eta": eta}, horizon=sp.Integer(1)),
    prescription={gap: 1 - _second**2},
    conditions=(Condition(M, ">=", 4),),
    text="On a ring a step and a mixing from one point leave the workers (1 - p) eta^2 "
    "(zeta^2 + sigma^2/B) apart, mean square.",
    note="True: the step spreads them by eta^2 (zeta^2 + (1 - 1/M) sigma^2/B), the mixing leaves "
    "1 - p of it.",
)
mixing_twice = Statement(
    key="decentralized_sgd.mixing.twice",
    label="Assumption 4, as if mixed twice",
    form="printed",
    claim=Claim(consensus_distance_squared, "<=", (1 - gap) ** 2 * _step),
    assumptions=mixing.assumptions,
    algorithm=mixing.algorithm,
    prescription=mixing.prescription,
    conditions=mixing.conditions,
    text="(1 - p)^2 in place of 1 - p.",
    note="False: four workers on a ring, two of them pulled against the other two, keep a ninth of "
    "the distance, which is 1 - p.",
)

STATEMENTS: tuple[Statement, ...] = (lemma_2, mixing)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (lemma_2_root, mixing_twice)
