"""One-dimensional piecewise quadratics given by knots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from synthetic.noise import with_noise
from synthetic.scalar import Ranges, Scalar
from synthetic.separable import Separable
from synthetic.shared import given, refuse
from theorylab.problem.objective import Objective

__all__ = ["PiecewiseQuadratic", "piecewise_quadratic"]

_KNOTS = (-2.0, -1.0, 0.0, 1.0, 2.0)


@dataclass(frozen=True)
class PiecewiseQuadratic(Scalar):
    """A C^1 function whose derivative is linear between knots.

    Parameters
    ----------
    knots : tuple of float
        ``x_0 < x_1 < ... < x_m``.
    slopes : tuple of float
        ``phi'(x_k)``.
    left, right : float
        Curvature before the first and after the last knot.
    base : float
        ``phi(x_0)``.

    Raises
    ------
    UsageError
        If the knots do not increase, or their number differs from that of the slopes.

    Examples
    --------
    >>> hat = PiecewiseQuadratic((-1.0, 0.0, 1.0), (0.0, 1.0, 0.0))
    >>> hat.value(torch.tensor([0.0, 2.0])), hat.ranges.curvature
    (tensor([0.5000, 1.0000]), (-1.0, 1.0))
    """

    knots: tuple[float, ...]
    slopes: tuple[float, ...]
    left: float = 0.0
    right: float = 0.0
    base: float = 0.0
    name: ClassVar[str] = "piecewise_quadratic"

    def __post_init__(self) -> None:
        who = "piecewise_quadratic"
        if len(self.knots) < 1 or len(self.knots) != len(self.slopes):
            raise refuse(who, "slopes", f"one number a knot ({len(self.knots)})", self.slopes)
        if not np.all(np.diff(self.knots) > 0):
            raise refuse(who, "knots", "strictly increasing", self.knots)
        if not np.all(np.isfinite([*self.knots, *self.slopes, self.left, self.right, self.base])):
            raise refuse(who, "knots and slopes", "finite", (self.knots, self.slopes))

    @cached_property
    def pieces(self) -> np.ndarray:
        """Rows (anchor, value, slope, curvature) of the ``m + 2`` pieces, from left to right."""
        x, s = np.array(self.knots), np.array(self.slopes)
        gaps = np.diff(x)
        curvature = np.diff(s) / gaps
        values = self.base + np.concatenate([[0.0], np.cumsum(gaps * (s[:-1] + s[1:]) / 2)])
        inner = np.stack([x, values, s, np.append(curvature, self.right)], 1)
        return np.vstack([[x[0], values[0], s[0], self.left], inner])

    def _at(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        knots, table = self._tables(x.dtype)
        piece = torch.bucketize(x.detach().contiguous(), knots, right=True)
        rows = table.index_select(0, piece.view(-1)).view(*x.shape, 4)
        anchor, value, slope, curvature = rows.unbind(-1)
        return x - anchor, value, slope, curvature

    @cached_property
    def _made(self) -> dict[torch.dtype, tuple[Tensor, Tensor]]:
        return {}

    def _tables(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The knots and the pieces as tensors, made once."""
        if dtype not in self._made:
            with torch.inference_mode(False):
                knots = torch.tensor(self.knots, dtype=dtype)
                self._made[dtype] = knots, torch.tensor(self.pieces, dtype=dtype)
        return self._made[dtype]

    def value(self, x: Tensor) -> Tensor:
        dx, value, slope, curvature = self._at(x)
        return value + dx * (slope + 0.5 * curvature * dx)

    def slope(self, x: Tensor) -> Tensor:
        dx, _, slope, curvature = self._at(x)
        return dx.mul_(curvature).add_(slope)

    def curvature(self, x: Tensor) -> Tensor:
        return self._at(x)[3]

    @cached_property
    def _lowest(self) -> tuple[float, float]:
        """(argmin, min) over the knots and the vertices of the pieces, tails left out."""
        points = list(self.knots)
        ends = [-math.inf, *self.knots, math.inf]
        for (anchor, _, slope, curvature), low, high in zip(
            self.pieces, ends[:-1], ends[1:], strict=True
        ):
            if curvature > 0:
                vertex = anchor - slope / curvature
                if low <= vertex <= high:
                    points.append(float(vertex))
        values = self.value(torch.tensor(points, dtype=torch.float64))
        best = int(values.argmin())
        return points[best], float(values[best])

    @cached_property
    def ranges(self) -> Ranges:
        curvatures = self.pieces[:, 3]
        first, last = self.slopes[0], self.slopes[-1]
        # Towards -inf the slope tends to -inf if left > 0, to +inf if left < 0.
        tails = [-math.copysign(math.inf, self.left)] if self.left else []
        tails += [math.copysign(math.inf, self.right)] if self.right else []
        slopes = [*self.slopes, *tails]
        ends = []
        far_left = -self.left if self.left else first
        far_right = self.right if self.right else last
        for rise in (-far_left, far_right):
            if rise:
                ends.append(math.copysign(math.inf, rise))
        argmin, low = self._lowest
        turned = PiecewiseQuadratic(self.knots, tuple(-s for s in self.slopes), -self.left,
                                    -self.right, -self.base)  # fmt: skip
        high = max([-turned._lowest[1], *ends])
        low_end = min([low, *ends])
        peak = int(curvatures.argmax())
        edges = [self.knots[0] - 1.0, *self.knots, self.knots[-1] + 1.0]
        polyak, growth = self._conditioning() if math.isfinite(low_end) else (0.0, 0.0)
        return Ranges(
            (low_end, high),
            (min(slopes), max(slopes)),
            (float(curvatures.min()), float(curvatures.max())),
            minimizer=argmin if math.isfinite(low_end) else None,
            peak=0.5 * (edges[peak] + edges[peak + 1]),
            polyak=polyak,
            growth=growth,
        )

    def _conditioning(self) -> tuple[float, float]:
        """``(polyak, growth)`` of a function with one minimizer and no other stationary point.

        On a piece ``phi'^2/(2 (phi - min))`` is ``c + const/(phi - min)``: its extremes lie at the
        ends of pieces, and in the tails and at the minimizer, where they are curvatures.
        ``2 (phi - min)/(x - minimizer)^2`` may be stationary inside a piece as well.
        """
        best, low = self._lowest
        if self.left <= 0 or self.right <= 0:
            return 0.0, 0.0  # no faster than a line
        polyak, growth = [self.left, self.right], [self.left, self.right]
        close = 1e-12 * float(np.abs(self.pieces[:, 1]).max())
        for x, (_, value, slope, _) in zip(self.knots, self.pieces[1:], strict=True):
            if value - low > close:
                polyak.append(slope**2 / (2 * (value - low)))
                growth.append(2 * (value - low) / (x - best) ** 2)
            elif x != best or slope != 0:
                return 0.0, 0.0  # a second minimizer, or rounding hides how near it is
        ends = [-math.inf, *self.knots, math.inf]
        for (anchor, value, slope, bend), left, right in zip(
            self.pieces, ends[:-1], ends[1:], strict=True
        ):
            if left <= best <= right:
                polyak.append(bend)
                growth.append(bend)
                continue
            at_left = slope + bend * (left - anchor) if left > -math.inf else -math.inf
            at_right = slope + bend * (right - anchor) if right < math.inf else math.inf
            if at_left * at_right <= 0:
                return 0.0, 0.0  # stationary, and no minimum
            # phi - min = alpha + beta t + bend t^2/2 at x = best + t.
            beta = slope + bend * (best - anchor)
            alpha = value + (slope + bend / 2 * (best - anchor)) * (best - anchor) - low
            if beta and left < best - 2 * alpha / beta < right:
                t = -2 * alpha / beta
                growth.append(bend + 2 * (alpha / t + beta) / t)
        return max(0.0, min(polyak)), max(0.0, min(growth))

    @staticmethod
    def mean(
        functions: Sequence[PiecewiseQuadratic], weights: Sequence[float]
    ) -> PiecewiseQuadratic:
        """``sum_k weights[k] functions[k]``, again piecewise quadratic.

        >>> up = PiecewiseQuadratic((0.0,), (0.0,), 1.0, 1.0)
        >>> PiecewiseQuadratic.mean([up, up], [0.5, 0.5]).ranges.curvature
        (1.0, 1.0)
        """
        knots = sorted({x for f in functions for x in f.knots})
        at = torch.tensor(knots, dtype=torch.float64)
        slopes = sum(p * f.slope(at).numpy() for p, f in zip(weights, functions, strict=True))
        base = math.fsum(
            p * float(f.value(at[:1])[0]) for p, f in zip(weights, functions, strict=True)
        )
        left = math.fsum(p * f.left for p, f in zip(weights, functions, strict=True))
        right = math.fsum(p * f.right for p, f in zip(weights, functions, strict=True))
        return PiecewiseQuadratic(tuple(knots), tuple(np.asarray(slopes).tolist()), left, right,
                                  base)  # fmt: skip


