"""Exhibits of the papers: drawn from stored data, beside what was printed; no work is lost."""

import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from deep.gpu.record import Record
from deep.settings import Settings
from paper_figures import session as session_module
from paper_figures.exhibit import Exhibit, Place, read_csv, write_csv
from paper_figures.exhibits import EXHIBITS, draw, exhibit, produce
from paper_figures.published import printed
from paper_figures.recipes import claimed, straight
from paper_figures.scale import SAMPLES, SCALES, Run, scaled
from paper_figures.session import Session, recorded, train_cell
from paper_figures.style import STYLES, line, style
from paper_figures.tables import compared, controls, latex, scores
from theorylab.cli import build
from theorylab.errors import UnknownNameError, UsageError
from theorylab.plugins.code import code_of
from theorylab.plugins.store import Store

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
    cell = {"kind": "train", "settings": settings.to_json(), "data": None}
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


# --- scales -------------------------------------------------------------------------------------
def test_a_preset_keeps_relative_lengths_and_says_what_it_reduced() -> None:
    base = Settings(data="cifar10", model="resnet18", batch_size=8, epochs=200.0)
    recipe = [
        Run("a", "", base), Run("b", "", replace(base, batch_size=32)),
        Run("c", "", replace(base, epochs=20.0)), Run("d", "", replace(base, data="svhn")),
    ]  # fmt: skip
    preset = replace(SCALES["laptop"], steps=1000, batch=16)
    found, left_out = scaled(recipe, preset, {"digits": 1437})
    assert [run.settings.batch_size for run in found] == [4, 16, 4]
    a, b, c = (run.settings.steps for run in found)
    assert (a, c) == (1000, 100)
    assert abs(4 * b - a) <= 4
    assert "digits for cifar10" in found[0].scale
    assert "resnet20 for resnet18" in found[0].scale
    assert [(run.row, "svhn" in reason or "cifar10" in reason) for run, reason in left_out] == [
        ("d", True)
    ]
    whole, none = scaled(recipe, SCALES["paper"], {})
    assert not none
    assert all(run.scale == "" and run.settings.epochs in (200.0, 20.0) for run in whole)


def test_a_method_that_drops_layers_needs_a_network_that_can() -> None:
    base = Settings(data="cifar10", model="vgg11", batch_size=8, epochs=1.0)
    recipe = [
        Run("a", "", replace(base, model_options={"depth_dropout": 0.5})),
        Run("b", "", replace(base, model="resnet18", model_options={"stochastic_depth": 0.5})),
    ]
    found, left_out = scaled(recipe, SCALES["laptop"], {"digits": 1437})
    assert [(r.row, dict(r.settings.model_options)) for r in found] == [
        ("b", {"stochastic_depth": 0.5})
    ]
    assert "no depth to drop" in left_out[0][1]


# --- tables -------------------------------------------------------------------------------------
def rows(
    row: Any, column: Any, accuracies: Any, arm: str = "", scale: str = "", wanted: Any = 5
) -> Any:
    """One run a seed: a curve that ends at the given accuracy."""
    return [
        {"row": row, "column": column, "arm": arm, "seed": seed, "seeds": wanted, "steps": steps,
         "test_accuracy": value * steps / 100, "scale": scale}
        for seed, value in enumerate(accuracies) for steps in (0, 50, 95, 100)
    ]  # fmt: skip


def table_of(data: Any) -> Any:
    item = Exhibit("tralgo.table_4", "", "Table 4", lambda _: data, lambda *_: None, straight())
    return compared(item, data).set_index(["row", "column"])


def test_published_beside_measured() -> None:
    data = pd.DataFrame(
        rows("SGD", "2", [0.85, 0.86, 0.87, 0.85, 0.86])
        + rows("TRSGD", "2", [0.70, 0.71, 0.69], scale="digits for cifar10")
        + rows("SGD", "8", [0.9])
        + rows("SGD", "32", [math.nan, 0.9, 0.91])
    )
    table = table_of(data)
    first = table.loc["SGD", "2"]
    assert first.published == pytest.approx(85.69)
    assert first.measured == pytest.approx(85.8)
    assert first.difference == pytest.approx(0.11)
    assert (first["told apart"], first.scale) == ("no", "as in the paper")
    # Student's interval of 70, 71, 69: 70 -+ 4.303 / sqrt(3).
    second = table.loc["TRSGD", "2"]
    assert (second.low, second.high) == pytest.approx((70 - 2.4843, 70 + 2.4843), abs=1e-3)
    assert second["told apart"] == "yes"
    assert second.scale == "digits for cifar10; 3 of 5 seeds"
    assert table.loc["SGD", "8"]["told apart"] == "one seed"
    assert math.isnan(table.loc["SGD", "8"].low)
    assert table.loc["SGD", "32"].seeds == 2
    assert "1 of 3 seeds diverged" in table.loc["SGD", "32"].scale


