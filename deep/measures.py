"""What is measured along a run on a network: losses, gradients, curvature, hitting times.

On a network these are estimates on a sample: to be plotted, not to judge a theorem with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import nnls
from torch import Tensor, nn

from deep.data import Batch

__all__ = [
    "AXES", "Fit", "GradientNoise", "gradient_noise", "hessian_norm", "hitting",
    "loss_and_accuracy", "relaxed_smoothness",
]  # fmt: skip

Row = Mapping[str, Any]

AXES = ("rounds", "gradients", "seconds")
"""Every measurement is kept against outer iterations, gradients of single samples, and time."""


@torch.no_grad()
def loss_and_accuracy(network: nn.Module, batches: Iterable[Batch]) -> tuple[float, float]:
    """Mean cross-entropy and share of right predictions, in evaluation mode."""
    training = network.training
    network.eval()
    total = correct = samples = 0.0
    for batch in batches:
        scores = network(batch.images).float()
        total += float(F.cross_entropy(scores, batch.targets, reduction="sum"))
        correct += float((scores.argmax(1) == batch.targets).sum())
        samples += len(batch.images)
    network.train(training)
    return total / samples, correct / samples


@final
@dataclass(frozen=True)
class GradientNoise:
    """``norm`` = ||grad F||; ``variance`` = E||grad f_i - grad F||^2 for a single sample i."""

    norm: float
    variance: float


def gradient_noise(network: nn.Module, batches: Sequence[Batch]) -> GradientNoise:
    """Gradient norm and the variance of one sample's gradient, in evaluation mode.

    With batches of b_j samples and mean gradients g_j, ``g = sum_j b_j g_j / sum_j b_j`` and
    the variance is ``sum_j b_j ||g_j - g||^2 / (J - 1)``, unbiased for independent samples.

    Raises
    ------
    ValueError
        If there are fewer than two batches.
    """
    if len(batches) < 2:
        raise ValueError(f"gradient_noise: at least 2 batches required, got {len(batches)}")
    training = network.training
    network.eval()
    parts = []
    for batch in batches:
        loss = F.cross_entropy(network(batch.images).float(), batch.targets)
        parts.append(_flat(torch.autograd.grad(loss, _parameters(network))).double())
    network.train(training)
    sizes = torch.tensor([len(batch.images) for batch in batches], dtype=torch.float64)
    gradients = torch.stack(parts)
    sizes = sizes.to(gradients.device)[:, None]
    mean = (sizes * gradients).sum(0) / sizes.sum()
    spread = (sizes * (gradients - mean).square()).sum() / (len(batches) - 1)
    return GradientNoise(float(mean.norm()), float(spread))


def hessian_norm(
    network: nn.Module, images: Tensor, targets: Tensor, iterations: int = 20, seed: int = 0
) -> float:
    """``||Hessian||`` of the mean loss, by power iteration with Hessian-vector products.

    In evaluation mode, from a seeded random direction: a lower estimate that converges to the
    largest absolute eigenvalue. Each iteration costs about two gradients.

    >>> network = nn.Linear(1, 2, bias=False)
    >>> value = hessian_norm(network, torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64))
    >>> value
    0.0
    """
    training = network.training
    network.eval()
    parameters = _parameters(network)
    loss = F.cross_entropy(network(images).float(), targets)
    gradient = _flat(torch.autograd.grad(loss, parameters, create_graph=True))
    generator = torch.Generator().manual_seed(seed)
    vector = torch.randn(gradient.numel(), generator=generator).to(gradient)
    vector /= vector.norm()
    size = 0.0
    for _ in range(iterations):
        product = _flat(torch.autograd.grad(gradient @ vector, parameters, retain_graph=True))
        size = float(product.norm())
        if size == 0.0:
            break
        vector = product / size
    network.train(training)
    return size


def _parameters(network: nn.Module) -> list[nn.Parameter]:
    return [p for p in network.parameters() if p.requires_grad]


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


@final
@dataclass(frozen=True)
class Fit:
    """``||Hessian|| ~ L + lambda ||gradient||``.

    ``explained`` is R^2; ``above`` the least L, with this lambda, that bounds every point.
    """

    L: float
    lambda_: float
    explained: float
    above: float


def relaxed_smoothness(gradients: Sequence[float], hessians: Sequence[float]) -> Fit:
    """Least squares with ``L, lambda >= 0`` along a path: the SNGM paper's Definition 2.

    Raises
    ------
    ValueError
        If there are fewer than two points.

    >>> fit = relaxed_smoothness([0.0, 1.0, 2.0], [1.0, 3.0, 5.0])
    >>> round(fit.L, 6), round(fit.lambda_, 6), round(fit.explained, 6)
    (1.0, 2.0, 1.0)
    """
    x, y = np.asarray(gradients, float), np.asarray(hessians, float)
    if len(x) < 2 or len(x) != len(y):
        raise ValueError(f"relaxed_smoothness: two or more pairs required, got {len(x)}, {len(y)}")
    (constant, slope), _ = nnls(np.stack([np.ones_like(x), x], 1), y)
    rest = y - constant - slope * x
    total = float(((y - y.mean()) ** 2).sum())
    explained = 1 - float((rest**2).sum()) / total if total > 0 else 1.0
    return Fit(float(constant), float(slope), explained, float((y - slope * x).max()))


def hitting(history: Sequence[Row], quantity: str, threshold: float) -> dict[str, float] | None:
    """Where a quantity is first at or below the threshold, on every axis; ``None`` if never.

    Between the two measurements around the crossing it is interpolated linearly, so that the
    answer does not jump with the spacing of the measurements.

    >>> rows = [dict(rounds=r, gradients=8 * r, seconds=0.0, loss=2.0 - r) for r in (0, 1)]
    >>> hitting(rows, "loss", 1.5)["gradients"], hitting(rows, "loss", 0.5)
    (4.0, None)
    """
    for i, row in enumerate(history):
        if row[quantity] is not None and row[quantity] <= threshold:
            if i == 0 or history[i - 1][quantity] is None:
                return {axis: float(row[axis]) for axis in AXES}
            before = history[i - 1]
            share = (before[quantity] - threshold) / (before[quantity] - row[quantity])
            return {axis: before[axis] + share * (row[axis] - before[axis]) for axis in AXES}
    return None
