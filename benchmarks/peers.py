"""The compiled engine beside numba and JAX on the same work, interleaved in one run.

SGD on robust regression (Geman-McClure, n = 1,000), every draw included, compilation apart::

    python benchmarks/peers.py --page docs/benchmarks.md

Each number of cores has a process of its own; every engine takes one turn a round, and the page
gives medians and quartiles of the nanoseconds a replica-step. JAX is the best of three variants:
a scan over steps of all replicas, a vectorised map over replicas of such a scan, the same in
chunks of 250 replicas.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

N, STEPS, ETA = 1000, 1000, 0.05
CELLS = [
    (d, batch, replicas)
    for d in (20, 200)
    for batch in (1, 8)
    for replicas in (1, 100, 1000, 10000)
]  # fmt: skip
Engine = Callable[[int], np.ndarray]


def ours(A: np.ndarray, b: np.ndarray, batch: int, replicas: int, cores: int) -> Engine:
    import torch

    import synthetic
    from theorylab import run
    from theorylab.method import SGD

    torch.set_num_threads(cores)
    dtype = torch.float32 if A.dtype == np.float32 else torch.float64
    data = synthetic.robust_regression(n=N, dim=A.shape[1], start=0.0, dtype=dtype)
    assert np.array_equal(data.A.numpy(), A)
    return lambda seed: run(data, SGD(eta=ETA), STEPS, batch, replicas, seed, ("w",), compile=True,
                            progress=False)["w"][0]  # fmt: skip


def numba_engine(A: np.ndarray, b: np.ndarray, batch: int, replicas: int, cores: int) -> Engine:
    import numba

    numba.set_num_threads(cores)
    rate = A.dtype.type(ETA / batch)

    @numba.njit(parallel=True, fastmath=True)
    def loop(A, b, replicas, batch, seed):  # type: ignore[no-untyped-def]
        d = A.shape[1]
        out = np.zeros((replicas, d), A.dtype)
        for r in numba.prange(replicas):
            np.random.seed(seed + r)  # noqa: NPY002 (numba's own generator)
            w, g = np.zeros(d, A.dtype), np.zeros(d, A.dtype)
            for _ in range(STEPS):
                g[:] = 0
                for _ in range(batch):
                    i = np.random.randint(0, N)  # noqa: NPY002
                    z = -b[i]
                    for j in range(d):
                        z += A[i, j] * w[j]
                    c = z / (1 + z * z) ** 2
                    for j in range(d):
                        g[j] += c * A[i, j]
                for j in range(d):
                    w[j] -= rate * g[j]
            out[r] = w
        return out

    return lambda seed: loop(A, b, replicas, batch, seed * replicas)


def jax_engine(A: np.ndarray, b: np.ndarray, batch: int, replicas: int, variant: str) -> Engine:
    import jax
    from jax import lax
    from jax import numpy as jnp

    if A.dtype == np.float64:
        jax.config.update("jax_enable_x64", True)
    dA, db = jnp.asarray(A), jnp.asarray(b)

    def step(w, i):  # type: ignore[no-untyped-def]
        a = dA[i]
        z = jnp.einsum("...bd,...d->...b", a, w) - db[i]
        c = z / (1 + z * z) ** 2
        return w - ETA * jnp.einsum("...b,...bd->...d", c, a) / batch, None

    @jax.jit
    def scan(key):  # type: ignore[no-untyped-def]
        def one(w, key):  # type: ignore[no-untyped-def]
            return step(w, jax.random.randint(key, (replicas, batch), 0, N))

        start = jnp.zeros((replicas, A.shape[1]), dA.dtype)
        return lax.scan(one, start, jax.random.split(key, STEPS))[0]

    def part(key, count):  # type: ignore[no-untyped-def]
        draws = jax.random.randint(key, (count, STEPS, batch), 0, N)
        start = jnp.zeros(A.shape[1], dA.dtype)
        return jax.vmap(lambda i: lax.scan(step, start, i)[0])(draws)

    mapped = jax.jit(part, static_argnums=1)

    def chunks(key):  # type: ignore[no-untyped-def]
        sizes = [250] * (replicas // 250) + [replicas % 250] * (replicas % 250 > 0)
        keys = jax.random.split(key, len(sizes))
        return jnp.concatenate([mapped(k, s) for k, s in zip(keys, sizes, strict=True)])

    def whole(key):  # type: ignore[no-untyped-def]
        return mapped(key, replicas)

    run = {"scan": scan, "vmap": whole, "chunks": chunks}[variant]
    return lambda seed: np.asarray(run(jax.random.key(seed)))


def measure(cores: int, dtype: str, rounds: int, cells: list[tuple[int, int, int]]) -> None:
    """Print one JSON line a cell."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    if cores == 1:
        os.environ["XLA_FLAGS"] = (
            "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        )
    import torch

    import synthetic

    for d, batch, replicas in cells:
        kind = torch.float32 if dtype == "float32" else torch.float64
        data = synthetic.robust_regression(n=N, dim=d, start=0.0, dtype=kind)
        A, b = data.A.numpy(), data.b.numpy()
        engines = {"theorylab": ours(A, b, batch, replicas, cores),
                   "numba": numba_engine(A, b, batch, replicas, cores)}  # fmt: skip
        engines |= {f"jax {v}": jax_engine(A, b, batch, replicas, v)
                    for v in ("scan", "vmap", "chunks")}  # fmt: skip
        ends, first = {}, {}
        for name, engine in engines.items():
            begin = time.perf_counter()
            ends[name] = engine(0)
            first[name] = time.perf_counter() - begin
        for name, w in ends.items():
            assert w.shape == (replicas, d), name
            if replicas >= 100:  # the same law
                here, there = (np.square(x.astype(float)).sum(-1) for x in (w, ends["numba"]))
                error = np.hypot(here.std(), there.std()) / np.sqrt(replicas)
                assert abs(here.mean() - there.mean()) < 5 * error, name
        times: dict[str, list[float]] = {name: [] for name in engines}
        for k in range(rounds):
            for name, engine in engines.items():
                begin = time.perf_counter()
                engine(k + 1)
                times[name].append((time.perf_counter() - begin) / (replicas * STEPS) * 1e9)
        told = {"cores": cores, "dtype": dtype, "d": d, "batch": batch, "replicas": replicas}
        print(json.dumps({**told, "ns": times, "first": first}), flush=True)


def page(rows: list[dict]) -> str:
    """The rows as a page: medians, quartiles and ratios."""
    lines = [
        "# Benchmarks", "",
        "`python benchmarks/peers.py --page docs/benchmarks.md`: SGD on robust regression, "
        f"n = {N:,}, {STEPS:,} steps, draws included, compilation apart. Nanoseconds a "
        "replica-step, medians of interleaved rounds (quartiles in brackets); a ratio above 1 "
        "says that ours is faster.", "",
        f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores; "
        + ", ".join(f"{p} {version(p)}" for p in ("numpy", "torch", "numba", "jax")) + ".", "",
        "| cores | type | d | batch | replicas | ours | numba | JAX, best | numba / ours | "
        "JAX / ours | first use, s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        ns = {name: np.percentile(t, [25, 50, 75]) for name, t in row["ns"].items()}
        jax = min((name for name in ns if name.startswith("jax")), key=lambda name: ns[name][1])
        shown = [
            f"{ns[n][1]:.3g} ({ns[n][0]:.3g}-{ns[n][2]:.3g})" for n in ("theorylab", "numba", jax)
        ]
        mine = ns["theorylab"][1]
        lines.append(
            f"| {row['cores']} | {row['dtype']} | {row['d']} | {row['batch']} | "
            f"{row['replicas']:,} | {shown[0]} | {shown[1]} | {shown[2]}, {jax[4:]} | "
            f"{ns['numba'][1] / mine:.2f} | {ns[jax][1] / mine:.2f} | "
            f"{row['first']['theorylab']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--page", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=10000, help="replicas at most")
    parser.add_argument("--dtypes", default="float32,float64")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    cells = [cell for cell in CELLS if cell[2] <= given.most]
    if given.worker:
        cores, dtype = given.worker.split(",")
        measure(int(cores), dtype, given.rounds, cells)
        return
    rows = []
    for dtype in given.dtypes.split(","):
        for cores in (1, min(2, os.cpu_count() or 1)):
            told = [sys.executable, __file__, "--worker", f"{cores},{dtype}",
                    "--rounds", str(given.rounds), "--most", str(given.most)]  # fmt: skip
            with subprocess.Popen(told, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    rows.append(json.loads(line))
                    print(page(rows[-1:]).splitlines()[-1], flush=True)
            if process.returncode:
                raise SystemExit(process.returncode)
    if given.page:
        given.page.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