def test_statistics_of_a_run() -> None:
    data = pd.DataFrame(
        [{"row": "a", "column": "b", "arm": "", "seed": 0, "steps": s, "test_accuracy": v}
         for s, v in ((0, 0.1), (80, 0.9), (95, 0.5), (100, 0.7))]
    )  # fmt: skip
    for statistic, value in (("final", 70.0), ("last tenth", 60.0), ("maximum", 90.0)):
        assert scores(data, "a", "b", "", statistic) == {0: pytest.approx(value)}


def test_a_printed_improvement_is_paired_over_seeds() -> None:
    data = pd.DataFrame(rows("r", "SGD", [0.5, 0.6]) + rows("r", "Ours", [0.52, 0.62]))
    place = Place("VGG11/B=16", "improvement/1/2", ("r", "Ours"), "final", ("r", "SGD"))
    item = Exhibit("stochastic_batch_size.table_4", "", "", lambda _: data, lambda *_: None,
                   lambda _: [place])  # fmt: skip
    (found,) = compared(item, data).to_dict("records")
    assert found["measured"] == pytest.approx(2.0)
    assert (found["low"], found["high"]) == pytest.approx((2.0, 2.0))


def test_which_part_of_a_gain_survives() -> None:
    method = [0.80, 0.81, 0.82]
    data = pd.DataFrame(
        rows("M", "c", method)
        + rows("M", "c", [0.70, 0.712, 0.721], "same gradients")
        + rows("M", "c", [0.80, 0.82, 0.81], "lambda=0")
        + rows("M", "c", [0.75, 0.74, 0.76], "own step")
        + rows("M", "c", [0.90, 0.891, 0.911], "same gradients, own step")
        + rows("M", "d", [0.8, 0.9]) + rows("M", "d", [0.7, 0.8], "same rounds")
    )  # fmt: skip
    found = {(r["column"], r["arm"]): r for r in controls(data).to_dict("records")}
    assert found["c", "same gradients"]["survives"] == "yes"
    assert found["c", "lambda=0"]["survives"] == "undecided"
    own = found["c", "same gradients, own step"]
    assert own["survives"] == "no"  # against the method at its own step
    assert own["gain"] == pytest.approx(-15.07, abs=0.01)
    assert ("c", "own step") not in found
    # Two seeds that differ by the same ten points are no evidence.
    assert found["d", "same rounds"]["survives"] == "undecided"


def test_control_arms_have_the_methods_work() -> None:
    settings = Settings(optimizer="trsgd", lr=0.1, epochs=10.0, options={"S": 10})
    found = {run.arm: run for run in claimed("M", "c", settings)}
    assert found["same gradients"].settings.epochs == 10.0
    assert found["same rounds"].settings.epochs == 1.0
    assert found["lambda=0"].settings.options["lam"] == 0.0
    assert found["own step"].tune
    assert found["same gradients, own step"].tune


@pytest.mark.parametrize("key", ["tralgo.table_4", "stochastic_batch_size.table_5", "sngm.table_1"])
def test_latex_compiles(key: str, session: Any, tmp_path: Path, no_training: Any) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    item = exhibit(key)
    session.scale = replace(TINY, seeds=3)
    data = item.compute(session)
    body = item.tables(data) if item.tables else latex(
        item, compared(item, data), controls(data), {"command": "x_y % z"}
    )  # fmt: skip
    packages = "booktabs,longtable,amsmath,amssymb,graphicx"
    (tmp_path / "page.tex").write_text(
        f"\\documentclass{{article}}\\usepackage{{{packages}}}\n\\begin{{document}}\n{body}"
        "\\end{document}\n"
    )
    ran = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:]


