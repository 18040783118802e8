"""``verify`` as a study: what decides, what is shown of it, what was left out and is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.table import Table
from typer.testing import CliRunner

from bounds import Claim, Statement, lrsgd
from bounds.notation import beta
from bounds.symbol import Domain, Measured, Symbol
from bounds.units import Units
from synthetic import quadratic
from theorylab import check
from theorylab.cli import build
from theorylab.console import console
from theorylab.judge import rates
from theorylab.judge.intervals import mean_interval
from theorylab.judge.verdict import Verdict, worst
from theorylab.plugins import registry
from theorylab.plugins.specs import build_objective, objective_specs
from theorylab.quantities.points import sample_points
from theorylab.studies import applicable
from theorylab.studies import verify as study
from theorylab.studies.verify import verify

TRUE = Statement("demo.true", "Remark", "printed", Claim(beta * (1 - beta), "<=", 0.25))


def run(*arguments: Any) -> str:
    done = CliRunner().invoke(build(), [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return str(done.stdout)


# --- what is shown of a verdict -----------------------------------------------------------------
def sampled(ratio: float, error: float, verdict: Any = "not refuted") -> Verdict:
    return Verdict("demo.x", "printed", verdict, ratio, bound=1.0, ratio=ratio, evidence="samples",
                   standard_error=error)  # fmt: skip


def test_the_luckiest_samples_do_not_lead() -> None:
    lucky, steady = sampled(2090.0, 800.0), sampled(0.9, 0.01)
    assert worst([lucky, steady]).ratio == worst([steady, lucky]).ratio == 0.9


def test_a_computed_ratio_is_shown_plain_and_a_guess_is_not() -> None:
    exact = Verdict("demo.x", "printed", "holds", 0.5, bound=1.0, ratio=0.5, evidence="exact law")
    hidden = Verdict("demo.x", "printed", "not refuted", 7.0, bound=1.0, ratio=7.0)
    below = Verdict("demo.x", "printed", "not refuted", 1.0, bound=1.0, ratio=1.0,
                    evidence="exact arithmetic")  # fmt: skip
    shown = [v.shown_ratio for v in (exact, sampled(1.02, 0.1), hidden, below)]
    assert shown == ["0.5", "~1.02", "-", "1"]


def test_no_cell_of_a_piped_table_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table()
    cells = [name * 40 for name in "abcd"]
    for _ in cells:
        table.add_column(no_wrap=True)
    table.add_row(*cells)
    console(table).print(table)
    shown = capsys.readouterr().out
    assert all(cell in shown for cell in cells)
    assert console(Table()).width == 120


@pytest.mark.parametrize(
    ("key", "family"), [("lrsgd.lemma_3_1", "delta_nonconvex"), ("tralgo.descent", "quadratic")]
)
def test_samples_that_swamp_a_tiny_bound_do_not_lead(key: str, family: str) -> None:
    """They gave ratios of 2,090 and 7,600 at a mean that was as large as its own error."""
    statement = registry.statement(key, "repaired")
    objective = build_objective(objective_specs(family)[0])
    verdict = check(statement, objective, count=6, replicas=256, effort=3e5, family=2000)
    assert verdict.verdict != "violated"
    assert verdict.ratio < 3


def test_table_and_json_say_where_nothing_was_decided(tmp_path: Path) -> None:
    options = ["lrsgd.definition_4_1", "--objective", "quadratic", "--instances", 0]
    out = run("verify", *options, "--out", tmp_path)
    assert "~1" in out
    assert "~ where samples" in out
    rows = json.loads((tmp_path / "results.json").read_text())["results"]
    assert [row["decided"] for row in rows] == [False, False]
    assert all(o["decided"] is (o["verdict"] == "holds") for o in rows[0]["objectives"])


# --- what was left out --------------------------------------------------------------------------
def test_claims_that_the_budget_left_unhunted_are_named(tmp_path: Path) -> None:
    report = verify([TRUE], budget=0, out=tmp_path, progress=False)
    assert report.not_hunted == {"the budget ran out": ("demo.true",)}
    assert report.to_json()["results"][0]["not_hunted"] == "the budget ran out"
    whole = verify([TRUE], out=tmp_path, progress=False)
    assert whole.not_hunted == {}
    assert "not_hunted" not in whole.to_json()["results"][0]


def test_the_command_names_them_in_one_line(tmp_path: Path) -> None:
    out = run("verify", "sngm.lemma_2", "--budget", 0, "--out", tmp_path)
    assert "not hunted (1 printed, the budget ran out): sngm.lemma_2" in " ".join(out.split())


def test_no_closing_hunt_asked_is_none_left_out(tmp_path: Path) -> None:
    assert verify([TRUE], instances=0, out=tmp_path, progress=False).not_hunted == {}


def measured_statements() -> list[Statement]:
    every = registry.statements().values()
    return [
        s for s in every if s.claim.measured and not s.claim.big_o and applicable.of_objective(s)
    ]


def statements_of_no_objective() -> list[Statement]:
    every = registry.statements().values()
    return [s for s in every if s.claim.measured and not applicable.of_objective(s)]


@pytest.mark.parametrize("statement", statements_of_no_objective()[::5], ids=lambda s: s.key)
def test_what_no_objective_changes_is_checked_on_one(statement: Statement) -> None:
    """All others would give the same verdict by the same numbers."""
    plan = applicable.objectives_for(statement, objective_specs(), 0, False, False)
    kept, left = plan.kept, plan.left
    assert len(kept) == 1
    assert {v.reason for v in left if "no workers" not in v.reason} == {applicable._ALIKE}
    every = applicable.objectives_for(statement, objective_specs(), 0, True, True).kept
    assert len(every) > 5
    found = [
        check(statement, build_objective(spec), count=2, replicas=32, effort=2e3)
        for spec, quiet in every[:6] if spec is not None and not quiet
    ]  # fmt: skip
    assert len({(v.verdict, v.evidence) for v in found}) == 1
    np.testing.assert_allclose([v.ratio for v in found], found[0].ratio, rtol=1e-9)


def test_few_checks_are_of_no_objective() -> None:
    assert {s.key.split(".")[0] for s in statements_of_no_objective()} == {
        "lrsgd", "stochastic_batch_size"}  # fmt: skip
    assert len(statements_of_no_objective()) == 26


@pytest.mark.parametrize("statement", measured_statements()[::9], ids=lambda s: f"{s.key}-{s.form}")
def test_the_cap_keeps_what_is_quiet_or_attained_and_says_what_it_drops(
    statement: Statement, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = applicable.objectives_for(statement, objective_specs(), 0, False, False)
    kept = plan.kept
    assert len(kept) <= applicable._OBJECTIVES
    left = [v for v in plan.left if "no workers" not in v.reason]
    assert all("beyond the 12 objectives" in v.reason for v in left)
    monkeypatch.setattr(applicable, "_OBJECTIVES", 1000)
    whole = applicable.objectives_for(statement, objective_specs(), 0, False, False)
    every, none = whole.kept, whole.left
    assert len(every) == len(kept) + len(left)
    assert all("no workers" in v.reason for v in none)

    def quiet(plan: Sequence[Any]) -> bool:
        return any(applicable._is_quiet(*entry) for entry in plan)

    def least(plan: Sequence[Any]) -> int:
        return min(applicable._slack(statement, spec) for spec, _ in plan)

    assert quiet(kept) == quiet(every)
    assert least(kept) == least(every)


def test_the_command_says_the_cap(tmp_path: Path) -> None:
    options = ["stochastic_batch_size.eq_10", "--instances", 0, "--out", tmp_path]
    out = " ".join(run("verify", *options).split())
    assert "not run: " in out
    assert "beyond the 12 objectives that verify checks a statement on" in out
    out = " ".join(run("verify", "stochastic_batch_size.eq_9", *options[1:]).split())
    assert "what is measured is the same on every objective; name it to check it" in out


# --- the same at every seed, for less ---------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("key", ["lrsgd.lemma_4_6.gamma", "tralgo.theorem_1", "sngm.eq_6"])
def test_false_claims_are_refuted_at_every_seed(key: str, seed: int, tmp_path: Path) -> None:
    report = verify([registry.statement(key, "printed")], form="printed", seed=seed, out=tmp_path,
                    progress=False)  # fmt: skip
    assert [v.verdict for v in report] == ["violated"]


def test_points_are_the_same_for_every_objective_of_a_dimension() -> None:
    """About its own start and minimizer, in its own units."""
    near, far = quadratic(dim=3, start=1.0), quadratic(dim=3, start=100.0)
    one, other = (sample_points(F, 64, 5) - F.start for F in (near, far))
    assert torch.allclose(one[2::2] * 100, other[2::2], rtol=1e-6)
    assert torch.equal(sample_points(near, 64, 5), sample_points(near, 64, 5))
    assert not torch.equal(sample_points(near, 64, 5), sample_points(near, 64, 6))
    assert torch.equal(sample_points(near, 1, 5)[0], near.start)


def test_an_order_that_follows_by_algebra_needs_no_measurement(monkeypatch: Any) -> None:
    twins = build_objective(next(iter(objective_specs("stability_twins"))))
    told = check(lrsgd.theorem_3_4, twins, values={"c": 1.0}, count=1, replicas=16, effort=1e4)
    monkeypatch.setattr(rates, "compare", None)  # nothing is measured
    follows = rates.follows_by_algebra(lrsgd.theorem_3_4, twins, {"c": 1.0})
    assert follows == (told.evidence == "algebra")
    assert not rates.follows_by_algebra(lrsgd.theorem_4_3, twins, {})


def test_an_interval_has_only_the_ends_that_are_certified() -> None:
    low, high = mean_interval(np.tile([0.0, 1.0], 500), 0.01, 0.0)
    assert 0.4 < float(low) < 0.5
    assert float(high) == np.inf
    low, high = mean_interval(np.tile([0.0, 1.0], (2, 500)), 0.01, np.array([-np.inf, 0.0]), 1.0)
    assert low[0] == -np.inf
    assert 0.4 < low[1] < 0.5
    assert np.all((high > 0.5) & (high < 0.6))


@pytest.mark.parametrize("domain", [Domain(), Domain(0, 1, lower_open=True), Domain(1, 5),
                                    Domain(0, 1, upper_open=True), Domain(1, integer=True)],
                         ids=str)  # fmt: skip
def test_one_number_lies_in_a_domain_as_an_array_does(domain: Domain) -> None:
    for value in (-1.0, 0.0, 0.5, 1.0, 2.0, 2.5, 5.0, np.inf, -np.inf, np.nan):
        assert domain.contains(value) == domain.contains(np.array([value])), value


def test_symbols_of_one_name_and_other_units_differ() -> None:
    one, other = Symbol("x", units=Units(F=1)), Symbol("x", units=Units(X=1))
    assert one != other
    assert one == Symbol("x", units=Units(F=1))
    assert hash(one) == hash(Symbol("x", units=Units(F=1)))
    assert Measured("x") != Symbol("x")


@pytest.mark.parametrize("data", [None, "breast_cancer"])
def test_what_the_first_objectives_violate_is_not_checked_on_the_rest(
    data: str | None, tmp_path: Path
) -> None:
    false = registry.statements()["tralgo.lemma_2", "printed"]
    specs = None if data is None else objective_specs(data=data)
    (entry,) = verify([false], specs, form="printed", instances=0, out=tmp_path,
                      progress=False).checked  # fmt: skip
    assert entry.verdict.verdict == "violated"
    assert len(entry.rows) - len([v for v in entry.rows if v.verdict == "not applicable"]) <= 3
    assert any(v.reason == study._SETTLED for v in entry.not_run)
    assert len(entry.own) == (data is not None)


def test_objectives_that_were_chosen_are_all_checked(tmp_path: Path) -> None:
    false = registry.statements()["tralgo.lemma_2", "printed"]
    named = objective_specs()[:-1]  # all but one: a choice
    (entry,) = verify([false], named, form="printed", instances=0, out=tmp_path,
                      progress=False).checked  # fmt: skip
    assert entry.verdict.verdict == "violated"
    ran = [v for v in entry.rows if v.verdict != "not applicable"]
    assert len(ran) > study._FIRST
    assert not any(v.reason == study._SETTLED for v in entry.not_run)


@pytest.mark.slow
def test_the_closing_hunt_goes_on_until_a_false_order_shows(tmp_path: Path) -> None:
    """Beside data of the user's own, too, whose instances are tried first."""
    false = registry.statements()["lrsgd.theorem_4_9", "printed"]
    specs = objective_specs(data="breast_cancer")
    report = verify([false], specs, form="printed", out=tmp_path, progress=False)
    assert report.verdicts[0].verdict == "violated"
