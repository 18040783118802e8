"""Objectives with noise of a law added to their exact gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthetic.laws import (
    Gaussian,
    Law,
    Rare,
    Shifts,
    StudentT,
    balanced_shifts,
    mean_of_rows,
    random_direction,
    two_point,
)
from synthetic.shared import count, refuse
from theorylab.problem.affine import AffineGradients
from theorylab.problem.objective import Constant, FiniteSum, Objective

__all__ = ["NOISES", "Noisy", "ShiftedSum", "with_noise"]


NOISES = ("none", "shifts", "two_point", "rare", "gaussian", "student_t")
_ALONE = {"n": "shifts", "rarity": "rare", "dof": "student_t"}  # what one noise alone reads


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
    def setting(self) -> frozenset[str]:
        return self.base.setting

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

    def batch_value(self, w: Tensor, draw: Tensor) -> Tensor:
        """``F(w) + <noise, w>``, whose gradient is ``grad F(w) + noise``."""
        return self.base.value(w) + (self.law.mean_noise(draw, w) * w).sum(-1)

    def outcomes(self) -> tuple[np.ndarray, np.ndarray] | None:
        return self.law.outcomes(self.dim)

    def constants(self) -> Mapping[str, Constant]:
        return self._constants

    @cached_property
    def _constants(self) -> Mapping[str, Constant]:
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
    def setting(self) -> frozenset[str]:
        return self.base.setting

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
        return self._constants

    @cached_property
    def _constants(self) -> Mapping[str, Constant]:
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
    made = _noisy(base, noise, sigma, n, seed, parameters, rarity, dof)
    made.unread = {name: f"noise={law}" for name, law in _ALONE.items() if law != noise}
    return made


def _noisy(
    base: Objective, noise: str, sigma: float, n: int, seed: int, parameters: Mapping[str, Any],
    rarity: float, dof: float,
) -> Objective:  # fmt: skip
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
        law = Rare(sigma, rarity, random_direction(base.dim, seed))
    else:
        law = Gaussian(sigma) if noise == "gaussian" else StudentT(sigma, dof)
    return Noisy(base, law, parameters)
