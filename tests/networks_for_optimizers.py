"""Shared by the tests of torch_optim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from theorylab.torch import optim as torch_optim
from theorylab.torch.optim import RuleOptimizer

Build = Callable[[Any], RuleOptimizer]


# Every class, with arguments that make its parts work; values suit the small network below.
CASES: dict[str, Build] = {
    "SGD": lambda p: torch_optim.SGD(p, 0.1, weight_decay=0.01),
    "MSGD": lambda p: torch_optim.MSGD(p, 0.1, 0.8, 0.01),
    "Nesterov": lambda p: torch_optim.Nesterov(p, 0.1, 0.8, 0.01),
    "SNGD": lambda p: torch_optim.SNGD(p, 0.1, 0.01),
    "SNGM": lambda p: torch_optim.SNGM(p, 0.1, 0.8, 0.01),
    "TRSGD": lambda p: torch_optim.TRSGD(p, 0.2, 0.5, 4, 0.5, 0.01),
    "TRSGD authors": lambda p: torch_optim.TRSGD(p, 0.1, 0.01, 4, 0.9, 0.01, variant="authors"),
    "LRSGD_R": lambda p: torch_optim.LRSGD_R(p, 0.1, 0.5, 0.2, 0.5, 0.01, t0=3, eta=0.1, seed=5),
    "LRSGD_C": lambda p: torch_optim.LRSGD_C(p, 0.2, 0.5, 4, 0.5, 0.01, t0=3, eta=0.1),
    "StochasticBatchSize1": lambda p: torch_optim.StochasticBatchSize1(
        p, 0.1, momentum=0.5, memory=3, seed=0
    ),
    "StochasticBatchSize2": lambda p: torch_optim.StochasticBatchSize2(
        p, 0.1, momentum=0.5, seed=0
    ),
    "Adam": lambda p: torch_optim.Adam(p, 0.01, weight_decay=0.01),
    "AMSGrad": lambda p: torch_optim.AMSGrad(p, 0.01, weight_decay=0.01),
    "RMSprop": lambda p: torch_optim.RMSprop(p, 0.01, momentum=0.5),
    "TRAdam": lambda p: torch_optim.TRAdam(p, 0.01, 0.1, 4),
    "LARS": lambda p: torch_optim.LARS(p, 1.0, trust=0.05),
    "EntropySGD": lambda p: torch_optim.EntropySGD(
        p, 0.5, 4, 0.5, inner=0.1, gamma0=1e-2, gamma1=0.01, eps=1e-3, seed=0
    ),
    "AcceleratedSGD": lambda p: torch_optim.AcceleratedSGD(p, 0.02, 50.0, 5.0),
}


CASES |= {
    "Alternating": lambda p: torch_optim.Alternating(p, 0.1),
    "STORM": lambda p: torch_optim.STORM(p, 0.1, 0.3),
    "Extragradient": lambda p: torch_optim.Extragradient(p, 0.1),
    "SAM": lambda p: torch_optim.SAM(p, 0.1, weight_decay=0.01),
    "TwoPointZerothOrder": lambda p: torch_optim.TwoPointZerothOrder(p, 0.02, seed=0),
    "PolyakStep": lambda p: torch_optim.PolyakStep(p, 0.5),
    "AveragedSGD": lambda p: torch_optim.AveragedSGD(p, 0.1, 0.01),
    "OptimizedGradient": lambda p: torch_optim.OptimizedGradient(p, 0.1),
    "AdaGradNorm": lambda p: torch_optim.AdaGradNorm(p, 1.0, weight_decay=0.01),
    "ClippedSGD": lambda p: torch_optim.ClippedSGD(p, 0.1, 0.5, 0.01),
    "AdamW": lambda p: torch_optim.AdamW(p, 0.01),
    "SignSGD": lambda p: torch_optim.SignSGD(p, 0.01, 0.5, 0.01),
    "TopKSGD": lambda p: torch_optim.TopKSGD(p, 0.1, 8),
    "ReshuffledSGD": lambda p: torch_optim.ReshuffledSGD(p, 0.1, 0.01),
}


every_case = pytest.mark.parametrize("case", CASES)


two_points = {"STORM", "Extragradient", "SAM", "TwoPointZerothOrder", "PolyakStep"}


closures_only = {"StochasticBatchSize1", *two_points}


drawing = {"StochasticBatchSize1", "StochasticBatchSize2", "EntropySGD", "LRSGD_R",
           "TwoPointZerothOrder"}  # fmt: skip


rounded = {"TRSGD", "TRSGD authors", "LRSGD_R", "LRSGD_C", "TRAdam", "EntropySGD"}


def network(seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(seed)
    # No bias before the normalization: its gradient is rounding error, which Adam would scale up.
    layers = nn.Sequential(
        nn.Conv1d(1, 2, 3, bias=False), nn.BatchNorm1d(2), nn.Flatten(), nn.Tanh(), nn.Linear(8, 3)
    )
    return layers.to(dtype)


def batch(step: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 + step)
    x = torch.randn(5, 1, 6, generator=generator, dtype=dtype)
    return x, torch.randn(5, 3, generator=generator, dtype=dtype)


def closure_of(model: nn.Module, step: int) -> Callable[[], Tensor]:
    x, y = batch(step, next(model.parameters()).dtype)

    def closure() -> Tensor:
        model.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    return closure


def train(model: nn.Module, optimizer: Any, first: int, steps: int) -> None:
    for step in range(first, first + steps):
        optimizer.step(closure_of(model, step))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).clone()


def grouped(model: nn.Module) -> list[dict[str, Any]]:
    many = [p for p in model.parameters() if p.ndim > 1]
    few = [p for p in model.parameters() if p.ndim == 1]
    return [{"params": few, "lr": 0.03, "weight_decay": 0.0}, {"params": many}]
