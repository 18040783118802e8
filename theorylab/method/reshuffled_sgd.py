"""SGD that goes through the samples in a new random order every epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, Stateless, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle
from theorylab.problem.sampler import Reshuffled, Sampler

__all__ = ["ReshuffledSGD"]


@final
@dataclass(frozen=True)
class ReshuffledSGD(UpdateRule[Stateless]):
    """``w <- w - eta grad f_i(w)`` with i = pi(1), ..., pi(n), a permutation an epoch.

    On networks the data loader says what the mini-batches are.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    weight_decay : float or Tensor
        Weight of the penalty ``||w||^2/2``; it joins the gradient.
    order : "reshuffled", "once" or "cyclic"
        A new random permutation an epoch, one for the whole run, or the samples' own order.

    References
    ----------
    Mishchenko, Khaled and Richtarik (2020), Algorithms 1-3.

    Examples
    --------
    >>> ReshuffledSGD(eta=0.1).sampler
    Reshuffled(order='reshuffled')
    """

    name: ClassVar[str] = "reshuffled_sgd"
    source: ClassVar[str] = "Mishchenko, Khaled and Richtarik (2020), Algorithms 1-3"

    eta: Hyper
    weight_decay: Hyper = 0.0
    order: Literal["reshuffled", "once", "cyclic"] = field(default="reshuffled", kw_only=True)

    @property
    def sampler(self) -> Sampler:
        return Reshuffled(self.order)

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        t = draw.t
        g = add_scaled(oracle.gradient(w), self.at(self.weight_decay, t), w)
        return add_scaled(w, -self.at(self.eta, t), g), state
