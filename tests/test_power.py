"""Mutants claim more than their statement, and those that can be caught are."""

import pytest
import sympy as sp
from hunting import AVERAGE, DESCENT, GRADIENT_DESCENT, NUMBERS_TRUE

from bounds.statement import evaluate
from theorylab.cli.power import summary
from theorylab.power import FACTORS, measure_power, mutants

VALUES = {"ell": 2.0, "Delta": 1.5, "sigma": 0.7, "T": 5.0, "B": 3.0, "eta": 0.1, "beta": 0.4}


@pytest.mark.parametrize("statement", [AVERAGE, DESCENT, NUMBERS_TRUE], ids=lambda s: s.key)
def test_every_mutated_bound_is_smaller(statement):
    _, large = statement.claim.sides
    before = float(evaluate(large, VALUES))
    for mutant in mutants(statement):
        if mutant.kind != "condition":
            after = float(evaluate(mutant.statement.claim.rhs, VALUES))
            assert after < before, mutant.detail
            if mutant.kind == "bound":
                assert after == pytest.approx(mutant.factor * before)


def test_mutants_cover_constants_terms_exponents_and_conditions():
    made = mutants(AVERAGE)
    assert {m.factor for m in made if m.kind == "bound"} == set(FACTORS)
    assert sum(m.kind == "constant" for m in made) == 2 * len(FACTORS)
    assert sum(m.kind == "term" for m in made) == 2
    exponents = [m for m in made if m.kind == "exponent"]
    assert len(exponents) == 2
    shrunk = exponents[0].statement.claim.rhs
    assert sp.simplify(shrunk - AVERAGE.claim.rhs) != 0
    assert [m.kind for m in mutants(GRADIENT_DESCENT)].count("condition") == 2
    assert len({m.statement.key for m in made}) == len(made)


def test_numbers_are_mutated_and_caught():
    score = measure_power(NUMBERS_TRUE, budget=3.0)
    assert score.attained
    assert not score.false_alarm
    assert all(o.caught for o in score.outcomes)


@pytest.mark.slow
def test_all_halved_bounds_of_an_attained_statement_are_caught():
    score = measure_power(DESCENT, budget=20.0)
    assert score.attained
    assert not score.false_alarm
    assert all(o.caught for o in score.outcomes if o.kind == "bound")
    table = summary([score.to_json()])
    halved = next(r for r in table if (r["kind"], r["factor"]) == ("bound", 0.5))
    assert halved["caught"] == halved["catchable"] == halved["all"] == 1
