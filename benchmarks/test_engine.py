"""The engine against the loop a researcher writes first, and against numpy over replicas.

Same work, same run: robust regression (Geman-McClure), n = 1,000, d = 20, batch 1, 1,000
replicas, 1,000 steps, float32, one thread. Run with ``make bench``; the extra column
``ns_per_replica_step`` is the figure to compare, ``speedup`` the ratio to the loop. The compiled
engine is timed after its first run, and ``compiled_in`` says how many seconds that one took.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

import synthetic
from theorylab import run
from theorylab.method import LRSGD_R, SGD, SNGM, TRSGD

N, D, REPLICAS, STEPS = 1000, 20, 1000, 1000
ETA, BETA, LAM, DELTA, S, THETA = 0.05, 0.9, 4.0, 0.5, 10, 0.25
RULES = {
    "sgd": SGD(eta=ETA),
    "sngm": SNGM(eta=ETA, beta=BETA),
    "trsgd": TRSGD(lam=LAM, delta=DELTA, S=S),
    "lrsgd_r": LRSGD_R(lam=LAM, theta=THETA),
}
GAMMA = np.log(1 / (1 - THETA)) / np.log(1 / THETA)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    sum_ = synthetic.robust_regression(n=N, dim=D, dtype=torch.float32)
    return sum_.A.numpy(), sum_.b.numpy()


def loop(A: np.ndarray, b: np.ndarray, rule: str, replicas: int) -> np.ndarray:
    """One seed after another, one step after another."""
    finals = np.empty((replicas, D), dtype=np.float32)
    for seed in range(replicas):
        rng = np.random.default_rng(seed)
        w, u = np.zeros(D, dtype=np.float32), np.zeros(D, dtype=np.float32)
        anchor, k = w, 0
        for step in range(STEPS):
            i = rng.integers(N)
            z = A[i] @ w - b[i]
            g = A[i] * (z / (1 + z * z) ** 2)
            if rule == "sgd":
                w = w - ETA * g
            elif rule == "sngm":
                u = BETA * u + g / max(np.sqrt(g @ g), 1e-30)
                w = w - ETA * u
            elif rule == "trsgd":
                if step % S == 0:
                    anchor, k = w, 0
                k += 1
                w = w - (g + LAM * (w - anchor)) / ((LAM - DELTA) * k)
            else:
                if step == 0 or rng.random() < GAMMA:
                    anchor = w
                w = w - (THETA / LAM) * (g + LAM * (w - anchor))
        finals[seed] = w
    return finals


def vectorised(A: np.ndarray, b: np.ndarray, rule: str) -> np.ndarray:
    """Numpy over replicas, one step after another."""
    rng = np.random.default_rng(0)
    w = np.zeros((REPLICAS, D), dtype=np.float32)
    u, anchor, k = np.zeros_like(w), w, 0
    for step in range(STEPS):
        i = rng.integers(N, size=REPLICAS)
        a = A[i]
        z = np.einsum("rd,rd->r", a, w) - b[i]
        g = a * (z / (1 + z * z) ** 2)[:, None]
        if rule == "sgd":
            w = w - ETA * g
        elif rule == "sngm":
            u = BETA * u + g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-30)
            w = w - ETA * u
        elif rule == "trsgd":
            if step % S == 0:
                anchor, k = w, 0
            k += 1
            w = w - (g + LAM * (w - anchor)) / ((LAM - DELTA) * k)
        else:
            restart = rng.random((REPLICAS, 1)) < GAMMA
            anchor = np.where(restart | (step == 0), w, anchor)
            w = w - np.float32(THETA / LAM) * (g + LAM * (w - anchor))
    return w


_LOOP_SECONDS: dict[str, float] = {}


def loop_seconds(rule: str, data: tuple[np.ndarray, np.ndarray]) -> float:
    """Seconds a replica of the loop takes, measured once a rule in this run."""
    if rule not in _LOOP_SECONDS:
        few = 100
        loop(*data, rule, 2)
        begin = time.perf_counter()
        loop(*data, rule, few)
        _LOOP_SECONDS[rule] = (time.perf_counter() - begin) / few
    return _LOOP_SECONDS[rule]


def report(benchmark, rule: str, data: tuple[np.ndarray, np.ndarray]) -> None:
    if benchmark.disabled:
        return
    per = benchmark.stats.stats.median / (REPLICAS * STEPS)
    benchmark.extra_info["ns_per_replica_step"] = round(per * 1e9, 1)
    benchmark.extra_info["speedup"] = round(loop_seconds(rule, data) / STEPS / per, 1)


@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("rule", RULES)
def test_engine(benchmark, data, rule: str, compile: bool) -> None:
    torch.set_num_threads(1)
    objective = synthetic.robust_regression(n=N, dim=D, dtype=torch.float32)

    def once():
        return run(objective, RULES[rule], STEPS, 1, REPLICAS, 0, ("w",), compile=compile,
                   progress=False)  # fmt: skip

    begin = time.perf_counter()
    once()
    if compile:
        benchmark.extra_info["compiled_in"] = round(time.perf_counter() - begin, 1)
    benchmark.group = rule
    out = benchmark.pedantic(once, rounds=5, warmup_rounds=1)
    assert np.isfinite(out["w"]).all()
    report(benchmark, rule, data)


@pytest.mark.parametrize("rule", RULES)
def test_numpy_over_replicas(benchmark, data, rule: str) -> None:
    benchmark.group = rule
    out = benchmark.pedantic(lambda: vectorised(*data, rule), rounds=3, warmup_rounds=1)
    assert np.isfinite(out).all()
    report(benchmark, rule, data)


@pytest.mark.parametrize("rule", RULES)
def test_loop(benchmark, data, rule: str) -> None:
    benchmark.group = rule
    out = benchmark.pedantic(lambda: loop(*data, rule, 100), rounds=1)
    assert np.isfinite(out).all()
    if not benchmark.disabled:
        benchmark.extra_info["ns_per_replica_step"] = round(
            benchmark.stats.stats.median / (100 * STEPS) * 1e9, 1
        )
