"""``Interpolated``: the function of a class through given points, slopes and values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthetic.shared import given, refuse
from theorylab.problem.objective import Constant, Objective, initial_distance

__all__ = ["Interpolated", "interpolated", "simplex_minimum"]

_ROUNDING = 1e-14
_ACCURACY = 1e-11


def simplex_minimum(Q: np.ndarray, c: np.ndarray) -> tuple[float, np.ndarray]:
    """The least value of ``a^T Q a / 2 + c^T a`` over the simplex, and where it is taken.

    An active-set method, for Q positive semidefinite with few rows.

    >>> value, a = simplex_minimum(np.diag([1.0, 1.0]), np.zeros(2))
    >>> round(value, 12), a.round(12).tolist()
    (0.25, [0.5, 0.5])
    """
    a = np.zeros(len(c))
    first = int(np.argmin(0.5 * Q.diagonal() + c))
    a[first], active = 1.0, [first]
    scale = float(np.abs(Q).max() + np.abs(c).max())
    for _ in range(100 * len(c)):
        slope = Q @ a + c
        worst = int(np.argmin(slope))
        if slope[worst] >= slope @ a - _ROUNDING * scale:
            break
        if worst in active:  # what is left is rounding
            break
        active.append(worst)
        while len(active) > 1:
            step = _within_face(Q[np.ix_(active, active)], (Q @ a + c)[active], scale)
            here = a[active]
            with np.errstate(divide="ignore", invalid="ignore"):
                reach = np.where(step < 0, -here / step, np.inf)
            nearest = int(np.argmin(reach))
            length = float(reach[nearest])
            if length >= 1.0 and np.isfinite(step).all():
                a[active] = np.maximum(here + step, 0.0)
                a /= a.sum()
                break
            a[active] = np.maximum(here + length * step, 0.0)
            a[active[nearest]] = 0.0  # the first weight that vanishes leaves
            a /= a.sum()
            del active[nearest]
    lack = float(slope @ a - slope.min())
    if lack > _ACCURACY * scale:
        raise ArithmeticError(f"simplex_minimum: stopped {lack:.3g} short of the minimum")
    return float(0.5 * a @ Q @ a + c @ a), a


def _within_face(Q: np.ndarray, slope: np.ndarray, scale: float) -> np.ndarray:
    """The step to the minimizer on the affine hull of a face, or a far one where there is none."""
    k = len(slope)
    # Orthonormal directions that keep the sum of the weights.
    across = np.linalg.qr(np.vstack([np.ones((1, k)), np.eye(k)[1:]]).T)[0][:, 1:]
    bends, basis = np.linalg.eigh(across.T @ Q @ across)
    basis = across @ basis
    along = basis.T @ slope
    flat = bends <= 1e-13 * scale
    if np.abs(along[flat]).max(initial=0.0) > 1e-13 * scale:
        # A direction without curvature in which the value falls: to the face's boundary.
        down = -basis[:, flat] @ along[flat]
        return np.asarray(down * (1e6 / np.abs(down).max()))
    return np.asarray(-basis[:, ~flat] @ (along[~flat] / bends[~flat]))


class Interpolated(Objective):
    """``F(w) = min_a D/2 ||w - sum_i a_i z_i||^2 + sum_i a_i c_i + (lower/2)||w||^2``.

    The minimum is over the simplex, ``D = upper - lower``. Less ``(lower/2)||w||^2`` it is the
    largest D-smooth convex function below the parabolas ``D/2 ||w - z_i||^2 + c_i``, whatever
    the ``z_i`` and ``c_i`` are: the curvature of F lies in ``[lower, upper]`` by construction.
    With ``z_i = x_i - s_i/D``, ``s_i = g_i - lower x_i`` and ``c_i = f_i - (lower/2)||x_i||^2
    - ||s_i||^2/(2D)`` it takes the values ``f_i`` and slopes ``g_i`` at the ``x_i``, if any
    function of the class does (Drori 2017, "The exact information-based complexity of smooth
    convex minimization", Theorem 7; Taylor, Hendrickx and Glineur 2017).

    Its constants are those of this construction: the data of a semidefinite program's solution,
    feasible only up to the solver's error, give a function that is exactly of the class.

    Parameters
    ----------
    points, gradients : ndarray, shape (m, d)
    values : ndarray, shape (m,)
    lower, upper : float
        Curvature bounds, ``lower < upper``, ``upper > 0``.
    start : ndarray, shape (d,)
    noise : ndarray, shape (m, d), optional
        ``sample_gradient`` adds ``+v_i`` or ``-v_i``, equally likely, where ``x_i`` is nearest.
    Delta, sigma : float, optional
        What to certify, where the function's own are smaller.

    Examples
    --------
    >>> x, g, f = np.array([[0.0], [2.0]]), np.array([[0.0], [1.0]]), np.array([0.0, 1.5])
    >>> F = Interpolated(x, g, f, 0.0, 1.0, np.array([2.0]))  # Huber's between
    >>> F.value(torch.tensor([[2.0], [0.5], [5.0]])).tolist(), F.minimum()
    ([1.5, 0.125, 9.0], 0.0)
    """

    name = "interpolated"

    def __init__(
        self, points: np.ndarray, gradients: np.ndarray, values: np.ndarray, lower: float,
        upper: float, start: np.ndarray, noise: np.ndarray | None = None, Delta: float = 0.0,
        sigma: float = 0.0, parameters: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.lower, self.upper = float(lower), float(upper)
        self.parameters = dict(parameters or {})
        self._D = self.upper - self.lower
        self._points, self._noise = points, noise
        slopes = gradients - self.lower * points
        self._z = points - slopes / self._D
        self._c = (values - 0.5 * self.lower * (points**2).sum(1)
                   - (slopes**2).sum(1) / (2 * self._D))  # fmt: skip
        self.start = torch.tensor(start, dtype=torch.float64)
        self._Delta, self._sigma = float(Delta), float(sigma)
        self._lowest, self._argmin = self._minimum()

    def _hull(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        """The value and gradient of ``F - (lower/2)||w||^2`` at one point."""
        apart = w - self._z
        value, a = simplex_minimum(self._D * apart @ apart.T, self._c)
        return value, self._D * (a @ apart)

    def value(self, w: Tensor) -> Tensor:
        rows = w.detach().double().numpy()
        found = [self._hull(row)[0] + 0.5 * self.lower * float(row @ row) for row in rows]
        return torch.tensor(found, dtype=w.dtype)

    def gradient(self, w: Tensor) -> Tensor:
        rows = w.detach().double().numpy()
        found = np.stack([self._hull(row)[1] + self.lower * row for row in rows])
        return torch.tensor(found, dtype=w.dtype)

    def _minimum(self) -> tuple[float, np.ndarray]:
        # For fixed weights the minimum over w is at (D/upper) sum a_i z_i. There the weights
        # face lower D/(2 upper) ||sum a_i z_i||^2 + sum a_i c_i: concave if lower <= 0.
        factor = self._D / self.upper
        pull = self.lower * factor
        if self.lower <= 0:
            heights = self._c + 0.5 * pull * (self._z**2).sum(1)
            level = float(heights.min())
            ties = np.flatnonzero(heights == level)
            apart = [float(np.linalg.norm(factor * self._z[k] - self.start.numpy())) for k in ties]
            return level, factor * self._z[ties[int(np.argmin(apart))]]
        level, a = simplex_minimum(pull * self._z @ self._z.T, self._c)
        return level, factor * (a @ self._z)

    def minimum(self) -> float:
        return self._lowest

    def minimizer(self) -> Tensor | None:
        return torch.tensor(self._argmin, dtype=torch.float64)

    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        if self._noise is None:
            return np.empty((steps, replicas, batch_size, 0), dtype=np.float32)
        return rng.integers(0, 2, size=(steps, replicas, batch_size), dtype=np.int32)

    def outcomes(self) -> tuple[np.ndarray, np.ndarray] | None:
        if self._noise is None:
            return np.empty((1, 0), dtype=np.float32), np.ones(1)
        return np.arange(2, dtype=np.int32), np.full(2, 0.5)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        gradient = self.gradient(w)
        if self._noise is None:
            return gradient
        rows = w.detach().double().numpy()
        apart = ((rows[:, None, :] - self._points[None]) ** 2).sum(-1)
        nearest = torch.from_numpy(self._noise[apart.argmin(1)]).to(w.dtype)
        signs = (1 - 2 * draw).to(w.dtype).mean(1, keepdim=True)
        return gradient + signs * nearest

    def constants(self) -> Mapping[str, Constant]:
        how = "closed form"
        found = {
            "ell": Constant(max(self.upper, -self.lower), how),
            "L": Constant(self.upper, how),
            "delta": Constant(max(0.0, -self.lower), how),
            "d": Constant(float(self.dim), how, attained=True),
        }
        if self.lower > 0:
            found["mu"] = Constant(self.lower, how)
        first = float(self.value(self.start[None])[0]) - self._lowest
        found["Delta"] = Constant(max(first, self._Delta), how, attained=first >= self._Delta)
        loud = 0.0
        if self._noise is not None:
            loud = float(np.linalg.norm(self._noise, axis=1).max())
        found["sigma"] = Constant(max(loud, self._sigma), how, attained=loud >= self._sigma)
        return found | initial_distance(self)

    @property
    def declared(self) -> frozenset[str]:
        return frozenset(["convex"] * (self.lower >= 0) + ["strongly_convex"] * (self.lower > 0))


def interpolated(
    points: Sequence[float] = (0.0, 2.0),
    gradients: Sequence[float] = (0.0, 1.0),
    values: Sequence[float] = (0.0, 1.5),
    lower: float = 0.0,
    upper: float = 1.0,
    start: Sequence[float] = (2.0,),
    noise: Sequence[float] = (),
    Delta: float = 0.0,
    sigma: float = 0.0,
) -> Interpolated:
    """:class:`Interpolated` from flat lists, as a worst case is kept in a file.

    Parameters
    ----------
    points, gradients, noise : sequence of float
        Rows of d numbers, one after another, where d is the length of ``start``.
    values, lower, upper, start, Delta, sigma
        As for :class:`Interpolated`.

    Raises
    ------
    UsageError
        If the lengths do not fit, or the curvatures are not ``lower < upper`` with
        ``upper > 0``.

    Examples
    --------
    >>> F = interpolated()
    >>> float(F.constants()["Delta"]), sorted(F.declared)
    (1.5, ['convex'])
    """
    parameters = given(locals())
    who, d, m = "interpolated", len(start), len(values)
    if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper and upper > 0):
        raise refuse(who, "upper", f"finite, positive and above lower = {lower:g}", upper)
    for name, rows in (("points", points), ("gradients", gradients)):
        if m == 0 or d == 0 or len(rows) != m * d:
            raise refuse(who, name, f"{m} rows of {d} numbers", len(rows))
    if len(noise) not in (0, m * d):
        raise refuse(who, "noise", f"none, or {m} rows of {d} numbers", len(noise))
    x, g, v = (np.reshape(np.asarray(r, dtype=float), (-1, d)) for r in (points, gradients, noise))
    return Interpolated(x, g, np.asarray(values, dtype=float), lower, upper,
                        np.asarray(start, dtype=float), v if len(noise) else None, Delta, sigma,
                        parameters)  # fmt: skip
