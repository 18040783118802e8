"""Stochastic normalised gradient descent, with momentum (SNGM) and without (SNGD)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.rule import (
    Drawn,
    Hyper,
    Stateless,
    UpdateRule,
    add_scaled,
    is_zero,
    norm,
)
from theorylab.problem.oracle import Oracle

__all__ = ["SNGD", "SNGM", "Direction", "guarded_norm"]


def guarded_norm(g: Tensor) -> Tensor:
    """``||g||``, but at least the shortest length whose square the number type can hold well.

    ``g / guarded_norm(g)`` is 0 at ``g = 0``, never longer than 1, and of length 1 for every
    ``||g|| >= sqrt(tiny/eps)``: 3e-16 in float32, 1e-146 in float64. Shorter gradients, whose
    squares underflow, give shorter vectors in place of NaN or of a direction made of rounding.
    """
    return norm(g).clamp_min(_floor(g.dtype))


@cache
def _floor(dtype: torch.dtype) -> float:
    info = torch.finfo(dtype)
    return math.sqrt(info.tiny / info.eps)


def _normalised(g: Tensor) -> Tensor:
    return g * guarded_norm(g).reciprocal()  # a division a row costs twice as much


class Direction(NamedTuple):
    """The momentum u of normalised gradients."""

    u: Tensor


@final
@dataclass(frozen=True)
class SNGM(UpdateRule[Direction]):
    """``u <- beta u + g/||g||``, ``w <- w - eta u``, from ``u = 0``; the norm is over all of w.

    At ``g = 0`` the convention is ``g/||g|| = 0`` (see :func:`guarded_norm`), which keeps
    Lemma 2, ``||u|| <= 1/(1-beta)``.

    Weight decay: by default ``g + weight_decay w`` is what is normalised, so that the method is
    SNGM on the penalised objective and the theorems apply to it. With ``decoupled`` the decay
    is outside the norm and the momentum: ``w <- w - eta (u + weight_decay w)``.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X: the length of a step at ``beta = 0``).
    beta : float, Tensor or Schedule
        Momentum in [0, 1).
    weight_decay : float or Tensor
        See above.
    decoupled : bool
        See above.

    References
    ----------
    SNGM, equations (7) and (8), Algorithm 1.

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = SNGM(eta=1.0, beta=0.5), torch.zeros(2)
    >>> oracle = FunctionOracle(lambda w: torch.tensor([3.0, 4.0]))
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([-0.6000, -0.8000])
    """

    name: ClassVar[str] = "sngm"
    source: ClassVar[str] = "SNGM, equations (7)-(8)"

    eta: Hyper
    beta: Hyper = 0.9
    weight_decay: Hyper = 0.0
    decoupled: bool = False

    def init(self, w: Tensor, oracle: Oracle) -> Direction:
        return Direction(torch.zeros_like(w))

    def update(
        self, w: Tensor, oracle: Oracle, state: Direction, draw: Drawn
    ) -> tuple[Tensor, Direction]:
        t, g = draw.t, oracle.gradient(w)
        decay, step = self.at(self.weight_decay, t), self.at(self.eta, t)
        if not self.decoupled:
            g = add_scaled(g, decay, w)
        u = _normalised(g)
        if not is_zero(self.beta):
            u = add_scaled(u, self.at(self.beta, t), state.u)
        direction = add_scaled(u, decay, w) if self.decoupled else u
        return add_scaled(w, -step, direction), Direction(u)


@final
@dataclass(frozen=True)
class SNGD(UpdateRule[Stateless]):
    """``w <- w - eta g/||g||``: :class:`SNGM` at ``beta = 0``, with the same conventions.

    Parameters
    ----------
    eta, weight_decay, decoupled
        As for :class:`SNGM`.

    References
    ----------
    SNGM, section 4: "when beta = 0, SNGM degenerates to SNGD".

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> oracle, draw = FunctionOracle(torch.zeros_like), Drawn(torch.tensor(1.0))
    >>> SNGD(eta=1.0).update(torch.zeros(2), oracle, Stateless(), draw)[0]
    tensor([0., 0.])
    """

    name: ClassVar[str] = "sngd"
    source: ClassVar[str] = "SNGM, equations (7)-(8) at beta = 0"

    eta: Hyper
    weight_decay: Hyper = 0.0
    decoupled: bool = False

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        t, g = draw.t, oracle.gradient(w)
        decay, step = self.at(self.weight_decay, t), self.at(self.eta, t)
        if not self.decoupled:
            g = add_scaled(g, decay, w)
        direction = _normalised(g)
        if self.decoupled:
            direction = add_scaled(direction, decay, w)
        return add_scaled(w, -step, direction), state
