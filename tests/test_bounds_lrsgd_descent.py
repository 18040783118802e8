"""LRSGD's statements against exact laws, small instances, and variants that must fail."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from lrsgd_forms import bound, geometric, steps_needed

from bounds import hardt_recht_singer as hrs
from bounds import lrsgd, tralgo
from bounds.claim import DomainError
from bounds.evaluation import evaluate
from bounds.proof import PositiveDefinite
from bounds.statement import Statement


# --- Lemmas 4.6 and 4.10 ------------------------------------------------------------------------
def round_form(
    theta: Any,
    s: Any,
    smooth: Any,
    strong: Any,
    b: Any,
    telescoped: Any,
    linear: Any,
    interpolated: Any,
) -> Any:
    """The quadratic form that Lemma 4.6's proof leaves of its gap (lam = 1), written out anew."""
    k, h, over = s * theta, theta * (1 - theta * smooth / 2), 2 * (1 - strong / smooth)
    weight, rho, nu = 1 - b * s, telescoped * s, linear / (1 + interpolated * s)
    form = np.zeros((3, 3))
    gradient, step, first = np.eye(3)

    def add(weight: Any, left: Any, right: Any) -> None:
        nonlocal form
        form += weight * (np.outer(left, right) + np.outer(right, left)) / 2

    add(1.0, gradient, step)  # Q = V + P - R/2, less the multiples of what is known
    add(-0.5, gradient, gradient)
    add(-weight, gradient, step)
    gap = gradient - first
    add(weight / over / smooth, gap, gap)
    add(weight / over * strong, step, step)
    add(-weight / over * 2 * strong / smooth, gap, step)
    add(b / theta * h, gradient, gradient)
    add(b / theta * h * k, first, first)
    for sign, left, right in (
        (rho * theta / 2, gradient, gradient), (rho * theta * k / 2, first, first),
        (-rho * k / (2 * theta), step, step), (-rho, gradient, step),
        (nu, gradient, first), (nu * k / theta, step, first), (nu * k, first, first),
    ):  # fmt: skip
        add(sign, left, right)
    return form, (b * smooth - rho) / 2 * (1 + k)


ROUNDS = {
    "repaired": (0.21, 0.18, (1.5, 0.5, 0.24, 0.12, 2 / 3, 1.0)),
    "wide": (0.25, 0.17, (1.4, 0.6, 0.24, 0.14, 0.75, 1.5)),
}


@pytest.mark.parametrize("fraction", [1, 0.9, 0.5, 0.1, 1e-3, 1e-6])
@pytest.mark.parametrize("name", ROUNDS)
def test_lemma_4_6_what_is_left_is_a_nonnegative_form_and_the_noise(
    name: Any, fraction: float
) -> None:
    largest, allowed, multipliers = ROUNDS[name]
    for theta in np.concatenate([np.geomspace(1e-9, 0.01, 30), np.linspace(0.01, largest, 40)]):
        gamma = fraction * geometric(theta)
        form, noise = round_form(theta, gamma / (1 - gamma) / theta, *multipliers)
        assert np.linalg.eigvalsh(form)[0] > 0
        assert noise <= allowed
    statement = lrsgd.lemma_4_6_repaired if name == "repaired" else lrsgd.lemma_4_6_wide
    values = {"lam": 5.0, "ell": 1.0, "theta": largest, "sigma": 1.0}
    values |= {"next_gradient_norm_squared": 0.0}
    assert bound(statement, **values) == pytest.approx(-allowed / 5 * largest)


def test_lemma_4_6_the_route_with_these_multipliers_stops() -> None:
    for theta, name in ((0.25, "repaired"), (0.3, "wide")):
        gamma = geometric(theta)
        form, _ = round_form(theta, gamma / (1 - gamma) / theta, *ROUNDS[name][2])
        assert np.linalg.eigvalsh(form)[0] < 0


