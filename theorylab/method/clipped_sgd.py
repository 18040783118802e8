"""SGD with gradient clipping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, Stateless, UpdateRule, add_scaled
from theorylab.method.sngm import guarded_norm
from theorylab.problem.oracle import Oracle

__all__ = ["ClippedSGD"]


@final
@dataclass(frozen=True)
class ClippedSGD(UpdateRule[Stateless]):
    """``w <- w - eta min(1, c/||g||) g``.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    c : float or Tensor
        Largest length of a gradient (F/X).
    weight_decay : float or Tensor
        Weight of the penalty ``||w||^2/2``; it joins the clipped gradient.

    References
    ----------
    Zhang, He, Sra and Jadbabaie (2020), Algorithm 1 (clipped gradient descent).

    Examples
    --------
    >>> import torch
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> oracle = FunctionOracle(lambda w: torch.tensor([3.0, 4.0]))
    >>> rule = ClippedSGD(eta=1.0, c=1.0)
    >>> rule.update(torch.zeros(2), oracle, Stateless(), Drawn(torch.tensor(1.0)))[0]
    tensor([-0.6000, -0.8000])
    """

    name: ClassVar[str] = "clipped_sgd"
    source: ClassVar[str] = "Zhang et al. (2020), Algorithm 1"

    eta: Hyper
    c: Hyper = 1.0
    weight_decay: Hyper = 0.0

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        t, g = draw.t, oracle.gradient(w)
        g = g * (self.at(self.c, t) / guarded_norm(g)).clamp_max(1)
        g = add_scaled(g, self.at(self.weight_decay, t), w)
        return add_scaled(w, -self.at(self.eta, t), g), state
