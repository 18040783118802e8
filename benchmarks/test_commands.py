"""What a user waits for: the import, help, completion, the list of statements, and checks.

Each of the first starts a process of its own. ``cpu_seconds`` is what one takes of a core, which
another load on the machine changes less than the time; ``cpu_ms_per_check`` likewise, of the checks
of a small fixed set of statements on the default objectives. Run with ``make bench``, which keeps
the results of each machine and shows them beside the last ones.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from theorylab.studies.selection import select
from theorylab.studies.verify import verify

CALL = "import sys; sys.argv[0] = 'theorylab'; from theorylab.cli import main; main()"
KEYS = [
    "sngm.lemma_2", "sngm.theorem_1", "tralgo.lemma_2", "tralgo.theorem_1", "lrsgd.lemma_3_1",
    "lrsgd.theorem_4_9", "stochastic_batch_size.eq_18_mean", "svrg",
]  # fmt: skip


def cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(("program", "arguments", "completing"), [
    ("import theorylab", (), ""),
    ("import theorylab; theorylab.run", (), ""),
    (CALL, ("--help",), ""),
    (CALL, (), "theorylab ver"),
    (CALL, (), "theorylab verify sngm.th"),
    (CALL, ("verify", "--help"), ""),
    (CALL, ("statements",), ""),
], ids=[
    "import", "import and run", "help", "tab", "tab on a key", "verify help", "statements",
])  # fmt: skip
def test_start(benchmark: Any, program: str, arguments: tuple[str, ...], completing: str) -> None:
    environment = dict(os.environ)
    if completing:
        words = completing.split(" ")
        environment |= {"_THEORYLAB_COMPLETE": "complete_bash", "COMP_WORDS": completing,
                        "COMP_CWORD": str(len(words) - 1)}  # fmt: skip

    def start() -> None:
        subprocess.run([sys.executable, "-c", program, *arguments], env=environment, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip

    start()  # the first reads files that the others find in memory
    before, rounds = cpu(resource.RUSAGE_CHILDREN), 5
    benchmark.pedantic(start, rounds=rounds)
    benchmark.extra_info["cpu_seconds"] = (cpu(resource.RUSAGE_CHILDREN) - before) / rounds


@pytest.mark.parametrize("instances", [0, 20], ids=["checks", "checks and hunts"])
def test_verify(benchmark: Any, tmp_path: Path, instances: int) -> None:
    statements = select(KEYS, None, "both")
    taken: list[float] = []

    def check() -> None:
        before = cpu(resource.RUSAGE_SELF)
        # A folder of its own each time: nothing is found in the store.
        report = verify(statements, instances=instances, out=tmp_path / str(len(taken)),
                        progress=False)  # fmt: skip
        rows = [v for entry in report.checked for v in entry.rows]
        count = sum(v.verdict != "not applicable" for v in rows)
        taken.append((cpu(resource.RUSAGE_SELF) - before) / count)

    benchmark.pedantic(check, rounds=3)
    benchmark.extra_info["cpu_ms_per_check"] = 1e3 * statistics.median(taken)
