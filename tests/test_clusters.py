"""Real studies on two Dask workers and under submitit, one worker killed in the middle."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from killing import results, timeless

from theorylab.plugins.store import Store
from theorylab.studies.scale import Scale
from theorylab.studies.selection import select
from theorylab.studies.stability import stability
from theorylab.studies.verify import verify

TWINS = {"family": "stability_twins", "parameters": {"n": 10}}


def checks(folder: Path, jobs: int | Scale) -> Any:
    chosen = select(["sngm.lemma_1", "sngm.lemma_2", "sngm.theorem_1"], None, "both")
    return verify(chosen, replicas=8, effort=2000, count=2, instances=2, jobs=jobs, out=folder,
                  progress=False)  # fmt: skip


def twins(folder: Path, jobs: int | Scale) -> Any:
    return stability(["sgd", "lrsgd_r"], TWINS, horizons=[4, 6, 8], multipliers=[0.25, 0.5],
                     pairs=2, seeds=8, jobs=jobs, out=folder, progress=False)  # fmt: skip


STUDIES = {"verify": checks, "stability": twins}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found = {}
    for name, study in STUDIES.items():
        folder = tmp_path_factory.mktemp(name)
        report = timeless(study(folder, 1).to_json())
        found[name] = report, results(folder)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_on_two_dask_workers_one_of_them_killed(
    name: str, undisturbed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    put, stored, killed = Store.put, [], []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        victims = [worker.pid for worker in cluster.workers.values()]

        def counted(self: Store, cell: Any, result: Any, code: str = "") -> None:
            put(self, cell, result, code)
            stored.append(self.path(cell, code).name)
            if len(stored) == 5:
                os.kill(victims[0], signal.SIGKILL)
                killed.append(victims[0])

        monkeypatch.setattr(Store, "put", counted)
        report = STUDIES[name](tmp_path, Scale(1, "dask", cluster.scheduler_address))
    assert len(killed) == 1
    assert not report.lost
    expected, cells = undisturbed[name]
    assert timeless(report.to_json()) == expected
    assert results(tmp_path) == cells
    assert sorted(stored) == sorted(cells)  # none twice
    print(f"{name}: {len(cells)} cells on two Dask workers, one killed: the same, none twice")


@contextlib.contextmanager
def a_job_killed(folder: Path, after: int) -> Iterator[list[int]]:
    """SIGKILL one of submitit's jobs once so many cells are stored."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02) and not killed:
            if len(list((folder / "cells").glob("*.json"))) < after:
                continue
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    said = place.read_bytes()
                    if b"submitit.core._submit" in said and str(folder).encode() in said:
                        os.kill(int(place.parent.name), signal.SIGKILL)
                        killed.append(int(place.parent.name))
                        break

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="jobs are found in /proc")
@pytest.mark.parametrize("name", STUDIES)
def test_under_submitit_with_a_job_killed(name: str, undisturbed: Any, tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    scale = Scale(2, "slurm", "cluster=local,timeout_min=120")
    with a_job_killed(tmp_path, 3) as killed:
        first = STUDIES[name](tmp_path, scale)
    assert len(killed) == 1
    assert not first.lost  # another job took over
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cells").glob("*.json")}
    report = STUDIES[name](tmp_path, scale)
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cells").glob("*.json")}
    expected, cells = undisturbed[name]
    assert timeless(report.to_json()) == expected
    assert results(tmp_path) == cells
    assert {n: after[n] for n in before} == before
    assert timeless(first.to_json()) == expected
    print(f"{name}: {len(cells)} cells under submitit, a job killed: the same, none twice")
