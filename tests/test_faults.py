"""Many writers of one store, a clock that jumps, memory that runs out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import shared_store

from theorylab.plugins.code import code_of
from theorylab.plugins.files import clear_leftovers
from theorylab.plugins.store import Store, read_cell
from theorylab.studies.compute import compute
from theorylab.studies.results import prune


@pytest.mark.parametrize(
    ("writers", "seconds"), [(2, 1.0), pytest.param(8, 60.0, marks=pytest.mark.slow)]
)
def test_many_processes_write_one_store(writers: int, seconds: float, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, shared_store.__file__, str(tmp_path), str(k),
                          str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for k in range(writers)
    ]  # fmt: skip
    total = Counter[str]()
    for process in processes:
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")  # nothing damaged was met
        total.update({k: int(v) for k, v in (part.split("=") for part in out.split())})
    assert total["wrong"] == 0
    assert total["puts"] > 0
    files = sorted((tmp_path / "cells").iterdir())
    assert all(re.fullmatch(r"[0-9a-f]{32}\.json", path.name) for path in files)  # none torn
    for path in files:
        kept = read_cell(path)
        assert kept.result == shared_store.result_of(kept.cell["x"])
    print(f"{writers} writers, {seconds:g} s: {dict(total)}, {len(files)} cells, none lost or torn")


def square(cell: Any) -> Any:
    return cell["x"] ** 2


def test_a_clock_that_jumps_ends_no_sweep_and_removes_no_writers_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget is of a clock that does not jump; a file's age is by the clock of its folder."""
    store = Store(tmp_path)
    theirs = tmp_path / "cells" / ".elsewhere.7.abc.tmp"  # another machine's, at work
    theirs.write_text("half")
    now = time.time
    for jump in (365 * 86_400.0, -365 * 86_400.0):
        monkeypatch.setattr(time, "time", lambda jump=jump: now() + jump)
        cells = [{"x": k, "jump": jump} for k in range(3)]
        found = compute(square, cells, store, budget=3600.0, progress=False)
        assert list(found) == [0, 1, 4]
        assert clear_leftovers(tmp_path / "cells") == 0
    assert theirs.exists()
    os.utime(theirs, (now() - 2 * 86_400.0,) * 2)
    monkeypatch.undo()
    assert clear_leftovers(tmp_path / "cells") == 1


def at_which_it_was_killed(store: Store, cell: Any) -> Path:
    """As a run that was killed at the cell leaves it: no process has this number."""
    with store.at_work(cell, code_of(square, cell)):
        (mark,) = (store.root / "cells").glob(f".*.{os.getpid()}.*.work")
        left = mark.with_name(mark.name.replace(f".{os.getpid()}.", ".99999999."))
        left.touch()
    return left


def test_a_cell_at_which_a_run_was_killed_is_named_and_comes_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody who is killed, out of memory say, can say at what."""
    store, cells = Store(tmp_path), [{"kind": "cell", "x": k} for k in range(4)]
    left = at_which_it_was_killed(store, cells[1])
    another = at_which_it_was_killed(store, {"kind": "cell", "x": 9})
    assert list(compute(square, cells, store, budget=0.0, progress=False)) == [None] * 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("cell x=1 was being computed when a run was killed")
    assert not left.exists()
    assert another.exists()  # another command's
    at_which_it_was_killed(store, cells[1])
    order: list[float] = []
    put = Store.put
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Store, "put", lambda *a: (order.append(a[1]["x"]), put(*a)))
        assert list(compute(square, cells, store, progress=False)) == [0, 1, 4, 9]
    assert order == [0, 2, 3, 1]
    assert [p for p in (tmp_path / "cells").iterdir() if p.suffix == ".work"] == [another]
    assert prune(tmp_path) == (f"cells/{another.name}",)


# A cell that takes its process with it, as the system does where memory runs out.
KILLED = """
import os, signal, sys
from theorylab.plugins.store import Store
from theorylab.studies.compute import compute

def cell(c):
    if c["x"] == 1 and sys.argv[2] == "greedy":
        os.kill(os.getpid(), signal.SIGKILL)
    return c["x"]

if __name__ == "__main__":
    cells = [{"kind": "cell", "x": x} for x in range(4)]
    print(list(compute(cell, cells, Store(sys.argv[1]), progress=False)))
"""


@pytest.mark.slow
def test_a_process_that_is_killed_is_followed_by_one_that_names_the_cell(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    said = []
    for how in ("greedy", "greedy", "modest"):
        done = subprocess.run([sys.executable, str(script), str(tmp_path / "out"), how],
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == (0 if how == "modest" else -9)
        said.append(done.stderr)
    assert said[0] == ""
    assert all(line.startswith("cell x=1 was being computed") for line in said[1:])
    assert done.stdout == "[0, 1, 2, 3]\n"
    assert len(list((tmp_path / "out" / "cells").glob("*.json"))) == 4


@pytest.mark.slow
def test_two_trainings_in_one_folder_disturb_neither(tmp_path: Path) -> None:
    """They deleted each other's temporary files once."""
    line = [sys.executable, "-m", "theorylab", "train", "--model", "two_conv", "--train-samples",
            "64", "--batch-size", "16", "--steps", "40", "--device", "cpu", "--checkpoint-every",
            "0", "--out", "out"]  # fmt: skip
    both = [subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
            for _ in range(2)]  # fmt: skip
    for process in both:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    kept = json.loads((tmp_path / "out" / "results.json").read_bytes())
    assert kept["provenance"]["threads"] == 1
    assert kept["arms"]["msgd"]["history"][0][-1]["steps"] == 40
    assert [p for p in tmp_path.rglob("*") if p.suffix in (".tmp", ".work")] == []


# Cells of which one asks for more than there is: as numpy, torch and Python ask for it.
MEMORY = """
import json, resource, sys
from pathlib import Path
import numpy as np, torch
from theorylab.plugins.store import Store
from theorylab.studies.compute import compute

GREED = {1: lambda: np.ones(2**33), 3: lambda: torch.ones(2**33), 5: lambda: [0] * 2**34}

def cell(c):
    limit = 8 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return len(GREED[c["x"]]()) if c["x"] in GREED else float(np.ones(1000).sum())

if __name__ == "__main__":
    cells = [{"kind": "cell", "x": x} for x in range(7)]
    found = compute(cell, cells, Store(sys.argv[1]), jobs=int(sys.argv[2]), progress=False)
    print(json.dumps([list(found), sorted(found.failed)]))
"""


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_where_memory_runs_out_the_cell_is_named_and_the_sweep_goes_on(
    jobs: int, tmp_path: Path
) -> None:
    script = tmp_path / "greed.py"
    script.write_text(MEMORY)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(jobs)], capture_output=True, text=True,
        check=True, env=os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert json.loads(done.stdout) == [[1000, None, 1000, None, 1000, None, 1000], [1, 3, 5]]
    said = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in said] == [f"cell x={x}" for x in (1, 3, 5)]
    assert all("memory" in line.lower() for line in said), said
