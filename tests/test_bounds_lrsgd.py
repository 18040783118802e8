"""LRSGD's statements against exact laws, small instances, and variants that must fail."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lrsgd_forms import UNIT, bound, geometric, steps_needed, unchecked

from bounds import hardt_recht_singer as hrs
from bounds import lrsgd
from bounds.claim import DomainError
from bounds.evaluation import evaluate
from bounds.statement import Statement

THETAS = np.concatenate([np.geomspace(1e-12, 1e-3, 200), np.linspace(1e-3, 0.25, 2000)])


@pytest.mark.parametrize(
    ("statement", "values", "expected"),
    [
        (lrsgd.theorem_3_4, {"c": 1, "n": 10, "T": 400}, 2.0),
        (lrsgd.theorem_3_4_repaired, {"c": 1, "n": 2, "T": 4, "t0": 1}, 1 + (3**0.5 - 1)),
        (lrsgd.theorem_3_4_best_burn_in, {"c": 1, "n": 11, "T": 100}, 0.2 * 20 + 2 / 11),
        (lrsgd.theorem_3_6, {"c": 1, "n": 10, "T": 40}, math.log(10) * 0.4),
        (lrsgd.theorem_3_6_repaired, {"c": 2, "n": 2, "T": 4}, 2 * (2 * math.e - 1)),
        (lrsgd.theorem_4_4, {"c": 2, "n": 4, "T": 16, "theta": 0.25}, 16**1.5 / 4**2.5),
        (lrsgd.remark_3_2_repaired, {"T": 16, "sigma": 0}, 2 / 7),
        (hrs.theorem_3_8, {"eta": 0.5, "n": 10, "T": 20}, 2.0),
        (hrs.theorem_3_9, {"eta": 0.5, "n": 10, "T": 20, "mu": 0.5}, 0.4),
        (hrs.theorem_3_12, {"c": 1, "n": 11, "T": 200, "Bf": 0.5}, 4.0),
        (hrs.theorem_3_12_repaired, {"c": 1, "n": 11, "T": 100}, 4 + 2 / 11),
    ],
    ids=lambda value: value.key + "/" + value.form if isinstance(value, Statement) else "",
)
def test_known_values(statement: Statement, values: Any, expected: Any) -> None:
    assert bound(statement, **{**UNIT, **values}) == pytest.approx(expected, rel=1e-12)


def test_gain_known_value() -> None:
    gamma = math.log(4 / 3) / math.log(4)
    assert float(evaluate(lrsgd.gain(0), {"theta": 0.25, "gamma": gamma})) == pytest.approx(
        0.25 / (0.25 + 0.75 * gamma)
    )


@pytest.mark.parametrize(
    ("statement", "values", "named"),
    [
        (lrsgd.theorem_3_4_repaired, {"c": 1, "n": 1, "T": 4, "t0": 1}, "n >= 2"),
        (lrsgd.theorem_3_4_repaired, {"c": 1, "n": 9, "T": 4, "t0": 0.5}, "t0"),
        (lrsgd.theorem_3_4_repaired, {"c": 1, "n": 9, "T": 4, "t0": 5}, "T >= t0"),
        (lrsgd.theorem_3_6, {"c": 1, "n": 9, "T": 9}, "T > n"),
        (lrsgd.theorem_4_9_repaired, {"c": 1, "n": 9, "T": 9, "t0": 0, "S": 2}, "t0"),
        (lrsgd.lemma_4_6, {"lam": 2, "theta": 0.3, "sigma": 1}, "theta <= 1/4"),
        (hrs.theorem_3_12, {"c": 1, "n": 11, "T": 200}, "Bf <= 1/2"),
    ],
)
def test_outside_the_domain_is_refused(statement: Statement, values: Any, named: str) -> None:
    with pytest.raises(DomainError, match=named):
        statement.bound({**UNIT, **values})


# --- Remark 4.2 ---------------------------------------------------------------------------------
REMARK_4_2 = (
    lrsgd.remark_4_2_gamma_lower, lrsgd.remark_4_2_gamma_middle, lrsgd.remark_4_2_gamma_upper,
)  # fmt: skip


@pytest.mark.parametrize("statement", REMARK_4_2, ids=lambda s: s.key)
def test_remark_4_2_on_a_fine_grid(statement: Statement) -> None:
    values = statement.validate({"theta": THETAS})
    small, large = (evaluate(side, values) for side in statement.claim.sides)
    assert np.all(small <= large)


def test_remark_4_2_gamma_upper_needs_its_condition() -> None:
    statement = lrsgd.remark_4_2_gamma_upper
    assert evaluate(statement.claim.lhs, {"theta": 0.3}) > evaluate(
        statement.claim.rhs, {"theta": 0.3}
    )
    with pytest.raises(DomainError):
        statement.validate({"theta": 0.3})


def test_round_length_law() -> None:
    values = {"theta": 0.2, "lam": 1.0}
    mass = [bound(lrsgd.definition_4_1, K=k, **values) for k in range(1, 400)]
    mean = sum(k * p for k, p in enumerate(mass, 1))
    assert sum(mass) == pytest.approx(1)
    assert mean == pytest.approx(bound(lrsgd.remark_4_2_mean_round_length, **values))
    assert mean >= bound(lrsgd.remark_4_2_mean_round_length_lower, **values)


def test_gain_is_at_most_one_minus_theta() -> None:
    values = {"theta": THETAS, "gamma": geometric(THETAS)}
    assert np.all(evaluate(lrsgd.gain(0), values) <= 1 - THETAS)
    rho_max = 1 - (0.25 / 0.75 - geometric(0.25)) / (0.25 * (1 - geometric(0.25)))
    at = {"theta": 0.25, "gamma": geometric(0.25)}
    assert rho_max == pytest.approx(0.365, abs=1e-3)
    assert evaluate(lrsgd.gain(rho_max), at) == pytest.approx(0.75)
    assert evaluate(lrsgd.gain(rho_max + 0.01), at) > 0.75


# --- one-round expansions, exactly --------------------------------------------------------------
def round_r(anchor: Any, curvatures: Any, theta: Any, lam: Any) -> Any:
    """Points after each inner step of LRSGD-R on gradients H_k w; the last axis is the vector."""
    points, w = [], anchor
    for matrix in curvatures:
        w = w - theta / lam * (matrix @ w + lam * (w - anchor))
        points.append(w)
    return np.array(points)


def mean_distance_r(start: Any, curvatures: Any, theta: Any, lam: Any) -> Any:
    gamma = geometric(theta)
    weights = gamma * (1 - gamma) ** np.arange(len(curvatures))
    difference = round_r(start, curvatures, theta, lam)  # linear, so twins' difference is one run
    return float(weights @ np.linalg.norm(difference, axis=-1))


@pytest.mark.parametrize("theta", [0.25, 0.1, 0.03])
@pytest.mark.parametrize("rho", [0.9, 0.365, 0.05])
def test_lrsgd_r_expansion_is_attained_on_concave_quadratics(theta: float, rho: float) -> None:
    lam = 2.0
    concave = [-rho * lam * np.eye(1)] * steps_needed(theta)
    exact = mean_distance_r(np.ones(1), concave, theta, lam)
    values = {"theta": theta, "lam": lam, "delta": rho * lam, "ell": rho * lam, "twin_distance": 1}
    assert exact == pytest.approx(bound(lrsgd.expansion_lrsgd_r, **values), rel=1e-10)
    assert exact > 1 + 0.999 * (bound(lrsgd.expansion_lrsgd_r, **values) - 1)


def random_hessians(rng: Any, count: Any, delta: Any, ell: Any) -> Any:
    angle = rng.uniform(0, math.pi, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1)
    turn = turn.reshape(count, 2, 2)
    spectrum = rng.choice([-delta, ell, 0.0], (count, 2))
    return turn @ (spectrum[:, :, None] * np.swapaxes(turn, 1, 2))


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 0.25), st.floats(0.0, 1.0), st.floats(0.01, 1.0), st.integers(0, 2**32 - 1))
def test_expansions_survive_random_hessians(theta: Any, slack: Any, kappa: Any, seed: Any) -> None:
    rng = np.random.default_rng(seed)
    ell, delta, start = 1.0, kappa, np.array([1.0, 0.0])
    lam = max(delta, theta * (ell - delta) / (2 * (1 - theta))) * (1 + slack) + 1e-9
    matrices = random_hessians(rng, min(steps_needed(theta), 400), delta, ell)
    point = {"delta": delta, "ell": ell, "twin_distance": 1.0}
    limit = bound(lrsgd.expansion_lrsgd_r, theta=theta, lam=lam, **point)
    assert mean_distance_r(start, matrices, theta, lam) <= limit * (1 + 1e-9)
    eta = (2 + slack * 0) / (ell - delta) if delta < ell else 5.0
    limit = bound(lrsgd.expansion_sgd, eta=eta, **point)
    moved = start - eta * (matrices @ start)
    assert np.all(np.linalg.norm(moved, axis=-1) <= limit * (1 + 1e-9))
    lam = (ell + 3 * delta) / 2 * (1 + slack)
    w = start
    for k, matrix in enumerate(matrices[:20], 1):
        w = w - (matrix @ w + lam * (w - start)) / ((lam - delta) * k)
        limit = bound(lrsgd.expansion_lrsgd_c, lam=lam, S=k, **point)
        assert np.linalg.norm(w) <= limit * (1 + 1e-9)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_lrsgd_c_expansion_is_attained_for_every_length(steps: int) -> None:
    lam, delta, w = 3.0, 1.0, 1.0
    for k in range(1, steps + 1):
        w -= (-delta * w + lam * (w - 1)) / ((lam - delta) * k)
    values = {"lam": lam, "delta": delta, "ell": 1.0, "S": steps, "twin_distance": 1.0}
    assert w == pytest.approx(bound(lrsgd.expansion_lrsgd_c, **values), rel=1e-12)


def test_expansions_fail_outside_their_conditions() -> None:
    point = {"delta": 0.1, "ell": 1.0, "twin_distance": 1.0}
    eta = 2.5  # above 2/(ell - delta)
    assert abs(1 - eta) > unchecked(lrsgd.expansion_sgd, eta=eta, **point)
    theta, lam = 0.25, 0.11  # theta (ell - delta) > 2 (1 - theta) lam
    convex = [np.eye(1)] * steps_needed(theta)
    assert mean_distance_r(np.ones(1), convex, theta, lam) > unchecked(
        lrsgd.expansion_lrsgd_r, theta=theta, lam=lam, **point
    )
    lam, w = 0.3, 1.0  # chi = 6.5
    for k in (1, 2):
        w -= (w + lam * (w - 1)) / ((lam - 0.1) * k)
    assert abs(w) > unchecked(lrsgd.expansion_lrsgd_c, lam=lam, S=2, **point)


def perturbed_rounds(
    steps: Any, step_size: Any, lam: Any, delta: Any, G: Any, n: Any, start: float = 1.0
) -> Any:
    """E of the twins' distance after each step, over every sequence of hits (exact).

    f_i = -(delta/2) w^2 but for one sample, whose gradient is +-G in the two runs.
    """
    means = []
    for length in range(1, steps + 1):
        total = 0.0
        for hits in itertools.product((False, True), repeat=length):
            u = start
            for k, hit in enumerate(hits, 1):
                slope = -2 * G if hit else -delta * u
                u -= step_size(k) * (slope + lam * (u - start))
            total += abs(u) * (1 / n) ** sum(hits) * (1 - 1 / n) ** (length - sum(hits))
        means.append(total)
    return means


def test_perturbed_sgd_and_lrsgd_c_expansions() -> None:
    lam, delta, G, n = 3.0, 1.0, 0.7, 3
    point = {"delta": delta, "ell": 1.0, "G": G, "n": n, "twin_distance": 1.0}
    (exact,) = perturbed_rounds(1, lambda k: 0.4, 0.0, delta, G, n)
    assert exact == pytest.approx(bound(lrsgd.expansion_sgd_perturbed, eta=0.4, **point))
    means = perturbed_rounds(8, lambda k: 1 / ((lam - delta) * k), lam, delta, G, n)
    limit = bound(lrsgd.expansion_lrsgd_c_perturbed, lam=lam, S=1, **point)
    assert means[0] == pytest.approx(limit, rel=1e-12)
    assert max(means) <= limit * (1 + 1e-12)


def test_perturbed_lrsgd_r_expansion_is_attained() -> None:
    theta, lam, delta, G, n = 0.25, 2.0, 1.2, 0.7, 3
    point = {"delta": delta, "ell": 1.2, "G": G, "n": n, "twin_distance": 1.0}
    exact = perturbed_rounds(9, lambda k: theta / lam, lam, delta, G, n)
    u, means = 1.0, []  # the same means by their linear recursion, for the rest of the series
    for _ in range(steps_needed(theta)):
        hit = u - theta / lam * (-2 * G + lam * (u - 1))
        shared = u - theta / lam * (-delta * u + lam * (u - 1))
        u = hit / n + shared * (1 - 1 / n)
        means.append(u)
    assert means[:9] == pytest.approx(exact)
    gamma = geometric(theta)
    expected = float(gamma * (1 - gamma) ** np.arange(len(means)) @ np.array(means))
    limit = bound(lrsgd.expansion_lrsgd_r_perturbed, theta=theta, lam=lam, **point)
    assert expected == pytest.approx(limit, rel=1e-10)
