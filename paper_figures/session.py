"""``Session``: an exhibit's cells, run or taken from the store, as tidy data."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypedDict, final

import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from deep.data import Dataset, dataset
from deep.data.cache import fingerprint
from deep.devices import device_named
from deep.gan import GanSettings, GanTrainer, score
from deep.gpu.record import Record
from deep.images import shown_pairs
from deep.results import columns
from deep.segmentation import Segmenter, load_segmenter, on_truth, segmenter, train_segmenter
from deep.settings import Settings
from deep.training import Trainer, load_data
from deep.trial import estimated_seconds
from paper_figures.scale import Run, Scale, scaled
from theorylab.errors import DataError, UsageError
from theorylab.plugins.provenance import file_digest
from theorylab.plugins.shape import shaped
from theorylab.plugins.store import Store
from theorylab.studies.compute import Lost, compute
from theorylab.studies.planning import Trial, unknown
from theorylab.studies.scale import Scale as Workers

__all__ = ["READERS", "GanRun", "Session", "recorded"]

READERS = ("FCN-8s", "DPC-xception71")
"""TRAlgo's segmentation networks, in the order of its tables."""

_TUNING_SEED = 1000
_LONG = 200_000  # samples; shorter runs start anew: checkpoints would take longer than they do
_COLUMNS = ("steps", "rounds", "gradients", "seconds", "epoch", "lr", "train_loss", "test_loss",
            "train_accuracy", "test_accuracy", "gradient_norm", "noise_variance")  # fmt: skip


@final
@dataclass(frozen=True)
class GanRun:
    """One pix2pix run of an exhibit; ``settings`` is ``None`` for the true photos."""

    row: str
    settings: GanSettings | None
    arm: str = ""


