"""Stochastic gradient descent, plain and with momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, Stateless, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle

__all__ = ["MSGD", "SGD", "Nesterov", "Velocity"]


@final
@dataclass(frozen=True)
class SGD(UpdateRule[Stateless]):
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
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> oracle, draw = FunctionOracle(torch.ones_like), Drawn(torch.tensor(1.0))
    >>> SGD(eta=0.5).update(torch.ones(2), oracle, Stateless(), draw)[0]
    tensor([0.5000, 0.5000])
    """

    name: ClassVar[str] = "sgd"
    source: ClassVar[str] = "TRAlgo, Algorithm 2"

    eta: Hyper
    weight_decay: Hyper = 0.0

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        t = draw.t
        g = add_scaled(oracle.gradient(w), self.at(self.weight_decay, t), w)
        return add_scaled(w, -self.at(self.eta, t), g), state


class Velocity(NamedTuple):
    """The momentum v."""

    v: Tensor


@dataclass(frozen=True)
class _Momentum(UpdateRule[Velocity]):
    eta: Hyper
    beta: Hyper = 0.9
    weight_decay: Hyper = 0.0

    def init(self, w: Tensor, oracle: Oracle) -> Velocity:
        return Velocity(torch.zeros_like(w))


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
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w, oracle = MSGD(eta=0.5, beta=0.5), torch.ones(1), FunctionOracle(torch.ones_like)
    >>> state = rule.init(w, oracle)
    >>> for t in (1.0, 2.0):
    ...     w, state = rule.update(w, oracle, state, Drawn(torch.tensor(t)))
    >>> w, state.v
    (tensor([-0.2500]), tensor([1.5000]))
    """

    name: ClassVar[str] = "msgd"
    source: ClassVar[str] = "SNGM, equations (2)-(3)"

    def update(
        self, w: Tensor, oracle: Oracle, state: Velocity, draw: Drawn
    ) -> tuple[Tensor, Velocity]:
        t = draw.t
        g = add_scaled(oracle.gradient(w), self.at(self.weight_decay, t), w)
        v = add_scaled(g, self.at(self.beta, t), state.v)
        return add_scaled(w, -self.at(self.eta, t), v), Velocity(v)


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
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = Nesterov(eta=0.5, beta=0.5), torch.ones(1)
    >>> oracle = FunctionOracle(torch.ones_like)
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([0.2500])
    """

    name: ClassVar[str] = "nesterov"
    source: ClassVar[str] = "Sutskever et al. (2013)"

    def update(
        self, w: Tensor, oracle: Oracle, state: Velocity, draw: Drawn
    ) -> tuple[Tensor, Velocity]:
        t = draw.t
        beta = self.at(self.beta, t)
        g = add_scaled(oracle.gradient(w), self.at(self.weight_decay, t), w)
        v = add_scaled(g, beta, state.v)
        ahead = add_scaled(g, beta, v)
        return add_scaled(w, -self.at(self.eta, t), ahead), Velocity(v)
