"""Shared by the tests of exhibits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paper_figures import session as session_module
from paper_figures.scale import SCALES
from paper_figures.session import Session
from theorylab.plugins.store import Store

TINY = replace(SCALES["smoke"], steps=2, seeds=1, evaluations=1, grid=(1.0,), evaluate_samples=8)


PIXEL = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSu"
         "QmCC")  # fmt: skip


@pytest.fixture
def session(tmp_path: Path) -> Any:
    return Session(Store(tmp_path / "store"), TINY, progress=False)


def invented(cell: Any) -> Any:
    """A result of the right shape, from the cell alone."""
    if cell["kind"] == "gan":
        pictures = [PIXEL] * cell["images"]
        names = ("input", "ground truth", "output") if pictures else ()
        found = {"per_pixel": 0.6, "per_class": 0.3, "class_iou": 0.2}
        return {"scores": [found] * len(cell["readers"]), "images": dict.fromkeys(names, pictures)}
    steps = [0, cell["settings"]["steps"]]
    rng = np.random.default_rng(cell["settings"]["seed"])
    end = float(rng.uniform(0.5, 0.9))
    return {
        "steps": steps, "rounds": steps, "gradients": steps, "seconds": [0.0, 1.0],
        "epoch": [0.0, 1.0], "lr": [0.1, 0.1], "train_loss": [2.0, 1.0], "test_loss": [2.1, 1.1],
        "train_accuracy": [0.1, end], "test_accuracy": [0.1, end],
        "gradient_norm": [1.0, 0.5], "noise_variance": [3.0, 2.0],
    }  # fmt: skip


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(function: Any, cells: Any, store: Any, **options: Any) -> Any:
        return [invented(cell) for cell in cells]

    monkeypatch.setattr(session_module, "compute", compute)