@final
class Session:
    """Where cells are kept, and how they are run.

    Parameters
    ----------
    store : Store
    scale : Scale
    data_dir : Path, optional
        A data set's folder or archive, or a folder with one of those for each data set.
    seed : int
        The first seed.
    jobs : int or Scale
    device : str
        ``cpu``, ``cuda`` or ``auto``.
    budget : float, optional
        Seconds an exhibit may start new cells in.
    recorded : mapping
        What was measured elsewhere, by the name of the recipe: see :func:`recorded`.
    segmenter : (str, Path), optional
        A segmentation network of the user's and its weights, for the FCN-scores; see
        :func:`deep.segmentation.load_segmenter`.

    Attributes
    ----------
    label : str
        Shown with the progress.
    missing : int
        Cells that the budget left out, so far.
    digests : dict
        Hashes of the data that was read, by name.
    """

    def __init__(
        self,
        store: Store,
        scale: Scale,
        data_dir: Path | None = None,
        *,
        seed: int = 0,
        jobs: int | Workers = 1,
        device: str = "cpu",
        budget: float | None = None,
        progress: bool | None = None,
        recorded: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        segmenter: tuple[str, Path] | None = None,
    ) -> None:
        self.store, self.scale, self.data_dir = store, scale, data_dir
        self.seed, self.jobs, self.device = seed, jobs, device
        self.budget, self.progress = budget, progress
        self.recorded, self.segmenter = recorded or {}, segmenter
        self.label = ""
        self.missing = 0
        self.lost: list[Lost] = []
        self.digests: dict[str, str] = {}

    # --- training ------------------------------------------------------------------------------
    def train(self, runs: Sequence[Run], seeds: int) -> pd.DataFrame:
        """Every run at every seed, one row a measurement; runs left out have one empty row.

        Columns: ``row, column, arm, seed, seeds, optimizer, batch, step``, the measurements, and
        ``scale``, which says what was reduced (empty: nothing was).

        Raises
        ------
        UsageError
            If a data set is not there, or settings do not fit it.
        """
        names = [self.scale.data] if self.scale.data else [r.settings.data for r in runs]
        samples = {name: len(self._data(name, runs[0].settings).train) for name in set(names)}
        elsewhere = [run for run in runs if run.recipe in self.recorded]
        # Arms are compared with their method, so both are of one scale.
        cells = {(run.row, run.column) for run in elsewhere if not run.arm}
        lost = [run for run in runs if run.arm and (run.row, run.column) in cells
                and run.recipe not in self.recorded]  # fmt: skip
        elsewhere = [run for run in elsewhere if not run.arm or (run.row, run.column) in cells]
        here = [run for run in runs if run not in elsewhere and run not in lost]
        chosen, left_out = scaled(here, self.scale, samples) if here else ([], [])
        left_out += [(run, "not run: the method's run was recorded elsewhere, this arm was not")
                     for run in lost]  # fmt: skip
        chosen = self._tuned(chosen)
        count = seeds if self.scale.seeds is None else min(seeds, self.scale.seeds)
        wanted = [
            (run, replace(run.settings, seed=self.seed + i)) for run in chosen for i in range(count)
        ]
        histories = self._run([settings for _, settings in wanted], "")
        rows: list[dict[str, Any]] = []
        for (run, settings), history in zip(wanted, histories, strict=True):
            place = {
                "row": run.row, "column": run.column, "arm": run.arm, "seed": settings.seed,
                "seeds": seeds, "optimizer": settings.optimizer, "batch": settings.batch_size,
                "step": settings.step_size,
            }  # fmt: skip
            if history is None:
                self.missing += 1
                continue
            length = len(history["steps"])
            columns = {name: history.get(name, [None] * length) for name in _COLUMNS}
            rows += [
                {**place, **dict(zip(columns, values, strict=True)), "scale": run.scale,
                 "share": run.share}
                for values in zip(*columns.values(), strict=True)
            ]  # fmt: skip
        rows += [row for run in elsewhere for row in _recorded(run, self.recorded, seeds)]
        rows += [
            {"row": run.row, "column": run.column, "arm": run.arm, "seeds": seeds, "scale": reason}
            for run, reason in left_out
        ]
        heads = ("row", "column", "arm", "seed", "seeds", "optimizer", "batch", "step", *_COLUMNS,
                 "scale", "share")  # fmt: skip
        return pd.DataFrame(rows, columns=list(heads))

    def _tuned(self, runs: Sequence[Run]) -> list[Run]:
        """Those to be tuned at the step of the grid that does best on held-out samples."""
        trials = [
            (i, replace(run.settings, lr=run.settings.step_size * x, holdout=0.1,
                        seed=_TUNING_SEED, evaluations=1, measures=0))
            for i, run in enumerate(runs) if run.tune for x in self.scale.grid
        ]  # fmt: skip
        if not trials:
            return list(runs)
        histories = self._run([settings for _, settings in trials], " (tuning)")
        found = list(runs)
        scores: dict[int, list[tuple[float, float]]] = {}
        for (i, trial), history in zip(trials, histories, strict=True):
            if history is not None:
                score = history["test_accuracy"][-1] or 0.0
                scores.setdefault(i, []).append((score, trial.step_size))
        for i, each in scores.items():
            found[i] = replace(runs[i], settings=replace(runs[i].settings, lr=max(each)[1]))
        return found

    def _run(self, settings: Sequence[Settings], stage: str) -> list[Any]:
        cells = [
            {"kind": "train", "settings": s.to_json(), "data": self._content(s),
             "device": device_named(self.device).type}
            for s in settings
        ]  # fmt: skip
        return self._compute(train_cell, cells, stage, self._trial, _columns)

    def _trial(self, cell: Mapping[str, Any]) -> float:
        """What a run would take."""
        settings = Settings(**cell["settings"])
        given = None if self.data_dir is None else str(self.data_dir)
        data = _loaded(settings.data, settings.model, given)
        return estimated_seconds(settings, data, device_named(self.device))

    def _compute(
        self,
        function: Any,
        cells: Sequence[Mapping[str, Any]],
        stage: str,
        trial: Trial,
        reads: Callable[[Any], object],
    ) -> list[Any]:
        unique = {json.dumps(cell, sort_keys=True): cell for cell in cells}
        given = None if self.data_dir is None else str(self.data_dir)
        execute = partial(function, data_dir=given, device=self.device,
                          runs=str(self.store.root / "runs"))  # fmt: skip
        found = compute(execute, list(unique.values()), self.store, jobs=self.jobs,
                        label=self.label + stage, budget=self.budget,
                        progress=self.progress, trial=trial, reads=reads)  # fmt: skip
        self.lost += found.lost
        by_cell = dict(zip(unique, found, strict=True))
        return [by_cell[json.dumps(cell, sort_keys=True)] for cell in cells]

    # --- pairs of images -----------------------------------------------------------------------
    def translate(self, runs: Sequence[GanRun], seeds: int, images: int = 0) -> pd.DataFrame:
        """Every pix2pix run at every seed: its scores, or ``images`` test pairs as PNG in base64.

        Columns: ``row, column, arm, seed, seeds, scale``. With ``images``, ``panel`` and ``image``:
        one row a picture, ``column`` being ``input``, ``ground truth`` or ``output``. Without, one
        row for each of :data:`READERS` (in ``column``) with ``per_pixel, per_class, class_iou``.
        """
        reduced = self.scale.data is not None
        data = "generated-pairs" if reduced else "cityscapes"
        count = seeds if self.scale.seeds is None else min(seeds, self.scale.seeds)
        wanted = [
            (run, None if run.settings is None else self._pix2pix(run.settings, self.seed + i), i)
            for run in runs for i in range(count if run.settings is not None else 1)
        ]  # fmt: skip
        readers = [] if images else self._readers(reduced)
        cells = [
            {
                "kind": "gan", "settings": None if made is None else asdict(made), "data": data,
                "digest": self._digest(data), "image_size": self.scale.image_size,
                "readers": readers, "images": images, "device": device_named(self.device).type,
            }
            for _, made, _ in wanted
        ]  # fmt: skip
        results = self._compute(gan_cell, cells, "", unknown, shaped(_Pictures))
        rows: list[dict[str, Any]] = []
        for (run, made, i), result in zip(wanted, results, strict=True):
            if result is None:
                self.missing += 1
                continue
            place = {"row": run.row, "arm": run.arm, "seed": self.seed + i, "seeds": seeds}
            for name, pictures in result["images"].items():
                scale = self._pix2pix_words(made)
                rows += [{**place, "column": name, "panel": k, "image": picture, "scale": scale}
                         for k, picture in enumerate(pictures)]  # fmt: skip
            for name, scores in zip(READERS, result["scores"], strict=False):
                scale = "; ".join(filter(None, (self._pix2pix_words(made), self._reader(name))))
                rows.append({**place, "column": name, **scores, "scale": scale})
        heads = ("row", "column", "arm", "seed", "seeds", "scale")
        kinds = ("panel", "image") if images else ("per_pixel", "per_class", "class_iou")
        return pd.DataFrame(rows, columns=[*heads, *kinds])

    def _pix2pix(self, settings: GanSettings, seed: int) -> GanSettings:
        made = replace(settings, seed=seed, image_size=self.scale.image_size)
        if self.scale.data is None:
            return made
        smoke = self.scale.name == "smoke"
        return replace(
            made, data="generated-pairs", width=8 if smoke else 16,
            epochs=0.1 if smoke else 20.0, samples=20 if smoke else 100,
        )  # fmt: skip

    def _pix2pix_words(self, made: GanSettings | None) -> str:
        if self.scale.data is None:
            return ""
        words = f"generated-pairs for cityscapes; {self.scale.image_size} pixels for 256"
        if made is not None:
            words += f"; width {made.width} for 64; {made.epochs:g} of 200 epochs"
        return words

    def _readers(self, reduced: bool) -> list[dict[str, Any]]:
        """What reads the classes off a photo: networks trained on the pairs, or the user's."""
        if self.segmenter is not None:
            spec, weights = self.segmenter
            user = {"spec": spec, "weights": str(weights), "digest": file_digest(weights)}
            return [user, user]
        if not reduced:
            raise UsageError("FCN-scores of real photos need --segmenter and --weights")
        epochs = 1 if self.scale.name == "smoke" else 5
        return [{"width": width, "epochs": epochs} for width in (16, 64)]

    def _reader(self, name: str) -> str:
        if self.segmenter is not None:
            return f"{self.segmenter[0]} for {name}"
        return f"a small network trained on the pairs for {name}"

    # --- data ----------------------------------------------------------------------------------
    def _data(self, name: str, like: Settings) -> Dataset:
        return _loaded(name, like.model, None if self.data_dir is None else str(self.data_dir))

    def _content(self, settings: Settings) -> str:
        """The hash of what is trained on, as it was read."""
        if settings.data not in self.digests:
            self.digests[settings.data] = self._data(settings.data, settings).origin
        return self.digests[settings.data]

    def _digest(self, name: str) -> str | None:
        """The hash of a data set's files; ``None`` for one that needs none."""
        if name not in self.digests:
            place = located(name, self.data_dir)
            self.digests[name] = "" if place is None else _fingerprint(str(place))
        return self.digests[name] or None


