"""A run of T rounds is also judged at ends before T: exact ones, expectations, sampled ones."""

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import sympy as sp
from scipy import stats

import synthetic
from bounds import Algorithm, Claim, Condition, Measured, Statement, hardt_recht_singer
from bounds.assumptions import BOUNDED_VARIANCE, SMOOTH
from bounds.notation import G, R, T, ell, sigma
from bounds.path import PathOf
from bounds.quantities import final_gradient_norm_squared, stability_gap
from bounds.symbol import COUNT, Symbol
from bounds.units import Units
from theorylab.engine.driver import Stratified
from theorylab.judge import horizons
from theorylab.judge.check import check
from theorylab.judge.horizons import read_on_the_way, shares
from theorylab.quantities import (
    Experiment,
    Measurement,
    Protocol,
    affine_steps,
    moments,
    protocol_for,
)
from theorylab.quantities.recorded import Recorded, numbers_on_the_way

BOWL = synthetic.quadratic(dim=2, condition=1, sigma=0.0)


def moved(path: PathOf, most: float, **settings: float) -> Statement:
    """A bound on how far momentum goes, which swings beyond the minimizer and back."""
    quantity = Measured("moved", "how far it went", Units(X=1), path=path)
    claim = Claim(quantity, "<=", most * R)
    chosen = {"eta": 0.025 / ell, "beta": 0.9} | settings
    return Statement("test.moved", "X", "printed", claim, (SMOOTH,), Algorithm("msgd", chosen),
                     conditions=(Condition(sigma, "<=", 0),))  # fmt: skip


END = PathOf("at", "distance", "T")
PATHS = [END, PathOf("mean", "distance", "1..T"), END - PathOf("at", "distance", "0"),
         PathOf("max", "distance", "0..T") - PathOf("at", "distance", "T-1")]  # fmt: skip


def test_a_bound_that_breaks_between_the_ends_of_T_is_violated() -> None:
    """It swings to 1.3 R at T = 20 and is back at R for large T; at T = 1 it hardly moved."""
    verdict = check(moved(END, 1.2), BOWL)
    assert (verdict.verdict, verdict.evidence) == ("violated", "exact arithmetic")
    again = check(moved(END, 1.2), BOWL, values={"T": verdict.hyperparameters["T"]})
    assert (again.verdict, again.measured) == ("violated", verdict.measured)
    assert check(moved(END, 2), BOWL).verdict == "holds"


def test_a_number_of_rounds_that_was_chosen_is_kept() -> None:
    assert check(moved(END, 1.2), BOWL, values={"T": 400}).verdict == "holds"


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_what_is_read_on_the_way_is_what_shorter_runs_end_with(path: PathOf) -> None:
    statement = moved(path, 1.3)
    protocol = protocol_for(statement)
    values = {**{k: float(v) for k, v in BOWL.constants().items()}, "T": 9.0}
    whole = read_on_the_way(Experiment(statement, BOWL, values))
    assert whole.horizons == tuple(range(1, 9))
    found = protocol.measure(whole).earlier
    assert found is not None
    assert found.ends == whole.horizons
    for T_, number in zip(found.ends, found.values["moved"], strict=True):
        alone = protocol.measure(Experiment(statement, BOWL, {**values, "T": float(T_)}))
        np.testing.assert_allclose(alone.values["moved"][0], number, rtol=1e-14)
    np.testing.assert_array_equal(protocol.measure(whole).values["moved"],
                                  protocol.measure(Experiment(statement, BOWL, values))
                                  .values["moved"])  # fmt: skip


@pytest.mark.parametrize("settings", [{"eta": 0.1 / (ell * T)}, {"beta": 1 - 1 / T}])
def test_another_number_of_rounds_may_be_another_method(settings: dict[str, float]) -> None:
    values = {**{k: float(v) for k, v in BOWL.constants().items()}, "T": 9.0}
    experiment = Experiment(moved(END, 1.3, **settings), BOWL, values)
    assert read_on_the_way(experiment) is experiment


NOISY = synthetic.quadratic(dim=2, condition=1, noise="shifts", sigma=0.5, n=4)
LAWS = [("distance", 2, "at", "T"), ("value", 1, "mean", "0..T-1"),
        ("gradient_norm", 2, "sum", "0..T-1")]  # fmt: skip


