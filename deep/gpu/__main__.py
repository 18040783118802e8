"""``python -m deep.gpu``: everything a GPU is wanted for, in one go of a few minutes.

Needs Python, this checkout and its dependencies (torch, numpy, scipy, sympy, pandas, scikit-learn,
pillow, joblib, rich); no network, no installation: ``PYTHONPATH=. python -m deep.gpu`` runs it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

PARTS = {"checks": 0.22, "throughput": 0.30, "cells": 1.0}
"""Each part and the share of the time left that it may take; the last takes the rest."""
_NEEDED = ("torch", "numpy", "scipy", "sympy", "pandas", "sklearn", "PIL", "joblib", "rich")


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deep.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="for gpu.jsonl")
    parser.add_argument("--work", type=Path, help="for checkpoints; by default OUT/work")
    parser.add_argument("--minutes", type=float, default=8.0, help="wall-clock time, all in all")
    parser.add_argument("--device", default="auto", help="cuda, cpu or auto")
    parser.add_argument("--preset", choices=("full", "tiny"), default="full")
    parser.add_argument("--data-dir", type=Path, help="CIFAR-10: its folder or archive")
    parser.add_argument(
        "--jpeg",
        type=Path,
        default=os.environ.get("THEORYLAB_CIFAR10_JPEG"),
        help="CIFAR-10 as JPEG files, folder or tar, where there is no original",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument(
        "--plan",
        choices=("tables", "claims"),
        default="tables",
        help="cells: of the papers' tables, what fits; or methods beside their control arms",
    )
    parser.add_argument("--only", default="", help="only cells whose name contains this")
    parser.add_argument("--child", metavar="PART", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    found = parser.parse_args(arguments)
    if not found.minutes > 0:
        parser.error("--minutes must be positive")
    if wrong := [part for part in found.parts.split(",") if part not in PARTS]:
        parser.error(f"--parts: unknown {', '.join(wrong)}; known: {', '.join(PARTS)}")
    if found.work is None:
        found.work = found.out / "work"
    if found.jpeg is not None:
        found.jpeg = Path(found.jpeg)
    return found


def missing() -> list[str]:
    """Packages that are needed and not there."""
    from importlib.util import find_spec

    return [name for name in _NEEDED if find_spec(name) is None]


def main(arguments: list[str] | None = None) -> int:
    """Run the parts, each in a process of its own; 0 if all of them ran and every check passed."""
    options = parsed(arguments)
    if lacking := missing():
        print(f"deep.gpu needs these Python packages, which are not there: {', '.join(lacking)}",
              file=sys.stderr)  # fmt: skip
        return 2
    if options.child is not None:
        from deep.gpu.run import child

        return child(options)
    from deep.gpu.record import Record
    from deep.gpu.run import described
    from theorylab.errors import UsageError

    end = time.monotonic() + 60 * options.minutes
    record = Record(options.out / "gpu.jsonl")
    try:
        record.write("run", "provenance", ok=True, result=described(options))
    except (UsageError, OSError) as error:
        print(f"deep.gpu: {error}", file=sys.stderr)
        return 2
    given = list(sys.argv[1:] if arguments is None else arguments)
    fine = True
    for part in options.parts.split(","):
        left = end - time.monotonic() - 5
        seconds = left if part == options.parts.split(",")[-1] else PARTS[part] * left
        if seconds < 3:
            record.write("run", part, ok=False, seconds=0.0, error="OutOfTime: not started")
            continue
        fine &= _in_child(part, seconds, given, record)
    lines = record.lines()
    last = {(x["part"], x["name"]): x for x in lines if x["part"] in PARTS}
    counts = {
        part: {"ok": sum(x["ok"] for (p, _), x in last.items() if p == part),
               "of": sum(p == part for p, _ in last)}
        for part in PARTS
    }  # fmt: skip
    fine &= all(x["ok"] for (part, _), x in last.items() if part == "checks")
    took = round(60 * options.minutes - end + time.monotonic(), 1)
    record.write("run", "end", ok=fine, seconds=took, result=counts)
    return 0 if fine else 1


def _in_child(part: str, seconds: float, given: list[str], record: object) -> bool:
    """One part in a process of its own: what hangs or breaks the device takes only it along."""
    from deep.gpu.record import Record

    assert isinstance(record, Record)
    command = [sys.executable, "-m", "deep.gpu", *given, "--child", part, "--seconds",
               f"{seconds:.1f}"]  # fmt: skip
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths),
                   "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # fmt: skip
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    error = ""
    try:
        _, error = process.communicate(timeout=seconds + 4)
    except subprocess.TimeoutExpired:
        process.kill()
        _, error = process.communicate()
        error += "\nOutOfTime: ended by its parent"
    code = process.returncode
    took = round(time.monotonic() - started, 1)
    if code == 0:
        record.write("run", part, ok=True, seconds=took)
        return True
    last = [line for line in error.strip().splitlines() if line.strip()][-1:] or [f"exit {code}"]
    record.write("run", part, ok=False, seconds=took, error=last[0][:300])
    return False


if __name__ == "__main__":
    raise SystemExit(main())
