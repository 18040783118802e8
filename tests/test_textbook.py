"""Textbook theorems as a user writes them, each beside a false neighbour."""

from __future__ import annotations

from typing import Any

import pytest

import synthetic
import theorylab
from bounds import Algorithm, Claim, Condition, Statement
from bounds.assumptions import BOUNDED_VARIANCE, CONVEX, KNOWN_DISTANCE, SMOOTH, STRONGLY_CONVEX
from bounds.notation import B, R, T, ell, eta, mu, sigma
from bounds.quantities import (
    final_distance_to_minimizer_squared,
    final_suboptimality,
    first_distance_to_minimizer_squared,
)
from theorylab.errors import AssumptionError
from theorylab.hunt.search import hunt


def gradient_descent(bound: Any) -> Statement:
    """Gradient descent with step 1/ell on smooth convex functions."""
    return Statement(
        "textbook.gradient_descent", "Theorem", "printed", Claim(final_suboptimality, "<=", bound),
        (SMOOTH, CONVEX, KNOWN_DISTANCE), Algorithm("sgd", {"eta": 1 / ell}),
        conditions=(Condition(sigma, "<=", 0),),
    )  # fmt: skip


def strongly_convex(factor: Any) -> Statement:
    """SGD with constant steps on strongly convex functions."""
    forgotten = (1 - eta * mu) ** T * first_distance_to_minimizer_squared
    return Statement(
        "textbook.strongly_convex", "Theorem", "printed",
        Claim(final_distance_to_minimizer_squared, "<=",
              forgotten + factor * eta * sigma**2 / (B * mu)),
        (SMOOTH, STRONGLY_CONVEX, BOUNDED_VARIANCE), Algorithm("sgd"),
        conditions=(Condition(eta, "<=", 1 / ell),),
    )  # fmt: skip


def test_gradient_descent_from_a_known_distance() -> None:
    bowl = synthetic.quadratic()
    start = float(bowl.start.norm())
    assert float(bowl.constants()["R"]) == pytest.approx(start)
    assert theorylab.check(gradient_descent(ell * R**2 / (2 * T)), bowl).verdict == "holds"
    # The exact worst case is ell R^2/(4 T + 2), at Huber's function (Drori & Teboulle 2014).
    assert hunt(gradient_descent(ell * R**2 / (4 * T + 2)), limit=60).verdict == "not refuted"
    assert hunt(gradient_descent(ell * R**2 / (4 * T + 4)), limit=200).verdict == "violated"


def test_the_noise_floor_of_sgd() -> None:
    bowl = synthetic.quadratic(noise="two_point", sigma=1.0)
    assert theorylab.check(strongly_convex(1), bowl).verdict == "holds"
    assert hunt(strongly_convex(1), limit=20).verdict == "not refuted"
    # It is eta sigma^2/(mu (2 - eta mu)).
    assert hunt(strongly_convex(0.5), limit=60).verdict == "violated"


def test_the_distance_to_a_regressions_minimizer_allows_for_rounding() -> None:
    data = synthetic.dataset_objective("diabetes", "squared")
    best, certified = data.minimizer(), data.constants()["R"]
    assert best is not None
    assert float(best.norm()) <= float(certified) <= float(best.norm()) * (1 + 1e-9)


def test_a_missing_constant_says_where_to_look() -> None:
    waves = synthetic.robust_regression(n=4, dim=2)
    with pytest.raises(AssumptionError, match="theorylab objectives convex lists families"):
        theorylab.check(gradient_descent(ell * R**2 / T), waves)


def test_a_condition_that_fixes_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="to fix a value, bind it"):
        Condition(eta, "==", 1 / ell)  # type: ignore[arg-type]


@pytest.mark.parametrize(("change", "wanted"), [
    ({"assumptions": SMOOTH}, "assumptions is a tuple of Assumption"),
    ({"assumptions": ("smooth",)}, "assumptions is a tuple of Assumption, got smooth"),
    ({"algorithm": "sgd"}, "algorithm is one Algorithm, got sgd"),
    ({"claim": final_suboptimality <= eta}, "claim is one Claim"),
    ({"conditions": (eta <= 1 / ell,)}, "conditions is a tuple of Condition"),
    ({"conditions": Condition(eta, "<=", 1)}, "conditions is a tuple of Condition"),
])  # fmt: skip
def test_a_part_of_another_kind_is_refused(change: dict[str, Any], wanted: str) -> None:
    parts = {"key": "a.b", "label": "x", "form": "printed",
             "claim": Claim(final_suboptimality, "<=", eta)}  # fmt: skip
    with pytest.raises(ValueError, match=wanted):
        Statement(**{**parts, **change})
