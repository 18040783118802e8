"""Shared by the tests of synthetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import synthetic
from theorylab.problem.field import Field
from theorylab.problem.objective import Objective

DEFAULTS = [
    pytest.param(family, parameters, id=f"{family.name}-{k}")
    for family in synthetic.FAMILIES
    for k, parameters in enumerate(family.defaults)
]


EXTRA = {
    "relaxed_smooth": {"shape": "mixed", "dim": 2},
    "robust_regression": {"n": 15, "dim": 2, "loss": "tukey", "outliers": 0.0, "alpha": 0.1},
    "classification": {"n": 15, "dim": 2, "loss": "savage", "alpha": 0.0},
    "bounded_nonconvex": {"dim": 3, "kappa": 0.1, "condition": 10.0},
    "delta_nonconvex": {"dim": 3, "kappa": 1.0, "condition": 10.0},
    "stability_twins": {"n": 5, "delta": 0.3, "ell": 1.0},
}


INSTANCES = DEFAULTS + [
    pytest.param(family, EXTRA[family.name], id=f"{family.name}-extra")
    for family in synthetic.FAMILIES
    if family.name in EXTRA
]

FUNCTIONS = [
    instance
    for instance in INSTANCES
    if not isinstance(instance.values[0].build(**instance.values[1]), Field)
]
"""Those that have values: all but games."""


def points(objective: Objective, rows: int, seed: int = 0, radius: float = 1.0) -> Tensor:
    noise = np.random.default_rng(seed).standard_normal((rows, objective.dim))
    return objective.start + torch.tensor(radius * noise, dtype=objective.start.dtype)


def draws(objective: Objective, rows: int, batch: int = 1, seed: int = 0) -> Tensor:
    return torch.from_numpy(objective.draw(np.random.default_rng(seed), 1, rows, batch))[0]
