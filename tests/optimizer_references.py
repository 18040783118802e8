"""Shared by the tests of optimizers."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from method_references import CASES as MORE_CASES
from method_references import DOMAIN, SIMPLE, WORKERS
from torch import Tensor

from bounds.notation import t as t_symbol
from theorylab.method import (
    LARS,
    LRSGD_C,
    LRSGD_R,
    MSGD,
    SGD,
    SNGD,
    SNGM,
    TRSGD,
    AcceleratedSGD,
    Adam,
    Alternating,
    AMSGrad,
    EntropySGD,
    Nesterov,
    RMSprop,
    StochasticBatchSize1,
    StochasticBatchSize2,
    TRAdam,
)
from theorylab.method.rule import Drawn, UpdateRule
from theorylab.method.schedules import Expression, Harmonic, Staircase
from theorylab.problem.oracle import FunctionOracle, Oracle

DIM, STEPS = 6, 25


LAYOUT = (("a", 2), ("b", 1), ("a", 3))


# --- a small problem and everything random about it ------------------------------------------
@dataclass(frozen=True)
class Problem:
    """Gradients ``H w - b_s`` of 25 mini-batches, and the draws of one run."""

    seed: int = 0

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        root = rng.standard_normal((DIM, DIM))
        object.__setattr__(self, "H", root @ root.T / DIM + 0.1 * np.eye(DIM))
        object.__setattr__(self, "b", rng.standard_normal((STEPS, DIM)))
        object.__setattr__(self, "start", rng.standard_normal(DIM))
        object.__setattr__(self, "uniform", rng.random((STEPS, DIM)))
        object.__setattr__(self, "normal", rng.standard_normal((STEPS, DIM)))

    def gradient(self, batch: int, w: np.ndarray) -> np.ndarray:
        return self.H @ w - self.b[batch]  # type: ignore[attr-defined]

    def worker_gradient(self, batch: int, worker: int, w: np.ndarray) -> np.ndarray:
        """Worker m's: another mini-batch, and m + 1 times the curvature's first row."""
        bend = self.H.copy()  # type: ignore[attr-defined]
        bend[0] *= worker + 1
        return bend @ w - self.b[(batch + worker) % STEPS]  # type: ignore[attr-defined]

    def restarts(self, rule: UpdateRule) -> list[bool]:
        mask = rule.restarts(np.random.default_rng(self.seed + 1), 0, STEPS, 1)
        return [True] * STEPS if mask is None else [bool(x) for x in mask[:, 0]]

    def draw(self, rule: UpdateRule, s: int, dtype: torch.dtype = torch.float64) -> Drawn:
        tables = {"uniform": self.uniform, "normal": self.normal}  # type: ignore[attr-defined]
        own = {d.name: torch.as_tensor(tables[d.law][s]).to(dtype) for d in rule.draws}
        restart = torch.tensor([self.restarts(rule)[s]])
        return Drawn(torch.tensor(s + 1, dtype=dtype), restart, own)


class Shaped(Oracle):
    """The geometry of the tests, and sample by sample what a subclass says of a mini-batch."""

    @abc.abstractmethod
    def every_gradient(self, w: Tensor) -> Tensor: ...

    def sample_gradients(self, w: Tensor) -> Tensor:
        return self.gradient(w).unsqueeze(-2)

    def prox(self, w: Tensor, step: Any) -> Tensor:
        return SIMPLE.prox(w, step)

    def projection(self, w: Tensor) -> Tensor:
        return DOMAIN.projection(w)

    def linear_minimizer(self, g: Tensor) -> Tensor:
        return DOMAIN.linear_minimizer(g)

    def mirror(self, w: Tensor, g: Tensor) -> Tensor:
        return DOMAIN.mirror(w, g)

    @property
    def workers(self) -> int:
        return WORKERS


class Batches(Shaped):
    """The problem's mini-batch ``s`` and those before it; mini-batches are its samples."""

    def __init__(self, problem: Problem, s: int) -> None:
        super().__init__()
        self.problem, self.s = problem, s

    def gradient(self, w: Tensor, lag: int = 0) -> Tensor:
        row = self.problem.gradient(max(self.s - lag, 0), w.double().numpy())
        return torch.as_tensor(row).to(w.dtype)

    def value(self, w: Tensor, lag: int = 0) -> Tensor:
        at, p = w.double().numpy(), self.problem
        found = at @ p.H @ at / 2 - p.b[self.s] @ at  # type: ignore[attr-defined]
        return torch.as_tensor([found]).to(w.dtype)

    def full_gradient(self, w: Tensor, when: Tensor | bool = True) -> Tensor:
        return self.every_gradient(w).mean(0)

    def every_gradient(self, w: Tensor) -> Tensor:
        at = w.double().numpy()
        rows = np.array([self.problem.gradient(j, at) for j in range(STEPS)])
        return torch.as_tensor(rows).to(w.dtype)

    @property
    def samples(self) -> Tensor:
        return torch.tensor([self.s])

    def worker_gradients(self, w: Tensor) -> Tensor:
        rows = [self.problem.worker_gradient(self.s, m, x.double().numpy())
                for m, x in enumerate(w)]  # fmt: skip
        return torch.as_tensor(np.array(rows)).to(w.dtype)


