"""Intervals that hold for any law within the certified range."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from theorylab.judge import intervals
from theorylab.judge.intervals import log_money, mean_exceeds, mean_interval

UNIT = arrays(float, st.integers(1, 40), elements=st.floats(0, 1))
RISK = 0.05


@pytest.mark.parametrize("size", [5, 50, 400])
@pytest.mark.parametrize("chance", [0.001, 0.02, 0.3, 0.5, 0.98, 0.999])
def test_both_ends_cover_the_mean_of_a_coin(size: int, chance: float) -> None:
    """Exactly: over all numbers of heads, weighed by their probabilities."""
    heads = np.arange(size + 1)
    samples = (heads[:, None] > np.arange(size)).astype(float)
    low, high = mean_interval(samples, RISK, 0.0, 1.0)
    weights = stats.binom.pmf(heads, size, chance)
    assert weights[low > chance].sum() <= RISK / 2
    assert weights[high < chance].sum() <= RISK / 2


@pytest.mark.parametrize("chance", [0.02, 0.3])
def test_a_judge_who_bets_more_than_he_has_would_not_cover(
    chance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coverage test can fail: a power of the money is no fair bet."""
    honest = log_money

    def generous(*arguments: Any) -> Any:
        return 20 * honest(*arguments)

    monkeypatch.setattr(intervals, "log_money", generous)
    heads = np.arange(51)
    samples = (heads[:, None] > np.arange(50)).astype(float)
    low, _ = mean_interval(samples, RISK, 0.0, 1.0)
    assert stats.binom.pmf(heads, 50, chance)[low > chance].sum() > RISK / 2


@pytest.mark.parametrize("a", [0.1, 1.0, 5.0])
def test_money_grows_beyond_its_risk_rarely_whatever_the_order(a: float) -> None:
    rng = np.random.default_rng(3)
    cries = [
        bool(mean_exceeds(rng.beta(a, 2 * a, 100), 1 / 3, RISK)) for _ in range(400)
    ]  # fmt: skip
    assert stats.binomtest(sum(cries), 400).proportion_ci(0.999).low <= RISK
    samples = rng.beta(a, 2 * a, 100)
    assert log_money(samples, 0.2) == pytest.approx(log_money(samples[::-1], 0.2), rel=1e-12)


@given(UNIT, st.floats(1e-6, 0.4), st.floats(1.01, 10.0))
def test_less_risk_is_a_wider_interval_around_the_average(
    samples: Any, risk: Any, factor: Any
) -> None:
    narrow = mean_interval(samples, risk, 0.0, 1.0)
    wide = mean_interval(samples, risk / factor, 0.0, 1.0)
    assert 0 <= wide[0] <= narrow[0] + 1e-8 <= samples.mean() + 2e-8
    assert 1 >= wide[1] >= narrow[1] - 1e-8 >= samples.mean() - 2e-8


@given(UNIT, st.floats(0.001, 1000), st.floats(-100, 100))
def test_units_and_origin_do_not_matter(samples: Any, scale: Any, shift: Any) -> None:
    low, high = mean_interval(samples, RISK, 0.0, 1.0)
    moved = mean_interval(scale * samples + shift, RISK, shift, scale + shift)
    size = 1e-6 * (scale + abs(shift))
    assert moved[0] == pytest.approx(scale * low + shift, abs=size)
    assert moved[1] == pytest.approx(scale * high + shift, abs=size)


@given(UNIT)
def test_a_wider_range_says_less_and_none_says_nothing(samples: Any) -> None:
    low, high = mean_interval(samples, RISK, 0.0, 1.0)
    wider = mean_interval(samples, RISK, -1.0, 3.0)
    assert wider[0] <= low + 1e-6
    assert wider[1] >= high - 1e-6
    lower_alone = mean_interval(samples, RISK, 0.0)
    assert lower_alone == (low, math.inf)
    assert mean_interval(samples, RISK) == (-math.inf, math.inf)


def test_what_cannot_vary_is_known_exactly() -> None:
    assert mean_interval(np.full(7, 2.5), RISK, 2.5, 2.5) == (2.5, 2.5)
    assert mean_exceeds(np.full(7, 2.5), 2.4, RISK, 2.5)  # the range alone shows it
    assert not mean_exceeds(np.full(7, 2.5), 2.5, RISK, 2.5)


def test_samples_that_agree_shrink_the_interval_as_one_over_n() -> None:
    widths = [
        np.subtract(*mean_interval(np.full(n, 0.5), RISK, 0.0, 1.0)[::-1]) for n in (100, 1000)
    ]
    assert 8 < widths[0] / widths[1] < 12


def test_the_ends_are_those_of_the_test() -> None:
    rng = np.random.default_rng(5)
    samples = rng.random((3, 60)) ** np.array([[0.2], [1], [9]])
    low, high = mean_interval(samples, RISK, 0.0, 1.0)
    assert mean_exceeds(samples, low - 1e-7, RISK / 2).all()
    assert not mean_exceeds(samples, low + 1e-7, RISK / 2).any()
    assert mean_exceeds(-samples, -high - 1e-7, RISK / 2, -1.0).all()
    assert not mean_exceeds(-samples, -high + 1e-7, RISK / 2, -1.0).any()


def test_instances_are_judged_one_by_one() -> None:
    rng = np.random.default_rng(6)
    samples = rng.random((5, 40))
    together = mean_interval(samples, RISK, 0.0, 1.0)
    alone = [mean_interval(row, RISK, 0.0, 1.0) for row in samples]
    np.testing.assert_array_equal(np.stack(together, axis=1), np.array(alone))


def test_many_samples_are_counted_and_stay_valid() -> None:
    rng = np.random.default_rng(7)
    cries = sum(
        bool(mean_exceeds((rng.random(20_001) < 0.01).astype(float), 0.01, RISK))
        for _ in range(200)
    )
    assert stats.binomtest(cries, 200).proportion_ci(0.999).low <= RISK
    low, high = mean_interval((rng.random(1_000_001) < 0.01).astype(float), RISK, 0.0, 1.0)
    assert low < 0.01 < high
    assert high - low < 0.0009  # a Student interval: 0.0004


def test_overflow_is_large_and_what_is_no_number_says_nothing() -> None:
    assert mean_exceeds(np.array([math.inf, 0.0, 0.0]), 1e100, RISK)
    assert not mean_exceeds(np.array([math.nan] * 50), 1e-3, RISK)
    low, high = mean_interval(np.array([math.nan] * 50), RISK, 0.0, 1.0)
    assert (low, high) == (0.0, 1.0)


def test_power_is_near_that_of_the_normal_limit() -> None:
    """At 1,000 uniform samples: within a factor 2 of the width that a Student interval has."""
    samples = np.random.default_rng(8).random(1000)
    low, high = mean_interval(samples, RISK, 0.0, 1.0)
    half = stats.t.isf(RISK / 2, 999) * samples.std(ddof=1) / math.sqrt(1000)
    assert half < (high - low) / 2 < 2 * half
