"""Sign SGD, with momentum it is Signum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled, is_zero
from theorylab.problem.oracle import Oracle

__all__ = ["SignMomentum", "SignSGD"]


class SignMomentum(NamedTuple):
    """The momentum m, where there is any."""

    m: Tensor | None = None


@final
@dataclass(frozen=True)
class SignSGD(UpdateRule[SignMomentum]):
    """``m <- beta m + (1-beta) g``, ``w <- w - eta sign(m)``, from ``m = 0``; sign(0) = 0.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step of every coordinate (units X).
    beta : float or Tensor
        Momentum in [0, 1); 0 is sign SGD, otherwise Signum.
    weight_decay : float or Tensor
        ``w <- w - eta (sign(m) + weight_decay w)`` (1/X).

    References
    ----------
    Bernstein, Wang, Azizzadenesheli and Anandkumar (2018), Algorithms 1 and 2.

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> oracle, w = FunctionOracle(lambda w: torch.tensor([3.0, -0.1])), torch.zeros(2)
    >>> rule = SignSGD(eta=1.0)
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([-1.,  1.])
    """

    name: ClassVar[str] = "sign_sgd"
    source: ClassVar[str] = "Bernstein et al. (2018), Algorithms 1-2"

    eta: Hyper
    beta: Hyper = 0.0
    weight_decay: Hyper = 0.0

    def init(self, w: Tensor, oracle: Oracle) -> SignMomentum:
        return SignMomentum(None if is_zero(self.beta) else torch.zeros_like(w))

    def update(
        self, w: Tensor, oracle: Oracle, state: SignMomentum, draw: Drawn
    ) -> tuple[Tensor, SignMomentum]:
        t, m = draw.t, oracle.gradient(w)
        if state.m is not None:
            m = torch.lerp(m, state.m, self.at(self.beta, t))
            state = SignMomentum(m)
        direction = add_scaled(m.sign(), self.at(self.weight_decay, t), w)
        return add_scaled(w, -self.at(self.eta, t), direction), state
