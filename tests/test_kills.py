"""SIGKILL at random moments: the same command ends in an undisturbed run's bits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from killed_work import hunts, pix2pix, quietly, sweep, train
from killing import Tally, results, saved, timeless, work_under_kills
from training_runs import TINY, assert_same_bits, compare, trained

from deep import checkpoint
from deep.settings import METHODS


@pytest.mark.parametrize(
    ("work", "jobs", "kills", "most"),
    [
        (sweep, 1, 4, 30),
        pytest.param(sweep, 1, 80, 3, marks=pytest.mark.slow),
        pytest.param(sweep, 2, 20, 6, marks=pytest.mark.slow),
        pytest.param(hunts, 1, 15, 2, marks=pytest.mark.slow),
        pytest.param(hunts, 2, 5, 2, marks=pytest.mark.slow),
    ],
)
def test_a_killed_study_ends_with_the_same_bits(
    work: Any, jobs: int, kills: int, most: int, tmp_path: Path
) -> None:
    whole = timeless(work(tmp_path / "whole", 1).to_json())
    expected = results(tmp_path / "whole")

    def judge(folder: Path) -> None:
        assert results(folder) == expected
        assert timeless(work(folder, 1).to_json()) == whole
        left = [p.name for p in folder.rglob("*") if p.name.endswith((".tmp", ".damaged"))]
        assert left == []

    tally = Tally(f"{work.__name__}, {len(expected)} cells, {jobs} jobs")
    work_under_kills(quietly, lambda folder: (work, folder, jobs), tmp_path, judge, tally, kills,
                     most=most, children=jobs > 1)  # fmt: skip
    print(tally)
    assert tally.kills >= kills
    assert tally.rewritten == []


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_killed_training_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    """Two kills through each of the optimizers, at any moment of the run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = trained(dataclasses.replace(TINY, optimizer=name, epochs=3.0))
    torch.set_num_threads(before)

    def judge(folder: Path) -> None:
        kept = checkpoint.load(folder / "checkpoint.pt")
        assert kept is not None
        assert_same_bits(dict(kept), whole)
        assert not list(folder.glob(".*.tmp"))

    tally = Tally(name)
    work_under_kills(train, lambda folder: (folder, name, 3.0), tmp_path, judge, tally, 2,
                     most=8, pause=0.05, look=saved, once=False)  # fmt: skip
    print(tally)
    assert tally.kills == 2


@pytest.mark.slow
def test_a_killed_gan_ends_with_the_same_bits(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    pix2pix(tmp_path / "whole")
    torch.set_num_threads(threads)
    whole = checkpoint.load(tmp_path / "whole" / "checkpoint.pt")

    def judge(folder: Path) -> None:
        compare(checkpoint.load(folder / "checkpoint.pt"), whole)

    tally = Tally("pix2pix")
    work_under_kills(pix2pix, lambda folder: (folder,), tmp_path, judge, tally, 5, most=5,
                     look=saved, once=False)  # fmt: skip
    print(tally)
    assert tally.kills == 5
