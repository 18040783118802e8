"""Noise added to exact gradients: finite shifts, two-point, Gaussian, and one heavy-tailed law."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthetic.shared import count, refuse
from theorylab.errors import UsageError
from theorylab.problem.affine import AffineGradients
from theorylab.problem.objective import Constant, FiniteSum, Objective

__all__ = [
    "NOISES", "Gaussian", "Law", "Noisy", "Rare", "ShiftedSum", "Shifts", "StudentT",
    "balanced_shifts", "two_point", "with_noise",
]  # fmt: skip

NOISES = ("none", "shifts", "two_point", "rare", "gaussian", "student_t")


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
    """The mean of ``table[draw]`` over each mini-batch: ``(m, d)``, ``(R, b)`` to ``(R, d)``."""
    total = table.index_select(0, draw[:, 0])
    for k in range(1, draw.shape[1]):
        total += table.index_select(0, draw[:, k])
    return total if draw.shape[1] == 1 else total.div_(draw.shape[1])


def _direction(dim: int, seed: int) -> np.ndarray:
    direction = np.random.default_rng(seed).standard_normal(dim)
    return direction / np.linalg.norm(direction)


def two_point(sigma: float, dim: int, seed: int = 0) -> Shifts:
    """``+sigma v`` or ``-sigma v`` along one random unit direction ``v``.

    >>> float(two_point(0.5, dim=1).sigma())
    0.5
    """
    direction = _direction(dim, seed)
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


class Noisy(Objective):
    """``base`` with stochastic gradients ``grad F(w) + noise``, in place of its own sampling.

    Parameters
    ----------
    base : Objective
    law : Law

    Examples
    --------
    >>> from synthetic import quadratic
    >>> F = Noisy(quadratic(dim=2), Gaussian(0.5))
    >>> float(F.constants()["sigma"])
    0.5
    """

    def __init__(
        self, base: Objective, law: Law, parameters: Mapping[str, Any] | None = None
    ) -> None:
        self.base, self.law = base, law
        self.name, self.start = base.name, base.start
        self.parameters = dict(base.parameters if parameters is None else parameters)

    def value(self, w: Tensor) -> Tensor:
        return self.base.value(w)

    def gradient(self, w: Tensor) -> Tensor:
        return self.base.gradient(w)

    def hessian(self, w: Tensor) -> Tensor:
        return self.base.hessian(w)

    def minimum(self) -> float:
        return self.base.minimum()

    def minimizer(self) -> Tensor | None:
        return self.base.minimizer()

    @property
    def declared(self) -> frozenset[str]:
        own = {"unimodal_symmetric_noise"} if self.law.unimodal_symmetric else set()
        return self.base.declared | own

    def affine_gradients(self) -> AffineGradients | None:
        form, covariance = self.base.affine_gradients(), self.law.covariance(self.dim)
        if form is None or covariance is None:
            return None
        H, c = form.mean  # of the base, its full gradient alone
        return AffineGradients(np.ones(1), H[None], c[None], covariance)

    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        return self.law.draw(rng, (steps, replicas, batch_size), self.dim)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.law.mean_noise(draw, w).add_(self.base.gradient(w))

    def outcomes(self) -> tuple[np.ndarray, np.ndarray] | None:
        return self.law.outcomes(self.dim)

    def constants(self) -> Mapping[str, Constant]:
        own = ("sigma", "sigma_star", "n")
        found = {k: v for k, v in self.base.constants().items() if k not in own}
        sigma = self.law.sigma()
        if sigma is not None:
            found["sigma"] = sigma
            if self.minimizer() is not None:
                found["sigma_star"] = sigma
        return found


class ShiftedSum(FiniteSum):
    """``f_i(w) = F(w) + <s_i, w>``: a finite sum whose ``sigma^2 = (1/n) sum_i ||s_i||^2``.

    Every ``f_i`` has the curvature of F; no ``f_i`` is bounded, for its linear term.

    Parameters
    ----------
    base : Objective
        F.
    shifts : Shifts
        The ``s_i``, with mean zero.
    extra : ndarray, shape (pairs, d)
        Replacement shifts of perturbed twins, which take part in no mean.

    Examples
    --------
    >>> from synthetic import quadratic
    >>> F = ShiftedSum(quadratic(dim=2), balanced_shifts(0.5, n=4, dim=2))
    >>> F.n, round(float(F.constants()["sigma"]), 12)
    (4, 0.5)
    """

    def __init__(
        self,
        base: Objective,
        shifts: Shifts,
        parameters: Mapping[str, Any] | None = None,
        extra: np.ndarray | None = None,
    ) -> None:
        self.base, self.shifts = base, shifts
        self.name, self.start = base.name, base.start
        self.parameters = dict(base.parameters if parameters is None else parameters)
        self._extra = np.zeros((0, base.dim)) if extra is None else extra
        every = np.concatenate([shifts.vectors, self._extra])
        self._every = torch.tensor(every, dtype=base.start.dtype)
        # The mean over every sample: zero, but for the replacements of twins.
        self._mean = torch.tensor(
            every.mean(0) if len(self._extra) else np.zeros(base.dim), dtype=base.start.dtype
        )

    @property
    def n(self) -> int:
        return len(self._every)

    def value(self, w: Tensor) -> Tensor:
        value = self.base.value(w)
        return value + (w * self._mean).sum(-1) if len(self._extra) else value

    def gradient(self, w: Tensor) -> Tensor:
        gradient = self.base.gradient(w)
        return gradient + self._mean if len(self._extra) else gradient

    def hessian(self, w: Tensor) -> Tensor:
        return self.base.hessian(w)

    def sample_value(self, w: Tensor, draw: Tensor) -> Tensor:
        linear = [(self._every.index_select(0, i) * w).sum(-1) for i in draw.unbind(1)]
        return self.base.value(w).unsqueeze(1) + torch.stack(linear, 1)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        return mean_of_rows(self._every, draw).add_(self.base.gradient(w))

    def minimum(self) -> float:
        return math.nan if len(self._extra) else self.base.minimum()

    def minimizer(self) -> Tensor | None:
        return None if len(self._extra) else self.base.minimizer()

    @property
    def declared(self) -> frozenset[str]:
        return self.base.declared

    @property
    def sample_declared(self) -> frozenset[str]:
        return self.base.declared - {"fitted"}  # a linear term bends nothing, but tilts

    def affine_gradients(self) -> AffineGradients | None:
        form = self.base.affine_gradients()
        if form is None or len(self._extra):
            return None
        (H, c), n = form.mean, self.n
        return AffineGradients(np.full(n, 1 / n), np.broadcast_to(H, (n, *H.shape)),
                               c + self.shifts.vectors, np.zeros_like(H))  # fmt: skip

    def _sizes(self) -> float:
        return float(np.linalg.norm(self._every.double().numpy(), axis=1).max())

    def sample_constants(self) -> Mapping[str, Constant]:
        base, size = self.base.constants(), self._sizes()
        found = {k: base[k] for k in ("ell", "delta", "L", "mu") if k in base}
        if "G" in base:
            found["G"] = Constant(float(base["G"]) + size, base["G"].how)
        if "L0" in base:
            L0, L1 = float(base["L0"]), float(base["L1"])
            # ||grad F|| <= ||grad f_i|| + ||s_i||.
            found["L0"] = Constant(L0 + L1 * size, base["L0"].how)
            found["L1"] = base["L1"]
        return found

    def constants(self) -> Mapping[str, Constant]:
        n = Constant(float(len(self.shifts.vectors)), "closed form", attained=True)
        if len(self._extra):
            # Both twins: F + <s, w> with ||s|| <= 2 max||s_i||/n, spread at most max||s_i||.
            base, size = self.base.constants(), self._sizes()
            found = {k: base[k] for k in ("ell", "delta", "L", "mu", "d") if k in base}
            if "G" in base:
                drift = 2 * size / float(n)
                found["G"] = Constant(float(base["G"]) + drift, base["G"].how)
            return found | {"sigma": Constant(size, "closed form"), "n": n}
        found = {k: v for k, v in self.base.constants().items() if k != "sigma"}
        sigma = self.shifts.sigma()
        assert sigma is not None
        if self.minimizer() is not None:
            found["sigma_star"] = sigma
        return found | {"sigma": sigma, "n": n}

    def resize(self, n: int, seed: int = 0) -> ShiftedSum:
        sigma = float(self.shifts.sigma() or 0.0)
        return ShiftedSum(self.base, balanced_shifts(sigma, n, self.dim, seed),
                          {**self.parameters, "n": n})  # fmt: skip

    def replacement(self, seed: int, pairs: int) -> tuple[np.ndarray, ShiftedSum]:
        rng = np.random.default_rng(seed)
        sigma = float(self.shifts.sigma() or 0.0)
        directions = rng.standard_normal((pairs, self.dim))
        directions *= sigma / np.linalg.norm(directions, axis=1, keepdims=True)
        positions = rng.integers(0, len(self.shifts.vectors), size=pairs)
        twins = ShiftedSum(self.base, self.shifts, self.parameters, directions)
        return positions, twins


def with_noise(
    base: Objective, noise: str, sigma: float, n: int, seed: int, parameters: Mapping[str, Any],
    rarity: float = 0.1, dof: float = 1.5,
) -> Objective:  # fmt: skip
    """``base`` with the noise called ``noise``.

    Parameters
    ----------
    base : Objective
    noise : str
        ``"none"``; ``"shifts"`` (a finite sum of ``n`` samples); ``"two_point"``; ``"rare"``
        (two points, one of probability ``rarity``); ``"gaussian"``;
        ``"student_t"`` (``dof`` degrees of freedom, infinite variance up to 2).
    sigma : float
        ``sqrt(E||noise||^2)``; the scale of the Student law (F/X).
    n : int
        Samples, for ``"shifts"``.
    seed : int
        Of the directions.
    parameters : mapping
        What built it.
    rarity : float
        Probability of the rare outcome, for ``"rare"``.
    dof : float
        Degrees of freedom, above 1, for ``"student_t"``.

    Raises
    ------
    UsageError
        If ``noise`` is unknown, ``sigma`` negative, ``rarity`` no probability, or ``dof`` too low.
    """
    if noise not in NOISES:
        raise refuse(base.name, "noise", f"one of {', '.join(NOISES)}", noise)
    if not (math.isfinite(sigma) and sigma >= 0):
        raise refuse(base.name, "sigma", "a nonnegative number", sigma)
    if noise == "none":
        if sigma:
            raise refuse(base.name, "sigma", 'zero with noise="none"', sigma)
        return base
    if noise == "shifts":
        n = count(base.name, "n", n, least=2)
        return ShiftedSum(base, balanced_shifts(sigma, n, base.dim, seed), parameters)
    law: Law
    if noise == "two_point":
        law = two_point(sigma, base.dim, seed)
    elif noise == "rare":
        law = Rare(sigma, rarity, _direction(base.dim, seed))
    else:
        law = Gaussian(sigma) if noise == "gaussian" else StudentT(sigma, dof)
    return Noisy(base, law, parameters)
