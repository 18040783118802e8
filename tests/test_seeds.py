"""``verify``: a seed moves the randomness alone, and what was not run is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bounds import lrsgd, sngm
from bounds.statement import Statement
from theorylab.studies.verify import verify


def test_a_seed_moves_no_instance(tmp_path: Path) -> None:
    statements = [sngm.lemma_2, lrsgd.definition_4_1]
    found = [
        verify(statements, replicas=4, effort=500, count=2, seed=seed, instances=0, out=tmp_path,
               progress=False)
        for seed in (0, 3)
    ]  # fmt: skip
    at = [
        [[(v.objective, v.constants, v.comparisons) for v in entry.rows] for entry in r.checked]
        for r in found
    ]
    assert at[0] == at[1]
    assert {v.seed for v in found[1].verdicts} == {3}
    sampled = [[v.measured for v in r.checked[1].rows if v.evidence == "samples"] for r in found]
    assert sampled[0]
    assert sampled[0] != sampled[1]


def test_what_was_left_out_is_named(tmp_path: Path) -> None:
    report = verify([sngm.lemma_2], replicas=4, effort=500, count=1, instances=0, out=tmp_path,
                    progress=False)  # fmt: skip
    left, rows = report.checked[0].not_run, report.checked[0].rows
    ran = [v for v in rows if v.verdict != "not applicable"]
    assert len(ran) == 12
    assert left
    reasons = ("beyond the 12 objectives", "the statement speaks of no workers")
    assert all(v.reason.startswith(reasons) and v.objective != "-" for v in left)
    assert report.to_json()["results"][0]["not_run"][0]["objective"] == left[0].objective
    none = verify([sngm.lemma_2], budget=0, out=tmp_path / "none", progress=False).checked[0]
    assert {v.reason for v in none.not_run} >= {"the budget ran out"}
    assert all(v.objective != "-" for v in none.not_run)


@pytest.mark.slow
@pytest.mark.parametrize("statement", [lrsgd.theorem_4_9, sngm.eq_6], ids=lambda s: s.key)
def test_false_orders_are_refuted_by_the_closing_hunt(statement: Statement, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    report = verify([statement], effort=2e3, replicas=4, seed=7, out=tmp_path, progress=False)
    assert report.verdicts[0].verdict == "violated", report.verdicts[0]
