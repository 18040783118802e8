"""STORM, momentum that reduces variance.

Cutkosky & Orabona, "Momentum-based variance reduction in non-convex SGD" (NeurIPS 2019), the
recursion of the error eps_t = d_t - grad F(w_t) that Lemma 2 rests on, with the variance in place
of the gradients seen (they adapt their steps to those); the form used since with constant
parameters. The lemma's number is from memory.
"""

from __future__ import annotations

from bounds.assumptions import BOUNDED_VARIANCE, PER_SAMPLE, SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import T, a, ell, eta, sigma
from bounds.quantities import (
    earlier_estimate_error_squared,
    earlier_move_squared,
    estimate_error_squared,
)
from bounds.statement import Algorithm, Statement

_MOVED = 2 * (1 - a) ** 2 * ell**2 * earlier_move_squared

lemma_2 = Statement(
    key="storm.lemma_2",
    label="Lemma 2",
    form="printed",
    claim=Claim(
        estimate_error_squared,
        "<=",
        (1 - a) ** 2 * earlier_estimate_error_squared + 2 * a**2 * sigma**2 + _MOVED,
    ),
    assumptions=(PER_SAMPLE, SMOOTH, BOUNDED_VARIANCE),
    algorithm=Algorithm("storm", {"eta": eta, "a": a}),
    conditions=(Condition(T, ">=", 2),),
    text="E||eps_t||^2 <= (1-a)^2 E||eps_{t-1}||^2 + 2 a^2 sigma^2 + "
    "2 (1-a)^2 ell^2 E||w_t - w_{t-1}||^2.",
    note="True: given the past, eps_t is (1-a) eps_{t-1} plus a (g(w_t) - grad F(w_t)) plus "
    "(1-a) of the noise of g(w_t) - g(w_{t-1}); the square of the sum of these two is at most "
    "twice the sum of theirs.",
)
lemma_2_quarter = Statement(
    key="storm.lemma_2.quarter",
    label="Lemma 2, a quarter of its noise",
    form="printed",
    claim=Claim(
        estimate_error_squared,
        "<=",
        (1 - a) ** 2 * earlier_estimate_error_squared + a**2 * sigma**2 / 2 + _MOVED,
    ),
    assumptions=lemma_2.assumptions,
    algorithm=lemma_2.algorithm,
    conditions=lemma_2.conditions,
    text="E||eps_t||^2 <= (1-a)^2 E||eps_{t-1}||^2 + a^2 sigma^2/2 + "
    "2 (1-a)^2 ell^2 E||w_t - w_{t-1}||^2.",
    note="False: a quarter of the noise. At a = 1 the estimate is the fresh gradient, whose noise "
    "has variance sigma^2.",
)

STATEMENTS: tuple[Statement, ...] = (lemma_2,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (lemma_2_quarter,)
