"""``Runs``: the runs of a study, one after another here or as cells on workers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, final

import torch

from deep import checkpoint, results
from deep.data import Dataset
from deep.settings import Settings
from deep.training import Trainer, load_data
from deep.trial import estimated_seconds
from theorylab.errors import DataError
from theorylab.plugins.files import at_work, left_at_work, safe_name
from theorylab.plugins.sealed import Damaged
from theorylab.plugins.shape import shaped
from theorylab.plugins.store import Store
from theorylab.studies.compute import compute
from theorylab.studies.planning import Planner, planner
from theorylab.studies.scale import Scale

__all__ = ["History", "Runs"]

History = list[dict[str, Any]]
_Key = tuple[str, str, float, int | None, bool]


@final
class Runs:
    """Where runs are executed, and the folders that they are kept in.

    Parameters
    ----------
    data_dir : path or None
    device : torch.device
    process : (rank, world)
    out : Path
    checkpoint_every : float
        Seconds.
    progress : bool or None
    scale : Scale
        One local job runs here, with torch's threads; otherwise each run is a cell, computed
        with one thread, and kept in ``out/cells`` once it is finished.
    """

    def __init__(
        self,
        data_dir: Path | str | None,
        device: torch.device,
        process: tuple[int, int],
        out: Path,
        checkpoint_every: float,
        progress: bool | None,
        scale: Scale,
    ) -> None:
        self.data_dir = None if data_dir is None else str(data_dir)
        self.device, self.process, self.out = device, process, out
        self.checkpoint_every, self.progress, self.scale = checkpoint_every, progress, scale
        self.made: dict[str, Mapping[str, str]] = {}
        self._data: dict[_Key, Dataset] = {}

    def all(self, wanted: Sequence[tuple[str, Settings]], label: str = "training") -> list[History]:
        """The history of each run, in order.

        Parameters
        ----------
        wanted : sequence of (str, Settings)
            The arm's name, which is its folder's too, and the run.

        Raises
        ------
        DataError
            If a run failed on a worker; those that are finished are kept.
        """
        if (asked := planner()) is not None and self.scale == Scale():
            for name, settings in wanted:
                self._plan(asked, settings, name, label)
            return [[] for _ in wanted]
        if self.scale == Scale():
            return [self.run(settings, name) for name, settings in wanted]
        execute = partial(
            _on_worker, data_dir=self.data_dir, device=str(self.device),
            out=str(self.out.resolve()), checkpoint_every=self.checkpoint_every,
        )  # fmt: skip
        cells = [
            {"name": name, "settings": s.to_json(), "data": self.data(s).origin}
            for name, s in wanted
        ]
        found = compute(execute, cells, Store(self.out / "cells"), jobs=self.scale, label=label,
                        progress=self.progress, trial=self._trial, reads=_finished)  # fmt: skip
        if asked is not None:
            return [[] for _ in wanted]
        if found.lost:
            first = found.lost[0]
            raise DataError(f"train: {len(found.lost)} of {len(cells)} runs failed ({first.cell}: "
                            f"{first.reason}); the same command goes on with them")  # fmt: skip
        for (name, _), result in zip(wanted, found, strict=True):
            self.made[name] = result["made"]
        return [result["history"] for result in found]

    def data(self, settings: Settings) -> Dataset:
        """A run's data; read once."""
        key = (settings.model, settings.data, settings.holdout, settings.train_samples,
               settings.augment)  # fmt: skip
        if key not in self._data:
            self._data[key] = load_data(settings, self.data_dir)
        return self._data[key]

    def run(self, settings: Settings, name: str) -> History:
        """One run, here: from where its folder stands, to the end."""
        trainer, label = self._trainer(settings, name), f"{name} seed {settings.seed}"
        with self._told(trainer.folder, label) if self.process[0] == 0 else nullcontext():
            return trainer.run(checkpoint_every=self.checkpoint_every, progress=self.progress,
                               label=label)  # fmt: skip

    @staticmethod
    def _told(folder: Path | None, label: str) -> AbstractContextManager[None]:
        """While a run is at work its folder says so; one that was killed there is named."""
        assert folder is not None
        for mark in left_at_work(folder).values():
            mark.unlink(missing_ok=True)
            print(f"{label} was being trained when a run was killed (by hand, or out of memory)",
                  file=sys.stderr)  # fmt: skip
        return at_work(folder / "checkpoint.pt")

    def _trainer(self, settings: Settings, name: str) -> Trainer:
        """A run's trainer, at its folder; for a plan, nothing is written."""
        trainer = Trainer(settings, self.data(settings), device=self.device, process=self.process)
        base = self.out.joinpath(*(safe_name(part.replace(" ", "_")) for part in name.split("/")))
        trainer.folder = checkpoint.own_folder(
            base / f"seed-{settings.seed}", settings.to_json(), trainer.made,
            first=self.process[0] == 0 and planner() is None,
        )  # fmt: skip
        self.made[name] = trainer.made
        return trainer

    def _plan(self, asked: Planner, settings: Settings, name: str, label: str) -> None:
        """A run as a cell of a plan: finished if its checkpoint is that of its last step."""
        trainer = self._trainer(settings, name)
        assert trainer.folder is not None
        try:
            state = checkpoint.load(trainer.folder / "checkpoint.pt")
        except Damaged:
            state = None
        held = state if isinstance(state, Mapping) else {}
        done = held.get("made") == dict(trainer.made) and held.get("steps") == trainer.total
        asked.add(label, [f"{name} seed {settings.seed}"], [{"settings": settings.to_json()}],
                  [done], trial=self._trial)  # fmt: skip

    def _trial(self, cell: Mapping[str, Any]) -> float:
        settings = Settings(**cell["settings"])
        return estimated_seconds(settings, self.data(settings), self.device)


class _Finished(TypedDict):
    history: list[results.Measured]
    made: dict[str, str]


def _finished(table: Any) -> object:
    if not shaped(_Finished)(table)["history"]:
        raise ValueError("a run was measured at least once")
    return table


def _on_worker(
    cell: Mapping[str, Any], data_dir: str | None, device: str, out: str, checkpoint_every: float
) -> dict[str, Any]:
    """One run of a study, on a worker: its history, and what it was made with."""
    settings, name = Settings(**cell["settings"]), str(cell["name"])
    runs = Runs(data_dir, torch.device(device), (0, 1), Path(out), checkpoint_every, False, Scale())
    if runs.data(settings).origin != cell["data"]:
        raise DataError(f"train: {settings.data} has changed since the command began; run it again")
    history = runs.run(settings, name)
    return {"history": history, "made": dict(runs.made[name])}
