"""Losses of one number: of a residual ``<a, w> - b``, or of a margin ``y <a, w>``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from synthetic.elementwise import sigmoid, sigmoid_slope
from synthetic.interval import Interval, supremum
from synthetic.scalar import Ranges, Scalar
from theorylab.errors import UnknownNameError

__all__ = [
    "LOSSES", "Cauchy", "GemanMcClure", "Logistic", "Loss", "PseudoHuber", "Savage", "Sigmoid",
    "Squared", "Tukey", "Welsch", "loss_named",
]  # fmt: skip


class Loss(Scalar):
    """A scalar used as a loss; ``of_margin`` says that it takes ``y <a, w>``, not a residual."""

    of_margin: ClassVar[bool] = False

    def uncertified(self, constant: str) -> str:
        """Why the range that a sum's constant needs is not certified; empty where it is."""
        return ""


@dataclass(frozen=True)
class Squared(Loss):
    """``x^2 / 2``: linear regression.

    >>> Squared().slope(torch.tensor([3.0]))
    tensor([3.])
    """

    name: ClassVar[str] = "squared"

    def value(self, x: Tensor) -> Tensor:
        return 0.5 * x.square()

    def slope(self, x: Tensor) -> Tensor:
        return x.clone()

    def curvature(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)

    @property
    def ranges(self) -> Ranges:
        return Ranges((0.0, math.inf), (-math.inf, math.inf), (1.0, 1.0), minimizer=0.0, peak=0.0,
                      polyak=1.0, growth=1.0)  # fmt: skip


# The number 1 as addcmul takes it.
_ONE = {dtype: torch.ones((), dtype=dtype) for dtype in (torch.float32, torch.float64)}


@dataclass(frozen=True)
class GemanMcClure(Loss):
    """``x^2 / (2 (1 + x^2))``, bounded by 1/2 (Geman & McClure 1987).

    ``phi' = x/(1+x^2)^2`` peaks at ``x^2 = 1/3``; ``phi'' = (1-3x^2)/(1+x^2)^3`` lies in
    ``[-1/4, 1]``, least at ``x^2 = 1``.

    >>> GemanMcClure().value(torch.tensor([1.0]))
    tensor([0.2500])
    """

    name: ClassVar[str] = "geman_mcclure"

    def value(self, x: Tensor) -> Tensor:
        square = x.square()
        return 0.5 * square / (1 + square)

    def slope(self, x: Tensor) -> Tensor:
        return x / torch.addcmul(_ONE[x.dtype], x, x).square_()

    def curvature(self, x: Tensor) -> Tensor:
        square = x.square()
        return (1 - 3 * square) / (1 + square) ** 3

    @property
    def ranges(self) -> Ranges:
        steepest = 9 / (16 * math.sqrt(3))
        return Ranges((0.0, 0.5), (-steepest, steepest), (-0.25, 1.0), minimizer=0.0, peak=0.0)


@dataclass(frozen=True)
class Welsch(Loss):
    """``1 - exp(-x^2/2)``, bounded by 1 (Dennis & Welsch 1978).

    ``phi' = x exp(-x^2/2)`` peaks at 1; ``phi'' = (1-x^2) exp(-x^2/2)`` is least at ``x^2 = 3``.

    >>> Welsch().slope(torch.tensor([0.0]))
    tensor([0.])
    """

    name: ClassVar[str] = "welsch"

    def value(self, x: Tensor) -> Tensor:
        return -torch.expm1(-0.5 * x.square())

    def slope(self, x: Tensor) -> Tensor:
        return x.square().mul_(-0.5).exp_().mul_(x)

    def curvature(self, x: Tensor) -> Tensor:
        square = x.square()
        return (1 - square) * torch.exp(-0.5 * square)

    @property
    def ranges(self) -> Ranges:
        steepest = math.exp(-0.5)
        return Ranges((0.0, 1.0), (-steepest, steepest), (-2 * math.exp(-1.5), 1.0),
                      minimizer=0.0, peak=0.0)  # fmt: skip


@dataclass(frozen=True)
class Cauchy(Loss):
    """``log(1 + x^2) / 2``: unbounded, slope at most 1/2, curvature in ``[-1/8, 1]``.

    >>> Cauchy().slope(torch.tensor([1.0]))
    tensor([0.5000])
    """

    name: ClassVar[str] = "cauchy"

    def value(self, x: Tensor) -> Tensor:
        return 0.5 * torch.log1p(x.square())

    def slope(self, x: Tensor) -> Tensor:
        return x.square().add_(1).reciprocal_().mul_(x)

    def curvature(self, x: Tensor) -> Tensor:
        square = x.square()
        return (1 - square) / (1 + square) ** 2

    @property
    def ranges(self) -> Ranges:
        return Ranges((0.0, math.inf), (-0.5, 0.5), (-0.125, 1.0), minimizer=0.0, peak=0.0)


@dataclass(frozen=True)
class Tukey(Loss):
    """Tukey's biweight ``(1 - (1 - x^2)^3)/6`` for ``|x| <= 1``, 1/6 beyond.

    ``phi' = x (1-x^2)^2`` peaks at ``x^2 = 1/5``; ``phi'' = (1-x^2)(1-5x^2)`` is least at
    ``x^2 = 3/5``.

    >>> Tukey().slope(torch.tensor([2.0]))
    tensor([0.])
    """

    name: ClassVar[str] = "tukey"

    def value(self, x: Tensor) -> Tensor:
        return (1 - (1 - x.square()).clamp_min(0) ** 3) / 6

    def slope(self, x: Tensor) -> Tensor:
        return x.square().neg_().add_(1).clamp_min_(0).square_().mul_(x)

    def curvature(self, x: Tensor) -> Tensor:
        square = x.square()
        return (1 - square).clamp_min(0) * (1 - 5 * square)

    @property
    def ranges(self) -> Ranges:
        steepest = 16 / (25 * math.sqrt(5))
        return Ranges((0.0, 1 / 6), (-steepest, steepest), (-0.8, 1.0), minimizer=0.0, peak=0.0)


