"""Exact worst cases against values known in closed form, and what cannot be modelled."""

import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from hunting import AVERAGE, DESCENT, GRADIENT_DESCENT, TOO_SHARP

from bounds import Algorithm, Claim, Condition, Statement
from bounds.assumptions import (
    BOUNDED_BELOW,
    CONVEX,
    POLYAK_LOJASIEWICZ,
    QUADRATIC_GROWTH,
    SMOOTH,
    STRONGLY_CONVEX,
    WEAKLY_CONVEX,
)
from bounds.claim import DomainError
from bounds.notation import Delta, T, delta, ell, eta, lam, mu, sigma
from bounds.quantities import (
    buffer_norm,
    decrease,
    distance_squared,
    final_distance_to_minimizer_squared,
    final_suboptimality,
    first_distance_to_minimizer_squared,
    linear_term,
    mean_gradient_norm,
    min_gradient_norm_squared,
    total_decrease,
    value_difference,
)
from theorylab.errors import UsageError
from theorylab.exact import function_class as module
from theorylab.exact.refutation import refutation
from theorylab.exact.worst_case import (
    FunctionClass,
    MissingExtra,
    expansion_factor,
    normalised_points,
    worst_case,
)
from theorylab.hunt.instance import Instance
from theorylab.hunt.search import hunt
from theorylab.hunt.worst_cases import worst_instance
from theorylab.method import SGD, TRSGD
from theorylab.studies.worst_case import hunted, markdown, worst_cases

needs_pep = pytest.mark.skipif(
    any(importlib.util.find_spec(n) is None for n in ("PEPit", "cvxpy", "clarabel")),
    reason="needs the extra [pep]",
)


