"""``Scalar``: a function of one variable whose ranges are known exactly."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

__all__ = ["Ranges", "Scalar"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Ranges:
    """The certified ranges (inf, sup) of a :class:`Scalar` and its derivatives over the real line.

    Parameters
    ----------
    value, slope, curvature : (float, float)
        Infinite where unbounded.
    attained : bool
        Whether each end is attained or a limit, so that none can be improved.
    how : str
        How they are certified, as in :class:`theorylab.problem.objective.Constant`.
    minimizer : float or None
        Where the least value is attained.
    peak : float or None
        Where the greatest curvature is attained.
    relaxed : (float, float) or None
        ``(L0, L1)`` with ``|phi''| <= L0 + L1 |phi'|``.
    relaxed_attained : bool
        Whether equality holds somewhere.
    polyak, growth : float
        ``inf phi'^2/(2 (phi - min phi))`` (Polyak-Lojasiewicz) and, where the minimizer is the
        only one, ``inf 2 (phi - min phi)/(x - minimizer)^2`` (quadratic growth); 0 if not known.
    """

    value: Range
    slope: Range
    curvature: Range
    how: str = "closed form"
    minimizer: float | None = None
    peak: float | None = None
    relaxed: Range | None = None
    relaxed_attained: bool = True
    polyak: float = 0.0
    growth: float = 0.0
    attained: bool = True

    @property
    def steepest(self) -> float:
        """``sup |phi'|``."""
        return max(abs(self.slope[0]), abs(self.slope[1]))

    @property
    def bend(self) -> float:
        """``sup |phi''|``."""
        return max(abs(self.curvature[0]), abs(self.curvature[1]))

    @property
    def height(self) -> float:
        """``sup |phi|``."""
        return max(abs(self.value[0]), abs(self.value[1]))

    @property
    def concavity(self) -> float:
        """``max(0, -inf phi'')``."""
        return max(0.0, -self.curvature[0])


class Scalar(abc.ABC):
    """``phi: R -> R``, continuously differentiable, evaluated elementwise on tensors."""

    name: ClassVar[str]

    @abc.abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """``phi(x)``; differentiable by autograd."""

    @abc.abstractmethod
    def slope(self, x: Tensor) -> Tensor:
        """``phi'(x)``, in a tensor of its own."""

    @abc.abstractmethod
    def curvature(self, x: Tensor) -> Tensor:
        """``phi''(x)``; one of the one-sided values where it jumps."""

    @property
    @abc.abstractmethod
    def ranges(self) -> Ranges:
        """The exact ranges over the real line."""
