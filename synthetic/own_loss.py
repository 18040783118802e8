"""A loss of one's own: an expression, with ranges certified by interval arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import sympy as sp
import torch
from torch import Tensor

from synthetic.expression import Extent, SmoothFunction, range_of
from synthetic.losses import Loss
from synthetic.scalar import Ranges
from theorylab.errors import UsageError

__all__ = ["MarginLoss", "ResidualLoss", "own_loss"]


@dataclass(frozen=True)
class _Expressed(Loss):
    """A loss by its expression; derivatives by sympy, ranges by interval arithmetic."""

    name: ClassVar[str] = "own"
    expression: sp.Expr

    def __post_init__(self) -> None:
        for function in self._functions:
            function(torch.zeros(1))  # refuses what is no number somewhere

    @cached_property
    def _functions(self) -> tuple[SmoothFunction, SmoothFunction, SmoothFunction]:
        value = SmoothFunction.of(self.expression)
        slope = value.derivative()
        return value, slope, slope.derivative()

    def value(self, x: Tensor) -> Tensor:
        return self._functions[0](x)

    def slope(self, x: Tensor) -> Tensor:
        return self._functions[1](x)

    def curvature(self, x: Tensor) -> Tensor:
        return self._functions[2](x)

    def on(self, lower: float = -math.inf, upper: float = math.inf) -> Ranges:
        """The ranges over a box, a ray or (by default) the line.

        Raises
        ------
        UsageError
            If the ends are in the wrong order, or none.

        Examples
        --------
        >>> quartic = own_loss(lambda x: x**4 / 12)
        >>> round(quartic.on(-1.0, 2.0).bend, 5), quartic.ranges.bend
        (4.0, inf)
        """
        if not lower < upper:
            raise UsageError(f"expected lower < upper, got {lower} and {upper}")
        parts = [range_of(function, lower, upper) for function in self._functions]
        value, slope, curvature = ((p.lower, p.upper) for p in parts)
        return Ranges(value, slope, curvature, how="interval arithmetic",
                      attained=all(_tight(part) for part in parts))  # fmt: skip

    @cached_property
    def _ranges(self) -> Ranges:
        return self.on()

    @property
    def ranges(self) -> Ranges:
        return self._ranges

    def uncertified(self, constant: str) -> str:
        names = {"ell": "bend", "L": "bend", "delta": "bend", "G": "steepest",
                 "sigma": "steepest", "Bf": "height"}  # fmt: skip
        signs = {"bend": "phi''", "steepest": "phi'", "height": "phi"}
        if constant == "Delta" and not math.isfinite(self.ranges.value[0]):
            return f"no lower bound of phi = {self.expression} is certified"
        what = names.get(constant)
        if what is None or math.isfinite(getattr(self.ranges, what)):
            return ""
        return f"no bound of {signs[what]} over the line is certified, phi = {self.expression}"


def _tight(extent: Extent) -> bool:
    return extent.lowest and extent.highest


@final
@dataclass(frozen=True)
class ResidualLoss(_Expressed):
    """Of a residual ``<a, w> - b``."""


@final
@dataclass(frozen=True)
class MarginLoss(_Expressed):
    """Of a margin ``y <a, w>``."""

    of_margin: ClassVar[bool] = True


def own_loss(
    phi: sp.Expr | Callable[[sp.Symbol], sp.Expr], of_margin: bool = False
) -> ResidualLoss | MarginLoss:
    """A loss ``phi`` of your own, twice differentiable on the whole line.

    ``ell``, ``delta``, ``mu``, ``G`` and ``Bf`` of a sum follow from the ranges of ``phi``,
    ``phi'`` and ``phi''``, which are enclosed by interval arithmetic with outward rounding. What
    cannot be enclosed is not certified: a statement that needs it is not applicable.

    Parameters
    ----------
    phi : sympy expression or callable
        In one symbol; a callable gets the symbol and returns the expression.
    of_margin : bool
        Whether it takes a margin ``y <a, w>`` instead of a residual ``<a, w> - b``.

    Raises
    ------
    UsageError
        If it is no such expression, or no number somewhere on the line.

    Examples
    --------
    >>> import synthetic
    >>> smooth = own_loss(lambda x: sp.log(1 + x**2) / 2)
    >>> [round(end, 5) for end in smooth.ranges.curvature], smooth.ranges.how
    ([-0.125, 1.0], 'interval arithmetic')
    >>> F = synthetic.finite_sum([[1.0], [2.0]], [0.0, 1.0], loss=smooth)
    >>> round(float(F.sample_constants()["ell"]), 5), "Bf" in F.sample_constants()
    (4.0, False)
    """
    expression = phi
    if callable(phi) and not isinstance(phi, sp.Basic):
        expression = phi(sp.Symbol("x", real=True))
    return (MarginLoss if of_margin else ResidualLoss)(expression)
