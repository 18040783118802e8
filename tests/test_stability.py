"""Twins: equal bits until they differ, chunk-free, suprema from below, and bounds that are met."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from twin_objectives import Robust

import synthetic
from bounds import Algorithm, Claim, Statement, lrsgd, quantities
from bounds import notation as symbols
from bounds.assumptions import PER_SAMPLE
from bounds.evaluation import evaluate
from theorylab.engine.driver import run
from theorylab.errors import UsageError
from theorylab.judge.check import check
from theorylab.judge.gaps import judge
from theorylab.judge.intervals import mean_exceeds
from theorylab.method import (
    LRSGD_C,
    LRSGD_R,
    MSGD,
    RULES,
    SGD,
    SNGM,
    TRSGD,
    StochasticBatchSize1,
    StochasticBatchSize2,
)
from theorylab.method.rule import independent
from theorylab.method.schedules import Harmonic
from theorylab.plugins import registry
from theorylab.quantities import Experiment, build_rule, protocol_for
from theorylab.stability.exponents import fit_exponent
from theorylab.stability.generalization import generalization_gap
from theorylab.stability.supremum import estimate, largest_gap, search_replacements
from theorylab.stability.twins import SampleSpace, run_twins
from theorylab.studies.stability import stability
from theorylab.studies.twin_cells import stability_cell

STEPS = 60
NAMED = {
    "sgd": SGD(eta=0.3),
    "msgd": MSGD(eta=0.1, beta=0.9),
    "sngm": SNGM(eta=0.05, beta=0.9),
    "trsgd": TRSGD(lam=2.0, delta=0.25, S=5),
    "lrsgd_r": LRSGD_R(lam=Harmonic(3.0, floor=2.0), theta=0.25, t0=3, eta=Harmonic(1.0)),
    "lrsgd_c": LRSGD_C(lam=3.0, delta=0.25, S=4, t0=2, eta=0.5),
    "stochastic_batch_size_1": StochasticBatchSize1(eta=0.1, alpha=0.5, lambda_=0.0),
    "stochastic_batch_size_2": StochasticBatchSize2(eta=0.1, alpha=0.5, lambda_=0.0),
}


def _typical(kind: Any) -> Any:
    try:
        return kind()
    except TypeError:
        pass
    for arguments in ({"eta": 0.1}, {"eta": 0.1, "beta": 0.5}, {"lam": 1.0, "S": 3, "eta": 0.1}):
        try:
            return kind(**arguments)
        except (TypeError, ValueError):
            continue
    return None


EVERY = NAMED | {
    kind.name: rule for kind in RULES if kind.name not in NAMED and (rule := _typical(kind))
}

FOLLOWED = {name: r for name, r in EVERY.items() if not r.needs and independent(r)}


@pytest.mark.parametrize("name", sorted(EVERY.keys() - FOLLOWED.keys()))
def test_a_rule_that_would_miss_the_replaced_sample_is_refused(data: Any, name: Any) -> None:
    with pytest.raises(UsageError, match=f"independent mini-batches; {name} asks for"):
        run_twins(data, EVERY[name], STEPS, pairs=2, seeds=2)


def test_every_registered_rule_is_tried() -> None:
    assert {kind.name for kind in RULES} == set(EVERY)


@pytest.fixture(scope="module")
def data() -> Any:
    return Robust(n=12, dim=3)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("remove", [False, True], ids=["replace", "remove"])
@pytest.mark.parametrize("rule", FOLLOWED.values(), ids=FOLLOWED)
def test_the_gap_is_exactly_zero_until_the_sample_is_first_drawn(
    data: Any, rule: Any, remove: bool, batch_size: int
) -> None:
    """Every step is recorded, so the first draw is checked against the iterates themselves."""
    plain = rule.restarts(np.random.default_rng(0), 0, 1, 1) is None
    twins = run_twins(
        data, rule, STEPS, pairs=5, seeds=6, at=range(STEPS + 1), batch_size=batch_size,
        remove=remove, seed=3,
    )  # fmt: skip
    distance = twins.distance
    drawn = np.argmax(distance > 0, axis=0)  # the first step after which the twins differ
    differs = distance.max(axis=0) > 0
    assert differs.any()
    if plain:
        before = twins.times[:, None, None] < twins.first_drawn
        assert (distance[before] == 0.0).all()
        # A step at the first draw moves the twins apart (a lazy rule may wait, never precede).
        assert (drawn[differs] >= twins.first_drawn[differs]).all()
        assert not differs[twins.first_drawn > STEPS].any()


@pytest.mark.parametrize("rule", [NAMED["lrsgd_r"], NAMED["lrsgd_c"], NAMED["trsgd"]])
def test_nested_loops_share_restarts_and_the_round_of_the_first_draw(data: Any, rule: Any) -> None:
    rounds = 20
    twins = run_twins(data, rule, rounds=rounds, pairs=6, seeds=8, at=range(rounds + 1), seed=1)
    before = twins.times[:, None, None] < twins.first_drawn
    assert before.any()
    assert (twins.distance[before] == 0.0).all()
    after = (twins.distance > 0).any(axis=0)
    np.testing.assert_array_equal(after, twins.first_drawn <= rounds)
    assert (np.argmax(twins.distance > 0, axis=0)[after] == twins.first_drawn[after]).all()


def test_a_twin_is_the_run_on_its_own_data(data: Any) -> None:
    """The twin's iterates are those of an ordinary run on the perturbed data set."""
    positions, whole = data.replacement(0, 3)
    twins = run_twins(data, SGD(eta=0.3), 40, pairs=3, seeds=4, twins=(positions, whole), seed=5)
    for p, position in enumerate(positions):
        table = data.table.clone()
        table[position] = whole.table[data.n + p]
        alone = run(Robust(table=table), SGD(eta=0.3), 40, replicas=4, seed=5, record=("w",))
        np.testing.assert_array_equal(alone["w"][0], twins.w[0, :, 1 + p])


