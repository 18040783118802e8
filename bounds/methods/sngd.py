"""Normalised SGD on (L0, L1)-smooth functions: what one step gains.

The descent lemma of normalised steps (Cutkosky and Mehta 2020, "Momentum improves normalized SGD",
the one-step lemma; with the factor 2 of the gradient's error as in Zhao, Xie and Li 2021) with the
upper bound of (L0, L1)-smooth functions of Vankov, Rodomanov, Nedich, Sankar and Stich (2024),
arXiv:2410.10800: ``F(u) <= F(w) + <grad F(w), u - w> + (L0 + L1 ||grad F(w)||)/L1^2
phi(L1 ||u - w||)``, ``phi(t) = e^t - t - 1`` (stated as in notes on its third version). The numbers
of these lemmas were not at hand; the combination was proved anew (``proof``).
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import BOUNDED_VARIANCE, RELAXED_SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import L0, L1, B, sigma
from bounds.notation import eta_length as eta
from bounds.proof import Identity, Nonnegative
from bounds.quantities import decrease, gradient_norm
from bounds.statement import Algorithm, Statement

__all__ = ["FALSE_NEIGHBOURS", "STATEMENTS"]

_ALGORITHM = Algorithm("sngd", {"eta": eta})
_CONDITIONS = (Condition(L1, ">", 0),)
_BEND = (sp.exp(L1 * eta) - 1 - L1 * eta) / L1**2
_NOISE = 2 * eta * sigma / sp.sqrt(B)
_a, _b, _e = (sp.Symbol(name, nonnegative=True) for name in ("a", "b", "e"))

step = Statement(
    key="sngd.step",
    label="Gain of a normalised step",
    form="printed",
    claim=Claim(
        decrease, ">=", eta * gradient_norm - L1 * _BEND * gradient_norm - L0 * _BEND - _NOISE
    ),
    assumptions=(RELAXED_SMOOTH, BOUNDED_VARIANCE),
    algorithm=_ALGORITHM,
    conditions=_CONDITIONS,
    text="A step of length eta gains eta ||grad F||, but for (L0 + L1 ||grad F||)/L1^2 phi(L1 eta) "
    "and twice the gradient's error.",
    note="True for every eta: with e = g - grad F, <grad F, g/||g||> = ||g|| - <e, g>/||g|| >= "
    "||g|| - ||e|| >= ||grad F|| - 2 ||e||, and E||e|| <= sigma/sqrt(B). Met as eta -> 0 at a "
    "minimum of curvature L0, without noise.",
    proof=(
        Nonnegative(
            "||g|| >= a - e for ||grad F|| = a, ||e|| = e: then ||g|| - e is at least a - 2 e",
            (_a - _e + _b) - _e - (_a - 2 * _e),
            _b,
        ),
        Identity(
            "for small steps the loss is (L0 + L1 ||grad F||) eta^2/2",
            sp.limit((sp.exp(_a) - 1 - _a) / _a**2, _a, 0),
            sp.Rational(1, 2),
        ),
    ),
)

step_half = Statement(
    key="sngd.step.half",
    label="Gain of a normalised step, half of the loss by L0",
    form="printed",
    claim=Claim(
        decrease, ">=", eta * gradient_norm - L1 * _BEND * gradient_norm - L0 * _BEND / 2 - _NOISE
    ),
    assumptions=step.assumptions,
    algorithm=_ALGORITHM,
    conditions=_CONDITIONS,
    note="False: without noise, near a minimum of curvature L0, the loss is L0 eta^2/2 as "
    "eta -> 0.",
)

STATEMENTS: tuple[Statement, ...] = (step,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (step_half,)
