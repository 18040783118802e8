"""The noise of a mini-batch, by the batches themselves."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import torch
from torch import Tensor

from theorylab.errors import UsageError
from theorylab.problem.objective import Objective
from theorylab.quantities.protocol import Experiment

__all__ = ["batch_noise"]

_ENUMERABLE = 1 << 14
# From an infinite law: so many batches of so many samples, and at most so many numbers in all.
_COLUMNS, _SAMPLES, _NUMBERS = 64, 2048, 1 << 22


def batch_noise(
    experiment: Experiment, w: Tensor, gradient: Tensor
) -> tuple[dict[str, np.ndarray], bool]:
    """``||g_B(w) - grad F(w)||^2`` over batches at each row of ``w``, and one sample's.

    On a finite law all batches are taken, each with its probability, where they are at most
    2^14. Beyond, all pairs of samples are: the expectation of the square of a sum is the sum,
    over pairs of places in the batch, of the expected products, which needs the law of two
    places alone; nothing is assumed of the products. From an infinite law large batches are
    drawn, and the pairs are those within each.

    Returns
    -------
    tuple of dict and bool
        ``gradient_variance``, ``gradient_deviation`` and, as the statement speaks of them,
        ``batch_variance`` (independent samples) and ``shuffled_batch_variance`` (distinct ones),
        each of shape ``(points, batches)``, or ``(points, 1)`` where exact; and whether it is.

    Raises
    ------
    UsageError
        If the statement speaks of distinct samples and there are fewer than B, or no finite law.
    """
    names, objective, size = experiment.measured, experiment.objective, experiment.batch_size
    law = objective.outcomes()
    if law is None:
        if "shuffled_batch_variance" in names:
            raise UsageError(f"{objective.name}: distinct samples need a finite law")
        rng = np.random.default_rng(experiment.run_seed)
        return _drawn(objective, w, gradient, size, rng), False
    draws, weights = law
    errors = _errors(objective, w, gradient, draws)
    squared = np.square(errors).sum(-1)
    found = {
        "gradient_variance": (squared @ weights)[:, None],
        "gradient_deviation": squared.max(-1, keepdims=True),
    }
    if "batch_variance" in names:
        found["batch_variance"] = _independent(errors, weights, size)[:, None]
    if "shuffled_batch_variance" in names:
        if size > len(weights):
            raise UsageError(f"a batch of {size} distinct samples out of {len(weights)}")
        found["shuffled_batch_variance"] = _distinct(errors, size)[:, None]
    return found, True


def _errors(objective: Objective, w: Tensor, gradient: Tensor, draws: np.ndarray) -> np.ndarray:
    """``g_i(w) - grad F(w)`` for every outcome i, shape (points, outcomes, d)."""
    single = torch.from_numpy(np.ascontiguousarray(draws[:, None]))
    rows = [
        objective.sample_gradient(point.expand(len(draws), -1).contiguous(), single) - full
        for point, full in zip(w, gradient, strict=True)
    ]
    return torch.stack(rows).numpy()


def _independent(errors: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    n = len(weights)
    if n**size <= _ENUMERABLE:
        picks = np.array(list(product(range(n), repeat=size)))
        return _squares(errors, picks) @ np.prod(weights[picks], axis=1)
    products = errors @ errors.swapaxes(-1, -2)
    same = np.diagonal(products, axis1=-2, axis2=-1) @ weights
    return _of_pairs(same, (products @ weights) @ weights, size)


def _distinct(errors: np.ndarray, size: int) -> np.ndarray:
    n = errors.shape[-2]
    if math.comb(n, size) <= _ENUMERABLE:
        return _squares(errors, np.array(list(combinations(range(n), size)))).mean(-1)
    products = errors @ errors.swapaxes(-1, -2)
    same = np.diagonal(products, axis1=-2, axis2=-1)
    apart = (products.sum((-2, -1)) - same.sum(-1)) / (n * (n - 1))
    return _of_pairs(same.mean(-1), apart, size)


def _of_pairs(same: np.ndarray, apart: np.ndarray, size: int) -> np.ndarray:
    """A place with itself, ``size`` times, and with another, ``size (size - 1)`` times."""
    return (size * same + size * (size - 1) * apart) / size**2


def _squares(errors: np.ndarray, picks: np.ndarray) -> np.ndarray:
    """The squared error of each batch, shape (points, batches); a batch is a row of indices."""
    total = np.zeros((len(errors), len(picks), errors.shape[-1]))
    for place in picks.T:
        total += errors[:, place]
    return np.square(total / picks.shape[1]).sum(-1)


def _drawn(
    objective: Objective, w: Tensor, gradient: Tensor, size: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Each column is one drawn batch of many samples: its squares and all its pairs."""
    many = max(2, size, min(_SAMPLES, _NUMBERS // (_COLUMNS * w.shape[1])))
    found: dict[str, list[np.ndarray]] = {}
    for point, full in zip(w, gradient, strict=True):
        draws = torch.from_numpy(objective.draw(rng, 1, _COLUMNS, many)[0])
        rows = point.expand(_COLUMNS * many, -1).contiguous()
        singles = objective.sample_gradient(rows, draws.flatten(0, 1).unsqueeze(1)) - full
        errors = singles.view(_COLUMNS, many, -1).numpy()
        squared = np.square(errors).sum(-1)
        pairs = np.square(errors.sum(1)).sum(-1) - squared.sum(-1)
        variance, deviation = squared.mean(-1), np.full(_COLUMNS, squared.max())
        noise = _of_pairs(variance, pairs / (many * (many - 1)), size)
        for name, column in (("gradient_variance", variance), ("batch_variance", noise),
                             ("gradient_deviation", deviation)):  # fmt: skip
            found.setdefault(name, []).append(column)
    return {name: np.stack(columns) for name, columns in found.items()}
