"""A loss of one's own: what interval arithmetic certifies of it, and what it does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import synthetic
import theorylab
from bounds import sngm, tralgo
from synthetic.expression import SmoothFunction, range_of
from synthetic.interval import Interval
from synthetic.losses import LOSSES
from theorylab.errors import AssumptionError, UsageError

x = sp.Symbol("x", real=True)
# Built-in losses as expressions, with ranges that are known exactly.
KNOWN = {
    "squared": x**2 / 2,
    "geman_mcclure": x**2 / (2 * (1 + x**2)),
    "welsch": 1 - sp.exp(-(x**2) / 2),
    "cauchy": sp.log(1 + x**2) / 2,
    "pseudo_huber": sp.sqrt(1 + x**2) - 1,
    "logistic": sp.log(1 + sp.exp(-x)),
    "sigmoid": 1 / (1 + sp.exp(x)),
    "savage": 1 / (1 + sp.exp(x)) ** 2,
}
OTHERS = [
    sp.log(sp.cosh(x)), sp.atan(x) ** 2, sp.tanh(x) + x**2 / 2, sp.sin(x) + x**2, x**4 / 12,
    x**2 * sp.exp(-x), sp.exp(-x), (x**2 - 1) ** 2 / (1 + x**4), sp.cos(3 * x) / 9 + x / 7,
    sp.sqrt(1 + x**2) * sp.exp(-(x**2)), x / (1 + sp.exp(-x)), sp.Rational(1, 3) * x + sp.pi,
]  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_built_in_losses_are_certified_as_they_are_known(name: str) -> None:
    own, exact = synthetic.own_loss(KNOWN[name]).ranges, LOSSES[name]().ranges
    for found, known in ((own.value, exact.value), (own.slope, exact.slope),
                         (own.curvature, exact.curvature)):  # fmt: skip
        if exact.how == "closed form":
            assert found[0] <= known[0] + 1e-15
            assert known[1] - 1e-15 <= found[1]
        assert found == pytest.approx(known, rel=1e-5, abs=1e-6)
    assert own.attained
    # Convexity is a sign: it must come out exactly.
    assert (own.curvature[0] >= 0) == (exact.curvature[0] >= 0)


@pytest.mark.parametrize("name", KNOWN)
def test_values_and_derivatives_are_those_of_the_built_in_losses(name: str) -> None:
    own, exact = synthetic.own_loss(KNOWN[name]), LOSSES[name]()
    at = torch.linspace(-40, 40, 1001, dtype=torch.float64)
    for ours, theirs in ((own.value, exact.value), (own.slope, exact.slope),
                         (own.curvature, exact.curvature)):  # fmt: skip
        torch.testing.assert_close(ours(at), theirs(at), rtol=1e-9, atol=1e-12)


def inside(function: SmoothFunction, points: Any, lower: float, upper: float) -> None:
    for point in points:
        with mpmath.workdps(30):
            value = sp.N(function.expression.subs(function.symbol, sp.Rational(point)), 30)
            assert sp.Float(lower) <= value <= sp.Float(upper), (function, point)


@pytest.mark.parametrize("phi", OTHERS, ids=str)
def test_no_sample_leaves_a_certified_range(phi: sp.Expr) -> None:
    function = SmoothFunction.of(phi)
    points = [*np.linspace(-9, 9, 31), *np.geomspace(10, 1e4, 4), *-np.geomspace(10, 1e4, 4)]
    for _ in range(3):
        extent = range_of(function)
        near = [p for p in points if abs(p) < 600]  # exp is no number far beyond
        inside(function, near, extent.lower, extent.upper)
        function = function.derivative()


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=2, max_size=4), st.integers(1, 3),
    st.sampled_from([sp.exp, sp.tanh, sp.atan, sp.sin, lambda u: 1 / (1 + u**2)]),
    st.floats(-5, 5), st.floats(0.01, 4),
)  # fmt: skip
def test_random_functions_stay_in_their_range_over_a_box(
    coefficients: list[int], power: int, outer: Callable[[sp.Expr], sp.Expr], left: float,
    width: float,
) -> None:  # fmt: skip
    inner = sum(c * x**k for k, c in enumerate(coefficients, 1))
    phi = sp.sympify(outer(inner) ** power + inner / 5)
    if phi.free_symbols != {x}:
        return
    extent = range_of(SmoothFunction.of(phi), left, left + width)
    inside(SmoothFunction.of(phi), np.linspace(left, left + width, 12), extent.lower, extent.upper)


@settings(max_examples=200, deadline=None)
@given(st.floats(-50, 50), st.floats(0, 20), st.floats(0, 1))
def test_elementary_functions_of_intervals_enclose(left: float, width: float, share: float) -> None:
    box = Interval(np.array([left]), np.array([left + width]))
    point = min(left + share * width, left + width)
    for name, function in (("exp", mpmath.exp), ("tanh", mpmath.tanh), ("arctan", mpmath.atan),
                           ("sin", mpmath.sin), ("cos", mpmath.cos),
                           ("softplus", lambda u: mpmath.log(1 + mpmath.exp(u)))):  # fmt: skip
        found = getattr(box, name)()
        with mpmath.workdps(40):
            value = function(mpmath.mpf(point))
            assert found.lower[0] <= value <= found.upper[0], name
    for k in (-3, -2, -1, 2, 3, 4, 5):
        found = box.power(k)
        with mpmath.workdps(40):
            if point or k > 0:
                assert found.lower[0] <= mpmath.mpf(point) ** k <= found.upper[0]


@pytest.mark.parametrize(("phi", "constants"), [
    (x**4 / 12, {"delta"}),  # convex, and nothing else
    (sp.exp(-x), {"delta"}),
    (sp.sin(x**2), {"Bf"}),
    (x**3, set()),
])  # fmt: skip
def test_what_is_unbounded_is_not_certified(phi: sp.Expr, constants: set[str]) -> None:
    F = synthetic.finite_sum([[1.0], [2.0]], [0.0, 1.0], loss=synthetic.own_loss(phi))
    assert {"ell", "delta", "L", "G", "mu", "Bf", "sigma"} & F.constants().keys() == constants
    with pytest.raises(AssumptionError, match=r"certifies no ell; no bound of phi'' over the line"):
        theorylab.check(tralgo.theorem_2, F)


@pytest.mark.parametrize(("phi", "wanted"), [
    ("x**2", "expected a sympy expression"),
    (sp.Abs(x), "expected sums, products"),
    (sp.Max(0, x), "expected sums, products"),
    (x ** sp.Rational(1, 3), "expected sums, products"),
    (sp.log(x), "no number at x"),
    (sp.sqrt(x), "no number at x"),
    (sp.Integer(3), "one symbol, got 0"),
    (x * sp.Symbol("y"), "one symbol, got 2"),
    (lambda u: 3.0, "expected a sympy expression"),
])  # fmt: skip
def test_what_is_no_smooth_function_is_refused(phi: Any, wanted: str) -> None:
    with pytest.raises(UsageError, match=wanted):
        synthetic.own_loss(phi)


def test_a_shifted_square_is_not_mistaken_for_least_squares() -> None:
    F = synthetic.finite_sum(np.eye(2), np.zeros(2), loss=synthetic.own_loss((x - 1) ** 2 / 2 + 1))
    one = torch.ones(1, 2, dtype=torch.float64)
    assert F.minimum() <= float(F.value(one)[0]) == 1.0
    assert float(F.constants()["mu"]) <= 0.5 <= float(F.constants()["ell"])


@pytest.mark.parametrize("phi", [
    lambda u: sp.log(1 + u**2) / 2, lambda u: sp.sqrt(1 + u**2), lambda u: sp.tanh(u) ** 2,
    lambda u: sp.log(1 + sp.exp(-u)) + u**2 / 20,
])  # fmt: skip
def test_an_attack_breaks_no_certificate(phi: Callable[[sp.Symbol], sp.Expr]) -> None:
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((12, 3)), rng.standard_normal(12)
    F = synthetic.finite_sum(A, b, loss=synthetic.own_loss(phi))
    assert not [reach for reach in synthetic.attack(F, points=24, steps=30) if reach.broken]


def test_rows_do_not_depend_on_their_neighbours() -> None:
    for phi in (*KNOWN.values(), *OTHERS):
        own = synthetic.own_loss(phi)
        for dtype in (torch.float32, torch.float64):
            at = torch.linspace(-3, 3, 37, dtype=dtype)
            for function in (own.value, own.slope, own.curvature):
                alone = torch.stack([function(one.reshape(1))[0] for one in at])
                assert torch.equal(function(at), alone), (phi, function)


def test_statements_are_checked_on_a_loss_of_ones_own() -> None:
    smooth = synthetic.own_loss(lambda u: sp.log(1 + u**2) / 2)
    data = synthetic.dataset_objective("diabetes", smooth, n=40)
    assert "interval arithmetic" in data.constants()["ell"].how
    assert theorylab.check(sngm.lemma_2, data, replicas=8).verdict in ("holds", "not refuted")
    margins = synthetic.own_loss(sp.log(1 + sp.exp(-x)), of_margin=True)
    assert synthetic.dataset_objective("breast_cancer", margins).declared == {"convex"}
    assert math.isfinite(float(data.constants()["G"]))
