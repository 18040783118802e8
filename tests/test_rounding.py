"""Rounding refutes nothing: differences carry it, and what is written down is exact."""

import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

import synthetic
from bounds import Algorithm, Claim, Statement
from bounds.assumptions import BOUNDED_VARIANCE, FINITE_SUM, SMOOTH, STRONGLY_CONVEX
from bounds.evaluation import evaluate
from bounds.notation import Delta, T, ell, eta, mu, sigma
from bounds.quantities import (
    decrease,
    displacement_squared,
    distance_to_sgd,
    expected_twin_distance,
    final_displacement_squared,
    final_distance_to_minimizer_squared,
    final_gradient_norm_squared,
    final_suboptimality,
    first_distance_to_minimizer_squared,
    first_gradient_norm_squared,
    gradient_norm_squared,
    gradient_variance,
    min_gradient_norm_squared,
    next_gradient_norm_squared,
    total_decrease,
    twin_distance,
)
from theorylab import check
from theorylab.errors import AssumptionError, UsageError
from theorylab.exact.tabular import Tabular
from theorylab.hunt.counterexample import write_counterexample
from theorylab.hunt.instance import Instance
from theorylab.hunt.search import Hunt, hunt
from theorylab.judge.comparison import compare
from theorylab.plugins import registry
from theorylab.problem.objective import Objective
from theorylab.problem.sampler import _multisets
from theorylab.quantities.protocol import LOST, Measurement

STEEP = {
    "family": "quadratic",
    "parameters": {"dim": 1, "noise": "shifts", "sigma": 1.0, "n": 2, "ell": 0.01, "start": 0.01},
}
FACTOR = sp.Max(sp.Abs(1 - eta * mu), sp.Abs(1 - eta * ell))


def _contraction(factor: Any) -> Any:
    return Statement("made_up.contraction", "Lemma", "printed",
                     Claim(expected_twin_distance, "<=", factor * twin_distance),
                     (SMOOTH, STRONGLY_CONVEX, FINITE_SUM), Algorithm("sgd"))  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_a_contraction_that_is_attained_is_not_refuted_by_rounding(seed: Any) -> None:
    """Steps of 1/ell sigma = 100 cancel in a distance of 1e-6."""
    found = hunt(_contraction(FACTOR), [STEEP], limit=12, budget=60.0, seed=seed)
    assert found.verdict != "violated"
    bowl = synthetic.quadratic(**STEEP["parameters"])
    assert check(_contraction(FACTOR), bowl, seed=seed).verdict == "holds"


def test_a_factor_that_is_too_small_still_falls() -> None:
    bowl = synthetic.quadratic(**STEEP["parameters"])
    found = check(_contraction(FACTOR * sp.Rational(999, 1000)), bowl, values={"eta": 10.0})
    assert found.verdict == "violated"
    assert found.ratio == pytest.approx(1000 / 999, rel=1e-4)


