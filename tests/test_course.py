"""O(.) claims whose worst function moves with the size: one class, another function at each."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import sympy as sp

import synthetic
import theorylab
from bounds import Algorithm, Claim, Condition, Rate, Statement
from bounds.assumptions import BOUNDED_BELOW, CONVEX, KNOWN_DISTANCE, SMOOTH
from bounds.notation import Delta, R, T, ell, sigma
from bounds.quantities import final_suboptimality, min_gradient_norm_squared
from theorylab.errors import UsageError
from theorylab.hunt.counterexample import replay
from theorylab.hunt.instance import Instance
from theorylab.hunt.search import hunt
from theorylab.judge.course import Course


def descent(power: float, rule: str = "sgd") -> Statement:
    """F(w_T) - F* = O(ell R^2/T^power) of gradient descent at 1/ell on convex functions."""
    settings = {"eta": 1 / ell} if rule == "sgd" else {}
    return Statement(
        f"made_up.descent_{rule}_{round(2 * power)}", "Order", "printed",
        Claim(final_suboptimality, "<=", ell * R**2 / T ** sp.nsimplify(power), mode="O(.)"),
        (SMOOTH, CONVEX, KNOWN_DISTANCE), Algorithm(rule, settings),
        conditions=(Condition(sigma, "<=", 0),), rate=Rate(T, {T: -power}),
    )  # fmt: skip


# Slope 1 as long as the run lasts: Drori and Teboulle's function of each horizon.
SLOWEST = Instance({"family": "huber", "parameters": {}}, {"B": 1.0}, course={"start": 1.0})


@pytest.mark.parametrize(
    ("power", "said"), [(1, "not refuted"), (1.5, "violated"), (2, "violated")]
)
def test_the_slowest_function_of_each_horizon(power: float, said: str) -> None:
    verdict = SLOWEST.check(descent(power))
    assert verdict.verdict == said
    assert verdict.reason.startswith("start like T, one class: ")
    if said == "violated":
        # F(w_T) - F* = ell R^2/(9 T/2) (1 + O(1/T)) from w_0 = 3 T.
        assert verdict.growth is not None
        assert verdict.growth[0] == pytest.approx(power - 1, abs=0.02)
        assert verdict.constants["R"] == pytest.approx(3.0)
        assert verdict.constants["ell"] == pytest.approx(1.0)


def test_no_single_function_is_as_slow() -> None:
    for start in (3.0, 300.0):
        found = theorylab.check(descent(2), synthetic.huber(start=start))
        assert found.verdict == "not refuted"


def test_the_hunt_finds_it_and_spares_the_truth() -> None:
    found = hunt(descent(2), [{"family": "huber"}], limit=60)
    assert (found.verdict, found.how) == ("violated", "courses")
    assert found.instance is not None
    assert found.instance.course
    again = Instance.from_json(json.loads(json.dumps(found.instance.to_json())))
    assert again == found.instance
    assert '"course"' in replay(descent(2), found.instance).replace("'", '"')
    assert hunt(descent(1), [{"family": "huber"}], limit=60).verdict == "not refuted"


def test_a_course_that_leaves_the_class_is_refused() -> None:
    steeper = Course(lambda size: synthetic.huber(ell=size), "ell like T")
    with pytest.raises(UsageError, match=r"ell like T: what an O.*may depend on ell, 16 first"):
        theorylab.check(descent(1), synthetic.huber(), course=steeper)
    farther = Course(lambda size: synthetic.huber(start=size), "start like T")
    with pytest.raises(UsageError, match=r"may depend on (Delta|R)"):
        theorylab.check(descent(1), synthetic.huber(), course=farther)


def test_a_start_is_as_far_as_the_statement_says() -> None:
    """Of bounded suboptimality: min ||grad F||^2 is of order 1/T, on a slope that T steps walk."""
    claim = Claim(
        min_gradient_norm_squared, "<=", ell * Delta / T ** sp.Rational(3, 2), mode="O(.)"
    )
    falls = replace(
        descent(1.5), key="made_up.falls", claim=claim, assumptions=(SMOOTH, BOUNDED_BELOW)
    )
    verdict = SLOWEST.check(falls)
    assert verdict.verdict == "violated"
    assert verdict.growth is not None
    assert verdict.growth[0] == pytest.approx(0.5, abs=0.02)
    # Where the bound leaves out the scale of F, what the O(.) hides may depend on the distance.
    bare = replace(falls, claim=Claim(min_gradient_norm_squared, "<=", T**-1.5, mode="O(.)"))
    with pytest.raises(UsageError, match="may depend on R"):
        SLOWEST.check(bare)
    true = replace(
        falls, claim=Claim(min_gradient_norm_squared, "<=", ell * Delta / T, mode="O(.)")
    )
    assert SLOWEST.check(true).verdict == "not refuted"


def test_a_course_is_for_orders_alone() -> None:
    claim = Claim(final_suboptimality, "<=", ell * R**2)
    with pytest.raises(UsageError, match="a course is for O"):
        SLOWEST.check(replace(descent(1), claim=claim))
