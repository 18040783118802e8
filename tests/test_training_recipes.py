"""Training: resumed bit for bit wherever it was stopped, the same over processes and parts."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_runs import TINY, assert_same_bits, trained

from deep import checkpoint
from deep.arms import arms, mean_step
from deep.settings import METHODS, Settings
from deep.training import Trainer, load_data
from theorylab.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_measurements_wait_for_the_end_of_a_round(tmp_path: Path) -> None:
    settings = dataclasses.replace(TINY, optimizer="entropy_sgd", options={"S": 4}, steps=14,
                                   evaluations=7)  # fmt: skip
    rows = trained(settings).history
    assert [(row["steps"], row["between_rounds"]) for row in rows] == [
        (0, True), (4, True), (8, True), (12, True), (14, False)
    ]  # fmt: skip
    # Rounds of random length end where the next step begins one; asking draws nothing.
    settings = dataclasses.replace(TINY, optimizer="lrsgd_r", options={"gamma": 0.4}, steps=60,
                                   evaluations=30)  # fmt: skip
    run = Trainer(settings, load_data(settings))
    begins, said = [], []
    for _ in range(60):
        said.append(run.between_rounds)
        before = run.optimizer.rounds
        run.step()
        begins.append(run.optimizer.rounds > before)
    assert said == begins
    assert 10 < sum(begins) < 40
    # Stopped between measurements, the run measures where it would have.
    stopped = Trainer(settings, load_data(settings), folder=tmp_path)
    stopped.run(progress=False, until=7, checkpoint_every=0.0)
    assert_same_bits(trained(settings, tmp_path), trained(settings))


def test_the_authors_pull_belongs_to_their_step() -> None:
    settings = Settings(optimizer="tradam", options={"variant": "authors"}, lr=0.004)
    assert settings.arguments["lam"] == pytest.approx(0.0004)
    assert dataclasses.replace(settings, lr=0.1).arguments["lam"] == pytest.approx(0.01)
    given = {"variant": "authors", "lam": 0.3}
    assert dataclasses.replace(settings, options=given).arguments["lam"] == 0.3
    assert Settings(optimizer="tradam").arguments["lam"] == 0.1
    assert arms(settings)["lambda=0"].arguments["lam"] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tradam", "trsgd"])
def test_the_authors_variants_learn_the_digits(name: str) -> None:
    settings = Settings(optimizer=name, options={"variant": "authors"}, evaluations=1)
    assert trained(settings).history[-1]["test_accuracy"] > 0.9


def test_a_constant_inner_step_leaves_plain_sgd_as_the_arm_without_pull() -> None:
    settings = Settings(optimizer="lrsgd_c", options={"falling": False, "lam": 0.1})
    assert set(arms(settings)) == {"lrsgd_c", "same gradients", "same rounds"}
    assert mean_step(settings) == settings.step_size


def test_the_authors_rounds_begin_anew_every_epoch() -> None:
    counted = []
    for variant in ("paper", "authors"):
        settings = dataclasses.replace(
            TINY, optimizer="trsgd", options={"S": 4, "variant": variant, "lam": 1e-4}
        )
        counted.append(trained(settings).history[-1]["rounds"])
    # 9 steps, an epoch of 6: rounds begin at 1, 5, 9; the authors' at 1, 5, 7.
    assert counted == [3, 3]
    settings = dataclasses.replace(settings, steps=8)
    assert trained(settings).history[-1]["rounds"] == 3
    other = dataclasses.replace(settings, options={"S": 4, "lam": 1e-4})
    assert trained(other).history[-1]["rounds"] == 2


@pytest.mark.parametrize("fast", [{"amp": True}, {"channels_last": True}])
def test_faster_arithmetic_trains_alike(fast: dict[str, bool]) -> None:
    plain = dataclasses.replace(TINY, model="lenet", model_options={})
    losses = [
        trained(dataclasses.replace(plain, **changes)).history[-1]["test_loss"]
        for changes in ({}, fast)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert ("amp" in fast) == (losses[0] != pytest.approx(losses[1], rel=1e-6))


GRAPHLESS = ("stochastic_batch_size_1", "svrg")


@pytest.mark.parametrize("name", [n for n in METHODS if n not in GRAPHLESS])
def test_the_step_that_graphs_capture_is_the_step(name: str, tmp_path: Path) -> None:
    # On a CPU the code of a step graph runs uncaptured; a short batch ends every epoch here.
    plain = dataclasses.replace(TINY, optimizer=name, train_samples=90)
    if name == "lrsgd_c":
        plain = dataclasses.replace(plain, lam_over_lr=0.01)
    graphed = dataclasses.replace(plain, step_graph=True)
    runs = [trained(plain), trained(graphed)]
    start = Trainer(plain, load_data(plain)).network
    moved = apart = 0.0
    for p, q, s in zip(*(run.network.parameters() for run in runs), start.parameters(),
                       strict=True):  # fmt: skip
        moved += float((p - s).detach().square().sum())
        apart += float((p - q).detach().square().sum())
    assert apart < 1e-6 * moved
    for a, b in zip(*(run.history for run in runs), strict=True):
        assert {k: a[k] for k in ("steps", "rounds", "gradients")} == {
            k: b[k] for k in ("steps", "rounds", "gradients")
        }
    stopped = Trainer(graphed, load_data(graphed), folder=tmp_path)
    stopped.run(progress=False, until=4, checkpoint_every=0.0)
    assert_same_bits(trained(graphed, tmp_path), runs[1])


@pytest.mark.parametrize(
    ("name", "why"),
    list(zip(GRAPHLESS, ("several gradients a step", "full gradients"), strict=True)),
)
def test_methods_of_several_gradients_have_no_step_graph(name: str, why: str) -> None:
    settings = dataclasses.replace(TINY, optimizer=name, step_graph=True)
    with pytest.raises(UsageError, match=why):
        Trainer(settings, load_data(settings))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler, not ours
def test_compiled_training_agrees() -> None:
    plain = dataclasses.replace(TINY, model="lenet", model_options={}, steps=4)
    losses = [
        trained(dataclasses.replace(plain, compile=compiled)).history[-1]["test_loss"]
        for compiled in (False, True)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_seeds_decide_everything() -> None:
    first, same = trained(TINY), trained(TINY)
    assert_same_bits(first, same)
    other = trained(dataclasses.replace(TINY, seed=1))
    assert first.history[-1]["test_loss"] != other.history[-1]["test_loss"]


def test_the_training_loss_is_measured_on_all_classes() -> None:
    settings = dataclasses.replace(TINY, train_samples=None, steps=1, evaluate_samples=100)
    data = load_data(settings)
    by_class = data.train.subset(data.train.targets.argsort(stable=True))
    trainer = Trainer(settings, dataclasses.replace(data, train=by_class))
    seen: list[torch.Tensor] = []
    measured = trainer.data.in_order

    def watched(split: Any, *rest: Any) -> Any:
        seen.append(split.targets)
        return measured(split, *rest)

    object.__setattr__(trainer.data, "in_order", watched)
    trainer.run(progress=False)
    assert len(seen[0]) == 100
    assert len(seen[0].unique()) == 10


def test_layers_seeds_are_drawn_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deriving a seed at every step was a quarter of what a step of LeNet cost beyond its own."""
    run = Trainer(TINY, load_data(TINY))
    run.step()
    drawn = []
    original = np.random.SeedSequence

    def counted(key: Any) -> Any:
        drawn.append(key)
        return original(key)

    monkeypatch.setattr(np.random, "SeedSequence", counted)
    for _ in range(8):
        run.step()
    assert not drawn
    run.steps = 1023
    run.seed_layers()
    before = torch.default_generator.initial_seed()
    run.steps = 1024
    run.seed_layers()
    assert len(drawn) == 1
    assert torch.default_generator.initial_seed() != before


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    trained(dataclasses.replace(TINY, steps=2))
    assert torch.equal(before, torch.get_rng_state())


