"""Laws of noise: finite shifts, two-point, rare, Gaussian, and one heavy-tailed law."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from synthetic.shared import refuse
from theorylab.errors import UsageError
from theorylab.problem.objective import Constant
from theorylab.problem.tracing import row_by_row

__all__ = [
    "Gaussian", "Law", "Rare", "Shifts", "StudentT", "balanced_shifts", "mean_of_rows",
    "random_direction", "two_point",
]  # fmt: skip


class Law(abc.ABC):
    """The law of one zero-mean noise vector in R^d."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dim: int) -> np.ndarray:
        """Randomness for ``shape`` noise vectors: shape ``(*shape, ...)``."""

    @abc.abstractmethod
    def mean_noise(self, draw: Tensor, like: Tensor) -> Tensor:
        """The mean noise of each mini-batch: ``(R, b, ...)`` to ``(R, d)``, dtype of ``like``."""

    def outcomes(self, dim: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The finite law of one draw, as in ``Objective.outcomes``."""
        return None

    @abc.abstractmethod
    def sigma(self) -> Constant | None:
        """``sqrt(E||noise||^2)``, or ``None`` where it is infinite."""

    @property
    def unimodal_symmetric(self) -> bool:
        """Whether every coordinate's density is symmetric about 0 and falls away from it."""
        return False

    @abc.abstractmethod
    def covariance(self, dim: int) -> np.ndarray | None:
        """Of one noise vector, shape ``(d, d)``; ``None`` where it is infinite."""


class _Listed(Law):
    """One of a few vectors; a draw is an index."""

    vectors: np.ndarray

    @cached_property
    def _tables(self) -> dict[Any, Tensor]:
        return {}

    def table(self, like: Tensor) -> Tensor:
        """The vectors as a tensor of the dtype and device of ``like``."""
        key = (like.dtype, like.device)
        if key not in self._tables:
            self._tables[key] = torch.tensor(self.vectors, dtype=like.dtype, device=like.device)
        return self._tables[key]

    def mean_noise(self, draw: Tensor, like: Tensor) -> Tensor:
        return mean_of_rows(self.table(like), draw)


@dataclass(frozen=True, eq=False)
class Shifts(_Listed):
    """One of ``m`` vectors with equal probability; they must sum to zero.

    Parameters
    ----------
    vectors : ndarray, shape (m, d)

    Raises
    ------
    UsageError
        If their mean is not zero.

    Examples
    --------
    >>> float(Shifts(np.array([[3.0, 4.0], [-3.0, -4.0]])).sigma())
    5.0
    """

    vectors: np.ndarray

    def __post_init__(self) -> None:
        vectors = np.asarray(self.vectors, dtype=float)
        object.__setattr__(self, "vectors", vectors)
        size = np.abs(vectors).max(initial=0.0)
        if np.abs(vectors.mean(0)).max(initial=0.0) > 1e-14 * size:
            raise UsageError("Shifts: the vectors must have mean zero (unbiased gradients)")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dim: int) -> np.ndarray:
        return rng.integers(0, len(self.vectors), size=shape, dtype=np.int32)

    def outcomes(self, dim: int) -> tuple[np.ndarray, np.ndarray] | None:
        m = len(self.vectors)
        return np.arange(m, dtype=np.int32), np.full(m, 1.0 / m)

    def sigma(self) -> Constant | None:
        second = float(np.mean(np.sum(self.vectors**2, axis=1)))
        return Constant(math.sqrt(second), "closed form", attained=True)

    def covariance(self, dim: int) -> np.ndarray | None:
        return self.vectors.T @ self.vectors / len(self.vectors)


def mean_of_rows(table: Tensor, draw: Tensor) -> Tensor:
    """The mean of ``table[draw]`` over each mini-batch: ``(m, d)``, ``(R, b)`` to ``(R, d)``.

    >>> mean_of_rows(torch.tensor([[1.0], [3.0]]), torch.tensor([[0, 1], [1, 1]])).ravel()
    tensor([2., 3.])
    """
    if draw.shape[1] == 1:
        return table.index_select(0, draw[:, 0])
    if row_by_row():
        total = table.index_select(0, draw[:, 0])
        for k in range(1, draw.shape[1]):
            total += table.index_select(0, draw[:, k])
    else:  # the same sum in the same order, in one call
        total = embedding_bag(draw, table, mode="sum")
    return total.div_(draw.shape[1])


def random_direction(dim: int, seed: int) -> np.ndarray:
    """A unit vector of R^dim, the same for the same seed."""
    direction = np.random.default_rng(seed).standard_normal(dim)
    return direction / np.linalg.norm(direction)


def two_point(sigma: float, dim: int, seed: int = 0) -> Shifts:
    """``+sigma v`` or ``-sigma v`` along one random unit direction ``v``.

    >>> float(two_point(0.5, dim=1).sigma())
    0.5
    """
    direction = random_direction(dim, seed)
    return Shifts(sigma * np.stack([direction, -direction]))


