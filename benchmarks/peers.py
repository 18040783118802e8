"""The compiled engine beside numba, JAX and numpy on the same work, interleaved in one run.

Robust regression (Geman-McClure, n = 1,000), every draw included, compilation apart::

    python benchmarks/peers.py --page docs/benchmarks.md --readme README.md  # about 20 minutes
    python benchmarks/peers.py --quick                                       # some short cells

Each number of cores and type has a process of its own; every engine takes one turn a round, once
the threads of the one before it have come to rest (numba's and torch's go on looking for work for
some milliseconds, on cores that the next one is to have) and its own are awake, and the page gives
medians and quartiles of the nanoseconds a replica-step. JAX is the best of four variants: a scan
over steps of all replicas, a vectorised map over replicas of such a scan, the same in chunks of 250
replicas, and on two devices of half the replicas each. All engines' last iterates must have the
same law.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from peer_engines import (
    LENGTHS,
    METHODS,
    STEPS,
    Cell,
    Engine,
    N,
    jax_engine,
    numba_engine,
    numpy_loop,
    numpy_rows,
    theorylab_engine,
)
from speed_sentence import MARKERS, sentence

from theorylab.studies.pages import fill, held

SIZES = [(d, batch) for d in (20, 200) for batch in (1, 8)]
LEAST, MOST, SECONDS = 3, 15, 4.0  # rounds of a cell, and how long it goes on
REST = 0.02  # seconds in which threads of OpenMP come to rest
SHORT = 0.05  # seconds of a run to which waking up is much: it is made twice, the second counts


def cells(cores: int, dtype: str, quick: bool, most: int) -> list[Cell]:
    """SGD at every size; the others at 1,000 replicas, in float32, on all cores."""
    if quick:
        return [Cell(m, dtype, 20, 8, 200, cores) for m in METHODS]
    counts = [n for n in (1, 100, 1000, 10000) if n <= most]
    found = [Cell("sgd", dtype, *size, n, cores) for size in SIZES for n in counts]
    if dtype == "float32" and cores > 1:
        found += [Cell(m, dtype, *size, 1000, cores) for m in METHODS[1:] for size in SIZES]
    return found


def seconds(engine: Engine, seed: int) -> float:
    """How long a run takes in its engine's own stride: others' threads at rest, its own awake."""
    time.sleep(REST)
    took = math.inf
    for _ in range(2):
        begin = time.perf_counter()
        engine(seed)
        took = time.perf_counter() - begin
        if took > SHORT:
            break
    return took


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """By how many standard errors the means of two samples of paths differ, at most.

    Rounding counts as an error: SVRG's paths end at one point, as near as numbers lie.
    """

    def numbers(w: np.ndarray) -> np.ndarray:
        w = w.astype(float)
        if w.ndim == 3:  # twins: where one is, and how far from the other
            return np.stack([np.square(w[:, 0]).sum(-1), np.square(w[:, 0] - w[:, 1]).sum(-1)])
        return np.stack([np.square(w).sum(-1), w.sum(-1), w[:, 0]])

    here, there = numbers(one), numbers(other)
    error = np.hypot(here.std(-1), there.std(-1)) / np.sqrt(len(one))
    error += STEPS**0.5 * np.finfo(one.dtype).eps * abs(here).mean(-1)
    return float((abs(here.mean(-1) - there.mean(-1)) / np.maximum(error, 1e-300)).max())


def measured(cell: Cell, loops: dict[str, Any]) -> dict[str, Any]:
    """One cell: the nanoseconds of every engine's rounds, and what ours are spent on."""
    engines = {"theorylab": theorylab_engine(cell), "numba": numba_engine(cell, loops)}
    variants = ["scan", "vmap", *(["chunks"] if cell.replicas > 250 else [])]
    if cell.cores == 2 and cell.replicas % 2 == 0:
        variants.append("pmap")
    engines |= {f"jax {v}": jax_engine(cell, v) for v in variants}
    ends, first, second = {}, {}, {}
    for name, engine in engines.items():
        begin = time.perf_counter()
        ends[name] = engine(0)
        first[name] = time.perf_counter() - begin
        second[name] = seconds(engine, 1)
    shape = (cell.replicas, 2, cell.d) if cell.method == "twins" else (cell.replicas, cell.d)
    errors = 0.0
    for name, w in ends.items():
        assert w.shape == shape, (name, w.shape)
        # numba's own twins part by rounding before the sample that they do not share is drawn.
        if cell.replicas >= 100 and not (name == "numba" and cell.method == "twins"):
            errors = max(errors, apart(w, ends["jax vmap"]))
    assert errors < 5, f"{cell}: not the same law, {errors:.1f} standard errors"
    least = min(second[f"jax {v}"] for v in variants)
    for v in variants:  # what is far behind takes no part in the rounds
        if second[f"jax {v}"] > 1.3 * least:
            del engines[f"jax {v}"]
    times: dict[str, list[float]] = {name: [] for name in engines}
    begin = time.perf_counter()
    for k in range(MOST):
        for name, engine in engines.items():
            times[name].append(seconds(engine, k + 2) / (cell.replicas * STEPS) * 1e9)
        if k + 1 >= LEAST and time.perf_counter() - begin > SECONDS:
            break
    if cell.method == "sgd":
        few = max(5, int(2e5 / (cell.replicas * cell.batch * cell.d)))
        for name, engine, work in (
            ("numpy loop", numpy_loop(cell, 1, 300), 300),
            ("numpy rows", numpy_rows(cell, cell.replicas, few), cell.replicas * few),
        ):
            times[name] = [seconds(engine, k) / work * 1e9 for k in range(3)]
    spent = {"a run": least_of(theorylab_engine(cell, steps=1)), "draws": drawing(cell),
             "products": multiplying(cell)}  # fmt: skip
    return {**asdict(cell), "ns": times, "first": first["theorylab"], "errors": errors,
            "spent": {k: x / (cell.replicas * STEPS) * 1e9 for k, x in spent.items()}}  # fmt: skip


