"""Theorems nobody had planned for: each was once judged wrongly, or beyond every search."""

from typing import Any

import pytest
import sympy as sp

import synthetic
from bounds import Algorithm, Claim, Statement
from bounds.assumptions import BOUNDED_VARIANCE
from bounds.notation import B, eta, sigma
from bounds.quantities import estimate_error_squared
from theorylab import check


def statement(name: str, claim: Claim, *assumptions: Any, **parts: Any) -> Statement:
    return Statement(f"unseen.{name}", name, "printed", claim, assumptions, **parts)


@pytest.mark.parametrize("noise", ["two_point", "shifts"])
def test_a_difference_of_terms_that_overflow_is_no_evidence(noise: str) -> None:
    # STORM at a = 1 is SGD, whose estimate errs by its noise however far the run has gone.
    claim = Claim(estimate_error_squared, "<=", sigma**2 / B)
    storm = Algorithm("storm", {"eta": eta, "a": sp.Integer(1)})
    bowl = synthetic.quadratic(noise=noise, sigma=1.0, n=4)
    far = {"eta": 4.0, "T": 400.0, "B": 1.0}  # where w is of size 3^400
    found = check(
        statement("storm", claim, BOUNDED_VARIANCE, algorithm=storm), bowl, values=far, count=1
    )
    assert found.verdict == "not refuted", found
