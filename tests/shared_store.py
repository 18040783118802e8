"""What one of several writers of a store does, in a process of its own."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from theorylab.plugins.store import Store
from theorylab.studies.compute import compute

KEYS = 400


def result_of(x: int) -> Any:
    """What every writer finds for a cell; of many sizes, so that a torn file would show."""
    return {"x": x, "values": [x * k / 7 for k in range(1 + x % 300)]}


def measured(cell: Any) -> Any:
    return result_of(cell["x"])


def write(folder: Path, seed: int, seconds: float) -> Counter[str]:
    """Put, get, open anew and map over random cells; how often, and what was wrong."""
    rng, tally = random.Random(seed), Counter[str]()
    store = Store(folder)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        x = rng.randrange(KEYS)
        if (turn := rng.random()) < 0.45:
            store.put({"x": x}, result_of(x))
            tally["puts"] += 1
        elif turn < 0.9:
            found = store.get({"x": x})
            tally["gets"] += 1
            tally["wrong"] += found not in (None, result_of(x))
        elif turn < 0.95:
            store = Store(folder)  # looks for what killed writers left
            tally["opened"] += 1
        else:
            cells = [{"x": rng.randrange(KEYS), "by": "map"} for _ in range(5)]
            found = list(compute(measured, cells, store, progress=False))
            tally["mapped"] += 1
            tally["wrong"] += found != [result_of(cell["x"]) for cell in cells]
    return tally


if __name__ == "__main__":
    found = write(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    print(" ".join(f"{name}={found[name]}" for name in
                   ("puts", "gets", "opened", "mapped", "wrong")))  # fmt: skip
