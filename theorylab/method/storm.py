"""STORM: momentum that reduces variance, from two gradients on one mini-batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle

__all__ = ["STORM", "Recursive"]


class Recursive(NamedTuple):
    """The estimate d of the gradient, and the iterate it was made at."""

    d: Tensor
    before: Tensor


@final
@dataclass(frozen=True)
class STORM(UpdateRule[Recursive]):
    """``d <- g(w) + (1-a)(d - g(w_before))``, ``w <- w - eta d``; both ``g`` on one mini-batch.

    The first step has ``d = g(w_0)``. ``eta`` and ``a`` are constants or schedules here; the
    paper's adapt to gradients seen.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    a : float, Tensor or Schedule
        Weight of the new gradient alone, in (0, 1]; 1 is SGD.

    References
    ----------
    Cutkosky and Orabona (2019), Algorithm 1.

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w, oracle = STORM(eta=0.5, a=0.5), torch.ones(1), FunctionOracle(torch.clone)
    >>> state = rule.init(w, oracle)
    >>> for t in (1.0, 2.0):
    ...     w, state = rule.update(w, oracle, state, Drawn(torch.tensor(t)))
    >>> w, state.d
    (tensor([0.2500]), tensor([0.5000]))
    """

    name: ClassVar[str] = "storm"
    source: ClassVar[str] = "Cutkosky and Orabona (2019), Algorithm 1"

    eta: Hyper
    a: Hyper = 0.1

    def init(self, w: Tensor, oracle: Oracle) -> Recursive:
        return Recursive(torch.zeros_like(w), w)

    def update(
        self, w: Tensor, oracle: Oracle, state: Recursive, draw: Drawn
    ) -> tuple[Tensor, Recursive]:
        t = draw.t
        kept = (1 - self.at(self.a, t)) * (t > 1).to(w.dtype)
        d = add_scaled(oracle.gradient(w), kept, state.d - oracle.gradient(state.before))
        return add_scaled(w, -self.at(self.eta, t), d), Recursive(d, w)