def least_of(engine: Engine) -> float:
    """Seconds of a run that is compiled already."""
    engine(0)
    return min(seconds(engine, k) for k in range(5))


def drawing(cell: Cell) -> float:
    """Seconds that drawing a cell's samples takes, a block of replicas a thread."""
    from theorylab.engine.streams import BLOCK, blocks, generator

    count, rng = 1 << 18, generator(0, 0, 0, fast=True)
    one = min(seconds(lambda _: rng.integers(0, 1000, size=count, dtype=np.int32), 0)
              for _ in range(5)) / count  # fmt: skip
    parts = blocks(cell.replicas)
    return one * BLOCK * cell.batch * STEPS * parts / min(cell.cores, parts)


def read_and_done(row: dict[str, Any]) -> tuple[int, int]:
    """The bytes of data that a step reads, and its operations on floating-point numbers."""
    from theorylab.engine.native.products import LANES

    size = 4 if row["dtype"] == "float32" else 8
    d, gradients = row["d"], 2 if row["method"] in ("svrg", "twins") else 1
    read = row["batch"] * d * (2 if row["method"] == "twins" else 1)
    done = gradients * 4 * row["batch"] * d + 2 * d
    if row["method"] == "svrg":  # so many rows share what a full pass reads
        read += 2 * N * d // (LANES * LENGTHS["svrg"])
        done += 4 * N * d // LENGTHS["svrg"]
    return read * size, done


def multiplying(cell: Cell) -> float:
    """Seconds of all the cell's operations at the speed of torch's products of matrices."""
    import torch

    torch.set_num_threads(cell.cores)
    square = torch.ones(1024, 1024, dtype=getattr(torch, cell.dtype))
    fastest = min(seconds(lambda _: (square @ square).numpy(), 0) for _ in range(7)) / 2 / 1024**3
    return fastest * read_and_done(asdict(cell))[1] * cell.replicas * STEPS


