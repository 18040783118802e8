"""Decentralised gradient descent: how far the workers stay apart.

Yuan, Ling & Yin, "On the convergence of decentralized gradient descent" (SIAM J. Optim. 26, 2016),
the bound on the deviation from the mean: with ``x^(k+1) = W x^k - alpha grad f(x^k)`` and
gradients of at most D, all workers' taken together, ``||x_i^k - xbar^k|| <= alpha D/(1 - beta)``,
beta being the second largest magnitude of W's eigenvalues. Here as the sum over workers, whose
gradients are at most G each, on a ring with weights 1/3: ``beta = |1/3 + (2/3) cos(2 pi/M)|`` for
four workers or more. (Paper and number are from memory.)
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import LIPSCHITZ, PER_WORKER
from bounds.notation import G, M, T, eta, sigma
from bounds.proof import Identity
from bounds.quantities import consensus_distance_squared
from bounds.statement import Algorithm, Claim, Condition, Statement

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

STATEMENTS: tuple[Statement, ...] = (lemma_2,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (lemma_2_root,)