def balanced_shifts(sigma: float, n: int, dim: int, seed: int = 0) -> Shifts:
    """``n`` shifts in opposite pairs (and a zero where n is odd), mean square ``sigma^2``.

    >>> shifts = balanced_shifts(2.0, n=5, dim=3)
    >>> shifts.vectors.shape, round(float(shifts.sigma()), 12)
    ((5, 3), 2.0)
    """
    if n < 2:
        raise refuse("balanced_shifts", "n", "at least 2", n)
    half = np.random.default_rng(seed).standard_normal((n // 2, dim))
    half *= sigma / math.sqrt(2 * np.sum(half**2) / n)
    return Shifts(np.concatenate([half, -half, np.zeros((n % 2, dim))]))


@dataclass(frozen=True, eq=False)
class Rare(_Listed):
    """``+s v`` with probability ``p``, else ``-(p/(1-p)) s v``: mean zero, mean square ``scale^2``.

    The mean of a mini-batch that holds no rare outcome, which has probability ``(1-p)^B``, is
    ``-scale sqrt(p/(1-p)) v``: with ``p`` near ``log(2)/B`` half of all batches err by
    ``0.83 scale/sqrt(B)`` in one direction, which no symmetric law does.

    Parameters
    ----------
    scale : float
    rarity : float
        ``p``, in (0, 1).
    direction : ndarray, shape (d,)
        ``v``, a unit vector.

    Raises
    ------
    UsageError
        If ``rarity`` is out of range.

    Examples
    --------
    >>> law = Rare(1.0, 0.2, np.ones(1))
    >>> law.vectors.ravel().tolist(), law.outcomes(1)[1].tolist(), float(law.sigma())
    ([-0.5, 2.0], [0.8, 0.2], 1.0)
    """

    scale: float
    rarity: float
    direction: np.ndarray
    vectors: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        if not 0 < self.rarity < 1:
            raise refuse("Rare", "rarity", "a probability in (0, 1)", self.rarity)
        odds = math.sqrt(self.rarity / (1 - self.rarity))
        vectors = self.scale * np.outer([-odds, 1 / odds], self.direction)
        object.__setattr__(self, "vectors", vectors)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dim: int) -> np.ndarray:
        return (rng.random(shape) < self.rarity).astype(np.int32)

    def outcomes(self, dim: int) -> tuple[np.ndarray, np.ndarray] | None:
        return np.arange(2, dtype=np.int32), np.array([1 - self.rarity, self.rarity])

    def sigma(self) -> Constant | None:
        return Constant(float(self.scale), "closed form", attained=True)

    def covariance(self, dim: int) -> np.ndarray | None:
        return self.scale**2 * np.outer(self.direction, self.direction)


@dataclass(frozen=True)
class Gaussian(Law):
    """``N(0, (sigma^2/d) I)``: ``E||noise||^2 = scale^2``.

    >>> float(Gaussian(0.5).sigma())
    0.5
    """

    scale: float

    @property
    def unimodal_symmetric(self) -> bool:
        return True

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dim: int) -> np.ndarray:
        return rng.standard_normal((*shape, dim))

    def mean_noise(self, draw: Tensor, like: Tensor) -> Tensor:
        return draw.to(like.dtype).mean(1).mul_(self.scale / math.sqrt(draw.shape[-1]))

    def sigma(self) -> Constant | None:
        return Constant(float(self.scale), "closed form", attained=True)

    def covariance(self, dim: int) -> np.ndarray | None:
        return self.scale**2 / dim * np.eye(dim)


@dataclass(frozen=True)
class StudentT(Law):
    """Independent Student-t coordinates: with ``dof <= 2`` the variance is infinite.

    It breaks the bounded-variance assumption on purpose, so no ``sigma`` is certified for
    ``dof <= 2``; the mean is zero as long as ``dof > 1``.

    >>> StudentT(1.0, dof=1.5).sigma() is None
    True
    """

    scale: float
    dof: float = 1.5

    def __post_init__(self) -> None:
        if self.dof <= 1:
            raise refuse("StudentT", "dof", "above 1 (unbiased gradients)", self.dof)

    @property
    def unimodal_symmetric(self) -> bool:
        return True

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dim: int) -> np.ndarray:
        return rng.standard_t(self.dof, size=(*shape, dim))

    def mean_noise(self, draw: Tensor, like: Tensor) -> Tensor:
        return draw.to(like.dtype).mean(1).mul_(self.scale / math.sqrt(draw.shape[-1]))

    def sigma(self) -> Constant | None:
        if self.dof <= 2:
            return None
        second = self.scale**2 * self.dof / (self.dof - 2)
        return Constant(math.sqrt(second), "closed form", attained=True)

    def covariance(self, dim: int) -> np.ndarray | None:
        sigma = self.sigma()
        return None if sigma is None else float(sigma) ** 2 / dim * np.eye(dim)
