"""Gradient-free steps from two values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from theorylab.method.rule import Draw, Drawn, Hyper, Stateless, UpdateRule
from theorylab.problem.oracle import Oracle

__all__ = ["TwoPointZerothOrder"]


@final
@dataclass(frozen=True)
class TwoPointZerothOrder(UpdateRule[Stateless]):
    """``w <- w - eta (f(w + mu z) - f(w - mu z))/(2 mu) z`` with ``z ~ N(0, I)``.

    Both values are of the same mini-batch.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    mu : float or Tensor
        Half the distance of the two points, a length of z (X).

    References
    ----------
    Nesterov and Spokoiny (2017), the symmetric oracle of section 3.

    Examples
    --------
    >>> import torch
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> oracle = FunctionOracle(torch.clone, lambda w: (w**2).sum(-1, keepdim=True) / 2)
    >>> draw = Drawn(torch.tensor(1.0), own={"z": torch.tensor([2.0, 0.0])})
    >>> rule = TwoPointZerothOrder(eta=0.25, mu=0.5)
    >>> rule.update(torch.ones(2), oracle, Stateless(), draw)[0]
    tensor([0., 1.])
    """

    name: ClassVar[str] = "two_point_zeroth_order"
    source: ClassVar[str] = "Nesterov and Spokoiny (2017), section 3"
    draws: ClassVar[tuple[Draw, ...]] = (Draw("z", "normal", "coordinate"),)
    needs: ClassVar[frozenset[str]] = frozenset({"value"})

    eta: Hyper
    mu: Hyper = 1e-3

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        t, z = draw.t, draw.own["z"]
        mu = self.at(self.mu, t)
        slope = (oracle.value(w + mu * z) - oracle.value(w - mu * z)) / (2 * mu)
        return w - self.at(self.eta, t) * slope * z, state
