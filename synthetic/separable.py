"""``Separable``: a sum of one-dimensional functions along (rotated) axes, exact constants."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthetic.deterministic import Deterministic
from synthetic.scalar import Ranges, Scalar
from synthetic.tiles import by_tiles
from theorylab.problem.affine import AffineGradients
from theorylab.problem.objective import Constant

__all__ = ["Separable", "rotation", "spread"]

_FEW = 4  # so many columns are summed one by one faster than in tiles


def rotation(dim: int, seed: int) -> np.ndarray:
    """A random orthogonal matrix, shape ``(dim, dim)``.

    >>> Q = rotation(3, seed=0)
    >>> bool(np.allclose(Q @ Q.T, np.eye(3)))
    True
    """
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))
    return q * np.sign(np.diag(r))


def spread(dim: int, condition: float) -> np.ndarray:
    """``dim`` numbers that fall geometrically from 1 to ``1/condition``.

    >>> spread(3, 100.0).round(12)
    array([1.  , 0.1 , 0.01])
    """
    numbers = np.geomspace(1.0, 1.0 / condition, dim)
    numbers[0] = 1.0
    return numbers


class Separable(Deterministic):
    """``F(w) = offset + sum_j a_j phi(b_j u_j)`` with ``u = Q w``.

    The coordinates ``u_j`` move freely, so every extreme of the scalar is reached by all of
    them at once and the constants are exact: ``ell = max_j a_j b_j^2 sup|phi''|``,
    ``G^2 = sum_j (a_j b_j sup|phi'|)^2``, and so on.

    Parameters
    ----------
    name : str
    scalar : Scalar
        ``phi``.
    amplitude, frequency : sequence of float, length d
        ``a_j > 0`` and ``b_j > 0``.
    start : sequence of float, length d
        ``w_0`` in the coordinates ``x_j = b_j u_j`` of the scalars.
    Q : ndarray, shape (d, d)
        Orthogonal; ``None`` for the identity.
    offset : float
        Added to every value.
    parameters : mapping
        What built it.
    dtype : torch.dtype

    Examples
    --------
    >>> from synthetic.losses import Squared
    >>> F = Separable("bowl", Squared(), [1.0, 4.0], [1.0, 1.0], [1.0, 1.0])
    >>> float(F.constants()["ell"]), F.minimum()
    (4.0, 0.0)
    """

    def __init__(
        self,
        name: str,
        scalar: Scalar,
        amplitude: Sequence[float] | np.ndarray,
        frequency: Sequence[float] | np.ndarray,
        start: Sequence[float] | np.ndarray,
        Q: np.ndarray | None = None,
        offset: float = 0.0,
        parameters: Mapping[str, Any] | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.name, self.scalar, self.offset = name, scalar, offset
        self.parameters = dict(parameters or {})
        self._a, self._b = np.asarray(amplitude, float), np.asarray(frequency, float)
        self._Q = None if Q is None else torch.tensor(Q, dtype=dtype)
        u0 = np.asarray(start, float) / self._b
        self.start = torch.tensor(u0 if Q is None else Q.T @ u0, dtype=dtype)
        self._amplitude = torch.tensor(self._a, dtype=dtype)
        self._frequency = torch.tensor(self._b, dtype=dtype)
        self._steepness = torch.tensor(self._a * self._b, dtype=dtype)
        self._bend = torch.tensor(self._a * self._b**2, dtype=dtype)

    @cached_property
    def _ranges(self) -> Ranges:  # some are certified by interval arithmetic
        return self.scalar.ranges

    def value(self, w: Tensor) -> Tensor:
        values = self.scalar.value(self._along_axes(w) * self._frequency)
        return (values * self._amplitude).sum(-1) + self.offset

    def gradient(self, w: Tensor) -> Tensor:
        slopes = self.scalar.slope(self._along_axes(w) * self._frequency).mul_(self._steepness)
        return slopes if self._Q is None else _product(slopes, self._Q)

    def hessian(self, w: Tensor) -> Tensor:
        x = self._along_axes(w) * self._frequency
        diagonal = torch.diag_embed(self.scalar.curvature(x) * self._bend)
        Q = self._Q
        return diagonal if Q is None else by_tiles(lambda tile: Q.T @ tile @ Q, diagonal)

    def _along_axes(self, w: Tensor) -> Tensor:
        return w if self._Q is None else _product(w, self._Q.T)

    def deterministic_constants(self) -> Mapping[str, Constant]:
        ranges, a, b = self._ranges, self._a, self._b
        found: dict[str, Constant] = {}

        def certify(name: str, value: float) -> None:
            if math.isfinite(value):
                found[name] = Constant(float(value), ranges.how, attained=True)

        bend = a * b**2
        certify("ell", bend.max() * ranges.bend)
        certify("delta", bend.max() * ranges.concavity)
        if ranges.curvature[1] > 0:
            certify("L", bend.max() * ranges.curvature[1])
        if ranges.curvature[0] > 0:
            certify("mu", bend.min() * ranges.curvature[0])
        if ranges.polyak > 0:
            certify("mu_pl", bend.min() * ranges.polyak)
            certify("mu_qg", bend.min() * ranges.growth)
        if ranges.minimizer is not None and ranges.curvature[1] > 0:
            # ||grad F||^2 <= 2 L (F - F*), an equality to second order at a minimum of curvature L.
            certify("ell_es", bend.max() * ranges.curvature[1])
            tight = ranges.minimizer == ranges.peak and math.isfinite(ranges.curvature[1])
            if "ell_es" in found:
                found["ell_es"] = Constant(float(found["ell_es"]), ranges.how, attained=tight)
        certify("G", float(np.linalg.norm(a * b)) * ranges.steepest)
        ends = self.offset + a.sum() * np.array(ranges.value)
        certify("Bf", np.abs(ends).max())
        if ranges.relaxed is not None:
            L0, L1 = ranges.relaxed
            certify("L0", bend.max() * L0)
            certify("L1", b.max() * L1)
            alike = bool(np.all(a == a[0]) and np.all(b == b[0]))
            together = alike and ranges.relaxed_attained
            found["L0"] = Constant(float(found["L0"]), ranges.how, attained=together)
        return found

    def affine_gradients(self) -> AffineGradients | None:
        least, most = self._ranges.curvature
        if least != most:
            return None
        matrix = np.diag(least * self._a * self._b**2)
        if self._Q is not None:
            Q = self._Q.double().numpy()
            matrix = Q.T @ matrix @ Q
        origin = torch.zeros(1, self.dim, dtype=self.start.dtype)
        return AffineGradients(np.ones(1), matrix[None], self.gradient(origin).double().numpy(),
                               np.zeros_like(matrix))  # fmt: skip

    def minimum(self) -> float:
        return float(self.offset + self._a.sum() * self._ranges.value[0])

    def minimizer(self) -> Tensor | None:
        x = self._ranges.minimizer
        if x is None:
            return None
        u = torch.tensor(x / self._b, dtype=self.start.dtype)
        return u if self._Q is None else self._Q.T @ u


def _product(rows: Tensor, matrix: Tensor) -> Tensor:
    """``rows @ matrix``, each row of it the same bits in any batch."""
    if matrix.shape[0] > _FEW:
        return by_tiles(lambda tile: tile @ matrix, rows)
    columns, lines = rows.unsqueeze(2).unbind(1), matrix.unbind(0)
    total = columns[0] * lines[0]
    for column, line in zip(columns[1:], lines[1:], strict=True):
        total = torch.addcmul(total, column, line)
    return total
