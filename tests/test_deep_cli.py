"""The commands train, compare and gan, run as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from deep.data import load
from theorylab.cli import build
from theorylab.errors import DataError, UsageError

TINY = ("train", "--model", "two_conv", "--train-samples", "64", "--batch-size", "16", "--epochs",
        "1", "--evaluations", "2")  # fmt: skip


def call(*arguments: str) -> Any:
    result = CliRunner().invoke(build(), list(arguments))
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_train_prints_and_keeps_its_results(tmp_path: Path) -> None:
    out = tmp_path / "run"
    text = call(*TINY, "--optimizer", "sngm", "--momentum", "0.5", "--seeds", "2", "--threshold",
                "9", "--measures", "32", "--device", "cpu", "--out", str(out))  # fmt: skip
    assert "accuracy" in text
    assert "reaches the threshold" in text
    assert "||gradient||" in text
    kept = json.loads((out / "results.json").read_text())
    entry = kept["arms"]["sngm"]
    assert entry["settings"]["options"] == {"momentum": 0.5}
    assert [len(history) for history in entry["history"]] == [3, 3]
    row = entry["history"][0][-1]
    assert {"rounds", "gradients", "seconds", "gap", "gradient_norm", "noise_variance",
            "hessian_norm"} <= set(row)  # fmt: skip
    for seed in (0, 1):
        assert (out / "sngm" / f"seed-{seed}" / "checkpoint.pt").is_file()
        history = json.loads((out / "sngm" / f"seed-{seed}" / "history.json").read_text())
        assert history == entry["history"][seed]
    again = call(*TINY, "--optimizer", "sngm", "--momentum", "0.5", "--seeds", "2", "--measures",
                 "32", "--device", "cpu", "--out", str(out), "--json")  # fmt: skip
    assert json.loads(again)["arms"]["sngm"]["history"] == entry["history"]


def test_a_second_optimizer_and_seed_join_the_first(tmp_path: Path) -> None:
    call(*TINY, "--optimizer", "sgd", "--out", str(tmp_path))
    call(*TINY, "--optimizer", "sngm", "--out", str(tmp_path))
    call(*TINY, "--optimizer", "sgd", "--seed", "3", "--out", str(tmp_path))
    arms = json.loads((tmp_path / "results.json").read_text())["arms"]
    assert {name: arm["seeds"] for name, arm in arms.items()} == {"sgd": [0, 3], "sngm": [0]}
    for name, arm in arms.items():
        for seed, history in zip(arm["seeds"], arm["history"], strict=True):
            path = tmp_path / name / f"seed-{seed}" / "history.json"
            assert history == json.loads(path.read_text())
    rows = pd.read_csv(tmp_path / "results.csv")
    assert len(rows) == 9  # three runs of three measurements
    assert set(rows["arm"]) == {"sgd", "sngm"}
    last = rows[(rows["arm"] == "sgd") & (rows["seed"] == 3)].iloc[-1]
    assert last["test_loss"] == pytest.approx(arms["sgd"]["history"][1][-1]["test_loss"])
    assert arms["sgd"]["last_tenth"][1] == arms["sgd"]["history"][1][-1]["test_accuracy"]
    call(*TINY, "--optimizer", "sgd", "--seed", "9", "--batch-size", "8", "--out", str(tmp_path))
    (beside,) = tmp_path.glob("results-*.json")
    assert json.loads(beside.read_text())["arms"] == arms


def test_what_the_papers_recipes_need_can_be_set(tmp_path: Path) -> None:
    arguments = ("--model", "resnet20", "--stochastic-depth", "0.5", "--optimizer", "tradam",
                 "--set", "beta1=0.5", "--set", "amsgrad=true", "--set", "variant=authors",
                 "--warmup", "1", "--warmup-from", "0.001", "--steps", "1", "--train-samples", "8",
                 "--batch-size", "8", "--evaluations", "1")  # fmt: skip
    table = json.loads(call("train", *arguments, "--json", "--out", str(tmp_path)))
    given = table["arms"]["tradam"]["settings"]
    assert given["model_options"] == {"stochastic_depth": 0.5}
    assert given["options"] == {"beta1": 0.5, "amsgrad": True, "variant": "authors"}
    assert given["warmup_from"] == 0.001
    assert table["arms"]["tradam"]["history"][0][-1]["lr"] == pytest.approx(0.001)
    with pytest.raises(UsageError, match="no stochastic depth"):
        call(*TINY, "--stochastic-depth", "0.5", "--out", str(tmp_path))


def test_tensorboard_can_read_the_logs(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    call(*TINY, "--out", str(tmp_path))
    assert list((tmp_path / "msgd" / "seed-0").glob("events.out.tfevents.*"))


def test_arms_are_tuned_apart_and_reported(tmp_path: Path) -> None:
    text = call(*TINY, "--optimizer", "lrsgd_c", "--set", "S=2", "--arms", "--tune", "--seeds", "2",
                "--json", "--out", str(tmp_path))  # fmt: skip
    table = json.loads(text)
    assert set(table["arms"]) == {"lrsgd_c", "lambda=0", "mean step", "same gradients",
                                  "same rounds"}  # fmt: skip
    assert table["arms"]["lrsgd_c"]["settings"]["options"] == {"S": 2}
    assert len(list((tmp_path / "tuning" / "lambda=0").iterdir())) == 5
    assert "same rounds" in table["report"]
    assert {row["survives"] for row in table["gains"]} <= {"yes", "no", "undecided"}


def test_twins_by_command(tmp_path: Path) -> None:
    table = json.loads(call(*TINY, "--twins", "1", "--json", "--out", str(tmp_path)))
    assert len(table["twins"]) == 1
    assert (tmp_path / "twins" / "checkpoint.pt").is_file()


def test_gan_by_command(tmp_path: Path) -> None:
    arguments = ("gan", "--optimizer", "tradam", "--epochs", "1", "--samples", "2", "--width", "4",
                 "--image-size", "32", "--out", str(tmp_path))  # fmt: skip
    table = json.loads(call(*arguments, "--json"))
    assert table["settings"]["lam"] is None
    assert {"l1", "psnr", "ssim", "per_pixel", "per_class", "class_iou"} <= set(table["result"])
    assert json.loads(call(*arguments, "--json")) == table


def test_a_segmentation_network_scores_the_photos(tmp_path: Path) -> None:
    weights = tmp_path / "segmenter.pt"
    text = call("segment", "--image-size", "32", "--epochs", "3", "--device", "cpu",
                "--out", str(weights))  # fmt: skip
    assert "--segmenter deep.segmentation:SmallSegmenter" in text
    arguments = ["gan", "--epochs", "1", "--samples", "2", "--width", "4", "--image-size", "32",
                 "--device", "cpu", "--images", "3", "--json"]  # fmt: skip
    mine = ["--segmenter", "deep.segmentation:SmallSegmenter", "--weights", str(weights)]
    table = json.loads(call(*arguments, *mine, "--out", str(tmp_path / "gan")))
    assert table["segmenter"] == "deep.segmentation:SmallSegmenter"
    # It reads the true photos well, and a generator that has just begun badly.
    assert table["ground_truth"]["per_pixel"] > 0.85
    assert table["result"]["per_pixel"] < table["ground_truth"]["per_pixel"]
    assert {"per_pixel", "per_class", "class_iou"} == set(table["ground_truth"])
    # Figure 4's grid: three rows of input, truth and output.
    with Image.open(tmp_path / "gan" / "images.png") as picture:
        assert picture.size == (2 + 3 * 34, 2 + 3 * 34)
    with np.load(tmp_path / "gan" / "images.npz", allow_pickle=False) as arrays:
        assert {name: arrays[name].shape for name in arrays} == dict.fromkeys(
            ("input", "truth", "output"), (3, 3, 32, 32)
        )
        data = load("generated-pairs", image_size=32)
        labels, photos = data.test.take(torch.arange(3))
        assert (arrays["input"] == labels.numpy()).all()
        assert (arrays["truth"] == photos.numpy()).all()
    # A network of the user's own, from a file, may read the classes as it likes.
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "class Own(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.bias = torch.nn.Parameter(torch.zeros(8))\n"
        "    def forward(self, x):\n"
        "        return self.bias[None, :, None, None].expand(len(x), 8, *x.shape[2:])\n"
    )
    torch.save({"bias": torch.tensor([9.0] + [0.0] * 7)}, tmp_path / "own.pt")
    own = ["--segmenter", f"{tmp_path}/own.py:Own", "--weights", str(tmp_path / "own.pt")]
    table = json.loads(call(*arguments, *own, "--out", str(tmp_path / "own")))
    assert table["ground_truth"]["per_class"] == pytest.approx(1 / 8)  # all is road

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"bias": Evil()}, tmp_path / "evil.pt")
    for wrong, message in (
        (["--segmenter", "deep.segmentation:SmallSegmenter"], "go together"),
        (["--segmenter", "no_such:Thing", "--weights", str(weights)], "no_such does not load"),
        (["--segmenter", "deep.segmentation:Nothing", "--weights", str(weights)],
         "has no factory 'Nothing'"),
        (["--segmenter", "deep.segmentation", "--weights", str(weights)], "expects MODULE:FACTORY"),
        ([*mine[:2], "--weights", str(tmp_path / "absent.pt")], "there is no file"),
        ([*mine[:2], "--weights", str(tmp_path / "own.pt")], "do not fit"),
        ([*own[:2], "--weights", str(tmp_path / "evil.pt")], "is not a checkpoint"),
    ):  # fmt: skip
        with pytest.raises((UsageError, DataError), match=message) as caught:
            call(*arguments, *wrong, "--out", str(tmp_path / "wrong"))
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_compare_by_command(tmp_path: Path) -> None:
    arguments = ("compare", "--data", "digits", "--share", "0.02", "--batch-sizes", "16", "--seeds",
                 "2", "--no-gamma", "--out", str(tmp_path))  # fmt: skip
    assert "lrsgd_r - same rounds" in call(*arguments)
    assert json.loads(call(*arguments, "--json"))["missing"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--optimizer", "sngn"), "did you mean sngm"),
        (("--optimizer", "adam", "--momentum", "0.5"), "has no momentum"),
        (("--set", "momentum"), "--set expects NAME=VALUE"),
        (("--momentum", "1.5"), r"momentum must lie in \[0, 1\)"),
        (("--schedule", "cosine"), "unknown schedule"),
        (("--device", "gpu9"), "--device must be"),
        (("--data", "cifar10"), "a directory with"),
        (("--batch-size", "100000"), "batch_size must be between"),
        (("--model", "vgg99"), "unknown network"),
        (("--twins", "1", "--arms"), "--twins compares a run with its twins"),
        (("--twins", "1", "--tune"), "leave out --arms, --tune, --seeds"),
        (("--twins", "1", "--seeds", "2"), "leave out --arms, --tune, --seeds"),
        (("--twins", "1", "--jobs", "2"), "leave out --arms, --tune, --seeds, --jobs"),
        (("--seeds", "0"), "1 to 1000000 different seeds"),
        (("--seeds", "1,1"), "1 to 1000000 different seeds"),
        (("--seeds", "a,1"), "how many, 3, or which, 0,1,2"),
        (("--optimizer", "trsgd", "--set", "S=2.5"), "S must be a whole number"),
        (("--optimizer", "sngm", "--set", "decoupled=maybe"), "decoupled must be true or false"),
        (("--warmup", "1", "--warmup-from", "9"), "a warm-up must start between 0 and the step"),
        (("--network", "dropout"), "--network expects NAME=VALUE"),
    ],
)
def test_mistakes_are_one_clear_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        call("train", *arguments, "--out", str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_same_command_under_torchrun(tmp_path: Path) -> None:
    losses = []
    for name, launcher in (
        ("one", ["-m", "theorylab"]),
        ("two", ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m",
                 "theorylab"]),
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, *launcher, *TINY, "--accumulate", "2", "--optimizer", "lrsgd_r",
             "--device", "cpu", "--arms", "--out", str(tmp_path / name)],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        table = json.loads((tmp_path / name / "results.json").read_text())
        losses.append([e["history"][0][-1]["test_loss"] for e in table["arms"].values()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
