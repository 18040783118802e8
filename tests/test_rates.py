"""O(.) claims: what follows by algebra is never refuted by a fit, and growth must persist."""

import dataclasses
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import sympy as sp

import synthetic
import theorylab
from bounds import Algorithm, Claim, Rate, Statement, lrsgd
from bounds.assumptions import BOUNDED_BELOW, BOUNDED_VARIANCE, SMOOTH
from bounds.notation import Delta, T, ell
from bounds.quantities import mean_gradient_norm_squared
from theorylab.hunt.rescaling import without_noise
from theorylab.judge import rates
from theorylab.judge.comparison import compare
from theorylab.judge.orders import Leading, Unknown, covers, leading, replayed
from theorylab.judge.rates import _Size
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry
from theorylab.quantities.budgets import Budgets
from theorylab.quantities.protocol import Experiment, Measurement, Protocol

N = sp.Symbol("n", positive=True)
A = sp.Symbol("a", positive=True)
KNOWN = {
    "power": (3 * N**A, Leading(3.0, 0.5)),
    "sum": (N + 5 * N**2 + 1, Leading(5.0, 2.0)),
    "quotient": ((2 * N + 1) / (N - 1) ** 2, Leading(2.0, -1.0)),
    "logarithm": (sp.log(N**2) / N, Leading(2.0, -1.0, 1.0)),
    "rounding": (sp.ceiling(sp.sqrt(N)), Leading(1.0, 0.5)),
    "larger": (sp.Max(10, sp.log(N)), Leading(1.0, 0.0, 1.0)),
    "smaller": (sp.Min(7 * N, N**2), Leading(7.0, 1.0)),
    "exponent": (N ** (A * (1 - 1 / N)), Leading(1.0, 0.5)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_leading_terms(name: Any) -> None:
    expression, expected = KNOWN[name]
    found = leading(expression, N, {"a": 0.5})
    for one, other in zip(
        (found.factor, found.power, found.logs),
        (expected.factor, expected.power, expected.logs),
        strict=True,
    ):
        assert one == pytest.approx(other)
    # The ratio to the leading term tends to its factor.
    far = [float(expression.subs(A, sp.Rational(1, 2)).subs(N, 10.0**k)) for k in (8, 16)]
    terms = [(10.0**k) ** found.power * math.log(10.0**k) ** found.logs for k in (8, 16)]
    assert far[1] / terms[1] == pytest.approx(found.factor, rel=1e-4)


@pytest.mark.parametrize("expression", [N + 1 - N * sp.Float(1.0), N ** sp.log(N), sp.sin(N),
                                        sp.ceiling(1 / N), (A - N) ** A])  # fmt: skip
def test_what_cannot_be_read_off_is_refused(expression: Any) -> None:
    expression = expression if expression.has(N) else sp.Add(N, -N, 1, evaluate=False)
    with pytest.raises(Unknown):
        leading(expression, N, {"a": 0.5})


TWINS = synthetic.stability_twins(n=20)


def test_an_order_that_follows_from_a_proven_bound_holds() -> None:
    verdict = theorylab.check("lrsgd.theorem_3_4", TWINS, values={"c": 1}, effort=1e5, replicas=64)
    assert (verdict.verdict, verdict.evidence) == ("holds", "algebra")
    assert "lrsgd.theorem_3_4.best_burn_in" in verdict.reason
    assert replayed(lrsgd.theorem_3_4_best_burn_in)


@pytest.mark.slow
def test_not_even_a_large_effort_refutes_it() -> None:
    verdict = theorylab.check("lrsgd.theorem_3_4", TWINS, values={"c": 1}, effort=1e12)
    assert (verdict.verdict, verdict.evidence) == ("holds", "algebra")


def test_another_schedule_proves_nothing() -> None:
    """The repairs of 3.6, 4.3 and 4.9 speak of other step sizes."""
    for printed, repaired in (
        (lrsgd.theorem_3_6, lrsgd.theorem_3_6_repaired),
        (lrsgd.theorem_4_3, lrsgd.theorem_4_3_best_burn_in),
        (lrsgd.theorem_4_9, lrsgd.theorem_4_9_best_burn_in),
    ):
        constants = {k: float(v) for k, v in TWINS.sample_constants().items()}
        table = printed.resolve(constants | {"n": 64, "T": 640, "c": 0.5, "theta": 0.1, "S": 1})
        assert not covers(repaired, printed, [table])
    table = lrsgd.theorem_3_4.resolve(constants | {"n": 64, "T": 640, "c": 0.5})
    assert covers(lrsgd.theorem_3_4_best_burn_in, lrsgd.theorem_3_4, [table])


def _power(power: float, size: float) -> float:
    return 9 * size**power


def _curve(ratio: Any, error: Any, count: int = 4) -> Any:
    sizes = [32.0 * 2**k for k in range(count)]
    return [_Size(s, y := math.log(ratio(s)), y - error, y + error) for s in sizes]


LAST = Verdict("k", "printed", "not refuted", 2.0, (2.0, 2.0), 1.0, 2.0)


@pytest.mark.parametrize(
    ("ratio", "error", "outcome"),
    [
        (lambda s: s**0.25, 0.01, "violated"),
        (lambda s: s**0.25, 0.2, "not refuted"),  # within the intervals
        (lambda s: 100 * s / (s + 100), 0.01, "not refuted"),  # on its way to a constant
        (lambda s: 1e-6 * s**0.25, 0.01, "not refuted"),  # still below 1
        (lambda s: 3.0 + (s > 200), 0.01, "not refuted"),  # in one window alone
    ],
)
def test_growth_must_persist(ratio: Any, error: float, outcome: str) -> None:
    found = rates._judge_growth(LAST, _curve(ratio, error), "n")
    assert found.verdict == outcome
    assert found.evidence == ("growth" if outcome == "violated" else "samples")
    assert "n = 32, 64, 128, 256" in found.reason


@pytest.mark.parametrize(
    ("power", "error", "outcome"),
    [
        (-0.5, 0.01, "violated"),
        (-0.5, math.inf, "not refuted"),  # nothing is known
        (0.5, 0.01, "not refuted"),  # far above the bound, and falling
        (0.5, math.inf, "not refuted"),
    ],
)
def test_what_shrinks_has_a_course_as_well(power: float, error: float, outcome: str) -> None:
    """An accuracy goes to 0: growth is along its way, not against it."""
    sizes = [2.0, 1.0, 0.5, 0.25]
    curve = [_Size(s, y := math.log(100 * s**power), y - error, y + error) for s in sizes]
    found = rates._judge_growth(LAST, curve, "eps")
    assert found.verdict == outcome
    assert f"like eps^{power:.3f} over eps = 2, 1, 0.5, 0.25" in found.reason
    assert found.growth is not None
    assert found.growth[0] == pytest.approx(-power)
    assert found.growth[1] <= found.growth[2]


def test_where_the_longest_run_is_left_out_it_could_not_have_shown_growth() -> None:
    rng = np.random.default_rng(0)
    left_out = violated = 0
    for _ in range(300):
        power, error = rng.uniform(-0.3, 0.6), rng.choice([0.01, 0.1])
        noise = np.exp(0.1 * rng.standard_normal(5))
        curve = [
            dataclasses.replace(at, ratio=at.ratio + math.log(x), low=at.low + math.log(x),
                                high=at.high + math.log(x))
            for at, x in zip(_curve(partial(_power, power), error, 5), noise, strict=True)
        ]  # fmt: skip
        outcome = rates._judge_growth(LAST, curve[-4:], "n").verdict
        settled = rates._settled(curve[:-1])
        left_out, violated = left_out + settled, violated + (outcome == "violated")
        assert not (settled and outcome == "violated")
        if settled:  # nor does what is measured
            assert rates._judge_growth(LAST, curve[:-1], "n").verdict != "violated"
    assert left_out > 50
    assert violated > 50
    assert not rates._settled(curve[:3])


def test_the_longest_run_of_an_order_that_does_not_grow_is_not_made() -> None:
    bowl = synthetic.quadratic(dim=1)
    known = registry.statement("sngm.eq_5")
    sizes = [f"{size:g}" for size in rates._sizes(known, bowl, 1e5)]
    follows = theorylab.check(known, bowl, effort=1e5)
    assert f"over C = {', '.join(sizes[-4:])};" in follows.reason  # its bound is asked at each
    falls = theorylab.check(dataclasses.replace(known, key="demo.order"), bowl, effort=1e5)
    assert falls.verdict == "not refuted"
    assert falls.reason.startswith("measured/bound")
    assert f"over C = {', '.join(sizes[:-1])};" in falls.reason


def test_the_instance_shown_is_the_one_measured() -> None:
    verdict = theorylab.check("lrsgd.theorem_4_9", TWINS, values={"c": 0.5, "S": 1},
                              effort=1e5, replicas=512)  # fmt: skip
    assert (verdict.verdict, verdict.evidence) == ("violated", "growth")
    assert verdict.constants["n"] == 512
    assert verdict.hyperparameters["T"] == 5120


def test_every_order_under_a_repaired_key_is_decided_the_same_way() -> None:
    """Table 1's row of SNGM is Corollary 2 without its constants."""
    bowl = synthetic.quadratic(dim=2, noise="two_point", sigma=0.5)
    verdict = theorylab.check(registry.statement("sngm.table_1_sngm"), bowl, effort=1e4)
    assert (verdict.verdict, verdict.evidence) == ("holds", "algebra")


FALLS = Claim(mean_gradient_norm_squared, "<=", ell * Delta / T, big_o=True)


class _Agreeing(Protocol):
    """Samples that agree on 1/sqrt(T), and a certified range up to ``high`` times that."""

    provides = frozenset({"mean_gradient_norm_squared"})

    def __init__(self, high: Any) -> None:
        self.high = high

    def measure(self, experiment: Any) -> Any:
        rng = np.random.default_rng([experiment.run_seed, experiment.rounds])
        size = experiment.rounds**-0.5
        seen = size * (1.0 + 0.01 * rng.standard_normal((1, 4096)))
        (name,) = experiment.measured
        return Measurement({name: seen}, "samples", ranges={name: (0.0, size * self.high)})


@pytest.mark.parametrize(("high", "said"), [(math.inf, "not refuted"), (2.0, "violated")])
def test_samples_without_a_certified_upper_range_show_no_growth(high: Any, said: str) -> None:
    """Six standard errors of agreeing samples are no upper bound: an event may be too rare."""
    falls = Statement("made_up.falls", "Order", "printed", FALLS,
                      (SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE), Algorithm("sgd"),
                      rate=Rate(T, {T: -1}))  # fmt: skip
    waves = synthetic.bounded_nonconvex(dim=1, noise="gaussian", sigma=0.1)
    found = rates.check_order(falls, waves, _Agreeing(high), {"eta": 0.2, "B": 1.0}, 64, 1e5, 0, 0,
                              0.01)  # fmt: skip
    assert found.verdict == said
    assert found.evidence == ("growth" if said == "violated" else "samples")
    assert found.growth[0] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("key", "objective"),
    [
        ("sngm.table_1_sngm", synthetic.huber(start=300.0)),  # C^(1/4) is how far it walks
        ("sngm.table_1_sngm", synthetic.quadratic(start=100.0, sigma=0.0)),
        ("sngm.corollary_2_complexity", synthetic.huber(start=300.0)),
        ("sngm.corollary_2_complexity", synthetic.quadratic(start=100.0, sigma=0.0)),
        ("sngm.eq_5", registry.family("dip_chain").build()),
        ("sngm.table_1_msgd", registry.family("dip_chain").build()),
        (
            "sngm.corollary_2_complexity",
            without_noise(registry.family("robust_regression").build(n=20, dim=3, loss="squared")),
        ),
    ],
    ids=str,
)
def test_a_run_that_has_not_begun_refutes_no_order(key: str, objective: Any) -> None:
    """True orders, without the repaired bounds they follow from, far from where they start."""
    alone = dataclasses.replace(registry.statement(key), key="made_up.alone")
    values = {"beta": 0.9 if "robust" in objective.name else 0.0}  # which swings beyond, too
    found = theorylab.check(alone, objective, values=values)
    assert found.verdict == "not refuted"
    assert found.growth is not None
    assert found.ratio > 1
    assert "hardly under way" in found.reason


def test_what_a_size_sets_is_what_its_counts_make_of_it() -> None:
    """C = T B with both rounded: at another C the step is another, and nothing would follow."""
    chain = registry.family("dip_chain").build()
    found = theorylab.check("sngm.eq_5", chain, values={"beta": 0.0})
    assert (found.verdict, found.evidence) == ("holds", "algebra")
    run = found.hyperparameters
    assert run["C"] == run["T"] * run["B"]


def test_the_upper_end_of_a_size_is_that_of_all_its_instances() -> None:
    falls = Claim(mean_gradient_norm_squared, "<=", ell, big_o=True)
    samples = np.tile([[1.9], [2.0]], (1, 500))
    found = Measurement({"mean_gradient_norm_squared": samples}, "samples",
                        ranges={"mean_gradient_norm_squared": (0.0, 3.0)})  # fmt: skip
    compared = compare(falls, {"ell": 1.0}, found, 0.01)
    lower, upper = compared.interval(1)
    verdict = Verdict("k", "printed", "not refuted", 2.0, (lower, upper), 1.0, 2.0)
    size = rates._at(8.0, compared, 1, verdict)
    assert (size.low, size.ratio) == (math.log(lower), math.log(2.0))
    assert size.high == pytest.approx(math.log(upper))
    assert 2.0 < upper < 3.0


@pytest.mark.parametrize("noise", ["none", "two_point"])
def test_the_largest_batch_is_exact_where_the_means_are(noise: str) -> None:
    """And then it is the one that long runs find."""
    bowl = synthetic.quadratic(dim=1, noise=noise, sigma=0.5 * (noise != "none"), start=2.0)
    statement = registry.statement("sngm.eq_6", "printed")
    constants = {k: float(v) for k, v in bowl.constants().items()}
    values = statement.resolve(constants | {"C": 256.0, "beta": 0.0, "B": 1.0})
    experiment = Experiment(statement, bowl, values, replicas=400, effort=1e7)
    exact = Budgets().measure(experiment)
    assert exact.law == "law"
    sampled = Budgets()._largest_batch(experiment)
    assert np.median(sampled) == exact.values["largest_batch_size"].item()
    assert exact.values["largest_batch_size"].item() > 1