@pytest.mark.parametrize("rule", [NAMED["sgd"], NAMED["lrsgd_r"]])
def test_groups_and_seeds_do_not_show(
    data: Any, rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_twins(data, rule, rounds=15, pairs=7, seeds=140, at=(0, 5, 15))
    for group in (1, 3):
        cut = run_twins(data, rule, rounds=15, pairs=7, seeds=140, at=(0, 5, 15), group=group)
        np.testing.assert_array_equal(whole.w, cut.w)
        np.testing.assert_array_equal(whole.first_drawn, cut.first_drawn)
    few = run_twins(data, rule, rounds=15, pairs=7, seeds=5, at=(0, 5, 15))
    np.testing.assert_array_equal(whole.w[:, :5], few.w)
    monkeypatch.setattr("theorylab.engine.chunks.DRAW_BYTES", 1)
    one = run_twins(data, rule, rounds=15, pairs=2, seeds=5, at=(0, 5, 15), remove=True)
    monkeypatch.undo()
    many = run_twins(data, rule, rounds=15, pairs=2, seeds=5, at=(0, 5, 15), remove=True)
    np.testing.assert_array_equal(one.w, many.w)
    np.testing.assert_array_equal(one.first_drawn, many.first_drawn)


def test_first_draws_follow_their_law(data: Any) -> None:
    twins = run_twins(data, SGD(eta=0.1), 30, pairs=4, seeds=4000)
    for t in (1, 5, 12):
        expected = (1 - 1 / data.n) ** t
        error = 5 * math.sqrt(expected * (1 - expected) / 4000)
        assert twins.missed(t).mean(axis=1) == pytest.approx(expected, abs=error)


def test_a_removed_sample_is_replaced_uniformly(data: Any) -> None:
    """Of the remaining n - 1 samples each is drawn equally often."""
    counts = np.zeros(data.n + 1)

    class Counting(Robust):
        def sample_gradient(self, w: Any, draw: Any) -> Any:
            np.add.at(counts, draw.numpy()[1::2].ravel(), 1)
            return super().sample_gradient(w, draw)

    whole = Counting(table=torch.cat([data.table, data.table[:1]]))
    run_twins(data, SGD(eta=0.1), 200, seeds=300, twins=(np.array([4]), whole), remove=True)
    assert counts[4] == counts[data.n] == 0
    share = np.delete(counts, [4, data.n]) / counts.sum()
    assert share == pytest.approx(1 / (data.n - 1), abs=5 * math.sqrt(1 / data.n / 60_000))


def test_the_gap_is_of_the_point_asked_for(data: Any) -> None:
    twins = run_twins(data, SGD(eta=0.5), 30, pairs=3, seeds=6)
    points = twins.candidates(4)
    assert (points[:, 0] == twins.positions).all()
    assert (points[:, 1] == data.n + np.arange(3)).all()
    gaps = twins.loss_gap(points)
    p, x, r = 2, 1, 4
    sample = twins.objective.table[points[p, x]]
    by_hand = [float(data.sample_loss(torch.from_numpy(twins.w[0, r, k]), sample)) for k in (0, 3)]
    assert gaps[p, x, r] == pytest.approx(abs(by_hand[0] - by_hand[1]), rel=1e-12)


def test_the_ascent_finds_no_less_and_stays_admissible(data: Any) -> None:
    assert isinstance(data, SampleSpace)
    twins = run_twins(data, SGD(eta=0.5), 60, pairs=6, seeds=400)
    plain, climbed = largest_gap(twins, ascent=0), largest_gap(twins, ascent=30)
    assert climbed.point == "gradient ascent"
    assert climbed.value > plain.value
    assert climbed.interval[0] < climbed.value < climbed.interval[1]


def test_the_search_enlarges_the_gap() -> None:
    data = Robust(n=8, dim=3, seed=3)
    rule = SGD(eta=0.5)
    found = search_replacements(data, rule, 30, pairs=8, seeds=100, generations=4, seed=3)
    before = run_twins(data, rule, rounds=30, pairs=8, seeds=400, seed=99, twin_seed=3)
    after = run_twins(data, rule, rounds=30, seeds=400, seed=99, twins=found)
    assert largest_gap(after).value > largest_gap(before).value
    largest = data.table.norm(dim=1).max()
    assert (found[1].table.norm(dim=1) <= largest + 1e-9).all()


def test_selection_does_not_flatter() -> None:
    """Among equal instances the largest of the choosing half says nothing about the other."""
    data, values = Robust(n=10, dim=3), []
    for seed in range(12):
        twins = run_twins(data, SGD(eta=0.2), 1, pairs=40, seeds=8, seed=seed, twin_seed=0)
        values.append(largest_gap(twins, ascent=0).value)
    twins = run_twins(data, SGD(eta=0.2), 1, pairs=40, seeds=1000, seed=77, twin_seed=0)
    supremum = twins.loss_gap(twins.candidates()).mean(-1).max()
    error = 4 * np.std(values, ddof=1) / math.sqrt(len(values))
    assert np.mean(values) <= supremum + error


def test_verdicts_never_say_proved() -> None:
    sure = estimate(np.full(50, 0.5) + np.linspace(-1e-3, 1e-3, 50))
    assert judge(sure, 1.0) == (pytest.approx(0.5), "not refuted")
    assert judge(sure, 0.4)[1] == "violated"
    assert judge(sure, 0.5)[1] == "not refuted"
    assert judge(sure, 3.0, trivial=2.0)[1] == "vacuous"
    assert judge(sure, None) == (None, "no bound")


def test_a_few_gaps_that_agree_do_not_refute_what_many_obey() -> None:
    """All but one run in fifty end 1.94 apart: eight often agree, and their mean is 1.9."""
    few = estimate(1.94 + 1e-3 * np.arange(8))
    assert few.interval[0] > 1.92
    assert judge(few, 1.92)[1] == "not refuted"


@pytest.mark.parametrize("size", [8, 32, 200])
@pytest.mark.parametrize("chance", [0.05, 0.5, 0.9, 0.98])
def test_mean_exceeds_is_wrong_no_more_often_than_it_says(size: int, chance: float) -> None:
    """At the bound itself, for gaps that are 0 or 1: the exact chance of crying out."""
    hits = np.arange(size + 1)
    samples = (hits[:, None] > np.arange(size)).astype(float)
    cries = np.array([mean_exceeds(row, chance, 0.01) for row in samples])
    assert stats.binom.pmf(hits, size, chance)[cries].sum() <= 0.01
    if chance < 0.5:
        assert cries.any()


def test_mean_exceeds_finds_a_quarter_above_in_fifty() -> None:
    rng = np.random.default_rng(0)
    found = [mean_exceeds(1.25 * rng.uniform(0.8, 1.2, 50), 1.0) for _ in range(50)]
    assert np.mean(found) > 0.9
    assert mean_exceeds(np.array([0.0, 1e-9]), 0.0)


def test_generalization_gap_by_hand() -> None:
    """One step of SGD on f_i = <a_i, w>^2/2, with a_i uniform on the sphere of radius sqrt(d).

    The gap is that of the sample drawn, 1/n of the whole: F is ||w||^2/2 and
    <a, w_1> = (1 - eta d) <a, w_0>, so E F(w_1) - E f_i(w_1) = eta (d-1)(2 - eta d) ||w_0||^2/2.
    """
    n, d, eta, seeds = 20, 3, 0.4, 4000
    data = synthetic.robust_regression(n=n, dim=d, loss="squared", outliers=0.0)
    gap = generalization_gap(data, SGD(eta=eta), 1, seeds=seeds)
    assert gap.shape == (seeds,)
    start = float(data.start.square().sum())
    expected = eta * (d - 1) * (2 - eta * d) * start / 2 / n
    error = gap.std(ddof=1) / math.sqrt(seeds)
    assert error < expected / 10
    assert abs(gap.mean() - expected) < 4 * error
    # The other kind of population: an overfitted sample looks better than it.
    pool = generalization_gap(Robust(n=n, dim=2), SGD(eta=0.5), 40, seeds=2000)
    assert pool.mean() > 4 * pool.std(ddof=1) / math.sqrt(2000)


def test_generalization_gap_is_at_most_the_stability_gap() -> None:
    data = Robust(n=10, dim=2)
    rule = SGD(eta=0.5)
    gap = estimate(generalization_gap(data, rule, 20, seeds=800))
    found = search_replacements(data, rule, 20, pairs=8, seeds=100)
    stable = largest_gap(run_twins(data, rule, rounds=20, seeds=800, twins=found, seed=9))
    assert gap.interval[1] < stable.interval[0]


def test_claims_that_runs_generalize_too_well_are_refuted() -> None:
    """No range was certified of the gap, so that no number of samples decided anything."""
    smaller = Statement("demo.gap", "X", "printed", Claim(quantities.generalization_gap, "<=", 0),
                        (PER_SAMPLE,), Algorithm("sgd", {"eta": symbols.eta}))  # fmt: skip
    values: dict[str, float] = {"T": 10, "B": 1, "eta": 1.0}
    own = synthetic.piecewise_quadratic_sum(n=3)
    found = check(smaller, own, values=values, count=1, replicas=2000)
    assert found.told == "violated (valid interval)"
    measured = protocol_for(smaller).measure(Experiment(smaller, own, values))
    low, high = measured.ranges["generalization_gap"]
    sampled = measured.values["generalization_gap"]
    assert low <= sampled.min() < sampled.max() <= high
    # Losses of a population's fresh samples are certified where the law of a sample says so.
    waves = Experiment(smaller, synthetic.cosine_sum(n=5, dim=2), values, replicas=200)
    fresh = protocol_for(smaller).measure(waves)
    assert fresh.ranges["generalization_gap"] == (-8.0, 8.0)
    assert np.abs(fresh.values["generalization_gap"]).max() <= 8
    without = Experiment(smaller, synthetic.cosh_sum(n=5), values, replicas=8)
    assert not protocol_for(smaller).measure(without).ranges


def test_exponents_are_recovered_with_their_intervals() -> None:
    rng = np.random.default_rng(0)
    x = np.array([10, 30, 100, 300, 1000.0])
    inside = 0
    for _ in range(200):
        y = 3 * x**-0.7 * np.exp(0.05 * rng.standard_normal(5))
        fit = fit_exponent(x, y, [(v * (1 - 0.1288), v * (1 + 0.1288)) for v in y])
        inside += fit["interval"][0] <= -0.7 <= fit["interval"][1]
    assert inside >= 180
    assert fit_exponent([1, 2], [1, 2], [(0.9, 1.1), (1.9, 2.1)]) is None


def _measured(key: Any, values: Any, n: Any, replicas: Any = 4000, form: str = "repaired") -> Any:
    objective = synthetic.stability_twins(n=n)
    statement = registry.statement(key, form)
    constants = {k: float(v) for k, v in objective.sample_constants().items()}
    table = statement.validate({**constants, "n": float(n), **values})
    experiment = Experiment(statement, objective, table, replicas, 1e9, seed=0)
    found = protocol_for(statement).measure(experiment)
    return statement, table, found


@pytest.mark.parametrize(
    ("key", "values", "least"),
    [
        ("lrsgd.theorem_3_4", {"T": 100.0, "c": 0.5, "t0": 3.0}, 0.8),
        ("lrsgd.theorem_3_6", {"T": 60.0, "c": 0.25}, 0.9),
        ("lrsgd.theorem_4_3", {"T": 20.0, "c": 0.5, "t0": 1.0, "theta": 0.25}, 0.75),
        ("lrsgd.theorem_4_9", {"T": 20.0, "c": 0.5, "t0": 2.0, "S": 2.0}, 0.75),
    ],
)
def test_the_protocol_finds_the_near_tight_instance_and_no_violation(
    key: str, values: Any, least: float
) -> None:
    """A bound smaller by a fifth would be caught: that is what a tight instance is for."""
    statement, table, found = _measured(key, values, n=20)
    gaps = found.values["stability_gap"]
    best = estimate(gaps[int(gaps.mean(axis=1).argmax())])
    bound = float(evaluate(statement.claim.rhs, table))
    assert least * bound < best.value
    assert judge(best, bound)[1] != "violated"
    assert judge(best, 0.6 * bound)[1] == "violated"


@pytest.mark.parametrize("key", ["lrsgd.expansion_sgd", "lrsgd.expansion_sgd.perturbed"])
def test_one_round_expansions_are_exact_and_attained(key: str) -> None:
    objective = synthetic.stability_twins(n=10)
    statement, table, found = _measured(key, {"eta": 0.5}, n=10)
    assert found.exact
    after = next(v for k, v in found.values.items() if k != "twin_distance")
    bound = evaluate(statement.claim.rhs, {**table, **found.values})
    ratio = after / bound
    assert ratio.max() <= 1 + 1e-9
    assert ratio.max() > 0.9
    assert objective.n == 10


def test_one_round_by_hand() -> None:
    """On f_i = (1/2)|w - x_i|^2 a shared step of SGD shrinks every distance by 1 - eta."""
    data = synthetic.robust_regression(n=6, dim=1, loss="squared")
    statement = registry.statement("lrsgd.expansion_sgd", "repaired")
    known = {k: float(v) for k, v in data.sample_constants().items()}
    experiment = Experiment(statement, data, {**known, "n": 6.0, "eta": 0.25}, 16, 1e6)
    found = protocol_for(statement).measure(experiment)
    ratio = found.values["expected_twin_distance"] / found.values["twin_distance"]
    curvature = data.A.square().sum(-1).mean().item()
    assert ratio == pytest.approx(np.full_like(ratio, 1 - 0.25 * curvature))


@pytest.mark.slow
@pytest.mark.parametrize("key", ["lrsgd.expansion_lrsgd_r", "lrsgd.expansion_lrsgd_c"])
def test_nested_expansions_stay_within_their_formula(key: str) -> None:
    """Attained up to the one sample in n that is not concave at the start."""
    values = {"lam": 2.0, "theta": 0.25} if key.endswith("r") else {"lam": 2.0, "S": 3.0}
    statement, table, found = _measured(key, values, n=50)
    after = found.values["expected_twin_distance"]
    bound = evaluate(statement.claim.rhs, {**table, **found.values})[:, 0]
    error = 4 * after.std(axis=-1) / math.sqrt(after.shape[1])
    assert (after.mean(-1) <= bound + error).all()
    assert (after.mean(-1) / bound).max() > 0.97


def test_one_and_two_workers_agree_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "theorylab.studies.stability._EXPANSIONS", frozenset({"expected_twin_distance"})
    )
    monkeypatch.setattr("theorylab.studies.stability._EXPANSION_EFFORT", 1e3)
    spec = {"family": "stability_twins", "parameters": {"n": 12}}
    arguments = {"sizes": [8, 16, 32], "horizons": [6], "seeds": 32, "pairs": 2}
    rules = ("sgd", "lrsgd_r")
    one = stability(rules, spec, **arguments, out=tmp_path / "one", jobs=1, progress=False)
    two = stability(rules, spec, **arguments, out=tmp_path / "two", jobs=2, progress=False)
    for name in ("rows", "exponents", "comparisons", "expansions", "map"):
        assert json.dumps(one.to_json()[name]) == json.dumps(two.to_json()[name])
    assert len(one.rows) == len(one.to_pandas()) == 6
    needed = {"rule", "n", "T", "c", "kappa", "theta", "gap", "interval", "distance", "bound",
              "ratio", "verdict"}  # fmt: skip
    assert all(needed <= set(row) for row in one.rows)
    assert {fit["along"] for fit in one.exponents} == {"n"}
    assert {row["same"] for row in one.comparisons} == {
        "outer step", "effective step", "gradient evaluations"
    }  # fmt: skip
    assert one.save(tmp_path / "table.tex").read_text().startswith("\\begin{tabular}")
    assert "<table" in one._repr_html_()


