"""Which points a check tries: every pair of ends of every pair of hyperparameters among them."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import sympy

import synthetic
from bounds import Algorithm, Claim, Condition, Domain, Statement, Symbol
from bounds.assumptions import SMOOTH
from bounds.notation import B, Delta, T, beta, ell, eta, eta_length
from bounds.quantities import buffer_norm, decrease, distance, gradient_norm_at_w
from theorylab import check
from theorylab.errors import UsageError
from theorylab.exact.refutation import _points as points_of_programs
from theorylab.hunt.search import hunt
from theorylab.judge.covering import covering_rows
from theorylab.judge.domain import enough, points
from theorylab.problem.objective import Objective

UNIT = [Symbol(name, "a share", Domain(0, 1), typical=(0.5,)) for name in "abcdef"]
ONE = {"ell": 1.0, "Delta": 1.0}
ENDS = {"lower": 0.0, "upper": 1.0}


@pytest.mark.parametrize("width", range(31))
def test_every_two_columns_show_all_pairs(width: int) -> None:
    rows = covering_rows(width)
    assert {len(row) for row in rows} == {width}
    together = 3 if width in (3, 4) else min(width, 2)
    for columns in itertools.combinations(range(width), together):
        assert len({tuple(row[i] for i in columns) for row in rows}) == 2**together
    assert len(rows) <= 8


def test_half_the_rows_of_three_columns_show_all_pairs() -> None:
    rows = covering_rows(3)[:4]
    for pair in itertools.combinations(range(3), 2):
        assert len({tuple(row[i] for i in pair) for row in rows}) == 4


def false_at(ends: Mapping[Symbol, str], among: list[Symbol]) -> Statement:
    """False near these ends together and nowhere else, however large the gradient is."""
    near = [x if end == "upper" else 1 - x for x, end in ends.items()]
    bound = (
        1e9
        * sympy.sqrt(ell * Delta)
        * (sum(x**60 for x in near) - len(near) + sympy.Rational(1, 2))
    )
    return Statement("test.corner", "Lemma", "printed", Claim(gradient_norm_at_w, ">=", bound),
                     conditions=tuple(Condition(x, "<=", 1) for x in among))  # fmt: skip


@pytest.fixture(scope="module")
def bowl() -> Objective:
    return synthetic.quadratic(dim=2)


@pytest.mark.parametrize("ends", [*itertools.product(ENDS, repeat=2)])
def test_what_fails_at_one_pair_of_ends_is_found(ends: tuple[str, str], bowl: Objective) -> None:
    for pair in itertools.combinations(UNIT[:3], 2):
        verdict = check(false_at(dict(zip(pair, ends, strict=True)), UNIT[:3]), bowl)
        assert verdict.verdict == "violated", pair
        met = [verdict.hyperparameters[x.name] for x in pair]
        assert met == [ENDS[end] for end in ends]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6])
def test_points_meet_every_pair_of_ends(width: int) -> None:
    asked = false_at({}, UNIT[:width])
    table = points(asked, ONE, count=enough(asked, ONE))
    assert [table[0][x.name] for x in UNIT[:width]] == [0.5] * width
    assert len(table) >= 6
    assert any(0 < p[x.name] < 1 for p in table[1:] for x in UNIT[:width])  # and one from between
    together = 3 if width in (3, 4) else min(width, 2)
    for names in itertools.combinations("abcdef"[:width], together):
        met = {tuple(p[name] for name in names) for p in table}
        assert met >= set(itertools.product(ENDS.values(), repeat=together))


@pytest.mark.parametrize("power", [1, 2])
def test_a_short_run_meets_large_momentum(power: int) -> None:
    """Lemma 2 of SNGM with too small a power is false at T = 2, for every beta but its usual 0."""
    short = Statement(
        "test.short", "Lemma", "printed",
        Claim(buffer_norm, "<=", (1 - beta ** (T - power)) / (1 - beta)),
        algorithm=Algorithm("sngm", {"eta": eta_length, "beta": beta}),
        conditions=(Condition(T, ">=", 1 + power),),
    )  # fmt: skip
    for objective in (synthetic.quadratic(dim=2), synthetic.huber(start=3.0)):
        verdict = check(short, objective)
        assert (verdict.verdict, verdict.evidence) == ("violated", "exact arithmetic")
        assert verdict.hyperparameters["T"] == 1 + power
        assert verdict.hyperparameters["beta"] > 0.9


LONG = Statement(
    "test.long", "Lemma", "printed", Claim(gradient_norm_at_w, "<=", eta * T * B),
    conditions=(Condition(eta, "<=", 1 / (ell * T)),),
)  # fmt: skip


def test_a_limit_that_moves_is_met_at_both_ends() -> None:
    table = points(LONG, {"ell": 2.0}, count=enough(LONG, {"ell": 2.0}))
    met = {p["T"] for p in table if p["eta"] == 1 / (2 * p["T"])}
    assert {min(T.typical), max(T.typical)} <= met


def test_counts_too_long_together_come_down_together() -> None:
    def admit(point: Mapping[str, Any]) -> bool:
        return float(point["T"]) * float(point["B"]) <= 5000

    table = points(LONG, {"ell": 2.0}, 0, enough(LONG, {"ell": 2.0}), admit)
    assert all(map(admit, table))
    assert any(p["T"] > 5 and p["B"] > 5 for p in table)
    assert any(p["T"] == max(T.typical) for p in table)


def test_of_ends_that_exclude_each_other_the_rest_are_met() -> None:
    a, b, c = UNIT[:3]
    apart = Statement("test.apart", "Lemma", "printed", Claim(gradient_norm_at_w, ">=", -a * b * c),
                      conditions=(Condition(a + b, "<=", 1.5),))  # fmt: skip
    table = points(apart, {}, count=enough(apart, {}))
    for pair in itertools.combinations("abc", 2):
        met = {tuple(p[name] for name in pair) for p in table}
        wanted = set(itertools.product(ENDS.values(), repeat=2))
        assert wanted - met == ({(1.0, 1.0)} if pair == ("a", "b") else set())


def test_points_are_the_same_at_the_same_seed() -> None:
    one, other = (points(LONG, {"ell": 1.0}, seed, 20) for seed in (1, 2))
    assert points(LONG, {"ell": 1.0}, 1, 20) == one
    assert one != other
    assert one[0] == other[0] == {"ell": 1.0, "T": 1.0, "B": 1.0, "eta": 1.0}


def test_a_point_alone_is_typical() -> None:
    usual = points(LONG, {"ell": 2.0}, count=1)
    assert usual == points(LONG, {"ell": 2.0}, count=1, typical=True)


def test_where_nothing_is_free_there_is_one_point() -> None:
    fixed = {"ell": 2.0, "T": 3.0, "B": 1.0, "eta": 0.1}
    assert points(LONG, fixed, count=enough(LONG, fixed)) == [fixed]
    with pytest.raises(UsageError, match="no admissible point"):
        points(LONG, {**fixed, "eta": 1.0})


@pytest.mark.parametrize("curvature", [1.0, 2.0, 3.0, 7.3, 49.0, 1e-3])
@pytest.mark.parametrize("share", [1, 10])
@pytest.mark.parametrize("op", ["<=", "<"])
def test_a_typical_value_is_taken_at_the_end_that_it_is(
    curvature: float, share: int, op: str
) -> None:
    """``1/ell`` under ``eta <= 1/ell``, ``0.1/ell`` under ``eta <= 1/(10 ell)``."""
    end = 1 / (share * ell)
    demo = Statement("test.end", "Lemma", "printed", Claim(eta * ell, "<=", 1),
                     conditions=(Condition(eta, op, end),))  # fmt: skip
    first = points(demo, {"ell": curvature, "Delta": 0.7}, count=1, typical=True)[0]["eta"]
    assert first == pytest.approx(1 / (share * curvature), rel=1e-12 if op == "<=" else 2e-3)


@pytest.mark.parametrize("ends", [*itertools.product(ENDS, repeat=2)])
def test_a_hunt_meets_every_pair_of_ends_among_five_symbols(ends: tuple[str, str]) -> None:
    for pair in itertools.combinations(UNIT[:5], 2):
        false = false_at(dict(zip(pair, ends, strict=True)), UNIT[:5])
        found = hunt(false, [{"family": "quadratic"}], limit=90, programs=0, progress=False)
        assert (found.verdict, found.how) == ("violated", "corners"), pair


def test_the_semidefinite_search_comes_to_every_pair_of_ends() -> None:
    """Three symbols that a step is made of, of which it had tried two points."""
    a, b, c = UNIT[:3]
    claim = Claim(decrease, ">=", -ell * (a + b + c) * distance**2)
    statement = Statement("test.corners", "Lemma", "printed", claim, (SMOOTH,),
                          Algorithm("sgd", {"eta": a / ell}))  # fmt: skip
    tried = list(points_of_programs(statement, 0))
    for pair in itertools.combinations("abc", 2):
        for wanted in itertools.product((0.0, 1.0), repeat=2):
            assert any(tuple(point[x] for x in pair) == wanted for point in tried)
