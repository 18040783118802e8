"""``Bowl``: a quadratic with its minimum anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from synthetic.deterministic import Deterministic
from theorylab.problem.affine import AffineGradients
from theorylab.problem.objective import Constant

__all__ = ["Bowl", "alternating"]


@final
class Bowl(Deterministic):
    """``(1/2) sum_j h_j (w_j - b_j)^2``: a quadratic with its minimum at ``b``.

    Parameters
    ----------
    name : str
    curvatures, minimizer, start : ndarray, shape (d,)
        ``h`` (positive), ``b``, ``w_0``.
    offset : float
        Added to every value.
    parameters : mapping
    dtype : torch.dtype

    Examples
    --------
    >>> F = Bowl("bowl", np.array([4.0, 1.0]), np.array([1.0, 0.0]), np.zeros(2))
    >>> float(F.constants()["mu"]), float(F.constants()["Delta"])
    (1.0, 2.0)
    """

    def __init__(
        self,
        name: str,
        curvatures: np.ndarray,
        minimizer: np.ndarray,
        start: np.ndarray,
        offset: float = 0.0,
        parameters: Mapping[str, Any] | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.name, self.parameters, self.offset = name, dict(parameters or {}), float(offset)
        self._h, self._b = np.asarray(curvatures, float), np.asarray(minimizer, float)
        self.start = torch.tensor(start, dtype=dtype)
        self._bend = torch.tensor(self._h, dtype=dtype)
        self._best = torch.tensor(self._b, dtype=dtype)

    def value(self, w: Tensor) -> Tensor:
        return 0.5 * (self._bend * (w - self._best).square()).sum(-1) + self.offset

    def gradient(self, w: Tensor) -> Tensor:
        return self._bend * (w - self._best)

    def hessian(self, w: Tensor) -> Tensor:
        return torch.diag_embed(self._bend.expand_as(w))

    def affine_gradients(self) -> AffineGradients:
        d = self.dim
        return AffineGradients(np.ones(1), np.diag(self._h)[None], -(self._h * self._b)[None],
                               np.zeros((d, d)))  # fmt: skip

    def deterministic_constants(self) -> Mapping[str, Constant]:
        most, least = float(self._h.max()), float(self._h.min())
        found = dict.fromkeys(("ell", "L", "ell_es"), Constant(most, "closed form", True))
        found |= dict.fromkeys(("mu", "mu_pl", "mu_qg"), Constant(least, "closed form", True))
        return found | {"delta": Constant(0.0, "closed form", attained=True)}

    def minimum(self) -> float:
        return self.offset

    def minimizer(self) -> Tensor:
        return self._best


def alternating(dim: int) -> np.ndarray:
    """``(1, -1/2, 1/3, ...)``, shape ``(dim,)``: no coordinate, nor its sign, like another.

    >>> alternating(2)
    array([ 1. , -0.5])
    """
    j = np.arange(dim)
    return np.where(j % 2 == 0, 1.0, -1.0) / (j + 1)
