"""Training studies from Python: the loop over arms, steps and seeds, twins, and pix2pix."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

from deep import checkpoint
from deep.gan import GanSettings, train_gan
from deep.runs import Runs
from deep.settings import MAX_SEED, Settings
from deep.study import seeds_of, train_study, twin_study
from deep.training import Trainer
from theorylab.errors import UsageError
from theorylab.studies.report import Report
from theorylab.studies.scale import Scale

TINY = Settings(model="two_conv", optimizer="sgd", steps=2, train_samples=32, batch_size=16,
                evaluations=2)  # fmt: skip
PIX = GanSettings(epochs=1, samples=2, width=4, image_size=32)


@cache
def made(name: str) -> Report:
    out = mkdtemp()
    if name == "train":
        return train_study(
            TINY,
            arms={"sgd": TINY, "half": replace(TINY, lr=TINY.step_size / 2)},
            seeds=2,
            threshold=99.0,
            device="cpu",
            out=out,
            progress=False,
        )
    if name == "twins":
        return twin_study(TINY, count=2, device="cpu", out=out, progress=False)
    return train_gan(PIX, device="cpu", images=0, out=out, progress=False)


@pytest.mark.parametrize("name", ["train", "twins", "gan"])
def test_its_report_shows_itself_in_every_form(name: str, tmp_path: Path) -> None:
    report = made(name)
    assert len(report.to_pandas())
    assert "<table" in report._repr_html_()
    assert "\\begin{tabular}" in report.to_latex()
    for ending in ("json", "csv", "tex", "html"):
        assert report.save(tmp_path / f"report.{ending}").stat().st_size > 0
    kept = json.loads((tmp_path / "report.json").read_text())
    assert {"schema", "provenance"} <= set(kept)


def test_arms_of_ones_own_are_run_at_every_seed(tmp_path: Path) -> None:
    half = replace(TINY, lr=TINY.step_size / 2)
    found = train_study(TINY, arms={"sgd": TINY, "half": half}, seeds=2, threshold=99.0,
                        device="cpu", out=tmp_path, progress=False)  # fmt: skip
    assert [arm.name for arm in found] == ["sgd", "half"]
    assert found["half"].settings.step_size == TINY.step_size / 2
    assert {seed for arm in found for seed in arm.histories} == {0, 1}
    assert all(place is not None for arm in found for place in arm.hitting or (None,))
    assert [gain.arm for gain in found.gains] == ["half"]
    assert [line.seeds for line in found.summaries] == [2, 2]
    assert len(found.to_pandas()) == 2 * 2 * 3  # arms, seeds, measurements
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["arms"] == json.loads(json.dumps(found.to_json()["arms"]))


def test_a_later_call_adds_to_what_is_kept_and_reports_its_own(tmp_path: Path) -> None:
    train_study(TINY, device="cpu", out=tmp_path, progress=False)
    found = train_study(replace(TINY, seed=4), device="cpu", out=tmp_path, progress=False)
    assert list(found["sgd"].histories) == [4]
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["arms"]["sgd"]["seeds"] == [0, 4]


def losses(settings: Settings, out: Path) -> list[float]:
    found = train_study(settings, device="cpu", out=out, progress=False)
    return [row["train_loss"] for row in found["sgd"].histories[0]]


def test_runs_of_other_settings_in_one_folder_are_both_kept(tmp_path: Path) -> None:
    small = replace(TINY, batch_size=8)
    one, two = losses(TINY, tmp_path), losses(small, tmp_path)
    assert one != two
    (beside,) = tmp_path.glob("results-*.json")
    for path, settings, expected in ((beside, TINY, one), (tmp_path / "results.json", small, two)):
        (entry,) = json.loads(path.read_text())["arms"].values()
        assert entry["settings"]["batch_size"] == settings.batch_size
        assert [row["train_loss"] for row in entry["history"][0]] == expected
    assert len(list(tmp_path.glob("results-*.csv"))) == 1
    folders = sorted(path.parent.name for path in tmp_path.glob("sgd/*/checkpoint.pt"))
    assert folders[0] == "seed-0"
    assert len(folders) == 2
    # Each goes on from its own, and nothing is trained again.
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("sgd/*/checkpoint.pt")}
    assert (losses(TINY, tmp_path), losses(small, tmp_path)) == (one, two)
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_a_name_of_an_arm_stays_in_the_folder(tmp_path: Path) -> None:
    train_study(TINY, arms={"../../x": TINY}, device="cpu", out=tmp_path / "a" / "b",
                progress=False)  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_two_reports_of_one_name_are_both_kept(tmp_path: Path) -> None:
    target = tmp_path / "twins.json"
    one = twin_study(TINY, count=1, device="cpu", out=tmp_path, progress=False)
    two = twin_study(replace(TINY, seed=1), count=1, device="cpu", out=tmp_path, progress=False)
    (beside,) = tmp_path.glob("twins-*.json")
    assert json.loads(beside.read_text())["settings"]["seed"] == one.settings.seed
    assert json.loads(target.read_text())["settings"]["seed"] == two.settings.seed
    two.keep(target)  # the same run again takes its own place
    assert len(list(tmp_path.glob("twins*.json"))) == 2
    (tmp_path / "damaged.json").write_text("{")
    two.keep(tmp_path / "damaged.json")
    assert len(list(tmp_path.glob("damaged*.json"))) == 2


def test_a_mistake_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="seeds must be at most"):
        train_study(replace(TINY, seed=MAX_SEED), seeds=2, out=tmp_path)
    with pytest.raises(UsageError, match="unknown schedule"):
        train_study(replace(TINY, schedule="cosine"), out=tmp_path)
    assert not (tmp_path / "sgd").exists()


# --- on workers ------------------------------------------------------------------------------
def test_seeds_are_cells_on_workers_and_the_same_bits_as_here(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker has
    try:
        here = train_study(TINY, seeds=[3, 1], device="cpu", out=tmp_path / "a", progress=False)
    finally:
        torch.set_num_threads(threads)
    there = train_study(TINY, seeds=[3, 1], jobs=2, device="cpu", out=tmp_path / "b",
                        progress=False)  # fmt: skip
    for seed in (3, 1):
        mine, theirs = here["sgd"].histories[seed], there["sgd"].histories[seed]
        assert [{**row, "seconds": 0} for row in mine] == [{**row, "seconds": 0} for row in theirs]
        assert (tmp_path / "b" / "sgd" / f"seed-{seed}" / "history.json").exists()
    assert list(there["sgd"].histories) == [3, 1]
    assert there["sgd"].made == here["sgd"].made
    kept = json.loads((tmp_path / "b" / "results.json").read_text())
    assert kept["arms"]["sgd"]["seeds"] == [1, 3]
    # Finished cells are read, not trained again.
    again = train_study(TINY, seeds=[3, 1, 0], jobs=2, device="cpu", out=tmp_path / "b",
                        progress=False)  # fmt: skip
    assert again["sgd"].histories[3] == there["sgd"].histories[3]


def test_a_run_that_was_stopped_here_goes_on_on_a_worker(tmp_path: Path) -> None:
    longer = replace(TINY, steps=4)
    whole = train_study(longer, jobs=2, seeds=2, device="cpu", out=tmp_path / "a", progress=False)
    runs = Runs(None, torch.device("cpu"), (0, 1), tmp_path / "b", 30.0, False, Scale())
    trainer = Trainer(longer, runs.data(longer))
    base = tmp_path / "b" / "sgd" / "seed-0"
    trainer.folder = checkpoint.own_folder(base, longer.to_json(), trainer.made)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer.run(until=2, progress=False)
    finally:
        torch.set_num_threads(threads)
    found = train_study(longer, jobs=2, seeds=2, device="cpu", out=tmp_path / "b", progress=False)
    for seed in (0, 1):
        one, other = whole["sgd"].histories[seed], found["sgd"].histories[seed]
        assert [row["train_loss"] for row in one] == [row["train_loss"] for row in other]


@pytest.mark.parametrize("seeds", [0, [], [1, 1], [-1], 10**9])
def test_seeds_must_be_some_and_different(seeds: int | list[int]) -> None:
    with pytest.raises(UsageError, match="--seed"):
        seeds_of(0, seeds)


def test_tuning_and_arms_are_cells_too(tmp_path: Path) -> None:
    half = {"sgd": TINY, "half": replace(TINY, lr=TINY.step_size / 2)}
    found = train_study(TINY, arms=half, tune=True, jobs=2, device="cpu", out=tmp_path,
                        progress=False)  # fmt: skip
    assert len(list((tmp_path / "tuning").glob("*/*"))) == 10
    assert len(found) == 2
