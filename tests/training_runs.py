"""Shared by the tests of training."""

from pathlib import Path
from typing import Any

import torch

from deep.settings import Settings
from deep.training import Trainer, load_data

TINY = Settings(
    model="two_conv", train_samples=96, batch_size=16, epochs=1.5, evaluations=3,
    evaluate_samples=96, model_options={"dropout": 0.3},
)  # fmt: skip


def trained(settings: Settings, folder: Path | None = None, **options: Any) -> Trainer:
    trainer = Trainer(settings, load_data(settings), folder=folder)
    trainer.run(progress=False, **options)
    return trainer


def timeless(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def assert_same_bits(a: Trainer | dict[str, Any], b: Trainer | dict[str, Any]) -> None:
    states = [t.state_dict() if isinstance(t, Trainer) else t for t in (a, b)]
    for state in states:
        state["history"] = timeless(state["history"])
        del state["seconds"]
    compare(*states)


def compare(x: Any, y: Any, where: str = "state") -> None:
    if isinstance(x, torch.Tensor):
        assert torch.equal(x, y), where
    elif isinstance(x, dict):
        assert x.keys() == y.keys(), where
        for key in x:
            compare(x[key], y[key], f"{where}.{key}")
    elif isinstance(x, list | tuple):
        assert len(x) == len(y), where
        for i, (u, v) in enumerate(zip(x, y, strict=True)):
            compare(u, v, f"{where}[{i}]")
    else:
        assert x == y, where
