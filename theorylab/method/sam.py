"""Sharpness-aware minimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, Stateless, UpdateRule, add_scaled
from theorylab.method.sngm import guarded_norm
from theorylab.problem.oracle import Oracle

__all__ = ["SAM"]


@final
@dataclass(frozen=True)
class SAM(UpdateRule[Stateless]):
    """``w <- w - eta (g(w + rho g(w)/||g(w)||) + weight_decay w)``, one mini-batch for both g.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    rho : float or Tensor
        Distance of the perturbation (X).
    weight_decay : float or Tensor
        Weight of the penalty ``||w||^2/2``; it joins the gradient of the step alone.

    References
    ----------
    Foret, Kleiner, Mobahi and Neyshabur (2021), Algorithm 1 with p = 2.

    Examples
    --------
    >>> import torch
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> oracle, draw = FunctionOracle(torch.clone), Drawn(torch.tensor(1.0))
    >>> SAM(eta=0.5, rho=1.0).update(torch.ones(1), oracle, Stateless(), draw)[0]
    tensor([0.])
    """

    name: ClassVar[str] = "sam"
    source: ClassVar[str] = "Foret et al. (2021), Algorithm 1"

    eta: Hyper
    rho: Hyper = 0.05
    weight_decay: Hyper = 0.0

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        t, g = draw.t, oracle.gradient(w)
        sharp = w + self.at(self.rho, t) * g / guarded_norm(g)
        g = add_scaled(oracle.gradient(sharp), self.at(self.weight_decay, t), w)
        return add_scaled(w, -self.at(self.eta, t), g), state