def test_the_pull_follows_the_step() -> None:
    settings = dataclasses.replace(
        TINY, optimizer="lrsgd_c", lr=0.1, lam_over_lr=0.01, schedule="staircase:0.5:0.1"
    )
    trainer = Trainer(settings, load_data(settings))
    found = set()
    for _ in range(trainer.total):
        trainer.step()
        group = trainer.optimizer.param_groups[0]
        found.add((round(group["lr"], 6), round(group["lam"], 6)))
    assert found == {(0.1, 0.1), (0.01, 1.0)}


def test_held_out_samples_are_not_trained_on() -> None:
    data = load_data(dataclasses.replace(TINY, train_samples=None, holdout=0.25))
    assert len(data.test) == 360
    assert len(data.train) == 1437 - 360
    seen = {image.numpy().tobytes() for image in data.train.take(torch.arange(1077))[0]}
    held = [image.numpy().tobytes() for image in data.test.take(torch.arange(360))[0]]
    assert sum(image in seen for image in held) <= 2  # the digits hold a few equal images


def test_a_diverged_run_is_recorded_as_such() -> None:
    settings = dataclasses.replace(TINY, optimizer="sgd", lr=1e12)
    history = trained(settings).history
    assert history[-1]["test_loss"] is None
    assert history[0]["test_loss"] is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "sngn"}, "unknown optimizer"),
        ({"options": {"lam": 1.0}}, "has no argument 'lam'"),
        ({"batch_size": 0}, "batch_size must be positive"),
        ({"lr": -1.0}, "lr must be positive"),
        ({"lam_over_lr": 1.0}, "needs an optimizer with lam"),
        ({"holdout": 1.0}, "holdout must lie"),
        ({"epochs": math.inf}, "epochs must be finite, got inf"),
        ({"warmup": math.inf}, "warmup must be finite"),
        ({"options": {"momentum": math.nan}}, "momentum must be finite"),
        ({"optimizer": "trsgd", "options": {"S": 2.5}}, "S must be a whole number, got 2.5"),
        ({"optimizer": "sngm", "options": {"decoupled": "maybe"}}, "decoupled must be true or"),
        ({"optimizer": "tradam", "options": {"amsgrad": 1}}, "amsgrad must be true or false"),
        ({"optimizer": "lrsgd_c", "options": {"t0": 0.5}}, "t0 must be a whole number"),
        ({"options": {"momentum": True}}, "momentum must be a number, got True"),
        ({"options": {"momentum": "big"}}, "momentum must be a number, got 'big'"),
        ({"optimizer": "trsgd", "options": {"variant": 3}}, "variant must be a word"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(TINY, **change)


FAST = ("sngm", "lrsgd_c")


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in METHODS]
)
def test_every_optimizer_learns_the_digits(name: str) -> None:
    history = trained(Settings(optimizer=name, evaluations=1)).history
    if name == "two_point_zeroth_order":  # two numbers a step tell of all parameters
        assert history[-1]["train_loss"] < history[0]["train_loss"]
    else:
        # Noise adds up in what is made for exact gradients.
        assert history[-1]["test_accuracy"] > (0.9 if name == "optimized_gradient" else 0.95)


SCRIPT = """
import dataclasses, sys, torch
from pathlib import Path
torch.set_num_threads(1)
from deep.settings import Settings
from deep.devices import processes
from deep.training import Trainer, load_data
settings = Settings(model="two_conv", train_samples=90, batch_size=16, steps=8, evaluations=2,
                    optimizer="sngm", accumulate=2, evaluate_samples=90)
with processes(torch.device("cpu")) as (rank, world, device):
    Trainer(settings, load_data(settings), folder=Path(sys.argv[1]), device=device,
            process=(rank, world)).run(progress=False)
"""


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    runs = {
        "one": [sys.executable],
        "two": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    }  # fmt: skip
    states = []
    for name, command in runs.items():
        done = subprocess.run(
            [*command, str(script), str(tmp_path / name)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        states.append(checkpoint.load(tmp_path / name / "checkpoint.pt"))
    for name, p in states[0]["network"].items():
        torch.testing.assert_close(states[1]["network"][name], p, rtol=1e-4, atol=1e-6)
    assert states[0]["gradients"] == states[1]["gradients"]
    first, second = (state["history"][-1]["test_loss"] for state in states)
    assert math.isclose(first, second, rel_tol=1e-4)
