"""Memory and step time of every optimizer beside torch.optim's SGD and Adam.

Parameter lists of LeNet, ResNet18 and ResNet50, gradients given: what is timed is the step alone.
``state`` counts numbers kept between steps for each parameter; ``extra`` what a step holds beside
them at its worst. ``benchmarks/optimizers.py`` prints one table of it. Run with ``make bench``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from optimizers import MODELS, THEIRS, memory, prepared, ratios

from deep.settings import METHODS


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", list(METHODS))
def test_ratio(benchmark: Any, name: str, model: str) -> None:
    """The median of steps taken in turn with torch's own, over theirs."""
    for theirs, ratio in ratios(name, model).items():
        benchmark.extra_info[f"over {theirs}"] = round(ratio, 2)
    benchmark.pedantic(prepared(name, model)[2], rounds=3, warmup_rounds=2)


@pytest.mark.parametrize("model", ["lenet", "resnet18"])
@pytest.mark.parametrize("name", [*THEIRS, *METHODS])
def test_step(benchmark: Any, name: str, model: str) -> None:
    kept, more = memory(name, model)
    benchmark.extra_info["state"] = round(kept, 3)
    benchmark.extra_info["extra"] = round(more, 2)
    benchmark(prepared(name, model)[2])
    if not benchmark.disabled:
        benchmark.extra_info["us_per_step"] = round(benchmark.stats.stats.median * 1e6, 1)