@pytest.mark.parametrize("statement", [lrsgd.lemma_4_6_repaired, lrsgd.lemma_4_6_wide],
                         ids=["repaired", "wide"])  # fmt: skip
def test_lemma_4_6_is_proved_step_by_step(statement: Statement) -> None:
    assert all(step.holds() for step in statement.proof)
    form = next(s for s in statement.proof if isinstance(s, PositiveDefinite))
    assert replace(form, matrix=form.matrix - sp.eye(3) / 2000).holds()
    assert not replace(form, matrix=form.matrix - sp.eye(3) / 50).holds()


def test_lemma_4_6_no_constant_below_an_eighth() -> None:
    lam, theta = 2.0, 0.02
    gamma = 0.01 * theta
    weights = gamma * (1 - gamma) ** np.arange(30_000)
    decrease, after, _, _ = quadratic_round(
        1.0, 0.0, 1.0, lam, [theta / lam] * len(weights), weights / weights.sum()
    )
    assert (after / (2 * lam) - decrease) / (theta / lam) == pytest.approx(1 / 8, rel=0.02)


def test_lemma_4_6_for_smaller_gamma_known_values() -> None:
    values = {"lam": 2.0, "ell": 1.0, "theta": 0.2, "sigma": 1.0, "gamma": 0.1}
    values |= {"next_gradient_norm_squared": 0.0}
    assert bound(lrsgd.lemma_4_6_gamma, **values) == pytest.approx(-0.1)
    assert bound(lrsgd.lemma_4_6_gamma_repaired, **values) == pytest.approx(-0.018)
    with pytest.raises(DomainError, match="gamma"):
        bound(lrsgd.lemma_4_6_gamma, **{**values, "gamma": 0.41})
    with pytest.raises(DomainError, match="gamma"):
        bound(lrsgd.lemma_4_6_gamma_repaired, **{**values, "gamma": 0.139})  # geometric: 0.13865


def fall_down_a_slope(theta: Any, gamma: Any, lam: Any, slope: Any) -> Any:
    """E f(w_t) - E f(w+) of one round without noise on f(w) = slope w, summed over its lengths."""
    fallen, moved, alive = 0.0, 0.0, 1.0
    while alive > 1e-14:
        moved -= theta / lam * (slope + lam * moved)
        fallen -= gamma * alive * slope * moved
        alive *= 1 - gamma
    return fallen


@pytest.mark.parametrize("theta", [0.25, 0.2, 0.05, 0.01])
def test_lemma_4_6_for_every_gamma_is_false_down_a_slope(theta: float) -> None:
    lam, slope = 3.0, 0.7
    values = {"lam": lam, "ell": 1.0, "theta": theta, "sigma": 0.0}
    values |= {"next_gradient_norm_squared": slope**2}
    edge = theta / (1 - theta)
    for gamma, holds in ((2 * theta, False), (1.01 * edge, False), (0.99 * edge, True)):
        fallen = fall_down_a_slope(theta, gamma, lam, slope)
        gain = float(evaluate(lrsgd.gain(0), {"theta": theta, "gamma": gamma}))
        assert fallen == pytest.approx(gain * slope**2 / lam, rel=1e-10)
        assert (fallen >= bound(lrsgd.lemma_4_6_gamma, **values, gamma=gamma)) == holds
    assert geometric(theta) < edge


def quadratic_round(
    curvature: Any, start: Any, sigma: Any, lam: Any, step_sizes: Any, weights: Any
) -> Any:
    """Exact decrease, E f'(w+)^2, E (w+ - w)^2, E G'(w+)^2 of one round on (h/2) w^2."""
    mean, variance, moments = start, 0.0, np.zeros(3)
    for step_size, weight in zip(step_sizes, weights, strict=True):
        contraction = 1 - step_size * (curvature + lam)
        mean = contraction * mean + step_size * lam * start
        variance = contraction**2 * variance + (step_size * sigma) ** 2
        inner = (curvature + lam) * mean - lam * start
        moments += weight * np.array([
            mean**2 + variance,
            (mean - start) ** 2 + variance,
            inner**2 + (curvature + lam) ** 2 * variance,
        ])  # fmt: skip
    second, moved, inner = moments
    return curvature / 2 * (start**2 - second), curvature**2 * second, moved, inner


