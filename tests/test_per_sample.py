"""Assumptions that must hold for every sample are read off the samples, not off their mean."""

from typing import Any

import numpy as np
import pytest

import synthetic
from bounds import hardt_recht_singer
from synthetic.piecewise_quadratic import PiecewiseQuadratic
from synthetic.piecewise_quadratic_sum import PiecewiseQuadraticSum
from theorylab import check
from theorylab.errors import AssumptionError


def _sum(*slopes: Any) -> Any:
    """Samples on the line with the given slopes at -1, 0, 1, constant beyond."""
    kinds = [PiecewiseQuadratic((-1.0, 0.0, 1.0), row, 0.0, 0.0) for row in slopes]
    return PiecewiseQuadraticSum(kinds, np.arange(len(kinds)), 0.1)


def test_a_convex_mean_of_samples_that_are_not_is_no_case_for_hardt_recht_singer() -> None:
    tilted = _sum((-1.0, 0.5, 0.0), (0.0, -0.5, 1.0))
    assert tilted.declared == {"convex"}
    assert tilted.sample_declared == frozenset()
    with pytest.raises(AssumptionError, match="is not convex sample by sample"):
        check(hardt_recht_singer.theorem_3_8, tilted, count=1, replicas=16, effort=1e3)


def test_convex_samples_are() -> None:
    bent = _sum((-1.0, 0.0, 1.0), (0.0, 0.0, 1.0))
    assert bent.sample_declared == {"convex"}
    found = check(hardt_recht_singer.theorem_3_8, bent, count=1, replicas=64, effort=1e4)
    assert found.verdict != "violated"


@pytest.mark.parametrize("objective", [
    synthetic.classification(n=8, dim=2, alpha=0.0),
    synthetic.quadratic(dim=2, noise="shifts", sigma=1.0, n=4),
    synthetic.cosh_sum(dim=1, n=4),
    synthetic.robust_regression(n=8, dim=2, loss="squared"),
], ids=lambda o: o.name)  # fmt: skip
def test_what_families_say_of_their_samples_is_so(objective: Any) -> None:
    """Gradients of a convex sample are monotone: tried at random pairs of points."""
    import torch

    assert "convex" in objective.sample_declared
    rng = np.random.default_rng(0)
    u, w = (torch.from_numpy(rng.normal(size=(64, objective.dim))) for _ in range(2))
    for i in range(objective.n):
        index = torch.full((64, 1), i, dtype=torch.int32)
        turn = objective.sample_gradient(u, index) - objective.sample_gradient(w, index)
        assert float(((u - w) * turn).sum(-1).min()) >= -1e-9
