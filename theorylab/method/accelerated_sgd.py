"""Accelerated SGD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle

__all__ = ["AcceleratedSGD", "LongSteps"]


class LongSteps(NamedTuple):
    """The average of the long steps."""

    wbar: Tensor


@final
@dataclass(frozen=True)
class AcceleratedSGD(UpdateRule[LongSteps]):
    """A short step ``eta`` and a long step ``kappa eta/c``, coupled.

    With ``b = c^2 xi/kappa`` and ``z = c/(c + b)``:
    ``wbar <- (1-b) wbar + b (w - (kappa eta/c) g)``, ``w <- z (w - eta g) + (1-z) wbar``, from
    ``wbar = w_0``. Weight decay joins ``g``.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        The short step (units X^2/F).
    kappa : float
        Long-step parameter, the ratio of the steps times ``c``; at least 1.
    xi : float
        Statistical advantage; at most ``sqrt(kappa)`` in the paper.
    c : float
        The constant 0.7.
    weight_decay : float or Tensor
        Penalty.

    References
    ----------
    Kidambi, Netrapalli, Jain and Kakade (2018), Algorithm 3 and the authors' code.

    Examples
    --------
    >>> import torch
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = AcceleratedSGD(eta=0.1, kappa=0.7, xi=0.0), torch.ones(1)
    >>> oracle = FunctionOracle(torch.ones_like)
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([0.9000])
    """

    name: ClassVar[str] = "accelerated_sgd"
    source: ClassVar[str] = "Kidambi et al. (2018)"

    eta: Hyper
    kappa: float = 1000.0
    xi: float = 10.0
    c: float = 0.7
    weight_decay: Hyper = 0.0

    def init(self, w: Tensor, oracle: Oracle) -> LongSteps:
        return LongSteps(w)

    def update(
        self, w: Tensor, oracle: Oracle, state: LongSteps, draw: Drawn
    ) -> tuple[Tensor, LongSteps]:
        t = draw.t
        eta = self.at(self.eta, t)
        g = add_scaled(oracle.gradient(w), self.at(self.weight_decay, t), w)
        b = self.c**2 * self.xi / self.kappa
        z = self.c / (self.c + b)
        long = add_scaled(w, -eta * (self.kappa / self.c), g)
        wbar = add_scaled(state.wbar * (1 - b), b, long)
        return add_scaled(z * add_scaled(w, -eta, g), 1 - z, wbar), LongSteps(wbar)
