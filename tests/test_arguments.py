"""What Python callers may get wrong: each argument's kind is checked where it comes in."""

from __future__ import annotations

from typing import Any

import pytest

import theorylab
from bounds import sngm
from synthetic import quadratic
from theorylab import check
from theorylab.errors import UsageError
from theorylab.hunt.search import hunt
from theorylab.method import SGD
from theorylab.studies.falsify import falsify
from theorylab.studies.power import power
from theorylab.studies.verify import verify

LEMMA: Any = sngm.lemma_2
BOWL: Any = quadratic()
BOWLS: Any = [{"family": "quadratic", "parameters": {"dim": 2}}]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: check("sngm.lemma_2", "quadratic"), "check: objective must be of class Objective"),
        (lambda: hunt("sngm.lemma_2", BOWLS), "hunt: statement must be of class Statement, got 's"),
        (lambda: hunt(LEMMA, BOWL), "hunt: objectives are named in a list, .* Separable$"),
        (lambda: hunt(LEMMA, BOWLS[0]), "got dict$"),
        (lambda: hunt(LEMMA, [BOWL]), "got Separable in it"),
        (lambda: verify("sngm.lemma_2"), "verify: statements must be a sequence of class"),
        (lambda: verify([LEMMA], "quadratic"), "verify: objectives are named in a list"),
        (lambda: falsify(LEMMA), "falsify: statements must be a sequence .* got Statement"),
        (lambda: power(LEMMA), "power: statements must be a sequence"),
        (lambda: theorylab.run("quadratic", SGD(eta=1.0), 3), "run: objective must be of class"),
        (lambda: theorylab.run(quadratic(), "sgd", 3), "rule must be of class UpdateRule, got 'sg"),
    ],
)  # fmt: skip
def test_what_is_of_another_kind_is_named(call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()
