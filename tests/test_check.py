"""The judge itself: true statements hold, false ones are caught, and chance is not mistaken."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import sympy
import torch

import synthetic
from bounds import Algorithm, Claim, Condition, Domain, Rate, Statement, Symbol, lrsgd
from bounds.assumptions import (
    BOUNDED_BELOW,
    BOUNDED_VARIANCE,
    CONVEX,
    KNOWN_DISTANCE,
    LIPSCHITZ,
    SMOOTH,
)  # fmt: skip
from bounds.claim import DomainError
from bounds.notation import B, Delta, G, R, T, delta, ell, eta, lam, sigma
from bounds.quantities import (
    decrease,
    final_gradient_norm_squared,
    final_suboptimality,
    gradient_norm_at_w,
    gradient_norm_squared,
    mean_gradient_norm_squared,
)
from theorylab import check
from theorylab.errors import AssumptionError, UsageError
from theorylab.hunt.search import Instance
from theorylab.judge import comparison as comparing
from theorylab.judge import domain, rates
from theorylab.judge.comparison import Comparison, compare
from theorylab.judge.domain import points
from theorylab.judge.verdict import Verdict, worst
from theorylab.plugins import registry
from theorylab.quantities import Measurement
from theorylab.quantities import points as measured_at_points


def statement(claim: Any, **kwargs: Any) -> Any:
    defaults = {
        "assumptions": (SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE),
        "algorithm": Algorithm("sgd"),
        "conditions": (Condition(eta, "<=", 1 / ell),),
    }
    return Statement("test.claim", "Claim", "printed", claim, **(defaults | kwargs))


DESCENT = eta * (1 - ell * eta / 2) * gradient_norm_squared - ell * eta**2 * sigma**2 / (2 * B)
LEMMA = statement(Claim(decrease, ">=", DESCENT))
THEOREM = statement(
    Claim(mean_gradient_norm_squared, "<=", 2 * Delta / (eta * T) + ell * eta * sigma**2 / B)
)


@pytest.fixture(scope="module")
def bowl() -> Any:
    return synthetic.quadratic(dim=1, noise="two_point", sigma=0.5)


@pytest.fixture(scope="module")
def waves() -> Any:
    """Neither quadratic nor of a law that can be enumerated: its runs are sampled."""
    return synthetic.bounded_nonconvex(dim=1, noise="gaussian", sigma=0.5)


def test_a_true_lemma_holds_and_is_exact(bowl: Any) -> None:
    verdict = check(LEMMA, bowl, values={"B": 1})
    assert verdict.verdict == "holds"
    assert verdict.replicas == 1
    assert verdict.ratio == pytest.approx(1.0, abs=1e-6)  # a quadratic attains the descent lemma


@pytest.mark.parametrize("factor", [0.98, 0.9, 0.5])
def test_a_lemma_a_little_too_strong_is_violated(bowl: Any, factor: float) -> None:
    noise = factor * ell * eta**2 * sigma**2 / (2 * B)
    wrong = statement(
        Claim(decrease, ">=", eta * (1 - ell * eta / 2) * gradient_norm_squared - noise)
    )
    assert check(wrong, bowl, values={"B": 1}).verdict == "violated"


def test_a_true_theorem_is_never_refuted(bowl: Any, waves: Any) -> None:
    assert check(THEOREM, bowl, replicas=200).told == "holds (exact law)"
    short = check(THEOREM, waves, values={"T": 10, "B": 4}, replicas=1000)
    assert short.told == "holds (valid interval)"


def test_a_false_theorem_is_violated(bowl: Any) -> None:
    wrong = statement(Claim(mean_gradient_norm_squared, "<=", 0.01 * Delta / (eta * T)))
    verdict = check(wrong, bowl, replicas=200)
    assert verdict.verdict == "violated"
    assert verdict.interval[0] > verdict.bound


@pytest.mark.parametrize("seed", range(3))
def test_a_small_violation_shows_at_a_closer_look(seed: Any) -> None:
    # Sixteen replicas see the bound inside the interval; more see it below, twice.
    wrong = statement(
        Claim(mean_gradient_norm_squared, "<=",
              2 * Delta / (eta * T) + 0.8 * ell * eta * sigma**2 / B)
    )  # fmt: skip
    bowl = synthetic.quadratic(dim=1, noise="gaussian", sigma=1.0, start=0.01)
    verdict = check(wrong, bowl, values={"B": 1, "T": 100, "eta": 0.9}, replicas=16, effort=1e5,
                    seed=seed)  # fmt: skip
    assert verdict.verdict == "violated"
    assert 1.05 < verdict.ratio < 1.2


def test_an_attained_bound_is_not_called_violated_by_chance(bowl: Any) -> None:
    """The law at T = 1 equals its mean exactly: over many seeds no seed may cry wolf."""
    exact = statement(
        Claim(mean_gradient_norm_squared, "<=", 2 * ell * Delta), conditions=(),
        assumptions=(SMOOTH, BOUNDED_BELOW), algorithm=Algorithm("sgd", {"eta": 1 / ell}),
    )  # fmt: skip
    verdicts = {check(exact, bowl, count=2, replicas=50, seed=s).verdict for s in range(20)}
    assert "violated" not in verdicts


def test_a_lacking_assumption_is_refused_by_name(bowl: Any) -> None:
    needs = dataclasses.replace(THEOREM, assumptions=(SMOOTH, LIPSCHITZ))
    with pytest.raises(AssumptionError, match=r"assumes lipschitz .*certifies no G"):
        check(needs, bowl)


def test_values_outside_the_domain_are_refused(bowl: Any) -> None:
    with pytest.raises((DomainError, UsageError), match="eta"):
        check(THEOREM, bowl, values={"eta": 100.0, "T": 5, "B": 1})
    with pytest.raises(UsageError, match="no symbol 'step'"):
        check(THEOREM, bowl, values={"step": 0.1})


def test_a_bound_above_the_trivial_value_is_vacuous(bowl: Any) -> None:
    trivial = dataclasses.replace(THEOREM, trivial=ell * Delta * 1e-9)
    assert check(trivial, bowl, replicas=50).verdict == "vacuous"


def test_big_o_claims_are_judged_by_growth(bowl: Any) -> None:
    rate = Rate(T, {T: -1})
    settings = {"assumptions": (SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE), "rate": rate}
    values = {"eta": 0.2, "B": 1}
    flat = statement(Claim(mean_gradient_norm_squared, "<=", ell * Delta, True), **settings)
    falls = statement(Claim(mean_gradient_norm_squared, "<=", ell * Delta / T, True), **settings)
    assert check(flat, bowl, values=values).verdict == "not refuted"
    verdict = check(falls, bowl, values=values)  # noise keeps the average from falling
    assert verdict.verdict == "violated"
    assert verdict.growth[1] > 0.2


def test_a_ratio_that_grows_but_stays_below_the_bound_is_no_violation(bowl: Any) -> None:
    settings = {"assumptions": (SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE), "rate": Rate(T, {T: -1})}
    values = {"eta": 0.2, "B": 1}
    bound = 1e6 * ell * Delta / T  # the noise floor reaches it at sizes beyond those tried
    verdict = check(statement(Claim(mean_gradient_norm_squared, "<=", bound, True), **settings),
                    bowl, values=values)  # fmt: skip
    assert verdict.growth[1] > 0.2
    assert verdict.ratio < 1
    assert verdict.verdict == "not refuted"


def test_growth_must_repeat_on_fresh_randomness(
    waves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"assumptions": (SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE), "rate": Rate(T, {T: -1})}
    falls = statement(Claim(mean_gradient_norm_squared, "<=", ell * Delta / T, True), **settings)
    values = {"eta": 0.2, "B": 1}
    one, other = (check(falls, waves, values=values, repeat=k) for k in (0, 99))
    assert one.measured != other.measured
    seen = []

    def once(*arguments: Any) -> Any:
        seen.append(arguments)
        return dataclasses.replace(one, verdict="violated" if len(seen) == 1 else "not refuted")

    monkeypatch.setattr(rates, "_measure", once)
    assert check(falls, waves, values=values).verdict == "not refuted"
    assert [arguments[-3] for arguments in seen] == [0, 1]


def test_a_run_that_diverges_is_a_violation(bowl: Any) -> None:
    claim = Claim(mean_gradient_norm_squared, "<=", 2 * Delta * ell)
    bold = statement(claim, conditions=(Condition(eta, "<=", 10 / ell),))
    verdict = check(bold, bowl, values={"eta": 5, "T": 1000, "B": 1})
    assert (verdict.verdict, verdict.measured) == ("violated", math.inf)
    x = Symbol("x", "a number", Domain(0, 1000))
    huge = Statement("test.huge", "Huge", "printed", Claim(sympy.exp(x), "<=", 100))
    assert check(huge).verdict == "violated"


def test_where_a_diverged_run_ends_is_unknown() -> None:
    """It may have come back; the mean over its way may not."""
    # Kinks leave no exact law, and every way out is steep.
    bowl = synthetic.strongly_convex(ell=1.0, condition=4.0, noise="two_point", sigma=0.5)
    claim = Claim(final_gradient_norm_squared, "<=", 2 * Delta * ell)
    bold = statement(claim, conditions=(Condition(eta, "<=", 10 / ell),))
    assert check(bold, bowl, values={"eta": 5, "T": 1000, "B": 1}).verdict == "not refuted"
    assert check(bold, bowl, values={"eta": 5, "T": 100, "B": 1}).verdict == "violated"


@pytest.mark.parametrize(("bound", "outcome"), [(1e100, "violated"), (1e200, "unknown")])
def test_an_overflow_exceeds_what_no_square_reaches(bound: float, outcome: str) -> None:
    """The norm of (1e180, 1e180) is infinite in double precision, and below 1e200."""
    claim = Claim(gradient_norm_at_w, "<=", bound)
    found = Measurement({"gradient_norm_at_w": np.array([[math.inf]])}, "arithmetic")
    assert compare(claim, {}, found, 0.01).outcomes()[0] == outcome


_COSH = {"dim": 1, "n": 3, "amplitude": 1.0, "frequency": 1.0, "spread": 1.0, "start": -1.0}
_COSH_7 = {"dim": 7, "shape": "cosh", "noise": "shifts", "sigma": 0.02, "n": 175,
           "frequency": 0.1, "amplitude": 0.0161, "p": 3, "L1": 8.0, "start": 4.65}  # fmt: skip
_PIECES = {"n": 39, "kinds": 3, "knots": 7, "steepest": 0.2583973270717654, "bend": 10.0,
           "start": -5.0, "seed": 654}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "family", "parameters", "values", "quiet"),
    [
        # e^716 is a number, its square and the next step are none: ||u|| is unknown from there.
        ("sngm.lemma_2", "cosh_sum", _COSH, {"T": 7.0, "beta": 0.5, "eta": 716.0}, False),
        ("sngm.lemma_1", "relaxed_smooth", _COSH_7, {}, False),
        # From the minimizer, distances are the rounding of where the minimizer was found.
        ("tralgo.lemma_2_contraction", "piecewise_quadratic_sum", _PIECES,
         {"S": 1.0, "lam": 71.45337558470547}, True),
    ],
)  # fmt: skip
def test_true_statements_survive_the_ends_of_double_precision(
    key: str, family: str, parameters: Any, values: Any, quiet: bool
) -> None:
    instance = Instance({"family": family, "parameters": parameters}, values, quiet=quiet)
    assert instance.check(registry.statement(key, "repaired")).verdict != "violated"


@pytest.mark.parametrize(("sense", "value"), [(">=", 1), ("<=", -1), ("==", 1)])
def test_samples_that_all_agree_refute_nothing_under_noise(sense: str, value: int) -> None:
    """What is rare may have been missed: 0 in every sample is no proof that the mean is 0."""
    claim = Claim(decrease, sense, value)
    found = Measurement({"decrease": np.zeros((1, 200))}, "samples")
    assert compare(claim, {}, found, 0.01).outcomes()[0] == "not refuted"
    quiet = Measurement({"decrease": np.zeros((1, 1))}, "arithmetic")
    assert compare(claim, {}, quiet, 0.01).outcomes()[0] == "violated"


@pytest.mark.parametrize(("sense", "value"), [("<=", 1), (">=", -1), ("==", 0)])
def test_samples_that_all_agree_prove_nothing(sense: str, value: int) -> None:
    claim = Claim(decrease, sense, value)
    found = Measurement({"decrease": np.zeros((1, 200))}, "samples")
    assert compare(claim, {}, found, 0.01).outcomes()[0] == "not refuted"


def test_only_affine_claims_are_judged_from_samples(waves: Any) -> None:
    root = statement(Claim(sympy.sqrt(mean_gradient_norm_squared), "<=", 2 * sigma))
    with pytest.raises(UsageError, match="affine in what is measured"):
        check(root, waves, replicas=50)
    still = synthetic.quadratic(dim=1)
    bound = statement(Claim(sympy.sqrt(mean_gradient_norm_squared), "<=", 100))
    assert check(bound, still).verdict == "holds"


def test_a_trivial_value_of_unknown_constants_is_no_value(bowl: Any) -> None:
    verdict = check(dataclasses.replace(THEOREM, trivial=G**2), bowl, replicas=50).verdict
    assert verdict == "holds"


@pytest.mark.parametrize("bad", [{"count": 0}, {"replicas": "a"}, {"seed": -1}, {"repeat": 0.5}])
def test_bad_numbers_are_named(bowl: Any, bad: Any) -> None:
    (name,) = bad
    with pytest.raises(UsageError, match=f"check: {name} must be an integer of at least"):
        check(THEOREM, bowl, **bad)


def test_a_prescribed_value_cannot_be_another() -> None:
    bowl = synthetic.bounded_nonconvex(dim=1, noise="two_point", sigma=0.5)
    message = r"tralgo.theorem_1 prescribes eta = 1/\(2\*ell\), here 0.5; got 5"
    with pytest.raises(DomainError, match=message):
        check("tralgo.theorem_1", bowl, form="repaired", values={"T": 20, "eta": 5})
    own = check("tralgo.theorem_1", bowl, form="repaired", values={"T": 20, "eta": 0.5})
    assert own.told == "holds (valid interval)"


def test_an_unknown_form_is_refused(bowl: Any) -> None:
    with pytest.raises(UsageError, match="form must be 'printed' or 'repaired', got 'repared'"):
        check("tralgo.lemma_1", bowl, form="repared")


def test_undecided_numbers_are_counted() -> None:
    x = Symbol("x", "a number", Domain(0, 1e5))
    huge = Statement("test.huge", "Huge", "printed", Claim(sympy.exp(x), "<=", 2 * sympy.exp(x)))
    verdict = check(huge)
    assert verdict.verdict == "holds"
    assert 0 < verdict.undecided < verdict.comparisons


def test_typical_points_have_no_corners() -> None:
    corners = points(THEOREM, {"ell": 1.0, "Delta": 1.0, "sigma": 1.0}, count=40)
    usual = points(THEOREM, {"ell": 1.0, "Delta": 1.0, "sigma": 1.0}, count=40, typical=True)
    assert {p["T"] for p in usual} <= set(T.typical)
    assert {p["eta"] for p in usual} <= set(eta.typical)
    assert not {p["T"] for p in corners} <= set(T.typical)


def test_relations_between_numbers_need_no_objective() -> None:
    x = Symbol("x", "a number", Domain(0, 1, lower_open=True))
    true = Statement("test.true", "True", "printed", Claim(x**2, "<=", x))
    false = Statement("test.false", "False", "printed", Claim(x, "<=", x**2))
    attained = Statement("test.attained", "Corner", "printed", Claim(x, "<=", 1))
    assert check(true).verdict == "holds"
    assert check(false).verdict == "violated"
    assert check(attained).ratio == 1.0  # the corner x = 1 is among the points


def test_the_same_seed_gives_the_same_verdict(bowl: Any) -> None:
    assert check(THEOREM, bowl, replicas=50, seed=4) == check(THEOREM, bowl, replicas=50, seed=4)


def test_points_meet_corners_and_conditions() -> None:
    table = points(THEOREM, {"ell": 2.0, "Delta": 1.0, "sigma": 1.0}, count=12)
    etas = np.array([p["eta"] for p in table])
    assert etas.max() == 0.5
    assert len({tuple(sorted(p.items())) for p in table}) == len(table)


def test_worst_of_several() -> None:
    holds = Verdict("k", "printed", "holds", ratio=0.5, comparisons=2)
    violated = Verdict("k", "printed", "violated", ratio=2.0, comparisons=3)
    assert worst([holds, violated]).verdict == "violated"
    assert worst([holds, violated]).comparisons == 5


def test_verdicts_round_trip_through_json() -> None:
    verdict = Verdict("k", "printed", "holds", 1.0, (0.5, 1.5), 2.0, 0.5, growth=(0.1, 0.0, 0.2))
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_a_hessian_that_overflows_is_no_evidence() -> None:
    """Beyond the range of the number type nothing is known: neither a violation nor a crash."""
    bent = torch.tensor([[[math.inf, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 2.0]]])
    found = measured_at_points._eigenvalues(bent)
    assert found[0].isnan().all()
    assert found[1].tolist() == [1.0, 2.0]


def test_small_gradients_carry_the_rounding_of_the_steepest() -> None:
    # Near a critical point, 1e-3 from the origin, gradients of 1e-7 differ by 1e-15 too much.
    waves = synthetic.bounded_nonconvex(dim=1, kappa=1.0, ell=1.0, Bf=1.0, start=0.0009)
    assert check("lrsgd.condition_2_1.smooth", waves, count=1).verdict == "holds"


def test_rounding_may_leave_an_exact_instance_undecided() -> None:
    """1 + 1e-12 against 1, from terms of size 1e6: no digit of the difference is left."""
    claim = Claim(ell, "<=", 1)
    for tolerance, expected in ((0.1, ["unknown", "holds"]), (1e-9, ["violated", "holds"])):
        found = compared(claim, [1.001, 0.5], [1.0, 1.0], tolerance)
        assert list(found.outcomes()) == expected


def compared(
    claim: Any, measured: Any, bound: Any, tolerance: float = 0.0, from_below: Any = (False, False)
) -> Any:
    sides = np.array(measured), np.array(bound)
    none = np.zeros(len(measured))
    return Comparison(
        claim, "arithmetic", *sides, none + tolerance, (sides[0] - sides[1])[:, None],
        none, none, 0.01, from_below, none > 0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "outcome"),
    [(Claim(ell, "<=", decrease), "not refuted"), (Claim(decrease, "<=", ell), "violated"),
     (Claim(decrease, ">=", ell), "not refuted")],
)  # fmt: skip
def test_a_supremum_from_below_can_exceed_but_not_be_exceeded(claim: Any, outcome: str) -> None:
    below = (claim.lhs == decrease) == (claim.sense == "<="), decrease in (claim.rhs, claim.lhs)
    side = (below[0], not below[0])
    assert list(compared(claim, [2.0], [1.0], from_below=side).outcomes()) == [outcome]


@pytest.mark.parametrize(("scale", "outcome"), [(1e3, "unknown"), (1e-3, "violated")])
def test_a_difference_has_the_rounding_of_its_numbers(scale: float, outcome: str) -> None:
    """1e-13 above 0: nothing if it was 1000 - 1000, a violation if the numbers were 0.001."""
    claim = Claim(decrease, "<=", 0)
    found = Measurement({"decrease": np.array([[1e-13]])}, "arithmetic", scales={"decrease": scale})
    judged = compare(claim, {}, found, 0.01)
    if outcome == "violated":  # the natural floor is that of Delta = 1, and must not hide it
        judged = dataclasses.replace(judged, tolerance=judged.tolerance - comparing._FLOOR)
    assert list(judged.outcomes()) == [outcome]


def test_the_exact_step_minimizes_no_more_where_the_pull_is_weaker_than_the_curvature() -> None:
    printed = lrsgd.claim_exact_step
    weak = dataclasses.replace(printed, conditions=(Condition(lam, "<", delta),))
    objective = synthetic.cosine_sum(dim=1)
    assert check(printed, objective).verdict == "holds"
    assert check(weak, objective).verdict == "violated"


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (Algorithm("sgd"), r"test.claim: sgd needs eta; give it in Algorithm"),
        (Algorithm("sgd", {"step": 1 / ell}), r"test.claim sets step; sgd has only eta"),
        (Algorithm("trsgd", {"lam": sympy.Integer(0)}), r"test.claim: trsgd: .* lam > delta"),
    ],
)
def test_an_algorithm_that_cannot_be_built_is_named(
    bowl: Any, algorithm: Any, message: str
) -> None:
    claim = Claim(mean_gradient_norm_squared, "<=", 2 * ell * Delta / T)
    with pytest.raises(UsageError, match=message):
        check(statement(claim, algorithm=algorithm, conditions=()), bowl)


@pytest.mark.parametrize(("share", "verdict"), [(1.0, "holds"), (0.98, "violated")])
def test_a_convex_theorem_in_the_initial_distance_is_checked_on_plain_functions(
    share: float, verdict: str
) -> None:
    # Gradient descent's exact rate on smooth convex functions (Drori and Teboulle 2014), which a
    # Huber function attains.
    rate = Statement(
        key="textbook.gradient_descent",
        label="Theorem 3.1",
        form="printed",
        claim=Claim(final_suboptimality, "<=", share * ell * R**2 / (4 * T * eta * ell + 2)),
        assumptions=(SMOOTH, CONVEX, BOUNDED_VARIANCE, KNOWN_DISTANCE),
        algorithm=Algorithm("sgd"),
        conditions=(Condition(eta, "<=", 1 / ell), Condition(sigma, "<=", 0)),
    )
    found = check(rate, synthetic.huber(start=3.0))
    assert (found.verdict, found.evidence) == (verdict, "exact arithmetic")
    assert found.ratio == pytest.approx(1 / share, rel=2e-3)


def test_where_nothing_is_free_one_attempt_is_all_of_them(monkeypatch: Any) -> None:
    tried = []
    one = domain._one
    monkeypatch.setattr(domain, "_one", lambda *a: tried.append(1) or one(*a))
    narrow = Statement("made_up.narrow", "Lemma", "printed", Claim(eta * ell, "<=", 1),
                       conditions=(Condition(eta * ell, "<=", 1),))  # fmt: skip
    assert points(narrow, {"eta": 0.5, "ell": 2.0}) == [{"eta": 0.5, "ell": 2.0}]
    outside = dataclasses.replace(narrow, conditions=(Condition(2 * eta, "<=", ell * eta),))
    with pytest.raises(UsageError, match="no admissible point"):
        points(outside, {"eta": 0.5, "ell": 1.0})
    assert len(tried) <= 2


def test_a_limit_is_that_of_the_statement_at_hand() -> None:
    """Conditions of another statement on the same symbol, before or after, change nothing."""
    claim = Claim(eta * ell, "<=", 1)
    for most in (1 / ell, 2 / ell, 1 / ell):
        bounded = Statement("made_up.step", "Lemma", "printed", claim,
                            conditions=(Condition(eta, "<=", most),))  # fmt: skip
        found = max(p["eta"] for p in points(bounded, {"ell": 4.0}, count=8))
        assert found == float(most.subs(ell, 4))


def test_sides_are_those_of_the_claim_at_hand() -> None:
    """What is kept of a claim serves no other one: the range of its gap shows the slope."""
    samples = np.tile([0.0, 1.0], (1, 50))
    name = gradient_norm_at_w.name
    found = Measurement({name: samples}, "samples", ranges={name: (0.0, 1.0)})
    for factor in (1, 3, 1):
        compared = compare(Claim(factor * gradient_norm_at_w, "<=", ell), {"ell": 2.0}, found, 0.01)
        assert (compared.low.item(), compared.high.item()) == (-2.0, factor - 2.0)
