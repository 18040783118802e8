"""Shared by the tests of sampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from theorylab.problem.sampler import (
    Sampler,
)

N = 6


def drawn(sampler: Sampler, data: Any, pieces: list[int], size: int = 2, seed: int = 0) -> Any:
    stream = sampler.stream(data, np.random.default_rng(seed), 4)
    return np.concatenate([stream(steps, size) for steps in pieces])
