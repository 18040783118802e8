"""Extragradient: a step by the gradient at where a step would lead.

Korpelevich, "The extragradient method for finding saddle points and other problems" (1976), the
inequality that its convergence rests on, as in Facchinei & Pang, "Finite-dimensional variational
inequalities and complementarity problems" (2003), Lemma 12.1.10: for a monotone operator, here
the gradient of a convex function. The lemma's number is from memory.
"""

from __future__ import annotations

from bounds.assumptions import CONVEX, SMOOTH
from bounds.notation import T, ell, eta, sigma
from bounds.quantities import (
    final_distance_to_minimizer_squared,
    first_distance_to_minimizer_squared,
    mean_gradient_norm_squared,
)
from bounds.statement import Algorithm, Claim, Condition, Statement

_SPENT = T * eta**2 * mean_gradient_norm_squared

lemma_12_1_10 = Statement(
    key="extragradient.lemma_12_1_10",
    label="Lemma 12.1.10",
    form="printed",
    claim=Claim(
        final_distance_to_minimizer_squared,
        "<=",
        first_distance_to_minimizer_squared - (1 - eta**2 * ell**2) * _SPENT,
    ),
    assumptions=(CONVEX, SMOOTH),
    algorithm=Algorithm("extragradient", {"eta": eta}),
    conditions=(Condition(eta, "<=", 1 / ell), Condition(sigma, "<=", 0)),
    text="||w_T - w*||^2 <= ||w_0 - w*||^2 - (1 - eta^2 ell^2) sum_t ||w_t - u_t||^2, where "
    "u_t = w_t - eta grad F(w_t).",
    note="True: <grad F(u), u - w*> >= 0, and the gradients at w and u differ by at most "
    "ell eta ||grad F(w)||. Attained by (ell/2) w^2 at eta = 1/ell, which stays where it is.",
)
lemma_12_1_10_whole = Statement(
    key="extragradient.lemma_12_1_10.whole",
    label="Lemma 12.1.10 without eta^2 ell^2",
    form="printed",
    claim=Claim(
        final_distance_to_minimizer_squared, "<=", first_distance_to_minimizer_squared - _SPENT
    ),
    assumptions=lemma_12_1_10.assumptions,
    algorithm=lemma_12_1_10.algorithm,
    conditions=lemma_12_1_10.conditions,
    text="||w_T - w*||^2 <= ||w_0 - w*||^2 - sum_t ||w_t - u_t||^2.",
    note="False: (ell/2) w^2 at eta = 1/ell goes nowhere, but u_t = 0.",
)

STATEMENTS: tuple[Statement, ...] = (lemma_12_1_10,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (lemma_12_1_10_whole,)
