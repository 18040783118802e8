"""Exhibits of the papers: drawn from stored data, beside what was printed; no work is lost."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exhibit_session import TINY, invented
from PIL import Image
from typer.testing import CliRunner

from deep.data import load
from deep.gpu.record import Record
from deep.settings import Settings
from paper_figures import session as session_module
from paper_figures.exhibit import read_csv
from paper_figures.exhibits import EXHIBITS, draw, exhibit, produce
from paper_figures.published import printed
from paper_figures.scale import SAMPLES, SCALES
from paper_figures.session import Session, recorded, train_cell
from paper_figures.style import style
from paper_figures.tables import compared, controls
from theorylab.cli import build
from theorylab.errors import UsageError
from theorylab.plugins.code import code_of

# What the issue lists, by paper.
WANTED = {
    "tralgo": "figure_1 figure_2 figure_3 figure_4 table_1 table_2 table_3 table_4 table_5",
    "lrsgd": "table_1 figure_1 figure_2 figure_3a figure_3b figure_s1",
    "sngm": "figure_1 figure_2 figure_3 table_1 table_2 table_3",
    "stochastic_batch_size": "figure_1 figure_2 table_1 table_2 table_3 table_4 table_5",
}


# No gain is claimed: SGD alone, or a rate; images, and the table over S's sibling without arms.
NO_CLAIM = {
    "tralgo.figure_1", "tralgo.figure_4", "lrsgd.figure_2", "lrsgd.figure_s1", "sngm.figure_1",
    "sngm.table_1", "stochastic_batch_size.table_2",
}  # fmt: skip


def test_every_exhibit_of_the_issue_is_there() -> None:
    wanted = {f"{paper}.{name}" for paper, names in WANTED.items() for name in names.split()}
    assert set(EXHIBITS) == wanted
    assert all(item.supports for item in EXHIBITS.values())


@pytest.mark.parametrize("key", EXHIBITS)
def test_every_exhibit_is_drawn(key: Any, session: Any, tmp_path: Path, no_training: Any) -> None:
    item = exhibit(key)
    session.scale = replace(TINY, seeds=3)
    made = produce(item, session, tmp_path / "out", style("neurips"), ("svg",))
    assert made.missing == 0
    assert {path.suffix for path in made.files} >= {".csv", ".svg"}
    arms = [path for path in made.files if path.name.endswith(".arms.csv")]
    assert bool(arms) == (key not in NO_CLAIM)
    if item.places is not None:
        table, _ = read_csv(tmp_path / "out" / f"{key}.table.csv")
        assert {"published", "measured", "low", "high", "seeds", "difference", "told apart",
                "scale"} <= set(table)  # fmt: skip
        assert not (table.scale == "as in the paper").any()  # nothing here is at that scale


def test_drawing_needs_the_data_file_alone(
    session: Any, tmp_path: Path, no_training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = produce(exhibit("sngm.table_2"), session, tmp_path, style("iclr"), ("svg",))
    monkeypatch.setattr(Session, "train", None)
    other = tmp_path / "elsewhere" / made.files[0].name
    other.parent.mkdir()
    shutil.copyfile(made.files[0], other)
    again = draw(exhibit("sngm.table_2"), other, style("iclr"), ("svg",))

    def content(paths: Any) -> Any:  # matplotlib names clip paths after addresses in memory
        return {p.name: re.sub(r"\bp[0-9a-f]{10}\b", "clip", p.read_text()) for p in paths}

    assert content(again).items() <= content(made.files).items()


@pytest.mark.parametrize("key", [k for k, item in EXHIBITS.items() if item.places])
def test_every_printed_result_has_its_place(key: Any, session: Any, no_training: Any) -> None:
    item = exhibit(key)
    table = compared(item, item.compute(session))
    inputs = ("warm-up", "initial learning rate", "power", "batch size")
    wanted = [c for c in printed(item.paper, item.table) if c.column not in inputs]
    assert list(zip(table.row, table.column, strict=True)) == [(c.row, c.column) for c in wanted]


def test_the_papers_recipes_are_run_as_they_are(session: Any, no_training: Any) -> None:
    """At the paper's scale nothing is reduced, and every setting fits its method and network."""
    session.scale = SCALES["paper"]
    session._data = lambda name, like: type("Data", (), {"train": range(SAMPLES[name])})()
    session._digest = lambda name: None
    seen = []
    for key, item in EXHIBITS.items():
        if item.data in ("cityscapes", ""):
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Session, "_run", lambda self, settings, stage: [
                seen.append(s) or invented({"kind": "", "settings": {"steps": 1, "seed": s.seed}})
                for s in settings
            ])  # fmt: skip
            data = item.compute(session)
        assert (data.scale == "").all(), key
    models = {s.model for s in seen}
    assert {"resnet101", "densenet121", "vgg16", "resnet50_imagenet", "resnet56"} <= models
    warm = [s for s in seen if s.warmup]
    assert warm
    assert all((s.warmup, s.warmup_from) == (5.0, 0.1) for s in warm)


