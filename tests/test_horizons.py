"""A run of T rounds without randomness is also judged at ends before T."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import synthetic
from bounds import Algorithm, Claim, Condition, Measured, Statement
from bounds.assumptions import SMOOTH
from bounds.notation import R, T, ell, sigma
from bounds.path import PathOf
from bounds.units import Units
from theorylab.judge.check import check
from theorylab.judge.horizons import read_on_the_way
from theorylab.quantities import Experiment, affine_steps, moments, protocol_for

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
    for T_, number in zip(whole.horizons, found["moved"], strict=True):
        alone = protocol.measure(Experiment(statement, BOWL, {**values, "T": float(T_)}))
        np.testing.assert_array_equal(alone.values["moved"][0], number)
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
    assert len(found.earlier["moved"]) == 6
    for k, number in zip(whole.horizons, found.earlier["moved"], strict=True):
        alone = by.whole_run(Experiment(statement, NOISY, {**values, "T": float(k)}))
        assert alone is not None
        np.testing.assert_allclose(alone.values["moved"][0], number, rtol=1e-13)


def test_an_expectation_that_breaks_between_the_ends_of_T_is_violated() -> None:
    squared = Measured("moved", "how far it went", Units(X=2), path=replace(END, power=2))
    false = replace(moved(END, 1), claim=Claim(squared, "<=", 1.2**2 * R**2 + sigma**2 / ell**2),
                    conditions=())  # fmt: skip
    verdict = check(false, synthetic.quadratic(dim=2, condition=1, noise="gaussian", sigma=0.1))
    assert (verdict.verdict, verdict.evidence) == ("violated", "exact law")
