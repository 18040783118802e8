"""Mutants claim more than their statement, and those that can be caught are."""

import pytest
import sympy as sp
from hunting import AVERAGE, DESCENT, GRADIENT_DESCENT, NUMBERS_TRUE

from bounds.evaluation import evaluate
from bounds.statement import Statement
from theorylab.hunt.search import Hunt
from theorylab.studies import power as measuring
from theorylab.studies.mutants import FACTORS, mutants
from theorylab.studies.power import markdown, measure_power, summary

VALUES = {"ell": 2.0, "Delta": 1.5, "sigma": 0.7, "T": 5.0, "B": 3.0, "eta": 0.1, "beta": 0.4}


@pytest.mark.parametrize("statement", [AVERAGE, DESCENT, NUMBERS_TRUE], ids=lambda s: s.key)
def test_every_mutated_bound_is_smaller(statement: Statement) -> None:
    _, large = statement.claim.sides
    before = float(evaluate(large, VALUES))
    for mutant in mutants(statement):
        if mutant.kind != "condition":
            after = float(evaluate(mutant.statement.claim.rhs, VALUES))
            assert after < before, mutant.detail
            if mutant.kind == "bound":
                assert after == pytest.approx(mutant.factor * before)


def test_mutants_cover_constants_terms_exponents_and_conditions() -> None:
    made = mutants(AVERAGE)
    assert {m.factor for m in made if m.kind == "bound"} == set(FACTORS)
    assert sum(m.kind == "constant" for m in made) == 2 * len(FACTORS)
    assert sum(m.kind == "term" for m in made) == 2
    exponents = [m for m in made if m.kind == "exponent"]
    assert len(exponents) == 4
    shrunk = exponents[0].statement.claim.rhs
    assert sp.simplify(shrunk - AVERAGE.claim.rhs) != 0
    assert [m.kind for m in mutants(GRADIENT_DESCENT)].count("condition") == 2
    assert len({m.statement.key for m in made}) == len(made)


def test_numbers_are_mutated_and_caught() -> None:
    score = measure_power(NUMBERS_TRUE, budget=3.0)
    assert score.attained
    assert not score.false_alarm
    assert all(o.caught for o in score.outcomes)


def test_the_page_says_what_escaped_and_why() -> None:
    outcomes = [
        {"kind": "bound", "factor": 0.5, "detail": "all x 0.5", "caught": caught, "ratio": 0.7,
         "catchable": "exact value" if caught else "unknown"}
        for caught in (True, False)
    ]  # fmt: skip
    rows = [
        {"key": key, "attained": attained, "outcomes": outcomes}
        for key, attained in (("made_up.sharp", True), ("made_up.loose", False))
    ]
    text = markdown({
        "summary": summary(rows), "results": rows,
        "false_alarms": {"called_violated": [], "seeds": 3, "statements": 2, "instances": 4,
                         "expected_at_most": 0.003},
        "provenance": {"command": "theorylab power", "code": "abc"},
    })  # fmt: skip
    assert "| bound x 0.5 | 1 / 1 / 1 / 2 | 2 / 2 / 2 / 4 |" in text
    escaped = [line for line in text.splitlines() if "made_up" in line]
    assert escaped == ["| `made_up.sharp` | `all x 0.5` | 0.7 | nothing apart from the hunt "
                       "says whether it is false |"]  # fmt: skip
    assert "false alarms: 0 over 3 seeds" in text


@pytest.mark.slow
def test_all_halved_bounds_of_an_attained_statement_are_caught() -> None:
    score = measure_power(DESCENT, budget=20.0)
    assert score.attained
    assert not score.false_alarm
    assert all(o.caught for o in score.outcomes if o.kind == "bound")
    table = summary([score.to_json()])
    halved = next(r for r in table if (r["kind"], r["factor"]) == ("bound", 0.5))
    assert halved["caught"] == halved["catchable"] == halved["all"] == 1
    assert halved["caught_of_catchable"] == 1


def test_what_was_caught_does_not_say_what_can_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """That comes from the independent search or an exact worst case alone."""
    monkeypatch.setattr(measuring, "_from_pool", lambda mutant, pool, seed: None)
    monkeypatch.setattr(measuring, "solve_points", lambda *arguments: iter(()))
    found = Hunt("k", "repaired", "violated")
    monkeypatch.setattr(measuring, "hunt", lambda *arguments, **options: found)
    score = measure_power(NUMBERS_TRUE, budget=1.0)
    assert all(o.caught and o.catchable == "unknown" for o in score.outcomes)
    halved = next(r for r in summary([score.to_json()]) if r["factor"] == 0.5)
    assert (halved["caught"], halved["catchable"]) == (1, 0)