@dataclass(frozen=True)
class PseudoHuber(Loss):
    """``sqrt(1 + x^2) - 1``: convex, slope in (-1, 1), curvature in (0, 1].

    >>> PseudoHuber().value(torch.tensor([0.0]))
    tensor([0.])
    """

    name: ClassVar[str] = "pseudo_huber"

    def value(self, x: Tensor) -> Tensor:
        square = x.square()
        return square / (1 + torch.sqrt(1 + square))

    def slope(self, x: Tensor) -> Tensor:
        return x.square().add_(1).rsqrt_().mul_(x)

    def curvature(self, x: Tensor) -> Tensor:
        return (1 + x.square()).rsqrt() ** 3

    @property
    def ranges(self) -> Ranges:
        return Ranges((0.0, math.inf), (-1.0, 1.0), (0.0, 1.0), minimizer=0.0, peak=0.0)


@dataclass(frozen=True)
class Logistic(Loss):
    """``log(1 + exp(-x))`` of a margin: convex, slope in (-1, 0), curvature in (0, 1/4].

    >>> Logistic().slope(torch.tensor([0.0]))
    tensor([-0.5000])
    """

    name: ClassVar[str] = "logistic"
    of_margin: ClassVar[bool] = True

    def value(self, x: Tensor) -> Tensor:
        return -torch.nn.functional.logsigmoid(x)

    def slope(self, x: Tensor) -> Tensor:
        return sigmoid(-x).neg_()

    def curvature(self, x: Tensor) -> Tensor:
        return sigmoid_slope(x)

    @property
    def ranges(self) -> Ranges:
        return Ranges((0.0, math.inf), (-1.0, 0.0), (0.0, 0.25), peak=0.0)


@dataclass(frozen=True)
class Sigmoid(Loss):
    """``1/(1 + exp(x))`` of a margin: bounded by 1, ``|phi''| <= 1/(6 sqrt 3)``.

    >>> Sigmoid().slope(torch.tensor([0.0]))
    tensor([-0.2500])
    """

    name: ClassVar[str] = "sigmoid"
    of_margin: ClassVar[bool] = True

    def value(self, x: Tensor) -> Tensor:
        return sigmoid(-x)

    def slope(self, x: Tensor) -> Tensor:
        return sigmoid_slope(x).neg_()

    def curvature(self, x: Tensor) -> Tensor:
        return sigmoid_slope(x) * torch.tanh(0.5 * x)

    @property
    def ranges(self) -> Ranges:
        bend = 1 / (6 * math.sqrt(3))
        peak = math.log(2 + math.sqrt(3))
        return Ranges((0.0, 1.0), (-0.25, 0.0), (-bend, bend), peak=peak)


@dataclass(frozen=True)
class Savage(Loss):
    """``s^2`` with ``s = 1/(1 + exp(x))``, of a margin (Masnadi-Shirazi & Vasconcelos 2008).

    ``phi' = -2 s^2 (1-s)`` and ``phi'' = 2 s^2 (1-s)(2-3s)``: polynomials on ``0 <= s <= 1``,
    whose extremes are certified by interval arithmetic.

    >>> Savage().slope(torch.tensor([0.0]))
    tensor([-0.2500])
    """

    name: ClassVar[str] = "savage"
    of_margin: ClassVar[bool] = True

    def value(self, x: Tensor) -> Tensor:
        return sigmoid(-x).square()

    def slope(self, x: Tensor) -> Tensor:
        return sigmoid_slope(x).mul_(sigmoid(-x)).mul_(-2)

    def curvature(self, x: Tensor) -> Tensor:
        s = sigmoid(-x)
        return 2 * s * sigmoid_slope(x) * (2 - 3 * s)

    @property
    def ranges(self) -> Ranges:
        def slope(s: Interval) -> Interval:
            return 2.0 * s.square() * (1.0 - s)

        def curvature(s: Interval) -> Interval:
            return slope(s) * (2.0 - 3.0 * s)

        steepest, _ = supremum(slope, 0.0, 1.0)
        top, _ = supremum(curvature, 0.0, 1.0)
        bottom, _ = supremum(lambda s: -curvature(s), 0.0, 1.0)
        return Ranges((0.0, 1.0), (-steepest, 0.0), (-bottom, top), how="interval arithmetic")


LOSSES: Mapping[str, type[Loss]] = {
    loss.name: loss
    for loss in (Squared, GemanMcClure, Welsch, Cauchy, Tukey, PseudoHuber, Logistic, Sigmoid,
                 Savage)
}  # fmt: skip


def loss_named(name: str | Loss) -> Loss:
    """The loss called ``name``; a loss is its own.

    Raises
    ------
    UnknownNameError
        If there is none; the message lists them.

    Examples
    --------
    >>> loss_named("welsch")
    Welsch()
    """
    if isinstance(name, Loss):
        return name
    if name not in LOSSES:
        raise UnknownNameError(f"unknown loss {name!r}; known: {', '.join(LOSSES)}")
    return LOSSES[name]()
