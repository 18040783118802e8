"""Claims of single runs, conditions on what is measured, and symbols bound openly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from scipy import stats

import synthetic
from bounds import Algorithm, Claim, Condition, Statement, sngm, tralgo
from bounds.assumptions import BOUNDED_VARIANCE, RELAXED_SMOOTH, SMOOTH
from bounds.notation import FAILURE, L0, L1, B, T, ell, eps, eta, sigma
from bounds.quantities import (
    buffer_norm,
    distance,
    final_gradient_norm_squared,
    first_gradient_norm_squared,
    gradient_norm_at_u,
    gradient_norm_at_w,
    mean_gradient_norm,
    mean_gradient_norm_squared,
)
from bounds.render import claim_latex, mathml, text
from bounds.symbol import COUNT, Symbol
from bounds.units import Units
from theorylab.errors import UsageError
from theorylab.judge.check import check
from theorylab.judge.modes import chance_of_failure
from theorylab.quantities import Experiment, build_rule

p = FAILURE
NOISY = synthetic.quadratic(dim=1, noise="gaussian", sigma=1.0)
QUIET = synthetic.quadratic(dim=1)


def final(mode: str, rhs: sp.Expr, failure: sp.Expr | None = None) -> Statement:
    """SGD after T steps of 1/ell: w_T is the last step's noise, N(0, sigma^2/ell^2)."""
    return Statement(
        "test.final", "X", "printed",
        Claim(final_gradient_norm_squared, "<=", rhs, mode=mode, failure=failure),  # type: ignore[arg-type]
        (SMOOTH, BOUNDED_VARIANCE), Algorithm("sgd", {"eta": 1 / ell}),
    )  # fmt: skip


def verdict(statement: Statement, objective: Any = NOISY, **values: float) -> Any:
    return check(statement, objective, values={"T": 3.0, **values}, count=1, replicas=2000,
                 effort=1e5)  # fmt: skip


# --- every run ----------------------------------------------------------------------------------
def test_a_bound_on_the_mean_is_no_bound_on_every_run() -> None:
    mean = verdict(final("in expectation", 2 * sigma**2))
    assert mean.verdict != "violated"
    every = verdict(final("every run", 2 * sigma**2))
    assert (every.verdict, every.evidence) == ("violated", "exact arithmetic")
    assert every.ratio > 1


def test_a_run_that_no_sample_meets_refutes_a_claim_on_every_run() -> None:
    rare = synthetic.quadratic(dim=1, noise="rare", sigma=1.0, rarity=1e-8)
    far = verdict(final("every run", 2 * sigma**2), rare)
    assert (far.verdict, far.evidence, far.comparisons) == ("violated", "exact arithmetic", 8)
    assert far.measured == pytest.approx(1e8, rel=1e-6)
    within = verdict(final("every run", 1.01e8 * sigma**2), rare)
    assert (within.verdict, within.evidence) == ("holds", "exact arithmetic")
    assert within.ratio == pytest.approx(1 / 1.01, rel=1e-6)


def test_every_run_beyond_all_paths_is_sampled() -> None:
    coin = synthetic.quadratic(dim=1, noise="two_point", sigma=1.0)
    assert (
        verdict(final("every run", 2 * sigma**2), coin, T=11.0).told == "holds (exact arithmetic)"
    )
    longer = verdict(final("every run", 2 * sigma**2), coin, T=12.0)
    assert longer.told == "not refuted (samples)"


def test_samples_never_prove_a_claim_on_every_run() -> None:
    assert verdict(final("every run", 1e6 * sigma**2)).verdict == "not refuted"


def test_a_run_without_noise_proves_it_of_itself() -> None:
    falls = final("every run", first_gradient_norm_squared)
    found = verdict(falls, QUIET)
    assert (found.verdict, found.evidence) == ("holds", "exact arithmetic")


# --- with probability at least 1 - p ------------------------------------------------------------
def quantile(chance: float) -> sp.Expr:
    return sp.Float(stats.chi2.isf(chance, 1)) * sigma**2


