"""Shared by the tests of exhibits."""

from dataclasses import replace
from typing import Any

import numpy as np

from paper_figures.scale import SCALES

TINY = replace(SCALES["smoke"], steps=2, seeds=1, evaluations=1, grid=(1.0,), evaluate_samples=8)


PIXEL = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSu"
         "QmCC")  # fmt: skip


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