@needs_pep
@pytest.mark.parametrize("step", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("rounds", [1, 3])
def test_gradient_descent_matches_the_known_rate(step: float, rounds: int) -> None:
    # Known: min ||grad||^2 <= 4/(gamma (4 - gamma L)) (f0 - fn)/n for gamma <= 1/L, tight.
    found = worst_case(GRADIENT_DESCENT, {"ell": 1.0, "eta": step, "T": rounds, "sigma": 0.0})
    assert found.primal == pytest.approx(4 / (step * (4 - step)) / (4 / 3), rel=1e-5)
    assert found.gap < 1e-4
    assert found.refutes == (step < 1)


@needs_pep
@pytest.mark.parametrize("batch", [1, 4])
def test_two_atom_noise_attains_the_descent_lemma(batch: int) -> None:
    values = {"ell": 1.0, "eta": 0.5, "sigma": 1.0, "B": batch}
    assert worst_case(DESCENT, values).ratio == pytest.approx(1, rel=1e-5)
    assert worst_case(TOO_SHARP, values).refutes


@needs_pep
def test_definition_of_weak_convexity_is_attained_and_no_less_is_true() -> None:
    def claim(factor: Any) -> Any:
        below = -factor * delta / 2 * distance_squared
        return Statement("made_up.weak", "Definition", "printed",
                         Claim(value_difference - linear_term, ">=", below),
                         (SMOOTH, WEAKLY_CONVEX))  # fmt: skip

    values = {"ell": 2.0, "delta": 0.5}
    assert worst_case(claim(1), values).ratio == pytest.approx(1, rel=1e-5)
    assert worst_case(claim(0.9), values).refutes


@needs_pep
@pytest.mark.parametrize(("rule", "factor"), [
    (SGD(eta=0.5), 1.5), (SGD(eta=2.0), 3.0), (TRSGD(lam=4.0, delta=1.0, S=3), 4 / 3)])  # fmt: skip
def test_expansion_factors(rule: Any, factor: float) -> None:
    found = expansion_factor(rule, FunctionClass(-1.0, 2.0))
    assert found.primal == pytest.approx(factor, rel=1e-4)


@needs_pep
def test_the_function_class_and_the_mean_norm() -> None:
    statement = Statement("made_up.norm", "Theorem", "printed",
                          Claim(mean_gradient_norm, "<=", (2 * ell * Delta) ** 0.5 + 0 * T),
                          (SMOOTH, BOUNDED_BELOW), Algorithm("sgd", {"eta": 1 / ell}))  # fmt: skip
    found = worst_case(statement, {"ell": 1.0, "Delta": 1.0})
    assert found.ratio == pytest.approx(1, rel=1e-4)
    assert FunctionClass.of(statement, {"ell": 1.0, "Delta": 1.0}) == FunctionClass(-1.0, 1.0)


SNGM = Statement("made_up.sngm", "L", "printed", Claim(mean_gradient_norm, "<=", Delta / (eta * T)),
                 (SMOOTH,), Algorithm("sngm", {"eta": eta, "beta": 0.5}))  # fmt: skip
FLAT = (SMOOTH, CONVEX)
QUIET = (Condition(sigma, "<=", 0),)


@needs_pep
@pytest.mark.parametrize(("excess", "refuted"), [(1.005, True), (1.00001, True), (1.0, False)])
def test_a_small_excess_is_believed_on_a_rebuilt_function(excess: float, refuted: bool) -> None:
    """Half a part in a hundred is enough where arithmetic shows it, and no program alone is."""
    claim = Claim(final_suboptimality, "<=",
                  ell * first_distance_to_minimizer_squared / (4 * T + 2) / excess)  # fmt: skip
    statement = Statement("made_up.close", "Theorem", "printed", claim, FLAT,
                          Algorithm("sgd", {"eta": 1 / ell}), conditions=QUIET)  # fmt: skip
    found = worst_case(statement, {"ell": 1.0, "T": 3, "sigma": 0.0})
    assert found.rebuilt is not None
    assert (found.rebuilt.verdict == "violated") == found.refutes == refuted
    alone = replace(found, rebuilt=None, spec=None)
    assert not alone.refutes
    assert replace(alone, primal=1.02 * alone.bound, dual=1.02 * alone.bound).refutes
    # Nor does the program's word count against what its own function shows.
    holds = replace(found.rebuilt, verdict="holds")
    assert not replace(found, rebuilt=holds, primal=1.2, dual=1.2).refutes


@needs_pep
def test_neither_side_is_fixed_while_the_other_moves() -> None:
    """min ||g||^2 <= (f_0 - f_N)/4: the supremum of the ratio is 16/15 whatever Delta is."""
    claim = Claim(min_gradient_norm_squared, "<=", total_decrease / 4)
    for assumptions in ((SMOOTH,), (SMOOTH, BOUNDED_BELOW)):
        statement = Statement("made_up.fourth", "Theorem", "printed", claim, assumptions,
                              Algorithm("sgd", {"eta": 1 / ell}), conditions=QUIET)  # fmt: skip
        found = worst_case(statement, {"ell": 1.0, "Delta": 1.0, "T": 5, "sigma": 0.0})
        assert found.scope == "exact"
        assert found.primal == pytest.approx(16 / 15, rel=1e-6)
        assert found.refutes
        assert found.gap < 1e-6
        assert found.rebuilt.ratio == pytest.approx(16 / 15, rel=1e-4)
        assert found.rebuilt.verdict == "violated"


@needs_pep
@pytest.mark.parametrize("rounds", [1, 5])
@pytest.mark.parametrize("constant", [2, 3])
def test_gradient_descent_on_convex_functions(rounds: int, constant: int) -> None:
    """f(w_T) - f* <= ell ||w_0 - w*||^2/(4 T + 2), and no less (Drori and Teboulle 2014)."""
    below = ell * first_distance_to_minimizer_squared / (4 * T + constant)
    statement = Statement("made_up.drori", "Theorem", "printed",
                          Claim(final_suboptimality, "<=", below), FLAT,
                          Algorithm("sgd", {"eta": 1 / ell}), conditions=QUIET)  # fmt: skip
    found = worst_case(statement, {"ell": 1.0, "T": rounds, "sigma": 0.0})
    exact = (4 * rounds + constant) / (4 * rounds + 2)
    assert found.primal == pytest.approx(exact, rel=1e-6)
    assert found.rebuilt.ratio == pytest.approx(exact, rel=1e-5)
    assert found.refutes == (constant == 3)
    assert found.proves == (constant == 2)


@needs_pep
def test_the_heavy_ball_is_not_linear_on_strongly_convex_functions() -> None:
    """Polyak's tuning for quadratics: the exact worst case grows where the claim falls."""
    root, least = sp.sqrt(ell), sp.sqrt(mu)
    ball = Algorithm("msgd", {"eta": 4 / (root + least) ** 2,
                              "beta": ((root - least) / (root + least)) ** 2})  # fmt: skip
    claim = Claim(
        final_distance_to_minimizer_squared,
        "<=",
        2 * ell / mu * (1 - least / root) ** T * first_distance_to_minimizer_squared,
    )
    statement = Statement("made_up.heavy_ball", "Theorem", "printed", claim,
                          (SMOOTH, STRONGLY_CONVEX), ball, conditions=QUIET)  # fmt: skip
    values = {"ell": 1.0, "mu": 0.04, "sigma": 0.0}
    ratios = [worst_case(statement, {**values, "T": rounds}) for rounds in (5, 10)]
    assert not ratios[0].refutes
    assert ratios[1].refutes
    assert ratios[1].rebuilt.ratio == pytest.approx(ratios[1].ratio, rel=1e-3)


@needs_pep
@pytest.mark.parametrize("rule", ["msgd", "nesterov"])
def test_momentum_steps_begin_where_a_run_leads(rule: str) -> None:
    falls = Statement("made_up.falls", "Lemma", "printed", Claim(decrease, ">=", 0), (SMOOTH,),
                      Algorithm(rule), {}, (*QUIET, Condition(eta, "<=", 1 / ell)))  # fmt: skip
    found = worst_case(falls, {"ell": 1.0, "eta": 1.0, "sigma": 0.0})
    assert found.warm > 0
    assert found.refutes
    assert found.rebuilt.verdict == "violated"
    plain = replace(falls, algorithm=Algorithm("sgd"))
    assert worst_case(plain, {"ell": 1.0, "eta": 1.0, "sigma": 0.0}).proves


@needs_pep
def test_noise_is_rebuilt_as_well() -> None:
    found = worst_case(TOO_SHARP, {"ell": 1.0, "eta": 0.5, "sigma": 1.0, "B": 1})
    assert found.rebuilt.ratio == pytest.approx(found.ratio, rel=1e-5)
    assert found.rebuilt.constants["sigma"] == pytest.approx(1)
    four = worst_case(TOO_SHARP, {"ell": 1.0, "eta": 0.5, "sigma": 1.0, "B": 4})
    assert four.rebuilt is None
    assert "more than two atoms" in four.cross_check


@needs_pep
def test_an_unbounded_problem_says_so() -> None:
    wild = Statement("made_up.wild", "Lemma", "printed", DESCENT.claim, DESCENT.assumptions,
                     DESCENT.algorithm)  # fmt: skip
    found = worst_case(wild, {"ell": 1.0, "eta": 3.0, "sigma": 1.0, "B": 1})
    assert found.primal == math.inf
    assert "unbounded" in found.status
    assert found.to_json()["primal"] is None


@needs_pep
@pytest.mark.parametrize(("statement", "values", "reason"), [
    (SNGM, {"ell": 1.0, "eta": 0.5, "Delta": 1.0, "T": 2}, "not linear"),
    (Statement("made_up.buffer", "L", "printed", Claim(buffer_norm, "<=", eta * ell), (SMOOTH,),
               Algorithm("sgd")), {"ell": 1.0, "eta": 0.5}, "no semidefinite model"),
    (Statement("made_up.curvature", "L", "printed", Claim(mean_gradient_norm, "<=", lam * Delta),
               (), Algorithm("sgd", {"eta": 1 / lam})), {"lam": 1.0, "Delta": 1.0}, "curvature"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_reason(
    statement: Statement, values: Any, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        worst_case(statement, values)


@needs_pep
def test_an_infinite_run_is_refused() -> None:
    values = {"ell": 1.0, "Delta": 1.0, "sigma": 1.0, "B": 1.0, "T": math.inf}
    with pytest.raises(DomainError, match=r"T .* must lie in .*, got inf"):
        worst_case(AVERAGE, values)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"theorylab\[pep\]"):
        worst_case(DESCENT, {"ell": 1.0, "eta": 0.5, "sigma": 1.0, "B": 1})


def test_points_are_normalised_and_admissible() -> None:
    points = normalised_points(DESCENT, {}, 6, 0)
    assert points
    for values in points:
        assert values["ell"] == 1.0
        DESCENT.validate(values)


@needs_pep
def test_a_hunted_run_stands_beside_the_worst_case_at_its_own_values() -> None:
    row = hunted(DESCENT, {}, math.inf, 0, limit=60)
    assert row is not None
    assert row.measured is not None
    assert row.measured <= row.primal * (1 + 1e-6) + 1e-8
    assert row.reached is not None
    assert row.reached > 0.9
    assert row.to_json()["reached"] == row.reached
    report = {"results": [row.to_json()], "provenance": {"command": "c", "code": "d"}}
    line = markdown(report).splitlines()[2]
    assert line.startswith(f"| `{DESCENT.key}` | printed | 1 | {row.reached:.3f} | ")


@needs_pep
def test_too_many_rounds_are_refused_at_once() -> None:
    values = {"ell": 1.0, "Delta": 1.0, "sigma": 1.0, "B": 1.0, "T": 1e9}
    with pytest.raises(UsageError, match="rounds are modelled, got 1000000000"):
        worst_case(AVERAGE, values)


@needs_pep
def test_a_hunt_asks_for_the_worst_case_and_measures_it() -> None:
    """One constant too small by one part in six: random functions come close, this one beyond."""
    below = ell * first_distance_to_minimizer_squared / (4 * T + 3)
    claim = Claim(final_suboptimality, "<=", below)
    statement = Statement("made_up.drori", "Theorem", "printed", claim, FLAT,
                          Algorithm("sgd", {"eta": 1 / ell}), conditions=QUIET)  # fmt: skip
    for seed in range(3):
        verdict, instance = worst_instance(statement, seed)
        assert verdict.verdict == "violated"
        assert verdict.evidence == "exact arithmetic"
        assert verdict.ratio == pytest.approx(7 / 6, rel=1e-6)
        assert Instance.from_json(json.loads(json.dumps(instance.to_json()))) == instance
        assert instance.check(statement).measured == verdict.measured
    claim = Claim(final_suboptimality, "<=", below * (4 * T + 3) / (4 * T + 2))
    true = replace(statement, claim=claim)
    assert worst_instance(true) is None
    found = hunt(statement, limit=3, budget=60.0)
    assert found.verdict == "violated"


@needs_pep
@pytest.mark.parametrize("seed", range(3))
def test_a_hunt_refutes_the_heavy_ball_at_every_seed(seed: Any) -> None:
    root, least = sp.sqrt(ell), sp.sqrt(mu)
    ball = Algorithm("msgd", {"eta": 4 / (root + least) ** 2,
                              "beta": ((root - least) / (root + least)) ** 2})  # fmt: skip
    claim = Claim(
        final_distance_to_minimizer_squared,
        "<=",
        2 * ell / mu * (1 - least / root) ** T * first_distance_to_minimizer_squared,
    )
    statement = Statement("made_up.heavy_ball", "Theorem", "printed", claim,
                          (SMOOTH, STRONGLY_CONVEX), ball, conditions=QUIET)  # fmt: skip
    found = hunt(statement, limit=10, budget=60.0, seed=seed)
    assert found.verdict == "violated"
    assert found.best.evidence == "exact arithmetic"
    assert found.instance is not None


@needs_pep
def test_the_report_shows_itself(tmp_path: Path) -> None:
    report = worst_cases([TOO_SHARP, SNGM], {"eta": 0.5, "sigma": 1.0}, count=1)
    (row,) = report
    assert list(report.skipped) == [f"{SNGM.key} (printed)"]
    table = report.to_pandas()
    assert table.loc[0, "ratio"] == pytest.approx(2, rel=1e-5)
    assert bool(table.loc[0, "refutes"])
    assert table.loc[0, "gap"] == row.gap
    assert "on a rebuilt function" in table.loc[0, "cross-check"]
    assert "<table" in report._repr_html_()
    assert "toprule" in report.to_latex()
    for name in ("rows.json", "rows.csv", "rows.tex", "rows.html"):
        assert report.save(tmp_path / name).stat().st_size > 0
    kept = json.loads((tmp_path / "rows.json").read_text())
    assert kept["results"][0]["rebuilt"]["verdict"] == "violated"
    with pytest.raises(UsageError, match="no such constant"):
        worst_cases([TOO_SHARP], {"nonsense": 1.0})


@needs_pep
@pytest.mark.parametrize("assumption", [QUADRATIC_GROWTH, POLYAK_LOJASIEWICZ])
def test_a_class_that_is_not_modelled_refutes_nothing(assumption: Any) -> None:
    """True of strongly convex quadratics and the like; false of the flat ones a program knows."""
    growth = assumption.constants[0]
    contraction = Statement(
        "demo.growth", "Lemma", "printed",
        Claim(final_suboptimality, "<=", (1 - growth / ell) ** T * Delta),
        (CONVEX, SMOOTH, assumption), Algorithm("sgd", {"eta": 1 / ell}),
    )  # fmt: skip
    found = worst_case(contraction, {"T": 1.0, "ell": 1.0, growth.name: 0.5, "Delta": 1.0})
    assert found.primal > found.bound
    assert found.scope == "upper bound"
    assert not found.refutes
    assert refutation(contraction) is None
