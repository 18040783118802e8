"""Polyak's step size, for mini-batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, Stateless, UpdateRule
from theorylab.method.sngm import guarded_norm
from theorylab.problem.oracle import Oracle

__all__ = ["PolyakStep"]


@final
@dataclass(frozen=True)
class PolyakStep(UpdateRule[Stateless]):
    """``w <- w - min((f(w) - lowest)/(c ||g||^2), eta) g``, all of this step's mini-batch.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Largest step (units X^2/F).
    c : float or Tensor
        Polyak's own step has 1; the paper's rates want at least 1/2.
    lowest : float or Tensor
        The mini-batch's infimum (F), 0 for losses that can be fitted.

    References
    ----------
    Loizou, Vaswani, Laradji and Lacoste-Julien (2021), SPS_max.

    Examples
    --------
    >>> import torch
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> oracle = FunctionOracle(torch.clone, lambda w: (w**2).sum(-1, keepdim=True) / 2)
    >>> rule = PolyakStep(eta=10.0, c=0.5)
    >>> rule.update(torch.ones(1), oracle, Stateless(), Drawn(torch.tensor(1.0)))[0]
    tensor([0.])
    """

    name: ClassVar[str] = "polyak_step"
    source: ClassVar[str] = "Loizou et al. (2021), SPS_max"
    needs: ClassVar[frozenset[str]] = frozenset({"value"})

    eta: Hyper
    c: Hyper = 0.5
    lowest: Hyper = 0.0

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        t, g = draw.t, oracle.gradient(w)
        length = guarded_norm(g)
        above = oracle.value(w) - self.at(self.lowest, t)
        # Divided twice: the square of a short length may underflow.
        polyak = above / length / (self.at(self.c, t) * length)
        return w - polyak.clamp_max(self.at(self.eta, t)) * g, state
