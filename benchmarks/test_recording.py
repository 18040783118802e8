"""The time-averaged gradient norm to one width of its interval: random times against every step.

SGD on robust regression (Geman-McClure, n = 1,000), 1,000 steps, float64. Evaluating the full
gradient at every step is n gradients a step; at 32 random times, one in each of 32 equal strata,
the mean over time has the same expectation and some more variance, which more replicas make up
for. ``gradients`` counts all sample gradients (those of the steps included) until the interval is
as narrow as that of 128 replicas evaluated at every step; ``of_every_step`` is the share of what
every step costs. Where JAX is installed, it evaluates every step too.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

import synthetic
from theorylab import Stratified, run
from theorylab.method import SGD
from theorylab.stability.supremum import estimate

N, STEPS, REPLICAS, ETA, STRATA = 1000, 1000, 128, 0.05, 32
CELLS = [(d, batch) for d in (20, 200) for batch in (1, 8)]
WAYS = {"every step": range(STEPS), "strata": Stratified(STRATA, 0, STEPS)}


def measured(d: int, batch: int, way: str, replicas: int, seed: int) -> tuple[float, int]:
    """The interval's half-width, and the sample gradients that it took."""
    data = synthetic.robust_regression(n=N, dim=d)
    plain, rows = data.gradient, [0]

    def counting(w):
        rows[0] += len(w)
        return plain(w)

    data.gradient = counting
    out = run(data, SGD(eta=ETA), STEPS, batch, replicas, seed, ("gradient_norm",), at=WAYS[way],
              progress=False)  # fmt: skip
    low, high = estimate(out.mean("gradient_norm"), 0.95).interval
    return (high - low) / 2, replicas * STEPS * batch + rows[0] * N


@cache
def every_step(d: int, batch: int) -> tuple[float, int]:
    """What every step gives, and what it takes."""
    return measured(d, batch, "every step", REPLICAS, 0)


def enough(d: int, batch: int) -> int:
    """Replicas at random times whose interval is as narrow as that of every step."""
    width, _ = measured(d, batch, "strata", REPLICAS, 1)
    return math.ceil(REPLICAS * (width / every_step(d, batch)[0]) ** 2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("d", "batch"), CELLS)
def test_time_average(benchmark, d: int, batch: int, way: str) -> None:
    replicas = enough(d, batch) if way == "strata" else REPLICAS
    benchmark.group = f"time average, d = {d}, batch {batch}"
    seeds = iter(range(2, 100))
    width, gradients = benchmark.pedantic(
        lambda: measured(d, batch, way, replicas, next(seeds)), rounds=3
    )
    whole, every = every_step(d, batch)
    share = gradients / every * (width / whole) ** 2  # to the same width as measured here
    benchmark.extra_info |= {
        "replicas": replicas, "width": width, "gradients": gradients,
        "of_every_step": round(share, 4),
    }  # fmt: skip
    assert way == "every step" or share <= 0.1


@pytest.mark.parametrize(("d", "batch"), CELLS)
def test_time_average_in_jax(benchmark, d: int, batch: int) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    data = synthetic.robust_regression(n=N, dim=d)
    A, b = jnp.asarray(data.A.numpy()), jnp.asarray(data.b.numpy())

    def gradient(A, b, w):
        z = w @ A.T - b
        return (z / (1 + z * z) ** 2) @ A / len(b)

    def step(w, i):
        seen = jnp.linalg.norm(gradient(A, b, w))
        return w - ETA * gradient(A[i], b[i], w), seen

    @jax.jit
    def average(key):
        draws = jax.random.randint(key, (REPLICAS, STEPS, batch), 0, N)
        start = jnp.asarray(data.start.numpy())
        return jax.vmap(lambda i: jax.lax.scan(step, start, i)[1].mean())(draws)

    benchmark.group = f"time average, d = {d}, batch {batch}"
    seeds = iter(range(100))
    out = benchmark.pedantic(lambda: np.asarray(average(jax.random.key(next(seeds)))), rounds=3)
    ours = run(data, SGD(eta=ETA), STEPS, batch, REPLICAS, 0, ("gradient_norm",),
               at=WAYS["strata"], progress=False).mean("gradient_norm")  # fmt: skip
    error = math.hypot(out.std(), ours.std()) / math.sqrt(REPLICAS)
    assert abs(out.mean() - ours.mean()) < 6 * error
