"""Stochastic gradient descent, plain and with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from theorylab.method.rule import Hyper, State, UpdateRule, add_scaled

__all__ = ["MSGD", "SGD", "Nesterov"]


@final
@dataclass(frozen=True)
class SGD(UpdateRule):
    """Stochastic gradient descent: ``w <- w - eta g``.

    Weight decay enters through the gradient: ``g + weight_decay w`` in place of ``g``.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    weight_decay : float or Tensor
        Weight of the added penalty ``||w||^2/2``.

    References
    ----------
    TRAlgo, Algorithm 2; LRSGD, Algorithm 1.

    Examples
    --------
    >>> w, _ = SGD(eta=0.5).update(torch.ones(2), torch.ones(2), {}, {"t": torch.tensor(1.0)})
    >>> w
    tensor([0.5000, 0.5000])
    """

    name: ClassVar[str] = "sgd"
    source: ClassVar[str] = "TRAlgo, Algorithm 2"

    eta: Hyper
    weight_decay: Hyper = 0.0

    def update(
        self, w: Tensor, g: Tensor, state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        t = draw["t"]
        g = add_scaled(g, self.at(self.weight_decay, t), w)
        return add_scaled(w, -self.at(self.eta, t), g), state


@dataclass(frozen=True)
class _Momentum(UpdateRule):
    eta: Hyper
    beta: Hyper = 0.9
    weight_decay: Hyper = 0.0

    def init(self, w: Tensor) -> State:
        return {"v": torch.zeros_like(w)}


@final
@dataclass(frozen=True)
class MSGD(_Momentum):
    """Momentum SGD: ``v <- beta v + g``, ``w <- w - eta v``, from ``v = 0``.

    Weight decay enters through the gradient, before the momentum, as in ``torch.optim.SGD``
    (dampening 0), which this equals.

    Parameters
    ----------
    eta, beta, weight_decay : float, Tensor or Schedule
        Step size (X^2/F), momentum in [0, 1), weight of the penalty ``||w||^2/2``.

    References
    ----------
    SNGM, equations (2) and (3).

    Examples
    --------
    >>> rule, w = MSGD(eta=0.5, beta=0.5), torch.ones(1)
    >>> state = rule.init(w)
    >>> for t in (1.0, 2.0):
    ...     w, state = rule.update(w, torch.ones(1), state, {"t": torch.tensor(t)})
    >>> w, state["v"]
    (tensor([-0.2500]), tensor([1.5000]))
    """

    name: ClassVar[str] = "msgd"
    source: ClassVar[str] = "SNGM, equations (2)-(3)"

    def update(
        self, w: Tensor, g: Tensor, state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        t = draw["t"]
        g = add_scaled(g, self.at(self.weight_decay, t), w)
        v = add_scaled(g, self.at(self.beta, t), state["v"])
        return add_scaled(w, -self.at(self.eta, t), v), {"v": v}


@final
@dataclass(frozen=True)
class Nesterov(_Momentum):
    """Nesterov's momentum: ``v <- beta v + g``, ``w <- w - eta (g + beta v)``, from ``v = 0``.

    The look-ahead form with the gradient at the look-ahead point, as in
    ``torch.optim.SGD(nesterov=True)``, which this equals. Weight decay enters through ``g``.

    Parameters
    ----------
    eta, beta, weight_decay : float, Tensor or Schedule
        As for :class:`MSGD`.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton (2013), rewritten at the look-ahead point.

    Examples
    --------
    >>> rule, w = Nesterov(eta=0.5, beta=0.5), torch.ones(1)
    >>> rule.update(w, torch.ones(1), rule.init(w), {"t": torch.tensor(1.0)})[0]
    tensor([0.2500])
    """

    name: ClassVar[str] = "nesterov"
    source: ClassVar[str] = "Sutskever et al. (2013)"

    def update(
        self, w: Tensor, g: Tensor, state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        t = draw["t"]
        beta = self.at(self.beta, t)
        g = add_scaled(g, self.at(self.weight_decay, t), w)
        v = add_scaled(g, beta, state["v"])
        ahead = add_scaled(g, beta, v)
        return add_scaled(w, -self.at(self.eta, t), ahead), {"v": v}
