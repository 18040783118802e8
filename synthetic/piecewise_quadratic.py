"""One-dimensional piecewise quadratics given by knots, and finite sums of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from synthetic.noise import with_noise
from synthetic.scalar import Ranges, Scalar
from synthetic.separable import Separable
from synthetic.shared import count, positive, refuse
from theorylab.problem.objective import Constant, FiniteSum, Objective, initial_distance

__all__ = [
    "PiecewiseQuadratic", "PiecewiseQuadraticSum", "piecewise_quadratic",
    "piecewise_quadratic_sum",
]  # fmt: skip


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


def _refined(kinds: Sequence[PiecewiseQuadratic]) -> tuple[np.ndarray, np.ndarray]:
    """The knots of all kinds; of each piece between them, each kind's anchor, slope, curvature."""
    knots = np.unique(np.concatenate([kind.knots for kind in kinds]))
    rows = [k.pieces[np.searchsorted(k.knots, [-math.inf, *knots], "right")] for k in kinds]
    return knots, np.stack(rows, 1)[..., [0, 2, 3]].reshape(-1, 3)


class PiecewiseQuadraticSum(FiniteSum):
    """``F = (1/n) sum_i f_i`` on the line, every ``f_i`` one of a few piecewise quadratics.

    F is piecewise quadratic itself, and between knots the variance of the slopes is a convex
    quadratic, so the extremes of everything lie at knots: all constants are exact.

    Parameters
    ----------
    kinds : sequence of PiecewiseQuadratic
    kind : ndarray of int, shape (n,)
        Which kind each sample is.
    start : float

    Examples
    --------
    >>> up = PiecewiseQuadratic((0.0,), (1.0,), 1.0, 1.0)
    >>> down = PiecewiseQuadratic((0.0,), (-1.0,), 1.0, 1.0)
    >>> F = PiecewiseQuadraticSum([up, down], np.array([0, 1]), 1.0)
    >>> float(F.constants()["sigma"]), F.minimum()
    (1.0, 0.0)
    """

    name = "piecewise_quadratic_sum"

    def __init__(
        self,
        kinds: Sequence[PiecewiseQuadratic],
        kind: np.ndarray,
        start: float,
        parameters: Mapping[str, Any] | None = None,
        dtype: torch.dtype = torch.float64,
        twin_size: int | None = None,
    ) -> None:
        self.kinds, self.kind = tuple(kinds), np.asarray(kind)
        self.parameters = dict(parameters or {})
        self.start = torch.tensor([start], dtype=dtype)
        self._index = torch.tensor(self.kind, dtype=torch.int64)
        self._knots, self._pieces = (torch.tensor(x, dtype=dtype) for x in _refined(self.kinds))
        self._twin_size = twin_size
        self._shares = np.bincount(self.kind, minlength=len(self.kinds)) / len(self.kind)
        self.average = PiecewiseQuadratic.mean(self.kinds, self._shares.tolist())

    @property
    def n(self) -> int:
        return len(self.kind)

    def value(self, w: Tensor) -> Tensor:
        return self.average.value(w).squeeze(-1)

    def gradient(self, w: Tensor) -> Tensor:
        return self.average.slope(w)

    def hessian(self, w: Tensor) -> Tensor:
        return self.average.curvature(w).unsqueeze(-1)

    def sample_value(self, w: Tensor, draw: Tensor) -> Tensor:
        values = torch.cat([kind.value(w) for kind in self.kinds], 1)
        return values.gather(1, self._index[draw.long()])

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        piece = torch.bucketize(w.detach().contiguous(), self._knots, right=True)
        kind = self._index.index_select(0, draw.reshape(-1)).view(draw.shape)
        rows = self._pieces.index_select(0, kind.add_(piece, alpha=len(self.kinds)).view(-1))
        anchor, slope, curvature = rows.view(*draw.shape, 3).unbind(-1)
        slopes = (w - anchor).mul_(curvature).add_(slope)
        return slopes if draw.shape[1] == 1 else slopes.mean(1, keepdim=True)

    def minimum(self) -> float:
        return self.average.ranges.value[0]

    def minimizer(self) -> Tensor | None:
        x = self.average.ranges.minimizer
        return None if x is None else torch.tensor([x], dtype=self.start.dtype)

    @property
    def declared(self) -> frozenset[str]:
        least = self.average.ranges.curvature[0]
        if self._twin_size is not None:
            least = min(kind.ranges.curvature[0] for kind in self.kinds)
        return frozenset(
            ["convex"] * (least >= 0) + ["strongly_convex"] * (least > 0)
        )  # fmt: skip

    @property
    def sample_declared(self) -> frozenset[str]:
        least = min(kind.ranges.curvature[0] for kind in self.kinds)
        return frozenset(["convex"] * (least >= 0) + ["strongly_convex"] * (least > 0))

    def _sigma(self) -> float:
        lefts, rights = ({getattr(k, side) for k in self.kinds} for side in ("left", "right"))
        if len(lefts) > 1 or len(rights) > 1:
            return math.inf
        at = torch.tensor(self.average.knots, dtype=torch.float64)
        slopes = np.stack([kind.slope(at).numpy() for kind in self.kinds])
        mean = self._shares @ slopes
        return math.sqrt(float((self._shares @ (slopes - mean) ** 2).max()))

    @staticmethod
    def _of(ranges: Sequence[Ranges], attained: bool = True) -> dict[str, Constant]:
        high = max(r.curvature[1] for r in ranges)
        low = min(r.curvature[0] for r in ranges)
        wanted = {
            "ell": max(abs(high), abs(low)),
            "delta": max(0.0, -low),
            "G": max(r.steepest for r in ranges),
            "Bf": max(r.height for r in ranges),
        }
        wanted |= {"L": high} if high > 0 else {}
        wanted |= {"mu": low} if low > 0 else {}
        return {
            name: Constant(float(value), "closed form", attained)
            for name, value in wanted.items()
            if math.isfinite(value)
        }

    def constants(self) -> Mapping[str, Constant]:
        size = self.n if self._twin_size is None else self._twin_size
        plain = {
            "n": Constant(float(size), "closed form", True),
            "d": Constant(1.0, "closed form", True),
        }
        if self._twin_size is not None:
            found = self._of([k.ranges for k in self.kinds], attained=False) | plain
            if "G" in found:  # no deviation from the mean beats the mean square
                found["sigma"] = Constant(float(found["G"]), "closed form")
            return found
        found = self._of([self.average.ranges]) | plain
        for name, value in (("mu_pl", self.average.ranges.polyak),
                            ("mu_qg", self.average.ranges.growth)):  # fmt: skip
            if value > 0:
                found[name] = Constant(value, "closed form", True)
        if math.isfinite(self.minimum()):
            first = float(self.value(self.start.unsqueeze(0))[0])
            found["Delta"] = Constant(first - self.minimum(), "closed form", True)
        if math.isfinite(sigma := self._sigma()):
            found["sigma"] = Constant(sigma, "closed form", True)
        return found | initial_distance(self)

    def sample_constants(self) -> Mapping[str, Constant]:
        return self._of([self.kinds[k].ranges for k in np.unique(self.kind)])

    def resize(self, n: int, seed: int = 0) -> PiecewiseQuadraticSum:
        kind = np.arange(n) % len(self.kinds)
        return PiecewiseQuadraticSum(self.kinds, kind, float(self.start[0]),
                                     {**self.parameters, "n": n}, self.start.dtype)  # fmt: skip

    def replacement(self, seed: int, pairs: int) -> tuple[np.ndarray, PiecewiseQuadraticSum]:
        rng = np.random.default_rng(seed)
        positions = rng.integers(0, self.n, size=pairs)
        others = (self.kind[positions] + rng.integers(1, max(2, len(self.kinds)), size=pairs)) % (
            len(self.kinds)
        )
        twins = PiecewiseQuadraticSum(self.kinds, np.concatenate([self.kind, others]),
                                      float(self.start[0]), self.parameters, self.start.dtype,
                                      twin_size=self.n)  # fmt: skip
        return positions, twins


