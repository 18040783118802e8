"""The parallel map: what fails is named and the rest goes on, here and on every backend."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from theorylab.engine import memory
from theorylab.errors import UsageError
from theorylab.plugins.code import code_of
from theorylab.plugins.store import Store
from theorylab.studies.compute import compute, title
from theorylab.studies.scale import Scale
from theorylab.studies.workers import Failure


def square(cell: Any) -> Any:
    return {"y": cell["x"] ** 2}


def fail_at_three(cell: Any) -> Any:
    if cell["x"] == 3:
        raise RuntimeError("stopped\nhere")
    return square(cell)


def refuse(cell: Any) -> Any:
    raise UsageError("there is no such thing")


def leave(cell: Any) -> Any:
    if cell["x"] == 3:
        raise SystemExit(0)
    return square(cell)


def die(cell: Any) -> Any:
    """Its worker is killed: always at 3; the first time at 1."""
    flag = Path(cell["folder"]) / "died"
    if cell["x"] == 3 or (cell["x"] == 1 and not flag.exists()):
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(cell)


def slow(cell: Any) -> Any:
    time.sleep(0.05)
    return square(cell)


CELLS = [{"kind": "square", "x": k, "seed": 0} for k in range(6)]
EXPECTED = [{"y": k**2} for k in range(6)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cell_that_raises_is_named_and_the_rest_goes_on(
    jobs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    found = compute(fail_at_three, CELLS, store, jobs=jobs, progress=False)
    assert list(found) == [*EXPECTED[:3], None, *EXPECTED[4:]]
    (lost,) = found.lost
    assert lost.cell == "square x=3, seed 0"
    assert lost.reason.startswith("RuntimeError: stopped here (tests/test_compute.py:")
    assert capsys.readouterr().err == f"failed: {lost.cell}: {lost.reason}\n"
    assert found.why(3) == f"it failed: {lost.reason}"
    assert store.get(CELLS[3], code_of(fail_at_three, CELLS[3])) is None  # tried again next time


def test_a_cell_that_exits_ends_nothing_else(tmp_path: Path) -> None:
    found = compute(leave, CELLS, Store(tmp_path), progress=False)
    assert list(found) == [*EXPECTED[:3], None, *EXPECTED[4:]]


def test_a_mistake_that_every_cell_shares_is_the_commands(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such thing"):
        compute(refuse, CELLS, Store(tmp_path), progress=False)


def test_a_killed_worker_costs_nothing_but_the_cell_that_kills_it(tmp_path: Path) -> None:
    cells = [{**cell, "folder": str(tmp_path)} for cell in CELLS]
    found = compute(die, cells, Store(tmp_path), jobs=2, progress=False)
    assert list(found) == [*EXPECTED[:3], None, *EXPECTED[4:]]
    assert list(found.failed) == [3]
    assert "its worker died twice" in found.lost[0].reason


def test_many_failures_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [{"x": 3, "seed": k} for k in range(8)]
    found = compute(fail_at_three, cells, Store(tmp_path), progress=False)
    assert len(found.lost) == 8
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 6
    assert said[-1] == "failed: 3 more, each named in the JSON"


def test_jobs_are_capped_at_the_cores_and_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("theorylab.studies.scale.joblib.cpu_count", lambda: 4)
    assert Scale(4).capped() == Scale(4)
    assert not capsys.readouterr().err
    assert Scale(10**9).capped() == Scale(4)
    assert capsys.readouterr().err == ("--jobs 1000000000: this machine has 4 cores; 4 workers\n")
    assert Scale(50, "slurm").capped().jobs == 50


def room(cell: Any) -> Any:
    return {"limit": memory.limit()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_workers_share_the_memory(tmp_path: Path, jobs: int) -> None:
    scale = Scale.asked(jobs, "local", None, "2G")
    found = compute(room, CELLS, Store(tmp_path), jobs=scale, progress=False)
    each = 2**31 if jobs == 1 else (2**31 - memory.LEAST) // 2
    assert {result["limit"] for result in found} == {each}
    assert memory.limit() != each  # of this process, outside
    # Results do not belong to it: a stored one counts whatever the memory is.
    again = compute(room, CELLS, Store(tmp_path), jobs=Scale.asked(1, "local", None, "4G"),
                    progress=False)  # fmt: skip
    assert list(again) == list(found)


def kept(cell: Any) -> Any:
    return gc.get_freeze_count()


def test_workers_look_for_cycles_in_what_they_make_alone(tmp_path: Path) -> None:
    found = compute(kept, [{"x": x} for x in range(8)], Store(tmp_path), jobs=2, progress=False)
    assert sum(count > 10_000 for count in found) >= 6  # from a worker's second cell on


def test_memory_too_small_for_the_workers_is_refused() -> None:
    with pytest.raises(UsageError, match="--memory 1G is too little for --jobs 2: each worker"):
        Scale.asked(2, "local", None, "1G")
    assert Scale.asked(50, "slurm", None, "1G").share() == 2**30


@pytest.mark.parametrize(("arguments", "said"), [
    ((0,), "--jobs must be an integer of at least 1"),
    ((1, "ray"), "--backend is one of local, dask, slurm"),
    ((1, "dask"), "needs --scheduler"),
    ((1, "local", "tcp://here:1"), "--scheduler goes with"),
])  # fmt: skip
def test_a_scale_that_cannot_be_is_refused(arguments: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Scale(*arguments)


def test_a_scheduler_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    for address in ("tcp://127.0.0.1:1", "nonsense://", "tcp://127.0.0.1:abc"):
        with pytest.raises(UsageError, match="no Dask scheduler at"):
            compute(square, CELLS, Store(tmp_path), jobs=Scale(1, "dask", address))


def test_parameters_that_slurm_does_not_know_are_one_line(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    for given in ("nonsense", "cluster=local,nonsense=3", "cluster=nowhere"):
        with pytest.raises(UsageError):
            compute(square, CELLS, Store(tmp_path), jobs=Scale(1, "slurm", given))


@pytest.mark.slow
def test_on_dask_with_one_of_two_workers_killed_results_are_the_same(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    cells = [{"x": k} for k in range(40)]
    plain = compute(slow, cells, Store(tmp_path / "one"), progress=False)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        victims = [worker.pid for worker in cluster.workers.values()]
        watched = Store(tmp_path / "two")
        put, kept = watched.put, []

        def counted(cell: Any, result: Any, code: str = "") -> None:
            put(cell, result, code)
            kept.append(cell["x"])
            if len(kept) == 5:
                os.kill(victims[0], signal.SIGKILL)

        watched.put = counted  # type: ignore[method-assign]
        spread = compute(slow, cells, watched, progress=False,
                         jobs=Scale(1, "dask", cluster.scheduler_address))  # fmt: skip
    assert list(spread) == list(plain)
    assert sorted(kept) == list(range(40))  # none stored twice
    assert not spread.lost


@pytest.fixture
def submitit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are processes of their own: they must find this file."""
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.mark.slow
def test_under_submitit_results_are_the_same(tmp_path: Path, submitit: None) -> None:
    scale = Scale(2, "slurm", "cluster=local")
    found = compute(fail_at_three, CELLS, Store(tmp_path / "one"), progress=False)
    spread = compute(fail_at_three, CELLS, Store(tmp_path / "two"), jobs=scale, progress=False)
    assert list(spread) == list(found)
    assert list(spread.failed) == [3]
    names = [sorted(p.name for p in (tmp_path / d / "cells").iterdir()) for d in ("one", "two")]
    assert names[0] == names[1]


