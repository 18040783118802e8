"""The paper preset: every run of every exhibit takes its first step, on images of the right size.

A full run takes a GPU for hours, so nobody would notice that one cannot even begin.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from deep.data import Dataset, load
from deep.gan import GanSettings, GanTrainer
from deep.networks import network
from deep.settings import Settings
from deep.training import Trainer
from paper_figures.exhibits import EXHIBITS, exhibit
from paper_figures.scale import SAMPLES, SCALES
from paper_figures.session import READERS, Session
from theorylab.plugins.store import Store

TRAINED = [key for key, item in EXHIBITS.items() if item.data not in ("cityscapes", "")]


def planned(key: str, folder: Path) -> list[Settings]:
    """What the exhibit would run, tuning included; nothing is run."""
    found: dict[str, Settings] = {}

    def run(settings: Any, stage: str) -> list[Any]:
        found.update({json.dumps(s.to_json(), sort_keys=True): s for s in settings})
        end = {"steps": [0, 10], "test_accuracy": [0.1, 0.5]}
        return [end | {"seed": s.seed} for s in settings]

    session: Any = Session(Store(folder), SCALES["paper"], progress=False)
    session._data = lambda name, like: type("Data", (), {"train": range(SAMPLES[name])})()
    session._digest = lambda name: None
    session._run = run
    exhibit(key).compute(session)
    return list(found.values())


def images(side: int) -> Dataset:
    size = {} if side == 32 else {"image_size": side}
    return load("synthetic-images", train=8, test=4, **size)


def first_step(settings: Settings, data: Dataset) -> Trainer:
    """The run's first step, on two images for its batch; its length and schedule are its own."""
    small = replace(
        settings, batch_size=2, accumulate=min(2, settings.accumulate), evaluations=1,
        evaluate_samples=2, measures=min(2, settings.measures), train_samples=None,
    )  # fmt: skip
    trainer = Trainer(small, data)
    trainer.run(progress=False, until=1)
    assert trainer.steps == 1 < trainer.total
    assert all(bool(p.isfinite().all()) for p in trainer.network.parameters())
    return trainer


@pytest.mark.parametrize("key", TRAINED)
def test_every_method_of_an_exhibit_takes_its_first_step(key: str, tmp_path: Path) -> None:
    runs = planned(key, tmp_path)
    if key == "sngm.table_1":  # rates, from the statements
        assert not runs
        return
    data = images(32)
    seen = set()
    for settings in runs:
        method = replace(settings, model="two_conv", model_options={}, seed=0, batch_size=2)
        # Sizes, networks and steps differ in hundreds of runs; methods and schedules in dozens.
        alike = replace(method, data="digits", lr=1.0, holdout=0.0, accumulate=1, evaluations=1)
        name = json.dumps(alike.to_json(), sort_keys=True)
        if name not in seen:
            seen.add(name)
            first_step(method, data)
    assert seen


@pytest.mark.slow
@pytest.mark.parametrize("key", TRAINED)
def test_every_network_of_an_exhibit_takes_its_first_step(key: str, tmp_path: Path) -> None:
    seen = set()
    for settings in planned(key, tmp_path):
        options = json.dumps(dict(settings.model_options), sort_keys=True)
        name = settings.model, options, settings.optimizer
        if name not in seen:
            seen.add(name)
            side = max(32, network(settings.model).smallest)
            first_step(settings, images(64 if "imagenet" in settings.model else side))


@pytest.mark.slow
def test_pix2pix_takes_its_first_step_at_its_size(tmp_path: Path) -> None:
    cells: dict[str, Any] = {}

    def compute(function: Any, given: Any, stage: str) -> list[Any]:
        cells.update({json.dumps(c, sort_keys=True): c for c in given})
        scores = [{"per_pixel": 0.1, "per_class": 0.1, "class_iou": 0.1}] * len(READERS)
        return [{"scores": scores, "images": {}} for _ in given]

    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"")
    session: Any = Session(Store(tmp_path), SCALES["paper"], progress=False,
                           segmenter=("module:factory", weights))  # fmt: skip
    session._digest = lambda name: None
    session._compute = compute
    for key in ("tralgo.figure_4", "tralgo.table_2", "tralgo.table_3"):
        exhibit(key).compute(session)
    made = {c["settings"]["optimizer"]: c for c in cells.values() if c["settings"]}
    assert set(made) == {"adam", "tradam"}
    for cell in made.values():
        assert cell["data"] == "cityscapes"
        pairs = load("generated-pairs", image_size=cell["image_size"])
        few = torch.arange(2)
        pairs = replace(pairs, train=pairs.train.subset(few), test=pairs.test.subset(few))
        trainer = GanTrainer(GanSettings(**cell["settings"]), pairs)
        trainer.run(progress=False, until=1)
        assert pairs.input_size[1:] == (256, 256)
