"""Federated averaging on workers whose data differ: where it converges is not the minimizer.

Malinovsky, Kovalev, Gasanov, Condat & Richtarik, "From local SGD to local fixed-point methods for
federated learning" (ICML 2020), for M maps that contract by xi: rounds of H local steps converge by
``xi^H`` a round to a point within ``xi/(1 - xi) (1 - xi^(H-1))/(1 - xi^H) S`` of the fixed point of
the mean map, S being the mean of ``||x* - T_m(x*)||`` over the workers. Here the maps are gradient
steps, ``xi = 1 - eta mu`` and ``S <= eta zeta_*``; a server's step alpha relaxes the mean map as
their lambda does. (Stated as reconstructed, its proof below; the
paper is confirmed, the number of its theorem is not.)
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import (
    HETEROGENEITY_AT_MINIMIZER,
    KNOWN_DISTANCE,
    PER_WORKER,
    SMOOTH,
    STRONGLY_CONVEX,
)
from bounds.claim import Claim, Condition
from bounds.notation import R, S, T, ell, eta, mu, sigma, zeta_star
from bounds.proof import Identity
from bounds.quantities import final_distance_to_minimizer_squared
from bounds.statement import Algorithm, Statement
from bounds.symbol import Domain, Symbol

alpha = Symbol("alpha", "the server's step", Domain(0, 1, lower_open=True), latex=r"\alpha",
               typical=(1.0, 0.5))  # fmt: skip

_xi = 1 - eta * mu
_kept = 1 - alpha * (1 - _xi**S)  # of the distance, in a round


def _within(radius: sp.Expr) -> sp.Expr:
    drift = radius * _xi * (1 - _xi ** (S - 1))
    return _kept**T * R + drift * (1 - _kept**T) / (1 - _xi**S)


_x, _y = sp.symbols("x y", positive=True)
_steps = sp.Symbol("K", integer=True, positive=True)

neighbourhood = Statement(
    key="federated_averaging.neighbourhood",
    label="size of the neighbourhood",
    form="printed",
    claim=Claim(sp.sqrt(final_distance_to_minimizer_squared), "<=", _within(zeta_star / mu)),
    assumptions=(PER_WORKER, SMOOTH, STRONGLY_CONVEX, HETEROGENEITY_AT_MINIMIZER, KNOWN_DISTANCE),
    algorithm=Algorithm("local_sgd", {"eta": eta, "S": S, "server": alpha}),
    conditions=(Condition(sigma, "<=", 0), Condition(eta, "<=", 1 / ell)),
    text="T rounds of S exact local steps and a server's step forget w_0 by 1 - alpha (1 - xi^S) a "
    "round, xi = 1 - eta mu, and end in a neighbourhood that zeta_* sets, a point where S = 1.",
    note="True: each worker's S steps contract by xi^S, and from w* worker m's k-th step is at "
    "most xi^(k-1) eta ||grad f_m(w*)|| long. The first steps cancel over workers; the others add "
    "up to the radius at most.",
    proof=(
        Identity(
            "one more step from the minimizer, xi^K times the first, adds up to the same form",
            _x * (1 - _x ** (_steps - 1)) / (1 - _x) + _x**_steps,
            _x * (1 - _x**_steps) / (1 - _x),
        ),
        Identity(
            "one more round keeps y = 1 - alpha (1 - xi^S) of the radius and drifts by alpha again",
            _y * (1 - _y**T) * alpha / (1 - _y) + alpha,
            (1 - _y ** (T + 1)) * alpha / (1 - _y),
        ),
    ),
)
neighbourhood_ell = Statement(
    key="federated_averaging.neighbourhood.ell",
    label="size of the neighbourhood, with ell for mu",
    form="printed",
    claim=Claim(sp.sqrt(final_distance_to_minimizer_squared), "<=", _within(zeta_star / ell)),
    assumptions=neighbourhood.assumptions,
    algorithm=neighbourhood.algorithm,
    conditions=neighbourhood.conditions,
    text="The same with zeta_*/ell in place of zeta_*/mu.",
    note="False: of two quadratics with curvatures ell and mu, eta = 1/ell, the steep worker is at "
    "its minimum after one step and the flat one moves on; many local steps end half way between "
    "the two minima, not zeta_*/ell from the minimizer of the mean.",
)

STATEMENTS: tuple[Statement, ...] = (neighbourhood,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (neighbourhood_ell,)