@pytest.mark.parametrize("rule", ["sngm", "msgd", "lrsgd_c", "trsgd"])
@pytest.mark.parametrize("source", ["diabetes"])
def test_any_rule_on_real_data(rule: str, source: str) -> None:
    row = stability_cell({
        "kind": "stability", "objective": {"family": "data", "parameters": {"source": source}},
        "inner": 2, "pairs": 2, "seeds": 16, "seed": 0, "remove": True, "search": 0,
        "rule": rule, "statement": None, "n": 442, "T": 40, "c": 0.5, "theta": None,
    })  # fmt: skip
    assert row["gap"] >= 0
    assert row["verdict"] in ("not refuted", "no bound", "vacuous")
    assert (row["bound"] is None) == (rule != "lrsgd_c")


def test_mistakes_are_named(data: Any, tmp_path: Path) -> None:
    spec = {"family": "stability_twins", "parameters": {"n": 12}}
    with pytest.raises(UsageError, match="either steps or rounds"):
        run_twins(data, SGD(eta=0.1))
    with pytest.raises(UsageError, match="pairs and seeds"):
        run_twins(data, SGD(eta=0.1), 3, pairs=0)
    with pytest.raises(UsageError, match="at least 4 seeds"):
        largest_gap(run_twins(data, SGD(eta=0.1), 3, pairs=1, seeds=2))
    with pytest.raises(UsageError, match="finite sum"):
        stability(["sgd"], {"family": "quadratic"}, out=tmp_path)
    with pytest.raises(UsageError, match="--c must be positive"):
        stability(["sgd"], spec, multipliers=[-1.0], out=tmp_path)
    with pytest.raises(UsageError, match="no explicit bound"):
        stability(["sgd"], spec, statements=[lrsgd.lemma_3_1], out=tmp_path)


