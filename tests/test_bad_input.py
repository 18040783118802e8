"""What a user may type: one clear line, and no traceback, whatever the option and the value."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from fuzzing import run
from typer.testing import CliRunner

from deep.data.source import Source
from deep.data.synthetic import generate_images
from theorylab.cli import build
from theorylab.errors import DataError, UsageError

TRAIN = "train --model two_conv --steps 1 --batch-size 8 --evaluations 1"
REFUSED = {
    f"{TRAIN} --device meta": "--device must be cpu, cuda or auto",
    f"{TRAIN} --device mps": "--device must be cpu, cuda or auto",
    f"{TRAIN} --measures 1": "measures must be 0 or at least 2",
    f"{TRAIN} --dropout 2": "network 'two_conv' with dropout=2.0",
    f"{TRAIN} --schedule poly:nan": "arguments must be finite",
    f"{TRAIN} --schedule poly:1:2:3:4": "too many arguments",
    f"{TRAIN} --schedule constant:5": "too many arguments",
    f"{TRAIN} --schedule poly:1,2": "too many arguments",
    f"{TRAIN} --set momentum=abc": "momentum must be a number",
    "segment --data synthetic-images": "pairs of images required",
    "gan --data digits": "pairs of images required",
    "gan --segmenter os:system --weights x --samples 1 --image-size 32": "gives no network",
    "compare --data digits --batch-sizes 0 --budget 0": "batch_size must be positive",
    "verify sngm.lemma_2 --objective quadratic --set dim=1e12": "not enough memory",
    "verify sngm.lemma_2 --objective quadratic --set dim=banana": "dim='banana'",
    f"falsify sngm.lemma_2 --instances 2 --database {__file__}": "database is a folder",
    "calibration --replicas 31": "replicas must be an integer of at least 32, got 31",
    "verify sngm.lemma_2 --paper lrsgd": "is not in the paper lrsgd",
    "statements --paper lrsgd sngm.lemma_2": "is not in the paper lrsgd",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_is_refused_in_a_line(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(build(), shlex.split(line))
    assert isinstance(done.exception, UsageError), done.exception
    assert REFUSED[line] in str(done.exception)


def test_images_are_enlarged_within_memory_alone() -> None:
    """A default side of 256 made 12 GB of 60,000 images once, before they were refused."""
    few = Source("few", lambda: generate_images(train=20, test=10))
    assert few.load(image_size=40).train.shape == (3, 40, 40)
    with pytest.raises(DataError, match="30 images of side 40000 would take 134 GiB"):
        few.load(image_size=40_000)


def test_more_evaluations_than_steps_are_one_a_step(tmp_path: Path) -> None:
    from deep.settings import Settings
    from deep.training import Trainer, load_data

    chosen = Settings(model="two_conv", steps=4, batch_size=8, evaluations=10**12, train_samples=32)
    assert Trainer(chosen, load_data(chosen))._due == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "line",
    ["verify sngm.lemma_2 --out=", "train --out=", "falsify --database=", "gan --data-dir=",
     "statements ''", "figure --recorded=a --recorded=", "results ls ''", "errata --out="],
)  # fmt: skip
def test_no_option_takes_an_empty_value(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a path it would be the working directory."""
    monkeypatch.chdir(tmp_path)
    ended = run(shlex.split(line))
    assert ended.code == 2
    assert ended.err.endswith("a value is required, got an empty one\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    ["verify --replicas 1000000000000", "verify --instances 99999999999", "train --seeds 1000001",
     "stability --pairs 1000000000", "stability --seeds 1000000000", "power --seeds 1000001",
     "gan --image-size 1000000", "segment --image-size 10000", "compare --seeds 1000000000",
     "worst-case --count 1000000000", "calibration --repetitions 1000000000",
     "stability --n 20,1000000000000", "stability --steps 1000000000000",
     "figure sngm.theorem_1 --replicas 1000000000", "falsify --instances 1000000000"],
)  # fmt: skip
def test_a_count_has_a_ceiling(line: str) -> None:
    ended = run(line.split())
    assert ended.code == 2
    assert "1000000" in ended.err or "4096" in ended.err  # the largest there is


def test_brackets_in_names_are_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = "[bold]a[/b"
    ended = run(["verify", "sngm.lemma_2", "--objective", "quadratic", "--replicas", "4",
                 "--instances", "0", "--out", out], 60)  # fmt: skip
    assert ended.code == 0
    assert f"results: {out}/results.json" in ended.out


def test_control_characters_do_not_reach_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in (["verify", "--data", "\x1b[31m\x07.csv"], ["errata", "--results", "a\nb\x1b[2J"],
                 ["figure-verdicts", "\x9b31m"]):  # fmt: skip
        ended = run(line)
        assert ended.code == 2
        assert ended.err.count("\n") == 1
        assert ended.err.strip().isprintable()
