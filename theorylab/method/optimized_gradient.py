"""The optimized gradient method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, UpdateRule
from theorylab.problem.oracle import Oracle

__all__ = ["Lead", "OptimizedGradient"]


class Lead(NamedTuple):
    """How far w is ahead of the sequence y of gradient steps, and the number theta.

    The difference, not y itself: where something else moves w, y goes with it.
    """

    ahead: Tensor
    theta: Tensor


@final
@dataclass(frozen=True)
class OptimizedGradient(UpdateRule[Lead]):
    """``y' = w - eta g``, ``w <- y' + ((theta-1)/theta')(y' - y) + (theta/theta')(y' - w)``.

    ``theta' = (1 + sqrt(1 + 4 theta^2))/2`` from ``theta = 1``; in the last of ``T`` steps the 4
    is an 8. For convex F with ``eta = 1/L`` its worst case after T steps is the least of all
    methods with fixed coefficients.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F), 1/L in the theorem.
    T : int, optional
        Steps in all; without it there is no last step.

    References
    ----------
    Kim and Fessler (2016), Algorithm OGM2; Drori and Teboulle (2014).

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w, oracle = OptimizedGradient(eta=0.5), torch.ones(1), FunctionOracle(torch.clone)
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([0.1910])
    """

    name: ClassVar[str] = "optimized_gradient"
    source: ClassVar[str] = "Kim and Fessler (2016), Algorithm OGM2"

    eta: Hyper
    T: int | None = None

    def init(self, w: Tensor, oracle: Oracle) -> Lead:
        return Lead(torch.zeros_like(w), w.new_ones((*w.shape[:-1], 1)))

    def update(self, w: Tensor, oracle: Oracle, state: Lead, draw: Drawn) -> tuple[Tensor, Lead]:
        t, theta = draw.t, state.theta
        step = self.at(self.eta, t) * oracle.gradient(w)
        factor = 4.0 if self.T is None else 4 + 4 * (t == self.T).to(w.dtype)
        larger = (1 + torch.sqrt(1 + factor * theta.square())) / 2
        # y' - y = ahead - step, and y' - w = -step
        ahead = (theta - 1) / larger * (state.ahead - step) - theta / larger * step
        return w - step + ahead, Lead(ahead, larger)
