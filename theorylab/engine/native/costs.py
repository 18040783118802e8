"""What this machine pays for a step operation by operation, and for compiling one.

Measured once on a machine, and kept on disk: what is decided by it stays decided.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.native.library import build, folder, identity
from theorylab.engine.native.source import source, trace
from theorylab.errors import UsageError
from theorylab.plugins.files import write_text

__all__ = ["MachineCosts", "machine_costs"]


@final
@dataclass(frozen=True)
class MachineCosts:
    """Seconds of a processor.

    Attributes
    ----------
    operation : float
        For torch to carry out an operation on some numbers.
    byte : float
        For each byte of a larger result.
    product : float
        For each product of two numbers in a product of matrices.
    special : float
        For each exponential, logarithm and the like.
    compilation : float
        To trace and compile a step for the first time.
    """

    operation: float
    byte: float
    product: float
    special: float
    compilation: float


def machine_costs() -> MachineCosts | None:
    """This machine's costs, measured or as they were kept; ``None`` without a C compiler."""
    kept = folder()
    return _costs(kept / f"{identity('costs', torch.__version__)}.json")


@cache
def _costs(path: Path) -> MachineCosts | None:
    found = _kept(path)
    if found is None:
        try:
            found = _measured()
        except (OSError, RuntimeError):
            return None
        if _kept(path) is None:  # the first process decides for all
            with contextlib.suppress(UsageError):
                write_text(path, json.dumps(asdict(found)))
        found = _kept(path) or found
    return found


def _kept(path: Path) -> MachineCosts | None:
    try:
        found = MachineCosts(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    fine = all(isinstance(x, float) and math.isfinite(x) and x > 0 for x in vars(found).values())
    return found if fine else None


def _measured() -> MachineCosts:
    with torch.inference_mode():
        small, large, square = torch.ones(8), torch.ones(1 << 13), torch.ones(96, 96)
        whole = np.ones(1 << 19)  # beyond a second-level cache, as the tensors of many rows are
        operation = _seconds(lambda: small + small)
        byte = _seconds(lambda: whole + whole, calls=3) / whole.nbytes
        product = (_seconds(lambda: square @ square) - operation) / 96**3
        special = (_seconds(large.exp) - operation) / large.numel()
    begin = sum(os.times()[:4])
    table, weights = torch.ones(100, 8), torch.ones(8)

    def step(w: Tensor, draw: Tensor) -> list[Tensor]:
        rows = table[draw]
        slopes = torch.einsum("rbd,rd->rb", rows, w).tanh()
        return [w - 0.1 * torch.einsum("rb,rbd->rd", slopes, rows) / (w * weights).norm()]

    arguments = [("w", torch.ones(1, 8)), ("samples.0", torch.zeros(1, 4, dtype=torch.int64))]
    text, _, _ = source(trace(step, [x for _, x in arguments]), arguments)
    with tempfile.TemporaryDirectory() as scratch:
        build(text, Path(scratch))
    compilation = sum(os.times()[:4]) - begin  # the compiler's included
    least = 1e-12  # where the clock is coarse
    return MachineCosts(*(max(least, x) for x in (operation, byte, product, special, compilation)))


def _seconds(work: Callable[[], object], rounds: int = 7, calls: int = 30) -> float:
    """The least processor time of a call: what else the machine does only adds to it."""
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(calls):
            work()
        found.append((time.process_time() - begin) / calls)
    return min(found)