_KNOTS = (-2.0, -1.0, 0.0, 1.0, 2.0)


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
    parameters: dict[str, Any] = {k: v for k, v in locals().items() if k != "dtype"}
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


def piecewise_quadratic_sum(
    n: int = 10,
    kinds: int = 3,
    knots: int = 5,
    steepest: float = 1.0,
    bend: float = 2.0,
    start: float = 0.5,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> PiecewiseQuadraticSum:
    """A finite sum of bounded, Lipschitz, smooth, weakly convex functions on the line.

    Each kind has random slopes, within ``steepest``, at equally spaced knots, is flat beyond
    them, and integrates to zero from one end to the other.

    Parameters
    ----------
    n, kinds, knots : int
        Samples, different functions among them, and knots each (at least 3).
    steepest : float
        Bound on the slopes (F/X).
    bend : float
        Bound on the curvature (F/X^2); it sets the knots' spacing, ``2 steepest/bend``.
    start : float
        ``w_0`` (X).
    seed : int

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> c = piecewise_quadratic_sum().constants()
    >>> {"ell", "delta", "G", "Bf", "sigma", "n"} <= set(c)
    True
    """
    parameters: dict[str, Any] = {k: v for k, v in locals().items() if k != "dtype"}
    who = "piecewise_quadratic_sum"
    n, kinds = count(who, "n", n), count(who, "kinds", kinds)
    knots = count(who, "knots", knots, least=3)
    positive(who, steepest=steepest, bend=bend)
    rng = np.random.default_rng(seed)
    spacing = 2 * steepest / bend
    positions = spacing * (np.arange(knots) - (knots - 1) / 2)
    functions = []
    for _ in range(kinds):
        inner = rng.uniform(-1, 1, size=knots - 2)
        inner -= inner.mean()  # flat ends: the trapezoids then sum to zero
        inner *= steepest / max(np.abs(inner).max(), 1.0)
        functions.append(PiecewiseQuadratic(tuple(positions.tolist()), (0.0, *inner.tolist(), 0.0)))
    return PiecewiseQuadraticSum(functions, np.arange(n) % kinds, start, parameters, dtype)
