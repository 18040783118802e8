"""Training: resumed bit for bit wherever it was stopped, the same over processes and parts."""

import dataclasses
import hashlib
import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import TINY, assert_same_bits, trained

from deep import checkpoint
from deep.data import TensorSplit
from deep.settings import METHODS, Settings
from deep.training import Trainer, load_data
from theorylab.errors import UsageError
from theorylab.plugins import code, registry
from theorylab.plugins.store import Damaged
from theorylab.torch.oracle import ANSWERS

pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_rule_has_a_method() -> None:
    assert set(METHODS) == {n for n, rule in registry.rules().items() if rule.needs <= ANSWERS}
    for name, entry in METHODS.items():
        assert entry.factory.rule.name == name


@pytest.mark.parametrize("name", sorted(registry.rules()))
def test_every_registered_rule_trains_or_is_refused_in_a_line(name: str) -> None:
    needs = registry.rules()[name].needs - ANSWERS
    if needs:
        with pytest.raises(UsageError) as caught:
            Settings(optimizer=name)
        assert str(caught.value).splitlines() == [
            f"optimizer {name!r} needs what no network offers: {', '.join(sorted(needs))}"
        ]
        return
    settings = dataclasses.replace(TINY, optimizer=name, steps=2, evaluations=1)
    run = trained(settings)
    start = Trainer(settings, load_data(settings)).network
    moved = [bool((p != q).any()) for p, q in zip(run.network.parameters(), start.parameters(),
                                                  strict=True)]  # fmt: skip
    assert run.steps == 2
    assert any(moved)
    assert all(bool(p.isfinite().all()) for p in run.network.parameters())


@pytest.mark.parametrize(
    ("name", "gradients", "passes"),
    [
        ("msgd", 2 * 16, 0),
        ("sam", 4 * 16, 0), ("extragradient", 4 * 16, 0), ("storm", 4 * 16, 0),
        # The full gradient at the first step, the anchor's at the second.
        ("svrg", 96 + 3 * 16, 1),
    ],
)  # fmt: skip
def test_every_gradient_is_counted(name: str, gradients: int, passes: int) -> None:
    run = trained(dataclasses.replace(TINY, optimizer=name, steps=2, evaluations=1))
    assert run.history[-1]["gradients"] == run.gradients == gradients
    assert run.passes == passes


def test_the_full_gradient_is_of_the_whole_training_set() -> None:
    settings = dataclasses.replace(TINY, optimizer="svrg", model_options={}, augment=False)
    run = Trainer(settings, load_data(settings))
    run.network.double().register_forward_pre_hook(lambda _, x: (x[0].double(),))
    run.full_closure()
    found = [p.grad.clone() for p in run.network.parameters() if p.grad is not None]
    parts = [(b.images, b.targets) for b in run.data.in_order(run.data.train, 16)]
    loss = sum(
        torch.nn.functional.cross_entropy(run.network(x), y, reduction="sum") for x, y in parts
    )
    assert isinstance(loss, torch.Tensor)
    expected = torch.autograd.grad(loss / 96, list(run.network.parameters()))
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
def test_an_interrupted_run_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    options = {"memory": 3} if name == "stochastic_batch_size_1" else {}
    settings = dataclasses.replace(TINY, optimizer=name, options=options)
    whole = trained(settings)
    for until in (4, 7):  # within a round; just after an evaluation
        stopped = Trainer(settings, load_data(settings), folder=tmp_path)
        stopped.run(progress=False, until=until, checkpoint_every=0.0)
    again = trained(settings, tmp_path)
    assert again.steps == whole.steps >= 9
    assert_same_bits(again, whole)


def test_batch_norm_statistics_are_resumed(tmp_path: Path) -> None:
    settings = Settings(
        model="resnet20", train_samples=8, batch_size=4, steps=3, evaluations=1, optimizer="sngm",
        accumulate=2, evaluate_samples=8,
    )  # fmt: skip
    data = load_data(settings)
    data = dataclasses.replace(data, test=data.test.subset(torch.arange(4)))
    whole = Trainer(settings, data)
    whole.run(progress=False)
    Trainer(settings, data, folder=tmp_path).run(progress=False, until=1, checkpoint_every=0.0)
    again = Trainer(settings, data, folder=tmp_path)
    again.run(progress=False)
    assert any("running_mean" in name for name in again.network.state_dict())
    assert_same_bits(again, whole)


def work(settings: Settings, folder: Path) -> None:
    torch.set_num_threads(1)
    trainer = Trainer(settings, load_data(settings), folder=folder)
    trainer.run(progress=False, checkpoint_every=0.0)


