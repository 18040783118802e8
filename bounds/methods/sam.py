"""Sharpness-aware minimization at a constant radius on smooth functions, without noise.

Si and Yun (2023), "Practical sharpness-aware minimization cannot converge all the way to optima",
the theorem on smooth nonconvex functions with exact gradients: stationary up to ``beta^2 rho^2``;
their beta is ``ell``, their rho is ``radius``. The text of the paper was not at hand: its number is
left out, and the bound was proved anew (``proof``).
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import BOUNDED_BELOW, SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import Delta, T, ell, eta, radius, sigma
from bounds.proof import Identity, Nonnegative
from bounds.quantities import mean_gradient_norm_squared
from bounds.statement import Algorithm, Statement

__all__ = ["FALSE_NEIGHBOURS", "STATEMENTS"]

_ALGORITHM = Algorithm("sam", {"eta": eta, "rho": radius})
_CONDITIONS = (Condition(eta, "<=", 1 / ell), Condition(sigma, "<=", 0))
# <a, g>, ||a||^2 and ||g||^2 of the gradients a at the perturbed point and g at the iterate.
_ag = sp.Symbol("ag", real=True)
_aa, _gg, _slack, _e = (sp.Symbol(name, nonnegative=True) for name in ("aa", "gg", "slack", "e"))

nonconvex = Statement(
    key="sam.nonconvex",
    label="Smooth nonconvex functions",
    form="printed",
    claim=Claim(
        mean_gradient_norm_squared, "<=", 2 * Delta / (eta * T) + ell**2 * radius**2
    ),
    assumptions=(SMOOTH, BOUNDED_BELOW),
    algorithm=_ALGORITHM,
    conditions=_CONDITIONS,
    text="At a constant radius SAM is stationary up to ell^2 radius^2, however long it runs.",
    note="True: with a the gradient at the perturbed point, F falls by eta <a, g> - "
    "(ell eta^2/2)||a||^2 >= (eta/2)(||g||^2 - ||a - g||^2), and ||a - g|| <= ell radius. The last "
    "term is met: on (ell/2) w^2 at eta = 1/ell every step but the first ends at "
    "|w| = radius, on the other side.",
    proof=(
        Identity(
            "polarisation: the decrease at eta = 1/ell",
            _e * _ag - _e * _aa / 2,
            _e / 2 * (_gg - (_aa - 2 * _ag + _gg)),
        ),
        Nonnegative(
            "a shorter step has more: slack = 1 - eta ell",
            _e * _ag - (1 - _slack) * _e * _aa / 2 - (_e * _ag - _e * _aa / 2),
            _slack * _e * _aa / 2,
        ),
    ),
)  # fmt: skip

nonconvex_half = Statement(
    key="sam.nonconvex.half",
    label="Half of the last term",
    form="printed",
    claim=Claim(
        mean_gradient_norm_squared, "<=", 2 * Delta / (eta * T) + ell**2 * radius**2 / 2
    ),
    assumptions=nonconvex.assumptions,
    algorithm=_ALGORITHM,
    conditions=_CONDITIONS,
    note="False: on (ell/2) w^2 at eta = 1/ell the left side is 2 ell Delta/T + "
    "(1 - 1/T) ell^2 radius^2, more from T = 3 on.",
)  # fmt: skip

STATEMENTS: tuple[Statement, ...] = (nonconvex,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (nonconvex_half,)
