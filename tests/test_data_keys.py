"""What a run is kept under includes the content of its data: A's numbers never answer for B's."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deep import experiments
from deep.comparison import Plan
from deep.gan import GanSettings, train_gan
from deep.settings import Settings
from deep.study import train_study
from paper_figures.scale import scale
from paper_figures.session import Session, train_cell
from theorylab.errors import DataError
from theorylab.plugins.store import Store
from theorylab.studies.compute import compute


def folder(place: Path, seed: int, pairs: bool = False) -> Path:
    """Images of one size in bytes and one time of change: listings of two seeds are the same."""
    rng = np.random.default_rng(seed)
    for part in ("train", "test"):
        for kind in ("",) if pairs else ("cat", "dog"):
            (place / part / kind).mkdir(parents=True, exist_ok=True)
            for i in range(4):
                pixels = rng.integers(0, 255, (32, 64 if pairs else 32, 3), dtype=np.uint8)
                path = place / part / kind / f"{i}.{'png' if pairs else 'bmp'}"
                Image.fromarray(pixels).save(path, compress_level=0)
                os.utime(path, (1e9, 1e9))
    return place


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEORYLAB_CACHE", str(tmp_path / "cache"))


def forgotten() -> None:
    """As in a new process."""
    experiments._data.cache_clear()


TINY = Settings(model="two_conv", data="folder", optimizer="sgd", steps=2, batch_size=4,
                evaluations=1)  # fmt: skip


def trained(data: Path, out: Path) -> Any:
    found = train_study(TINY, data, device="cpu", out=out, progress=False)
    return found["sgd"].histories[0][-1]["train_loss"]


def compared(data: Path, out: Path) -> Any:
    forgotten()
    plan = Plan(share=1.0, batch_sizes=(4,), seeds=1, gammas=(), data="folder", model="two_conv")
    experiments.compare(plan, out, data, progress=False)
    table = json.loads((out / "results.json").read_text())
    arms = table["groups"]["batch 4"]["arms"]
    return {name: entry["runs"][0]["train_loss"][-1] for name, entry in arms.items()}


def translated(data: Path, out: Path) -> Any:
    settings = GanSettings(epochs=0.5, image_size=32, width=2, data="cityscapes")
    return train_gan(settings, data, device="cpu", images=0, out=out, progress=False).losses


@pytest.mark.parametrize("study", [trained, compared, translated])
@pytest.mark.parametrize("place", ["b", "a"])  # another folder, or the same with other images
def test_other_images_give_their_own_numbers(study: Any, place: str, tmp_path: Path) -> None:
    pairs = study is translated
    one = study(folder(tmp_path / "a", 0, pairs), tmp_path / "out")
    other = folder(tmp_path / place, 1, pairs)
    fresh = study(other, tmp_path / "fresh")
    assert fresh != one
    assert study(other, tmp_path / "out") == fresh


def test_data_replaced_while_workers_start_are_refused(tmp_path: Path) -> None:
    session: Any = Session(Store(tmp_path), scale("smoke"), progress=False)
    cell = {"settings": TINY.to_json(), "data": session._content(TINY.__class__())}
    forgotten()
    with pytest.raises(DataError, match="folder has changed since the command began"):
        train_cell(cell, str(folder(tmp_path / "a", 0)), "cpu", str(tmp_path / "runs"))
    with pytest.raises(DataError, match="folder has changed since the command began"):
        experiments._run(cell, str(tmp_path / "a"))


def seen(cell: Any) -> Any:
    return cell["device"]


def test_the_device_is_in_the_key(tmp_path: Path) -> None:
    session: Any = Session(Store(tmp_path), scale("smoke"), progress=False, device="cpu")
    kept: list[Any] = []
    session._compute = lambda function, cells, *_: kept.extend(cells) or [None]
    session._run([Settings()], "")
    assert list(compute(seen, kept, Store(tmp_path), progress=False)) == ["cpu"]
