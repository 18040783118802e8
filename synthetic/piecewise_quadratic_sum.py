"""Finite sums of one-dimensional piecewise quadratics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthetic.piecewise_quadratic import PiecewiseQuadratic
from synthetic.scalar import Ranges
from synthetic.shared import count, given, positive
from theorylab.problem.objective import Constant, FiniteSum, initial_distance

__all__ = ["PiecewiseQuadraticSum", "piecewise_quadratic_sum"]


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
    parameters = given(locals())
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