def recorded(*paths: Path) -> dict[str, list[dict[str, Any]]]:
    """Cells that ``make gpu`` recorded, by the name of their recipe: one for each seed.

    Where a cell was run at several lengths, the last counts.

    Raises
    ------
    UsageError
        If a file is absent, or holds no cells.
    """
    every: dict[str, dict[int, dict[str, Any]]] = {}
    for path in paths:
        if not path.is_file():
            raise UsageError(f"--recorded: no file {path}; `make gpu` writes one")
        lines = [
            line["result"] for line in Record(path, quiet=True).lines()
            if line.get("part") == "cells" and line.get("ok")
            and isinstance(line.get("result"), Mapping) and "history" in line["result"]
        ]  # fmt: skip
        if not lines:
            raise UsageError(f"--recorded: {path} holds no finished cells of `make gpu`")
        try:
            for result in lines:
                place = (result[key] for key in ("exhibit", "row", "column"))
                name = "/".join(filter(None, (*place, result.get("arm", ""))))
                seeds = every.setdefault(name, {})
                if any(other["share"] != result["share"] for other in seeds.values()):
                    seeds.clear()
                seeds[result["seed"]] = result
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"--recorded: {path} holds no cells as `make gpu` writes them: "
                             f"{type(error).__name__} {error}") from None  # fmt: skip
    return {name: list(seeds.values()) for name, seeds in every.items()}


