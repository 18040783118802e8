"""An option or a value that nothing would read is refused in a line, and never dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import run

REFUSED = {
    "figure sngm.theorem_1 --preset paper": "only exhibits take --preset; sngm.theorem_1 is a st",
    "figure sngm.figure_1 --set eta=1 --replicas 8": "only statements take --set, --replicas; sngm",
    "figure --formats png": "only exhibits take --formats; a paper's main rate is a statement",
    "figure sngm.theorem_1 --axis T --set T=3": "T is what is varied, and held at 3",
    "figure sngm.theorem_1 --set dof=3": "quadratic reads dof with noise=student_t alone",
    "figure sngm.theorem_1 --set T=3,T=4": "--set takes each name once, got T twice",
    "verify --objective quadratic --set rarity=0.2": "quadratic reads rarity with noise=rare alone",
    "verify --objective constrained_quadratic --set rarity=0.2": "with noise=rare alone",
    "falsify --data diabetes --set seed=3": "data reads seed with n=ROWS alone",
    "worst-case sngm.theorem_1 --set eta=1 --set eta=2": "--set takes each name once, got eta",
    "worst-case sngm.lemma_2 --hunt 0": "sngm.lemma_2: no semidefinite model of buffer_norm",
    "train --momentum 0.5 --set momentum=0.6": "momentum is given already, as 0.5",
    "train --steps 2 --epochs 3": "--steps takes the place of --epochs",
    "train --warmup-from 0.1": "--warmup-from is where a --warmup rises from",
    "train --optimizer lrsgd_c --lam 1 --lam-over-lr 1": "--lam-over-lr sets lam at every step",
    "train --twins 2 --threshold 1": "leave out --arms, --tune, --seeds, --jobs, --threshold",
    "train --threshold nan": "threshold must be finite, got nan",
    "train --cuda-graphs --device cpu": "--cuda-graphs needs a CUDA device, not cpu",
    "stability --rule sgd --theta 0.5": "--theta sets theta, which sgd has not",
    "stability --rule sgd,lrsgd_r --inner 5": "--inner sets S, which sgd, lrsgd_r has not",
    "worst-case sngm.theorem_1 --set T=1.5": "--set T: must be in {1, 2, ...}, got 1.5",
    "figure sngm.theorem_1 --set beta=2": "sngm.theorem_1: beta must be in [0, 1), got 2",
    "rules --then": "--then stands between two commands",
    "rules --then --then symbols": "--then stands between two commands",
    "train --network scale=1 --network scale=2": "scale is given already, as 1",
    "verify zzz": "unknown statement 'zzz'; `theorylab statements` lists the ",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_nothing_reads_is_refused(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run(line.split())
    assert ended.code == 2, ended
    assert REFUSED[line] in ended.err
    assert ended.err.count("\n") == 1
    assert ended.out == ""  # before anything ran


def test_what_one_instance_reads_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = "verify sngm.lemma_2 --objective quadratic --set n=12 --replicas 4 --instances 0"
    assert run(line.split(), 60).code == 0  # its second instance is a sum of n samples
