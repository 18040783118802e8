"""SIGINT and SIGTERM: a prompt stop, one line, the right exit code, no worker left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SAID = "interrupted; finished work is kept, run the same command to go on\n"

# A command whose work never ends, in this process or in workers; it says when it is at work.
WORK = """
import sys, time
from pathlib import Path
import theorylab.cli
from theorylab.plugins.store import Store
from theorylab.studies.compute import compute

def cell(c):
    Path(c["folder"], f"begun-{c['x']}").touch()
    if c["x"] == 0:
        return 0
    if c["stubborn"]:
        try:
            time.sleep(60)
        finally:
            while True:
                time.sleep(60)  # code that swallows the interruption
    while True:
        time.sleep(0.01)

def run():
    folder, jobs, stubborn = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "stubborn"
    cells = [{"x": x, "folder": folder, "stubborn": stubborn} for x in range(4)]
    compute(cell, cells, Store(folder), jobs=jobs, progress=False)

theorylab.cli.main = run
from theorylab.__main__ import main
main()
"""


def waited(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it wrote; its pipes are closed, so that no worker holds them."""
    return process.communicate(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("jobs", "how"), [(1, "plain"), (1, "stubborn"), (2, "plain")])
def test_at_work_a_signal_stops_it_and_keeps_what_is_finished(
    number: signal.Signals, jobs: int, how: str, tmp_path: Path
) -> None:
    script = tmp_path / "work.py"
    script.write_text(WORK)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), str(jobs), how], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    while not ((tmp_path / "begun-1").exists() and [*(tmp_path / "cells").glob("*.json")]):
        assert process.poll() is None, waited(process)
        time.sleep(0.02)
    process.send_signal(number)
    out, err = waited(process)
    assert (process.returncode, out, err) == (128 + number, "", SAID)
    assert len(list((tmp_path / "cells").glob("*.json"))) == 1


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(WORK)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), "2", "plain"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "begun-2").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    waited(process)  # ends only when every holder of the pipes has ended
    assert process.returncode == -signal.SIGKILL


# Sends itself the signal at the n-th import, wherever that is: no clock decides.
EARLY = """
import os, sys
number, at = int(sys.argv[1]), int(sys.argv[2])
sys.argv = ["theorylab", "units", "--json"]
seen = 0

class Now:
    def find_spec(self, name, path=None, target=None):
        global seen
        seen += 1
        if seen == at:
            os.kill(os.getpid(), number)

from theorylab.__main__ import main
sys.meta_path.insert(0, Now())
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [1, 20, 150, 400])
def test_while_it_starts_a_signal_is_no_traceback(number: signal.Signals, at: int) -> None:
    done = subprocess.run([sys.executable, "-c", EARLY, str(int(number)), str(at)],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", SAID)


def test_a_signal_that_the_parent_ignores_stays_ignored() -> None:
    code = """
import signal, os
signal.signal(signal.SIGINT, signal.SIG_IGN)
from theorylab.interrupts import Interrupts
Interrupts().install()
os.kill(os.getpid(), signal.SIGINT)
print("on")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "on\n"
