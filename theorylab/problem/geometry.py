"""Convex sets and simple convex functions, in closed form."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from theorylab.errors import UsageError

__all__ = ["L1", "Ball", "Box", "ConvexSet", "L1Ball", "Simple", "Simplex", "SquaredNorm"]


class Simple(abc.ABC):
    """A convex function h with a prox in closed form."""

    @abc.abstractmethod
    def value(self, w: Tensor) -> Tensor:
        """h(w), shape ``(..., d)`` to ``(...)``."""

    @abc.abstractmethod
    def prox(self, w: Tensor, step: Any) -> Tensor:
        """``argmin_u h(u) + ||u - w||^2/(2 step)``."""

    @abc.abstractmethod
    def steepest(self, size: float, dim: int) -> float:
        """The largest subgradient at points no longer than ``size``."""


class ConvexSet(abc.ABC):
    """A convex set with a projection; a bounded one also has a linear minimizer."""

    @abc.abstractmethod
    def projection(self, w: Tensor) -> Tensor:
        """The nearest point."""

    def linear_minimizer(self, g: Tensor) -> Tensor:
        """A point u with the least ``<g, u>``."""
        raise UsageError(f"{type(self).__name__} has no linear minimizer: it is not bounded")

    def mirror(self, w: Tensor, g: Tensor) -> Tensor:
        """``argmin_u <g, u> + D(u, w)``: by default with ``D = ||u - w||^2/2``."""
        return self.projection(w - g)

    @abc.abstractmethod
    def diameter(self, dim: int) -> float:
        """The largest distance of two points (``inf`` if unbounded)."""

    @abc.abstractmethod
    def l1_diameter(self, dim: int) -> float:
        """The largest distance of two points in the l1 norm (``inf`` if unbounded)."""


@final
@dataclass(frozen=True)
class L1(Simple):
    """``h(w) = weight ||w||_1``; its prox is soft thresholding.

    >>> L1(0.5).prox(torch.tensor([2.0, -0.1]), 1.0)
    tensor([1.5000, -0.0000])
    """

    weight: float

    def value(self, w: Tensor) -> Tensor:
        return self.weight * w.abs().sum(-1)

    def prox(self, w: Tensor, step: Any) -> Tensor:
        return w.sign() * (w.abs() - step * self.weight).clamp_min(0)

    def steepest(self, size: float, dim: int) -> float:
        return self.weight * float(dim) ** 0.5


@final
@dataclass(frozen=True)
class SquaredNorm(Simple):
    """``h(w) = (weight/2) ||w||^2``; its prox shrinks.

    >>> SquaredNorm(1.0).prox(torch.tensor([2.0, -1.0]), 1.0)
    tensor([ 1.0000, -0.5000])
    """

    weight: float

    def value(self, w: Tensor) -> Tensor:
        return self.weight / 2 * w.square().sum(-1)

    def prox(self, w: Tensor, step: Any) -> Tensor:
        return w / (1 + step * self.weight)

    def steepest(self, size: float, dim: int) -> float:
        return self.weight * size


@final
@dataclass(frozen=True)
class Ball(ConvexSet):
    """Points of length at most ``radius``.

    >>> Ball(1.0).projection(torch.tensor([3.0, 4.0])), Ball(2.0).diameter(5)
    (tensor([0.6000, 0.8000]), 4.0)
    """

    radius: float

    def projection(self, w: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(w, dim=-1, keepdim=True)
        return w * (self.radius / length.clamp_min(self.radius))

    def linear_minimizer(self, g: Tensor) -> Tensor:
        # Of entries near 1: the squares of tiny ones underflow, and their length with them.
        g = g / g.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(g.dtype).tiny)
        length = torch.linalg.vector_norm(g, dim=-1, keepdim=True)
        return -self.radius * g / length.clamp_min(1.0)

    def diameter(self, dim: int) -> float:
        return 2 * self.radius

    def l1_diameter(self, dim: int) -> float:
        return 2 * self.radius * float(dim) ** 0.5


@final
@dataclass(frozen=True)
class L1Ball(ConvexSet):
    """Points whose l1 norm is at most ``radius``.

    >>> L1Ball(1.0).projection(torch.tensor([2.0, -0.5])), L1Ball(1.0).l1_diameter(5)
    (tensor([1., -0.]), 2.0)
    """

    radius: float

    def projection(self, w: Tensor) -> Tensor:
        # Outside, the absolute values are projected on the simplex of that size.
        sizes = _onto_simplex(w.abs(), self.radius)
        outside = w.abs().sum(-1, keepdim=True) > self.radius
        return torch.where(outside, sizes * w.sign(), w)

    def linear_minimizer(self, g: Tensor) -> Tensor:
        return -self.radius * g.sign() * _first_least(-g.abs())

    def diameter(self, dim: int) -> float:
        return 2 * self.radius

    def l1_diameter(self, dim: int) -> float:
        return 2 * self.radius


@final
@dataclass(frozen=True)
class Box(ConvexSet):
    """Points whose coordinates all lie in ``[lower, upper]``.

    >>> Box(0.0, 1.0).linear_minimizer(torch.tensor([3.0, -4.0]))
    tensor([0., 1.])
    """

    lower: float
    upper: float

    def projection(self, w: Tensor) -> Tensor:
        return w.clamp(self.lower, self.upper)

    def linear_minimizer(self, g: Tensor) -> Tensor:
        low, high = (torch.full_like(g, x) for x in (self.lower, self.upper))
        return torch.where(g > 0, low, high)

    def diameter(self, dim: int) -> float:
        return (self.upper - self.lower) * float(dim) ** 0.5

    def l1_diameter(self, dim: int) -> float:
        return (self.upper - self.lower) * dim


@final
@dataclass(frozen=True)
class Simplex(ConvexSet):
    """Nonnegative coordinates that sum to ``total``; its divergence is that of the entropy.

    The mirror map ``total sum_j w_j log w_j`` is 1-strongly convex in the l1 norm on it.

    >>> Simplex().projection(torch.tensor([1.0, 0.5])), Simplex().diameter(3) ** 2
    (tensor([0.7500, 0.2500]), 2.0000000000000004)
    """

    total: float = 1.0

    def projection(self, w: Tensor) -> Tensor:
        return _onto_simplex(w, self.total)

    def linear_minimizer(self, g: Tensor) -> Tensor:
        return self.total * _first_least(g)

    def mirror(self, w: Tensor, g: Tensor) -> Tensor:
        logarithm = w.clamp_min(torch.finfo(w.dtype).tiny).log()
        return self.total * torch.softmax(logarithm - g / self.total, -1)

    def diameter(self, dim: int) -> float:
        return self.total * 2.0**0.5 if dim > 1 else 0.0

    def l1_diameter(self, dim: int) -> float:
        return 2 * self.total if dim > 1 else 0.0


def _onto_simplex(w: Tensor, total: float) -> Tensor:
    """The nearest point with nonnegative coordinates that sum to ``total``."""
    # Held, Wolfe and Crowder (1974): what is subtracted from all is found among sorted sums.
    high = w.sort(-1, descending=True).values
    rank = torch.ones_like(w).cumsum(-1)
    shift = (high.cumsum(-1) - total) / rank
    kept = (high > shift).sum(-1, keepdim=True)
    return (w - shift.gather(-1, kept - 1)).clamp_min(0)


def _first_least(g: Tensor) -> Tensor:
    """1 at the first of the least entries, 0 elsewhere, without a branch on values."""
    order = torch.ones_like(g).cumsum(-1)
    least = g == g.amin(-1, keepdim=True)
    far = torch.full_like(g, float(g.shape[-1] + 1))
    first = torch.where(least, order, far).amin(-1, keepdim=True)
    return (order == first).to(g.dtype)
