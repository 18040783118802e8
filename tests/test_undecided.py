"""What nothing is known of is said to be so, and why; a run that diverged is judged before it."""

from typing import Any

import numpy as np
import pytest
import sympy as sp

import synthetic
import theorylab
from bounds import Algorithm, Claim, Condition, Measured, Statement, Symbol, quantities
from bounds.assumptions import BOUNDED_BELOW, CONVEX, SMOOTH
from bounds.claim import DomainError
from bounds.notation import Delta, ell, eta
from bounds.symbol import POSITIVE, Domain
from theorylab.hunt.search import hunt
from theorylab.judge import modes
from theorylab.judge.comparison import compare
from theorylab.judge.undecided import HIDDEN, LOST, NO_VALUE, reason_of
from theorylab.quantities import Measurement

BOWL = synthetic.quadratic(dim=2)


def stays(widest: float, quantity: Measured = quantities.final_suboptimality) -> Statement:
    """A bound far above where it starts, for steps up to ``widest / ell``: false beyond 2."""
    return Statement("test.stays", "X", "printed", Claim(quantity, "<=", 1_000_000 * Delta),
                     (SMOOTH, CONVEX, BOUNDED_BELOW), Algorithm("sgd", {"eta": eta}),
                     conditions=(Condition(eta, "<=", widest / ell),))  # fmt: skip


def test_a_run_that_leaves_the_numbers_is_judged_where_it_was_last_among_them() -> None:
    """Steps of 12/ell end in NaN; the other points held, and so did the false theorem."""
    verdict = theorylab.check(stays(12), BOWL, replicas=16)
    assert (verdict.verdict, verdict.evidence) == ("violated", "exact arithmetic")
    assert verdict.hyperparameters["eta"] > 2
    assert verdict.measured > verdict.bound
    assert theorylab.check(stays(1), BOWL, replicas=16).verdict == "holds"


@pytest.mark.parametrize("values", [{"T": 400.0}, {"T": 400.0, "eta": 12.0}])
def test_a_run_that_leaves_the_numbers_holds_nothing(values: dict[str, float]) -> None:
    verdict = theorylab.check(stays(12), BOWL, values=values, replicas=16)
    assert (verdict.verdict, verdict.reason) == ("not refuted", LOST)
    assert np.isnan(verdict.measured)
    assert verdict.hyperparameters == {"T": 400.0, "eta": 12.0}


def test_runs_that_left_the_numbers_may_have_failed() -> None:
    """With probability 0.9: of 2,000 runs all that are numbers kept it, and 300 are none."""
    m, p = Measured("m"), sp.Rational(1, 10)
    numbers = np.full((1, 2000), 0.4)
    for lost, outcome in ((0, "holds"), (300, "not refuted")):
        numbers[0, :lost] = np.nan
        found = Measurement({"m": numbers}, "samples")
        compared = compare(Claim(m, "<=", 0.5, mode="with probability", failure=p), {}, found, 0.01)
        assert modes.run_by_run(compared, 0.1)[0] == outcome


@pytest.mark.parametrize(
    ("bound", "z", "reason"),
    [(lambda z: sp.sin(z) / z, 0.0, NO_VALUE), (lambda z: sp.sqrt(z), -1.0, NO_VALUE),
     (lambda z: 1 / z, 0.0, NO_VALUE), (lambda z: sp.exp(z) - sp.exp(z - 1), 1e3, HIDDEN),
     (lambda z: 1 + z, 0.0, LOST)],
)  # fmt: skip
def test_why_nothing_is_known(bound: Any, z: float, reason: str) -> None:
    name, m = Symbol("z", "", Domain()), Measured("m")
    found = Measurement({"m": np.array([[np.nan if reason == LOST else 1.0]])}, "arithmetic")
    compared = compare(Claim(m, "<=", bound(name)), {"z": z}, found, 0.01)
    assert compared.outcomes()[0] == "unknown"
    assert reason_of(compared, {"z": z}, found, 0) == reason


def test_a_relation_between_numbers_without_a_value_is_no_arithmetic() -> None:
    z = Symbol("z", "", Domain(0), typical=(0.0, 1.0))
    statement = Statement("test.zero", "X", "printed", Claim(sp.sin(z) / z, "<=", 1))
    verdict = theorylab.check(statement, values={"z": 0.0})
    assert (verdict.told, verdict.reason) == ("not refuted", NO_VALUE)


def test_a_hunt_among_values_beyond_reach_says_so() -> None:
    """It was called not applicable, which is said of what no objective satisfies."""
    far = Symbol("z", "a number", POSITIVE, typical=(1e60, 1e70))
    claim = Claim(quantities.gradient_norm_at_w, "<=", far * ell)
    statement = Statement("test.far", "X", "printed", claim, (SMOOTH,))
    found = hunt(statement, [{"family": "quadratic"}], limit=8, programs=0, progress=False)
    assert found.verdict == "not refuted"
    assert found.reason.startswith("nothing could be measured: z = ")
    with pytest.raises(DomainError, match="state it in other units"):
        theorylab.check(statement, BOWL, values={"z": 1e60})
