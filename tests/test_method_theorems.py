"""A known theorem of every method is never violated; its false neighbour always is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bounds.methods import FALSE_NEIGHBOURS, STATEMENTS
from bounds.statement import Statement
from theorylab.judge.verdict import Verdict
from theorylab.studies.verify import verify

# What stands for the truth: the repaired form where the source's own is false.
_REPAIRED = {s.key for s in STATEMENTS if s.form == "repaired"}
TRUE = [s for s in STATEMENTS if s.form == "repaired" or s.key not in _REPAIRED]
LIMIT = 300
"""Instances that the closing hunt may try: under 30 s on an idle core."""

true_forms = pytest.mark.parametrize("statement", TRUE, ids=lambda s: s.key)
false_neighbours = pytest.mark.parametrize("statement", FALSE_NEIGHBOURS, ids=lambda s: s.key)


def _verified(statement: Statement, seed: int, instances: int, out: Path) -> Verdict:
    report = verify(
        [statement], form="printed", seed=seed, instances=instances, out=out, progress=False
    )
    return report.verdicts[0]


def _stands(statement: Statement, seed: int, out: Path) -> None:
    found = _verified(statement, seed, LIMIT // 10, out)
    assert found.verdict in ("holds", "not refuted"), found


def _falls(statement: Statement, seed: int, out: Path) -> None:
    found = _verified(statement, seed, LIMIT, out)
    assert found.verdict == "violated", found


def test_every_false_neighbour_stands_beside_a_true_form() -> None:
    assert {s.paper for s in FALSE_NEIGHBOURS} == {s.paper for s in TRUE}
    assert not {s.key for s in FALSE_NEIGHBOURS} & {s.key for s in STATEMENTS}
    assert all(s.note.strip() for s in FALSE_NEIGHBOURS)


@true_forms
def test_the_true_form_stands(statement: Statement, tmp_path: Path) -> None:
    _stands(statement, 0, tmp_path)


@false_neighbours
def test_the_false_neighbour_falls(statement: Statement, tmp_path: Path) -> None:
    _falls(statement, 0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 10))
@true_forms
def test_the_true_form_stands_at_every_seed(
    statement: Statement, seed: int, tmp_path: Path
) -> None:
    _stands(statement, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 10))
@false_neighbours
def test_the_false_neighbour_falls_at_every_seed(
    statement: Statement, seed: int, tmp_path: Path
) -> None:
    _falls(statement, seed, tmp_path)
