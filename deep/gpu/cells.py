"""Cells of the papers' tables, each at the share of its full recipe that fits in its time."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import torch

from deep.data import Dataset
from deep.gpu.record import Record
from deep.recipes import Recipe, lrsgd_table_1, sngm_table_2, tralgo_table_4
from deep.results import last_tenth, maximum
from deep.training import Trainer

__all__ = ["Cell", "CellPlan", "run_cells"]

_KEPT = ("steps", "rounds", "between_rounds", "gradients", "seconds", "lr", "train_loss",
         "train_accuracy", "test_loss", "test_accuracy")  # fmt: skip


@final
@dataclass(frozen=True)
class Cell:
    """A recipe, its weight when time is shared out, and how often its run is measured."""

    recipe: Recipe
    weight: float = 1.0
    evaluations: int = 3


def _all() -> tuple[Cell, ...]:
    heavy = [Cell(r, 3.0, 8) for r in sngm_table_2()]
    small = [Cell(r) for r in lrsgd_table_1(("lenet", "resnet18"))]
    return (*heavy, *small, *(Cell(r) for r in tralgo_table_4((8, 128))))


@final
@dataclass(frozen=True)
class CellPlan:
    """Which cells, training samples the loss is measured on, and steps (by default: what fits)."""

    cells: Sequence[Cell]
    evaluate_samples: int = 2000
    steps: int | None = None
    fast: bool = True

    @staticmethod
    def full() -> CellPlan:
        """SNGM's Table 2 first (its recipes are the shortest), then LRSGD's 1 and TRAlgo's 4."""
        return CellPlan(_all())


def run_cells(
    plan: CellPlan, data: Dataset, device: torch.device, record: Record, seconds: float,
    work: Path, seed: int, name: str,
) -> None:  # fmt: skip
    """Every cell in turn; the time that is left is shared by the weights of those to come."""
    end = time.perf_counter() + seconds
    waiting = [cell for cell in plan.cells if not record.done("cells", cell.recipe.name)]
    for place, cell in enumerate(waiting):
        left = end - time.perf_counter()
        share = cell.weight / sum(c.weight for c in waiting[place:])
        slot = left * share
        recipe = cell.recipe
        if left <= 2:
            record.write("cells", recipe.name, ok=False, seconds=0.0,
                         error="OutOfTime: not started")  # fmt: skip
            continue
        run = partial(_run, cell, plan, data, device, record, slot, work, seed, name)
        record.attempt("cells", recipe.name, run, min(left, 1.5 * slot + 5))


def _run(
    cell: Cell, plan: CellPlan, data: Dataset, device: torch.device, record: Record,
    slot: float, work: Path, seed: int, name: str,
) -> dict[str, Any]:  # fmt: skip
    recipe = cell.recipe
    full = replace(
        recipe.settings, seed=seed, data=name, evaluations=cell.evaluations,
        evaluate_samples=plan.evaluate_samples, amp=plan.fast, channels_last=plan.fast,
        step_graph=plan.fast,
    )  # fmt: skip
    recipe = replace(recipe, settings=full)
    steps = _planned(recipe, plan, data, device, record, slot)
    settings = recipe.shortened(steps)
    folder = work / recipe.name.replace("/", "_").replace(" ", "_").replace(",", "")
    trainer = Trainer(settings, data, folder=folder, device=device)
    history = trainer.run(progress=False, checkpoint_every=20.0, logs=False)
    shutil.rmtree(folder, ignore_errors=True)  # what counts is in the record by the next line
    whole = recipe.steps()
    return {
        "exhibit": recipe.exhibit, "row": recipe.row, "column": recipe.column,
        "data": data.label, "settings": settings.to_json(), "seed": seed,
        "steps": steps, "recipe_steps": whole, "share": steps / whole,
        "test_accuracy": history[-1]["test_accuracy"], "last_tenth": last_tenth(history),
        "maximum": maximum(history),
        "history": [{key: row[key] for key in _KEPT} for row in history],
    }  # fmt: skip


def _planned(
    recipe: Recipe, plan: CellPlan, data: Dataset, device: torch.device, record: Record,
    slot: float,
) -> int:  # fmt: skip
    """How many steps to run: as decided before for a run that goes on, as told, or as fits."""
    for line in record.lines():
        if (line["part"], line["name"]) == ("plan", recipe.name):
            return int(line["result"]["steps"])
    steps = plan.steps or _fitting(recipe, data, device, slot)
    record.write("plan", recipe.name, ok=True, result={"steps": steps, "seconds": slot})
    return steps


def _fitting(recipe: Recipe, data: Dataset, device: torch.device, slot: float) -> int:
    """Steps that fit in ``slot`` seconds, by the time of a few, less what measuring takes."""
    started = time.perf_counter()
    trial = Trainer(replace(recipe.settings, steps=recipe.steps()), data, device=device)
    trial.network.train()
    for _ in range(3):
        trial.step()
    _wait(device)
    begun = time.perf_counter()
    setting_up, count = begun - started, 0
    while count < 200 and time.perf_counter() - begun < 0.05 * slot:
        trial.step()
        count += 1
        if count % 5 == 0:
            _wait(device)
    _wait(device)
    each = (time.perf_counter() - begun) / max(count, 1)
    before = time.perf_counter()
    trial.run(progress=False, until=0)  # measures once
    measuring = time.perf_counter() - before
    left = slot - 2 * setting_up - 0.05 * slot - (recipe.settings.evaluations + 2) * measuring
    return max(10, min(recipe.steps(), int(0.9 * left / each)))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
