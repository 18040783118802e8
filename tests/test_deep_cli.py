"""The commands train, compare and gan, run as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from theorylab.cli import build
from theorylab.errors import UsageError

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
    with pytest.raises(UsageError, match="the results kept for sgd have batch_size 16"):
        call(*TINY, "--optimizer", "sgd", "--seed", "9", "--batch-size", "8",
             "--out", str(tmp_path))  # fmt: skip


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