def test_pgf_compiles(session: Any, tmp_path: Path, no_training: Any) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    keys = ("tralgo.table_4", "lrsgd.figure_2", "lrsgd.figure_s1", "tralgo.figure_4")
    for key in keys:  # texts with underscores, percent signs, mathematics; images
        produce(exhibit(key), session, tmp_path, style("iclr"), ("pgf",))
    page = "\n".join(rf"\input{{{key}.pgf}}\clearpage" for key in keys)
    (tmp_path / "page.tex").write_text(
        f"\\documentclass{{article}}\\usepackage{{pgf,amsmath,amssymb,lmodern}}\n"
        f"\\begin{{document}}{page}\\end{{document}}\n"
    )
    ran = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:]


# --- looks --------------------------------------------------------------------------------------
def test_lines_are_told_apart_in_grey() -> None:
    looks = [line(i) for i in range(8)]
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == 8
    grey = []
    for look in looks[:4]:
        r, g, b = (int(look["color"][k : k + 2], 16) for k in (1, 3, 5))
        grey.append(0.299 * r + 0.587 * g + 0.114 * b)
    assert min(abs(a - b) for i, a in enumerate(grey) for b in grey[:i]) > 15


@pytest.mark.parametrize("name", STYLES)
def test_figures_have_the_venues_width_and_their_fonts(
    name: Any, session: Any, tmp_path: Path, no_training: Any
) -> None:
    item = exhibit("tralgo.figure_1")
    made = produce(item, session, tmp_path, style(name), ("pdf", "svg"))
    svg = next(path for path in made.files if path.suffix == ".svg").read_text()
    (width,) = re.findall(r'<svg [^>]*?width="([\d.]+)pt"', svg)
    assert float(width) == pytest.approx(72 * style(name).page, abs=0.01)
    assert "<text" not in svg  # glyphs are drawn
    pdf = next(path for path in made.files if path.suffix == ".pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


# --- the command --------------------------------------------------------------------------------
def refused(*arguments: Any) -> Any:
    result = CliRunner().invoke(build(), ["figure", *arguments])
    assert isinstance(result.exception, UsageError), result.output
    message = str(result.exception.args[0])
    assert "\n" not in message
    return message


def test_mistakes_get_one_clear_line(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path)]
    assert "did you mean sngm.table_2" in refused("sngm.tabel_2", *out)
    assert "nowhere does not exist" in refused("sngm.table_2", "--data-dir", "nowhere", *out)
    missing = refused("sngm.table_2", "--preset", "paper", *out)
    assert "cifar10: a directory with" in missing
    assert "unknown preset 'huge'" in refused("sngm.table_2", "--preset", "huge", *out)
    assert "unknown style" in refused("sngm.table_2", "--style", "nature", *out)
    assert "unknown 'gif'" in refused("sngm.table_2", "--formats", "gif", *out)
    with pytest.raises(UnknownNameError, match="unknown exhibit"):
        exhibit("sngm.table_9")


COMMITTED = sorted((Path(__file__).parent.parent / "docs" / "exhibits").rglob("*.csv"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_committed_data_are_of_exhibits_and_say_how_they_were_made(path: Any) -> None:
    _, made = read_csv(path)
    assert made["exhibit"] in EXHIBITS
    assert made["command"].startswith("theorylab figure ")
    assert made["exhibit"] in made["command"] or "--all" in made["command"]
    assert path.stat().st_size < 2**20


def test_exhibits_are_listed() -> None:
    result = CliRunner().invoke(build(), ["figure", "--list"])
    assert result.exit_code == 0
    assert all(key in result.output for key in EXHIBITS)


def test_data_come_back_as_they_were_written(tmp_path: Path) -> None:
    data = pd.DataFrame({"row": ["a, b", "1"], "arm": ["", "x"], "value": [1.5, math.nan]})
    path = write_csv(tmp_path / "x.csv", data, {"seed": 3})
    again, kept = read_csv(path)
    assert kept == {"seed": 3}
    pd.testing.assert_frame_equal(data, again)
    path.write_text(json.dumps({"not": "this"}))
    with pytest.raises(UsageError, match="not what"):
        read_csv(path)
