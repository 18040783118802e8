"""Top-k compression with error feedback, of one worker and of several.

Karimireddy, Rebjock, Stich & Jaggi, "Error feedback fixes signSGD and other gradient compression
schemes" (ICML 2019), Lemma 3: with a delta-compressor and gradients of second moment at most
sigma^2, ``E||e_t||^2 <= 4 (1 - delta) gamma^2 sigma^2/delta^2``. Top-k of d entries has
``delta = k/d``; here the second moment is at most ``G^2 + sigma^2/B``. (The paper is confirmed; the
number of the lemma is from memory.)
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import BOUNDED_VARIANCE, LIPSCHITZ, PER_WORKER
from bounds.claim import Claim, Condition
from bounds.notation import B, G, M, T, d, eta, sigma
from bounds.proof import Identity
from bounds.quantities import held_back_norm_squared
from bounds.statement import Algorithm, Statement
from bounds.symbol import COUNT, Symbol

k = Symbol("k", "entries that compression keeps", COUNT, typical=(1, 2, 4))

_kept = k / d
_square = eta**2 * (G**2 + sigma**2 / B)
_delta = sp.Symbol("delta", positive=True)

lemma_3 = Statement(
    key="distributed_topk_sgd.lemma_3",
    label="Lemma 3",
    form="printed",
    claim=Claim(held_back_norm_squared / M, "<=", 4 * (1 - _kept) / _kept**2 * _square),
    assumptions=(PER_WORKER, LIPSCHITZ, BOUNDED_VARIANCE),
    algorithm=Algorithm("distributed_topk_sgd", {"eta": eta, "k": k}),
    conditions=(Condition(k, "<=", d), Condition(T, ">=", 1)),
    text="What a worker holds back never exceeds 2 sqrt(1 - delta)/delta steps, delta = k/d.",
    note="True: ||e'||^2 <= (1 - delta) ||e + eta g||^2 <= (1 - delta/2) ||e||^2 + (2/delta) "
    "(1 - delta) eta^2 ||g||^2, whose fixed point it is.",
    proof=(
        Identity(
            "the recursion's fixed point",
            (1 - _delta / 2) * 4 * (1 - _delta) / _delta**2 + 2 * (1 - _delta) / _delta,
            4 * (1 - _delta) / _delta**2,
        ),
    ),
)
lemma_3_linear = Statement(
    key="distributed_topk_sgd.lemma_3.linear",
    label="Lemma 3, delta for its square",
    form="printed",
    claim=Claim(held_back_norm_squared / M, "<=", 4 * (1 - _kept) / _kept * _square),
    assumptions=lemma_3.assumptions,
    algorithm=lemma_3.algorithm,
    conditions=lemma_3.conditions,
    text="The same with delta in place of delta^2.",
    note="False: of d equal entries one is sent a step, so each waits d steps and they hold "
    "0, 1, ..., d - 1 steps of eta G/sqrt(d): d^2/3 in all, more than 4 d where d > 12.",
)

STATEMENTS: tuple[Statement, ...] = (lemma_3,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (lemma_3_linear,)