# --- training, resuming -------------------------------------------------------------------------
def test_an_exhibit_runs_and_every_file_carries_its_provenance(
    session: Any, tmp_path: Path
) -> None:
    item = exhibit("tralgo.figure_1")
    made = produce(item, session, tmp_path, style("aaai"))
    kinds = {path.suffix for path in made.files}
    assert {".csv", ".pdf", ".svg", ".png"} <= kinds
    assert (".pgf" in kinds) == (shutil.which("pdflatex") is not None)
    data, kept = read_csv(made.files[0])
    assert kept["exhibit"] == item.key
    assert kept["preset"] == "smoke"
    assert set(data.row) == {"batch 8", "batch 32", "batch 128"}
    code = kept["code"].encode()
    for path in made.files:
        if path.suffix == ".pdf":
            assert b"theorylab" in path.read_bytes()
        else:
            assert code in path.read_bytes(), path


@pytest.mark.parametrize("inner", ["", "folder"])
def test_data_of_the_users_stand_in_and_are_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    monkeypatch.setenv("THEORYLAB_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for kind in ("cat", "dog"):
            folder = tmp_path / "data" / inner / split / kind
            folder.mkdir(parents=True)
            for i in range(8):
                pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i:04d}.jpg")
    out = tmp_path / "out"
    result = CliRunner().invoke(build(), [
        "figure", "tralgo.figure_1", "--preset", "smoke", "--data", "folder",
        "--data-dir", str(tmp_path / "data"), "--formats", "svg", "--out", str(out),
    ])  # fmt: skip
    assert result.exit_code == 0, result.output
    data, made = read_csv(out / "tralgo.figure_1.csv")
    assert "folder for cifar10" in data.scale.iloc[0]
    assert len(made["data"]["folder"]) == 32


