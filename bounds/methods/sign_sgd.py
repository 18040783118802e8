"""Sign SGD with growing batches on smooth functions.

Bernstein, Wang, Azizzadenesheli and Anandkumar (2018), "signSGD: compressed optimisation for
non-convex problems", Theorem 1: after K steps at ``1/sqrt(||L||_1 K)`` on batches of K samples,
``E[(1/K) sum_k ||g_k||_1]^2 <= (1/sqrt(N)) [sqrt(||L||_1) (f_0 - f* + 1/2) + 2 ||sigma||_1]^2``
with ``N = K^2``. Here K is T, and the constants of the coordinates are bounded by the scalar
ones: an ell-smooth function has ``L_j = ell``, so ``||L||_1 <= d ell``; and ``||sigma||_1 <=
sqrt(d) sigma``, sigma^2 the sum of the coordinates' variances. Both are equalities at d = 1.
"""

from __future__ import annotations

import sympy as sp

from bounds.assumptions import BOUNDED_BELOW, BOUNDED_VARIANCE, SMOOTH
from bounds.claim import Claim
from bounds.notation import Delta, T, d, ell, sigma
from bounds.notation import eta_length as eta
from bounds.proof import Identity, Nonnegative
from bounds.quantities import mean_gradient_l1_norm
from bounds.statement import Algorithm, Statement

__all__ = ["FALSE_NEIGHBOURS", "STATEMENTS"]

_ALGORITHM = Algorithm("sign_sgd", {"eta": eta}, batch=T)
_STEP = {eta: 1 / sp.sqrt(d * ell * T)}
_g, _s = sp.symbols("g s", nonnegative=True)

theorem_1 = Statement(
    key="sign_sgd.theorem_1",
    label="Theorem 1",
    form="printed",
    claim=Claim(
        mean_gradient_l1_norm,
        "<=",
        (sp.sqrt(d * ell) * (Delta + sp.Rational(1, 2)) + 2 * sp.sqrt(d) * sigma) / sp.sqrt(T),
    ),
    assumptions=(SMOOTH, BOUNDED_VARIANCE, BOUNDED_BELOW),
    algorithm=_ALGORITHM,
    prescription=_STEP,
    text="Sign SGD at eta = 1/sqrt(d ell T) on batches of T samples.",
    note="True, in whatever units the numbers are read: sums of step^2 stand beside Delta because "
    "eta = 1/sqrt(||L||_1 T) hides a step scale of 1. A step gains at least eta (||g||_1 - "
    "2 sum_j |error_j|) - eta^2 d ell/2, since a wrong sign needs an error of at least |g_j|, and "
    "E|error_j| <= sigma_j/sqrt(T). Met on (ell/2) w^2 from w_0 near 0, which steps across the "
    "minimum and back for ever.",
    proof=(
        Nonnegative(
            "a wrong sign at g > 0 needs an error of -g - s, s >= 0, no shorter than g",
            sp.Abs(-_g - _s) - _g,
            _s,
        ),
        Identity(
            "the sum over T steps at this eta",
            Delta / (eta * T) + eta * d * ell / 2,
            sp.sqrt(d * ell) * (Delta + sp.Rational(1, 2)) / sp.sqrt(T),
            _STEP,
        ),
    ),
)  # fmt: skip

theorem_1_half = Statement(
    key="sign_sgd.theorem_1.half",
    label="Theorem 1, 1/4 in place of 1/2",
    form="printed",
    claim=Claim(
        mean_gradient_l1_norm,
        "<=",
        (sp.sqrt(d * ell) * (Delta + sp.Rational(1, 4)) + 2 * sp.sqrt(d) * sigma) / sp.sqrt(T),
    ),
    assumptions=theorem_1.assumptions,
    algorithm=_ALGORITHM,
    prescription=_STEP,
    note="False: on (ell/2) w^2 from 0 < w_0 < eta, without noise, |w| alternates between w_0 and "
    "eta - w_0: the mean of |grad F| is sqrt(ell/T)/2 at even T, and Delta = ell w_0^2/2 is small.",
)

STATEMENTS: tuple[Statement, ...] = (theorem_1,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_1_half,)
