"""Extragradient: a step by the gradient at where a step would lead.

It is for monotone fields, of which the gradients of convex functions are some and games' fields
others. Korpelevich, "The extragradient method for finding saddle points and other problems"
(1976), the inequality that its convergence rests on, as in Facchinei & Pang, "Finite-dimensional
variational inequalities and complementarity problems" (2003), Lemma 12.1.10; and Azizian,
Mitliagkas, Lacoste-Julien & Gidel, "A tight and unified analysis of gradient-based methods for a
whole spectrum of differentiable games" (AISTATS 2020), Theorem 4, whose rate covers bilinear and
strongly monotone games at once; their gamma is ``s_min``. Both numbers are from memory; the
inequalities were proved anew.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import EXPANDING, MONOTONE, SMOOTH, STRONGLY_MONOTONE
from bounds.claim import Claim, Condition
from bounds.notation import T, ell, eta, mu, s_min, sigma
from bounds.quantities import (
    final_distance_to_minimizer_squared,
    first_distance_to_minimizer_squared,
    mean_gradient_norm_squared,
)
from bounds.statement import Algorithm, Statement

_SPENT = T * eta**2 * mean_gradient_norm_squared
_NO_NOISE = Condition(sigma, "<=", 0)
_EXTRAGRADIENT = Algorithm("extragradient", {"eta": eta})

lemma_12_1_10 = Statement(
    key="extragradient.lemma_12_1_10",
    label="Lemma 12.1.10",
    form="printed",
    claim=Claim(
        final_distance_to_minimizer_squared,
        "<=",
        first_distance_to_minimizer_squared - (1 - eta**2 * ell**2) * _SPENT,
    ),
    assumptions=(MONOTONE, SMOOTH),
    algorithm=_EXTRAGRADIENT,
    conditions=(Condition(eta, "<=", 1 / ell), _NO_NOISE),
    text="||w_T - w*||^2 <= ||w_0 - w*||^2 - (1 - eta^2 ell^2) sum_t ||w_t - u_t||^2, where "
    "u_t = w_t - eta g(w_t).",
    note="True: <g(u), u - w*> >= 0, and the field at w and u differs by at most ell eta ||g(w)||. "
    "Attained by b x y at every eta, ell = b, and by (ell/2) w^2 at eta = 1/ell, which stays where "
    "it is.",
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


def _shrinks(factor: sp.Expr) -> Claim:
    return Claim(
        final_distance_to_minimizer_squared, "<=", factor**T * first_distance_to_minimizer_squared
    )


_FACTOR = 1 - eta * mu - sp.Rational(7, 16) * eta**2 * s_min**2
_SHORT = (Condition(eta, "<=", 1 / (4 * ell)), _NO_NOISE)

theorem_4 = Statement(
    key="extragradient.theorem_4",
    label="Theorem 4",
    form="printed",
    claim=_shrinks(_FACTOR),
    assumptions=(MONOTONE, STRONGLY_MONOTONE, SMOOTH, EXPANDING),
    algorithm=_EXTRAGRADIENT,
    conditions=_SHORT,
    text="||w_T - w*||^2 <= (1 - eta mu - (7/16) eta^2 s_min^2)^T ||w_0 - w*||^2.",
    note="True: the lemma's step loses 2 eta mu ||u - w*||^2 more, ||u - w*||^2 >= "
    "||w - w*||^2/2 - ||u - w||^2, and ||u - w|| >= eta s_min ||w - w*||; eta ell <= 1/4 leaves "
    "1 - 1/16 - 1/2 of the last.",
)
theorem_4_bilinear = Statement(
    key="extragradient.theorem_4.monotone",
    label="Theorem 4, mu = 0",
    form="printed",
    claim=_shrinks(_FACTOR.subs(mu, 0)),
    assumptions=(MONOTONE, SMOOTH, EXPANDING),
    algorithm=_EXTRAGRADIENT,
    conditions=_SHORT,
    text="||w_T - w*||^2 <= (1 - (7/16) eta^2 s_min^2)^T ||w_0 - w*||^2: bilinear games too.",
    note="True: Theorem 4 for mu to 0.",
)
theorem_4_doubled = Statement(
    key="extragradient.theorem_4.doubled",
    label="Theorem 4 with 2 eta mu",
    form="printed",
    claim=_shrinks(_FACTOR - eta * mu),
    assumptions=theorem_4.assumptions,
    algorithm=_EXTRAGRADIENT,
    conditions=_SHORT,
    text="||w_T - w*||^2 <= (1 - 2 eta mu - (7/16) eta^2 s_min^2)^T ||w_0 - w*||^2.",
    note="False: where g(w) = ell w a step leaves (1 - eta ell + eta^2 ell^2)^2 of the square, "
    "which is 0.66 at eta ell = 1/4, and the claim 0.47.",
)
descent_ascent = Statement(
    key="extragradient.descent_ascent",
    label="Theorem 4, mu = 0, of gradient descent-ascent",
    form="printed",
    claim=theorem_4_bilinear.claim,
    assumptions=theorem_4_bilinear.assumptions,
    algorithm=Algorithm("sgd", {"eta": eta}),
    conditions=_SHORT,
    text="The same without the extrapolation: w_{t+1} = w_t - eta g(w_t).",
    note="False: on b x y a step multiplies ||w||^2 by 1 + eta^2 b^2, at any eta.",
)

STATEMENTS: tuple[Statement, ...] = (lemma_12_1_10, theorem_4, theorem_4_bilinear)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (lemma_12_1_10_whole, theorem_4_doubled, descent_ascent)
