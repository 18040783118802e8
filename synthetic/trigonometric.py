"""Finite sums of cosines: bounded, Lipschitz, smooth f_i whose exact constants are computable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthetic.interval import Interval, supremum
from synthetic.shared import count, given, positive, refuse
from theorylab.problem.objective import Constant, FiniteSum, initial_distance

__all__ = ["CosineSum", "TrigonometricPolynomial", "cosine_sum", "stability_twins"]


@dataclass(frozen=True)
class TrigonometricPolynomial:
    """``sum_k Re(p_k exp(i k theta))``, by integer harmonic ``k >= 0``.

    >>> square = TrigonometricPolynomial({1: 1.0}).times(TrigonometricPolynomial({1: 1.0}))
    >>> square.extremes()[:2]
    (0.0, 1.0)
    """

    phasors: Mapping[int, complex]

    def times(self, other: TrigonometricPolynomial) -> TrigonometricPolynomial:
        """The product, from ``2 cos a cos b = cos(a+b) + cos(a-b)``."""
        found: dict[int, complex] = {}
        for j, p in self.phasors.items():
            for k, q in other.phasors.items():
                found[j + k] = found.get(j + k, 0) + p * q / 2
                low, r = (j - k, p * np.conj(q) / 2) if j >= k else (k - j, np.conj(p) * q / 2)
                found[low] = found.get(low, 0) + r
        return TrigonometricPolynomial(found)

    def plus(self, other: TrigonometricPolynomial, factor: float = 1.0) -> TrigonometricPolynomial:
        """``self + factor * other``."""
        found = dict(self.phasors)
        for k, q in other.phasors.items():
            found[k] = found.get(k, 0) + factor * q
        return TrigonometricPolynomial(found)

    def derivative(self) -> TrigonometricPolynomial:
        """With respect to ``theta``."""
        return TrigonometricPolynomial({k: 1j * k * p for k, p in self.phasors.items() if k})

    def extremes(self) -> tuple[float, float, str]:
        """``(inf, sup, how)``: in closed form for one harmonic, else by branch and bound."""
        constant = float(np.real(self.phasors.get(0, 0.0)))
        size = sum(abs(p) for p in self.phasors.values())
        rest = {k: complex(p) for k, p in self.phasors.items() if k and abs(p) > 1e-15 * size}
        if len(rest) <= 1:
            swing = math.fsum(abs(p) for p in rest.values())
            return constant - swing, constant + swing, "closed form"

        bend = math.fsum(k**2 * abs(p) for k, p in rest.items())

        def above(theta: Interval) -> Interval:
            # Taylor's form about the middle: its excess falls with the square of the width.
            middle = 0.5 * (theta.lower + theta.upper)
            radius = np.nextafter(np.maximum(theta.upper - middle, middle - theta.lower), np.inf)
            value = Interval.of(np.full_like(middle, constant))
            slope = Interval.of(np.zeros_like(middle))
            for k, p in rest.items():
                angle = float(k) * Interval.of(middle) + math.atan2(p.imag, p.real)
                value = value + abs(p) * angle.cos()
                slope = slope + (k * abs(p)) * (angle + math.pi / 2).cos()
            away = Interval(-radius, radius)
            return (
                value
                + slope * away
                + (0.5 * bend)
                * away.square()
                * Interval(-np.ones_like(radius), np.ones_like(radius))
            )

        high, _ = supremum(above, 0.0, 2 * math.pi, scale=size)
        low, _ = supremum(lambda theta: -above(theta), 0.0, 2 * math.pi, scale=size)
        return -low, high, "interval arithmetic"


class CosineSum(FiniteSum):
    """``f_i(w) = a_i sum_j cos(k_i omega w_j + phi_ij)`` with integer harmonics ``k_i``.

    F is a trigonometric polynomial in each coordinate, and so is the variance of its gradients:
    ``ell, delta, G, Bf, sigma`` and the minimum are exact, for F and for every ``f_i``.

    Parameters
    ----------
    amplitude : ndarray, shape (m,)
        ``a`` of each kind of sample.
    harmonic : ndarray of int, shape (m,)
        ``k`` of each kind.
    phase : ndarray, shape (m, d)
        ``phi`` of each kind.
    kind : ndarray of int, shape (n,)
        Which kind each sample is.
    omega : float
        The base frequency (1/X).
    start : ndarray, shape (d,)
    fresh : int or None
        Twins replace the samples of kind ``kind[0]`` by kind ``fresh`` where given; otherwise
        by new phases, uniform on ``[-spread, spread]``.
    spread : float
    floor : float
        ``ell`` is certified as no less than this: a function may be declared less non-convex
        than it could be, to set ``kappa``.

    Examples
    --------
    >>> F = CosineSum(np.ones(1), np.ones(1, int), np.zeros((1, 2)), np.zeros(4, int), 1.0,
    ...               np.array([1.0, 1.0]))
    >>> float(F.constants()["Bf"]), float(F.constants()["sigma"]), F.minimum()
    (2.0, 0.0, -2.0)
    """

    def __init__(
        self,
        amplitude: np.ndarray,
        harmonic: np.ndarray,
        phase: np.ndarray,
        kind: np.ndarray,
        omega: float,
        start: np.ndarray,
        fresh: int | None = None,
        spread: float = math.pi,
        floor: float = 0.0,
        name: str = "cosine_sum",
        parameters: Mapping[str, Any] | None = None,
        dtype: torch.dtype = torch.float64,
        twin_size: int | None = None,
    ) -> None:
        self.name, self.parameters = name, dict(parameters or {})
        self._a, self._k, self._phase = amplitude, harmonic, phase
        self.kind, self._omega = kind, omega
        self._fresh, self._spread, self._floor = fresh, spread, floor
        self._dtype, self._twin_size = dtype, twin_size
        self.start = torch.tensor(start, dtype=dtype)
        weight = np.bincount(kind, minlength=len(amplitude)) / len(kind)
        self._weight = weight
        waves = weight[:, None] * amplitude[:, None] * np.exp(1j * phase)
        self._harmonics = sorted({int(k) for k in harmonic})
        # Each harmonic of F: (k omega, cos part, sin part), the parts of shape (d,).
        self._phasors = {k: waves[harmonic == k].sum(0) for k in self._harmonics}
        self._parts = [
            (k * omega, torch.tensor(p.real, dtype=dtype), torch.tensor(p.imag, dtype=dtype))
            for k, p in self._phasors.items()
        ]
        self._kind = torch.tensor(kind, dtype=torch.int64)
        self._identity = bool(np.array_equal(kind, np.arange(len(amplitude))))
        self._table = torch.tensor(phase, dtype=dtype)
        # Mean zero samples of one amplitude and frequency (the usual case) need one gather.
        self._uniform = len(set(amplitude.tolist())) == 1 and len(self._harmonics) == 1
        self._scales = torch.tensor(np.stack([amplitude, harmonic * omega], 1), dtype=dtype)
        self._first_scale = (float(self._scales[0, 0]), float(self._scales[0, 1]))
        self._first_frequency = self._scales[0, 1].clone()

    @property
    def n(self) -> int:
        return len(self.kind)

    def value(self, w: Tensor) -> Tensor:
        total = torch.zeros_like(w)
        for frequency, real, imaginary in self._parts:
            x = w * frequency
            total = total + (torch.cos(x) * real - torch.sin(x) * imaginary)
        return total.sum(-1)

    def gradient(self, w: Tensor) -> Tensor:
        total = torch.zeros_like(w)
        for frequency, real, imaginary in self._parts:
            x = w * frequency
            slope = torch.sin(x).mul_(real).add_(torch.cos(x).mul_(imaginary))
            total.add_(slope, alpha=-frequency)
        return total

    def hessian(self, w: Tensor) -> Tensor:
        total = torch.zeros_like(w)
        for frequency, real, imaginary in self._parts:
            x = w * frequency
            total = total - frequency**2 * (torch.cos(x) * real - torch.sin(x) * imaginary)
        return torch.diag_embed(total)

    def _kinds(self, draw: Tensor) -> Tensor:
        return draw if self._identity else self._kind.index_select(0, draw)

    def _scale(self, kinds: Tensor) -> tuple[Any, Any]:
        if self._uniform:
            return self._first_scale
        amplitude, frequency = self._scales.index_select(0, kinds).unbind(1)
        return amplitude.unsqueeze(1), frequency.unsqueeze(1)

    def sample_value(self, w: Tensor, draw: Tensor) -> Tensor:
        values = []
        for i in draw.unbind(1):
            kinds = self._kinds(i)
            amplitude, frequency = self._scale(kinds)
            x = w * frequency + self._table.index_select(0, kinds)
            values.append((amplitude * torch.cos(x)).sum(-1))
        return torch.stack(values, 1)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        total: Tensor | None = None
        for i in draw.unbind(1):
            kinds = self._kinds(i)
            amplitude, frequency = self._scale(kinds)
            turns = self._first_frequency if self._uniform else frequency
            slope = self._table.index_select(0, kinds).addcmul_(w, turns)
            slope.sin_().mul_(-amplitude * frequency)
            total = slope if total is None else total.add_(slope)
        assert total is not None
        return total if draw.shape[1] == 1 else total.div_(draw.shape[1])

    # --- constants ---------------------------------------------------------------------------
    def _polynomials(self, j: int) -> tuple[TrigonometricPolynomial, TrigonometricPolynomial]:
        """F along coordinate j, and the mean square of the f_i's slopes along it."""
        F = TrigonometricPolynomial({k: complex(p[j]) for k, p in self._phasors.items()})
        square: dict[int, complex] = {0: 0.0}
        steep = 0.5 * self._weight * (self._a * self._k * self._omega) ** 2
        for k in self._harmonics:
            here = self._k == k
            square[0] += float(steep[here].sum())
            turn = np.exp(2j * self._phase[here, j])
            square[2 * k] = square.get(2 * k, 0) - complex((steep[here] * turn).sum())
        return F, TrigonometricPolynomial(square)

    @cached_property
    def _extremes(self) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
        """(inf, sup, how) of value, slope, curvature and variance along each coordinate."""
        found: dict[str, list[tuple[float, float, str]]] = {
            "value": [], "slope": [], "curvature": [], "variance": []
        }  # fmt: skip
        for j in range(self.dim):
            F, square = self._polynomials(j)
            slope = F.derivative()
            curvature = slope.derivative()
            omega = self._omega
            scaled = TrigonometricPolynomial({k: omega * p for k, p in slope.phasors.items()})
            variance = square.plus(scaled.times(scaled), -1.0)
            found["value"].append(F.extremes())
            for name, polynomial, factor in (("slope", slope, omega),
                                             ("curvature", curvature, omega**2)):  # fmt: skip
                low, high, how = polynomial.extremes()
                found[name].append((factor * low, factor * high, how))
            found["variance"].append(variance.extremes())
        return {
            name: (
                np.array([r[0] for r in rows]),
                np.array([r[1] for r in rows]),
                max((r[2] for r in rows), key=len),
            )
            for name, rows in found.items()
        }

    def minimum(self) -> float:
        return float(self._extremes["value"][0].sum())

    def minimizer(self) -> Tensor | None:
        if len(self._harmonics) > 1:
            return None
        (k, p), = self._phasors.items()  # fmt: skip
        return torch.tensor((math.pi - np.angle(p)) / (k * self._omega), dtype=self._dtype)

    @cached_property
    def _constants(self) -> Mapping[str, Constant]:
        size = self.n if self._twin_size is None else self._twin_size
        plain = {
            "n": Constant(float(size), "closed form", True),
            "d": Constant(float(self.dim), "closed form", True),
        }
        if self._twin_size is not None:
            sample = self.sample_constants()
            found = {name: Constant(c.value, c.how) for name, c in sample.items()}
            # Deviations from the mean are at most the root mean square slope.
            return found | plain | {"sigma": Constant(float(sample["G"]), "closed form")}
        low, high, how = self._extremes["curvature"]
        slope_low, slope_high, slope_how = self._extremes["slope"]
        value_low, value_high, value_how = self._extremes["value"]
        _, variance, variance_how = self._extremes["variance"]
        steepest = np.maximum(np.abs(slope_low), np.abs(slope_high))
        top, bottom = float(high.max()), float(-low.min())
        first = float(self.value(self.start.unsqueeze(0))[0])
        variance_total = max(float(variance.sum()), 0.0)
        # Rounding leaves a variance of about 1e-17 where all samples are alike.
        alike = variance_total <= 1e-14 * float(np.sum(steepest**2))
        return (
            plain
            | {
                "ell": Constant(
                    max(top, bottom, self._floor), how, self._floor <= max(top, bottom)
                ),
                "delta": Constant(max(bottom, 0.0), how, True),
                "L": Constant(max(top, self._floor), how, self._floor <= top),
                "G": Constant(float(np.linalg.norm(steepest)), slope_how, True),
                "Bf": Constant(float(max(-value_low.sum(), value_high.sum())), value_how, True),
                "sigma": Constant(0.0 if alike else math.sqrt(variance_total), variance_how, True),
                "Delta": Constant(first - self.minimum(), value_how, True),
            }
            | initial_distance(self)
        )

    def constants(self) -> Mapping[str, Constant]:
        return self._constants

    def sample_constants(self) -> Mapping[str, Constant]:
        present = np.unique(self.kind)
        a, steep = np.abs(self._a[present]), np.abs(self._k[present]) * self._omega
        bend = float((a * steep**2).max())
        floor = self._floor
        return {
            "ell": Constant(max(bend, floor), "closed form", floor <= bend),
            "delta": Constant(bend, "closed form", True),
            "L": Constant(max(bend, floor), "closed form", floor <= bend),
            "G": Constant(float((a * steep).max()) * math.sqrt(self.dim), "closed form", True),
            "Bf": Constant(float(a.max()) * self.dim, "closed form", True),
        }

    # --- other samples -----------------------------------------------------------------------
    def population_value(self, w: Tensor) -> Tensor | None:
        if self._fresh is not None:
            return None
        shrink = math.sin(self._spread) / self._spread
        amplitude, frequency = self._first_scale
        return amplitude * shrink * torch.cos(w * frequency).sum(-1)

    def population_constants(self) -> Mapping[str, Constant]:
        # Fresh samples differ from one another in phase alone, as those at hand.
        if self._fresh is not None:
            return {}
        return {"Bf": Constant(abs(self._first_scale[0]) * self.dim, "closed form", True)}

    def _with(self, **changes: Any) -> CosineSum:
        same: dict[str, Any] = {
            "amplitude": self._a, "harmonic": self._k, "phase": self._phase, "kind": self.kind,
            "omega": self._omega, "start": self.start.double().numpy(), "fresh": self._fresh,
            "spread": self._spread, "floor": self._floor, "name": self.name,
            "parameters": self.parameters, "dtype": self._dtype,
        }  # fmt: skip
        return CosineSum(**(same | changes))

    def resize(self, n: int, seed: int = 0) -> CosineSum:
        parameters = {**self.parameters, "n": n, "seed": seed}
        if self._fresh is not None:
            kind = np.full(n, self.kind[-1])
            kind[0] = self.kind[0]
            return self._with(kind=kind, parameters=parameters)
        phase = np.random.default_rng(seed).uniform(-self._spread, self._spread, (n, self.dim))
        return self._with(phase=phase, kind=np.arange(n), amplitude=np.full(n, self._a[0]),
                          harmonic=np.full(n, self._k[0]), parameters=parameters)  # fmt: skip

    def replacement(self, seed: int, pairs: int) -> tuple[np.ndarray, CosineSum]:
        rng = np.random.default_rng(seed)
        if self._fresh is not None:
            kind = np.concatenate([self.kind, np.full(pairs, self._fresh)])
            return np.zeros(pairs, dtype=np.int64), self._with(kind=kind, twin_size=self.n)
        positions = rng.integers(0, self.n, size=pairs)
        phase = rng.uniform(-self._spread, self._spread, (pairs, self.dim))
        m = len(self._a)
        return positions, self._with(
            phase=np.concatenate([self._phase, phase]),
            amplitude=np.append(self._a, np.full(pairs, self._a[0])),
            harmonic=np.append(self._k, np.full(pairs, self._k[0])),
            kind=np.concatenate([self.kind, m + np.arange(pairs)]),
            twin_size=self.n,
        )