def test_a_violation_of_a_rounding_error_is_not_confirmed(tmp_path: Path) -> None:
    """0.1 + 0.2 > 0.3 in floats: the very numbers say so too, but not beyond rounding."""
    equal = Statement("made_up.equal", "Remark", "printed", Claim(eta + mu, "<=", ell))
    table = Tabular(equal, (), (), 0.0, {"eta": 0.1, "mu": 0.2, "ell": 0.3})
    assert 0.1 + 0.2 > 0.3
    assert not table.violates
    from theorylab.hunt.counterexample import script

    done = subprocess.run([sys.executable, "-I", "-c", script(table)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert "not confirmed" in done.stderr
    more = Tabular(equal, (), (), 0.0, {"eta": 0.1, "mu": 0.2, "ell": 0.25})
    assert more.violates
    assert more.exceeds_exactly()


def test_a_replay_of_a_statement_that_is_true_says_not_confirmed(tmp_path: Path) -> None:
    from bounds import tralgo
    from theorylab.hunt.counterexample import replay

    quiet = Instance(STEEP, {"eta": 1.0, "B": 1.0})
    text = replay(tralgo.descent, quiet)
    path = tmp_path / "replay.py"
    path.write_text(text)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not confirmed: " in done.stderr
    found = Hunt(tralgo.descent.key, tralgo.descent.form, "violated", None, quiet)
    summary = write_counterexample(tralgo.descent, found, tmp_path)
    assert summary["script"] is summary["replay"] is None


def test_exact_numbers_decide_what_floats_cannot() -> None:
    """F falls by 1e-18 beside values of size 1: lost in floats, not in fractions."""
    claim = Claim(decrease, ">=", gradient_norm_squared * eta / 2)
    descent = Statement("made_up.descent", "L", "printed", claim, (SMOOTH,), Algorithm("sgd"))
    bowl = Tabular(descent, (-1.0, 1.0), ((-1.0, 1.0),), 2.0**-20, {"eta": 1.0})
    assert bowl.sides()[0] == pytest.approx(bowl.sides()[1])
    assert not bowl.exceeds_exactly()  # attained with equality
    assert Tabular(descent, (-1.0, 1.0), ((-1.0, 1.0),), 2.0**-20, {"eta": 1.0 + 2.0**-10}
                   ).exceeds_exactly()  # fmt: skip
    assert np.isfinite(bowl.ratio)


STEEP_WELLS = [
    {"shape": "cosh", "noise": "shifts", "sigma": 0.5},
    {"shape": "exponential", "noise": "two_point", "sigma": 0.2},
]


@pytest.mark.parametrize("parameters", STEEP_WELLS, ids=lambda p: p["shape"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("key", ["lrsgd.condition_2_3", "sngm.assumption_1",
                                 "stochastic_batch_size.claim_noise_variance",
                                 "tralgo.assumption_3"])  # fmt: skip
def test_noise_beside_a_huge_gradient_is_not_refuted(key: str, seed: Any, parameters: Any) -> None:
    """Gradients of 1e15 leave no digit of a noise of 0.5: g - grad F is their rounding."""
    steep = synthetic.relaxed_smooth(**parameters)
    statement = registry.statement(key.split()[0], "repaired")
    try:
        found = check(statement, steep, seed=seed, count=4)
    except AssumptionError:
        pytest.skip("not of this objective")
    assert found.verdict != "violated"


def test_noise_above_its_bound_is_still_seen_beside_a_huge_gradient() -> None:
    steep = synthetic.relaxed_smooth(**STEEP_WELLS[0])
    claim = Claim(gradient_variance, "<=", sigma**2 * 0.999)
    less = Statement("made_up.noise", "A", "printed", claim, (BOUNDED_VARIANCE,))
    found = check(less, steep)
    assert (found.verdict, found.evidence) == ("violated", "exact law")
    assert found.ratio == pytest.approx(1 / 0.999, rel=1e-6)


def test_rounding_passes_through_a_claim_that_is_not_affine() -> None:
    """A root turns an error of 1e-14 into one of 1e-7."""
    claim = Claim(sp.sqrt(gradient_variance), "<=", sigma)
    found = Measurement({"gradient_variance": np.array([[1e-14]])}, "law",
                        scales={"gradient_variance": np.array([[1e-14 / LOST]])})  # fmt: skip
    assert compare(claim, {"sigma": 0.0}, found, 0.01).outcomes().tolist() == ["unknown"]
    assert compare(claim, {"sigma": 3e-7}, found, 0.01).outcomes().tolist() == ["holds"]


# A parabola of curvature 1 whose minimizer lies 1e11 lengths from the origin: iterates are known
# to 1e-5 there.
FAR = synthetic.finite_sum(np.array([[1.0]]), np.array([1e11]), "squared", start=[1e11 + 1.0])
_Q = (1 - eta * mu) ** T
SMALL = {eta: 1 / (7 * ell)}
TRUE_FAR_AWAY = {
    "move": (Claim(displacement_squared, "==", eta**2 * gradient_norm_squared), SMALL),
    "descent": (Claim(decrease, ">=", eta / 2 * gradient_norm_squared), {eta: 1 / ell}),
    "next": (Claim(next_gradient_norm_squared, "<=", (1 - eta * mu) ** 2 * gradient_norm_squared),
             {eta: 1 / ell}),
    "distance": (Claim(final_distance_to_minimizer_squared, "<=",
                       _Q**2 * first_distance_to_minimizer_squared), SMALL),
    "value": (Claim(final_suboptimality, "<=", _Q * Delta), SMALL),
    "gradient": (Claim(final_gradient_norm_squared, "<=", _Q**2 * first_gradient_norm_squared),
                 SMALL),
    "least": (Claim(min_gradient_norm_squared, "<=", _Q**2 * first_gradient_norm_squared), SMALL),
    "fall": (Claim(total_decrease, ">=", (1 - _Q**2) * Delta), SMALL),
    "moved": (Claim(final_displacement_squared, "<=",
                    (1 - _Q) ** 2 * first_distance_to_minimizer_squared), SMALL),
    "beside": (Claim(distance_to_sgd, "==", 0), SMALL),
}  # fmt: skip


def _far(name: Any, weaker: Any = None) -> Any:
    claim, prescription = TRUE_FAR_AWAY[name]
    if weaker is not None:
        claim = Claim(claim.lhs, claim.sense, claim.rhs * weaker)
    return Statement(f"made_up.{name}", "L", "printed", claim, (SMOOTH, STRONGLY_CONVEX),
                     Algorithm("sgd"), prescription=prescription)  # fmt: skip


@pytest.mark.parametrize("name", TRUE_FAR_AWAY)
@pytest.mark.parametrize("steps", [200, 5000])
def test_what_is_true_far_from_the_origin_is_not_refuted_by_rounding(name: Any, steps: int) -> None:
    statement = _far(name)
    runs = "T" in {s.name for s in statement.symbols}
    found = check(statement, FAR, values={"T": steps} if runs else {})
    assert found.verdict != "violated"


WEAKER = {"move": 1.1, "descent": 1.1, "distance": 0.9, "gradient": 0.9, "fall": 1.1, "moved": 0.9}


@pytest.mark.parametrize(("name", "weaker"), WEAKER.items())
def test_what_is_false_far_from_the_origin_still_falls(name: Any, weaker: Any) -> None:
    statement = _far(name, weaker)
    runs = "T" in {s.name for s in statement.symbols}
    found = check(statement, FAR, values={"T": 5} if runs else {})
    assert (found.verdict, found.evidence) == ("violated", "exact arithmetic")


@pytest.mark.parametrize("family", [synthetic.huber, synthetic.bounded_nonconvex])
def test_single_precision_cannot_break_a_true_claim(family: Callable[..., Objective]) -> None:
    """Its rounding is 1e-7 of the numbers, a hundred times what a comparison allows for."""
    descent = Claim(decrease, ">=", eta * (1 - ell * eta / 2) * gradient_norm_squared)
    true = Statement("made_up.descent", "L", "printed", descent, (SMOOTH,), Algorithm("sgd"))
    with pytest.raises(UsageError, match=r"torch.float32.* needs torch.float64"):
        check(true, family(dtype=torch.float32))
    assert check(true, family()).verdict != "violated"


# --- what a long hunt once called violated, all of it rounding ------------------------------------
FEIGNED = {
    # The probabilities of a large batch, each off by 1e-13, times F.
    "tralgo.descent": {
        "spec": {"family": "quadratic_dip", "parameters": {
            "ell": 100.0, "kappa": 0.05695683862425727, "radius": 6.294179204190745,
            "start": 0.41640592538528176, "sigma": 7.588008264711091}},
        "values": {"B": 352.0, "eta": 0.0004955027131443009},
    },
    # The bound's own exp(x) - x - 1 at x = 1e-12.
    "sngd.step": {
        "spec": {"family": "relaxed_smooth", "parameters": {
            "dim": 20, "shape": "power", "p": 4, "noise": "two_point", "sigma": 0.0182,
            "frequency": 5.671639843941986, "amplitude": 1.5677364199912753, "L1": 8.0,
            "start": -0.0048911747889270885, "n": 3}},
        "values": {"B": 448.0, "eta": 3.782076427856344e-14}, "quiet": True,
    },
    # A step that is a difference of values of size 1e3, at a point where they agree.
    "two_point_zeroth_order.theorem_4": {
        "spec": {"family": "strongly_convex_twins", "parameters": {
            "n": 2, "slope": 5.823594922954873, "mu": 0.017039685072960165, "condition": 1.0}},
        "values": {"eta": 0.005868653063235742, "nu": 2.930732399736484e-07},
    },
    # The same in every run, by the law of many: a radius of 5e-13 beside values of size 1.
    "two_point_zeroth_order.theorem_4 on average": {
        "spec": {"family": "strongly_convex_twins", "parameters": {
            "n": 24, "slope": 0.7164609549242197, "mu": 0.7079212748723261, "condition": 1.0}},
        "values": {"eta": 0.00014125864492211388, "nu": 4.736289603036945e-13},
    },
}  # fmt: skip


@pytest.mark.parametrize("key", FEIGNED)
def test_rounding_feigns_no_violation(key: str) -> None:
    table = {"seed": 0, "a": 1.0, "b": 1.0, "quiet": False, **FEIGNED[key]}
    instance = Instance.from_json(table)
    found = instance.check(registry.statement(key.split()[0], "repaired"), replicas=256, effort=3e5)
    assert found.verdict in ("holds", "not refuted"), found


def test_probabilities_of_a_large_batch_are_rounded_once() -> None:
    picks, likely = _multisets(np.array([0.3, 0.7]), 300)
    for row in (0, 90, 210, 300):
        k = int((picks[row] == 1).sum())
        exact = math.comb(300, k) * Fraction(0.3) ** (300 - k) * Fraction(0.7) ** k
        assert likely[row] == pytest.approx(float(exact), rel=1e-14)
    assert math.fsum(likely) == pytest.approx(1, abs=1e-15)


def test_a_bound_that_rounding_makes_too_large_lets_nothing_hold() -> None:
    """At x = 1.2e-8, exp(x) - x - 1 is x**2 / 2, and 1.6 x**2 in floats."""
    x = 1.1937766417144358e-8
    bowl = synthetic.quadratic(dim=1, ell=1.0)
    room = sp.exp(eta) - eta - 1
    assert evaluate(room, {"eta": x}) > x**2
    false = Statement("made_up.tiny", "L", "printed", Claim(eta**2, "<=", room), (SMOOTH,))
    assert check(false, bowl, values={"eta": x}).verdict != "holds"
    true = Statement("made_up.roomy", "L", "printed", Claim(eta**2 / 3, "<=", room), (SMOOTH,))
    assert check(true, bowl, values={"eta": 0.001}).verdict == "holds"
