"""(L, lambda)-smooth functions that are not globally smooth, and a finite sum of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from synthetic.elementwise import cosh, power, sinh
from synthetic.interval import Interval, supremum
from synthetic.noise import with_noise
from synthetic.scalar import Ranges, Scalar
from synthetic.separable import Separable, rotation
from synthetic.shared import count, given, positive, refuse
from theorylab.problem.objective import Constant, FiniteSum, Objective, initial_distance

__all__ = [
    "RELAXED", "Cosh", "CoshSum", "DoubleWell", "EvenPower", "Exponential", "SumOf", "cosh_sum",
    "relaxed_smooth",
]  # fmt: skip

_INF = math.inf


@dataclass(frozen=True)
class Cosh(Scalar):
    """``cosh x - 1``: ``phi'' <= 1 + |phi'|``, equality at 0; strongly convex.

    >>> Cosh().curvature(torch.tensor([0.0]))
    tensor([1.])
    """

    name: ClassVar[str] = "cosh"

    def value(self, x: Tensor) -> Tensor:
        return 2 * sinh(x / 2).square()

    def slope(self, x: Tensor) -> Tensor:
        return sinh(x)

    def curvature(self, x: Tensor) -> Tensor:
        return cosh(x)

    @property
    def ranges(self) -> Ranges:
        return Ranges((0.0, _INF), (-_INF, _INF), (1.0, _INF), minimizer=0.0, relaxed=(1.0, 1.0))


@dataclass(frozen=True)
class Exponential(Scalar):
    """``e^x - 1 - x``: ``phi'' = 1 + phi'``, so ``L0 = L1 = 1``; convex.

    >>> Exponential().slope(torch.tensor([0.0]))
    tensor([0.])
    """

    name: ClassVar[str] = "exponential"

    def value(self, x: Tensor) -> Tensor:
        return torch.expm1(x) - x

    def slope(self, x: Tensor) -> Tensor:
        return torch.expm1(x)

    def curvature(self, x: Tensor) -> Tensor:
        return torch.exp(x)

    @property
    def ranges(self) -> Ranges:
        return Ranges((0.0, _INF), (-1.0, _INF), (0.0, _INF), minimizer=0.0, relaxed=(1.0, 1.0))


@dataclass(frozen=True)
class EvenPower(Scalar):
    """``|x|^{2p}``, ``p >= 2``: for every ``L1 > 0``, ``L0 = 2p ((2p-2)/L1)^{2p-2}``.

    ``phi'' - L1 |phi'|`` is greatest at ``|x| = (2p-2)/L1``, where it equals that ``L0``.

    >>> EvenPower(2, L1=2.0).ranges.relaxed
    (4.0, 2.0)
    """

    p: int = 2
    L1: float = 1.0
    name: ClassVar[str] = "power"

    def value(self, x: Tensor) -> Tensor:
        return power(x.square(), self.p)

    def slope(self, x: Tensor) -> Tensor:
        return power(x.square(), self.p - 1) * x * (2 * self.p)

    def curvature(self, x: Tensor) -> Tensor:
        return 2 * self.p * (2 * self.p - 1) * power(x.square(), self.p - 1)

    @property
    def ranges(self) -> Ranges:
        even = 2 * self.p - 2
        L0 = 2 * self.p * (even / self.L1) ** even
        return Ranges((0.0, _INF), (-_INF, _INF), (0.0, _INF), minimizer=0.0,
                      relaxed=(L0, self.L1))  # fmt: skip


@dataclass(frozen=True)
class DoubleWell(Scalar):
    """``(x^2 - 1)^2 / 4``: weakly convex with ``delta = 1``, not smooth; ``L1 = 3``.

    For ``|x| >= 2``, ``|phi''| < 3 |phi'|``; below, ``L0`` is certified by interval arithmetic.

    >>> DoubleWell().slope(torch.tensor([1.0, 2.0]))
    tensor([0., 6.])
    """

    name: ClassVar[str] = "double_well"

    def value(self, x: Tensor) -> Tensor:
        return 0.25 * (x.square() - 1).square()

    def slope(self, x: Tensor) -> Tensor:
        return x.square().sub_(1).mul_(x)

    def curvature(self, x: Tensor) -> Tensor:
        return 3 * x.square() - 1

    @property
    def ranges(self) -> Ranges:
        return Ranges((0.0, _INF), (-_INF, _INF), (-1.0, _INF), how="interval arithmetic",
                      minimizer=1.0, relaxed=(_double_well_excess(), 3.0))  # fmt: skip


@cache
def _double_well_excess() -> float:
    """``sup abs(phi'') - 3 abs(phi')``, certified: beyond 2 it is negative."""

    def excess(x: Interval) -> Interval:
        square = x.square()
        return (3.0 * square - 1.0).abs() - 3.0 * (x * (square - 1.0)).abs()

    return supremum(excess, 0.0, 2.0)[0]


@dataclass(frozen=True)
class SumOf(Scalar):
    """A sum of convex scalars with their minimum at 0.

    Their slopes agree in sign, so ``|phi'|`` is the sum of theirs: ``L0`` is the sum of the
    ``L0``, ``L1`` the greatest ``L1``.

    >>> SumOf((Cosh(), EvenPower(2, 2.0))).ranges.relaxed
    (5.0, 2.0)
    """

    terms: tuple[Scalar, ...]
    name: ClassVar[str] = "sum"

    def value(self, x: Tensor) -> Tensor:
        return torch.stack([term.value(x) for term in self.terms]).sum(0)

    def slope(self, x: Tensor) -> Tensor:
        return torch.stack([term.slope(x) for term in self.terms]).sum(0)

    def curvature(self, x: Tensor) -> Tensor:
        return torch.stack([term.curvature(x) for term in self.terms]).sum(0)

    @property
    def ranges(self) -> Ranges:
        every = [term.ranges for term in self.terms]
        relaxed = [r.relaxed for r in every if r.relaxed is not None]
        assert len(relaxed) == len(every)
        assert all(r.minimizer == 0 and r.curvature[0] >= 0 for r in every)
        pair = (math.fsum(r[0] for r in relaxed), max(r[1] for r in relaxed))
        # Convex and least at 0, hence curvatures add; their infima need not be reached together.
        low = math.fsum(r.curvature[0] for r in every)
        return Ranges((0.0, _INF), (-_INF, _INF), (low, _INF), minimizer=0.0, relaxed=pair,
                      relaxed_attained=False)  # fmt: skip


RELAXED = ("cosh", "exponential", "power", "double_well", "mixed")


def _scalar(shape: str, p: int, L1: float) -> Scalar:
    if shape == "mixed":
        return SumOf((Cosh(), EvenPower(p, L1)))
    return {
        "cosh": Cosh(),
        "exponential": Exponential(),
        "power": EvenPower(p, L1),
        "double_well": DoubleWell(),
    }[shape]


def relaxed_smooth(
    dim: int = 3,
    shape: str = "cosh",
    frequency: float = 1.0,
    amplitude: float = 1.0,
    p: int = 2,
    L1: float = 2.0,
    start: float = 2.0,
    rotated: bool = True,
    noise: str = "none",
    sigma: float = 0.0,
    n: int = 10,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Objective:
    """``F(w) = sum_j a phi(b u_j)``: ``||Hess F|| <= L0 + L1 ||grad F||``, but no finite ``ell``.

    Parameters
    ----------
    dim, n : int
        Dimension; number of samples for ``noise="shifts"``.
    shape : str
        ``"cosh"``, ``"exponential"``, ``"power"`` (``|x|^{2p}``), ``"double_well"`` or
        ``"mixed"`` (cosh + power).
    frequency, amplitude : float
        ``b`` (1/X) and ``a`` (F).
    p : int
        Half the exponent of the power, at least 2.
    L1 : float
        The power's ``L1`` in units of ``b``; any value has its ``L0``.
    start : float
        ``b u_j`` at the start.
    rotated, noise, sigma, seed
        As in :func:`synthetic.delta_nonconvex`.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = relaxed_smooth(dim=2, shape="power", p=2, L1=2.0)
    >>> float(F.constants()["L0"]), float(F.constants()["L1"]), "ell" in F.constants()
    (4.0, 2.0, False)
    """
    parameters = given(locals())
    who = "relaxed_smooth"
    dim, n, p = count(who, "dim", dim), count(who, "n", n), count(who, "p", p, least=2)
    positive(who, frequency=frequency, amplitude=amplitude, L1=L1)
    if shape not in RELAXED:
        raise refuse(who, "shape", f"one of {', '.join(RELAXED)}", shape)
    Q = rotation(dim, seed) if rotated and dim > 1 else None
    base = Separable(who, _scalar(shape, p, L1), np.full(dim, amplitude),
                     np.full(dim, frequency), np.full(dim, start), Q, parameters=parameters,
                     dtype=dtype)  # fmt: skip
    return with_noise(base, noise, sigma, n, seed, parameters)


class CoshSum(FiniteSum):
    """``f_i(w) = a sum_j (cosh(b (w_j - c_ij)) - 1)``: a finite sum of (L, lambda)-smooth f_i.

    F is again a sum of ``cosh``: with ``P_j, M_j = (1/n) sum_i exp(-+ b c_ij)``,
    ``F = a sum_j (sqrt(P_j M_j) cosh(b (w_j - m_j)) - 1)``, ``m_j = log(M_j/P_j)/(2b)``. So
    ``L0 = a b^2 max_j sqrt(P_j M_j)``, ``L1 = b`` and the minimum are exact. The variance of
    its gradients grows without bound: no ``sigma`` is certified.

    Parameters
    ----------
    centres : ndarray, shape (n, d)
        The ``c_ij``.
    amplitude, frequency : float
        ``a`` and ``b``.
    start : ndarray, shape (d,)
    spread : float
        The centres' law is uniform on ``[-spread, spread]^d`` (for new samples).

    Examples
    --------
    >>> F = CoshSum(np.array([[-1.0], [1.0]]), 1.0, 1.0, np.array([2.0]), 1.0)
    >>> F.n, round(float(F.constants()["L0"]), 6), round(F.minimum(), 6)
    (2, 1.543081, 0.543081)
    """

    name = "cosh_sum"

    def __init__(
        self,
        centres: np.ndarray,
        amplitude: float,
        frequency: float,
        start: np.ndarray,
        spread: float,
        parameters: Mapping[str, Any] | None = None,
        dtype: torch.dtype = torch.float64,
        twin_size: int | None = None,
    ) -> None:
        self._centres, self._a, self._b = centres, amplitude, frequency
        self._spread, self._dtype = spread, dtype
        self._twin_size = twin_size
        self.parameters = dict(parameters or {})
        self.start = torch.tensor(start, dtype=dtype)
        self._table = torch.tensor(centres, dtype=dtype)
        plus, minus = (np.exp(s * frequency * centres).mean(0) for s in (-1.0, 1.0))
        self._swell = np.sqrt(plus * minus)
        self._middle = np.log(minus / plus) / (2 * frequency)
        self._swell_t = torch.tensor(self._swell, dtype=dtype)
        self._middle_t = torch.tensor(self._middle, dtype=dtype)

    @property
    def n(self) -> int:
        return len(self._centres)

    def value(self, w: Tensor) -> Tensor:
        x = (w - self._middle_t) * self._b
        return (self._swell_t * cosh(x) - 1).sum(-1) * self._a

    def gradient(self, w: Tensor) -> Tensor:
        x = (w - self._middle_t) * self._b
        return sinh(x).mul_(self._swell_t).mul_(self._a * self._b)

    def sample_value(self, w: Tensor, draw: Tensor) -> Tensor:
        values = []
        for i in draw.unbind(1):
            x = (w - self._table.index_select(0, i)) * self._b
            values.append((cosh(x) - 1).sum(-1) * self._a)
        return torch.stack(values, 1)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        total = torch.zeros_like(w)
        for i in draw.unbind(1):
            total += sinh((w - self._table.index_select(0, i)).mul_(self._b))
        return total.mul_(self._a * self._b / draw.shape[1])

    def minimum(self) -> float:
        return float(self._a * (self._swell - 1).sum())

    def minimizer(self) -> Tensor | None:
        return self._middle_t.clone()

    @property
    def declared(self) -> frozenset[str]:
        return frozenset({"convex", "strongly_convex"})

    @property
    def sample_declared(self) -> frozenset[str]:
        return self.declared  # every f_i is a sum of cosh

    @cached_property
    def _constants(self) -> Mapping[str, Constant]:
        scale = self._a * self._b**2
        if self._twin_size is not None:
            # Each P_j, M_j of a twin is a mean of n numbers, none above the greatest.
            high = np.exp(self._b * np.abs(self._centres)).max()
            return {
                "L0": Constant(float(scale * high), "closed form"),
                "L1": Constant(self._b, "closed form"),
                "mu": Constant(scale, "closed form"),
                "delta": Constant(0.0, "closed form", True),
                "n": Constant(float(self._twin_size), "closed form", True),
                "d": Constant(float(self.dim), "closed form", True),
            }
        first = float(self.value(self.start.unsqueeze(0))[0])
        return {
            "L0": Constant(float(scale * self._swell.max()), "closed form", True),
            "L1": Constant(self._b, "closed form", True),
            "mu": Constant(float(scale * self._swell.min()), "closed form", True),
            "delta": Constant(0.0, "closed form", True),
            "Delta": Constant(first - self.minimum(), "closed form", True),
            "n": Constant(float(self.n), "closed form", True),
            "d": Constant(float(self.dim), "closed form", True),
        } | initial_distance(self)

    def constants(self) -> Mapping[str, Constant]:
        return self._constants

    def sample_constants(self) -> Mapping[str, Constant]:
        scale = self._a * self._b**2
        return {
            "L0": Constant(scale, "closed form", True),
            "L1": Constant(self._b, "closed form", True),
            "mu": Constant(scale, "closed form", True),
            "delta": Constant(0.0, "closed form", True),
        }

    def _new(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.uniform(-self._spread, self._spread, size=(n, self.dim))

    def population_value(self, w: Tensor) -> Tensor:
        x = self._b * self._spread
        return self._a * (math.sinh(x) / x * cosh(w * self._b) - 1).sum(-1)

    def resize(self, n: int, seed: int = 0) -> CoshSum:
        centres = self._new(np.random.default_rng(seed), n)
        return CoshSum(centres, self._a, self._b, self.start.double().numpy(), self._spread,
                       {**self.parameters, "n": n, "seed": seed}, self._dtype)  # fmt: skip

    def replacement(self, seed: int, pairs: int) -> tuple[np.ndarray, CoshSum]:
        rng = np.random.default_rng(seed)
        positions = rng.integers(0, self.n, size=pairs)
        centres = np.concatenate([self._centres, self._new(rng, pairs)])
        twins = CoshSum(centres, self._a, self._b, self.start.double().numpy(), self._spread,
                        self.parameters, self._dtype, twin_size=self.n)  # fmt: skip
        return positions, twins


def cosh_sum(
    dim: int = 3,
    n: int = 20,
    amplitude: float = 1.0,
    frequency: float = 1.0,
    spread: float = 1.0,
    start: float = 2.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> CoshSum:
    """A :class:`CoshSum` whose centres are uniform on ``[-spread, spread]^d``.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> sorted(cosh_sum(dim=2, n=5).sample_constants())
    ['L0', 'L1', 'delta', 'mu']
    """
    parameters = given(locals())
    who = "cosh_sum"
    dim, n = count(who, "dim", dim), count(who, "n", n)
    positive(who, amplitude=amplitude, frequency=frequency, spread=spread)
    centres = np.random.default_rng(seed).uniform(-spread, spread, size=(n, dim))
    return CoshSum(centres, amplitude, frequency, np.full(dim, start), spread, parameters, dtype)