ONES = FunctionOracle(torch.ones_like)


FIRST = Drawn(torch.tensor(1.0))


def path(rule: UpdateRule, problem: Problem, dtype: torch.dtype = torch.float64) -> np.ndarray:
    """The iterates of ``rule``, shape (STEPS, DIM)."""
    w = torch.as_tensor(problem.start).to(dtype)  # type: ignore[attr-defined]
    state, points = rule.init(w, Batches(problem, 0)), []
    for s in range(STEPS):
        w, state = rule.update(w, Batches(problem, s), state, problem.draw(rule, s, dtype))
        points.append(w.double().numpy())
    return np.array(points)


GROWING = Expression(1.5 * t_symbol)


EACH = torch.linspace(0.05, 0.2, DIM, dtype=torch.float64)


LOCAL_DECAY = torch.tensor([0.1, 0.1, 0.0, 0.0, 0.0, 0.3], dtype=torch.float64)


SETTINGS = {
    "momentum and decay": {"beta": 0.8, "weight_decay": 0.1},
    "authors": {"inner": 0.1, "beta": 0.8, "weight_decay": 0.1, "variant": "authors"},
}


CASES: dict[str, UpdateRule] = {
    "sgd": SGD(0.1, weight_decay=0.2),
    "alternating": Alternating(0.1),
    "sgd, schedule": SGD(Harmonic(0.5, floor=3)),
    "sgd, groups": SGD(EACH, weight_decay=LOCAL_DECAY),
    "msgd": MSGD(0.1, 0.8, weight_decay=0.2),
    "msgd, groups": MSGD(EACH, EACH, weight_decay=LOCAL_DECAY),
    "nesterov": Nesterov(0.1, 0.8, weight_decay=0.2),
    "sngm": SNGM(0.1, 0.8, weight_decay=0.2),
    "sngm, decoupled": SNGM(0.1, 0.8, weight_decay=0.2, decoupled=True),
    "sngm, groups": SNGM(EACH, 0.5, weight_decay=LOCAL_DECAY),
    "sngd": SNGD(0.1, weight_decay=0.2),
    "sngd, decoupled": SNGD(Harmonic(0.5), weight_decay=0.2, decoupled=True),
    "trsgd": TRSGD(6.0, 0.5, 4),
    "trsgd, own step": TRSGD(0.7, 0.0, 4, inner=0.2),
    "trsgd, schedule only": TRSGD(0.0, 0.0, 4, inner=0.2),
    "trsgd, momentum and decay": TRSGD(6.0, 0.5, 4, **SETTINGS["momentum and decay"]),
    "trsgd, groups": TRSGD(0.7, 0.0, 4, inner=EACH, beta=0.5, weight_decay=LOCAL_DECAY),
    "trsgd, authors": TRSGD(0.02, 0.0, 4, **SETTINGS["authors"]),
    "trsgd, authors, falling rate": TRSGD(
        0.02, 0.0, 4, inner=Staircase(0.1, (3,), 0.1), variant="authors"
    ),
    "lrsgd_r": LRSGD_R(2.0, 0.25),
    "lrsgd_r, after sgd": LRSGD_R(GROWING, 0.2, t0=3, eta=Harmonic(0.4)),
    "lrsgd_r, momentum and decay": LRSGD_R(
        GROWING, 0.2, t0=3, eta=0.1, **SETTINGS["momentum and decay"]
    ),
    "lrsgd_r, authors": LRSGD_R(0.02, gamma=0.1, **SETTINGS["authors"]),
    "lrsgd_c": LRSGD_C(6.0, 0.5, 4),
    "lrsgd_c, after sgd": LRSGD_C(GROWING, 1.5, 4, t0=3, eta=Harmonic(0.4)),
    "lrsgd_c, momentum and decay": LRSGD_C(
        GROWING, 0.5, 4, t0=2, eta=0.1, **SETTINGS["momentum and decay"]
    ),
    "lrsgd_c, authors": LRSGD_C(0.02, 0.0, 4, **SETTINGS["authors"]),
    "lrsgd_c, constant step": LRSGD_C(0.7, 0.0, 4, inner=0.1, falling=False),
    "lrsgd_c, constant step of lam": LRSGD_C(GROWING, 0.5, 4, t0=2, eta=0.1, falling=False),
    "batch size 1": StochasticBatchSize1(0.1, 0.5, -2.0, memory=8),
    "batch size 1, short memory": StochasticBatchSize1(
        0.1, 0.5, -2.0, LAYOUT, beta=0.5, weight_decay=0.1, memory=2
    ),
    "batch size 1, no memory": StochasticBatchSize1(0.1, 0.5, -2.0, LAYOUT, memory=1),
    "batch size 2": StochasticBatchSize2(0.1, 0.5, -2.0),
    "batch size 2, kinds": StochasticBatchSize2(
        0.1, 0.5, -2.0, LAYOUT, beta=0.5, weight_decay=0.1
    ),
    "batch size 2, all layers": StochasticBatchSize2(0.1, 0.5, -2.0, LAYOUT, across="all"),
    "batch size 2, k eta": StochasticBatchSize2(0.05, 0.5, -2.0, LAYOUT, step="k_eta"),
    "batch size 2, global": StochasticBatchSize2(0.1, 0.0, -2.0, LAYOUT),
    "adam": Adam(0.1, 0.8, 0.9, weight_decay=0.2),
    "adam, groups": Adam(EACH, weight_decay=LOCAL_DECAY),
    "amsgrad": AMSGrad(0.1, 0.8, 0.9, weight_decay=0.2),
    "amsgrad, torch": AMSGrad(0.1, 0.8, 0.9, weight_decay=0.2, variant="torch"),
    "rmsprop": RMSprop(0.02, 0.9, beta=0.5, weight_decay=0.2),
    "tradam": TRAdam(0.7, 4, 0.1, 0.8, 0.9, weight_decay=0.2),
    "tradam, authors": TRAdam(
        0.02, 4, 0.1, 0.8, 0.9, eps=0.1, weight_decay=0.2, variant="authors"
    ),
    "tradam, amsgrad": TRAdam(0.02, 4, 0.1, 0.8, 0.9, variant="authors", amsgrad=True),
    "lars": LARS(0.5, 0.8, 0.1, trust=0.1, layout=LAYOUT),
    "lars, one layer": LARS(0.5, 0.8, 0.1, trust=0.1),
    "lars, outside": LARS(Harmonic(2.0), 0.8, 0.1, 0.1, LAYOUT, "outside"),
    "lars, falling rate": LARS(Harmonic(2.0), 0.8, 0.1, 0.1, LAYOUT),
    "lars, decayed norm": LARS(0.5, 0.8, 0.1, 0.1, LAYOUT, "decayed_norm"),
    "lars, no decay": LARS(0.1, 0.8, 0.0, 0.1, LAYOUT, "skip_without_decay"),
    "entropy_sgd": EntropySGD(
        0.9, 4, 0.5, 0.1, inner=0.1, average=0.75, gamma0=0.5, gamma1=0.1, eps=0.1
    ),
    "entropy_sgd, authors": EntropySGD(
        0.9, 4, 0.5, 0.1, inner=0.1, average=0.75, gamma0=0.5, gamma1=0.1, eps=0.1,
        variant="authors",
    ),
    "accelerated_sgd": AcceleratedSGD(0.02, 50.0, 5.0, weight_decay=0.1),
}  # fmt: skip


