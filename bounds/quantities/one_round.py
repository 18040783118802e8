"""Quantities of one round from w_t.

The inner problem is ``G_t(w) = F(w) + (lam/2)||w - w_t||^2``, at the table's ``lam`` unless a
statement binds another.
"""

from __future__ import annotations

from bounds.notation import lam
from bounds.symbol import Measured
from bounds.units import Units

_VALUE = Units(F=1)
_SLOPE = Units(F=1, X=-1)
_SLOPE2 = Units(F=2, X=-2)
_LENGTH2 = Units(X=2)

decrease = Measured(
    "decrease", "E[F(w_t) - F(w_{t+1}) | w_t]", _VALUE, r"\mathbb{E}[F(w_t)-F(w_{t+1})\mid w_t]"
)
gradient_norm_squared = Measured(
    "gradient_norm_squared", "||grad F(w_t)||^2", _SLOPE2, r"\|\nabla F(w_t)\|^2", True
)
gradient_norm = Measured("gradient_norm", "||grad F(w_t)||", _SLOPE, r"\|\nabla F(w_t)\|", True)
next_gradient_norm_squared = Measured(
    "next_gradient_norm_squared",
    "E[||grad F(w_{t+1})||^2 | w_t]",
    _SLOPE2,
    r"\mathbb{E}\|\nabla F(w_{t+1})\|^2",
    True,
)
displacement_squared = Measured(
    "displacement_squared",
    "E[||w_{t+1} - w_t||^2 | w_t]",
    _LENGTH2,
    r"\mathbb{E}\|w_{t+1}-w_t\|^2",
    True,
)
inner_distance_squared = Measured(
    "inner_distance_squared",
    "E[||w_{t+1} - argmin G_t||^2 | w_t]",
    _LENGTH2,
    r"\mathbb{E}\|w_{t+1}-w^*_{t+1}\|^2",
    True,
    parameters={"lam": lam},
)
start_distance_squared = Measured(
    "start_distance_squared",
    "||w_t - argmin G_t||^2",
    _LENGTH2,
    r"\|w_t-w^*_{t+1}\|^2",
    True,
    parameters={"lam": lam},
)
inner_gradient_norm_squared = Measured(
    "inner_gradient_norm_squared",
    "E[||grad G_t(w_{t+1})||^2 | w_t]",
    _SLOPE2,
    r"\mathbb{E}\|\nabla G_t(w_{t+1})\|^2",
    True,
    parameters={"lam": lam},
)

inner_suboptimality = Measured(
    "inner_suboptimality",
    "E[G_t(w_{t+1}) - min G_t | w_t]",
    _VALUE,
    r"\mathbb{E}[G_t(w_{t+1})-\min G_t]",
    True,
    parameters={"lam": lam},
)
