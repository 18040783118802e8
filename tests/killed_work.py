"""What the tests of kills do in processes that are killed; nothing of pytest is imported here."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch
from joblib.externals.loky import get_reusable_executor
from training_runs import TINY, trained

from deep.data import load
from deep.gan import GanSettings, GanTrainer
from theorylab.studies.falsify import falsify
from theorylab.studies.selection import select
from theorylab.studies.verify import verify

CHECKED = ["sngm.lemma_1", "sngm.lemma_2", "sngm.theorem_1"]
HUNTED = ["lrsgd.definition_4_8", "lrsgd.remark_3_2", "sngm.lemma_1"]


def sweep(folder: Path, jobs: int) -> Any:
    torch.set_num_threads(1)
    return verify(select(CHECKED, None, "both"), replicas=8, effort=2000, count=2, instances=2,
                  jobs=jobs, out=folder, progress=False)  # fmt: skip


def hunts(folder: Path, jobs: int) -> Any:
    torch.set_num_threads(1)
    return falsify(select(HUNTED, None, "both"), limit=3, jobs=jobs, out=folder, write=True,
                   progress=False)  # fmt: skip


def quietly(work: Any, folder: Path, *rest: Any) -> None:
    """In a process that is killed: what its death makes others say is not the test's."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        work(folder, *rest)
    # A child of multiprocessing waits for its children: idle workers would stay for five minutes.
    if rest and rest[0] > 1:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def train(folder: Path, name: str, epochs: float) -> None:
    torch.set_num_threads(1)
    trained(dataclasses.replace(TINY, optimizer=name, epochs=epochs), folder, checkpoint_every=0.0)


def pix2pix(folder: Path) -> None:
    torch.set_num_threads(1)
    settings = GanSettings("tradam", epochs=4, image_size=32, width=4)
    data = load("generated-pairs", image_size=32, train=4, test=2)
    GanTrainer(settings, data, folder=folder).run(checkpoint_every=1, progress=False)
