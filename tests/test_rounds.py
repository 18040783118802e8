"""Update rules: against plain loops in numpy, and laws every registered rule obeys."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from method_references import WORKERS
from optimizer_references import (
    CASES,
    DIM,
    FIRST,
    ONES,
    ROUNDED_CASES,
    STEPS,
    Problem,
    batched,
    path,
)
from scipy import stats

from bounds.notation import t as t_symbol
from theorylab.method import (
    LARS,
    LRSGD_C,
    LRSGD_R,
    MSGD,
    SGD,
    SNGD,
    SNGM,
    SVRG,
    TRSGD,
    AMSGrad,
    EntropySGD,
    LocalSGD,
    StochasticBatchSize1,
    StochasticBatchSize2,
    TRAdam,
)
from theorylab.method.rule import Drawn
from theorylab.method.schedules import Exponential, Expression, Harmonic, Sigmoid, Staircase, Warmup
from theorylab.method.stochastic_batch_size import update_probability
from theorylab.problem.oracle import FunctionOracle

# --- rounds ----------------------------------------------------------------------------------
ROUNDED = [
    TRSGD(2.0, 0.5, 4),
    LRSGD_R(2.0, 0.2),
    LRSGD_R(2.0, 0.2, t0=5, eta=0.1),
    LRSGD_R(2.0, gamma=0.1),
    LRSGD_C(2.0, 0.5, 4),
    LRSGD_C(2.0, 0.5, 4, t0=5, eta=0.1),
    TRAdam(1.0, 3),
    EntropySGD(0.1, 3),
    SVRG(0.1, 3),
    LocalSGD(0.1, 3),
]


def test_rules_with_rounds_are_listed() -> None:
    with_rounds = {
        type(rule)
        for rule in CASES.values()
        if rule.restarts(np.random.default_rng(0), 0, 1, 1) is not None
    }
    assert with_rounds == {type(rule) for rule in ROUNDED}


@pytest.mark.parametrize("rule", ROUNDED, ids=lambda r: r.name)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_restarts_in_pieces_are_the_whole(rule: Any, pieces: list[int], seed: int) -> None:
    whole = rule.restarts(np.random.default_rng(seed), 0, sum(pieces), 3)
    rng, first, parts = np.random.default_rng(seed), 0, []
    for length in pieces:
        parts.append(rule.restarts(rng, first, length, 3))
        first += length
    assert np.array_equal(np.concatenate(parts), whole)
    assert whole.dtype == bool
    assert not len(whole) or whole[0].all()


@pytest.mark.parametrize("case", ROUNDED_CASES)
def test_a_restart_all_runs_share_may_be_a_plain_bool(case: str) -> None:
    rule = CASES[case]
    w, _, draw = batched(rule)
    oracle = FunctionOracle(torch.sin, workers=WORKERS)
    points, states = [w, w], [rule.init(w, oracle), rule.init(w, oracle)]
    for t in range(1, 8):
        begins = t % 3 == 1
        for j, restart in enumerate((begins, torch.full((len(w), 1), begins))):
            draw = Drawn(torch.tensor(float(t), dtype=w.dtype), restart, draw.own)
            points[j], states[j] = rule.update(points[j], oracle, states[j], draw)
        assert torch.allclose(points[0], points[1], rtol=1e-14, atol=0)


def lengths(rule: LRSGD_R, steps: int = 4000, replicas: int = 50) -> np.ndarray:
    mask = rule.restarts(np.random.default_rng(7), 0, steps, replicas)
    found = [np.diff(np.flatnonzero(column)) for column in mask.T]
    return np.concatenate(found)


def chi_square(sample: np.ndarray, gamma: float) -> float:
    cells = np.arange(1, 16)
    law = (1 - gamma) ** (cells - 1) * gamma
    seen = [np.sum(sample == k) for k in cells] + [np.sum(sample > 15)]
    return float(stats.chisquare(seen, len(sample) * np.append(law, 1 - law.sum())).pvalue)


@pytest.mark.parametrize("theta", [0.25, 0.1])
def test_rounds_are_geometric(theta: float) -> None:
    gamma = math.log(1 / (1 - theta)) / math.log(1 / theta)
    rule = LRSGD_R(2.0, theta)
    sample = lengths(rule)
    assert rule.ends_with == pytest.approx(gamma)
    error = math.sqrt((1 - gamma) / gamma**2 / len(sample))
    assert abs(sample.mean() - 1 / gamma) < 4 * error
    assert chi_square(sample, gamma) > 1e-3
    assert chi_square(sample, 1.3 * gamma) < 1e-6


def test_plain_rounds_come_first() -> None:
    for rule in (LRSGD_R(2.0, 0.1, t0=5, eta=0.1), LRSGD_C(2.0, 0.5, 4, t0=5, eta=0.1)):
        mask = rule.restarts(np.random.default_rng(0), 0, 200, 8)
        assert mask[:6].all()
        assert not mask[6:].all()
    assert mask[5:, 0].nonzero()[0].tolist()[:3] == [0, 4, 8]


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: TRSGD(1.0, 1.0, 3), "lam > delta"),
        (lambda: TRSGD(2.0, 1.0, 0), "S must"),
        (lambda: TRSGD(2.0, 1.0, torch.ones(3, 1)), "S must"),
        (lambda: TRSGD(2.0, 1.0, 3, variant="authors"), "inner"),
        (lambda: TRSGD(2.0, 1.0, 3, variant="theirs"), "variant"),
        (lambda: LRSGD_R(2.0, 1.0), "theta"),
        (lambda: LRSGD_R(2.0, 0.2, gamma=0.0), "gamma"),
        (lambda: LRSGD_R(2.0, 0.2, t0=4), "eta"),
        (lambda: LRSGD_C(2.0, 0.5, 3, t0=-1), "t0"),
        (lambda: StochasticBatchSize1(0.1, memory=0), "memory"),
        (lambda: StochasticBatchSize2(0.1, layout=(("a", 0),)), "layout"),
        (lambda: StochasticBatchSize2(0.1, across="none"), "across"),
        (lambda: LARS(0.1, variant="mine"), "variant"),
        (lambda: EntropySGD(0.1, 0), "S must"),
        (lambda: AMSGrad(0.1, variant="mine"), "variant"),
    ],
)
def test_errors_name_the_field(build: Callable[[], Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build()


# --- what is known about single methods ------------------------------------------------------
def test_values_from_numpy_are_taken() -> None:
    rule = SGD(np.float64(0.5))
    assert type(rule.eta) is float
    assert type(SGD(np.array(0.5)).eta) is float


def test_probabilities() -> None:
    g = torch.tensor([3.0, 3.0, 3.0, -5.0, 1.0])
    layout = (("a", 3), ("b", 1), ("b", 1))
    half = torch.full((5,), 0.5)
    assert torch.equal(update_probability(g, 0.0, 0.0, layout), half)
    # Equal magnitudes and layers of one parameter: standardised values are 0 by convention.
    torch.testing.assert_close(update_probability(g, 5.0, 0.0, layout), half)
    across = update_probability(g, 5.0, 1.0, layout)
    torch.testing.assert_close(across[:3], half[:3])
    torch.testing.assert_close(across[3:], torch.sigmoid(torch.tensor([1.0, -1.0])))


def test_certain_updates_are_sgd() -> None:
    """p = 1 is SGD, for both algorithms and both step conventions."""
    problem, expected = Problem(), path(SGD(0.1), Problem())
    object.__setattr__(problem, "uniform", np.full((STEPS, DIM), -1.0))
    for build in (StochasticBatchSize1, StochasticBatchSize2):
        for step in ("eta", "k_eta"):
            np.testing.assert_allclose(path(build(0.1, step=step), problem), expected, rtol=1e-12)


def test_reductions_between_methods() -> None:
    p = Problem()
    np.testing.assert_array_equal(path(SNGM(0.1, 0.0), p), path(SNGD(0.1), p))
    np.testing.assert_allclose(path(MSGD(0.1, 0.0), p), path(SGD(0.1), p), rtol=1e-14)
    np.testing.assert_allclose(path(TRSGD(5.0, 1.0, 1), p), path(SGD(0.25), p), rtol=1e-12)
    np.testing.assert_allclose(path(LRSGD_C(5.0, 1.0, 4), p), path(TRSGD(5.0, 1.0, 4), p))
    alone = LRSGD_R(5.0, 0.25, gamma=1.0)
    np.testing.assert_allclose(path(alone, p), path(SGD(0.05), p), rtol=1e-12)


def test_lars_trains_a_layer_that_starts_at_zero() -> None:
    rule, w = LARS(0.1, layout=(("a", 2), ("a", 2))), torch.tensor([0.0, 0.0, 1.0, 1.0])
    moved, _ = rule.update(w, ONES, rule.init(w, ONES), FIRST)
    assert (moved[:2] < 0).all()
    moved, _ = rule.update(w, FunctionOracle(torch.zeros_like), rule.init(w, ONES), FIRST)
    assert torch.isfinite(moved).all()


@pytest.mark.parametrize(
    "schedule",
    [
        Harmonic(2.0, 3.0), Staircase(1.0, (2, 4)), Exponential(1.0, 10, 2.0),
        Sigmoid(0.1, 0.001, 10), Warmup(Harmonic(2.0), 5), Expression(1 / t_symbol**0.5),
        Expression(2 * t_symbol),
    ],
)  # fmt: skip
def test_schedules_agree_on_numbers_and_tensors(schedule: Any) -> None:
    ts = torch.arange(1.0, 12.0, dtype=torch.float64)[:, None]
    numbers = [[float(schedule(float(x)))] for x in ts]
    torch.testing.assert_close(schedule(ts), torch.tensor(numbers, dtype=torch.float64))
    assert schedule(ts.float()).dtype == torch.float32