def test_more_failures_than_allowed_refute() -> None:
    false = verdict(final("with probability", quantile(0.1), sp.Rational(1, 20)))
    assert (false.verdict, false.evidence) == ("violated", "valid interval")


def test_fewer_failures_than_allowed_hold() -> None:
    true = verdict(final("with probability", quantile(0.05), sp.Rational(1, 10)))
    assert (true.verdict, true.evidence) == ("holds", "valid interval")


def test_the_exact_quantile_is_never_refuted() -> None:
    statement = final("with probability", quantile(0.05), sp.Rational(1, 20))
    found = {check(statement, NOISY, values={"T": 2.0}, count=1, replicas=500, effort=2e4,
                   seed=seed).verdict for seed in range(20)}  # fmt: skip
    assert "violated" not in found


@pytest.mark.parametrize("mode", ["every run", "with probability"])
def test_claims_of_single_runs_need_not_be_affine(mode: Any) -> None:
    """They stopped with a KeyError where runs were sampled; a hunt left such instances out."""
    mean, square = mean_gradient_norm, mean_gradient_norm_squared
    noisy = synthetic.quadratic(dim=2, noise="gaussian", sigma=1.0)
    failure = None if mode == "every run" else sp.Rational(1, 10)
    for claim, verdicts in (
        (Claim(mean**2, "<=", square, mode=mode, failure=failure), {"not refuted", "holds"}),
        (Claim(mean**2, ">=", square, mode=mode, failure=failure), {"violated"}),
    ):
        jensen = Statement("demo.jensen", "X", "printed", claim, (SMOOTH,),
                           Algorithm("sgd", {"eta": eta}))  # fmt: skip
        asked: dict[str, Any] = {"values": {"T": 3, "B": 1}, "count": 2, "replicas": 200}
        assert check(jensen, noisy, **asked).verdict in verdicts


def test_the_chance_of_failure_may_be_a_symbol() -> None:
    markov = final("with probability", sigma**2 / p, p)
    assert p in markov.symbols
    assert verdict(markov, p=0.2).verdict == "holds"


@pytest.mark.parametrize("chance", [0.01, 0.3, 0.9])
def test_the_bounds_on_a_chance_keep_their_risk(chance: float) -> None:
    failures = np.arange(41)
    law = stats.binom.pmf(failures, 40, chance)
    low, high = chance_of_failure(failures, 40, 0.05)
    assert law[low > chance].sum() <= 0.05
    assert law[high < chance].sum() <= 0.05


def test_a_mode_and_its_failure_belong_together() -> None:
    with pytest.raises(ValueError, match="needs its failure"):
        Claim(buffer_norm, "<=", 1, mode="with probability")
    with pytest.raises(ValueError, match="no probability of failure"):
        Claim(buffer_norm, "<=", 1, failure=p)
    assert Claim(buffer_norm, "<=", 1, big_o=True).mode == "O(.)"
    assert Claim(buffer_norm, "<=", 1, mode="O(.)").big_o


def test_modes_are_rendered() -> None:
    every, likely = final("every run", sigma**2), final("with probability", sigma**2 / p, p)
    assert r"in\ every\ run" in claim_latex(every.claim)
    assert r"with\ probability" in claim_latex(likely.claim)
    assert "in every run" in text(every)
    assert "in every run" in mathml(every)
    assert "with probability at least 1 - p" in text(likely)
    assert "with probability at least" in mathml(likely)
    assert str(likely.claim).endswith("with probability at least 1 - p")


def test_the_failure_is_a_pure_number() -> None:
    assert final("with probability", sigma**2, p).units == "consistent"
    assert final("with probability", sigma**2, 1 / ell).units == "inconsistent"


