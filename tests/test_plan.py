"""``theorylab plan``: a command's cells, what is stored of them, and what the rest would take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fuzzing import run

from theorylab.plugins.store import Store
from theorylab.studies.compute import compute
from theorylab.studies.planning import Planned, end_of_plan, plan_only, planner

TINY = "--model two_conv --batch-size 8 --steps 2 --evaluations 1 --train-samples 32 --device cpu"
PLANNED = {
    "verify sngm.lemma_2 --objective quadratic --replicas 4 --instances 1": {
        "checking": 4, "checking further": 0, "hunting": 1,
    },
    "falsify sngm.lemma_2 sngm.theorem_1 --form printed --instances 2": {"hunting": 2},
    "falsify sngm.lemma_2 --form printed --budget 60": {"hunting": 1},
    "power sngm.lemma_2 --budget 30 --seeds 2": {"mutants": 1, "false alarms": 2},
    "stability --rule sgd --steps 2,4 --pairs 1 --seeds 8": {"twins": 2},
    f"train {TINY} --seeds 3": {"training": 3},
    "compare --data digits --share 0.01 --batch-sizes 64 --seeds 2 --no-gamma": {"comparing": 12},
    "figure sngm.table_2 --preset smoke --device cpu": {
        "sngm.table_2 (1/1) (tuning)": 8, "sngm.table_2 (1/1)": 22,
    },
}  # fmt: skip


def planned(line: str, seconds: float = 0.0) -> dict[str, Any]:
    ended = run(["plan", "--seconds", str(seconds), "--json", *line.split()], 120.0)
    assert ended.code == 0, ended
    found: dict[str, Any] = json.loads(ended.out)
    return found


@pytest.mark.parametrize("line", PLANNED)
def test_cells_are_listed_and_nothing_but_the_trials_is_computed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = planned(line)
    wanted = PLANNED[line]
    counts = {stage["label"]: stage["cells"] for stage in plan["stages"]}
    assert {name: counts[name] for name in wanted} == wanted
    assert len(plan["cells"]) == sum(counts.values())
    assert plan["seconds"] > 0
    assert plan["memory"] > 2**20
    tried = sum(stage["tried"] for stage in plan["stages"])
    stored = list(tmp_path.rglob("cells/*.json"))
    assert len(stored) <= tried <= len(plan["stages"])
    assert not list(tmp_path.rglob("results.json"))
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("line", [
    "verify sngm.lemma_2 --objective quadratic --replicas 4 --instances 0", f"train {TINY}",
])  # fmt: skip
def test_what_is_stored_is_told_apart(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(line.split(), 120.0).code == 0
    plan = planned(line)
    assert all(cell["cached"] for cell in plan["cells"])
    assert [stage["tried"] for stage in plan["stages"]] == [0] * len(plan["stages"])
    assert plan["seconds"] == 0


def test_a_figure_of_two_statements_has_the_cells_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = planned("figure sngm.theorem_1 hardt_recht_singer.theorem_3_8 --replicas 2")
    keys = {stage["label"].split()[0] for stage in plan["stages"]}
    assert keys == {"sngm.theorem_1", "hardt_recht_singer.theorem_3_8"}
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".pdf", ".svg")]


def test_seconds_of_a_hunt_are_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = planned("falsify sngm.lemma_2 sngm.lemma_1 --form printed --budget 100 --jobs 2")
    assert plan["seconds"] == pytest.approx(100.0)
    assert plan["workers"] == 2


def test_words_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = "falsify sngm.lemma_2 --form printed --budget 100"
    ended = run(["plan", "--cells", *line.split()], 60.0)
    assert ended.code == 0
    assert f"theorylab {line}" in ended.out
    assert "hunting: hunt sngm.lemma_2 printed, seed 0: to do" in ended.out
    assert "about 1 min 40 s on 1 worker" in ended.out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("plan units", "are split into cells, got 'units'"),
        ("plan verify no.such_key", "unknown"),
        ("plan figure --list", "nothing that is split into cells"),
        (f"plan train {TINY} --twins 1", "are not split into cells"),
        ("plan verify --jobs x", "jobs"),
    ],
)
def test_what_has_no_plan_is_refused(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run(line.split())
    assert ended.code == 2
    assert said in ended.err


def pause(cell: Mapping[str, Any]) -> int:
    """Work of a known size: so many steps."""
    STEPS.append(cell["x"])
    return int(cell["x"])


STEPS: list[int] = []


def test_an_estimate_is_the_mean_of_what_was_tried(tmp_path: Path) -> None:
    STEPS.clear()
    cells = [{"x": x} for x in range(50)]
    with plan_only() as asked:
        compute(pause, cells, Store(tmp_path), jobs=5, progress=False)
        end_of_plan()
    assert planner() is None
    plan = asked.plan("pauses", seconds=60.0)
    (stage,) = plan
    assert sorted(STEPS) == list(range(50))  # there was time to try all
    assert stage.tried == 50
    assert plan.workers == 5
    assert stage.seconds is not None
    assert plan.seconds == pytest.approx(stage.seconds / 5)
    before = len(STEPS)
    found = compute(pause, cells, Store(tmp_path), progress=False)
    assert list(found) == list(range(50))
    assert len(STEPS) == before  # what was tried is stored


def test_the_end_of_a_plan_is_no_error_of_the_study() -> None:
    end_of_plan()
    with plan_only(), pytest.raises(Planned):
        end_of_plan()
