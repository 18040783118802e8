"""The law of a round's length, where its events are rare."""

from dataclasses import replace

import pytest

import synthetic
from bounds import lrsgd
from bounds.claim import Claim
from theorylab import check

POINT = {"lam": 2.0, "theta": 0.25}


@pytest.mark.parametrize("length", [1.0, 5.0, 60.0, 100.0])
def test_a_length_too_rare_to_be_drawn_refutes_nothing(length: float) -> None:
    found = check(lrsgd.definition_4_1, synthetic.quadratic(), values={**POINT, "K": length})
    assert found.verdict == "not refuted"


@pytest.mark.parametrize("length", [1.0, 5.0])
def test_a_wrong_law_is_refuted(length: float) -> None:
    claim = Claim(lrsgd.definition_4_1.claim.lhs, "==", 0.9 * lrsgd.definition_4_1.claim.rhs)
    wrong = replace(lrsgd.definition_4_1, claim=claim)
    found = check(wrong, synthetic.quadratic(), values={**POINT, "K": length})
    assert found.verdict == "violated"
