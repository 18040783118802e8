"""Memory and step time of every optimizer beside torch.optim's SGD and Adam.

Parameter lists of LeNet, ResNet18 and ResNet50, gradients given: what is timed is the step alone.
``state_per_parameter`` counts numbers kept between steps for each parameter;
``peak_per_parameter`` adds what a step holds at its worst, as torch's profiler sees allocations.
Run with ``make bench``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from deep.networks import network
from deep.settings import METHODS, Settings

THEIRS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "torch SGD": lambda p: torch.optim.SGD(p, lr=1e-3, foreach=True),
    "torch SGD momentum": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, foreach=True),
    "torch Adam": lambda p: torch.optim.Adam(p, lr=1e-3, foreach=True),
}


ASKING = {"storm", "extragradient", "sam", "two_point_zeroth_order", "polyak_step", "svrg"}


def _again(net: nn.Module, loss: torch.Tensor, gradients: list[torch.Tensor]) -> torch.Tensor:
    """A closure that costs nothing: the same gradients wherever it is asked."""
    for p, g in zip(net.parameters(), gradients, strict=True):
        p.grad = g
    return loss


def prepared(name: str, model: str) -> tuple[nn.Module, torch.optim.Optimizer, Callable[[], Any]]:
    net = network(model).build(seed=0)
    if name in THEIRS:
        optimizer = THEIRS[name](list(net.parameters()))
    else:
        optimizer = Settings(optimizer=name, lr=1e-3).build_optimizer(net)
    generator = torch.Generator().manual_seed(0)
    kept = [torch.randn(p.shape, generator=generator) for p in net.parameters()]
    _again(net, torch.zeros(()), kept)
    # Stochastic batch size 1 asks for several gradients a step: here they cost nothing.
    asks = "memory" in optimizer.defaults or name in ASKING
    zero = torch.zeros(())
    closures = (lambda: _again(net, zero, kept),) * (2 if name == "svrg" else 1) if asks else ()
    step: Any = lambda: optimizer.step(*closures)
    return net, optimizer, step


def peak(step: Callable[[], Any]) -> int:
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


MODELS = ["lenet", "resnet18", "resnet50"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", list(METHODS))
def test_ratio(benchmark: Any, name: str, model: str) -> None:
    """The median of steps taken in turn with torch's own, over theirs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        steps = {other: prepared(other, model)[2] for other in (*THEIRS, name)}
        seconds: dict[str, list[float]] = {other: [] for other in steps}
        for step in steps.values():
            step()
        for _ in range(200 if model == "lenet" else 15):
            for other, step in steps.items():
                start = time.perf_counter()
                step()
                seconds[other].append(time.perf_counter() - start)
        median = {other: statistics.median(each) for other, each in seconds.items()}
        for theirs in THEIRS:
            benchmark.extra_info[f"over {theirs}"] = round(median[name] / median[theirs], 2)
        benchmark.pedantic(steps[name], rounds=3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("model", ["lenet", "resnet18"])
@pytest.mark.parametrize("name", [*THEIRS, *METHODS])
def test_step(benchmark: Any, name: str, model: str) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        net, optimizer, step = prepared(name, model)
        for _ in range(10):
            step()
        count = sum(p.numel() for p in net.parameters())
        kept = sum(
            value.numel()
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor) and value.ndim > 0
        )
        benchmark.extra_info["state_per_parameter"] = round(kept / count, 3)
        benchmark.extra_info["peak_per_parameter"] = round(kept / count + peak(step) / 4 / count, 2)
        benchmark(step)
        benchmark.extra_info["us_per_step"] = round(benchmark.stats.stats.median * 1e6, 1)
    finally:
        torch.set_num_threads(before)
