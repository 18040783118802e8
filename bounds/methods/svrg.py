"""SVRG, variance reduction by a full gradient at an anchor: the mean of a round.

Xiao & Zhang, "A proximal stochastic gradient method with progressive variance reduction" (SIAM
J. Optimization 2014), Theorem 3.1, without the composite part and with uniform sampling (Johnson
& Zhang 2013, Theorem 1, is the same for a random iterate of the round). Strong convexity enters
by quadratic growth alone. The theorem's number is from memory.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import CONVEX, PER_SAMPLE, QUADRATIC_GROWTH, SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import S, T, ell, eta, mu_qg
from bounds.proof import Identity
from bounds.quantities import first_suboptimality, output_suboptimality
from bounds.statement import Algorithm, Statement

_LEFT = 1 - 4 * ell * eta


def _rho(share: sp.Expr) -> sp.Expr:
    """What a round leaves of the suboptimality; ``share`` of the start's part is claimed."""
    return share / (mu_qg * eta * _LEFT * S) + 4 * ell * eta * (S + 1) / (_LEFT * S)


def _shortest(share: sp.Expr) -> sp.Expr:
    """The length of a round beyond which rho < 1."""
    return (share / (mu_qg * eta) + 4 * ell * eta) / (1 - 8 * ell * eta)


_WHOLE, _QUARTER = sp.Integer(1), sp.Rational(1, 4)

theorem_3_1 = Statement(
    key="svrg.theorem_3_1",
    label="Theorem 3.1",
    form="printed",
    claim=Claim(output_suboptimality, "<=", _rho(_WHOLE) ** T * first_suboptimality),
    assumptions=(PER_SAMPLE, CONVEX, SMOOTH, QUADRATIC_GROWTH),
    algorithm=Algorithm("svrg", {"eta": eta, "S": S, "anchor": "mean"}),
    conditions=(Condition(eta, "<", 1 / (8 * ell)), Condition(S, ">", _shortest(_WHOLE))),
    text="E F(w~_T) - F* <= rho^T (F(w_0) - F*) with rho = 1/(mu eta (1 - 4 ell eta) S) + "
    "4 ell eta (S+1)/((1 - 4 ell eta) S), w~ the mean of a round's S iterates.",
    note="True: E||v - grad F(w)||^2 <= 4 ell (F(w) - F* + F(w~) - F*), and the distance to the "
    'minimizer pays for the suboptimality of all S iterates. Of m "sufficiently large" the '
    "conditions say how large: rho < 1.",
    proof=(Identity("rho = 1 at the shortest round", _rho(_WHOLE), 1, {S: _shortest(_WHOLE)}),),
)
theorem_3_1_quarter = Statement(
    key="svrg.theorem_3_1.quarter",
    label="Theorem 3.1, a quarter of rho's first term",
    form="printed",
    claim=Claim(output_suboptimality, "<=", _rho(_QUARTER) ** T * first_suboptimality),
    assumptions=theorem_3_1.assumptions,
    algorithm=theorem_3_1.algorithm,
    conditions=(Condition(eta, "<", 1 / (8 * ell)), Condition(S, ">", _shortest(_QUARTER))),
    text="E F(w~_T) - F* <= rho^T (F(w_0) - F*) with rho = 1/(4 mu eta (1 - 4 ell eta) S) + "
    "4 ell eta (S+1)/((1 - 4 ell eta) S).",
    note="False: a quarter of the first term. Samples that are all (ell/2) w^2 make it gradient "
    "descent; of a round with eta ell S = 1 and eta small the mean leaves (1 - 1/e)^2 = 0.4.",
)

STATEMENTS: tuple[Statement, ...] = (theorem_3_1,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_3_1_quarter,)
