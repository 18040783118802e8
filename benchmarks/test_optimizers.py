"""Memory and step time of every optimizer beside torch.optim's SGD and Adam.

One parameter set (a ResNet20's or, smaller, LeNet's tensors), gradients given: what is timed is
the step alone. ``state_per_parameter`` counts numbers kept between steps for each parameter;
``peak_per_parameter`` adds what a step holds at its worst, as torch's profiler sees allocations.
Run with ``make bench``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from deep.networks import network
from deep.settings import METHODS, Settings

THEIRS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "torch SGD": lambda p: torch.optim.SGD(p, lr=1e-3),
    "torch SGD momentum": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9),
    "torch Adam": lambda p: torch.optim.Adam(p, lr=1e-3),
}


def prepared(name: str, model: str) -> tuple[nn.Module, torch.optim.Optimizer, Callable[[], Any]]:
    net = network(model).build(seed=0)
    if name in THEIRS:
        optimizer = THEIRS[name](list(net.parameters()))
    else:
        optimizer = Settings(optimizer=name, lr=1e-3).build_optimizer(net)
    generator = torch.Generator().manual_seed(0)
    for p in net.parameters():
        p.grad = torch.randn(p.shape, generator=generator)
    # Stochastic batch size 1 asks for several gradients a step: here they cost nothing.
    several = "memory" in optimizer.defaults
    step: Any = (lambda: optimizer.step(lambda: 0.0)) if several else optimizer.step
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


@pytest.mark.parametrize("model", ["lenet", "resnet20"])
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
