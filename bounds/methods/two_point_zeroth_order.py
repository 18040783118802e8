"""Gradient-free steps from two values.

Nesterov & Spokoiny, "Random gradient-free minimization of convex functions" (Foundations of
Computational Mathematics 2017), Theorem 4, part 2, second inequality of (35): the symmetric
oracle. Their mu, the smoothing length, is ``nu`` here.
"""

from __future__ import annotations

from bounds.assumptions import CONVEX, SMOOTH
from bounds.claim import Claim, Condition
from bounds.notation import d, ell, eta, nu, sigma
from bounds.quantities import displacement_squared, gradient_norm_squared
from bounds.statement import Algorithm, Statement

_SMOOTHED = nu**2 * ell**2 * (d + 6) ** 3 / 8

theorem_4 = Statement(
    key="two_point_zeroth_order.theorem_4",
    label="Theorem 4 (35)",
    form="printed",
    claim=Claim(
        displacement_squared,
        "<=",
        eta**2 * (2 * (d + 4) * gradient_norm_squared + _SMOOTHED),
    ),
    assumptions=(CONVEX, SMOOTH),
    algorithm=Algorithm("two_point_zeroth_order", {"eta": eta, "mu": nu}),
    conditions=(Condition(sigma, "<=", 0),),
    text="E||(f(w + nu z) - f(w - nu z)) z||^2/(4 nu^2) <= 2 (d+4) ||grad f(w)||^2 + "
    "nu^2 ell^2 (d+6)^3/8, z normal; here of a step, eta times that.",
    note="True: the difference of the values is within nu^2 ell ||z||^2/2 of 2 nu <grad f, z>, "
    "E <grad f, z>^2 ||z||^2 = (d+2) ||grad f||^2 and E||z||^6 <= (d+6)^3. On a quadratic the "
    "left side is (d+2) ||grad f||^2.",
)
theorem_4_quarter = Statement(
    key="two_point_zeroth_order.theorem_4.quarter",
    label="Theorem 4 (35), a quarter of its first term",
    form="printed",
    claim=Claim(
        displacement_squared,
        "<=",
        eta**2 * ((d + 4) / 2 * gradient_norm_squared + _SMOOTHED),
    ),
    assumptions=theorem_4.assumptions,
    algorithm=theorem_4.algorithm,
    conditions=theorem_4.conditions,
    text="E||(f(w + nu z) - f(w - nu z)) z||^2/(4 nu^2) <= ((d+4)/2) ||grad f(w)||^2 + "
    "nu^2 ell^2 (d+6)^3/8.",
    note="False: the 2 divides. On a quadratic the left side is (d+2) ||grad f||^2, which exceeds "
    "(d+4)/2 of it by d/2 of it, far from the minimizer more than the last term.",
)

STATEMENTS: tuple[Statement, ...] = (theorem_4,)
FALSE_NEIGHBOURS: tuple[Statement, ...] = (theorem_4_quarter,)
