"""Stochastic normalised gradient descent, with momentum (SNGM) and without (SNGD)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, final

import torch
from torch import Tensor

from theorylab.method.rule import Hyper, State, UpdateRule, add_scaled, is_zero, norm

__all__ = ["SNGD", "SNGM", "guarded_norm"]


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


@dataclass(frozen=True)
class _Normalised(UpdateRule):
    """The update of SNGM, for a momentum that may be absent."""

    def _move(
        self,
        w: Tensor,
        g: Tensor,
        state: State,
        t: Tensor,
        eta: Hyper,
        beta: Hyper,
        weight_decay: Hyper,
        decoupled: bool,
    ) -> tuple[Tensor, State]:
        decay, step = self.at(weight_decay, t), self.at(eta, t)
        if not decoupled:
            g = add_scaled(g, decay, w)
        u = g * guarded_norm(g).reciprocal()  # a division a row costs twice as much
        if not is_zero(beta):
            u = add_scaled(u, self.at(beta, t), state["u"])
        state = {"u": u} if "u" in state else {}
        direction = add_scaled(u, decay, w) if decoupled else u
        return add_scaled(w, -step, direction), state


@final
@dataclass(frozen=True)
class SNGM(_Normalised):
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
    >>> rule, w = SNGM(eta=1.0, beta=0.5), torch.zeros(2)
    >>> g = torch.tensor([3.0, 4.0])
    >>> rule.update(w, g, rule.init(w), {"t": torch.tensor(1.0)})[0]
    tensor([-0.6000, -0.8000])
    """

    name: ClassVar[str] = "sngm"
    source: ClassVar[str] = "SNGM, equations (7)-(8)"

    eta: Hyper
    beta: Hyper = 0.9
    weight_decay: Hyper = 0.0
    decoupled: bool = False

    def init(self, w: Tensor) -> State:
        return {"u": torch.zeros_like(w)}

    def update(
        self, w: Tensor, g: Tensor, state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        return self._move(
            w, g, state, draw["t"], self.eta, self.beta, self.weight_decay, self.decoupled
        )


@final
@dataclass(frozen=True)
class SNGD(_Normalised):
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
    >>> SNGD(eta=1.0).update(torch.zeros(2), torch.zeros(2), {}, {"t": torch.tensor(1.0)})[0]
    tensor([0., 0.])
    """

    name: ClassVar[str] = "sngd"
    source: ClassVar[str] = "SNGM, equations (7)-(8) at beta = 0"

    eta: Hyper
    weight_decay: Hyper = 0.0
    decoupled: bool = False

    def update(
        self, w: Tensor, g: Tensor, state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        return self._move(w, g, state, draw["t"], self.eta, 0.0, self.weight_decay, self.decoupled)
