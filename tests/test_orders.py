"""The guard of growth: true orders that grow beside their bounds for a while, and false ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sympy as sp

import synthetic
from bounds import Algorithm, Claim, Condition, Rate, Statement
from bounds.assumptions import (
    BOUNDED_BELOW,
    BOUNDED_VARIANCE,
    CONVEX,
    KNOWN_DISTANCE,
    PER_SAMPLE,
    SMOOTH,
    STRONGLY_CONVEX,
)
from bounds.notation import Delta, R, T, b0, beta, ell, eta, eta_length, mu, sigma, t
from bounds.quantities import (
    final_displacement_squared,
    final_distance_to_minimizer_squared,
    final_suboptimality,
    mean_gradient_norm,
    mean_gradient_norm_squared,
    mean_suboptimality,
)
from synthetic.losses import Squared
from synthetic.noise import with_noise
from synthetic.separable import Separable
from theorylab import check
from theorylab.hunt.arms import finer_values
from theorylab.hunt.rescaling import without_noise
from theorylab.hunt.search import hunt
from theorylab.judge.hidden import fallen, hidden_factor, slowest_time
from theorylab.problem.objective import Objective

_EFFORT = 4e3  # runs of 16 to 256 steps


def order(
    measured: Any, rhs: Any, *assumed: Any, rule: str = "sgd", quiet: bool = True, **settings: Any
) -> Statement:
    """``measured = O(rhs)`` as T grows, of gradient descent with any step up to 1/ell."""
    settings = settings or {"eta": eta}
    conditions = [Condition(eta, "<=", 1 / ell)] if settings.get("eta") == eta else []
    conditions += [Condition(sigma, "<=", 0)] if quiet else []
    return Statement(
        "made_up.order", "Order", "printed", Claim(measured, "<=", rhs, mode="O(.)"),
        (SMOOTH, *assumed), Algorithm(rule, settings), conditions=tuple(conditions),
        rate=Rate(T, {T: -1}),
    )  # fmt: skip


def scales(curvatures: Any, starts: Any, sigma: float = 0.0) -> Objective:
    """A quadratic along the axes, of any curvatures and from anywhere."""
    curved, first = np.asarray(curvatures, dtype=float), np.asarray(starts, dtype=float)
    parameters = {"curvatures": tuple(curved), "starts": tuple(first)}
    base = Separable("scales", Squared(), curved, np.ones(len(curved)), first, None,
                     parameters=parameters)  # fmt: skip
    noise = "two_point" if sigma else "none"
    return with_noise(base, noise, sigma, 10, 0, parameters, 0.1, 1.5)


def slowly(power: float) -> Objective:
    """Curvatures from 1 to 4^-7: the sum of squared gradients grows like T^power on the way."""
    curvatures = 4.0 ** -np.arange(8)
    return scales(curvatures, curvatures ** (-(1 + power) / 2))


G2, ROOT = mean_gradient_norm_squared, 1 / sp.sqrt(T)
BELOW, VARIED = (BOUNDED_BELOW,), (BOUNDED_BELOW, BOUNDED_VARIANCE)
STEEP_THEN_FLAT = ([1.0, 1e-3], [1.0, 1.0])
MOMENTUM: dict[str, Any] = {"rule": "msgd", "eta": (1 - beta) / ell, "beta": beta}
TRUE: dict[str, tuple[Statement, Objective, dict[str, float]]] = {
    # --- many time scales: the sum is below 2 Delta/eta, and not there yet
    **{f"scales_{p}": (order(G2, 1 / T, *BELOW), slowly(p), {}) for p in (0.1, 0.2, 0.4, 0.6)},
    "scales_of_one_unit": (order(G2, ell * Delta / T, *BELOW), slowly(0.4), {}),
    "a_logarithm_more": (order(G2, sp.log(T + 1) / T, *BELOW), slowly(0.2), {}),
    "norms": (order(mean_gradient_norm, ROOT, *BELOW), slowly(0.3), {}),
    "momentum_on_scales": (order(G2, 1 / T, *BELOW, **MOMENTUM), slowly(0.2), {"beta": 0.9}),
    "adagrad_on_scales": (
        order(G2, 1 / T, *BELOW, rule="adagrad_norm", eta=eta_length, b0=b0), slowly(0.2), {}
    ),
    # --- one steep direction, then a plateau of 1/(eta mu) steps
    "plateau": (order(final_suboptimality, 1 / T**2, STRONGLY_CONVEX), scales(*STEEP_THEN_FLAT),
                {}),
    "plateau_of_one_unit": (
        order(final_suboptimality, Delta / T**2, STRONGLY_CONVEX), scales(*STEEP_THEN_FLAT), {}
    ),
    "convex_plateau": (
        order(final_suboptimality, ell * R**2 / T, CONVEX, KNOWN_DISTANCE),
        scales([1.0, 1e-4], [100.0, 100.0]), {},
    ),
    "momentum_near_1": (order(G2, 1 / T, *BELOW, **MOMENTUM),
                        synthetic.quadratic(dim=3, condition=100.0, start=10.0), {"beta": 0.99}),
    "hardly_damped": (
        order(G2, 1 / T, *BELOW, rule="msgd", eta=eta, beta=beta), synthetic.quadratic(dim=1),
        {"beta": 0.9995, "eta": 0.1},
    ),
    "tiny_step": (order(G2, 1 / T, *BELOW),
                  synthetic.quadratic(dim=2, condition=100.0, start=100.0), {"eta": 1e-3}),
    "far": (order(final_suboptimality, 1 / T, CONVEX), synthetic.huber(start=400.0), {}),
    "on_its_way": (order(final_displacement_squared, 1, STRONGLY_CONVEX),
                   scales([1.0, 1e-4], [1.0, 100.0]), {}),
    # --- from one regime into another
    "noise_comes_late": (
        order(final_suboptimality, ROOT, CONVEX, BOUNDED_VARIANCE, quiet=False,
              eta=1 / (2 * ell * sp.sqrt(T))), scales([1.0, 1e-3], [10.0, 10.0], 0.1), {},
    ),
    "both_regimes": (
        order(G2, 1 / T + sigma * ROOT, *VARIED, quiet=False, eta=1 / (ell * sp.sqrt(T))),
        synthetic.quadratic(dim=2, noise="two_point", sigma=1.0, start=1.0), {},
    ),
    "up_to_the_floor": (
        order(G2, 1 / T + eta, *VARIED, quiet=False),
        synthetic.quadratic(dim=2, noise="two_point", sigma=1.0, start=0.001), {"eta": 1e-3},
    ),
    "falling_steps": (
        order(final_distance_to_minimizer_squared, 1 / T, STRONGLY_CONVEX, BOUNDED_VARIANCE,
              quiet=False, eta=2 / (mu * (t + 1) + 2 * ell)),
        scales([1.0, 1e-3], [10.0, 1.0], 0.01), {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRUE)
def test_a_true_order_may_grow_for_a_while(name: str) -> None:
    statement, objective, values = TRUE[name]
    found = check(statement, objective, values=values, effort=_EFFORT)
    assert found.verdict == "not refuted", found


NOISY = synthetic.quadratic(dim=1, noise="two_point", sigma=1.0, start=2.0)
FALSE: dict[str, tuple[Statement, Objective]] = {
    # --- a floor of eta ell sigma^2 stays
    "floor": (order(G2, 1 / T, *VARIED, quiet=False), NOISY),
    "floor_of_one_unit": (order(G2, ell * Delta / T, *VARIED, quiet=False),
                          NOISY),
    "floor_of_values": (
        order(final_suboptimality, 1 / T, CONVEX, BOUNDED_VARIANCE, quiet=False),
        NOISY),
    # --- 1/sqrt(T) is true
    "root": (order(G2, 1 / T, *VARIED, quiet=False, eta=1 / (ell * sp.sqrt(T))), NOISY),
    "root_of_values": (order(mean_suboptimality, 1 / T, CONVEX, BOUNDED_VARIANCE, quiet=False,
                             eta=1 / (ell * sp.sqrt(T))), NOISY),
    # --- 1/T is true
    "square": (
        order(final_suboptimality, 1 / T**2, STRONGLY_CONVEX, BOUNDED_VARIANCE, quiet=False,
              eta=2 / (mu * (t + 1) + 2 * ell)), NOISY),
    "steps_that_fall_too_slowly": (
        order(final_distance_to_minimizer_squared, 1 / T, STRONGLY_CONVEX, BOUNDED_VARIANCE,
              quiet=False, eta=1 / (ell * sp.sqrt(t))), NOISY),
    # --- a walk of fixed length steps over the minimizer for ever
    "normalised": (order(mean_gradient_norm, 1 / T, *BELOW, rule="sngd", eta=eta_length),
                   synthetic.quadratic(dim=1, start=2.05)),
    "sign": (order(mean_gradient_norm, ROOT, *BELOW, rule="sign_sgd", eta=eta_length,
                   beta=sp.Integer(0)), synthetic.quadratic(dim=1, start=2.05)),
}  # fmt: skip
WHERE: dict[str, dict[str, float]] = {
    name: {"eta": 1.0} for name in FALSE if FALSE[name][0].algorithm.settings["eta"] == eta  # type: ignore[union-attr]
} | {
    "floor_of_values": {"eta": 0.5}, "normalised": {"eta": 1.0}, "sign": {"eta": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE)
def test_a_false_order_grows_beyond_all_that_it_may_hide(name: str) -> None:
    statement, objective = FALSE[name]
    found = check(statement, objective, values=WHERE.get(name, {}), effort=_EFFORT)
    assert (found.verdict, found.evidence) == ("violated", "growth"), found


def test_a_hunt_finds_the_floor_at_once() -> None:
    # It had begun with the smallest steps, whose floor lies beyond the sizes within reach.
    known = {"dim": 1, "noise": "two_point", "sigma": 1.0, "start": 2.0}
    specs = [{"family": "quadratic", "parameters": known}]
    found = hunt(FALSE["floor"][0], specs, limit=1, progress=False)
    assert found.verdict == "violated"
    assert finer_values(eta)[0] == eta.typical[0]


def test_rounding_grows_beside_every_bound_and_refutes_none() -> None:
    """Gradient descent arrives within a few steps; what is left is the rounding of F*."""
    far = without_noise(synthetic.quadratic_sum(n=3, condition=3.0, apart=1e5, start=0.01))
    cubed = order(final_suboptimality, T**-3, STRONGLY_CONVEX)
    found = check(cubed, far, values={"eta": 0.7}, effort=_EFFORT)
    assert found.verdict == "not refuted", found
    assert found.growth is not None
    assert found.growth[1] == -math.inf


def test_what_may_be_hidden() -> None:
    known = {"ell": 2.0, "mu": 0.5, "Delta": 9.0, "R": 3.0, "eta": 0.25, "T": 100.0}
    bare, whole = order(G2, 1 / T, *BELOW), order(G2, ell * Delta / T, *BELOW)
    assert hidden_factor(bare, known) == pytest.approx(2**2 * 3**2)  # (ell R)^2
    assert hidden_factor(whole, known) == 1.0
    assert hidden_factor(order(G2, 1e3 / T + ell * Delta / T, *BELOW), known) == pytest.approx(
        (36e3 + 18) / 1018
    )
    assert slowest_time(bare, known) == pytest.approx(1 / (0.25 * 0.5))
    assert slowest_time(order(G2, 1 / T, eta=1 / (ell * sp.sqrt(t))), known) == pytest.approx(4.0)
    heavy = order(G2, 1 / T, *BELOW, rule="msgd", eta=eta, beta=beta)
    assert slowest_time(heavy, {**known, "beta": 0.99}) == pytest.approx(100.0)
    each = order(G2, 1 / T, PER_SAMPLE, *BELOW)
    assert slowest_time(each, {**known, "n": 50.0}) == 50.0
    assert fallen([1, 10, 100], [1, 1e-2, 1e-4], 1e3) == pytest.approx(1e4)
    assert fallen([1, 10], [1, 10], 10) == 1.0  # a bound that rises hides no time
