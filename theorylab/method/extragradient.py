"""Extragradient: a step by the gradient at where a step would lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, Stateless, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle

__all__ = ["Extragradient"]


@final
@dataclass(frozen=True)
class Extragradient(UpdateRule[Stateless]):
    """``w <- w - eta g(w - eta g(w))``, both gradients on the same mini-batch.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).

    References
    ----------
    Korpelevich (1976); for minimisation, where g is a gradient.

    Examples
    --------
    >>> import torch
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> oracle, draw = FunctionOracle(torch.clone), Drawn(torch.tensor(1.0))
    >>> Extragradient(eta=0.5).update(torch.ones(1), oracle, Stateless(), draw)[0]
    tensor([0.7500])
    """

    name: ClassVar[str] = "extragradient"
    source: ClassVar[str] = "Korpelevich (1976)"

    eta: Hyper

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        step = self.at(self.eta, draw.t)
        ahead = add_scaled(w, -step, oracle.gradient(w))
        return add_scaled(w, -step, oracle.gradient(ahead)), state
