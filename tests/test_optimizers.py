"""Update rules: against plain loops in numpy, and laws every registered rule obeys."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from method_references import CASES as MORE_CASES
from method_references import DOMAIN, SIMPLE, WORKERS
from method_references import REFERENCES as MORE_REFERENCES
from scipy import stats
from torch import Tensor

from bounds.notation import t as t_symbol
from theorylab.method import (
    LARS,
    LRSGD_C,
    LRSGD_R,
    MSGD,
    RULES,
    SGD,
    SNGD,
    SNGM,
    SVRG,
    TRSGD,
    AcceleratedSGD,
    Adam,
    Alternating,
    AMSGrad,
    EntropySGD,
    LocalSGD,
    Nesterov,
    RMSprop,
    StochasticBatchSize1,
    StochasticBatchSize2,
    TRAdam,
    proximal,
    sngm,
)
from theorylab.method.rule import Drawn, Stateless, UpdateRule, entries, map_state
from theorylab.method.schedules import Exponential, Expression, Harmonic, Sigmoid, Staircase, Warmup
from theorylab.method.stochastic_batch_size import update_probability
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


# --- the references: each method written out as a loop ---------------------------------------
Reference = Callable[[Any, Problem], Iterator[np.ndarray]]


def value(hyper: Any, t: float) -> Any:
    if isinstance(hyper, Tensor):
        return hyper.double().numpy()
    return hyper(t) if callable(hyper) else hyper


def sgd(r: SGD, p: Problem) -> Iterator[np.ndarray]:
    w = p.start.copy()
    for s in range(STEPS):
        w = w - value(r.eta, s + 1) * (p.gradient(s, w) + value(r.weight_decay, 0) * w)
        yield w


def halves(r: Alternating, p: Problem) -> Iterator[np.ndarray]:
    w = p.start.copy()
    for s in range(STEPS):
        g, block = p.gradient(s, w), slice(None, (DIM + 1) // 2)
        if s % 2 == 1:
            block = slice((DIM + 1) // 2, None)
        w = w.copy()
        w[block] = w[block] - value(r.eta, s + 1) * g[block]
        yield w


def msgd(r: MSGD, p: Problem) -> Iterator[np.ndarray]:
    w, v = p.start.copy(), np.zeros(DIM)
    for s in range(STEPS):
        v = value(r.beta, 0) * v + p.gradient(s, w) + value(r.weight_decay, 0) * w
        w = w - value(r.eta, s + 1) * v
        yield w


def nesterov(r: Nesterov, p: Problem) -> Iterator[np.ndarray]:
    w, v = p.start.copy(), np.zeros(DIM)
    for s in range(STEPS):
        g = p.gradient(s, w) + r.weight_decay * w
        v = r.beta * v + g
        w = w - value(r.eta, s + 1) * (g + r.beta * v)
        yield w


def sngm_(r: Any, p: Problem) -> Iterator[np.ndarray]:
    beta = getattr(r, "beta", 0.0)
    w, u = p.start.copy(), np.zeros(DIM)
    for s in range(STEPS):
        g = p.gradient(s, w)
        eta, decay = value(r.eta, s + 1), value(r.weight_decay, 0)
        if r.decoupled:
            u = beta * u + g / math.sqrt(sum(x * x for x in g))
            w = w - eta * u - eta * decay * w
        else:
            g = g + decay * w
            u = beta * u + g / math.sqrt(sum(x * x for x in g))
            w = w - eta * u
        yield w


def anchored(r: Any, p: Problem) -> Iterator[np.ndarray]:
    """TRSGD, LRSGD-R, LRSGD-C."""
    w, v = p.start.copy(), np.zeros(DIM)
    t, warm = 0, getattr(r, "t0", 0)
    for s, begins in enumerate(p.restarts(r)):
        if begins:
            anchor, k, t = w.copy(), 0, t + 1
        k += 1
        lam, inner = value(r.lam, t), value(r.inner, t)
        if t <= warm:
            step = value(r.eta, t)
        elif isinstance(r, LRSGD_R):
            step = r.theta / lam if inner is None else inner
        else:
            step = 1 / (lam - r.delta) if inner is None else inner
            step = step / k if getattr(r, "falling", True) else step
        pull = 2 * lam / inner if r.variant == "authors" else lam
        decay, beta = value(r.weight_decay, 0), value(r.beta, 0)
        v = beta * v + p.gradient(s, w) + pull * (w - anchor) + decay * w
        w = w - step * v
        yield w


def adam(r: Any, p: Problem) -> Iterator[np.ndarray]:
    """Adam, AMSGrad, TRAdam."""
    w, m, v, top = p.start.copy(), np.zeros(DIM), np.zeros(DIM), np.zeros(DIM)
    for s, begins in enumerate(p.restarts(r)):
        if begins:
            anchor, k = w.copy(), 0
        k += 1
        eta = value(r.eta, s + 1)
        g = p.gradient(s, w) + value(r.weight_decay, 0) * w
        if isinstance(r, TRAdam):
            g += (2 * r.lam / eta if r.variant == "authors" else r.lam) * (w - anchor)
            eta = eta / k
        m = r.beta1 * m + (1 - r.beta1) * g
        v = r.beta2 * v + (1 - r.beta2) * g**2
        top = np.maximum(top, v)
        second = top if isinstance(r, AMSGrad) or getattr(r, "amsgrad", False) else v
        if isinstance(r, AMSGrad) and r.variant == "paper":
            w = w - eta * m / (np.sqrt(second) + r.eps)
        else:
            mhat, vhat = m / (1 - r.beta1 ** (s + 1)), second / (1 - r.beta2 ** (s + 1))
            # The authors add eps to the root before its bias is removed.
            late = isinstance(r, TRAdam) and r.variant == "authors"
            eps = r.eps / math.sqrt(1 - r.beta2 ** (s + 1)) if late else r.eps
            w = w - eta * mhat / (np.sqrt(vhat) + eps)
        yield w


def rmsprop(r: RMSprop, p: Problem) -> Iterator[np.ndarray]:
    w, v, u = p.start.copy(), np.zeros(DIM), np.zeros(DIM)
    for s in range(STEPS):
        g = p.gradient(s, w) + r.weight_decay * w
        v = r.alpha * v + (1 - r.alpha) * g**2
        u = r.beta * u + g / (np.sqrt(v) + r.eps)
        w = w - value(r.eta, s + 1) * u
        yield w


def layers(layout: Any) -> list[tuple[str, slice]]:
    if not layout:
        return [("all", slice(0, DIM))]
    ends = np.cumsum([n for _, n in layout])
    return [(kind, slice(e - n, e)) for (kind, n), e in zip(layout, ends, strict=True)]


def lars(r: LARS, p: Problem) -> Iterator[np.ndarray]:
    w, v = p.start.copy(), np.zeros(DIM)
    for s in range(STEPS):
        g, eta, wd = p.gradient(s, w), value(r.eta, s + 1), r.weight_decay
        nxt = w.copy()
        for _, j in layers(r.layout):
            size = np.linalg.norm(w[j])
            if r.variant == "decayed_norm":
                ratio = r.trust * size / np.linalg.norm(g[j] + wd * w[j])
            else:
                ratio = r.trust * size / (np.linalg.norm(g[j]) + wd * size)
            if r.variant == "skip_without_decay" and wd == 0:
                ratio = 1.0
            if r.variant == "outside":
                v[j] = r.beta * v[j] + ratio * (g[j] + wd * w[j])
                nxt[j] = w[j] - eta * v[j]
            else:
                v[j] = r.beta * v[j] + eta * ratio * (g[j] + wd * w[j])
                nxt[j] = w[j] - v[j]
        w = nxt
        yield w


def entropy(r: EntropySGD, p: Problem) -> Iterator[np.ndarray]:
    w, outer_v, rounds, s = p.start.copy(), np.zeros(DIM), 0, 0
    authors = r.variant == "authors"
    if authors:
        outer_v = p.gradient(0, w)  # theirs is a copy of the gradient at the start
    while True:
        anchor, mu, inner_v = w.copy(), w.copy(), np.zeros(DIM)
        gamma = r.gamma0 if authors else r.gamma0 * (1 + r.gamma1) ** rounds
        for k in range(r.S):
            g = p.gradient(s, w) + r.weight_decay * w
            inner_v = r.beta * inner_v + g
            g = g + r.beta * inner_v
            if authors:
                g = g + gamma * (w - anchor) + r.eps / math.sqrt(0.5 * r.inner) * p.normal[s]
                w = w - r.inner * g
                mu = r.average * mu + (1 - r.average) * w
            else:
                g = g + gamma * (w - anchor)
                w = w - r.inner * g + math.sqrt(r.inner) * r.eps * p.normal[s]
                mu = (1 - r.average) * mu + r.average * w
            if k == r.S - 1:
                g = (anchor - mu) * (1 if authors else gamma) + r.weight_decay * anchor
                outer_v = r.beta * outer_v + g
                w = anchor - value(r.eta, s + 1) * (g + r.beta * outer_v)
                rounds += 1
            yield w
            s += 1
            if s == STEPS:
                return


def accelerated(r: AcceleratedSGD, p: Problem) -> Iterator[np.ndarray]:
    w, wbar = p.start.copy(), p.start.copy()
    b = r.c**2 * r.xi / r.kappa
    z = r.c / (r.c + b)
    for s in range(STEPS):
        eta, g = value(r.eta, s + 1), p.gradient(s, w) + r.weight_decay * w
        wbar = (1 - b) * wbar + b * (w - r.kappa * eta / r.c * g)
        w = z * (w - eta * g) + (1 - z) * wbar
        yield w


def probability(r: Any, g: np.ndarray) -> np.ndarray:
    size, p = np.abs(g), np.empty(DIM)
    segments = layers(r.layout)
    means = {j.start: size[j].mean() for _, j in segments}
    for kind, j in segments:
        like = [i for other, i in segments if r.across == "all" or other == kind]
        counts = [i.stop - i.start for i in like]
        centre = np.average([means[i.start] for i in like], weights=counts)
        spread = math.sqrt(
            np.average([(means[i.start] - centre) ** 2 for i in like], weights=counts)
        )
        tilde = 0.0 if spread < 1e-12 else (means[j.start] - centre) / spread
        sigma = size[j].std()
        v = np.zeros(j.stop - j.start) if sigma < 1e-12 else (size[j] - means[j.start]) / sigma
        p[j] = 1 / (1 + np.exp(-r.alpha * v - r.lambda_ * tilde))
    return p


def batch_size(r: Any, p: Problem) -> Iterator[np.ndarray]:
    """Stochastic batch size, Algorithms 1 and 2, one parameter at a time."""
    first = isinstance(r, StochasticBatchSize1)
    w, v, mean = p.start.copy(), np.zeros(DIM), np.zeros(DIM)
    waiting: list[list[int]] = [[] for _ in range(DIM)]
    for s in range(STEPS):
        now, used = p.gradient(s, w), np.zeros(DIM)
        for j in range(DIM):
            waiting[j].append(s)
            if first:
                held = waiting[j][-r.memory :]
                used[j] = np.mean([p.gradient(batch, w)[j] for batch in held])
            else:
                mean[j] += (now[j] - mean[j]) / len(waiting[j])
                used[j] = mean[j]
        chosen = p.uniform[s] < probability(r, used if first else now)
        nxt = w.copy()
        for j in map(int, np.flatnonzero(chosen)):
            eta = value(r.eta, s + 1) * (len(waiting[j]) if r.step == "k_eta" else 1)
            v[j] = r.beta * v[j] + used[j] + r.weight_decay * w[j]
            nxt[j] = w[j] - eta * v[j]
            waiting[j], mean[j] = [], 0.0
        w = nxt
        yield w


REFERENCES: dict[type[UpdateRule], Reference] = {
    SGD: sgd, MSGD: msgd, Nesterov: nesterov, SNGM: sngm_, SNGD: sngm_, TRSGD: anchored,
    LRSGD_R: anchored, LRSGD_C: anchored, Adam: adam, AMSGrad: adam, TRAdam: adam,
    RMSprop: rmsprop, LARS: lars, EntropySGD: entropy, AcceleratedSGD: accelerated,
    StochasticBatchSize1: batch_size, StochasticBatchSize2: batch_size, Alternating: halves,
}  # fmt: skip

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
CASES |= MORE_CASES
REFERENCES |= MORE_REFERENCES
every_case = pytest.mark.parametrize("case", CASES)


def reference(rule: UpdateRule, problem: Problem) -> np.ndarray:
    return np.array(list(REFERENCES[type(rule)](rule, problem)))


def test_every_rule_has_cases_and_a_unique_name() -> None:
    assert {type(rule) for rule in CASES.values()} == set(RULES) == set(REFERENCES)
    assert len({rule.name for rule in RULES}) == len(RULES)


@every_case
def test_25_steps_agree_with_plain_loops(case: str) -> None:
    for seed in (0, 1):
        problem = Problem(seed)
        expected = reference(CASES[case], problem)
        assert np.abs(expected).max() < 1e3
        np.testing.assert_allclose(path(CASES[case], problem), expected, rtol=1e-11, atol=1e-12)


@every_case
def test_float32_stays_float32_and_near(case: str) -> None:
    rule, problem = CASES[case], Problem()
    w = torch.as_tensor(problem.start).float()  # type: ignore[attr-defined]
    state = rule.init(w, Batches(problem, 0))
    w, state = rule.update(w, Batches(problem, 0), state, problem.draw(rule, 0, torch.float32))
    assert w.dtype == torch.float32
    assert {value.dtype for value in entries(state).values()} <= {torch.float32}
    if "batch size" not in case:  # a draw next to p may fall on its other side
        near = path(rule, problem, torch.float32)
        np.testing.assert_allclose(near, path(rule, problem), rtol=2e-3, atol=2e-3)


@every_case
def test_every_number_matters(case: str) -> None:
    """A mutant for each field: moving one number must break the agreement."""
    rule, problem = CASES[case], Problem()
    expected = reference(rule, problem)
    for field in dataclasses.fields(rule):
        number = getattr(rule, field.name)
        if isinstance(number, bool) or not isinstance(number, int | float) or number == 0:
            continue
        if field.name in ("eps", "theta", "gamma1") or (case, field.name) in IDLE:
            continue
        # What decides by comparison with a draw has to move far to change a decision.
        far = (case.startswith("batch size") and field.name in ("alpha", "lambda_")) or (
            field.name == "gamma"
        )
        moved = number + 1 if isinstance(number, int) else number * (4 if far else 1.05)
        mutant = dataclasses.replace(rule, **{field.name: moved})
        same = np.allclose(path(mutant, problem), expected, rtol=1e-9, atol=1e-10)
        assert not same, field.name


# Fields without effect in a case, and why. (eps, theta and gamma1 have a test of their own.)
IDLE = {
    ("batch size 1", "lambda_"),  # one layer
    ("batch size 2", "lambda_"),
    ("batch size 1", "memory"),  # nothing waited longer
    ("svrg", "S"),  # mini-batches differ by a constant: no anchor is better than another
    ("lars, no decay", "trust"),  # the ratio is skipped
    ("two-point zeroth order", "mu"),  # a central difference is exact on a quadratic
}


@pytest.mark.parametrize(
    ("case", "field", "moved"),
    [
        ("trsgd", "delta", 0.6),
        ("lrsgd_c", "delta", 0.6),
        ("lrsgd_r", "theta", 0.24),
        ("adam", "eps", 1e-3),
        ("rmsprop", "eps", 1e-3),
        ("entropy_sgd", "eps", 0.2),
        ("entropy_sgd", "gamma1", 0.2),
        ("entropy_sgd, authors", "eps", 0.2),
    ],
)
def test_fields_that_act_in_some_cases_only(case: str, field: str, moved: float) -> None:
    rule = dataclasses.replace(CASES[case], **{field: moved})
    assert not np.allclose(path(rule, Problem()), reference(CASES[case], Problem()), atol=1e-8)
    np.testing.assert_allclose(path(rule, Problem()), reference(rule, Problem()), rtol=1e-10)


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ("trsgd, authors", {"variant": "paper"}),
        ("lrsgd_r, authors", {"variant": "paper"}),
        ("lrsgd_c, authors", {"variant": "paper"}),
        ("tradam, authors", {"variant": "paper"}),
        ("tradam, amsgrad", {"amsgrad": False}),
        ("lrsgd_c, constant step", {"falling": True}),
        ("entropy_sgd, authors", {"variant": "paper"}),
        ("amsgrad, torch", {"variant": "paper"}),
        ("lars, outside", {"variant": "paper"}),
        ("lars, decayed norm", {"variant": "paper"}),
        ("sngm, decoupled", {"decoupled": False}),
        ("batch size 2, k eta", {"step": "eta"}),
        ("batch size 2, all layers", {"across": "kind"}),
    ],
)
def test_variants_differ(case: str, change: dict[str, Any]) -> None:
    other = dataclasses.replace(CASES[case], **change)
    assert not np.allclose(path(other, Problem()), reference(CASES[case], Problem()), atol=1e-6)


def _frozen_index(w: Tensor, state: Any, restart: Tensor) -> Any:
    fresh = restart.to(w.dtype)
    return state._replace(k=state.k + 1, anchor=torch.lerp(state.anchor, w, fresh))


def _wandering_anchor(w: Tensor, state: Any, restart: Tensor) -> Any:
    return begin_round(w, state, restart)._replace(anchor=w)


def _late_anchor(w: Tensor, state: Any, restart: Tensor) -> Any:
    return begin_round(w, state, restart)._replace(anchor=state.anchor)


begin_round = proximal.begin_round


@pytest.mark.parametrize("mutant", [_frozen_index, _wandering_anchor, _late_anchor])
@pytest.mark.parametrize("case", ["trsgd", "lrsgd_c", "trsgd, momentum and decay"])
def test_wrong_rounds_are_caught(
    case: str, mutant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proximal, "begin_round", mutant)
    expected = reference(CASES[case], Problem())
    assert not np.allclose(path(CASES[case], Problem()), expected, atol=1e-6)


class Listening(Batches):
    """Notes which questions are asked."""

    def __init__(self, problem: Problem, s: int) -> None:
        super().__init__(problem, s)
        self.asked: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name in vars(Oracle):
            object.__getattribute__(self, "asked").add(name)
        return object.__getattribute__(self, name)


@every_case
def test_needs_are_what_is_asked(case: str) -> None:
    rule, problem = CASES[case], Problem()
    w = torch.as_tensor(problem.start)  # type: ignore[attr-defined]
    before, oracle = Listening(problem, 0), Listening(problem, 0)
    state = rule.init(w, before)
    asked = set(before.asked)
    rule.update(w, oracle, state, problem.draw(rule, 0))
    inner = {"gradient", "every_gradient"} if "full_gradient" in rule.needs else {"gradient"}
    assert (asked | oracle.asked) - inner == rule.needs - inner


# --- laws of every rule ----------------------------------------------------------------------
def batched(rule: UpdateRule, runs: int = 5) -> tuple[Tensor, Tensor, Drawn]:
    torch.manual_seed(0)
    w = torch.randn(runs, DIM, dtype=torch.float64)
    g = torch.randn((rule.lags, *w.shape), dtype=torch.float64)
    own = {item.name: torch.rand_like(w) for item in rule.draws}
    t = torch.tensor(1.0, dtype=torch.float64)
    return w, g, Drawn(t, torch.ones(runs, 1, dtype=torch.bool), own)


def several_steps(rule: UpdateRule, steps: int = 4) -> Iterator[tuple[Any, ...]]:
    """Inputs and outputs of some batched steps, restarts differing between runs."""
    w, g, draw = batched(rule)
    state = rule.init(w, Given(g))
    for s in range(steps):
        draw = draw._replace(t=draw.t + (s > 0))
        if s:
            draw = draw._replace(restart=torch.rand(w.shape[0], 1) < 0.5)
        moved, new = rule.update(w, Given(g), state, draw)
        yield w, g, state, draw, moved, new
        w, state = moved, new


def one(x: Tensor, run: int) -> Tensor:
    return x[run] if x.ndim >= 2 else x


def rows_of(cut: Callable[[Tensor], Tensor], w: Tensor, g: Tensor, state: Any, draw: Drawn) -> Any:
    """The arguments of an update for some of the runs."""
    fewer = Drawn(draw.t, cut(draw.restart), {n: cut(x) for n, x in draw.own.items()})  # type: ignore[arg-type]
    fed = Given(torch.stack([cut(x) for x in g]))
    return cut(w), fed, map_state(cut, state), fewer


@every_case
def test_batched_is_one_by_one(case: str) -> None:
    rule = CASES[case]
    for w, g, state, draw, moved, new in several_steps(rule):
        for run in range(w.shape[0]):
            alone, kept = rule.update(*rows_of(lambda x, run=run: one(x, run), w, g, state, draw))
            torch.testing.assert_close(moved[run], alone, rtol=1e-14, atol=1e-14)
            for name, x in entries(kept).items():
                torch.testing.assert_close(one(getattr(new, name), run), x, rtol=1e-14, atol=1e-14)


@every_case
def test_a_row_does_not_depend_on_how_many_there_are(case: str) -> None:
    rule = CASES[case]
    for w, g, state, draw, moved, new in several_steps(rule):
        for rows in (slice(0, 2), slice(3, 4)):
            cut = lambda x, rows=rows: x[rows] if x.ndim >= 2 else x
            some, kept = rule.update(*rows_of(cut, w, g, state, draw))
            assert torch.equal(some, moved[rows])
            assert all(torch.equal(cut(getattr(new, n)), x) for n, x in entries(kept).items())


@every_case
def test_inputs_are_left_alone(case: str) -> None:
    rule = CASES[case]
    w, g, draw = batched(rule)
    state = rule.init(w, Given(g))
    for _ in range(3):
        given = (w, g, draw.t, draw.restart, *draw.own.values())
        before = [x.clone() for x in (*given, *entries(state).values())]  # type: ignore[union-attr]
        moved, new = rule.update(w, Given(g), state, draw)
        after = (*given, *entries(state).values())
        assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))
        assert moved.data_ptr() not in {x.data_ptr() for x in after}
        w, state = moved, new


@every_case
def test_no_branch_on_values(case: str) -> None:
    rule = CASES[case]
    for w, g, state, draw, moved, _ in several_steps(rule):
        parts = tuple(None if part is None else 0 for part in state)
        over = (0, 1, type(state)(*parts), Drawn(None, 0, dict.fromkeys(draw.own, 0)))  # type: ignore[arg-type]
        step = lambda w, g, state, draw: rule.update(w, Given(g), state, draw)[0]
        mapped = torch.func.vmap(step, in_dims=over)(w, g, state, draw)
        torch.testing.assert_close(mapped, moved, rtol=1e-12, atol=1e-14)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_and_tiny_gradients_give_no_nan(case: str, dtype: torch.dtype) -> None:
    rule = CASES[case]
    for size in (0.0, 1e-30, 1e-42):
        w, g, draw = batched(rule)
        w, g = torch.zeros_like(w).to(dtype), torch.full_like(g, size).to(dtype)
        own = {n: x.to(dtype) for n, x in draw.own.items()}
        draw = Drawn(draw.t.to(dtype), draw.restart, own)
        state = rule.init(w, Given(g))
        for _ in range(3):
            w, state = rule.update(w, Given(g), state, draw)
            assert torch.isfinite(w).all()
            assert all(torch.isfinite(x).all() for x in entries(state).values())


def test_without_the_guard_sngm_is_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sngm, "guarded_norm", sngm.norm)
    w = torch.ones(3)
    moved, _ = SNGD(0.1).update(w, FunctionOracle(torch.zeros_like), Stateless(), FIRST)
    assert torch.isnan(moved).all()


@given(st.floats(-44, 18), st.floats(0, 0.99))
@settings(deadline=None, max_examples=50)
def test_sngm_keeps_lemma_2_at_any_scale(exponent: float, beta: float) -> None:
    rule, w = SNGM(0.1, beta), torch.zeros(8)
    g = torch.linspace(-1, 1, 8) * 10.0**exponent
    state = rule.init(w, Given(g[None]))
    for t in range(1, 6):
        w, state = rule.update(w, Given(g[None]), state, Drawn(torch.tensor(float(t))))
        length = state.u.norm().item()
        assert length <= (1 - beta**t) / (1 - beta) * (1 + 1e-5)
        if exponent > -15:
            assert length >= (1 - beta**t) / (1 - beta) * (1 - 1e-4)


@every_case
def test_one_value_a_replica(case: str) -> None:
    """A table of step sizes is as good as one run for each."""
    rule = CASES[case]
    numbers = [n for n in ("inner", "eta", "lam") if isinstance(getattr(rule, n, None), float)]
    name = next((n for n in numbers if getattr(rule, n) != 0), None)
    if name is None:
        pytest.skip("no number to vary")
    table = getattr(rule, name) * torch.linspace(1, 2, 5, dtype=torch.float64)[:, None]
    wide = dataclasses.replace(rule, **{name: table})
    assert torch.equal(getattr(wide.rows(slice(1, 3)), name), table[1:3])
    for w, g, state, draw, moved, _ in several_steps(wide):
        for run in range(5):
            single = dataclasses.replace(rule, **{name: table[run].item()})
            alone, _ = single.update(*rows_of(lambda x, run=run: one(x, run), w, g, state, draw))
            torch.testing.assert_close(moved[run], alone, rtol=1e-12, atol=1e-14)


# --- rounds ----------------------------------------------------------------------------------
ROUNDED = [
    TRSGD(2.0, 0.5, 4),
    LRSGD_R(2.0, 0.2),
    LRSGD_R(2.0, 0.2, t0=5, eta=0.1),
    LRSGD_R(2.0, gamma=0.1),
    LRSGD_C(2.0, 0.5, 4),
    LRSGD_C(2.0, 0.5, 4, t0=5, eta=0.1),
    TRAdam(1.0, 3),
    EntropySGD(0.1, 3),
    SVRG(0.1, 3),
    LocalSGD(0.1, 3),
]


def test_rules_with_rounds_are_listed() -> None:
    with_rounds = {
        type(rule)
        for rule in CASES.values()
        if rule.restarts(np.random.default_rng(0), 0, 1, 1) is not None
    }
    assert with_rounds == {type(rule) for rule in ROUNDED}


@pytest.mark.parametrize("rule", ROUNDED, ids=lambda r: r.name)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_restarts_in_pieces_are_the_whole(rule: Any, pieces: list[int], seed: int) -> None:
    whole = rule.restarts(np.random.default_rng(seed), 0, sum(pieces), 3)
    rng, first, parts = np.random.default_rng(seed), 0, []
    for length in pieces:
        parts.append(rule.restarts(rng, first, length, 3))
        first += length
    assert np.array_equal(np.concatenate(parts), whole)
    assert whole.dtype == bool
    assert not len(whole) or whole[0].all()


ROUNDED_CASES = [
    name for name, rule in CASES.items()
    if rule.restarts(np.random.default_rng(0), 0, 1, 1) is not None
]  # fmt: skip


@pytest.mark.parametrize("case", ROUNDED_CASES)
def test_a_restart_all_runs_share_may_be_a_plain_bool(case: str) -> None:
    rule = CASES[case]
    w, _, draw = batched(rule)
    oracle = FunctionOracle(torch.sin, workers=WORKERS)
    points, states = [w, w], [rule.init(w, oracle), rule.init(w, oracle)]
    for t in range(1, 8):
        begins = t % 3 == 1
        for j, restart in enumerate((begins, torch.full((len(w), 1), begins))):
            draw = Drawn(torch.tensor(float(t), dtype=w.dtype), restart, draw.own)
            points[j], states[j] = rule.update(points[j], oracle, states[j], draw)
        assert torch.allclose(points[0], points[1], rtol=1e-14, atol=0)


def lengths(rule: LRSGD_R, steps: int = 4000, replicas: int = 50) -> np.ndarray:
    mask = rule.restarts(np.random.default_rng(7), 0, steps, replicas)
    found = [np.diff(np.flatnonzero(column)) for column in mask.T]
    return np.concatenate(found)


def chi_square(sample: np.ndarray, gamma: float) -> float:
    cells = np.arange(1, 16)
    law = (1 - gamma) ** (cells - 1) * gamma
    seen = [np.sum(sample == k) for k in cells] + [np.sum(sample > 15)]
    return float(stats.chisquare(seen, len(sample) * np.append(law, 1 - law.sum())).pvalue)


@pytest.mark.parametrize("theta", [0.25, 0.1])
def test_rounds_are_geometric(theta: float) -> None:
    gamma = math.log(1 / (1 - theta)) / math.log(1 / theta)
    rule = LRSGD_R(2.0, theta)
    sample = lengths(rule)
    assert rule.ends_with == pytest.approx(gamma)
    error = math.sqrt((1 - gamma) / gamma**2 / len(sample))
    assert abs(sample.mean() - 1 / gamma) < 4 * error
    assert chi_square(sample, gamma) > 1e-3
    assert chi_square(sample, 1.3 * gamma) < 1e-6


def test_plain_rounds_come_first() -> None:
    for rule in (LRSGD_R(2.0, 0.1, t0=5, eta=0.1), LRSGD_C(2.0, 0.5, 4, t0=5, eta=0.1)):
        mask = rule.restarts(np.random.default_rng(0), 0, 200, 8)
        assert mask[:6].all()
        assert not mask[6:].all()
    assert mask[5:, 0].nonzero()[0].tolist()[:3] == [0, 4, 8]


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: TRSGD(1.0, 1.0, 3), "lam > delta"),
        (lambda: TRSGD(2.0, 1.0, 0), "S must"),
        (lambda: TRSGD(2.0, 1.0, torch.ones(3, 1)), "S must"),
        (lambda: TRSGD(2.0, 1.0, 3, variant="authors"), "inner"),
        (lambda: TRSGD(2.0, 1.0, 3, variant="theirs"), "variant"),
        (lambda: LRSGD_R(2.0, 1.0), "theta"),
        (lambda: LRSGD_R(2.0, 0.2, gamma=0.0), "gamma"),
        (lambda: LRSGD_R(2.0, 0.2, t0=4), "eta"),
        (lambda: LRSGD_C(2.0, 0.5, 3, t0=-1), "t0"),
        (lambda: StochasticBatchSize1(0.1, memory=0), "memory"),
        (lambda: StochasticBatchSize2(0.1, layout=(("a", 0),)), "layout"),
        (lambda: StochasticBatchSize2(0.1, across="none"), "across"),
        (lambda: LARS(0.1, variant="mine"), "variant"),
        (lambda: EntropySGD(0.1, 0), "S must"),
        (lambda: AMSGrad(0.1, variant="mine"), "variant"),
    ],
)
def test_errors_name_the_field(build: Callable[[], Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build()


# --- what is known about single methods ------------------------------------------------------
def test_values_from_numpy_are_taken() -> None:
    rule = SGD(np.float64(0.5))
    assert type(rule.eta) is float
    assert type(SGD(np.array(0.5)).eta) is float


def test_probabilities() -> None:
    g = torch.tensor([3.0, 3.0, 3.0, -5.0, 1.0])
    layout = (("a", 3), ("b", 1), ("b", 1))
    half = torch.full((5,), 0.5)
    assert torch.equal(update_probability(g, 0.0, 0.0, layout), half)
    # Equal magnitudes and layers of one parameter: standardised values are 0 by convention.
    torch.testing.assert_close(update_probability(g, 5.0, 0.0, layout), half)
    across = update_probability(g, 5.0, 1.0, layout)
    torch.testing.assert_close(across[:3], half[:3])
    torch.testing.assert_close(across[3:], torch.sigmoid(torch.tensor([1.0, -1.0])))


def test_certain_updates_are_sgd() -> None:
    """p = 1 is SGD, for both algorithms and both step conventions."""
    problem, expected = Problem(), path(SGD(0.1), Problem())
    object.__setattr__(problem, "uniform", np.full((STEPS, DIM), -1.0))
    for build in (StochasticBatchSize1, StochasticBatchSize2):
        for step in ("eta", "k_eta"):
            np.testing.assert_allclose(path(build(0.1, step=step), problem), expected, rtol=1e-12)


def test_reductions_between_methods() -> None:
    p = Problem()
    np.testing.assert_array_equal(path(SNGM(0.1, 0.0), p), path(SNGD(0.1), p))
    np.testing.assert_allclose(path(MSGD(0.1, 0.0), p), path(SGD(0.1), p), rtol=1e-14)
    np.testing.assert_allclose(path(TRSGD(5.0, 1.0, 1), p), path(SGD(0.25), p), rtol=1e-12)
    np.testing.assert_allclose(path(LRSGD_C(5.0, 1.0, 4), p), path(TRSGD(5.0, 1.0, 4), p))
    alone = LRSGD_R(5.0, 0.25, gamma=1.0)
    np.testing.assert_allclose(path(alone, p), path(SGD(0.05), p), rtol=1e-12)


def test_lars_trains_a_layer_that_starts_at_zero() -> None:
    rule, w = LARS(0.1, layout=(("a", 2), ("a", 2))), torch.tensor([0.0, 0.0, 1.0, 1.0])
    moved, _ = rule.update(w, ONES, rule.init(w, ONES), FIRST)
    assert (moved[:2] < 0).all()
    moved, _ = rule.update(w, FunctionOracle(torch.zeros_like), rule.init(w, ONES), FIRST)
    assert torch.isfinite(moved).all()


@pytest.mark.parametrize(
    "schedule",
    [
        Harmonic(2.0, 3.0), Staircase(1.0, (2, 4)), Exponential(1.0, 10, 2.0),
        Sigmoid(0.1, 0.001, 10), Warmup(Harmonic(2.0), 5), Expression(1 / t_symbol**0.5),
        Expression(2 * t_symbol),
    ],
)  # fmt: skip
def test_schedules_agree_on_numbers_and_tensors(schedule: Any) -> None:
    ts = torch.arange(1.0, 12.0, dtype=torch.float64)[:, None]
    numbers = [[float(schedule(float(x)))] for x in ts]
    torch.testing.assert_close(schedule(ts), torch.tensor(numbers, dtype=torch.float64))
    assert schedule(ts.float()).dtype == torch.float32