def _recorded(
    run: Run, found: Mapping[str, Sequence[Mapping[str, Any]]], seeds: int
) -> Iterator[dict[str, Any]]:
    """A recorded cell as rows of the tidy data."""
    for result in found[run.recipe]:
        share, settings = float(result["share"]), result["settings"]
        text = "" if share >= 1 else f"{100 * share:.2g}% of the gradients"
        if settings["data"] != run.settings.data:
            text = f"{result['data']} for {run.settings.data}" + (f"; {text}" if text else "")
        for row in result["history"]:
            yield {
                "row": run.row, "column": run.column, "arm": run.arm, "seed": result["seed"],
                "seeds": seeds, "optimizer": settings["optimizer"],
                "batch": settings["batch_size"], "step": settings["lr"],
                **{name: row.get(name) for name in _COLUMNS}, "scale": text, "share": share,
            }  # fmt: skip


def located(name: str, data_dir: Path | str | None) -> Path | None:
    """Where a data set lies: ``data_dir/NAME`` if that exists, else ``data_dir`` itself."""
    if data_dir is None or not dataset(name).layout:
        return None
    inner = Path(data_dir) / name
    return inner if inner.exists() else Path(data_dir)


def _fingerprint(place: str) -> str:
    path = Path(place)
    files = () if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return fingerprint(path, files)


