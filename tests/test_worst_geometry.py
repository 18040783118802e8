"""Exact worst cases with a simple part or a convex set, against values known elsewhere."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest

import synthetic
from bounds import Algorithm, Claim, Condition, Statement
from bounds.assumptions import BOUNDED_BELOW, COMPOSITE, POLYAK_LOJASIEWICZ, SMOOTH
from bounds.evaluation import evaluate
from bounds.methods.fista import theorem_4_4 as fista
from bounds.methods.frank_wolfe import theorem_1 as frank_wolfe
from bounds.methods.mirror_descent import theorem_4_2 as mirror_descent
from bounds.methods.optimized_gradient import OptimizedTheta
from bounds.methods.optimized_gradient import theorem_2 as optimized_gradient
from bounds.methods.projected_subgradient import best_step
from bounds.methods.proximal_gradient import theorem_4_1 as proximal_gradient
from bounds.notation import Delta, T, ell, mu_pl, sigma
from bounds.quantities import final_suboptimality
from theorylab.errors import UsageError
from theorylab.exact.refutation import refutation
from theorylab.exact.worst_case import worst_case
from theorylab.judge.check import check

needs_pep = pytest.mark.skipif(
    any(importlib.util.find_spec(n) is None for n in ("PEPit", "cvxpy", "clarabel")),
    reason="needs the extra [pep]",
)
SMOOTH_CLASS = {"ell": 2.0, "sigma": 0.0}


@needs_pep
@pytest.mark.parametrize("rounds", [1, 4])
def test_proximal_and_optimized_gradients_have_the_known_tight_constants(rounds: int) -> None:
    for statement in (proximal_gradient, optimized_gradient):
        found = worst_case(statement, {**SMOOTH_CLASS, "T": rounds})
        assert (found.scope, found.proves) == ("exact", True)
        assert found.ratio == pytest.approx(1, rel=1e-5)


@needs_pep
def test_fista_and_frank_wolfe_have_the_worst_cases_of_pepits_documentation() -> None:
    found = worst_case(fista, {**SMOOTH_CLASS, "T": 4})
    assert found.ratio == pytest.approx(0.05167329605152958 * 25 / 2, rel=1e-5)
    found = worst_case(frank_wolfe, {**SMOOTH_CLASS, "D": 3.0, "T": 10})
    assert found.ratio == pytest.approx(0.0782901 * 6, rel=1e-5)


@needs_pep
@pytest.mark.parametrize("rounds", [1, 3])
def test_subgradients_of_functions_with_kinks_have_the_tight_rate(rounds: int) -> None:
    values = {"G": 2.0, "R": 3.0, "T": rounds, "sigma": 0.0}
    assert worst_case(best_step, values).ratio == pytest.approx(1, rel=1e-5)


@needs_pep
def test_a_line_on_an_interval_and_the_largest_coordinate_attain_the_worst_case() -> None:
    for statement, objective, rounds in (
        (proximal_gradient, synthetic.constrained_huber(start=8.0), 4),
        (best_step, synthetic.constrained_linear("max", dim=4), 3),
        (frank_wolfe, synthetic.constrained_quadratic("box", 1, centre=1 - 1e-6, start=1.0), 1),
    ):
        measured = check(statement, objective, values={"T": rounds}, count=1)
        exact = worst_case(statement, {**measured.constants, "T": rounds})
        assert measured.ratio == pytest.approx(exact.ratio, rel=1e-4)


@needs_pep
def test_what_is_beyond_the_worst_case_is_refuted() -> None:
    claim = proximal_gradient.claim
    false = replace(proximal_gradient, claim=replace(claim, rhs=0.97 * claim.rhs))
    found = refutation(false)
    assert found is not None
    assert "no family holds" in found.unbuilt
    assert refutation(proximal_gradient, limit=3) is None


@needs_pep
def test_a_class_that_the_assumptions_narrow_further_refutes_nothing() -> None:
    """Smooth functions without the Polyak-Lojasiewicz inequality break what needs it."""
    true = Statement(
        "made_up.pl", "Theorem", "printed",
        Claim(final_suboptimality, "<=", (1 - mu_pl / ell) ** T * Delta),
        (SMOOTH, POLYAK_LOJASIEWICZ, BOUNDED_BELOW), Algorithm("sgd", {"eta": 1 / ell}),
        conditions=(Condition(mu_pl, "<=", ell), Condition(sigma, "<=", 0)),
    )  # fmt: skip
    values = {"ell": 1.0, "mu_pl": 0.5, "Delta": 1.0, "sigma": 0.0, "T": 1}
    found = worst_case(true, values)
    assert found.primal > found.bound
    assert (found.scope, found.refutes) == ("upper bound", False)
    assert refutation(true) is None
    # Of f that need not be convex, with a simple part, too little is asked.
    added = replace(true, assumptions=(SMOOTH, COMPOSITE, BOUNDED_BELOW),
                    algorithm=Algorithm("proximal_gradient", {"eta": 1 / ell}))  # fmt: skip
    assert not worst_case(added, values).refutes


@needs_pep
def test_mirror_steps_are_not_modelled() -> None:
    with pytest.raises(UsageError, match="worst case"):
        worst_case(mirror_descent, {"G_inf": 1.0, "D1": 2.0, "d": 3, "sigma": 0.0, "T": 1})


def test_the_last_theta_follows_its_recursion() -> None:
    assert float(evaluate(OptimizedTheta(T), {"T": 1})) == 2.0
    golden = (1 + 5**0.5) / 2  # after the first of two steps
    assert float(evaluate(OptimizedTheta(T), {"T": 2})) == (1 + (1 + 8 * golden**2) ** 0.5) / 2