def piecewise_quadratic(
    s0: float = -1.0,
    s1: float = 0.5,
    s2: float = -0.25,
    s3: float = 0.5,
    s4: float = 0.0,
    left: float = 0.0,
    right: float = 0.0,
    spacing: float = 1.0,
    start: float = -1.5,
    knots: Sequence[float] | None = None,
    slopes: Sequence[float] | None = None,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    rarity: float = 0.1,
    dof: float = 1.5,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """A one-dimensional function by the slopes at its knots: the raw material of tight examples.

    Parameters
    ----------
    s0, s1, s2, s3, s4 : float
        Slopes at five knots ``-2, ..., 2`` times ``spacing`` (F/X); a search moves these.
    left, right : float
        Curvature of the tails (F/X^2); 0 continues with the last slope.
    spacing : float
        Distance of the knots (X).
    start : float
        ``w_0`` (X).
    knots, slopes : sequence of float
        Instead of the above: knots and slopes of your own.
    noise, sigma, n, seed, rarity, dof
        See :func:`synthetic.noise.with_noise`.

    Raises
    ------
    UsageError
        If knots do not increase or slopes are missing.

    Examples
    --------
    >>> F = piecewise_quadratic(knots=(-1, 1), slopes=(-1, 1), start=3.0)  # Huber's function
    >>> c = F.constants()
    >>> float(c["ell"]), float(c["G"]), float(c["Delta"]), sorted(F.declared)
    (1.0, 1.0, 2.5, ['convex'])
    """
    parameters = given(locals())
    if (knots is None) != (slopes is None):
        raise refuse("piecewise_quadratic", "slopes", "given together with knots", slopes)
    if knots is None or slopes is None:
        knots, slopes = [spacing * x for x in _KNOTS], (s0, s1, s2, s3, s4)
    scalar = PiecewiseQuadratic(
        tuple(map(float, knots)), tuple(map(float, slopes)), float(left), float(right)
    )
    base = Separable("piecewise_quadratic", scalar, [1.0], [1.0], [start], parameters=parameters,
                     dtype=dtype)  # fmt: skip
    return with_noise(base, noise, sigma, n, seed, parameters, rarity, dof)
