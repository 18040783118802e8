"""How fast is a step: a plain loop, and ours eager, compiled, as one graph, and both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any, final

import torch
import torch.nn.functional as F

from deep.data import Dataset
from deep.gpu.record import Record
from deep.networks import network
from deep.settings import Settings
from deep.training import Trainer

__all__ = ["ThroughputPlan", "run_throughput"]

_WINDOWS = 3


@final
@dataclass(frozen=True)
class ThroughputPlan:
    """What is timed: the network, batch sizes, the most steps in a window, and its seconds."""

    model: str = "resnet18"
    batch_sizes: tuple[int, ...] = (8, 128)
    window: int = 200
    seconds: float = 1.0
    warm: int = 10
    compiled: bool = True


def run_throughput(
    plan: ThroughputPlan, data: Dataset, device: torch.device, record: Record, seconds: float
) -> None:
    """Every variant that fits in ``seconds``; those that compile come last."""
    end = time.perf_counter() + seconds
    for name, make in _all(plan, data, device):
        left = end - time.perf_counter()
        if left <= 2:
            record.write("throughput", name, ok=False, seconds=0.0,
                         error="OutOfTime: not started")  # fmt: skip
            continue
        record.attempt("throughput", name, partial(_timed, make, plan, device), min(left, 90))


Step = Callable[[], Any]
Make = Callable[[], tuple[Step, int]]


def _all(plan: ThroughputPlan, data: Dataset, device: torch.device) -> Iterator[tuple[str, Make]]:
    fast = {"amp": True, "channels_last": True}
    for size in plan.batch_sizes:
        base = Settings(
            model=plan.model, data="synthetic-images", optimizer="msgd", lr=0.05, batch_size=size,
            steps=10**6, schedule="constant", options={"momentum": 0.9, "weight_decay": 1e-4},
        )  # fmt: skip
        mixed = replace(base, **fast)  # type: ignore[arg-type]
        where = f"{plan.model}, batch {size}"
        for label, settings in (("float32", base), ("bfloat16", mixed)):
            yield f"{where}, {label}, plain loop", partial(_plain, settings, data, device)
            yield f"{where}, {label}, ours", partial(_ours, settings, data, device)
            yield (
                f"{where}, {label}, ours, step graph",
                partial(_ours, replace(settings, step_graph=True), data, device),
            )
    for size in plan.batch_sizes if plan.compiled else ():
        mixed = Settings(
            model=plan.model, data="synthetic-images", optimizer="msgd", lr=0.05, batch_size=size,
            steps=10**6, schedule="constant", options={"momentum": 0.9, "weight_decay": 1e-4},
            compile=True, amp=True, channels_last=True,
        )  # fmt: skip
        where = f"{plan.model}, batch {size}, bfloat16"
        yield (
            f"{where}, ours, compiled, step graph",
            partial(_ours, replace(mixed, step_graph=True), data, device),
        )
        yield f"{where}, ours, compiled", partial(_ours, mixed, data, device)


def _ours(settings: Settings, data: Dataset, device: torch.device) -> tuple[Step, int]:
    torch._dynamo.reset()  # every variant compiles for its own shapes
    trainer = Trainer(settings, data, device=device)
    trainer.network.train()
    return trainer.step, settings.batch_size


def _plain(settings: Settings, data: Dataset, device: torch.device) -> tuple[Step, int]:
    """What one writes by hand: torch's SGD, the same data pipeline, nothing measured or kept."""
    module: Any = network(settings.model).build(10, 3, image_size=32, seed=0).to(device)
    if settings.channels_last:
        module = module.to(memory_format=torch.channels_last)
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=settings.step_size, momentum=0.9,
                                weight_decay=1e-4)  # fmt: skip
    batches = data.to(device).batches(settings.batch_size, 0)

    def step() -> None:
        images, targets, _ = batches.draw()
        if settings.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.amp):
            scores = module(images)
        F.cross_entropy(scores.float(), targets).backward()
        optimizer.step()

    return step, settings.batch_size


def _timed(make: Make, plan: ThroughputPlan, device: torch.device) -> dict[str, Any]:
    step, size = make()

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    step()
    wait()
    first = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(plan.warm):
        step()
    wait()
    each = (time.perf_counter() - started) / plan.warm
    count = max(1, min(plan.window, int(plan.seconds / each)))
    windows = []
    for _ in range(_WINDOWS):
        started = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        windows.append(1000 * (time.perf_counter() - started) / count)
    peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else 0.0
    return {
        "milliseconds_a_step": round(median(windows), 4), "windows": [round(w, 4) for w in windows],
        "images_a_second": round(1000 * size / median(windows), 1), "steps_a_window": count,
        "first_step_seconds": round(first, 3), "peak_memory_mib": round(peak, 1),
    }  # fmt: skip