@pytest.mark.parametrize("curvature", [-1.0, -0.3, 0.2, 1.0])
@pytest.mark.parametrize("start", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("theta", [0.2, 0.05])
def test_lemma_4_6_on_quadratics(curvature: float, start: float, theta: float) -> None:
    for lam in (2.0, 3.0, 10.0):
        gamma, count = geometric(theta), steps_needed(theta)
        weights = gamma * (1 - gamma) ** np.arange(count)
        decrease, after, _, _ = quadratic_round(
            curvature, start, 1.0, lam, [theta / lam] * count, weights
        )
        values = {"lam": lam, "ell": 1.0, "theta": theta, "sigma": 1.0}
        values |= {"next_gradient_norm_squared": after}
        tested = [lrsgd.lemma_4_6, lrsgd.lemma_4_6_repaired]
        for statement in tested + ([lrsgd.lemma_4_6_wide] if lam >= 2.5 else []):
            assert decrease >= bound(statement, **values) - 1e-9


@pytest.mark.parametrize("curvature", [-1.0, -0.3, 0.2, 1.0])
@pytest.mark.parametrize("start", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("fraction", [1.0, 0.5, 0.05])
def test_lemma_4_6_for_smaller_gamma_on_quadratics(
    curvature: float, start: float, fraction: float
) -> None:
    for theta, lam in itertools.product((0.2, 0.05), (2.0, 3.0, 10.0)):
        gamma = fraction * geometric(theta)
        count = math.ceil(math.log(1e-13) / math.log(1 - gamma))
        weights = gamma * (1 - gamma) ** np.arange(count)
        decrease, after, _, _ = quadratic_round(
            curvature, start, 1.0, lam, [theta / lam] * count, weights
        )
        values = {"lam": lam, "ell": 1.0, "theta": theta, "sigma": 1.0, "gamma": gamma}
        values |= {"next_gradient_norm_squared": after}
        assert decrease >= bound(lrsgd.lemma_4_6_gamma_repaired, **values) - 1e-9


@pytest.mark.parametrize("curvature", [-1.0, 0.4, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_definition_4_8_and_lemma_4_10_on_quadratics(curvature: float, steps: int) -> None:
    start, sigma, ell, delta = 0.8, 0.7, 1.0, 1.0
    for lam in (2.0, 5.0):
        sizes = [1 / ((lam - delta) * k) for k in range(1, steps + 1)]
        weights = [0.0] * (steps - 1) + [1.0]
        decrease, after, moved, inner = quadratic_round(
            curvature, start, sigma, lam, sizes, weights
        )
        values = {"lam": lam, "ell": ell, "delta": delta, "S": steps, "sigma": sigma}
        values |= {"G": abs(curvature) * start + 2.0, "next_gradient_norm_squared": after}
        assert inner <= bound(lrsgd.definition_4_8_repaired, **values)
        limit = bound(lrsgd.lemma_4_10_repaired, displacement_squared=moved, **values)
        assert decrease >= limit - 1e-12
        identity = (after - inner) / (2 * lam) + (lam - delta) / 2 * moved
        assert decrease >= identity - 1e-12
        if curvature == -1.0:  # Condition 2.2 is an equality there
            assert decrease == pytest.approx(identity)


def test_definition_4_8_printed_steps_are_too_few_in_other_units() -> None:
    # Pure noise on the flattest quadratic: E G'(w+)^2 = sigma^2/S exactly, whatever lam - delta.
    lam, steps, sigma = 400.0, 5, 1.0
    sizes = [1 / (lam * k) for k in range(1, steps + 1)]
    *_, inner = quadratic_round(0.0, 0.0, sigma, lam, sizes, [0.0] * 4 + [1.0])
    values = {"lam": lam, "ell": 1.0, "delta": 0.0, "S": steps, "sigma": sigma, "G": 1.0}
    assert inner == pytest.approx(sigma**2 / steps)
    assert inner > bound(lrsgd.definition_4_8, **values)
    assert inner <= bound(lrsgd.definition_4_8_repaired, **values)


def test_lemma_3_1_on_a_quadratic_is_true_with_room_in_the_noise() -> None:
    eta, start, sigma = 0.5, 0.6, 1.0
    decrease = (start**2 - (1 - eta) ** 2 * start**2 - (eta * sigma) ** 2) / 2
    values = {"ell": 1.0, "eta": eta, "sigma": sigma, "gradient_norm_squared": start**2}
    printed = bound(lrsgd.lemma_3_1, **values)
    assert decrease >= printed
    noise_free = bound(lrsgd.lemma_3_1, **{**values, "sigma": 0.0})
    assert decrease < noise_free  # without the noise term the lemma would be false
    # Curvature ell attains the repaired form, which is tralgo.descent at batch size 1.
    repaired = bound(lrsgd.lemma_3_1_repaired, **values)
    assert decrease == pytest.approx(repaired)
    assert repaired == pytest.approx(bound(tralgo.descent, **values, B=1))


def test_repaired_forms_assume_no_more_than_the_printed_ones() -> None:
    forms = {(s.key, s.form): set(s.assumptions) for s in lrsgd.STATEMENTS}
    for key in ("lemma_3_1", "remark_3_2", "lemma_4_6", "lemma_4_6.gamma", "definition_4_8",
                "lemma_4_10"):  # fmt: skip
        printed = forms[f"lrsgd.{key}", "printed"]
        assert {"smooth", "lipschitz", "bounded"} <= {a.name for a in printed}
        assert forms[f"lrsgd.{key}", "repaired"] < printed


def test_lrsgd_c_statements_that_need_delta_at_most_ell_refuse_more() -> None:
    # At lam = (ell + 3 delta)/2 the second inner step's weight of u would be negative.
    values = {"lam": 5.0, "delta": 3.0, "ell": 1.0, "G": 1.0, "n": 4, "S": 2, "twin_distance": 1.0}
    with pytest.raises(DomainError, match="delta <= ell"):
        bound(lrsgd.expansion_lrsgd_c_perturbed, **values)
    assert 1 - values["lam"] / (2 * (values["lam"] - values["delta"])) < 0
    values |= {"Bf": 1.0, "c": 0.1, "T": 30, "t0": 12}
    for statement in (lrsgd.theorem_4_9_repaired, lrsgd.theorem_4_9_best_burn_in):
        with pytest.raises(DomainError, match="delta <= ell"):
            bound(statement, **values)


# --- Hardt, Recht & Singer ----------------------------------------------------------------------
def test_convex_and_strongly_convex_baselines_are_attained() -> None:
    n, G, eta, mu, rounds = 10, 1.3, 0.2, 0.5, 60
    distance = contracted = 0.0
    for _ in range(rounds):
        distance += 2 * eta * G / n
        contracted = (1 - eta * mu) * contracted + 2 * eta * G / n
    values = {"n": n, "G": G, "eta": eta, "T": rounds, "ell": 1.0}
    assert G * distance == pytest.approx(bound(hrs.theorem_3_8, **values))
    strong = bound(hrs.theorem_3_9, **values, mu=mu)
    assert 0.99 * strong < G * contracted <= strong


def test_hrs_non_convex_is_lrsgd_theorem_3_4_at_delta_ell() -> None:
    values = {"n": 12.0, "T": 70.0, "c": 0.4, "ell": 2.0, "G": 1.5, "Bf": 0.9}
    assert bound(hrs.theorem_3_12_repaired, **values) == pytest.approx(
        bound(lrsgd.theorem_3_4_best_burn_in, **values, delta=2.0), rel=1e-12
    )
