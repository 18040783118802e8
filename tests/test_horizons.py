"""A run of T rounds without randomness is also judged at ends before T."""

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
from theorylab.quantities import Experiment, protocol_for

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
    found = protocol.at_horizons(whole)
    assert found is not None
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
