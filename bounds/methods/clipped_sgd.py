"""Clipped gradient descent on (L0, L1)-smooth functions, without noise.

Vankov, Rodomanov, Nedich, Sankar and Stich (2024), "Optimizing (L0, L1)-smooth functions by
gradient methods", arXiv:2410.10800: the clipping step ``min(1/(2 L0), 1/(3 L1 ||grad F||))``, what
it gains, and how many steps reach a gradient of length eps (stated as in notes on the paper's third
version: the theorem's number was not at hand, and both were proved anew, ``proof``). The method is
Algorithm 1 of Zhang, He, Sra and Jadbabaie (2020), whose Theorem 3 is looser by a term
``L1^2 Delta/L0``.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import BOUNDED_BELOW, RELAXED_SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import L0, L1, Delta, T, sigma
from bounds.proof import Identity, Nonnegative
from bounds.quantities import decrease, gradient_norm, min_gradient_norm
from bounds.statement import Algorithm, Statement

__all__ = ["FALSE_NEIGHBOURS", "STATEMENTS"]

_ALGORITHM = Algorithm("clipped_sgd", {"eta": 1 / (2 * L0), "c": 2 * L0 / (3 * L1)})
_CONDITIONS = (Condition(L0, ">", 0), Condition(L1, ">", 0), Condition(sigma, "<=", 0))
_e = sp.Symbol("e", positive=True)
_EPS = (3 * L1 * Delta + sp.sqrt(9 * L1**2 * Delta**2 + 4 * (T + 1) * L0 * Delta)) / (T + 1)
_STEP = sp.Min(1 / (2 * L0), 1 / (3 * L1 * gradient_norm))

step = Statement(
    key="clipped_sgd.step",
    label="Gain of a step",
    form="printed",
    claim=Claim(decrease, ">=", _STEP * gradient_norm**2 / 2),
    assumptions=(RELAXED_SMOOTH,),
    algorithm=_ALGORITHM,
    conditions=_CONDITIONS,
    text="The clipped step eta_t = min(1/(2 L0), 1/(3 L1 ||grad F||)) gains half of what the "
    "linear model promises.",
    note="True: F(w+) <= F - eta_t ||g||^2 + (L0 + L1 ||g||)/L1^2 phi(L1 eta_t ||g||), "
    "phi(t) = e^t - 1 - t <= (9/16) t^2 for t <= 1/3, and eta_t (L0 + L1 ||g||) <= 5/6. "
    "At a minimum of curvature L0 it gains 3/4.",
    proof=(
        Nonnegative(
            "phi(t)/t^2, a power series with positive terms, is largest at t = 1/3, below 9/16",
            sp.Rational(9, 16) / 9 - (sp.exp(sp.Rational(1, 3)) - 1 - sp.Rational(1, 3)),
        ),
        Nonnegative(
            "5/6 of 9/16 leaves more than half",
            1 - sp.Rational(5, 6) * sp.Rational(9, 16) - sp.Rational(1, 2),
        ),
    ),
)  # fmt: skip

step_whole = Statement(
    key="clipped_sgd.step.whole",
    label="Gain of a step, all that the linear model promises",
    form="printed",
    claim=Claim(decrease, ">=", _STEP * gradient_norm**2),
    assumptions=step.assumptions,
    algorithm=_ALGORITHM,
    conditions=_CONDITIONS,
    note="False of every convex function that bends along the step: at a minimum of curvature L0 "
    "the gain is 3/4 of that.",
)

steps = Statement(
    key="clipped_sgd.steps",
    label="How many steps reach a gradient of length eps",
    form="printed",
    claim=Claim(min_gradient_norm, "<=", _EPS),
    assumptions=(RELAXED_SMOOTH, BOUNDED_BELOW),
    algorithm=_ALGORITHM,
    conditions=_CONDITIONS,
    text="Some of w_0, ..., w_T has a gradient of length eps at most as soon as T + 1 >= "
    "4 L0 Delta/eps^2 + 6 L1 Delta/eps; the bound is the eps that solves it with equality.",
    note="True: each of T + 1 steps gains at least eps^2/(4 L0 + 6 L1 eps) if no gradient is "
    "shorter than eps, and all together they gain at most Delta.",
    proof=(
        Identity(
            "the harmonic mean of the two steps stays below the lesser",
            1 / (2 * L0 + 3 * L1 * _e),
            1 / (1 / (1 / (2 * L0)) + 1 / (1 / (3 * L1 * _e))),
        ),
        Identity(
            "the bound solves (T + 1) eps^2 = 4 L0 Delta + 6 L1 Delta eps",
            (T + 1) * _EPS**2 - 6 * L1 * Delta * _EPS,
            4 * L0 * Delta,
        ),
    ),
)

STATEMENTS: tuple[Statement, ...] = (steps, step)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (step_whole,)
