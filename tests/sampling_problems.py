"""Shared by the tests of sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import synthetic
from theorylab.problem.sampler import (
    Sampler,
)

N = 6


@pytest.fixture(scope="module")
def data() -> Any:
    return synthetic.robust_regression(n=N, dim=3)


def drawn(sampler: Sampler, data: Any, pieces: list[int], size: int = 2, seed: int = 0) -> Any:
    stream = sampler.stream(data, np.random.default_rng(seed), 4)
    return np.concatenate([stream(steps, size) for steps in pieces])
