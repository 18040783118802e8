"""Sums of linear losses, alike but for the sample that a twin replaces: stability at its worst."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthetic.laws import mean_of_rows
from synthetic.shared import at_least, count, given, positive
from theorylab.problem.affine import AffineGradients
from theorylab.problem.objective import Constant, FiniteSum, initial_distance

__all__ = ["LinearSum", "linear_twins", "strongly_convex_twins"]


class LinearSum(FiniteSum):
    """``f_i(w) = <s_i, w> + (mu/2) ||w||^2``: only the ``s_i`` tell samples apart.

    With ``mu > 0`` no ``f_i`` is Lipschitz; but an SGD step of at most ``1/mu`` is a convex
    combination of ``w`` and the minimizer ``-s/mu`` of its batch, so the iterates stay in the ball
    of radius ``R = max(||w_0||, max_i ||s_i||/mu)``, where ``||grad f_i|| <= ||s_i|| + mu R``.

    Parameters
    ----------
    name : str
    vectors : ndarray, shape (m, d)
        The ``s_i``: those of the n samples, then the replacements of twins.
    start : ndarray, shape (d,)
    mu : float
        Curvature (F/X^2), at least 0.
    ell : float
        Certified smoothness, at least ``mu``: it sets the largest step.
    parameters : mapping
    dtype : torch.dtype
    twin_size : int, optional
        n, where replacements follow.

    Examples
    --------
    >>> F = LinearSum("pair", np.array([[1.0], [-1.0]]), np.zeros(1), ell=2.0)
    >>> float(F.sample_constants()["G"]), float(F.constants()["sigma"])
    (1.0, 1.0)
    """

    def __init__(
        self,
        name: str,
        vectors: np.ndarray,
        start: np.ndarray,
        mu: float = 0.0,
        ell: float = 1.0,
        parameters: Mapping[str, Any] | None = None,
        dtype: torch.dtype = torch.float64,
        twin_size: int | None = None,
    ) -> None:
        self.name, self.mu, self.ell = name, float(mu), float(ell)
        self.parameters = dict(parameters or {})
        self._vectors, self._twin_size = np.asarray(vectors, float), twin_size
        self.start = torch.tensor(start, dtype=dtype)
        self._every = torch.tensor(self._vectors, dtype=dtype)
        self._mean = torch.tensor(self._vectors.mean(0), dtype=dtype)

    @property
    def n(self) -> int:
        return len(self._vectors)

    def _bowl(self, w: Tensor) -> Tensor:
        return 0.5 * self.mu * w.square().sum(-1)

    def value(self, w: Tensor) -> Tensor:
        return (w * self._mean).sum(-1) + self._bowl(w)

    def gradient(self, w: Tensor) -> Tensor:
        return self.mu * w + self._mean

    def sample_value(self, w: Tensor, draw: Tensor) -> Tensor:
        linear = [(self._every.index_select(0, i) * w).sum(-1) for i in draw.unbind(1)]
        return torch.stack(linear, 1) + self._bowl(w).unsqueeze(1)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        return mean_of_rows(self._every, draw).add_(w, alpha=self.mu)

    # --- what is certified -------------------------------------------------------------------
    @property
    def declared(self) -> frozenset[str]:
        return frozenset(["convex"] + ["strongly_convex"] * (self.mu > 0))

    @property
    def sample_declared(self) -> frozenset[str]:
        return self.declared

    def affine_gradients(self) -> AffineGradients | None:
        if self._twin_size is not None:
            return None
        n, d = self._vectors.shape
        bends = np.broadcast_to(self.mu * np.eye(d), (n, d, d))
        return AffineGradients(np.full(n, 1 / n), bends, self._vectors, np.zeros((d, d)))

    def _steepest(self) -> float:
        return float(np.linalg.norm(self._vectors, axis=1).max())

    def _shape(self) -> dict[str, Constant]:
        tight = self.ell == self.mu
        found = {
            "ell": Constant(self.ell, "closed form", tight),
            "L": Constant(self.ell, "closed form", tight),
            "delta": Constant(0.0, "closed form", attained=True),
        }
        return found | ({"mu": Constant(self.mu, "closed form", True)} if self.mu else {})

    def sample_constants(self) -> Mapping[str, Constant]:
        if self.mu:
            return self._shape()
        return self._shape() | {"G": Constant(self._steepest(), "closed form", attained=True)}

    def region_constants(self) -> Mapping[str, Constant]:
        steepest = self._steepest()
        if not self.mu:
            return {"G": Constant(steepest, "closed form", attained=True)}
        radius = max(float(self.start.double().norm()), steepest / self.mu)
        return {
            "G": Constant(steepest + self.mu * radius, "closed form", attained=True),
            "D": Constant(2 * radius, "closed form", attained=True),
        }

    def constants(self) -> Mapping[str, Constant]:
        size = self._twin_size or self.n
        found = self._shape()
        mean = self._vectors.mean(0)
        own = self._twin_size is None
        spread = math.sqrt(float(np.mean(np.sum((self._vectors - mean) ** 2, axis=1))))
        # Either twin's spread is at most its root mean square.
        found["sigma"] = Constant(spread if own else self._steepest(), "closed form", own)
        if not self.mu:
            slope = float(np.linalg.norm(mean)) if own else self._steepest()
            found["G"] = Constant(slope, "closed form", own)
        elif own:
            first = float(self.value(self.start.unsqueeze(0))[0])
            found["Delta"] = Constant(first - self.minimum(), "closed form", attained=True)
            # g(w) - g(w*) = mu (w - w*) for every sample.
            found |= dict.fromkeys(("mu_pl", "mu_qg", "ell_es"), found["mu"])
            found["sigma_star"] = found["sigma"]
        found["n"] = Constant(float(size), "closed form", attained=True)
        found["d"] = Constant(float(self.dim), "closed form", attained=True)
        return found | initial_distance(self)

    def minimum(self) -> float:
        if not self.mu or self._twin_size is not None:
            return math.nan
        return -float(np.sum(self._vectors.mean(0) ** 2)) / (2 * self.mu)

    def minimizer(self) -> Tensor | None:
        if not self.mu or self._twin_size is not None:
            return None
        return -self._mean / self.mu

    # --- other samples -----------------------------------------------------------------------
    def _with(self, vectors: np.ndarray, **changes: Any) -> LinearSum:
        parameters = {**self.parameters, **changes.pop("parameters", {})}
        return LinearSum(self.name, vectors, self.start.double().numpy(), self.mu, self.ell,
                         parameters, self.start.dtype, **changes)  # fmt: skip

    def resize(self, n: int, seed: int = 0) -> LinearSum:
        return self._with(np.resize(self._vectors, (n, self.dim)), parameters={"n": n})

    def replacement(self, seed: int, pairs: int) -> tuple[np.ndarray, LinearSum]:
        positions = np.random.default_rng(seed).integers(0, self.n, size=pairs)
        opposite = -self._vectors[positions]
        return positions, self._with(np.concatenate([self._vectors, opposite]), twin_size=self.n)


def linear_twins(
    n: int = 10,
    G: float = 1.0,
    ell: float = 1.0,
    start: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> LinearSum:
    """``n`` losses ``f_i(w) = G w`` on the line; a twin's replaced loss is ``-G w``.

    Each time the replaced sample is drawn the runs move ``2 eta G`` apart and never come nearer:
    the stability of SGD with constant steps is ``2 G^2 eta T/n``, all that Hardt, Recht & Singer
    (2016, Theorem 3.8) allow convex losses. No such loss has a minimum.

    Parameters
    ----------
    n : int
        Samples.
    G : float
        Slope (F/X).
    ell : float
        Certified smoothness (F/X^2): any would do, it limits the steps.
    start : float
        ``w_0`` (X).

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = linear_twins(n=4)
    >>> positions, twins = F.replacement(seed=0, pairs=1)
    >>> twins.sample_gradient(torch.zeros(2, 1, dtype=torch.float64), torch.tensor([[0], [4]]))
    tensor([[ 1.],
            [-1.]], dtype=torch.float64)
    """
    parameters = given(locals())
    n = count("linear_twins", "n", n)
    positive("linear_twins", G=G, ell=ell)
    return LinearSum("linear_twins", np.full((n, 1), G), np.array([start]), 0.0, ell, parameters,
                     dtype)  # fmt: skip


def strongly_convex_twins(
    n: int = 10,
    slope: float = 1.0,
    mu: float = 1.0,
    condition: float = 1.0,
    dtype: torch.dtype = torch.float64,
) -> LinearSum:
    """``n`` losses ``(mu/2) w^2 + slope w``, run from their minimum; a twin's has ``-slope w``.

    The iterates of SGD with ``eta <= 1/ell`` stay in ``|w| <= slope/mu``, where ``G = 2 slope``.
    The runs end ``2 slope/(mu n)`` apart, and the replacement's loss tells them apart by
    ``G^2/(mu n)``: half of what Hardt, Recht & Singer (2016, Theorem 3.9) allow.

    Parameters
    ----------
    n : int
        Samples.
    slope : float
        Of the linear term (F/X).
    mu : float
        Curvature (F/X^2).
    condition : float
        Certified ``ell/mu``, at least 1: it limits the steps.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = strongly_convex_twins(slope=2.0)
    >>> float(F.region_constants()["G"]), float(F.sample_constants()["mu"])
    (4.0, 1.0)
    """
    parameters = given(locals())
    n = count("strongly_convex_twins", "n", n)
    positive("strongly_convex_twins", slope=slope, mu=mu, condition=condition)
    at_least("strongly_convex_twins", 1, condition=condition)
    return LinearSum("strongly_convex_twins", np.full((n, 1), slope), np.array([-slope / mu]), mu,
                     mu * condition, parameters, dtype)  # fmt: skip