def goals(row: dict[str, Any]) -> tuple[float, float]:
    """The least ratios asked for, to numba and to JAX."""
    if row["dtype"] == "float64":
        return 0.9, 1.0
    return (1.0, 1.0) if row["replicas"] < 1000 else (1.0, 1.5)


class Row:
    """What the page says of a cell."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row
        ns = {name: np.percentile(t, [25, 50, 75]) for name, t in row["ns"].items()}
        self.jax = min((n for n in ns if n.startswith("jax")), key=lambda n: ns[n][1])
        self.ns, self.mine = ns, ns["theorylab"][1]

    def ratio(self, name: str) -> float:
        """How many times as fast ours is."""
        return float(self.ns[name][1] / self.mine)

    def shown(self, name: str) -> str:
        """Median and quartiles."""
        low, middle, high = self.ns[name]
        return f"{middle:.3g} ({low:.3g}-{high:.3g})"

    @property
    def missed(self) -> bool:
        """Whether a goal is."""
        numba, jax = goals(self.row)
        return self.ratio("numba") < numba or self.ratio(self.jax) < jax

    def line(self, told: list[str], loops: bool) -> str:
        """The cell's line of a table."""
        row = self.row
        parts = [*(f"{row[name]:,}" if isinstance(row[name], int) else row[name] for name in told),
                 *map(self.shown, ("theorylab", "numba")),
                 f"{self.shown(self.jax)}, {self.jax[4:]}",
                 f"{self.ratio('numba'):.2f}", f"{self.ratio(self.jax):.2f}"]  # fmt: skip
        if loops:
            parts += [f"{self.ratio(name):,.0f}" for name in ("numpy loop", "numpy rows")]
        parts.append(f"{row['first']:.1f}")
        return f"| {' | '.join(parts)} |"

    def limits(self) -> str:
        """What the time of a step goes into, counted beside the time."""
        row = self.row
        fixed, draws, products = (row["spent"][k] for k in ("a run", "draws", "products"))
        # A run of one step begins a round, whose pass is a step's work.
        fixed = 0.0 if row["method"] == "svrg" else fixed
        rest = max(self.mine - fixed - draws, 0.0)
        read, work = read_and_done(row)
        return (f"| {row['cores']} | {row['dtype']} | {row['method']} | {row['d']} | {row['batch']}"
                f" | {row['replicas']:,} | {self.ratio('numba'):.2f} | {self.ratio(self.jax):.2f}"
                f" | {self.mine:.3g} | {fixed:.3g} | {draws:.3g} | {rest:.3g} | {read:,}"
                f" | {work:,} | {products:.3g} |")  # fmt: skip


def table(heads: list[str], lines: list[str]) -> list[str]:
    """A table of Markdown."""
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *lines, ""]


