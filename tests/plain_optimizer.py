"""``Plain``: SGD with momentum that keeps every promise; the planted faults are made of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from theorylab.conformance import Claims

FLAGS = {"maximize": False, "foreach": None, "fused": None, "differentiable": False}
SETTINGS = {"lr": 0.05}


class Plain(torch.optim.Optimizer):
    """``buffer <- momentum buffer + g``, ``w <- w - lr buffer``; each part can be overridden."""

    def __init__(
        self, params: Any, lr: Any = 0.05, momentum: float = 0.5, weight_decay: float = 0.0, *,
        maximize: bool = False, foreach: bool | None = None, fused: bool | None = None,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        self.look_over(lr, momentum, weight_decay, fused)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "fused": fused, "differentiable": differentiable,
        })  # fmt: skip

    def look_over(self, lr: Any, momentum: float, weight_decay: float, fused: Any) -> None:
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        if fused:
            raise ValueError("fused is not supported")

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in FLAGS.items():
                group.setdefault(name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Plain:
        made: Plain = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy(torch.optim.Optimizer.__getstate__(self), memo))
        return made

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            self.steps()
        return loss

    def steps(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.one(p, group)

    def one(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if "step" not in state:
            state["step"] = self.first(p)
        u = self.direction(p, self.gradient(p, group), group, state)
        self.move(p, u, group)
        state["step"] = state["step"] + 1

    def first(self, p: Tensor) -> Tensor:
        return torch.zeros(())

    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        assert p.grad is not None
        g = self.dense(p.grad)
        if group["maximize"]:
            g = -g
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        return g

    def dense(self, g: Tensor) -> Tensor:
        return g.to_dense() if g.is_sparse else g

    def momentum(self, group: dict[str, Any]) -> float:
        return float(group["momentum"])

    def direction(
        self, p: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> Tensor:
        buffer = state.get("buffer")
        new = g.clone() if buffer is None else self.momentum(group) * buffer + g
        state["buffer"] = new
        return new

    def rate(self, p: Tensor, group: dict[str, Any]) -> Any:
        return group["lr"]

    def move(self, p: Tensor, u: Tensor, group: dict[str, Any]) -> None:
        p.add_(-self.rate(p, group) * u)


def reference(w: Tensor, gradient: Callable[[Tensor, int], Tensor], steps: int) -> Tensor:
    """The same in four lines."""
    buffer = torch.zeros_like(w)
    for t in range(steps):
        buffer = 0.5 * buffer + gradient(w, t)
        w = w - 0.05 * buffer
    return w


CLAIMS = Claims(decay="coupled", invariances={"rotation", "translation"}, reference=reference)
