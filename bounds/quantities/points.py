"""Quantities of one point w, or of two points u and w."""

from __future__ import annotations

from bounds.symbol import Measured
from bounds.units import Units

_VALUE = Units(F=1)
_SLOPE = Units(F=1, X=-1)
_SLOPE2 = Units(F=2, X=-2)
_LENGTH = Units(X=1)
_LENGTH2 = Units(X=2)

value_difference = Measured("value_difference", "F(u) - F(w)", _VALUE, r"F(u)-F(w)")
linear_term = Measured(
    "linear_term", "<grad F(w), u - w>", _VALUE, r"\langle\nabla F(w),u-w\rangle"
)
distance = Measured("distance", "||u - w||", _LENGTH, r"\|u-w\|", True)
distance_squared = Measured("distance_squared", "||u - w||^2", _LENGTH2, r"\|u-w\|^2", True)
gradient_difference = Measured(
    "gradient_difference", "||grad F(u) - grad F(w)||", _SLOPE, r"\|\nabla F(u)-\nabla F(w)\|", True
)
gradient_norm_at_u = Measured(
    "gradient_norm_at_u", "||grad F(u)||", _SLOPE, r"\|\nabla F(u)\|", True
)
gradient_norm_at_w = Measured(
    "gradient_norm_at_w", "||grad F(w)||", _SLOPE, r"\|\nabla F(w)\|", True
)
absolute_value = Measured("absolute_value", "|F(w)|", _VALUE, r"|F(w)|", True)
hessian_norm = Measured(
    "hessian_norm", "||Hess F(w)||", Units(F=1, X=-2), r"\|\nabla^2 F(w)\|", True
)
least_curvature = Measured(
    "least_curvature",
    "smallest curvature of F found by search",
    Units(F=1, X=-2),
    r"\inf_w\lambda_{\min}(\nabla^2 F(w))",
)
gradient_variance = Measured(
    "gradient_variance",
    "E||g(w) - grad F(w)||^2, one sample",
    _SLOPE2,
    r"\mathbb{E}\|g(w)-\nabla F(w)\|^2",
    True,
)
gradient_deviation = Measured(
    "gradient_deviation",
    "max ||g(w) - grad F(w)||^2, one sample",
    _SLOPE2,
    r"\max\|g(w)-\nabla F(w)\|^2",
    True,
)
batch_variance = Measured(
    "batch_variance",
    "E||g_B(w) - grad F(w)||^2, mean of B samples",
    _SLOPE2,
    r"\mathbb{E}\|g_B(w)-\nabla F(w)\|^2",
    True,
)