def test_a_stopped_exhibit_goes_on_with_what_it_lacks(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = exhibit("tralgo.figure_1")
    ran: list[Any] = []

    def stopping(cell: Any, **options: Any) -> Any:
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(cell)
        return train_cell(cell, **options)

    stopping.__module__ = train_cell.__module__  # the same code behind the cell
    monkeypatch.setattr(session_module, "train_cell", stopping)
    with pytest.raises(KeyboardInterrupt):
        item.compute(session)
    monkeypatch.setattr(session_module, "train_cell", train_cell)
    first = [session.store.path(cell, code_of(train_cell, cell)) for cell in ran]
    times = [path.stat().st_mtime_ns for path in first]
    item.compute(session)
    assert [path.stat().st_mtime_ns for path in first] == times


def test_a_half_written_result_is_said_and_computed_again(
    session: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    item = exhibit("tralgo.figure_1")
    before = item.compute(session)
    (victim, *others) = sorted((session.store.root / "cells").glob("*.json"))
    victim.write_text(victim.read_text()[:40])
    times = [path.stat().st_mtime_ns for path in others]
    after = item.compute(session)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "1 damaged" in lines[0]
    pd.testing.assert_frame_equal(
        before.drop(columns="seconds"), after.drop(columns="seconds"), check_dtype=False
    )
    assert [path.stat().st_mtime_ns for path in others] == times


def test_a_long_run_goes_on_within_its_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(model="two_conv", batch_size=8, steps=4, evaluations=2, evaluate_samples=8)
    cell = {"kind": "train", "settings": settings.to_json(), "data": load("digits").digest}
    whole = train_cell(cell, None, "cpu", str(tmp_path / "a"))
    monkeypatch.setattr(session_module, "_LONG", 1)

    class Stopped(session_module.Trainer):
        def run(self, **options: Any) -> None:
            super().run(until=2, checkpoint_every=0.0, **options)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(session_module, "Trainer", Stopped)
        with pytest.raises(KeyboardInterrupt):
            train_cell(cell, None, "cpu", str(tmp_path / "b"))
    (folder,) = (tmp_path / "b").iterdir()
    assert (folder / "checkpoint.pt").is_file()
    again = train_cell(cell, None, "cpu", str(tmp_path / "b"))
    assert {k: v for k, v in again.items() if k != "seconds"} == {
        k: v for k, v in whole.items() if k != "seconds"
    }
    assert not folder.exists()


def test_what_a_gpu_recorded_stands_in_the_table(
    session: Any, tmp_path: Path, no_training: Any
) -> None:
    path = tmp_path / "gpu.jsonl"
    record = Record(path, quiet=True)
    result = {
        "exhibit": "sngm.table_2", "row": "SNGM", "column": "resnet20", "data": "CIFAR-10",
        "settings": {"data": "cifar10", "optimizer": "sngm", "batch_size": 4096, "lr": 1.6},
        "seed": 0, "share": 0.5,
        "history": [{"steps": s, "test_accuracy": a} for s, a in ((0, 0.1), (10, 0.8))],
    }  # fmt: skip
    record.attempt("cells", "sngm.table_2/SNGM/resnet20", lambda: result, 10)
    record.attempt("cells", "sngm.table_2/LARS/resnet20", lambda: 1 / 0, 10)
    session.recorded = recorded(path)
    item = exhibit("sngm.table_2")
    table = compared(item, item.compute(session)).set_index("row")
    found = table.loc["ResNet20/SNGM"]
    assert found.measured == pytest.approx(80.0)
    assert found.scale == "50% of the gradients; 1 of 3 seeds"
    assert "digits" in table.loc["ResNet20/LARS"].scale
    path.write_text("")
    with pytest.raises(UsageError, match="no finished cells"):
        recorded(path)


def test_recorded_arms_are_compared_with_recorded_methods_alone(
    session: Any, tmp_path: Path, no_training: None
) -> None:
    path, other = tmp_path / "one.jsonl", tmp_path / "two.jsonl"

    def write(file: Path, arm: str, seed: int, share: float, accuracy: float) -> None:
        result = {
            "exhibit": "tralgo.table_4", "row": "TRSGD", "column": "8", "arm": arm,
            "data": "CIFAR-10-JPEG", "seed": seed, "share": share,
            "settings": {"data": "cifar10-jpeg", "optimizer": "trsgd", "batch_size": 8, "lr": 0.1},
            "history": [{"steps": s, "test_accuracy": a} for s, a in ((0, 0.1), (9, accuracy))],
        }  # fmt: skip
        name = f"tralgo.table_4/TRSGD/8/{arm}/seed {seed}"
        Record(file, quiet=True).attempt("cells", name, lambda: result, 10)

    write(path, "", 0, 0.5, 0.99)  # another length: what was recorded last counts
    for seed in range(3):
        write(other, "", seed, 0.01, 0.4 + 0.01 * seed)
        write(other, "mean step", seed, 0.01, 0.5 + 0.011 * seed)
    write(other, "authors' code", 0, 0.01, 0.3)
    session.recorded = recorded(path, other)
    item = exhibit("tralgo.table_4")
    data = item.compute(session)
    table = compared(item, data).set_index(["row", "column"])
    found = table.loc["TRSGD", "8"]
    assert found.measured == pytest.approx(41.0)
    assert found.scale == "CIFAR-10-JPEG for cifar10; 1% of the gradients; 3 of 5 seeds"
    arms = controls(data)
    here = arms[(arms.row == "TRSGD") & (arms.column == "8")].set_index("arm")
    # The preset's arms, on other data, are no arms of what was recorded.
    assert set(here.index) == {"mean step", "authors' code"}
    assert here.loc["mean step"].gain == pytest.approx(-10.1)
    assert (here.loc["mean step"].survives, here.loc["mean step"].seeds) == ("no", 3)
    lost = data[(data.row == "TRSGD") & (data.column == "8") & (data.arm == "lambda=0")]
    assert lost.scale.item().startswith("not run: the method's run was recorded elsewhere")
    assert "digits" in table.loc["TRSGD", "32"].scale


def test_photos_are_scored_by_each_reader_and_shown(session: Any) -> None:
    session.scale = replace(TINY, image_size=32)
    table = exhibit("tralgo.table_3")
    data = table.compute(session)
    assert set(data.row) == {"GT", "Adam", "TRAdam"}
    truth = data[data.row == "GT"].per_pixel.item()
    assert 0 < truth <= 1
    assert data[data.row == "Adam"].per_pixel.max() <= 1
    assert "a small network trained on the pairs for DPC-xception71" in data.scale.iloc[0]
    images = exhibit("tralgo.figure_4").compute(session)
    assert len(images) == 2 * 3 * 4
    session.scale = SCALES["paper"]
    session._digest = lambda name: None
    with pytest.raises(UsageError, match="--segmenter and --weights"):
        table.compute(session)


@pytest.mark.slow
def test_the_smoke_preset_draws_every_exhibit(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        build(), ["figure", "--all", "--preset", "smoke", "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    assert {p.name.removesuffix(".png") for p in tmp_path.glob("*.png")} == set(EXHIBITS)
