"""Proximal gradient methods for f + h, plain and accelerated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, Stateless, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle

__all__ = ["FISTA", "Ahead", "ProximalGradient"]


@final
@dataclass(frozen=True)
class ProximalGradient(UpdateRule[Stateless]):
    """``w <- prox_{eta h}(w - eta g)``, with ``g`` of the smooth part f.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).

    References
    ----------
    Beck and Teboulle (2009), ISTA with a constant step.

    Examples
    --------
    >>> import synthetic, torch
    >>> from theorylab.problem.composite import Composite
    >>> from theorylab.problem.geometry import L1
    >>> from theorylab.problem.oracle import MiniBatch
    >>> F = Composite(synthetic.quadratic(dim=2), L1(0.5))
    >>> w = torch.tensor([[2.0, 0.1]], dtype=torch.float64)
    >>> rule, oracle = ProximalGradient(eta=1.0), MiniBatch(F, [torch.zeros(1, 1)])
    >>> moved, _ = rule.update(w, oracle, Stateless(), Drawn(torch.tensor(1.0)))
    >>> torch.equal(moved, F.prox(w - F.gradient(w), 1.0))
    True
    """

    name: ClassVar[str] = "proximal_gradient"
    source: ClassVar[str] = "Beck and Teboulle (2009), ISTA"
    needs: ClassVar[frozenset[str]] = frozenset({"prox"})

    eta: Hyper

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        step = self.at(self.eta, draw.t)
        return oracle.prox(add_scaled(w, -step, oracle.gradient(w)), step), state


class Ahead(NamedTuple):
    """The extrapolated point y, and the number theta that sets how far it lies ahead."""

    y: Tensor
    theta: Tensor


@final
@dataclass(frozen=True)
class FISTA(UpdateRule[Ahead]):
    """``w' = prox_{eta h}(y - eta g(y))``, ``y <- w' + ((theta - 1)/theta')(w' - w)``.

    ``theta' = (1 + sqrt(1 + 4 theta^2))/2``, from ``theta = 1`` and ``y = w_0``.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F), 1/L in the theorem.

    References
    ----------
    Beck and Teboulle (2009), equations (4.1)-(4.3).

    Examples
    --------
    >>> import torch
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule = FISTA(eta=0.5)
    >>> rule.init(torch.ones(2), FunctionOracle(torch.clone)).theta
    tensor([1.])
    """

    name: ClassVar[str] = "fista"
    source: ClassVar[str] = "Beck and Teboulle (2009), equations (4.1)-(4.3)"
    needs: ClassVar[frozenset[str]] = frozenset({"prox"})

    eta: Hyper

    def init(self, w: Tensor, oracle: Oracle) -> Ahead:
        return Ahead(w, w.new_ones((*w.shape[:-1], 1)))

    def update(self, w: Tensor, oracle: Oracle, state: Ahead, draw: Drawn) -> tuple[Tensor, Ahead]:
        step, theta = self.at(self.eta, draw.t), state.theta
        moved = oracle.prox(add_scaled(state.y, -step, oracle.gradient(state.y)), step)
        larger = (1 + (1 + 4 * theta.square()).sqrt()) / 2
        return moved, Ahead(moved + (theta - 1) / larger * (moved - w), larger)