@pytest.mark.slow
def test_a_slurm_job_that_dies_loses_one_cell(tmp_path: Path, submitit: None) -> None:
    cells = [{**cell, "folder": str(tmp_path)} for cell in CELLS]
    (tmp_path / "died").touch()
    found = compute(die, cells, Store(tmp_path), jobs=Scale(1, "slurm", "cluster=local"),
                    progress=False)  # fmt: skip
    assert list(found) == [*EXPECTED[:3], None, *EXPECTED[4:]]


def timed_out(cell: Any) -> Any:
    from submitit.core.utils import UncompletedJobError

    if cell["x"] == 2:
        raise UncompletedJobError("Job not requeued because: timed-out and not checkpointable.")
    return square(cell)


def test_a_job_whose_time_is_up_leaves_the_rest_to_another(tmp_path: Path) -> None:
    """What a scheduler's signal raises is not the failure of the cell at which it came."""
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    from theorylab.studies.workers import Task, _share

    task = Task(timed_out, CELLS, [code_of(timed_out, cell) for cell in CELLS])
    told = _share(task, str(tmp_path), 1)
    assert told.cut
    assert not told.failed
    store = Store(tmp_path)
    found = [store.get(*pair) for pair in zip(CELLS, task.codes, strict=True)]
    assert found == [*EXPECTED[:2], None, None, None, None]


def test_a_worker_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from theorylab.studies.workers import Task

    task = Task(square, CELLS, ["another"] * len(CELLS))
    assert task.run(0) == {"y": 0}
    assert task.run(0, elsewhere=True) == Failure(
        "the worker runs another version of the code or its libraries"
    )


def test_titles_name_the_cell() -> None:
    cell = {"settings": {"model": "lenet", "optimizer": "sgd", "seed": 4, "lr": 0.1}}
    assert title(cell) == "lenet sgd lr=0.1, seed 4"
    assert title({"anything": [1]}) == "a cell"


def test_verify_names_a_check_that_fails_and_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from theorylab.cli import build
    from theorylab.studies import verify as module

    real = module.check

    def fails(statement: Any, *arguments: Any, **options: Any) -> Any:
        if statement.key == "sngm.lemma_2":
            raise RuntimeError("a bug")
        return real(statement, *arguments, **options)

    monkeypatch.setattr(module, "check", fails)
    arguments = (
        "verify sngm.lemma_2 sngm.theorem_1 --form printed --objective quadratic --instances 0 "
        f"--replicas 16 --out {tmp_path}"
    )
    done = CliRunner().invoke(build(), arguments.split())
    assert done.exit_code == 1
    assert "failed: check sngm.lemma_2 printed on quadratic" in done.stderr
    assert "RuntimeError: a bug" in done.stderr
    assert "theorem_1" in done.stdout
    rows = {
        row["key"]: row for row in json.loads((tmp_path / "results.json").read_text())["results"]
    }
    assert rows["sngm.theorem_1"]["comparisons"] > 0
    assert "it failed: RuntimeError: a bug" in rows["sngm.lemma_2"]["not_run"][0]["reason"]


def test_every_claim_of_the_page_on_determinism_names_a_test() -> None:
    here = Path(__file__).parent
    page = (here.parent / "docs" / "determinism.md").read_text()
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", page)
    assert len(named) > 10
    for file, test in named:
        assert f"def {test}(" in (here / file).read_text(), f"{file}::{test}"
