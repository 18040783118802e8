"""The same methods on robust regression, by theorylab, numba, JAX and numpy.

Every engine is a function of a seed that gives the last iterates of all replicas, of shape
``(replicas, d)``, or ``(replicas, 2, d)`` for twins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

N, STEPS = 1000, 1000
ETA, BETA, LAM, THETA, ALPHA = 0.05, 0.9, 5.0, 0.25, 0.1
GAMMA = math.log1p(-THETA) / math.log(THETA)  # the chance that a round of LRSGD-R ends
LENGTHS = {"trsgd": 10, "svrg": 100}  # steps of a round
METHODS = ("sgd", "sngm", "trsgd", "lrsgd_r", "stochastic_batch_size_2", "svrg", "twins")
Engine = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class Cell:
    """What is run: ``replicas`` paths of ``STEPS`` steps, on so many cores."""

    method: str
    dtype: str
    d: int
    batch: int
    replicas: int
    cores: int


def problem(cell: Cell) -> tuple[Any, np.ndarray, np.ndarray, int]:
    """The objective, its ``A`` and ``b``, and the sample that twins do not share.

    The last row of ``A`` is what the other twin has instead of it.
    """
    import torch

    import synthetic

    data = synthetic.robust_regression(n=N, dim=cell.d, start=0.0, dtype=getattr(torch, cell.dtype))
    if cell.method != "twins":
        return data, data.A.numpy(), data.b.numpy(), 0
    (position,), both = data.replacement(0, 1)
    return both, both.A.numpy(), both.b.numpy(), int(position)


def theorylab_engine(cell: Cell, steps: int = STEPS) -> Engine:
    """``theorylab.run``, compiled."""
    import torch

    from theorylab import run
    from theorylab.method import LRSGD_R, SGD, SNGM, SVRG, TRSGD, StochasticBatchSize2

    torch.set_num_threads(cell.cores)
    data, _, _, position = problem(cell)
    rule = {
        "sgd": SGD(eta=ETA), "twins": SGD(eta=ETA), "sngm": SNGM(eta=ETA, beta=BETA),
        "trsgd": TRSGD(lam=LAM, S=LENGTHS["trsgd"]), "lrsgd_r": LRSGD_R(lam=LAM, theta=THETA),
        "stochastic_batch_size_2": StochasticBatchSize2(eta=ETA, alpha=ALPHA, lambda_=0.0),
        "svrg": SVRG(eta=ETA, S=LENGTHS["svrg"]),
    }[cell.method]  # fmt: skip
    twins = cell.method == "twins"

    def replace(samples: Any) -> np.ndarray:
        draws = samples.draws.copy()
        other = draws[:, 1::2]
        other[other == position] = N
        return draws

    def engine(seed: int) -> np.ndarray:
        found = run(data, rule, steps, cell.batch, cell.replicas, seed, ("w",), compile=True,
                    copies=1 + twins, remap=replace if twins else None, progress=False)  # fmt: skip
        w: np.ndarray = found["w"][0]
        return w.reshape(-1, 2, cell.d) if twins else w

    return engine


def numba_engine(cell: Cell, made: dict[str, Any]) -> Engine:
    """A parallel loop over replicas, the steps and the random numbers inside."""
    import numba

    numba.set_num_threads(cell.cores)
    _, A, b, position = problem(cell)
    if cell.method not in made:  # it is compiled once for all shapes
        made[cell.method] = _numba_loop(cell.method)
    loop = made[cell.method]
    return lambda seed: loop(A, b, cell.replicas, cell.batch, seed * cell.replicas, position,
                             A.dtype.type(ETA))  # fmt: skip


def _numba_loop(method: str) -> Any:
    import numba

    length = LENGTHS.get(method, STEPS)
    sngm, trsgd, lrsgd, sbs, svrg, twins = (
        method == name for name in METHODS[1:]
    )  # constants of the code

    @numba.njit(fastmath=True, inline="always")
    def add_gradient(A, b, i, w, g):  # type: ignore[no-untyped-def]
        z = -b[i]
        for j in range(len(w)):
            z += A[i, j] * w[j]
        c = z / (1 + z * z) ** 2
        for j in range(len(w)):
            g[j] += c * A[i, j]

    @numba.njit(parallel=True, fastmath=True)
    def loop(A, b, replicas, batch, seed, position, eta):  # type: ignore[no-untyped-def]
        d, real = A.shape[1], A.dtype.type
        out = np.zeros((replicas, 2 if twins else 1, d), A.dtype)
        for r in numba.prange(replicas):
            np.random.seed(seed + r)  # noqa: NPY002 (numba's own generator)
            w, g, u, a, full = (np.zeros(d, A.dtype), np.zeros(d, A.dtype), np.zeros(d, A.dtype),
                                np.zeros(d, A.dtype), np.zeros(d, A.dtype))  # fmt: skip
            waited = np.ones(d, A.dtype)
            for t in range(STEPS):
                if (trsgd or svrg) and t % length == 0:
                    a[:] = w
                    if svrg:
                        full[:] = 0
                        for i in range(N):
                            add_gradient(A, b, i, w, full)
                        full /= real(N)
                if lrsgd and np.random.random() < GAMMA:  # noqa: NPY002
                    a[:] = w
                g[:] = 0
                if twins or svrg:
                    u[:] = 0
                for _ in range(batch):
                    i = np.random.randint(0, N)  # noqa: NPY002
                    add_gradient(A, b, i, w, g)
                    if svrg:
                        add_gradient(A, b, i, a, u)
                    if twins:
                        add_gradient(A, b, N if i == position else i, a, u)
                g /= real(batch)
                if sngm:
                    size = real(0)
                    for j in range(d):
                        size += g[j] * g[j]
                    size = 1 / np.sqrt(size)
                    for j in range(d):
                        u[j] = real(BETA) * u[j] + g[j] * size
                        w[j] -= eta * u[j]
                elif trsgd:
                    step = real(1 / (LAM * (t % length + 1)))
                    for j in range(d):
                        w[j] -= step * (g[j] + real(LAM) * (w[j] - a[j]))
                elif lrsgd:
                    for j in range(d):
                        w[j] -= real(THETA / LAM) * (g[j] + real(LAM) * (w[j] - a[j]))
                elif svrg:
                    for j in range(d):
                        w[j] -= eta * (g[j] - u[j] / real(batch) + full[j])
                elif sbs:
                    mean, square = real(0), real(0)
                    for j in range(d):
                        mean += abs(g[j])
                    mean /= real(d)
                    for j in range(d):
                        square += (abs(g[j]) - mean) ** 2
                    slope = real(ALPHA) / np.sqrt(square / real(d))
                    for j in range(d):
                        u[j] += (g[j] - u[j]) / waited[j]
                        p = 1 / (1 + np.exp(-slope * (abs(g[j]) - mean)))
                        if real(np.random.random()) < p:  # noqa: NPY002
                            w[j] -= eta * u[j]
                            u[j] = 0
                            waited[j] = 1
                        else:
                            waited[j] += 1
                else:
                    for j in range(d):
                        w[j] -= eta * g[j]
                    if twins:
                        for j in range(d):
                            a[j] -= eta * u[j] / real(batch)
            out[r, 0] = w
            if twins:
                out[r, 1] = a
        return out if twins else out[:, 0]

    return loop


def jax_engine(cell: Cell, variant: str) -> Engine:
    """A scan over steps of all replicas, or a vectorised map over replicas of such a scan.

    ``vmap`` maps over all replicas, ``chunks`` over 250 at a time, ``pmap`` over half of them on
    each of two devices.
    """
    import jax
    from jax import lax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", cell.dtype == "float64")
    _, A, b, position = problem(cell)
    dA, db, dtype, d = jnp.asarray(A), jnp.asarray(b), jnp.asarray(A).dtype, cell.d
    method, batch = cell.method, cell.batch
    length = LENGTHS.get(method, STEPS)
    width = {"lrsgd_r": 1, "stochastic_batch_size_2": d}.get(method, 0)

    def gradient(w, i):  # type: ignore[no-untyped-def]
        a = dA[i]
        z = jnp.einsum("...bd,...d->...b", a, w) - db[i]
        return jnp.einsum("...b,...bd->...d", z / (1 + z * z) ** 2, a) / batch

    def begin(state):  # type: ignore[no-untyped-def]
        w, u, _, k = state
        if method == "svrg":
            z = w @ dA.T - db
            return w, (z / (1 + z * z) ** 2) @ dA / N, w, k
        return (w, u, w, jnp.zeros_like(k)) if method == "trsgd" else state

    def step(state, i, chance):  # type: ignore[no-untyped-def]
        w, u, a, k = state
        g = gradient(w, i)
        if method == "sngm":
            u = BETA * u + g / jnp.linalg.norm(g, axis=-1, keepdims=True)
            return w - ETA * u, u, a, k
        if method == "trsgd":
            return w - (g + LAM * (w - a)) / (LAM * (k + 1)), u, a, k + 1
        if method == "lrsgd_r":
            a = jnp.where(chance < GAMMA, w, a)
            return w - THETA / LAM * (g + LAM * (w - a)), u, a, k
        if method == "svrg":
            return w - ETA * (g - gradient(a, i) + u), u, a, k
        if method == "twins":
            return w - ETA * g, u, a - ETA * gradient(a, jnp.where(i == position, N, i)), k
        if method == "stochastic_batch_size_2":
            size = jnp.abs(g)
            off = size - size.mean(-1, keepdims=True)
            p = jax.nn.sigmoid(ALPHA * off / jnp.sqrt((off * off).mean(-1, keepdims=True)))
            u = u + (g - u) / (k + 1)
            moves = chance < p
            return (w - ETA * jnp.where(moves, u, 0), jnp.where(moves, 0, u), a,
                    jnp.where(moves, 0, k + 1))  # fmt: skip
        return w - ETA * g, u, a, k

    def path(shape, inputs, drawn):  # type: ignore[no-untyped-def]
        zeros = jnp.zeros((*shape, d), dtype)
        counted = zeros if method == "stochastic_batch_size_2" else jnp.zeros((), dtype)

        def one(state, given):  # type: ignore[no-untyped-def]
            return step(state, *drawn(given)), None

        def round_(state, given):  # type: ignore[no-untyped-def]
            return lax.scan(one, begin(state), given)[0], None

        cut = jax.tree.map(lambda x: x.reshape(STEPS // length, length, *x.shape[1:]), inputs)
        w, _, a, _ = lax.scan(round_, (zeros, zeros, zeros, counted), cut)[0]
        return jnp.stack([w, a], -2) if method == "twins" else w

    def uniform(key, shape):  # type: ignore[no-untyped-def]
        return jax.random.uniform(key, (*shape, width), dtype) if width else None

    @jax.jit
    def scan(key):  # type: ignore[no-untyped-def]
        def drawn(key):  # type: ignore[no-untyped-def]
            of_samples, of_rule = jax.random.split(key)
            shape = (cell.replicas,)
            samples = jax.random.randint(of_samples, (*shape, batch), 0, N)
            return samples, uniform(of_rule, shape)

        return path((cell.replicas,), jax.random.split(key, STEPS), drawn)

    def part(key, count):  # type: ignore[no-untyped-def]
        of_samples, of_rule = jax.random.split(key)
        draws = jax.random.randint(of_samples, (count, STEPS, batch), 0, N)
        if not width:
            return jax.vmap(lambda i: path((), i, lambda i: (i, None)))(draws)
        keys = jax.random.split(of_rule, (count, STEPS))
        return jax.vmap(lambda *given: path((), given, lambda x: (x[0], uniform(x[1], ()))))(
            draws, keys
        )

    mapped = jax.jit(part, static_argnums=1)

    def chunks(key):  # type: ignore[no-untyped-def]
        sizes = [250] * (cell.replicas // 250) + [cell.replicas % 250] * (cell.replicas % 250 > 0)
        keys = jax.random.split(key, len(sizes))
        return jnp.concatenate([mapped(k, s) for k, s in zip(keys, sizes, strict=True)])

    if variant == "pmap":
        halves = jax.pmap(lambda key: part(key, cell.replicas // 2))
        run = lambda key: halves(jax.random.split(key, 2)).reshape(
            cell.replicas, *((2, d) if method == "twins" else (d,)))  # fmt: skip
    else:
        run = {"scan": scan, "vmap": lambda key: mapped(key, cell.replicas), "chunks": chunks}[
            variant
        ]
    return lambda seed: np.asarray(run(jax.random.key(seed)))


def numpy_loop(cell: Cell, replicas: int, steps: int) -> Engine:
    """A loop over seeds and steps: what one writes first (SGD alone)."""
    _, A, b, _ = problem(cell)
    eta = A.dtype.type(ETA)

    def engine(seed: int) -> np.ndarray:
        ends = np.zeros((replicas, cell.d), A.dtype)
        for r in range(replicas):
            rng, w = np.random.default_rng(seed * replicas + r), ends[r]
            for _ in range(steps):
                i = rng.integers(0, N, cell.batch)
                rows = A[i]
                z = rows @ w - b[i]
                w -= eta * ((z / (1 + z * z) ** 2) @ rows) / cell.batch
        return ends

    return engine


def numpy_rows(cell: Cell, replicas: int, steps: int) -> Engine:
    """All replicas at once, a loop over steps (SGD alone)."""
    _, A, b, _ = problem(cell)
    eta = A.dtype.type(ETA / cell.batch)

    def engine(seed: int) -> np.ndarray:
        rng, w = np.random.default_rng(seed), np.zeros((replicas, cell.d), A.dtype)
        for _ in range(steps):
            i = rng.integers(0, N, (replicas, cell.batch))
            rows = A[i]
            z = np.einsum("rbd,rd->rb", rows, w) - b[i]
            w -= eta * np.einsum("rb,rbd->rd", z / (1 + z * z) ** 2, rows)
        return w

    return engine
