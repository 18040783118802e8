"""What docs/determinism.md says of runs, compiled or not, and of a whole study: bit for bit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import synthetic
from theorylab import run
from theorylab.engine import streams
from theorylab.method import MSGD, SGD, SNGM, SVRG

compiler = pytest.mark.skipif(shutil.which(os.environ.get("CC", "cc")) is None,
                              reason="there is no C compiler")  # fmt: skip
RULES = {
    "sgd": SGD(eta=0.1), "sngm": SNGM(eta=0.1, beta=0.9), "momentum": MSGD(eta=0.1, beta=0.9),
    "svrg": SVRG(eta=0.05, S=7),
}  # fmt: skip


@pytest.fixture
def threads() -> Iterator[Any]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=compiler)])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_chunks_replicas_draws_and_threads_do_not_show(
    rule: Any, compile: bool, threads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither rows at once, nor steps drawn at once, nor how many threads draw and step."""
    objective = synthetic.robust_regression(n=40, dim=5)
    monkeypatch.setattr(streams, "_PARALLEL", 0)  # a second thread whatever the size

    def iterates(number: int, replicas: int = 700, **options: Any) -> Any:
        threads(number)
        return run(objective, rule, 25, 4, replicas=replicas, record=("w", "value"),
                   at=[0, 3, 25], compile=compile, **options)  # fmt: skip

    whole, again = iterates(1), [iterates(1, chunk=1)]
    monkeypatch.setattr("theorylab.engine.chunks.DRAW_BYTES", 1)
    again.append(iterates(1))
    for other in again:
        for name in ("w", "value"):
            np.testing.assert_array_equal(other[name], whole[name])
    few = iterates(1, replicas=6)
    np.testing.assert_array_equal(few["value"], whole["value"][:, :6])
    # Torch's sums over all data, of which SVRG's steps are made, are another matter: see the page.
    for number in () if isinstance(rule, SVRG) and not compile else (2, 3):
        np.testing.assert_array_equal(iterates(number)["w"], whole["w"])


# A check, a hunt and a run, as one digest of their bits.
DIGEST = """
import hashlib, json, sys, tempfile
import synthetic
from theorylab import run
from theorylab.method import SNGM
from theorylab.studies.falsify import falsify
from theorylab.studies.selection import select
from theorylab.studies.verify import verify

def plain(table):
    if isinstance(table, dict):
        return {k: plain(v) for k, v in table.items() if k not in ("seconds", "provenance")}
    return [plain(v) for v in table] if isinstance(table, list) else table

chosen = select(["sngm.lemma_1", "sngm.lemma_2"], None, "both")
given = {"progress": False, "out": tempfile.mkdtemp()}
parts = [verify(chosen, replicas=8, effort=2000, count=2, instances=2, **given).to_json(),
         falsify(chosen, limit=3, **given).to_json()]
rule, objective = SNGM(eta=0.1, beta=0.9), synthetic.robust_regression(n=40, dim=5)
steps = [run(objective, rule, 200, 8, replicas=300, record=("value",), compile=compile)["value"]
         for compile in ((False, True) if sys.argv[1] == "both" else (False,))]
text = json.dumps([plain(part) for part in parts], sort_keys=True).encode()
print(hashlib.sha256(text + b"".join(x.tobytes() for x in steps)).hexdigest())
"""


def test_hash_seed_threads_and_a_fresh_kernel_folder_do_not_show(tmp_path: Path) -> None:
    which = "both" if shutil.which(os.environ.get("CC", "cc")) else "eager"
    found = set()
    for seed, number in (("0", "1"), ("12345", "2")):
        environment = os.environ | {
            "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": number,
            "XDG_CACHE_HOME": str(tmp_path / seed),
        }  # fmt: skip
        done = subprocess.run([sys.executable, "-c", DIGEST, which], capture_output=True, text=True,
                              check=True, env=environment)  # fmt: skip
        found.add(done.stdout)
    assert len(found) == 1