def _changed(name: str) -> DataError:
    return DataError(f"figure: {name} has changed since the command began; run it again")


@cache
def _loaded(name: str, model: str, data_dir: str | None) -> Dataset:
    return load_data(Settings(data=name, model=model), located(name, data_dir))


def _columns(table: Any) -> object:
    return columns(table, "steps", "test_accuracy")


class _Pictures(TypedDict):
    scores: list[dict[str, float | None]]
    images: dict[str, list[str]]


def train_cell(
    cell: Mapping[str, Any], data_dir: str | None, device: str, runs: str
) -> dict[str, list[Any]]:
    """One run's history, column by column; a run that was stopped goes on."""
    settings = Settings(**cell["settings"])
    place = located(settings.data, data_dir)
    if settings.holdout or settings.train_samples or not settings.augment:
        data = load_data(settings, place)
    else:
        data = _loaded(settings.data, settings.model, data_dir)
    if data.origin != cell["data"]:
        raise _changed(settings.data)
    long = (settings.steps or _LONG) * settings.batch_size >= _LONG
    text = json.dumps(cell, sort_keys=True).encode()
    folder = Path(runs) / hashlib.sha256(text).hexdigest()[:32] if long else None
    history = Trainer(settings, data, folder=folder, device=device_named(device)).run(
        progress=False
    )
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    names = [name for name in _COLUMNS if any(name in row for row in history)]
    return {
        name: [float(f"{v:.6g}") if isinstance(v := row.get(name), float) else v
               for row in history]
        for name in names
    }  # fmt: skip


def gan_cell(
    cell: Mapping[str, Any], data_dir: str | None, device: str, runs: str
) -> dict[str, Any]:
    """One pix2pix run (or the true photos): scores by each reader, and the first test images."""
    place = located(cell["data"], data_dir)
    data = dataset(cell["data"]).load(place, image_size=cell["image_size"])
    if place is not None and _fingerprint(str(place)) != cell["digest"]:
        raise _changed(cell["data"])
    readers = [_segmenter(json.dumps(r), cell["data"], cell["image_size"], data_dir, device)
               for r in cell["readers"]]  # fmt: skip
    if cell["settings"] is None:
        found = [asdict(on_truth(data.to(device_named(device)), read)) for read in readers]
        return {"scores": found, "images": {}}
    settings = GanSettings(**cell["settings"])
    if settings.samples is not None:
        kept = torch.arange(min(settings.samples, len(data.train)))
        data = replace(data, train=data.train.subset(kept))
    text = json.dumps(cell, sort_keys=True).encode()
    folder = Path(runs) / hashlib.sha256(text).hexdigest()[:32]
    trainer = GanTrainer(settings, data, folder=folder, device=device_named(device))
    trainer.run(progress=False)
    found = [score(trainer.generator, trainer.data, read, seed=settings.seed) for read in readers]
    images: dict[str, list[str]] = {}
    if cell["images"]:
        shown = shown_pairs(trainer.generator, trainer.data, cell["images"], settings.seed)
        names = ("input", "ground truth", "output")
        images = {name: [_png(x) for x in part] for name, part in zip(names, shown, strict=True)}
    shutil.rmtree(folder, ignore_errors=True)
    return {"scores": found, "images": images}


@cache
def _segmenter(
    text: str, name: str, image_size: int, data_dir: str | None, device: str
) -> Segmenter:
    """One of the readers of a cell; what is trained is trained once a process."""
    given = json.loads(text)
    data = dataset(name).load(located(name, data_dir), image_size=image_size)
    where = device_named(device)
    if "spec" in given:
        return load_segmenter(given["spec"], Path(given["weights"]), len(data.classes), where)
    return segmenter(train_segmenter(data, epochs=given["epochs"], width=given["width"],
                                     device=where, progress=False))  # fmt: skip


def _png(image: Tensor) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
