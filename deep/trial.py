"""What a training run would take, from a few of its steps."""

from __future__ import annotations

import time

import torch

from deep.data import Dataset
from deep.settings import Settings
from deep.training import Trainer

__all__ = ["estimated_seconds"]

_STEPS, _SECONDS = 50, 1.0  # at most


def estimated_seconds(
    settings: Settings, data: Dataset, device: torch.device | str = "cpu"
) -> float:
    """Seconds of a whole run: its steps and its measurements, by the pace of the first ones.

    >>> from deep.training import load_data
    >>> tiny = Settings(model="two_conv", steps=3, evaluations=1, train_samples=32, batch_size=8)
    >>> estimated_seconds(tiny, load_data(tiny)) > 0
    True
    """
    trainer = Trainer(settings, data, device=device)
    begun = time.perf_counter()
    trainer.run(until=1, progress=False, logs=False)  # measured once, and a step to warm up
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    trainer.evaluate()  # again: the first time also pays for what is made once
    evaluated = time.perf_counter() - begun
    begun, steps = time.perf_counter(), 0
    while steps < min(_STEPS, trainer.total - 1) and time.perf_counter() - begun < _SECONDS:
        trainer.step()
        steps += 1
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    each = (time.perf_counter() - begun) / steps if steps else 0.0
    once = max(0.0, first - each - evaluated)
    times = 1 + min(settings.evaluations, trainer.total)
    return once + trainer.total * each + times * evaluated
