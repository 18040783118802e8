"""The optimized gradient method.

Kim & Fessler, "Optimized first-order methods for smooth convex minimization" (Mathematical
Programming 2016), Theorem 2; found numerically by Drori & Teboulle (Mathematical Programming 2014).
Tight: Drori (J. of Complexity 2017), Theorem 3.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy as sp

from bounds.assumptions import CONVEX, SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import T, ell, sigma
from bounds.quantities import final_suboptimality, first_distance_to_minimizer_squared
from bounds.statement import Algorithm, Rate, Statement


def _last(steps: float) -> float:
    theta = 1.0
    for k in range(round(steps)):
        factor = 8.0 if k == round(steps) - 1 else 4.0
        theta = (1 + math.sqrt(1 + factor * theta**2)) / 2
    return theta


class OptimizedTheta(sp.Function):
    """The last number ``theta_T`` of the method.

    ``theta_0 = 1``, ``theta_{k+1} = (1 + sqrt(1 + 4 theta_k^2))/2``, with an 8 in place of the 4
    in the last of T steps.

    >>> OptimizedTheta(sp.Integer(1)), OptimizedTheta(T)
    (2, OptimizedTheta(T))
    """

    nargs = 1
    is_positive = True
    is_real = True

    @classmethod
    def eval(cls, steps: sp.Expr) -> sp.Expr | None:
        if steps == 1:
            return sp.Integer(2)
        return None

    @staticmethod
    def _imp_(steps: Any) -> Any:
        return np.vectorize(_last, otypes=[float])(steps)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        shown = rf"\theta_{{{printer._print(self.args[0])}}}"
        return shown if exp is None else rf"{shown}^{{{exp}}}"


theorem_2 = Statement(
    key="optimized_gradient.theorem_2",
    label="Theorem 2",
    form="printed",
    claim=Claim(
        final_suboptimality,
        "<=",
        ell * first_distance_to_minimizer_squared / (2 * OptimizedTheta(T) ** 2),
    ),
    assumptions=(CONVEX, SMOOTH),
    algorithm=Algorithm("optimized_gradient", {"eta": 1 / ell, "T": T}),
    conditions=(Condition(sigma, "<=", 0),),
    rate=Rate(T, {T: sp.Integer(-2)}),
    text="F(w_T) - F* <= ell ||w_0 - w*||^2/(2 theta_T^2) for F convex and smooth.",
    note="True, and attained: by the quadratic of curvature ell, and by a Huber function.",
)
theorem_2_nine_tenths = Statement(
    key="optimized_gradient.theorem_2.nine_tenths",
    label="Theorem 2, 0.9 of it",
    form="printed",
    claim=Claim(
        final_suboptimality,
        "<=",
        9 * ell * first_distance_to_minimizer_squared / (20 * OptimizedTheta(T) ** 2),
    ),
    assumptions=theorem_2.assumptions,
    algorithm=theorem_2.algorithm,
    conditions=theorem_2.conditions,
    text="F(w_T) - F* <= 0.9 ell ||w_0 - w*||^2/(2 theta_T^2).",
    note="False: the constant is 0.9 of the tight one, which F = (ell/2) w^2 attains for every T.",
)

STATEMENTS: tuple[Statement, ...] = (theorem_2,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_2_nine_tenths,)
