"""AdaGrad-norm on smooth functions, without noise.

Ward, Wu and Bottou (2019, JMLR 2020), "AdaGrad stepsizes: sharp convergence over nonconvex
landscapes", Theorem 2.2, the case ``b_0 >= eta L``; their L is ``ell``. The text of the paper was
not at hand: the number is as commonly cited, the bound was proved anew (``proof``).
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import BOUNDED_BELOW, SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import Delta, T, b0, ell, sigma
from bounds.notation import eta_length as eta
from bounds.proof import Identity, Nonnegative
from bounds.quantities import mean_gradient_norm_squared
from bounds.statement import Algorithm, Statement

__all__ = ["FALSE_NEIGHBOURS", "STATEMENTS"]

# x stands for 2 Delta/eta, b for b_0; y and u are not negative.
_x, _b, _y, _u = (sp.Symbol(name, nonnegative=True) for name in ("x", "b", "y", "u"))
_ALGORITHM = Algorithm("adagrad_norm", {"eta": eta, "b0": b0})
_CONDITIONS = (Condition(b0, ">=", eta * ell), Condition(sigma, "<=", 0))

theorem_2_2 = Statement(
    key="adagrad_norm.theorem_2_2",
    label="Theorem 2.2",
    form="printed",
    claim=Claim(
        mean_gradient_norm_squared,
        "<=",
        (4 * Delta**2 / eta**2 + 2 * b0 * Delta / eta) / T,
    ),
    assumptions=(SMOOTH, BOUNDED_BELOW),
    algorithm=_ALGORITHM,
    conditions=_CONDITIONS,
    text="From b_0 >= eta ell, (4 Delta^2/eta^2 + 2 b_0 Delta/eta)/eps steps suffice for eps.",
    note="True, and the proof bounds the mean over t, not only the least: a step with "
    "eta/b_t <= 1/ell gains (eta/(2 b_t))||grad F||^2, and b_t <= b_T, so the sum Z of the squares "
    "obeys Z <= (2 Delta/eta) sqrt(b_0^2 + Z). Met in the limit eta >> ||w_0|| at b_0 = eta ell: "
    "one step of gradient descent at 1/ell on a parabola.",
    proof=(
        Nonnegative(
            "the gain of a step, as a part of (eta/b)||g||^2: at least half, u = 1 - ell eta/b",
            (1 - (1 - _u) / 2) - sp.Rational(1, 2),
            _u / 2,
        ),
        Nonnegative(
            "Z = x^2 + x b_0 + y has Z^2 >= x^2 (b_0^2 + Z), so Z <= x^2 + x b_0 in all cases",
            sp.expand((_x**2 + _x * _b + _y) ** 2 - _x**2 * (_b**2 + _x**2 + _x * _b + _y)),
            _x**3 * _b + _x**2 * _y + 2 * _x * _b * _y + _y**2,
        ),
        Identity(
            "x = 2 Delta/eta", _x**2 + _x * b0, 4 * Delta**2 / eta**2 + 2 * b0 * Delta / eta,
            {_x: 2 * Delta / eta},
        ),
    ),
)  # fmt: skip

theorem_2_2_half = Statement(
    key="adagrad_norm.theorem_2_2.half",
    label="Theorem 2.2, half of its second term",
    form="printed",
    claim=Claim(mean_gradient_norm_squared, "<=", (4 * Delta**2 / eta**2 + b0 * Delta / eta) / T),
    assumptions=theorem_2_2.assumptions,
    algorithm=_ALGORITHM,
    conditions=_CONDITIONS,
    note="False: on (ell/2) w^2 at b_0 = eta ell and T = 1 the left side is 2 ell Delta, the "
    "right one 4 Delta^2/eta^2 + ell Delta, less for eta > 2 sqrt(Delta/ell).",
)

STATEMENTS: tuple[Statement, ...] = (theorem_2_2,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_2_2_half,)
