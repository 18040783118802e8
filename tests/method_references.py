"""Methods that ask an oracle for more than one gradient, written out as plain loops in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from theorylab import method
from theorylab.method.rule import UpdateRule
from theorylab.problem.geometry import L1, Ball

__all__ = ["CASES", "DOMAIN", "REFERENCES", "SIMPLE", "WORKERS"]

# What the problem of the tests is composed of, and minimised on.
SIMPLE, DOMAIN = L1(0.3), Ball(1.5)
WORKERS = 3
MIXING = ((0.5, 0.5, 0.0), (0.25, 0.25, 0.5), (0.25, 0.25, 0.5))
Reference = Callable[[Any, Any], Iterator[np.ndarray]]


def steps_of(p: Any) -> range:
    return range(len(p.b))


def length(x: np.ndarray) -> float:
    return math.sqrt(sum(v * v for v in x))


def full(p: Any, w: np.ndarray) -> np.ndarray:
    return p.H @ w - p.b.mean(0)


def value(p: Any, s: int, w: np.ndarray) -> float:
    return float(w @ p.H @ w / 2 - p.b[s] @ w)


def soft(w: np.ndarray, step: float) -> np.ndarray:
    kept = np.maximum(np.abs(w) - step * SIMPLE.weight, 0)
    return np.sign(w) * kept


def into_ball(w: np.ndarray) -> np.ndarray:
    return w if length(w) <= DOMAIN.radius else w * DOMAIN.radius / length(w)


def svrg(r: Any, p: Any) -> Iterator[np.ndarray]:
    w, kept = p.start, [p.start]
    for s in steps_of(p):
        if s % r.S == 0:
            w = w if r.anchor == "last" else np.mean(kept, axis=0)
            anchor, mean, kept = w, full(p, w), []
        w = w - r.eta * (p.gradient(s, w) - p.gradient(s, anchor) + mean)
        kept.append(w)
        yield w


def saga(r: Any, p: Any) -> Iterator[np.ndarray]:
    w, table = p.start, np.array([p.gradient(j, p.start) for j in steps_of(p)])
    for s in steps_of(p):
        g = p.gradient(s, w)
        w = w - r.eta * (g - table[s] + table.mean(0))
        table[s] = g
        yield w


def storm(r: Any, p: Any) -> Iterator[np.ndarray]:
    w, before, d = p.start, None, 0 * p.start
    for s in steps_of(p):
        g = p.gradient(s, w)
        d = g if before is None else g + (1 - r.a) * (d - p.gradient(s, before))
        before, w = w, w - r.eta * d
        yield w


def extragradient(r: Any, p: Any) -> Iterator[np.ndarray]:
    w = p.start
    for s in steps_of(p):
        w = w - r.eta * p.gradient(s, w - r.eta * p.gradient(s, w))
        yield w


def sam(r: Any, p: Any) -> Iterator[np.ndarray]:
    w = p.start
    for s in steps_of(p):
        g = p.gradient(s, w)
        w = w - r.eta * (p.gradient(s, w + r.rho * g / length(g)) + r.weight_decay * w)
        yield w


def zeroth(r: Any, p: Any) -> Iterator[np.ndarray]:
    w = p.start
    for s in steps_of(p):
        z = p.normal[s]
        rise = value(p, s, w + r.mu * z) - value(p, s, w - r.mu * z)
        w = w - r.eta * rise / (2 * r.mu) * z
        yield w


def polyak(r: Any, p: Any) -> Iterator[np.ndarray]:
    w = p.start
    for s in steps_of(p):
        g = p.gradient(s, w)
        w = w - min((value(p, s, w) - r.lowest) / (r.c * (g @ g)), r.eta) * g
        yield w


def sgd(r: Any, p: Any) -> Iterator[np.ndarray]:
    w = p.start
    for s in steps_of(p):
        w = w - r.eta * (p.gradient(s, w) + r.weight_decay * w)
        yield w


def ista(r: Any, p: Any) -> Iterator[np.ndarray]:
    w = p.start
    for s in steps_of(p):
        w = soft(w - r.eta * p.gradient(s, w), r.eta)
        yield w


def fista(r: Any, p: Any) -> Iterator[np.ndarray]:
    w, y, theta = p.start, p.start, 1.0
    for s in steps_of(p):
        before, w = w, soft(y - r.eta * p.gradient(s, y), r.eta)
        larger = (1 + math.sqrt(1 + 4 * theta**2)) / 2
        y, theta = w + (theta - 1) / larger * (w - before), larger
        yield w


def projected(r: Any, p: Any) -> Iterator[np.ndarray]:
    """On a ball with the Euclidean divergence a mirror step is a projected step."""
    w = p.start
    for s in steps_of(p):
        w = into_ball(w - r.eta * p.gradient(s, w))
        yield w


def frank_wolfe(r: Any, p: Any) -> Iterator[np.ndarray]:
    w = p.start
    for s in steps_of(p):
        g = p.gradient(s, w)
        step = 2 / (s + 2) if r.eta is None else r.eta
        w = (1 - step) * w - step * DOMAIN.radius * g / length(g)
        yield w


def optimized(r: Any, p: Any) -> Iterator[np.ndarray]:
    w, y, theta = p.start, p.start, 1.0
    for s in steps_of(p):
        before, y = y, w - r.eta * p.gradient(s, w)
        larger = (1 + math.sqrt(1 + (8 if s + 1 == r.T else 4) * theta**2)) / 2
        w = y + (theta - 1) / larger * (y - before) + theta / larger * (y - w)
        theta = larger
        yield w


def adagrad_norm(r: Any, p: Any) -> Iterator[np.ndarray]:
    w, b = p.start, r.b0
    for s in steps_of(p):
        g = p.gradient(s, w) + r.weight_decay * w
        b = math.sqrt(b**2 + length(g) ** 2)
        w = w - r.eta / b * g
        yield w


def clipped(r: Any, p: Any) -> Iterator[np.ndarray]:
    w = p.start
    for s in steps_of(p):
        g = p.gradient(s, w)
        w = w - r.eta * (min(1.0, r.c / length(g)) * g + r.weight_decay * w)
        yield w


def adamw(r: Any, p: Any) -> Iterator[np.ndarray]:
    w, m, v = p.start, 0 * p.start, 0 * p.start
    for s in steps_of(p):
        g = p.gradient(s, w)
        m, v = r.beta1 * m + (1 - r.beta1) * g, r.beta2 * v + (1 - r.beta2) * g**2
        mhat, vhat = m / (1 - r.beta1 ** (s + 1)), v / (1 - r.beta2 ** (s + 1))
        w = w - r.eta * r.weight_decay * w - r.eta * mhat / (np.sqrt(vhat) + r.eps)
        yield w


def sign(r: Any, p: Any) -> Iterator[np.ndarray]:
    w, m = p.start, 0 * p.start
    for s in steps_of(p):
        m = r.beta * m + (1 - r.beta) * p.gradient(s, w)
        w = w - r.eta * (np.sign(m) + r.weight_decay * w)
        yield w


def topk(r: Any, p: Any) -> Iterator[np.ndarray]:
    w, e = p.start, 0 * p.start
    for s in steps_of(p):
        e = e + r.eta * p.gradient(s, w)
        largest = np.argsort(-np.abs(e))[: r.k]
        w = w.copy()
        w[largest] -= e[largest]
        e[largest] = 0
        yield w


def local(r: Any, p: Any) -> Iterator[np.ndarray]:
    server, points = p.start, [p.start] * WORKERS
    for s in steps_of(p):
        points = [w - r.eta * p.worker_gradient(s, m, w) for m, w in enumerate(points)]
        mean = sum(points) / WORKERS
        if s % r.S == r.S - 1:
            server = server + r.server * (mean - server)
            points, mean = [server] * WORKERS, server
        yield mean


def gossip(r: Any, p: Any) -> Iterator[np.ndarray]:
    points = [p.start] * WORKERS
    table = r.mixing or [[1 / 3] * WORKERS] * WORKERS
    for s in steps_of(p):
        steps = [-r.eta * p.worker_gradient(s, m, w) for m, w in enumerate(points)]
        ahead = [0 * w if r.mix_first else step for w, step in zip(points, steps, strict=True)]
        after = steps if r.mix_first else [0 * w for w in points]
        half = [w + step for w, step in zip(points, ahead, strict=True)]
        points = [sum(a * w for a, w in zip(row, half, strict=True)) + step
                  for row, step in zip(table, after, strict=True)]  # fmt: skip
        yield sum(points) / WORKERS


def vote(r: Any, p: Any) -> Iterator[np.ndarray]:
    w, m = p.start, np.zeros((WORKERS, len(p.start)))
    for s in steps_of(p):
        g = np.array([p.worker_gradient(s, k, w) for k in range(WORKERS)])
        m = r.beta * m + (1 - r.beta) * g
        up = (m > 0).sum(0) > (m < 0).sum(0)
        down = (m > 0).sum(0) < (m < 0).sum(0)
        w = w - r.eta * (up * 1.0 - down * 1.0 + r.weight_decay * w)
        yield w


def topk_of_each(r: Any, p: Any) -> Iterator[np.ndarray]:
    w, held = p.start, [0 * p.start for _ in range(WORKERS)]
    for s in steps_of(p):
        total = 0 * w
        for m in range(WORKERS):
            e = held[m] + r.eta * p.worker_gradient(s, m, w)
            sent = 0 * e
            for j in sorted(range(len(e)), key=lambda j: -abs(e[j]))[: r.k]:
                sent[j] = e[j]
            held[m], total = e - sent, total + sent
        w = w - total / WORKERS
        yield w


REFERENCES: dict[type[UpdateRule], Reference] = {
    method.SVRG: svrg, method.SAGA: saga, method.STORM: storm,
    method.Extragradient: extragradient, method.SAM: sam, method.TwoPointZerothOrder: zeroth,
    method.PolyakStep: polyak, method.AveragedSGD: sgd, method.ProximalGradient: ista,
    method.FISTA: fista, method.ProjectedSubgradient: projected, method.FrankWolfe: frank_wolfe,
    method.MirrorDescent: projected, method.OptimizedGradient: optimized,
    method.AdaGradNorm: adagrad_norm, method.ClippedSGD: clipped, method.AdamW: adamw,
    method.LocalSGD: local, method.DecentralizedSGD: gossip, method.MajorityVote: vote,
    method.DistributedTopKSGD: topk_of_each, method.TopKSGD: topk, method.SignSGD: sign,
    method.ReshuffledSGD: sgd,
}  # fmt: skip
CASES: dict[str, UpdateRule] = {
    "svrg": method.SVRG(0.1, 4),
    "svrg from the mean": method.SVRG(0.1, 4, anchor="mean"),
    "saga": method.SAGA(0.1),
    "storm": method.STORM(0.1, 0.3),
    "extragradient": method.Extragradient(0.1),
    "sam": method.SAM(0.1, 0.3, weight_decay=0.1),
    "two-point zeroth order": method.TwoPointZerothOrder(0.05, 0.1),
    "polyak step": method.PolyakStep(0.3, 0.5, lowest=-0.5),
    "averaged sgd": method.AveragedSGD(0.1, weight_decay=0.1),
    "proximal gradient": method.ProximalGradient(0.1),
    "fista": method.FISTA(0.1),
    "projected subgradient": method.ProjectedSubgradient(0.3),
    "frank-wolfe": method.FrankWolfe(),
    "frank-wolfe, fixed step": method.FrankWolfe(0.2),
    "mirror descent": method.MirrorDescent(0.3),
    "optimized gradient": method.OptimizedGradient(0.1, 25),
    "optimized gradient, no end": method.OptimizedGradient(0.1),
    "adagrad-norm": method.AdaGradNorm(0.5, 0.5, weight_decay=0.1),
    "clipped sgd": method.ClippedSGD(0.1, 2.0, weight_decay=0.1),
    "adamw": method.AdamW(0.1, 0.8, 0.9, weight_decay=0.2),
    "sign sgd": method.SignSGD(0.1, weight_decay=0.1),
    "signum": method.SignSGD(0.1, 0.6, weight_decay=0.1),
    "top-k sgd": method.TopKSGD(0.1, 2),
    "local sgd": method.LocalSGD(0.1, 4),
    "local sgd, server's step": method.LocalSGD(0.05, 3, 1.5),
    "decentralised sgd": method.DecentralizedSGD(0.1),
    "decentralised sgd, own mixing": method.DecentralizedSGD(0.1, mixing=MIXING),
    "decentralised sgd, mixing first": method.DecentralizedSGD(0.1, mix_first=True, mixing=MIXING),
    "majority vote": method.MajorityVote(0.1, weight_decay=0.1),
    "majority vote, momentum": method.MajorityVote(0.1, 0.6, weight_decay=0.1),
    "distributed top-k sgd": method.DistributedTopKSGD(0.1, 2),
    "reshuffled sgd": method.ReshuffledSGD(0.1, weight_decay=0.1),
}
