"""Where data-backed samples come from: a pool of rows, or a law on the sphere."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.special import roots_jacobi
from torch import Tensor

from synthetic.losses import Loss
from synthetic.tiles import by_tiles, column_blocks

__all__ = ["Pool", "Population", "SphereLaw", "mean_loss"]

_NODES = 256


def mean_loss(loss: Loss, w: Tensor, A: Tensor, b: Tensor) -> Tensor:
    """``(1/n) sum_i phi(<a_i, w> - b_i)`` for each row of ``w``: shape ``(R,)``."""
    blocks = column_blocks(A)

    def tile(rows: Tensor) -> Tensor:
        total = torch.zeros_like(rows[:, 0])
        for block in blocks:
            total = total + loss.value(rows @ A[block].T - b[block]).sum(-1)
        return total / len(b)

    return by_tiles(tile, w)


class Population(abc.ABC):
    """The law of one sample ``(a, b)``."""

    @abc.abstractmethod
    def sample(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """``n`` independent samples: ``A`` of shape (n, d) and ``b`` of shape (n,)."""

    @abc.abstractmethod
    def risk(self, loss: Loss, w: Tensor) -> Tensor:
        """``E phi(<a, w> - b)``, shape ``(R,)``."""


@dataclass(frozen=True, eq=False)
class Pool(Population):
    """A finite population: every row equally likely, its risk an exact mean.

    >>> from synthetic.losses import Squared
    >>> pool = Pool(np.array([[1.0], [-1.0]]), np.array([0.0, 0.0]))
    >>> float(pool.risk(Squared(), torch.tensor([[2.0]], dtype=torch.float64)))
    2.0
    """

    A: np.ndarray
    b: np.ndarray

    def sample(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        rows = rng.integers(0, len(self.b), size=n)
        return self.A[rows], self.b[rows]

    def risk(self, loss: Loss, w: Tensor) -> Tensor:
        A, b = (torch.tensor(x, dtype=w.dtype) for x in (self.A, self.b))
        return mean_loss(loss, w, A, b)


@dataclass(frozen=True, eq=False)
class SphereLaw(Population):
    """``a`` uniform on a sphere, ``b = <a, w*> + noise`` with noise in {0, +s, -s}.

    ``<a, w> - b = radius ||w - w*|| t - noise`` where ``t`` has density proportional to
    ``(1 - t^2)^{(d-3)/2}``: the risk is a one-dimensional (Gauss-Jacobi) integral.

    Parameters
    ----------
    target : ndarray, shape (d,)
        ``w*``.
    radius : float
        ``||a||``.
    outliers : float
        Probability of a nonzero noise, in [0, 1].
    size : float
        ``s``.

    Examples
    --------
    >>> from synthetic.losses import Squared
    >>> law = SphereLaw(np.zeros(3), 1.0, 0.0, 0.0)
    >>> round(float(law.risk(Squared(), torch.ones(1, 3, dtype=torch.float64))), 12)
    0.5
    """

    target: np.ndarray
    radius: float
    outliers: float
    size: float

    def sample(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        A = rng.standard_normal((n, len(self.target)))
        A *= self.radius / np.linalg.norm(A, axis=1, keepdims=True)
        kind = rng.random(n)
        sign = np.where(kind < self.outliers / 2, 1.0, -1.0) * (kind < self.outliers)
        return A, A @ self.target + self.size * sign

    @cached_property
    def _rule(self) -> tuple[np.ndarray, np.ndarray]:
        d = len(self.target)
        if d == 1:
            return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
        nodes, weights = roots_jacobi(_NODES, (d - 3) / 2, (d - 3) / 2)
        return nodes, weights / weights.sum()

    def risk(self, loss: Loss, w: Tensor) -> Tensor:
        nodes, weights = (torch.tensor(x, dtype=w.dtype) for x in self._rule)
        away = w - torch.tensor(self.target, dtype=w.dtype)
        x = self.radius * torch.linalg.vector_norm(away, dim=-1, keepdim=True) * nodes
        total = torch.zeros_like(x[:, 0])
        p = self.outliers
        for probability, noise in ((1 - p, 0.0), (p / 2, self.size), (p / 2, -self.size)):
            if probability:
                total = total + probability * (loss.value(x - noise) * weights).sum(-1)
        return total
