"""Alternating minimization over two blocks of parameters, stochastic or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, Stateless, UpdateRule
from theorylab.problem.oracle import Oracle

__all__ = ["Alternating"]


@final
@dataclass(frozen=True)
class Alternating(UpdateRule[Stateless]):
    """``u <- u - eta g_u`` at odd steps, ``v <- v - eta g_v`` at even ones; ``w = (u, v)``.

    Each step's gradient is taken where the step before it ended, on a mini-batch of its own. u is
    the first half of the parameters, the larger one where their number is odd.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).

    References
    ----------
    Stochastic batch size, equations (5)-(8).

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> oracle, draw = FunctionOracle(torch.ones_like), Drawn(torch.tensor(2.0))
    >>> Alternating(eta=0.5).update(torch.ones(3), oracle, Stateless(), draw)[0]
    tensor([1.0000, 1.0000, 0.5000])
    """

    name: ClassVar[str] = "alternating"
    source: ClassVar[str] = "Stochastic batch size, equations (5)-(8)"

    eta: Hyper

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        first = _first(w, -(-w.shape[-1] // 2))
        odd = torch.as_tensor(draw.t % 2 == 1, device=w.device)
        moves = torch.eq(first, odd).to(w.dtype)
        return w - self.at(self.eta, draw.t) * moves * oracle.gradient(w), state


def _first(w: Tensor, many: int) -> Tensor:
    """Which entries are among so many from the first on."""
    if not isinstance(w, Tensor):  # a vector in parts: as numbers 0 and 1
        return w.first(many)
    return torch.arange(w.shape[-1], device=w.device) < many
