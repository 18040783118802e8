"""Every study takes a statement that nobody registered, and its report shows itself in every form.

Small amounts: what a study concludes is tested where the study is.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hunting import AVERAGE, NUMBERS_FALSE, NUMBERS_TRUE, ODD_UNITS, QUADRATIC, TOO_SHARP

from bounds import hardt_recht_singer, lrsgd, sngm, tralgo
from bounds.statement import Statement
from theorylab.errors import UsageError
from theorylab.exact.worst_case import MissingExtra
from theorylab.plugins import registry
from theorylab.studies.calibration import CLAIMS, LAWS, calibrate
from theorylab.studies.catalogue import catalogue
from theorylab.studies.errata import errata
from theorylab.studies.falsify import falsify
from theorylab.studies.power import power
from theorylab.studies.report import Report
from theorylab.studies.stability import stability
from theorylab.studies.sweep import SweepReport, sweep
from theorylab.studies.units import units
from theorylab.studies.verify import verify
from theorylab.studies.worst_case import worst_cases

TWINS = {"family": "stability_twins", "parameters": {"n": 12}}
# One of the papers' under another name, so registered nowhere.
STABLE = replace(hardt_recht_singer.theorem_3_12_repaired, key="made_up.stable")
ONE_STEP = replace(tralgo.lemma_1, key="made_up.one_step")


def test_none_of_them_is_registered() -> None:
    known = {key for key, _ in registry.statements()}
    for statement in (AVERAGE, NUMBERS_FALSE, NUMBERS_TRUE, ODD_UNITS, TOO_SHARP, STABLE, ONE_STEP):
        assert statement.key not in known


def _verify() -> Report:
    found = verify([AVERAGE, NUMBERS_TRUE], [QUADRATIC], replicas=16, count=2, effort=1e4,
                   instances=0, out=mkdtemp(), progress=False)  # fmt: skip
    told = {v.key: v.verdict for v in found}
    assert told[NUMBERS_TRUE.key] == "holds"
    assert told[AVERAGE.key] != "violated"
    return found


def _falsify() -> Report:
    found = falsify([NUMBERS_FALSE, NUMBERS_TRUE], limit=30, out=mkdtemp(), progress=False)
    assert [h.verdict for h in found] == ["violated", "not refuted"]
    return found


def _errata() -> Report:
    hunted = falsify([NUMBERS_FALSE], limit=30, out=mkdtemp(), progress=False)
    found = errata(hunted, [NUMBERS_FALSE])
    assert [row.key for row in found.rows] == [NUMBERS_FALSE.key]
    assert found.rows[0].verdict.startswith("violated")
    return found


def _power() -> Report:
    found = power([NUMBERS_TRUE], budget=1.0, seeds=1, instances=2, out=mkdtemp(), progress=False)
    assert [row["key"] for row in found.results] == [NUMBERS_TRUE.key]
    assert found.false_alarms["called_violated"] == []
    return found


def _stability() -> Report:
    found = stability(["sgd"], TWINS, horizons=[6], pairs=2, seeds=16, statements=[STABLE],
                      out=mkdtemp(), progress=False)  # fmt: skip
    assert {row["statement"] for row in found.rows} == {STABLE.key}
    assert all(row["bound"] is not None for row in found.rows)
    return found


def _units() -> Report:
    found = units([ODD_UNITS, AVERAGE], attack=False)
    assert [row.key for row in found.faults] == [ODD_UNITS.key]
    return found


def _worst_case() -> Report:
    try:
        return worst_cases([ONE_STEP], count=1)
    except MissingExtra as error:
        pytest.skip(str(error))


def _sweep() -> Report:
    found = sweep(AVERAGE, "T", QUADRATIC, [1, 4], replicas=16, effort=1e4, out=mkdtemp(),
                  progress=False)  # fmt: skip
    assert [row.x for row in found] == [1.0, 4.0]
    assert {row.form for row in found} == {AVERAGE.form}
    assert "violated" not in {row.verdict for row in found}
    return found


def _calibrate() -> Report:
    return calibrate(LAWS[:1], CLAIMS[:1], repetitions=2, replicas=64, out=mkdtemp(),
                     progress=False)  # fmt: skip


def _catalogue() -> Report:
    return catalogue([AVERAGE, ODD_UNITS])


STUDIES = {
    "verify": _verify, "falsify": _falsify, "errata": _errata, "power": _power,
    "stability": _stability, "units": _units, "worst case": _worst_case, "sweep": _sweep,
    "calibration": _calibrate, "catalogue": _catalogue,
}  # fmt: skip


@cache
def made(name: str) -> Report:
    make: Callable[[], Report] = STUDIES[name]
    return make()


@pytest.mark.parametrize("name", STUDIES)
def test_its_report_shows_itself_in_every_form(name: str, tmp_path: Path) -> None:
    report = made(name)
    table = report.to_pandas()
    assert len(table)
    assert "<table" in report._repr_html_()
    assert "\\begin{tabular}" in report.to_latex()
    for ending in ("json", "csv", "tex", "html"):
        assert report.save(tmp_path / f"report.{ending}").stat().st_size > 0
    kept = json.loads((tmp_path / "report.json").read_text())
    assert kept["schema"] >= 1
    assert (tmp_path / "report.csv").read_text().count("\n") >= len(table) + 1
    with pytest.raises(AttributeError):  # frozen
        report.seed = 1  # type: ignore[attr-defined]


def test_a_sweep_is_of_one_statement_that_has_a_curve(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the forms of one statement, each once"):
        sweep([AVERAGE, TOO_SHARP], "T", QUADRATIC, out=tmp_path)
    with pytest.raises(UsageError, match="the forms of one statement, each once; got none"):
        sweep([], "T", QUADRATIC, out=tmp_path)
    rate = next(s for s in registry.statements().values() if s.claim.big_o)
    with pytest.raises(UsageError, match="claim has no constant, so no curve"):
        sweep(rate, "T", QUADRATIC, out=tmp_path)


def test_a_store_tells_two_statements_of_one_name_apart(tmp_path: Path) -> None:
    """Else the second would be answered from the first one's cells."""
    tight = replace(AVERAGE, claim=replace(AVERAGE.claim, rhs=AVERAGE.claim.rhs / 2))

    def bounds(statement: Statement) -> list[float | None]:
        found: SweepReport = sweep(statement, "T", QUADRATIC, [1, 4], replicas=8, effort=1e4,
                                   out=tmp_path, progress=False)  # fmt: skip
        return [row.bound for row in found]

    first, second = bounds(AVERAGE), bounds(tight)
    assert first == pytest.approx([2 * (b or 0.0) for b in second])


def test_workers_are_sent_a_statement_that_they_cannot_find(tmp_path: Path) -> None:
    found = sweep(AVERAGE, "T", QUADRATIC, [1, 4], replicas=8, effort=1e4, jobs=2, out=tmp_path,
                  progress=False)  # fmt: skip
    assert len(found) == 2


def test_a_stability_study_takes_the_form_it_is_given(tmp_path: Path) -> None:
    """By key alone the repaired form would stand in for the printed one."""
    with pytest.raises(UsageError, match="requires Bf <= 1/2"):  # as printed alone
        stability(["sgd"], TWINS, horizons=[6], pairs=2, seeds=16, out=tmp_path, progress=False,
                  statements=[hardt_recht_singer.theorem_3_12])  # fmt: skip
    with pytest.raises(UsageError, match="no explicit bound"):
        stability(["sgd"], TWINS, statements=[lrsgd.lemma_3_1], out=tmp_path)
    with pytest.raises(UsageError, match="no explicit bound"):
        stability(["sgd"], TWINS, statements=[sngm.theorem_1], out=tmp_path)