@pytest.mark.parametrize(("record", "power", "reduce", "times"), LAWS)
@pytest.mark.parametrize("by", [moments, affine_steps])
def test_expectations_of_shorter_runs_are_read_on_the_way(
    by: ModuleType, record: str, power: int, reduce: Any, times: Any
) -> None:
    statement = moved(PathOf(reduce, record, times, power=power), 1.2)
    values = {**{k: float(v) for k, v in NOISY.constants().items()}, "T": 7.0, "B": 1.0}
    whole = read_on_the_way(Experiment(statement, NOISY, values))
    found = by.whole_run(whole)
    assert found is not None
    assert found.earlier is not None
    assert len(found.earlier.ends) == 6
    for k, number in zip(found.earlier.ends, found.earlier.values["moved"], strict=True):
        alone = by.whole_run(Experiment(statement, NOISY, {**values, "T": float(k)}))
        assert alone is not None
        np.testing.assert_allclose(alone.values["moved"][0], number, rtol=1e-13)


def test_an_expectation_that_breaks_between_the_ends_of_T_is_violated() -> None:
    squared = Measured("moved", "how far it went", Units(X=2), path=replace(END, power=2))
    false = replace(moved(END, 1), claim=Claim(squared, "<=", 1.2**2 * R**2 + sigma**2 / ell**2),
                    conditions=())  # fmt: skip
    verdict = check(false, synthetic.quadratic(dim=2, condition=1, noise="gaussian", sigma=0.1))
    assert (verdict.verdict, verdict.evidence) == ("violated", "exact law")


# --- sampled runs -------------------------------------------------------------------------------
HUBER = synthetic.huber(noise="gaussian", sigma=0.05)
MEAN = PathOf("mean", "distance", "0..T-1")
FAR, STEADY = {"eta": 0.005 / ell, "beta": 0.98}, {"eta": 0.01 / ell, "beta": 0.95}


def swings(path: PathOf, most: sp.Expr, mode: Any = "in expectation", **settings: Any) -> Statement:
    """A bound as above, on a function and with noise of which no law is known."""
    failure = sp.Rational(1, 10) if mode == "with probability" else None
    plain = moved(path, 1, **settings)
    claim = Claim(plain.claim.lhs, "<=", most * R, mode=mode, failure=failure)
    return replace(plain, claim=claim, conditions=())


@pytest.mark.parametrize(("statement", "evidence"), [
    (swings(END, 1.25, **FAR), "valid interval"),
    (swings(MEAN, 0.55 + 0.003 * T, **STEADY), "valid interval"),
    (swings(END, 1.25, "with probability", **FAR), "valid interval"),
    (swings(END, 1.25, "every run", **FAR), "exact arithmetic"),
])  # fmt: skip
def test_a_sampled_run_is_judged_at_earlier_ends(statement: Statement, evidence: str) -> None:
    """It swings to 1.46 R at T = 60 and is back for large T; where T = 1, 10, 100 it is below."""
    small: dict[str, Any] = {"replicas": 250, "effort": 3e5}
    verdict = check(statement, HUBER, **small)
    assert (verdict.verdict, verdict.evidence) == ("violated", evidence)
    here = {"T": verdict.hyperparameters["T"]}
    assert check(statement, HUBER, values=here, count=1, **small).verdict == "violated"
    assert check(statement, HUBER, values={"T": 400.0}, **small).verdict != "violated"


def test_what_sampled_runs_are_read_on_the_way_is_what_shorter_ones_end_with() -> None:
    """Of one run, in random strata where the end is one of theirs; few where records cost."""
    values = {**{k: float(v) for k, v in HUBER.constants().items()}, "B": 1.0}
    least = PathOf("min", "distance", "0..T") - replace(END, times="T-1")
    total = replace(MEAN, reduce="sum")
    for path, T_ in ((MEAN, 32.0), (total, 32.0), (END, 640.0), (least, 640.0)):
        statement = swings(path, 1.25, **FAR)
        protocol = protocol_for(statement)
        whole = read_on_the_way(Experiment(statement, HUBER, {**values, "T": T_}, 24))
        found = protocol.measure(whole).earlier
        assert found is not None
        assert 4 < len(found.ends) <= 16
        for end, numbers in zip(found.ends, found.values["moved"], strict=True):
            alone = Experiment(statement, HUBER, {**values, "T": float(end)}, 24)
            np.testing.assert_allclose(protocol.measure(alone).values["moved"][0], numbers)


def test_strata_before_an_end_stand_for_its_rounds() -> None:
    """Of t itself, whose mean over k rounds is (k - 1)/2, to within half a stratum."""
    quantity = Measured("moved", "", Units(X=1), path=MEAN)
    times = np.sort(np.random.default_rng(0).integers(0, 640, (32, 200)), axis=0)
    times = (np.arange(32)[:, None] * 20 + times % 20).astype(float)
    recorded = {("moved", MEAN): Recorded(Stratified(32, 0, 640), times)}
    ends = [20, 30, 100, 333, 639]
    found = numbers_on_the_way(quantity, recorded, ends).mean(-1)
    np.testing.assert_allclose(found, (np.array(ends) - 1) / 2, atol=5)


