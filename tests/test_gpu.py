"""``python -m deep.gpu``: prepared and tested on a CPU, for whoever has a GPU."""

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from deep import settings
from deep.data import load
from deep.gpu import __main__ as gpu
from deep.gpu import checks, run
from deep.gpu.cells import PLANS, Cell, CellPlan, run_cells
from deep.gpu.checks import CheckPlan, run_checks
from deep.gpu.record import OutOfTime, Record, bounded
from deep.graphs import StepGraph
from deep.recipes import lrsgd_table_1, sngm_table_2, tralgo_table_4, with_arms
from deep.training import Trainer
from theorylab.plugins import provenance

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def as_it_was() -> Any:
    """The checks set the device's switches for their own process; here it is everyone's."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32
    matmul = torch.backends.cuda.matmul.allow_tf32
    yield
    torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32 = before
    torch.backends.cuda.matmul.allow_tf32 = matmul


def options(out: Path, *more: str) -> argparse.Namespace:
    return gpu.parsed(["--device", "cpu", "--preset", "tiny", "--out", str(out), *more])


def by_name(out: Path, part: str) -> dict[str, Any]:
    return {x["name"]: x for x in Record(out / "gpu.jsonl").lines() if x["part"] == part}


def test_the_whole_of_it_runs_through_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deep.gpu", "--device", "cpu", "--preset", "tiny",
               "--minutes", "10", "--out", str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    end = by_name(tmp_path, "run")["end"]
    assert end["ok"] is True
    assert end["result"] == {"checks": {"ok": 12, "of": 12}, "throughput": {"ok": 6, "of": 6},
                             "cells": {"ok": 2, "of": 2}}  # fmt: skip
    about = by_name(tmp_path, "run")["provenance"]["result"]
    assert {"command", "seed", "versions", "device", "code", "time", "data"} <= set(about)
    assert str(tmp_path) not in json.dumps(about)
    cell = by_name(tmp_path, "cells")["lrsgd.table_1/LRSGD-R/lenet"]["result"]
    assert (cell["steps"], cell["recipe_steps"]) == (4, 1_368_500)
    assert cell["share"] == 4 / 1_368_500
    assert cell["data"] == "synthetic images"
    assert cell["history"][-1]["test_accuracy"] == cell["test_accuracy"]
    # The same command again finds everything done and does nothing twice.
    before = Record(tmp_path / "gpu.jsonl").lines()
    assert gpu.main([*command[3:], "--parts", "cells"]) == 0
    again = Record(tmp_path / "gpu.jsonl").lines()[len(before) :]
    assert {line["part"] for line in again} == {"run"}


def test_a_stopped_cell_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    given = options(whole, "--child", "cells", "--seconds", "600", "--only", "LRSGD-R")
    assert run.child(given) == 0
    assert set(by_name(whole, "cells")) == {"lrsgd.table_1/LRSGD-R/lenet"}
    expected = by_name(whole, "cells")["lrsgd.table_1/LRSGD-R/lenet"]["result"]
    given = options(stopped, "--child", "cells", "--seconds", "600", "--only", "LRSGD-R")
    # Killed in the middle: a plan, a checkpoint after two steps, half a line.
    record = Record(stopped / "gpu.jsonl", quiet=True)
    record.write("plan", "lrsgd.table_1/LRSGD-R/lenet", ok=True, result={"steps": 4})
    seen: list[int] = []
    original = Trainer.run

    def interrupted(self: Trainer, **keywords: Any) -> Any:
        original(self, **{**keywords, "checkpoint_every": 0.0}, until=2)
        raise OutOfTime("killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "run", interrupted)
        assert run.child(given) == 0
    assert by_name(stopped, "cells")["lrsgd.table_1/LRSGD-R/lenet"]["error"] == "OutOfTime: killed"
    with (stopped / "gpu.jsonl").open("a") as stream:
        stream.write('{"part": "cells", "na')

    def watched(self: Trainer, **keywords: Any) -> Any:
        self._resume()
        seen.append(self.steps)
        return original(self, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "run", watched)
        assert run.child(given) == 0
    assert seen == [2]
    found = by_name(stopped, "cells")["lrsgd.table_1/LRSGD-R/lenet"]["result"]
    for rows in (found["history"], expected["history"]):
        for row in rows:
            del row["seconds"]
    assert found == expected
    assert not list((stopped / "work").iterdir())


def test_a_failure_is_recorded_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = load("synthetic-images", train=64, test=32)
    plan = CheckPlan(("sgd", "no_such", "adam"), (), resumed=(), deep_model="lenet", steps=2,
                     batch=8)  # fmt: skip
    record = Record(tmp_path / "gpu.jsonl", quiet=True)
    run_checks(plan, images, CPU, record, 600)
    found = by_name(tmp_path, "checks")
    assert found["optimizer sgd"]["ok"] is found["optimizer adam"]["ok"] is True
    assert "unknown optimizer 'no_such'" in found["optimizer no_such"]["error"]
    # A device that computes a little wrong is caught.
    record = Record(tmp_path / "wrong.jsonl", quiet=True)
    right, calls = checks._gradient, []

    def wrongly(module: torch.nn.Module, *batch: torch.Tensor) -> torch.Tensor:
        loss = right(module, *batch)
        calls.append(1)
        for p in module.parameters() if len(calls) > 2 else ():  # the second of the two runs
            assert p.grad is not None
            p.grad *= 1 + 1e-5
        return loss

    monkeypatch.setattr(checks, "_gradient", wrongly)
    run_checks(dataclasses.replace(plan, optimizers=("sgd",)), images, CPU, record, 600)
    wrong = {x["name"]: x for x in record.lines()}
    assert wrong["optimizer sgd"]["ok"] is False
    assert wrong["optimizer sgd"]["result"]["apart"] > 1e-6


def test_a_graph_that_steps_otherwise_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = load("synthetic-images", train=64, test=32)
    plan = CheckPlan(("adam",), (), resumed=(), deep_model="lenet", steps=2, batch=8)
    record = Record(tmp_path / "gpu.jsonl", quiet=True)
    run_checks(plan, images, CPU, record, 600)
    found = by_name(tmp_path, "checks")["step graph adam"]
    assert found["ok"] is True
    assert found["result"]["apart"] < 1e-12
    original = StepGraph.step

    def off(self: StepGraph, x: torch.Tensor, y: torch.Tensor, whole: int, lr: float) -> Any:
        return original(self, x, y, whole, lr * (1 + 1e-5))

    monkeypatch.setattr(StepGraph, "step", off)
    record = Record(tmp_path / "wrong.jsonl", quiet=True)
    run_checks(plan, images, CPU, record, 600)
    assert {x["name"]: x["ok"] for x in record.lines()}["step graph adam"] is False


def test_arms_run_at_the_share_and_seed_they_are_given(tmp_path: Path) -> None:
    images = load("synthetic-images", train=128, test=32)
    both = [recipe for row in (*lrsgd_table_1(("lenet",)),)[1:] for recipe in with_arms(row)]
    cells = [Cell(r, share=3 / r.steps(), seed=7, evaluations=1) for r in both
             if r.arm in ("", "same gradients")]  # fmt: skip
    record = Record(tmp_path / "gpu.jsonl", quiet=True)
    plan = CellPlan(cells, evaluate_samples=32, fast=False)
    started: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        run = Trainer.run

        def counted(self: Trainer, **given: Any) -> Any:
            started.append(self.settings.optimizer)
            return run(self, **given)

        patch.setattr(Trainer, "run", counted)
        run_cells(plan, images, CPU, record, 600, tmp_path / "work", 0, "synthetic-images")
    found = by_name(tmp_path, "cells")
    assert set(found) == {f"lrsgd.table_1/{row}/lenet{arm}/seed 7" for row in
                          ("LRSGD-R", "LRSGD-C") for arm in ("", "/same gradients")}  # fmt: skip
    assert all(x["ok"] for x in found.values())
    # Both methods' arm is one run of SGD.
    assert started == ["lrsgd_r", "msgd", "lrsgd_c"]
    for name, line in found.items():
        result = line["result"]
        assert (result["steps"], result["seed"], result["row"]) == (3, 7, name.split("/")[1])
        assert result["arm"] == ("same gradients" if "same" in name else "")


def test_time_is_bounded(tmp_path: Path) -> None:
    record = Record(tmp_path / "gpu.jsonl", quiet=True)

    def forever() -> dict[str, Any]:
        while True:
            time.sleep(0.01)

    assert record.attempt("checks", "forever", forever, 0.05) is False
    assert record.lines()[0]["error"].startswith("OutOfTime: more than")
    with bounded(60):
        pass
    # Without time nothing starts, and it says so.
    images = load("synthetic-images", train=64, test=32)
    cells = CellPlan([Cell(r) for r in sngm_table_2()])
    run_cells(cells, images, CPU, record, 1.0, tmp_path / "work", 0, "synthetic-images")
    assert {x["error"] for x in by_name(tmp_path, "cells").values()} == {"OutOfTime: not started"}


def test_a_part_that_dies_is_recorded_by_its_parent(tmp_path: Path) -> None:
    record = Record(tmp_path / "gpu.jsonl", quiet=True)
    wrong = ["--device", "cpu", "--preset", "tiny", "--out", str(tmp_path), "--data-dir",
             str(tmp_path)]  # fmt: skip
    assert gpu._in_child("cells", 600, wrong, record) is False
    assert "cifar10" in by_name(tmp_path, "run")["cells"]["error"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "0"], "--minutes must be positive"),
        (["--parts", "checks,poems"], "unknown poems"),
        (["--data-dir", "/no/such/place"], "there is no data at"),
        (["--device", "gpu9"], "--device must be cpu, cuda or auto"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: Any = gpu.main(["--device", "cpu", "--out", str(tmp_path), *arguments])
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_a_checkout_that_is_not_installed_has_its_own_methods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings.registry, "rules", dict)
    assert set(settings._Methods()) == set(settings.METHODS)
    monkeypatch.setattr(provenance, "_VERSIONS", ("no_such_package",))
    assert provenance.provenance()["versions"]["no_such_package"] == "not installed"


def test_missing_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "_NEEDED", ("torch", "no_such_package"))
    assert gpu.main(["--device", "cpu"]) == 2
    assert "not there: no_such_package" in capsys.readouterr().err


def test_plans_name_every_cell_once() -> None:
    for name in PLANS:
        assert gpu.parsed(["--plan", name]).plan == name
        names = [cell.name for cell in CellPlan.named(name).cells]
        assert len(set(names)) == len(names) > 10


def test_recipes_are_the_papers() -> None:
    every = [*sngm_table_2(), *sngm_table_2("resnet56"), *lrsgd_table_1(), *tralgo_table_4()]
    names = [recipe.name for recipe in every]
    assert len(set(names)) == len(names) == 10 + 9 + 8
    found = {recipe.name: recipe for recipe in every}
    warm = found["sngm.table_2/LARS, warm-up/resnet20"]
    assert warm.steps() == 160 * 13
    assert found["tralgo.table_4/TRSGD/8"].steps() == 200 * 6250
    assert found["lrsgd.table_1/SGD/vgg16"].steps() == 350 * 391  # the paper: 13.7e4
    half = warm.shortened(warm.steps() // 2)
    assert (half.steps, half.warmup) == (1040, 2.5)
