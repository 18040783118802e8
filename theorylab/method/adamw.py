"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from theorylab.method.adaptive import Moments, corrected, moved_moments
from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle

__all__ = ["AdamW"]


@final
@dataclass(frozen=True)
class AdamW(UpdateRule[Moments]):
    """``w <- (1 - eta weight_decay) w - eta m^/(sqrt(v^) + eps)``, moments as in Adam.

    Equals ``torch.optim.AdamW``.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X).
    beta1, beta2 : float or Tensor
        Decay of the moments.
    eps : float
        Added to the root (units F/X).
    weight_decay : float or Tensor
        The decay (1/X).

    References
    ----------
    Loshchilov and Hutter (2019), Algorithm 2, with the schedule multiplier in ``eta``.

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = AdamW(eta=0.5, weight_decay=1.0), torch.ones(1)
    >>> oracle = FunctionOracle(torch.ones_like)
    >>> moved, _ = rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))
    >>> round(moved.item(), 6) == 0  # 1 - 0.5 - 0.5
    True
    """

    name: ClassVar[str] = "adamw"
    source: ClassVar[str] = "Loshchilov and Hutter (2019), Algorithm 2"

    eta: Hyper = 1e-3
    beta1: Hyper = 0.9
    beta2: Hyper = 0.999
    eps: float = 1e-8
    weight_decay: Hyper = 1e-2

    def init(self, w: Tensor, oracle: Oracle) -> Moments:
        return Moments(torch.zeros_like(w), torch.zeros_like(w))

    def update(
        self, w: Tensor, oracle: Oracle, state: Moments, draw: Drawn
    ) -> tuple[Tensor, Moments]:
        t, g = draw.t, oracle.gradient(w)
        eta, decay = self.at(self.eta, t), self.at(self.weight_decay, t)
        m, v = moved_moments(self, g, state, t)
        shrunk = add_scaled(w, -(eta * decay), w)
        return corrected(self, shrunk, m, v, t, eta), Moments(m, v)