def test_twins_are_judged_at_earlier_ends() -> None:
    """Their gap is below the bound at T = 10 and T = 100, and up to 1.8 times it between."""
    bound = sp.Max(0.05, 1.4 * (T / 100) ** 2) * G
    false = Statement("test.gap", "X", "printed", Claim(stability_gap, "<=", bound),
                      hardt_recht_singer.theorem_3_12.assumptions,
                      Algorithm("sgd", {"eta": sp.Rational(1, 10)}))  # fmt: skip
    verdict = check(false, synthetic.stability_twins(), replicas=500, effort=1e6)
    assert (verdict.verdict, verdict.evidence) == ("violated", "valid interval")
    assert 10 < verdict.hyperparameters["T"] < 100


# --- and honestly -------------------------------------------------------------------------------
def rounds(typical: int) -> Symbol:
    return Symbol("N", "rounds", COUNT, typical=(typical,))


CHANCE = sp.Rational(1, 20)
ATTAINED = Statement(
    "test.attained", "X", "printed",
    Claim(final_gradient_norm_squared, "<=", sp.Float(stats.chi2.isf(0.05, 1)) * sigma**2,
          mode="with probability", failure=CHANCE),
    (SMOOTH, BOUNDED_VARIANCE),
    Algorithm("sgd", {"eta": 1 / ell}, horizon=rounds(64), batch=sp.Integer(1)),
)  # fmt: skip
LINE = synthetic.quadratic(dim=1, noise="gaussian", sigma=1.0)


def test_a_bound_that_is_attained_at_every_end_is_not_violated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every w_k is the last step's noise. Ends that chance proposes, often, are not confirmed.

    With risk 1/2, chance alone would violate it once in twelve; whoever trusted what was read on
    the way would once in four.
    """
    proposed: list[Experiment] = []

    def noted(*arguments: Any) -> Iterator[Experiment]:
        found = [*horizons.broken_earlier(*arguments)]
        proposed.extend(found)
        return iter(found)

    monkeypatch.setattr("theorylab.judge.check.broken_earlier", noted)
    verdicts = [check(ATTAINED, LINE, count=1, replicas=256, effort=1e5, confidence=0.5,
                      repeat=100 * k).verdict for k in range(60)]  # fmt: skip
    assert len(proposed) >= 10
    assert verdicts.count("violated") <= 5


def test_an_earlier_end_is_chosen_and_judged_on_other_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    protocol, made = protocol_for(swings(END, 1.25)), list[Experiment]()
    measure = type(protocol).measure

    def noted(self: Protocol, experiment: Experiment) -> Measurement:
        made.append(experiment)
        return measure(self, experiment)

    monkeypatch.setattr(type(protocol), "measure", noted)
    verdict = check(swings(END, 1.25, **FAR), HUBER, replicas=250, effort=3e5)
    judged = {e.run_seed for e in made if e.values["T"] == verdict.hyperparameters["T"]}
    assert verdict.verdict == "violated"
    assert len(judged) >= 2
    assert not judged & {e.run_seed for e in made if e.horizons}


def test_the_risk_of_a_point_is_shared_where_earlier_ends_are_read() -> None:
    values = {**{k: float(v) for k, v in HUBER.constants().items()}, "T": 9.0, "B": 1.0}
    alone = Experiment(swings(END, 1.25), HUBER, values)
    assert shares(0.01, alone) == (0.01, 0)
    last, earlier = shares(0.01, read_on_the_way(alone))
    assert last + earlier == pytest.approx(0.01)
    assert 0 < earlier < last


# --- laws of all paths --------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["in expectation", "every run"])
def test_all_paths_of_a_short_run_are_judged_at_earlier_ends(mode: Any) -> None:
    """Of SGD with momentum that is 1.44 R away after 5 rounds, not yet or no more at 1 and 8."""
    coin = synthetic.huber(noise="two_point", sigma=0.01)
    plain = swings(END, 1.2, mode, eta=0.5 / ell, beta=0.8)
    assert plain.algorithm is not None
    short = replace(plain, algorithm=replace(plain.algorithm, horizon=rounds(8)))
    exact = "exact law" if mode == "in expectation" else "exact arithmetic"
    verdict = check(short, coin, count=4)
    assert (verdict.verdict, verdict.evidence) == ("violated", exact)
    assert 3 < verdict.hyperparameters["N"] < 8
