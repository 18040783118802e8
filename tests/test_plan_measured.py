"""What ``theorylab plan`` estimates, and what is then measured, in processor time of fresh runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# The clock of estimates is the processor's: the machine may be busy. Of a run its cells count, for
# a plan speaks of them: it leaves out the seconds of the start, and of drawing.
SCRIPT = """
import json, resource, sys, time
from types import SimpleNamespace
what, *line = sys.argv[1:]
clock = SimpleNamespace(monotonic=time.process_time, perf_counter=time.process_time)
from theorylab.studies import planning
planning.time = clock
import deep.trial
deep.trial.time = clock
if what == "run":
    import atexit
    from theorylab.studies import workers
    from deep.training import Trainer
    inside, spent = [], []
    def counting(real):
        def counted(*arguments, **options):
            begun = time.process_time()
            inside.append(real)
            try:
                return real(*arguments, **options)
            finally:
                inside.pop()
                if not inside:  # a cell may train
                    spent.append(time.process_time() - begun)
        return counted
    workers.Task.run = counting(workers.Task.run)
    Trainer.run = counting(Trainer.run)
    @atexit.register
    def told():
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([sum(spent), peak]), file=sys.stderr)
else:
    line = ["plan", "--seconds", "10" if "verify" in line else "1", "--json", *line]
sys.argv = ["theorylab", *line]
from theorylab.cli import main
main()
"""
DOZEN = (
    "sngm.theorem_1 sngm.lemma_1 sngm.lemma_2 sngm.table_1_msgd tralgo.theorem_1 tralgo.descent "
    "lrsgd.theorem_3_4 lrsgd.theorem_4_9 lrsgd.remark_3_2 hardt_recht_singer.theorem_3_8 "
    "saga.corollary_1 svrg.theorem_3_1"
)
LINES = {
    "a dozen statements": f"verify {DOZEN}",
    "hunts": "falsify sngm.theorem_1 sngm.lemma_1 tralgo.descent lrsgd.remark_3_2 --instances 40",
    "twins": "stability --rule sgd,lrsgd_r --steps 50,100,200,400 --pairs 4 --seeds 256",
    "training": "train --data digits --model two_conv --epochs 6 --device cpu",
    "rounds": "train --data digits --optimizer lrsgd_r --epochs 8 --device cpu",
    "curves": "figure sngm.theorem_1 --axis T --replicas 512",
    "arms": "compare --data digits --share 0.05 --batch-sizes 16,64 --seeds 1 --no-gamma",
    "exhibit": "figure sngm.figure_1 --preset smoke --device cpu",
}


def ended(what: str, line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, what, *line.split()], cwd=folder, text=True, check=True,
        capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted as Linux does")
@pytest.mark.parametrize("name", LINES)
def test_a_plan_lies_within_a_factor_of_two(name: str, tmp_path: Path) -> None:
    plan = json.loads(ended("plan", LINES[name], tmp_path / "plan").stdout)
    seconds, peak = json.loads(ended("run", LINES[name], tmp_path / "run").stderr.splitlines()[-1])
    tried = sum(stage["tried"] for stage in plan["stages"])
    print(f"{name}: planned {plan['seconds']:.1f} s and {plan['memory'] / 2**20:.0f} MiB from "
          f"{tried} of {len(plan['cells'])} cells; measured {seconds:.1f} s and "
          f"{peak / 2**20:.0f} MiB")  # fmt: skip
    assert seconds / 2 <= plan["seconds"] <= 2 * seconds
    assert peak / 2 <= plan["memory"] <= 2 * peak
