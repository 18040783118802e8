"""Optimizer steps and training loops beside torch's own, in turn, in processor time.

    python benchmarks/optimizers.py --models lenet,resnet18     # steps: ratios, and memory
    python benchmarks/optimizers.py --loops 8,128               # training loops, by batch size
    python benchmarks/optimizers.py --page docs/deep.md         # both, into the page

Gradients are given: what is timed of a step is the step alone. An optimizer takes turns with
torch's own on one core; a ratio is the median over turns of its processor time over theirs, so it
stands on a machine that others share. ``state`` counts the numbers kept between steps for each
parameter, ``extra`` those that a step holds beside them at its worst, as torch's profiler sees it.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep.networks import network
from deep.settings import METHODS, Settings
from deep.training import Trainer, load_data
from theorylab.studies.pages import fill, markdown_table

THEIRS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "torch SGD": lambda p: torch.optim.SGD(p, lr=1e-3, foreach=True),
    "torch SGD momentum": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, foreach=True),
    "torch Adam": lambda p: torch.optim.Adam(p, lr=1e-3, foreach=True),
}
MODELS = ("lenet", "resnet18", "resnet50")
LOOPS = ("sgd", "msgd", "sngm", "trsgd", "adam", "stochastic_batch_size_2")
_ASKING = {"storm", "extragradient", "sam", "two_point_zeroth_order", "polyak_step", "svrg"}
_TURN = 2e-3  # seconds of a turn, at least
_LOOP_TURN = 3e-2  # so that mini-batches, made many at a time, are in every turn's share


# --- steps -----------------------------------------------------------------------------------
def _again(net: nn.Module, loss: Tensor, gradients: list[Tensor]) -> Tensor:
    """A closure that costs nothing: the same gradients wherever it is asked."""
    for p, g in zip(net.parameters(), gradients, strict=True):
        p.grad = g
    return loss


def prepared(name: str, model: str) -> tuple[nn.Module, torch.optim.Optimizer, Callable[[], Any]]:
    """A network with gradients, an optimizer of it, and its step."""
    net = network(model).build(seed=0)
    if name in THEIRS:
        optimizer = THEIRS[name](list(net.parameters()))
    else:
        optimizer = Settings(optimizer=name, lr=1e-3).build_optimizer(net)
    generator = torch.Generator().manual_seed(0)
    kept = [torch.randn(p.shape, generator=generator) for p in net.parameters()]
    zero = torch.zeros(())
    _again(net, zero, kept)
    # Those that ask for gradients at other points, or for several mini-batches', need closures.
    asks = "memory" in optimizer.defaults or name in _ASKING
    closures = (partial(_again, net, zero, kept),) * (2 if name == "svrg" else 1) if asks else ()
    step: Any = optimizer.step
    return net, optimizer, partial(step, *closures)


def extra(step: Callable[[], Any]) -> int:
    """Most bytes a step holds above what was there before it."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        step()
    held = most = 0
    events = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    for event in sorted(events, key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def memory(name: str, model: str) -> tuple[float, float]:
    """Numbers kept between steps, and held beside them at a step's worst, for each parameter."""
    net, optimizer, step = prepared(name, model)
    step()
    step()
    count = sum(p.numel() for p in net.parameters())
    kept = sum(x.numel() for held in optimizer.state.values() for x in held.values()
               if isinstance(x, Tensor) and x.ndim > 0)  # fmt: skip
    return kept / count, extra(step) / 4 / count


def turns(
    steps: Mapping[str, Callable[[], Any]], rounds: int, least: float = _TURN
) -> dict[str, list[float]]:
    """Processor seconds a call of each, which take turns of ``least`` seconds or more."""
    many = {}
    for name, step in steps.items():
        step()
        step()
        begin = time.process_time()
        step()
        many[name] = max(1, int(least / max(1e-6, time.process_time() - begin)))
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begin = time.process_time()
            for _ in range(many[name]):
                step()
            found[name].append((time.process_time() - begin) / many[name])
    return found


def ratios(name: str, model: str, rounds: int = 9) -> dict[str, float]:
    """The median over turns of a step's time over that of each of torch's."""
    seconds = turns({other: prepared(other, model)[2] for other in (*THEIRS, name)}, rounds)
    return {other: median(a / b for a, b in zip(seconds[name], seconds[other], strict=True))
            for other in THEIRS}  # fmt: skip


def steps_table(models: Sequence[str], names: Sequence[str], rounds: int) -> str:
    """All optimizers on some networks' parameters."""
    rows = []
    for model in models:
        for name in names:
            try:
                over, (kept, more) = ratios(name, model, rounds), memory(name, model)
            except ValueError as error:  # one that needs what no closure here gives
                print(f"{name}: {error}", file=sys.stderr)
                continue
            rows.append([model, name, *(f"{x:.2f}" for x in over.values()), f"{kept:.1f}",
                         f"{more:.2f}"])  # fmt: skip
            print(*rows[-1], sep="\t", flush=True)
    heads = ["parameters of", "optimizer", *(f"over {name}" for name in THEIRS), "state", "extra"]
    return markdown_table(heads, rows)


# --- loops -----------------------------------------------------------------------------------
def _trainer(name: str, batch_size: int) -> Trainer:
    settings = Settings(optimizer=name, batch_size=batch_size, epochs=1000)
    made = Trainer(settings, load_data(settings))
    made.network.train()
    return made


def loops(names: Sequence[str], batch_size: int, rounds: int) -> dict[str, list[float]]:
    """Seconds a step on LeNet and digits: bare, a plain loop with torch's SGD, and ours.

    Bare is forward and backward on one mini-batch that is at hand.
    """
    ours = {name: _trainer(name, batch_size) for name in names}
    some = next(iter(ours.values()))
    held, _ = some.draw()
    bare = network("lenet").build(len(some.data.classes), *held.images.shape[1:2],
                                  image_size=held.images.shape[2], seed=0)  # fmt: skip
    params = list(bare.parameters())

    def only() -> None:
        for p in params:
            p.grad = None
        F.cross_entropy(bare(held.images), held.targets).backward()

    twin = network("lenet").build(len(some.data.classes), *held.images.shape[1:2],
                                  image_size=held.images.shape[2], seed=0)  # fmt: skip
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.01)
    images = torch.cat([batch.images for batch in some.batches])
    targets = torch.cat([batch.targets for batch in some.data.batches(batch_size, 0)])[
        : len(images)
    ]
    order, at = torch.randperm(len(images)), 0

    def plain() -> None:
        nonlocal order, at
        if at + batch_size > len(images):
            order, at = torch.randperm(len(images)), 0
        rows = order[at : at + batch_size]
        at += batch_size
        optimizer.zero_grad()
        F.cross_entropy(twin(images[rows]), targets[rows]).backward()
        optimizer.step()

    steps: dict[str, Callable[[], Any]] = {"bare": only, "plain loop, torch SGD": plain}
    return turns(steps | {name: run.step for name, run in ours.items()}, rounds, _LOOP_TURN)