def kill_repeatedly(settings: Settings, folder: Path, kills: int) -> None:
    """SIGKILL a run after a few more checkpoints and a random while; start it again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deep.training"])
    rng = random.Random(0)
    path = folder / "checkpoint.pt"
    for _ in range(kills):
        process = context.Process(target=work, args=(settings, folder))
        process.start()
        wait = rng.randint(1, 8)
        last = path.stat().st_ino if path.exists() else 0
        while wait:
            assert process.is_alive()
            now = path.stat().st_ino if path.exists() else 0
            wait -= now != last
            last = now
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode == -9


@pytest.mark.parametrize(
    ("name", "kills"),
    [("lrsgd_r", 4), *(pytest.param(n, 20, marks=pytest.mark.slow) for n in METHODS)],
)
def test_a_killed_run_ends_with_the_same_bits(name: str, kills: int, tmp_path: Path) -> None:
    # Steps enough that every kill lands before the end; each step saves a checkpoint.
    settings = dataclasses.replace(TINY, optimizer=name, epochs=4.0 * kills)
    kill_repeatedly(settings, tmp_path, kills)
    assert 0 < checkpoint.load(tmp_path / "checkpoint.pt")["steps"] < 24 * kills  # type: ignore[index]
    again = trained(settings, tmp_path)
    assert_same_bits(again, trained(settings))
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_half_written_checkpoint_is_never_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"steps": 1})

    def dies(state: Any, stream: Any) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, {"steps": 2})
    assert checkpoint.load(path) == {"steps": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "checkpoint.pt"
    torch.save({"steps": Evil()}, path)
    data = path.read_bytes()
    seal = hashlib.sha256(data).hexdigest()
    path.write_bytes(data + f"\ntheorylab checkpoint, sha256 {seal}\n".encode())
    trained(dataclasses.replace(TINY, steps=1), tmp_path)
    assert not (tmp_path / "ran").exists()
    assert (tmp_path / "checkpoint.pt.damaged").is_file()


STEP = dataclasses.replace(TINY, steps=1, evaluations=1, model_options={})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("kept")
    trained(STEP, folder)
    return (folder / "checkpoint.pt").read_bytes()


def test_every_flipped_bit_of_a_checkpoint_is_seen(kept: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(kept)
    assert checkpoint.load(path)["steps"] == 1  # type: ignore[index]
    assert torch.load(path, weights_only=True)["steps"] == 1  # anybody's program reads it
    rng = random.Random(0)
    ends = [*range(8 * 200), *range(8 * (len(kept) - 200), 8 * len(kept))]
    for bit in [*rng.sample(range(8 * len(kept)), 100), *rng.sample(ends, 100)]:
        data = bytearray(kept)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(Damaged):
            checkpoint.load(path)


@pytest.mark.parametrize("damage", ["nothing", "half", "text", "flip", "more"])
def test_a_damaged_checkpoint_is_set_aside_and_the_run_starts_anew(
    damage: str, kept: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flipped = bytearray(kept)
    flipped[len(kept) // 2] ^= 1
    data = {"nothing": b"", "half": kept[: len(kept) // 2], "text": b"not a checkpoint",
            "flip": bytes(flipped), "more": kept + b"\n"}[damage]  # fmt: skip
    (tmp_path / "checkpoint.pt").write_bytes(data)
    assert_same_bits(trained(STEP, tmp_path), trained(STEP))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "is set aside, as checkpoint.pt.damaged, and the run starts anew" in said
    assert (tmp_path / "checkpoint.pt.damaged").read_bytes() == data


def test_a_checkpoint_of_other_data_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(STEP, tmp_path)
    data = load_data(STEP)
    split = data.train
    assert isinstance(split, TensorSplit)
    images = split.images.clone()
    images[0, 0, 0, 0] += 1  # one grey level of one pixel
    other = dataclasses.replace(data, train=TensorSplit(images, split.targets))
    again = Trainer(STEP, other, folder=tmp_path)
    again.run(progress=False)
    assert "it was made with other data" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.pt.other").is_file()
    whole = Trainer(STEP, other)
    whole.run(progress=False)
    assert_same_bits(again, whole)


def test_a_checkpoint_of_other_code_or_libraries_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(STEP, tmp_path)
    trained(STEP, tmp_path)
    assert capsys.readouterr().err == ""
    code.code_behind.cache_clear()
    monkeypatch.setattr(code, "_version", lambda name: "999" if name == "torch" else "1")
    trained(STEP, tmp_path)
    code.code_behind.cache_clear()
    assert "it was made with other code or libraries" in capsys.readouterr().err


def test_the_update_rule_is_behind_a_checkpoint() -> None:
    behind = code.modules_behind(frozenset({"deep.training"}))
    assert {"theorylab.method.sgd", "theorylab.torch.adapter", "deep.networks.lenet"} <= behind


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    trained(dataclasses.replace(TINY, steps=1), tmp_path)
    with pytest.raises(UsageError, match=r"lr None, here it is 0\.5"):
        trained(dataclasses.replace(TINY, steps=1, lr=0.5), tmp_path)


def test_accumulated_parts_are_one_batch() -> None:
    plain = dataclasses.replace(TINY, model_options={}, optimizer="sngm", batch_size=20)
    runs = [trained(dataclasses.replace(plain, accumulate=parts)) for parts in (1, 3)]
    for p, q in zip(*(run.network.parameters() for run in runs), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [20, 49])  # 49/49 is not 1 by the reciprocal
def test_a_plain_batch_has_the_bits_of_a_part(size: int) -> None:
    run = Trainer(settings := dataclasses.replace(TINY, batch_size=size), load_data(settings))
    batch, whole = run.draw()
    found = []
    for plain in (True, False):
        assert run._loss._plain
        run._loss._plain = plain
        torch.manual_seed(5)
        loss = run.closure(batch.images, batch.targets, whole)
        assert not loss.requires_grad
        found.append([loss, *(p.grad for p in run.network.parameters())])
        run._loss._plain = True
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_rounds_gradients_and_steps_are_counted() -> None:
    history = trained(dataclasses.replace(TINY, optimizer="trsgd", options={"S": 4})).history
    # A run of 9 steps goes on to the end of its last round.
    assert [row["steps"] for row in history] == [0, 4, 8, 12]
    assert [row["rounds"] for row in history] == [0, 1, 2, 3]
    assert [row["gradients"] for row in history] == [0, 64, 128, 192]
    several = dataclasses.replace(
        TINY, optimizer="stochastic_batch_size_1", options={"memory": 2}, steps=3, evaluations=1
    )
    # The second and third steps take the previous batch's gradient again.
    assert trained(several).history[-1]["gradients"] == 16 * (1 + 2 + 2)
