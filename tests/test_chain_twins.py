"""Twins that part along a chain: convex stability without ``eta <= 2/ell`` is refuted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import synthetic
from bounds import hardt_recht_singer
from theorylab.judge.check import check
from theorylab.judge.domain import place

UNCONDITIONAL = replace(
    hardt_recht_singer.theorem_3_8, key="made_up.unconditional", form="printed", conditions=()
)
LONG = {"eta": 20.0, "T": 30.0}


def _projected(x: np.ndarray) -> np.ndarray:
    """On the simplex and what lies below it, one row, by bisection."""
    low, high = 0.0, float(max(x.max(), 0.0))
    if np.maximum(x, 0).sum() <= 1:
        return np.maximum(x, 0)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(x - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(x - high, 0)


def test_the_gradient_is_that_of_the_formula() -> None:
    """Against pieces written out as a matrix, with a projection of another kind."""
    k, ell, G = 4, 3.0, 2.0
    loss = synthetic.chain_twins(n=5, dim=2 * k + 1, G=G, ell=ell)
    pieces = np.zeros((2 * k, 2 * k + 1))
    for side in (1, -1):
        for j in range(1, k + 1):
            row = pieces[(side < 0) * k + j - 1]
            row[k + side * j], row[k + side * (j - 1)] = side, -0.1 * side
    pieces /= np.hypot(1, 0.1)
    nu = G * np.linalg.norm(pieces, 2) ** 2 / ell
    w = np.random.default_rng(0).normal(size=(50, 2 * k + 1)) * np.geomspace(0.01, 10, 50)[:, None]
    expected = [G * pieces.T @ _projected(pieces @ row / nu) for row in w]
    found = loss.sample_gradient(torch.tensor(w), torch.ones(50, 1, dtype=torch.int32))
    assert np.allclose(found.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_a_samples_curvature_is_attained_where_all_pieces_are_active() -> None:
    loss = synthetic.chain_twins(ell=3.0, G=2.0)
    around = torch.eye(loss.dim, dtype=torch.float64)
    pieces = loss._levels(around).T
    levels = torch.full((2 * loss.k,), 0.25 * loss._nu / loss.k, dtype=torch.float64)
    w = torch.linalg.lstsq(pieces, levels[:, None]).solution[:, 0]

    def slope(w: torch.Tensor) -> torch.Tensor:
        return loss.sample_gradient(w, torch.ones(len(w), 1, dtype=torch.int32))

    hessian = (slope(w + 1e-6 * around) - slope(w - 1e-6 * around)) / 2e-6
    assert float(torch.linalg.eigvalsh(hessian)[-1]) == pytest.approx(3.0, rel=1e-9)


def test_long_steps_part_the_twins_further_than_short_ones_may() -> None:
    loss = synthetic.chain_twins(n=50, dim=21)
    long = check(UNCONDITIONAL, loss, values=LONG, count=1, effort=2e5)
    assert (long.verdict, long.evidence) == ("violated", "valid interval")
    assert long.ratio > 1.2
    short = check(hardt_recht_singer.theorem_3_8, loss, count=4, replicas=256, effort=1e5)
    assert short.verdict != "violated"


def test_the_sample_that_tells_the_twins_apart_is_never_drawn() -> None:
    loss = synthetic.chain_twins(n=6, dim=5)
    _, twins = loss.replacement(seed=0, pairs=2)
    assert (loss.probes, twins.probes) == ((), (8,))
    drawn = twins.draw(np.random.default_rng(0), 200, 4, 2)
    assert drawn.max() < twins.n == 8


def test_a_search_comes_to_steps_that_no_curvature_bears() -> None:
    table = place(UNCONDITIONAL, {"ell": 4.0, "G": 1.0, "n": 9.0}, {"eta": 1.0, "T": 0.0})
    assert table is not None
    assert table["eta"] > 13 / 4
