"""Stochastic batch size's statements against known answers and brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import sympy as sp

from bounds import DomainError, Statement
from bounds import stochastic_batch_size as sbs
from bounds.evaluation import evaluate
from bounds.proof import Identity, Nonnegative, NonnegativeOn

STEPS = [(s, i) for s in sbs.STATEMENTS for i in range(len(s.proof))]
ALPHAS = (-1.0, -0.1, 0.0, 0.1, 0.5, 2.0, 5.0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def standardised(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    mean = np.average(x, weights=weights)
    std = np.sqrt(np.average((x - mean) ** 2, weights=weights))
    return (x - mean) / std if std > 1e-12 * abs(mean) else np.zeros_like(x)


def bound_and_value(statement: Statement, table: dict[str, float]) -> tuple[float, float]:
    claim = statement.claim
    return float(evaluate(claim.rhs, table)), float(evaluate(claim.lhs, table))


def layers() -> list[np.ndarray]:
    """Norms of a layer: skewed, symmetric, one outlier, all equal, a single one."""
    rng = np.random.default_rng(0)
    found = [np.exp(rng.standard_normal(m) * s) for m in (2, 7, 100) for s in (0.1, 1, 3)]
    found += [np.r_[np.zeros(m), 1.0] for m in (1, 9, 399, 9_999)]
    return [*found, np.ones(5), np.array([2.0])]


# --- expectation of the update probability ------------------------------------------------------
@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_layer_s_mean_probability(alpha: float) -> None:
    for norms in layers():
        mean = sigmoid(alpha * standardised(norms)).mean()
        table = {"alpha": alpha, "mean_update_probability": mean}
        bound, off = bound_and_value(sbs.eq_18_mean_repaired, table)
        assert off <= bound + 1e-15
    mirrored = np.r_[norms := np.exp(np.random.default_rng(1).standard_normal(50)), 9 - norms]
    table = {"symmetric_mean_update_probability": sigmoid(alpha * standardised(mirrored)).mean()}
    bound, value = bound_and_value(sbs.eq_18_mean_symmetric, table)
    assert value == pytest.approx(bound, abs=1e-15)


def test_the_printed_mean_is_wrong_for_skewed_norms_and_the_repair_is_nearly_tight() -> None:
    alpha = 0.05
    best = 0.0
    for m in np.unique(np.geomspace(2, 1e6, 200).astype(int)):
        v = standardised(np.array([0.0, 1.0]), weights=np.array([m - 1, 1]))
        off = abs(np.average(sigmoid(alpha * v), weights=[m - 1, 1]) - 0.5)
        best = max(best, off)
    assert best > 1e-5  # the printed claim is off == 0
    assert 0.98 <= best / float(sbs.eq_18_mean_repaired.bound({"alpha": alpha, "eta": 1.0})) <= 1


@pytest.mark.parametrize("lambda_", [-8.0, -4.0, -0.5, 0.0, 1.0])
def test_the_global_scheme(lambda_: float) -> None:
    rng = np.random.default_rng(2)
    for count in (1, 2, 5, 30):
        sizes = rng.integers(1, 50, count)
        means = np.exp(rng.standard_normal(count))
        mu = standardised(means, sizes)
        p = sigmoid(lambda_ * mu)
        table = {
            "lambda_": lambda_,
            "network_mean_update_probability": np.average(p, weights=sizes),
        }
        bound, off = bound_and_value(sbs.eq_20_network_mean, table)
        assert off <= bound + 1e-15
        for layer in range(count):
            table |= {"standardised_layer_norm": mu[layer], "mean_update_probability": p[layer]}
            bound, value = bound_and_value(sbs.eq_20_mean_repaired, table)
            assert value == pytest.approx(bound, rel=1e-12)
        if lambda_ and count > 1:
            assert np.abs(p - 0.5).max() > 0.05  # the printed claim is 1/2 in every layer


def test_standardisation_degenerates_as_the_repair_says() -> None:
    for norms in layers():
        v = standardised(norms)
        table = {"standardised_norm_std": v.std(), "layer_norm_std": norms.std()}
        bound, value = bound_and_value(sbs.eq_17_std_repaired, table)
        assert value == pytest.approx(bound, rel=1e-12, abs=1e-15)
    assert standardised(np.array([2.0])).std() == 0  # (17) as printed: 0/0, not 1


# --- accumulation -------------------------------------------------------------------------------
class Instance:
    """Per-sample losses sum_m cos(a_m . w + b_m), 1-smooth; Algorithm 2 with constant p."""

    def __init__(self, seed: int, dim: int = 3, samples: int = 4) -> None:
        rng = np.random.default_rng(seed)
        self.a = rng.standard_normal((samples, dim))
        self.a /= np.linalg.norm(self.a, axis=1, keepdims=True)
        self.b, self.rng = rng.uniform(0, 6, samples), rng

    def gradient(self, sample: int, w: np.ndarray) -> np.ndarray:
        return -np.sin(self.a[sample] @ w + self.b[sample]) * self.a[sample]


@pytest.mark.parametrize("seed", range(5))
def test_the_moving_average_and_its_error(seed: int) -> None:
    f, eta, p = Instance(seed), 0.7, 0.4
    w, average, k = np.zeros(3), np.zeros(3), np.ones(3)
    history: list[tuple[int, np.ndarray]] = []
    worst = 0.0
    for _ in range(60):
        sample = int(f.rng.integers(len(f.b)))
        history.append((sample, w.copy()))
        average = average + (f.gradient(sample, w) - average) / k
        for j in range(3):
            recent = history[-int(k[j]) :]
            table = {
                "ell": 1.0,
                "moving_average": average[j],
                "mean_of_gradients": np.mean([f.gradient(i, x)[j] for i, x in recent]),
                "accumulated_gradient_error": abs(
                    average[j] - np.mean([f.gradient(i, w)[j] for i, _ in recent])
                ),
                "mean_drift": np.mean([np.linalg.norm(x - w) for _, x in recent]),
            }
            bound, value = bound_and_value(sbs.eq_14, table)
            assert value == pytest.approx(bound, abs=1e-12)
            bound, value = bound_and_value(sbs.claim_14_estimates_13_repaired, table)
            assert value <= bound + 1e-12
            worst = max(worst, value)
        chi = (f.rng.random(3) < p).astype(float)
        w = w - chi * eta * average
        average, k = (1 - chi) * average, (1 - chi) * (k + 1) + chi
    assert worst > 0.05  # the printed claim is 0


@pytest.mark.parametrize("p", [0.2, 0.5, 1.0])
def test_waiting_times_and_progress(p: float) -> None:
    k = np.arange(1, 400)
    law = p * (1 - p) ** (k - 1)
    bound, value = bound_and_value(sbs.eq_12, {"p": p, "accumulated_batches": (law * k).sum()})
    assert value == pytest.approx(bound)
    # Expected move a step on <g, w>, over the stationary law of k: chi eta g, or chi k eta g.
    for weight, statement in ((np.ones(399), sbs.eq_13_repaired), (k, sbs.eq_13)):
        age = (1 - p) ** (k - 1) * p  # of the batch at hand
        progress = (age * p * weight).sum()
        bound, value = bound_and_value(statement, {"p": p, "relative_progress": progress})
        assert value == pytest.approx(bound)


# --- noise --------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [2, 3, 6])
def test_noise_of_a_shuffled_batch(n: int) -> None:
    g = np.random.default_rng(n).standard_normal((n, 2))
    mean = g.mean(0)
    one = ((g - mean) ** 2).sum(1).mean()
    for size in range(1, n + 1):
        batches = [g[list(c)].mean(0) for c in combinations(range(n), size)]
        exact = np.mean([((b - mean) ** 2).sum() for b in batches])
        table = {"n": n, "B": size, "gradient_variance": one, "shuffled_batch_variance": exact}
        bound, value = bound_and_value(sbs.claim_noise_variance_shuffled_repaired, table)
        assert value == pytest.approx(bound, abs=1e-14)
        bound, value = bound_and_value(sbs.claim_noise_variance_shuffled, table)
        assert (value == pytest.approx(bound)) == (size == 1)


# --- known answers, domains, proofs -------------------------------------------------------------
@pytest.mark.parametrize(
    ("slope", "shift", "expected"),
    [(0, 0, 0.5), (1, 0, 0.8807970779779), (0, -4, 0.01798620996), (0.1, -4, 1 / 45.7011844933)],
)
def test_the_sigmoid(slope: float, shift: float, expected: float) -> None:
    assert float(evaluate(sbs.sigmoid(sp.Integer(2), slope, shift), {})) == pytest.approx(expected)


def test_probabilities_specialise_to_each_other() -> None:
    combined = sbs.eq_21.claim.rhs
    assert combined.subs(sbs.lambda_, 0) == sbs.eq_18.claim.rhs
    assert combined.subs(sbs.alpha, 0) == sbs.eq_20.claim.rhs
    assert combined.subs({sbs.alpha: 0, sbs.lambda_: 0}) == sbs.claim_random_update.claim.rhs


def test_units_are_consistent() -> None:
    assert {s.units for s in sbs.STATEMENTS} == {"consistent"}
    wrong = replace(sbs.eq_10, claim=replace(sbs.eq_10.claim, rhs=sbs.eq_10.claim.rhs / sbs.eta))
    assert wrong.units == "inconsistent"


@pytest.mark.parametrize(
    ("statement", "values", "needle"),
    [
        (sbs.eq_12, {"p": 0.0, "eta": 1.0}, "p (a constant update probability) must lie in (0, 1]"),
        (sbs.claim_noise_variance_shuffled, {"n": 4, "B": 5, "gradient_variance": 1}, "B <= n"),
        (sbs.claim_noise_variance_shuffled_repaired,
         {"n": 1, "B": 1, "gradient_variance": 1}, "n > 1"),
    ],
)  # fmt: skip
def test_values_outside_the_domain_are_refused(
    statement: Statement, values: dict[str, float], needle: str
) -> None:
    with pytest.raises(DomainError) as error:
        statement.bound(values)
    assert needle in str(error.value)


@pytest.mark.parametrize(("statement", "i"), STEPS, ids=lambda v: getattr(v, "key", v))
def test_every_step_holds_and_its_mutant_does_not(statement: Statement, i: int) -> None:
    step = statement.proof[i]
    assert step.holds(), step.text
    if isinstance(step, Identity):
        assert not replace(step, rhs=step.rhs * sp.Rational(9, 10) + sp.Rational(1, 7)).holds()
    else:
        assert isinstance(step, (Nonnegative, NonnegativeOn))
        assert not replace(step, expression=-step.expression - sp.Rational(1, 7)).holds()


def test_a_smaller_constant_is_not_proved() -> None:
    """With 0.264 in place of 4/15 = 0.2667 the inequality fails near y = 1.6."""
    step = next(s for s in sbs.eq_18_mean_repaired.proof if isinstance(s, NonnegativeOn))
    y = step.variable
    assert not replace(step, expression=step.expression - sp.Rational(27, 10_000) * y**2).holds()