# --- laws of every rule ----------------------------------------------------------------------
def batched(rule: UpdateRule, runs: int = 5) -> tuple[Tensor, Tensor, Drawn]:
    torch.manual_seed(0)
    w = torch.randn(runs, DIM, dtype=torch.float64)
    g = torch.randn((rule.lags, *w.shape), dtype=torch.float64)
    own = {item.name: torch.rand_like(w) for item in rule.draws}
    t = torch.tensor(1.0, dtype=torch.float64)
    return w, g, Drawn(t, torch.ones(runs, 1, dtype=torch.bool), own)


CASES |= MORE_CASES
ROUNDED_CASES = [
    name for name, rule in CASES.items()
    if rule.restarts(np.random.default_rng(0), 0, 1, 1) is not None
]  # fmt: skip


class Given(Shaped):
    """The same gradients (the last of them again) wherever it is asked: shape (lags, ..., d)."""

    def __init__(self, g: Tensor) -> None:
        super().__init__()
        self.g = g

    def gradient(self, w: Tensor, lag: int = 0) -> Tensor:
        return self.g[min(lag, len(self.g) - 1)]

    def value(self, w: Tensor, lag: int = 0) -> Tensor:
        return (self.g[0] * w).sum(-1, keepdim=True)

    def full_gradient(self, w: Tensor, when: Tensor | bool = True) -> Tensor:
        return self.g[-1] / 2

    def every_gradient(self, w: Tensor) -> Tensor:
        return torch.stack([self.g[0], -2 * self.g[0], 3 * self.g[0]], -2)

    @property
    def samples(self) -> Tensor:
        return torch.ones_like(self.g[0, ..., :1]).int()

    def worker_gradients(self, w: Tensor) -> Tensor:
        return torch.stack([(m + 1) * self.g[0] for m in range(WORKERS)], -2)


every_case = pytest.mark.parametrize("case", CASES)