def test_a_leak_between_twins_would_show(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: a twin that draws its own randomness differs before its sample is drawn."""
    import theorylab.engine.streams as engine

    def unshared(blocks: Any, size: Any, copies: Any) -> Any:
        joined = np.concatenate([draw() for draw in blocks], axis=1)[:, : size // copies]
        wide = np.repeat(joined, copies, axis=1)
        return np.roll(wide, 1, axis=1) if joined.dtype == np.int32 else wide

    monkeypatch.setattr(engine, "side_by_side", unshared)
    twins = run_twins(data, SGD(eta=0.3), 5, pairs=3, seeds=4, at=range(6))
    before = twins.times[:, None, None] < twins.first_drawn
    assert (twins.distance[before] > 0).any()


@pytest.mark.slow
def test_a_thousand_pairs_for_ten_thousand_steps_take_less_than_a_minute() -> None:
    import resource
    import time

    data = synthetic.robust_regression(n=1000, dim=20)
    begin = time.perf_counter()
    twins = run_twins(data, SGD(eta=Harmonic(0.05)), 10_000, pairs=1000, seeds=1,
                      at=[0, 100, 10_000])  # fmt: skip
    assert time.perf_counter() - begin < 60
    assert twins.distance.shape == (3, 1000, 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2e6


def test_statement_rules_run_as_twins() -> None:
    """Every explicit stability statement builds its rule and obeys the bitwise law."""
    tried = 0
    for (_, form), statement in registry.statements().items():
        names = {m.name for m in statement.claim.measured}
        if names != {"stability_gap"} or form != "repaired" or "T" not in {
            s.name for s in statement.symbols
        }:  # fmt: skip
            continue
        objective = synthetic.stability_twins(n=6)
        constants = {k: float(v) for k, v in objective.sample_constants().items()}
        values = {**constants, "n": 6.0, "T": 8.0, "c": 0.5, "theta": 0.25, "S": 2.0, "t0": 2.0}
        own = {s.name for s in statement.symbols}
        rule = build_rule(statement, {k: v for k, v in values.items() if k in own})
        twins = run_twins(objective, rule, rounds=8, pairs=2, seeds=8, at=range(9))
        before = twins.times[:, None, None] < twins.first_drawn
        assert (twins.distance[before] == 0.0).all()
        tried += 1
    assert tried >= 6
