"""Theorems nobody had planned for: each was once judged wrongly, or beyond every search."""

from typing import Any

import pytest
import sympy as sp

import synthetic
from bounds import Algorithm, Claim, Condition, Statement
from bounds.assumptions import (
    BOUNDED_VARIANCE,
    CONVEX,
    NOISE_AT_MINIMIZER,
    PER_SAMPLE,
    SMOOTH,
    STRONGLY_CONVEX,
    WEAKLY_CONVEX,
)
from bounds.notation import B, T, delta, ell, eta, lam, mu, n, sigma, sigma_star
from bounds.quantities import (
    estimate_error_squared,
    final_displacement_squared,
    final_distance_to_minimizer_squared,
    first_distance_to_minimizer_squared,
    first_suboptimality,
    gradient_norm_squared,
    start_distance_squared,
)
from theorylab import check, run
from theorylab.quantities import one_round


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


# --- samples of different curvatures ------------------------------------------------------------
SHRUNK = (1 - eta * mu) ** (n * T) * first_distance_to_minimizer_squared
STEP = Algorithm("sgd", {"eta": eta}, horizon=sp.Integer(1))


@pytest.mark.parametrize(
    ("told", "claim", "algorithm", "assumed", "objective"),
    [
        # Two steps of SAGA do not contract as gradient descent does.
        ("violated", Claim(final_distance_to_minimizer_squared, "<=",
                           (1 - eta * mu) ** 4 * first_distance_to_minimizer_squared),
         Algorithm("saga", {"eta": eta}, horizon=sp.Integer(2)), (STRONGLY_CONVEX,),
         synthetic.quadratic_sum(condition=1.2, apart=0.0)),
        # What random orders obey, the worst of the fixed ones does not.
        ("violated", Claim(final_distance_to_minimizer_squared, "<=",
                           SHRUNK + eta**2 * ell * n * sigma_star**2 / (2 * mu)),
         Algorithm("reshuffled_sgd", {"eta": eta, "order": "cyclic"}, horizon=n * T),
         (STRONGLY_CONVEX, NOISE_AT_MINIMIZER),
         synthetic.quadratic_sum(n=16, condition=1.0, start=0.0)),
        # A gradient's second moment: twice the parts, for they may point the same way.
        ("violated", Claim(final_displacement_squared, "<=",
                           eta**2 * (2 * ell * first_suboptimality + sigma_star**2)),
         STEP, (CONVEX, NOISE_AT_MINIMIZER), synthetic.quadratic_sum(condition=9.0, start=0.5)),
        ("holds", Claim(final_displacement_squared, "<=",
                        2 * eta**2 * (2 * ell * first_suboptimality + sigma_star**2)),
         STEP, (CONVEX, NOISE_AT_MINIMIZER), synthetic.quadratic_sum(condition=9.0, start=0.5)),
    ],
    ids=["saga", "cyclic", "second_moment", "second_moment_twice"],
)  # fmt: skip
def test_samples_of_different_curvatures_tell_neighbours_apart(
    told: str, claim: Claim, algorithm: Algorithm, assumed: Any, objective: Any
) -> None:
    near = statement("sum", claim, PER_SAMPLE, SMOOTH, *assumed, algorithm=algorithm,
                     conditions=(Condition(eta, "<=", 1 / ell),))  # fmt: skip
    values = {"eta": 0.05} if "reshuffled" in algorithm.rule else {}
    if T in algorithm.horizon.free_symbols:
        values["T"] = 60.0
    assert check(near, objective, values=values, count=4).verdict == told


def test_a_round_without_randomness_is_run_once_from_each_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A thousand equal runs on a worst case that was put together took minutes.
    made: list[int] = []

    def counted(*arguments: Any, replicas: int, **settings: Any) -> Any:
        made.append(replicas)
        return run(*arguments, replicas=replicas, **settings)

    monkeypatch.setattr(one_round, "run", counted)
    near = Claim(start_distance_squared * (lam - delta) ** 2, "<=", gradient_norm_squared)
    rounds = Algorithm("trsgd", {"lam": lam, "delta": delta, "S": sp.Integer(4)})
    quiet = (Condition(sigma, "<=", 0), Condition(delta, "<", lam))
    proximal = statement("prox", near, SMOOTH, WEAKLY_CONVEX, algorithm=rounds, conditions=quiet)
    found = check(proximal, synthetic.delta_nonconvex(sigma=0.0), count=2)
    assert found.told == "holds (exact arithmetic)"
    assert 0 < max(made) <= 12  # points