def loops_table(sizes: Sequence[int], names: Sequence[str], rounds: int) -> str:
    """Training loops beside the bare one."""
    rows = []
    for size in sizes:
        seconds = loops(names, size, rounds)
        for name, each in seconds.items():
            over = median(a / b for a, b in zip(each, seconds["bare"], strict=True))
            rows.append([size, name, f"{over:.2f}", f"{1 / median(each):,.0f}"])
            print(*rows[-1], sep="\t", flush=True)
    return markdown_table(["batch", "loop", "over bare", "steps a second"], rows)


def main() -> None:
    """Measure, and print or fill the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", help="LeNet's, ResNet18's, ResNet50's parameters")
    parser.add_argument("--loops", help="batch sizes of training loops on LeNet")
    parser.add_argument("--only", help="optimizers, all by default")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    whole = given.models is None and given.loops is None
    models = ",".join(MODELS) if whole else given.models or ""
    sizes = "8,128" if whole else given.loops or ""
    chosen = given.only.split(",") if given.only else None
    found = {}
    if models:
        names = [*THEIRS, *METHODS] if chosen is None else chosen
        found["optimizer steps"] = steps_table(models.split(","), names, given.rounds)
    if sizes:
        found["training loops"] = loops_table(
            [int(x) for x in sizes.split(",")],
            LOOPS if chosen is None else chosen,
            3 * given.rounds,
        )
    machine = f"{platform.machine()}, one core, torch {version('torch')}"
    command = " ".join(["python benchmarks/optimizers.py", *sys.argv[1:]])
    for name, table in found.items():
        text = f"{table}\n\n*`{command}`, {machine}.*"
        if given.page:
            fill(given.page, name, text)
        else:
            print(f"\n{text}")


if __name__ == "__main__":
    main()
