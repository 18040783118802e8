"""SGD that returns the mean of its iterates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle

__all__ = ["AveragedSGD", "Mean"]


class Mean(NamedTuple):
    """The mean of the iterates before the last step."""

    mean: Tensor


@final
@dataclass(frozen=True)
class AveragedSGD(UpdateRule[Mean]):
    """``w <- w - eta g``; the output is ``(1/T)(w_0 + ... + w_{T-1})``.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    weight_decay : float or Tensor
        Weight of the penalty ``||w||^2/2``; it joins the gradient.

    References
    ----------
    Polyak and Juditsky (1992), equations (1)-(2); Ruppert (1988).

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w, oracle = AveragedSGD(eta=0.5), torch.ones(1), FunctionOracle(torch.clone)
    >>> state = rule.init(w, oracle)
    >>> for t in (1.0, 2.0):
    ...     w, state = rule.update(w, oracle, state, Drawn(torch.tensor(t)))
    >>> w, rule.output(w, state)
    (tensor([0.2500]), tensor([0.7500]))
    """

    name: ClassVar[str] = "averaged_sgd"
    source: ClassVar[str] = "Polyak and Juditsky (1992)"

    eta: Hyper
    weight_decay: Hyper = 0.0

    def init(self, w: Tensor, oracle: Oracle) -> Mean:
        return Mean(w)

    def update(self, w: Tensor, oracle: Oracle, state: Mean, draw: Drawn) -> tuple[Tensor, Mean]:
        t = draw.t
        g = add_scaled(oracle.gradient(w), self.at(self.weight_decay, t), w)
        mean = torch.lerp(state.mean, w, 1 / t)
        return add_scaled(w, -self.at(self.eta, t), g), Mean(mean)

    def output(self, w: Tensor, state: Mean) -> Tensor:
        return state.mean
