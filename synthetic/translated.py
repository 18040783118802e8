"""A function moved to another place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor

from synthetic.deterministic import Deterministic
from synthetic.losses import Squared
from synthetic.separable import Separable
from theorylab.problem.objective import Constant

__all__ = ["Translated", "alternating", "translated_quadratic"]


@final
class Translated(Deterministic):
    """``F(w) = inner(w - shift)``: every constant is that of ``inner``.

    Parameters
    ----------
    inner : Deterministic
    shift : Tensor, shape (d,)

    Examples
    --------
    >>> F = translated_quadratic("bowl", np.ones(2), np.array([3.0, 4.0]), torch.float64)
    >>> F.minimizer().tolist(), float(F.value(torch.zeros(1, 2, dtype=torch.float64)))
    ([3.0, 4.0], 12.5)
    """

    def __init__(self, inner: Deterministic, shift: Tensor) -> None:
        self.inner, self.shift = inner, shift
        self.name, self.parameters = inner.name, dict(inner.parameters)
        self.start = inner.start + shift

    def value(self, w: Tensor) -> Tensor:
        return self.inner.value(w - self.shift)

    def gradient(self, w: Tensor) -> Tensor:
        return self.inner.gradient(w - self.shift)

    def hessian(self, w: Tensor) -> Tensor:
        return self.inner.hessian(w - self.shift)

    def deterministic_constants(self) -> Mapping[str, Constant]:
        return self.inner.deterministic_constants()

    def minimum(self) -> float:
        return self.inner.minimum()

    def minimizer(self) -> Tensor | None:
        best = self.inner.minimizer()
        return None if best is None else best + self.shift


def translated_quadratic(
    name: str, lam: np.ndarray, centre: np.ndarray, dtype: torch.dtype
) -> Translated:
    """``F(w) = (1/2) sum_j lam_j (w_j - centre_j)^2``."""
    ones = np.ones(len(lam))
    bowl = Separable(name, Squared(), lam, ones, ones, dtype=dtype)
    return Translated(bowl, torch.tensor(centre, dtype=dtype))


def alternating(dim: int) -> np.ndarray:
    """``(1, -1/2, 1/3, ...)``, shape ``(dim,)``: no coordinate, nor its sign, like another.

    >>> alternating(2)
    array([ 1. , -0.5])
    """
    j = np.arange(dim)
    return np.where(j % 2 == 0, 1.0, -1.0) / (j + 1)
