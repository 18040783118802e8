"""Accelerated SGD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from theorylab.method.rule import Hyper, State, UpdateRule, add_scaled

__all__ = ["AcceleratedSGD"]


@final
@dataclass(frozen=True)
class AcceleratedSGD(UpdateRule):
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
    >>> rule, w = AcceleratedSGD(eta=0.1, kappa=0.7, xi=0.0), torch.ones(1)
    >>> rule.update(w, torch.ones(1), rule.init(w), {"t": torch.tensor(1.0)})[0]
    tensor([0.9000])
    """

    name: ClassVar[str] = "accelerated_sgd"
    source: ClassVar[str] = "Kidambi et al. (2018)"

    eta: Hyper
    kappa: float = 1000.0
    xi: float = 10.0
    c: float = 0.7
    weight_decay: Hyper = 0.0

    def init(self, w: Tensor) -> State:
        return {"wbar": w}

    def update(
        self, w: Tensor, g: Tensor, state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        t = draw["t"]
        eta = self.at(self.eta, t)
        g = add_scaled(g, self.at(self.weight_decay, t), w)
        b = self.c**2 * self.xi / self.kappa
        z = self.c / (self.c + b)
        long = add_scaled(w, -eta * (self.kappa / self.c), g)
        wbar = add_scaled(state["wbar"] * (1 - b), b, long)
        return add_scaled(z * add_scaled(w, -eta, g), 1 - z, wbar), {"wbar": wbar}
