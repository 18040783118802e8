"""Statements that no paper makes, true and false ones, for the tests of the hunt."""

from typing import Any

import sympy as sp

from bounds import Algorithm, Claim, Condition, Rate, Statement
from bounds.assumptions import BOUNDED_BELOW, BOUNDED_VARIANCE, SMOOTH
from bounds.notation import B, Delta, T, beta, ell, eta, sigma
from bounds.quantities import (
    decrease,
    gradient_norm_squared,
    mean_gradient_norm_squared,
    min_gradient_norm_squared,
    total_decrease,
)

QUADRATIC = {
    "family": "quadratic",
    "parameters": {"dim": 1, "noise": "two_point", "sigma": 1.0, "start": 2.0},
}
WAVES = {
    "family": "delta_nonconvex",
    "parameters": {"dim": 2, "kappa": 0.5, "noise": "gaussian", "sigma": 0.5},
}
SPECS = [QUADRATIC, WAVES]
_NOISY = (SMOOTH, BOUNDED_VARIANCE)
_SHORT = (Condition(eta, "<=", 1 / (2 * ell)),)


def _descent(noise: Any, key: Any) -> Any:
    claim = Claim(decrease, ">=", eta * gradient_norm_squared / 2 - noise)
    return Statement(key, "Lemma", "printed", claim, _NOISY, Algorithm("sgd"), {}, _SHORT)


DESCENT = _descent(eta * sigma**2 / (4 * B), "made_up.true_descent")
TOO_SHARP = _descent(eta * sigma**2 / (8 * B), "made_up.false_descent")
AVERAGE = Statement(
    "made_up.average", "Theorem", "repaired",
    Claim(mean_gradient_norm_squared, "<=", 8 * ell * Delta / (3 * T) + sigma**2 / (3 * B)),
    (*_NOISY, BOUNDED_BELOW), Algorithm("sgd", {"eta": 1 / (2 * ell)}),
)  # fmt: skip
ODD_UNITS = Statement(
    "made_up.odd_units", "Theorem", "printed",
    Claim(mean_gradient_norm_squared, "<=", 8 * ell * Delta / (3 * T) + sigma / (3 * B)),
    (*_NOISY, BOUNDED_BELOW), Algorithm("sgd", {"eta": 1 / (2 * ell)}),
)  # fmt: skip
# Attained at T = 1, whatever its second term, which is a fifth too small.
HALF_ATTAINED = Statement(
    "made_up.half_attained", "Theorem", "printed",
    Claim(mean_gradient_norm_squared, "<=",
          2 * Delta / (eta * T) + sp.Rational(4, 5) * ell * eta * sigma**2 / B),
    (*_NOISY, BOUNDED_BELOW), Algorithm("sgd"), {}, (Condition(eta, "<=", 1 / ell),),
)  # fmt: skip
GRADIENT_DESCENT = Statement(
    "made_up.gradient_descent", "Theorem", "printed",
    Claim(min_gradient_norm_squared, "<=", 4 * ell / (3 * T) * total_decrease),
    (SMOOTH,), Algorithm("sgd"),
    conditions=(Condition(eta, "<=", 1 / ell), Condition(sigma, "<=", 0)),
)  # fmt: skip
HIDDEN = Statement(
    "made_up.hidden_constant", "Theorem", "printed",
    Claim(mean_gradient_norm_squared, "<=", 1 / sp.sqrt(T), big_o=True),
    (*_NOISY, BOUNDED_BELOW), Algorithm("msgd", {"eta": 1 / (2 * ell * sp.sqrt(T)), "beta": beta}),
    rate=Rate(T, {T: -sp.Rational(1, 2)}),
)  # fmt: skip
NUMBERS_TRUE = Statement(
    "made_up.numbers_true", "Remark", "printed", Claim(beta * (1 - beta), "<=", 0.25)
)
NUMBERS_FALSE = Statement(
    "made_up.numbers_false", "Remark", "printed", Claim(beta * (1 - beta), "<=", 0.2499)
)
TRUE = (DESCENT, AVERAGE, NUMBERS_TRUE)
FALSE = (TOO_SHARP, ODD_UNITS, GRADIENT_DESCENT, NUMBERS_FALSE)
