"""LRSGD's statements against exact laws, small instances, and variants that must fail."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lrsgd_forms import UNIT, bound, geometric, unchecked

from bounds import lrsgd
from bounds.claim import DomainError
from bounds.evaluation import evaluate
from bounds.statement import Statement


# --- stability: the recursion, and the near-tight instance --------------------------------------
def worst_gap(n: Any, rounds: Any, t0: Any, delta: Any, G: Any, Bf: Any, factor: Any) -> Any:
    """2 Bf P(hit) + P(no hit) G d_T by the recursion itself, without closing any product."""
    distance = 0.0
    for t in range(t0 + 1, rounds + 1):
        growth = factor(t)  # 1 + (1-1/n) alpha_t delta
        distance = growth * distance + (growth - 1) * 2 * G / ((n - 1) * delta)
    missed = (1 - 1 / n) ** t0
    return 2 * Bf * (1 - missed) + missed * G * distance


@settings(max_examples=150, deadline=None)
@given(
    st.integers(2, 40), st.integers(1, 120), st.integers(0, 20), st.floats(0.05, 3),
    st.floats(0.05, 1), st.floats(0.01, 0.25),
)  # fmt: skip
def test_closed_forms_dominate_the_recursion(
    n: Any, rounds: Any, t0: Any, c: Any, kappa: Any, theta: Any
) -> None:
    delta, G, Bf, miss = kappa, 0.8, 1.3, 1 - 1 / n
    values = {"n": n, "T": rounds, "c": c, "ell": 1.0, "delta": delta, "G": G, "Bf": Bf}
    gamma = geometric(theta)

    def gain(rho: Any) -> Any:
        return theta / (gamma + theta * (1 - gamma) * (1 - rho))

    def sgd(t: Any) -> Any:
        return 1 + miss * c * kappa / t

    def randomised(t: Any, floor: Any = 0) -> Any:
        rho = miss * c * kappa / max(t, floor)
        return 1 + rho * gain(rho)

    def constant(t: Any) -> Any:
        return 1 + miss * c * kappa / (t - c * kappa)

    cases = [
        (lrsgd.theorem_3_4_repaired, {"t0": t0}, t0, sgd),
        (lrsgd.theorem_4_3_repaired, {"t0": t0, "theta": theta}, t0, randomised),
        (lrsgd.theorem_4_9_repaired, {"t0": t0, "S": 3}, t0, constant),
        (lrsgd.theorem_3_6_repaired, {}, 0, lambda t: sgd(max(t, n))),
        (lrsgd.theorem_4_4_repaired, {"theta": theta}, 0, lambda t: randomised(t, n)),
    ]
    best = [
        (lrsgd.theorem_3_4_best_burn_in, {}, sgd),
        (lrsgd.theorem_4_3_best_burn_in, {"theta": theta}, randomised),
        (lrsgd.theorem_4_9_best_burn_in, {"S": 3}, constant),
    ]
    for statement, extra, start, factor in cases:
        try:
            limit = bound(statement, **values, **extra)
        except DomainError:
            continue
        assert worst_gap(n, rounds, start, delta, G, Bf, factor) <= limit * (1 + 1e-9)
    for statement, extra, factor in best:
        try:
            checked = statement.validate({**values, **extra})
        except DomainError:
            continue
        start = min(math.ceil(float(checked["t0"])), rounds)
        limit = bound(statement, **values, **extra)
        assert worst_gap(n, rounds, start, delta, G, Bf, factor) <= limit * (1 + 1e-9)


def exact_gap(n: Any, rounds: Any, step: Any) -> Any:
    """E|f(w_T; x) - f(v_T; x)| on the near-tight instance, over all hit sequences, exactly.

    f_0 = cos(2w)/4 for n - 1 samples, -+ sin w for the twins' sample, sin w to test; by symmetry
    v = -w. All constants are 1: ell = delta = G = Bf = 1.
    """
    w, weight = np.zeros(1), np.ones(1)
    for t in range(1, rounds + 1):
        hit, miss = w + step(t) * np.cos(w), w + step(t) * np.sin(2 * w) / 2
        w = np.concatenate([hit, miss])
        weight = np.concatenate([weight / n, weight * (1 - 1 / n)])
    return float(weight @ np.abs(2 * np.sin(w)))


@pytest.mark.parametrize("c", [0.05, 0.2, 0.5, 1.0, 2.0])
def test_near_tight_instance_of_theorem_3_4(c: float) -> None:
    n, rounds = 50, 16
    gap = exact_gap(n, rounds, lambda t: c / t)
    limits = [
        bound(lrsgd.theorem_3_4_repaired, **UNIT, n=n, T=rounds, c=c, t0=t0) for t0 in range(9)
    ]
    assert gap <= min(limits)
    assert gap <= bound(lrsgd.theorem_3_4_best_burn_in, **UNIT, n=n, T=rounds, c=c)
    if c <= 1:
        assert gap >= 0.85 * min(limits)


@pytest.mark.parametrize("c", [0.1, 0.3, 1.0])
def test_near_tight_instance_of_theorem_3_6(c: float) -> None:
    n, rounds = 4, 16
    gap = exact_gap(n, rounds, lambda t: c / max(t, n))
    limit = bound(lrsgd.theorem_3_6_repaired, **UNIT, n=n, T=rounds, c=c)
    assert gap <= limit
    if c <= 0.1:
        assert gap >= 0.85 * limit


def test_printed_theorem_3_6_loses_to_the_instance_as_n_grows() -> None:
    rng, ratios = np.random.default_rng(0), []
    for n in (8, 64, 512):
        w = np.zeros(4000)
        for t in range(1, 10 * n + 1):
            hit = rng.random(w.size) < 1 / n
            w = w + np.where(hit, np.cos(w), np.sin(2 * w) / 2) / t
        gap = 2 * np.abs(np.sin(w)).mean()
        ratios.append(gap / bound(lrsgd.theorem_3_6, **UNIT, n=n, T=10 * n, c=1))
    assert ratios[1] > 1.3 * ratios[0]
    assert ratios[2] > 1.5 * ratios[1]


@pytest.mark.parametrize(
    "statement", [lrsgd.theorem_3_4_best_burn_in, lrsgd.theorem_4_3_best_burn_in]
)
def test_prescribed_burn_in_is_the_best_real_one(statement: Statement) -> None:
    values = {"n": 30, "T": 500, "c": 0.8, "ell": 2.0, "delta": 1.5, "G": 1.1, "Bf": 0.7}
    resolved = statement.validate({**values, "theta": 0.2})
    q, best = float(resolved["q"]), float(resolved["t0"])

    def simple(t0: Any) -> Any:
        return 2 * 0.7 * t0 / 29 + 2 * 1.1**2 / (29 * 1.5) * (500 / t0) ** q

    around = best * np.linspace(0.5, 2, 3001)
    assert around[np.argmin(simple(around))] == pytest.approx(best, rel=1e-3)
    assert simple(best) + 2 * 0.7 / 30 == pytest.approx(float(statement.bound(resolved)))
    # The printed t0 of Theorem 4.3 is not the best one.
    printed = (2 * q * 1.1**2 / 1.5) ** (1 / (q + 1)) * 500 ** (q / (q + 1))
    assert simple(printed) > simple(best) * 1.001


@pytest.mark.parametrize(
    "statement", [s for s in lrsgd.STATEMENTS if s.rate is not None], ids=lambda s: s.key + s.form
)
def test_rates_are_those_of_the_bounds(statement: Statement) -> None:
    rate, scale = statement.rate, statement.rate.scale
    constants = {"ell": 1.0, "delta": 0.9, "G": 1.0, "Bf": 1.0, "c": 0.6, "theta": 0.2, "S": 2,
                 "lam": 5.0}  # fmt: skip

    def at(size: Any) -> Any:
        noise = 0.5 if scale.name == "S" else 0.0  # what decays like 1/S is the noise
        values = {**constants, "sigma": noise, "n": 50.0, scale.name: size}
        values |= {s.name: float(evaluate(e, values)) for s, e in rate.along.items()}
        value = unchecked(statement, **values)
        return value / (math.log(size) if statement is lrsgd.theorem_3_6 else 1.0), values

    (small, values), (large, _) = at(1e9), at(1e10)
    resolved = statement.resolve(values)
    predicted = sum(
        float(evaluate(exponent, resolved))
        for symbol, exponent in rate.exponents.items()
        if symbol == scale or symbol in rate.along
    )
    assert math.log10(large / small) == pytest.approx(predicted, abs=2e-3)


# --- Remarks 3.5, 3.7 and 4.5 -------------------------------------------------------------------
def test_remark_3_5_constants() -> None:
    statement = lrsgd.remark_3_5_constants
    values = {"c": 0.7, "ell": 3.0, "G": 1.7, "n": 9.0, "T": 55.0, "Bf": 2.0}
    assert evaluate(statement.claim.lhs, values) == pytest.approx(bound(statement, **values))


def test_remark_3_7() -> None:
    printed, repaired = lrsgd.remark_3_7, lrsgd.remark_3_7_repaired
    kept = 0
    rng = np.random.default_rng(1)
    for _ in range(1200):
        n = float(rng.integers(2, 2000))
        values = {
            "n": n, "T": float(int(n * 10 ** rng.uniform(0, 6))), "c": 10 ** rng.uniform(-2, 0.5),
            "ell": 1.0, "delta": rng.uniform(0.05, 1), "G": 10 ** rng.uniform(-1, 1),
            "Bf": 10 ** rng.uniform(-1, 4),
        }  # fmt: skip
        for statement in (printed, repaired):
            try:
                resolved = statement.validate(values)
            except DomainError:
                continue
            small, large = (evaluate(side, resolved) for side in statement.claim.sides)
            kept += statement is repaired
            assert small <= large or (statement is printed and n < 8)
    assert kept > 100


def test_remark_3_7_printed_fails_at_two_samples() -> None:
    values = {"n": 2.0, "c": 1 / 3, "ell": 1.0, "delta": 1.0, "Bf": 0.5, "T": 14.0}
    resolved = lrsgd.remark_3_7.validate(values)
    small, large = (evaluate(side, resolved) for side in lrsgd.remark_3_7.claim.sides)
    assert small > large


@pytest.mark.parametrize("theta", [0.25, 0.05])
def test_remark_4_5(theta: float) -> None:
    values = {**UNIT, "n": 40.0, "T": 900.0, "c": 0.9, "theta": theta}
    gained = lrsgd.remark_4_5_repaired
    resolved = gained.validate(values)
    assert evaluate(gained.claim.lhs, resolved) >= evaluate(gained.claim.rhs, resolved)
    equal = lrsgd.remark_4_5_effective_step
    resolved = equal.validate(values)
    assert evaluate(equal.claim.lhs, resolved) == pytest.approx(
        float(evaluate(equal.claim.rhs, resolved)), rel=1e-12
    )
    printed = lrsgd.remark_4_5
    resolved = printed.validate({k: v for k, v in values.items() if k != "theta"})
    assert evaluate(printed.claim.lhs, resolved) == pytest.approx(
        float(evaluate(printed.claim.rhs, resolved))
    )