# --- conditions on what is measured ---------------------------------------------------------------
def near(limit: sp.Expr) -> Statement:
    """(L, lambda)-smoothness to first order: true of points no further apart than 1/lambda."""
    return Statement(
        "test.near", "X", "printed",
        Claim(gradient_norm_at_u, "<=", sp.E * (L0 / L1 + gradient_norm_at_w)),
        (RELAXED_SMOOTH,), conditions=(Condition(distance, "<=", limit), Condition(L1, ">", 0)),
    )  # fmt: skip


def test_instances_outside_a_measured_condition_do_not_count() -> None:
    objective = synthetic.relaxed_smooth()
    assert check(near(1 / L1), objective, count=1).verdict == "holds"
    assert check(near(1e3 / L1), objective, count=1).verdict == "violated"
    nowhere = check(near(-1 / L1), objective, count=1)
    assert (nowhere.verdict, nowhere.evidence) == ("not refuted", "")
    assert "no instance" in nowhere.reason


def test_a_measured_condition_has_units_and_no_part_in_the_domain() -> None:
    statement = near(1 / L1)
    assert statement.units == "consistent"
    assert near(L1).units == "inconsistent"
    assert distance in statement.measured
    assert statement.validate({"L0": 1.0, "L1": 1.0})
    assert r"\|u-w\| \leq" in statement._repr_latex_()


# --- symbols bound openly -------------------------------------------------------------------------
def test_horizon_and_batch_are_bound_openly() -> None:
    steps = Symbol("steps", "length of the run", COUNT, typical=(7,))
    size = Symbol("m", "samples a step", COUNT, typical=(3,))
    base = final("in expectation", sigma**2)
    bound = replace(base, algorithm=Algorithm("sgd", {"eta": 1 / ell}, horizon=steps, batch=size))
    assert {steps, size} <= set(bound.symbols)
    at = Experiment(bound, NOISY, {"steps": 7.0, "m": 3.0, "ell": 1.0, "T": 99.0, "B": 99.0})
    assert (at.rounds, at.batch_size) == (7, 3)
    usual = Experiment(base, NOISY, {"T": 5.0, "B": 2.0, "ell": 1.0})
    assert (usual.rounds, usual.batch_size) == (5, 2)


def test_a_symbol_called_t_is_refused_beside_the_horizon() -> None:
    """It had run one round, in silence."""
    heat = Symbol("T", "temperature", units=Units(F=2, X=-2))
    with pytest.raises(ValueError, match=r"called T, .* 'temperature'; .*horizon=") as refused:
        final("in expectation", heat)
    assert "test.final" in str(refused.value)
    K = Symbol("K", "rounds", COUNT)
    free = Statement("test.heat", "X", "printed", Claim(final_gradient_norm_squared, "<=", heat),
                     (SMOOTH,), Algorithm("sgd", {"eta": 1 / ell}, horizon=K))  # fmt: skip
    assert Experiment(free, NOISY, {"T": 40.0, "K": 3.0, "ell": 1.0}).rounds == 3
    number = Statement("test.number", "X", "printed", Claim(heat, "<=", 2 * heat))
    assert [s.meaning for s in number.symbols] == ["temperature"]


def test_an_accuracy_named_eps_does_not_become_adams() -> None:
    claim = Claim(final_gradient_norm_squared, "<=", eps)
    statement = Statement("test.eps", "X", "printed", claim, (), Algorithm("adam", {"eta": eta}))
    with pytest.raises(UsageError, match="symbol eps and adam a field eps"):
        build_rule(statement, {"eta": 0.1, "eps": 0.5})
    said = replace(statement, algorithm=Algorithm("adam", {"eta": eta, "eps": sp.Float(1e-8)}))
    assert build_rule(said, {"eta": 0.1, "eps": 0.5}).eps == 1e-8


def test_the_papers_bind_what_they_run() -> None:
    assert tralgo.theorem_1.algorithm is not None
    assert (tralgo.theorem_1.algorithm.horizon, tralgo.theorem_1.algorithm.batch) == (T, B)
    assert sngm.corollary_2_complexity_repaired.rate is not None
    assert not sngm.corollary_2_complexity_repaired.rate.grows