def page(found: list[dict[str, Any]], command: str, minutes: float) -> str:
    """The cells as a page: medians, quartiles and ratios, and what limits those that miss."""
    rows = [Row(row) for row in found]
    engines = ["ours", "numba", "JAX, best", "numba / ours", "JAX / ours"]
    sgd = ["cores", "dtype", "d", "batch", "replicas"]
    rest = ["method", "d", "batch", "replicas"]
    others = [r for r in rows if r.row["method"] != "sgd"]
    lines = [
        "# Benchmarks", "",
        f"`{command}`, in {minutes:.0f} minutes: robust regression, n = 1,000, {STEPS:,} steps, "
        "draws included, compilation apart. Nanoseconds a replica-step, medians of interleaved "
        "rounds (quartiles in brackets); a ratio above 1 says that ours is faster. `numpy loop` "
        "goes over seeds and steps, `numpy rows` over steps alone. Before each turn the threads of "
        f"the last come to rest for {1000 * REST:.0f} ms; a run of less than {1000 * SHORT:.0f} ms "
        "is made twice, and the second counts. The last iterates of all "
        "engines have the same law: means of their squared lengths, sums and first entries are at "
        f"most {max(r.row['errors'] for r in rows):.1f} standard errors apart.", "",
        f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores; "
        + ", ".join(f"{p} {version(p)}" for p in ("numpy", "torch", "numba", "jax")) + ".", "",
        "## SGD", "",
        *table([*sgd, *engines, "numpy loop / ours", "numpy rows / ours", "first use, s"],
               [r.line(sgd, True) for r in rows if r.row["method"] == "sgd"]),
    ]  # fmt: skip
    if others:
        lines += [
            "## Other methods, float32, all cores", "",
            "`twins`: SGD on two data sets that differ in a sample, a pair counted as one "
            "replica (numba's part by rounding before that sample is drawn, and where rounding "
            "grows, as at d = 200, their distance has another law: it is left out of the "
            "comparison of laws). `svrg`: a pass over all data every 100 steps.", "",
            *table([*rest, *engines, "first use, s"], [r.line(rest, False) for r in others]),
        ]  # fmt: skip
    missed = [r.limits() for r in rows if r.missed]
    lines += ["## What limits the cells that miss a goal", ""]
    if missed:
        lines += [
            "Goals: with 1,000 replicas and more, numba's speed and 1.5 times JAX's; with fewer, "
            "the speed of both; in float64, 0.9 of numba's and JAX's. Of our nanoseconds: `run` is "
            "what every run costs however few its steps (of `svrg`, where the first step is a full "
            "pass, in `step`), `draws` what the samples of whole blocks of 128 replicas cost (a "
            "block a thread), `step` the rest; beside them the bytes that a step reads of the data "
            "(its iterate stays in the first-level cache), its operations on floating-point "
            "numbers, a share of the full pass included, and what they take at the speed of "
            "torch's products of two matrices of 1,024 rows (`at best`).", "",
            *table(["cores", "dtype", "method", "d", "batch", "replicas", "numba / ours",
                    "JAX / ours", "ours", "run", "draws", "step", "bytes", "flop", "at best"],
                   missed),
        ]  # fmt: skip
    else:
        lines += ["None does."]
    return "\n".join(lines).rstrip() + "\n"


def work(cores: int, dtype: str, quick: bool, most: int) -> None:
    """Print one JSON line a cell."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    os.environ["XLA_FLAGS"] = (
        "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        if cores == 1 else f"--xla_force_host_platform_device_count={cores}"
    )  # fmt: skip
    loops: dict[str, Any] = {}
    for cell in cells(cores, dtype, quick, most):
        print(json.dumps(measured(cell, loops)), flush=True)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--page", type=Path)
    parser.add_argument("--readme", type=Path, help="where the sentence on speed stands")
    parser.add_argument("--quick", action="store_true", help="some short cells of every method")
    parser.add_argument("--most", type=int, default=10000, help="replicas at most")
    parser.add_argument("--dtypes", default="float32,float64")
    parser.add_argument("--cores", default="1,2")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        cores, dtype = given.worker.split(",")
        work(int(cores), dtype, given.quick, given.most)
        return
    if given.readme:
        held(given.readme, MARKERS)  # refused before 20 minutes of measuring
    found, begin, failed = [], time.perf_counter(), 0
    for dtype in given.dtypes.split(",")[: 1 if given.quick else None]:
        for cores in sorted({min(int(c), os.cpu_count() or 1) for c in given.cores.split(",")}):
            told = [sys.executable, __file__, "--worker", f"{cores},{dtype}", "--most",
                    str(given.most), *(["--quick"] if given.quick else [])]  # fmt: skip
            with subprocess.Popen(told, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    found.append(json.loads(line))
                    row = Row(found[-1])
                    names = ["cores", "dtype", "method", "d", "batch", "replicas"]
                    print(row.line(names, False), flush=True)
            failed = failed or process.returncode  # what was measured is kept
    command = " ".join(["python benchmarks/peers.py", *sys.argv[1:]])
    text = page(found, command, (time.perf_counter() - begin) / 60)
    if given.page:
        given.page.write_text(text, encoding="utf-8")
    else:
        print(text)
    if given.readme:
        fill(given.readme, MARKERS, sentence(text))
    if failed:
        raise SystemExit(failed)


if __name__ == "__main__":
    main()