def cosine_sum(
    dim: int = 3,
    n: int = 20,
    amplitude: float = 1.0,
    wavelength: float = 2 * math.pi,
    spread: float = 1.5,
    start: float = 1.5,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> CosineSum:
    """``f_i(w) = a sum_j cos(2 pi w_j/wavelength + phi_ij)``, phases uniform on +-spread.

    Everything is certified and attained: smooth, weakly convex, bounded, Lipschitz, finite
    variance, for F and per sample; the population risk is known in closed form.

    Parameters
    ----------
    dim, n : int
        Dimension and samples.
    amplitude : float
        ``a`` (F).
    wavelength : float
        (X).
    spread : float
        Half the width of the phases' law, in (0, pi].
    start : float
        Every coordinate of ``w_0`` (X).
    seed : int

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> sorted(cosine_sum(dim=2, n=5).sample_constants())
    ['Bf', 'G', 'L', 'delta', 'ell']
    """
    parameters = given(locals())
    who = "cosine_sum"
    dim, n = count(who, "dim", dim), count(who, "n", n)
    positive(who, amplitude=amplitude, wavelength=wavelength, spread=spread)
    if spread > math.pi:
        raise refuse(who, "spread", "at most pi", spread)
    phase = np.random.default_rng(seed).uniform(-spread, spread, (n, dim))
    return CosineSum(np.full(n, amplitude), np.ones(n, int), phase, np.arange(n),
                     2 * math.pi / wavelength, np.full(dim, start), None, spread, 0.0, who,
                     parameters, dtype)  # fmt: skip


def stability_twins(
    n: int = 100,
    delta: float = 1.0,
    ell: float = 1.0,
    start: float = 0.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> CosineSum:
    """The near-tight instance of uniform stability (``lrsgd.theorem_3_4``), on the line.

    All samples are ``f0(w) = (delta/4) cos 2w`` but sample 0, which is ``-delta sin w``; the
    twin has ``+delta sin w`` there, and that replacement is the test point. From the crest at 0
    the twins part as fast as ``delta`` allows.

    Parameters
    ----------
    n : int
        Samples, at least 2.
    delta : float
        Weak-convexity constant of every sample, attained (F/X^2).
    ell : float
        Certified smoothness, at least ``delta``; attained only where equal (F/X^2).
    start : float
        ``w_0``.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = stability_twins(n=10, delta=0.5)
    >>> positions, twins = F.replacement(seed=0, pairs=2)
    >>> twins.n, {k: float(c) for k, c in twins.sample_constants().items()}["Bf"]
    (12, 0.5)
    """
    parameters = given(locals())
    who = "stability_twins"
    n = count(who, "n", n, least=2)
    positive(who, delta=delta, ell=ell)
    if ell < delta:
        raise refuse(who, "ell", f"at least delta = {delta:g}", ell)
    # cos(w + pi/2) = -sin w.
    amplitude, harmonic = np.array([delta / 4, delta, delta]), np.array([2, 1, 1])
    phase = np.array([[0.0], [math.pi / 2], [-math.pi / 2]])
    kind = np.zeros(n, int)
    kind[0] = 1
    return CosineSum(amplitude, harmonic, phase, kind, 1.0, np.array([start]), 2, 1.0, ell, who,
                     parameters, dtype)  # fmt: skip
