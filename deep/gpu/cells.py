"""Cells of the papers' tables, each at the share of its full recipe that fits in its time."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import torch

from deep.data import Dataset
from deep.gpu.record import Record
from deep.recipes import Recipe, lrsgd_table_1, sngm_table_2, tralgo_table_4, with_arms
from deep.results import last_tenth, maximum
from deep.settings import Settings
from deep.training import Trainer

__all__ = ["PLANS", "Cell", "CellPlan", "run_cells"]

_KEPT = ("steps", "rounds", "between_rounds", "gradients", "seconds", "lr", "train_loss",
         "train_accuracy", "test_loss", "test_accuracy")  # fmt: skip


@final
@dataclass(frozen=True)
class Cell:
    """A recipe, and how it is run.

    Attributes
    ----------
    recipe : Recipe
    weight : float
        When time is shared out.
    evaluations : int
        How often the run is measured.
    share : float, optional
        Of the recipe; by default, what fits.
    seed : int, optional
        By default, the command's.
    """

    recipe: Recipe
    weight: float = 1.0
    evaluations: int = 3
    share: float | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """The recipe's, and the seed where the cell has its own."""
        return self.recipe.name + ("" if self.seed is None else f"/seed {self.seed}")


def _tables() -> Iterator[Cell]:
    yield from (Cell(r, 3.0, 8) for r in sngm_table_2())
    yield from (Cell(r) for r in lrsgd_table_1(("lenet", "resnet18")))
    yield from (Cell(r) for r in tralgo_table_4((8, 128)))


def _claims() -> Iterator[Cell]:
    """TRSGD's and LRSGD's gains beside their control arms, and a longer SNGM Table 2.

    One epoch of gradients of TRAlgo's Table 4 at three seeds; 350 epochs of gradients on LeNet,
    SGD's whole recipe and a tenth of LRSGD's; a fifth of SNGM's.
    """
    for seed in range(3):
        for recipe in tralgo_table_4((8, 128)):
            yield from (Cell(r, share=0.005, seed=seed) for r in with_arms(recipe))
    for recipe in lrsgd_table_1(("lenet",)):
        share = 1.0 if recipe.row == "SGD" else 0.1
        yield from (Cell(r, 3.0, 10, share) for r in with_arms(recipe))
    yield from (Cell(r, 3.0, 10, 0.2) for r in sngm_table_2())


@final
@dataclass(frozen=True)
class CellPlan:
    """Which cells, training samples the loss is measured on, and steps (by default: what fits)."""

    cells: Sequence[Cell]
    evaluate_samples: int = 2000
    steps: int | None = None
    fast: bool = True

    @staticmethod
    def named(name: str) -> CellPlan:
        """One of :data:`PLANS`.

        ``tables``: as much of SNGM's Table 2 (its recipes are the shortest), LRSGD's 1 and
        TRAlgo's 4 as fits; ``claims``: methods beside their control arms, at fixed shares.
        """
        return CellPlan(tuple(_PLANS[name]()))


_PLANS = {"tables": _tables, "claims": _claims}
PLANS = tuple(_PLANS)
"""What :meth:`CellPlan.named` knows."""


def run_cells(
    plan: CellPlan, data: Dataset, device: torch.device, record: Record, seconds: float,
    work: Path, seed: int, name: str,
) -> None:  # fmt: skip
    """Every cell in turn; the time that is left is shared by the weights of those to come."""
    end = time.perf_counter() + seconds
    waiting = [cell for cell in plan.cells if not record.done("cells", cell.name)]
    for place, cell in enumerate(waiting):
        left = end - time.perf_counter()
        share = cell.weight / sum(c.weight for c in waiting[place:])
        slot = left * share
        if left <= 2:
            record.write("cells", cell.name, ok=False, seconds=0.0,
                         error="OutOfTime: not started")  # fmt: skip
            continue
        run = partial(_run, cell, plan, data, device, record, slot, work, seed, name)
        record.attempt("cells", cell.name, run, left if cell.share else min(left, 1.5 * slot + 5))


def _run(
    cell: Cell, plan: CellPlan, data: Dataset, device: torch.device, record: Record,
    slot: float, work: Path, seed: int, name: str,
) -> dict[str, Any]:  # fmt: skip
    recipe = cell.recipe
    seed = seed if cell.seed is None else cell.seed
    full = replace(
        recipe.settings, seed=seed, data=name, evaluations=cell.evaluations,
        evaluate_samples=plan.evaluate_samples, amp=plan.fast, channels_last=plan.fast,
        step_graph=plan.fast,
    )  # fmt: skip
    recipe = replace(recipe, settings=full)
    steps = _planned(replace(cell, recipe=recipe), plan, data, device, record, slot)
    settings = recipe.shortened(steps)
    if (same := _same(record, settings)) is not None:
        return same | {"row": recipe.row, "column": recipe.column, "arm": recipe.arm,
                       "recipe_steps": recipe.steps(), "share": steps / recipe.steps()}  # fmt: skip
    folder = work / re.sub(r"[^\w.=-]+", "_", cell.name)
    trainer = Trainer(settings, data, folder=folder, device=device)
    history = trainer.run(progress=False, checkpoint_every=20.0, logs=False)
    shutil.rmtree(folder, ignore_errors=True)  # what counts is in the record by the next line
    whole = recipe.steps()
    return {
        "exhibit": recipe.exhibit, "row": recipe.row, "column": recipe.column, "arm": recipe.arm,
        "data": data.label, "settings": settings.to_json(), "seed": seed,
        "steps": steps, "recipe_steps": whole, "share": steps / whole,
        "test_accuracy": history[-1]["test_accuracy"], "last_tenth": last_tenth(history),
        "maximum": maximum(history),
        "history": [{key: row[key] for key in _KEPT} for row in history],
    }  # fmt: skip


def _same(record: Record, settings: Settings) -> dict[str, Any] | None:
    """What a run with the same settings gave: two methods may share an arm."""
    wanted = _decisive(settings.to_json())
    for line in record.lines():
        if (line["part"], line["ok"]) == ("cells", True) and (
            _decisive(line["result"]["settings"]) == wanted
        ):
            return dict(line["result"])
    return None


def _decisive(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without the full recipe's length, which steps replace."""
    return {name: value for name, value in settings.items() if name != "epochs"}


def _planned(
    cell: Cell, plan: CellPlan, data: Dataset, device: torch.device, record: Record, slot: float
) -> int:
    """How many steps to run: as decided before for a run that goes on, as told, or as fits."""
    for line in record.lines():
        if (line["part"], line["name"]) == ("plan", cell.name):
            return int(line["result"]["steps"])
    recipe = cell.recipe
    asked = None if cell.share is None else max(1, round(cell.share * recipe.steps()))
    steps = plan.steps or asked or _fitting(recipe, data, device, slot)
    record.write("plan", cell.name, ok=True, result={"steps": steps, "seconds": slot})
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
