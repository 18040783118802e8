"""Entropy-SGD."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from theorylab.method.proximal import begin_round, count, periodic
from theorylab.method.rule import Draw, Drawn, Hyper, UpdateRule, add_scaled, is_zero
from theorylab.problem.oracle import Oracle

__all__ = ["EntropySGD", "Langevin"]


class Langevin(NamedTuple):
    """Anchor, running average, step within the round, round; with beta, both loops' momentum."""

    anchor: Tensor
    mu: Tensor
    k: Any
    round: Any
    inner_v: Tensor | None = None
    outer_v: Tensor | None = None


@final
@dataclass(frozen=True)
class EntropySGD(UpdateRule[Langevin]):
    """Rounds of ``S`` Langevin steps around ``a``, then one step towards their average.

    From ``w = mu = a``, with a fresh mini-batch and normal noise z each:

    - ``w <- w - inner (g + gamma (w - a)) + sqrt(inner) eps z``, ``mu <- average w +
      (1 - average) mu``, ``S`` times;
    - then ``w <- a - eta gamma (a - mu)``, which the last of the S steps returns,

    with ``gamma = gamma0 (1 + gamma1)^(rounds so far)``. Weight decay joins ``g`` and
    ``a - mu`` alike; ``beta`` is Nesterov's momentum in both loops, the inner buffer zeroed at
    each anchor. ``variant="authors"`` is the published code: the outer buffer starts as the first
    mini-batch's gradient (theirs is of a batch of its own), the noise is
    ``-inner eps/sqrt(inner/2) z``, the outer step has no factor gamma, gamma stays ``gamma0``,
    and the average keeps 0.75 of the old: ``mu <- (1 - average) w + average mu``.

    Parameters
    ----------
    eta : float, Tensor, or Schedule in the step
        Outer step size (units X^2/F, or none in the authors' variant).
    S : int
        Inner steps.
    inner : float or Tensor
        Inner step size (X^2/F).
    average : float
        Weight in the running average, see above.
    gamma0, gamma1 : float or Tensor
        Scope (F/X^2) and its growth in a round.
    eps : float or Tensor
        Size of the noise.
    beta, weight_decay : float or Tensor
    variant : "paper" or "authors"

    Raises
    ------
    ValueError
        If S < 1 or differs between replicas, or the variant is unknown.

    References
    ----------
    Chaudhari et al. (2017), Algorithm 1; the authors' Python code for the variant.

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = EntropySGD(eta=1.0, S=1, inner=0.5, average=1.0, gamma0=0.5), torch.ones(1)
    >>> oracle, draw = FunctionOracle(torch.ones_like), Drawn(torch.tensor(1.0), True,
    ...                                                       {"z": torch.zeros(1)})
    >>> rule.update(w, oracle, rule.init(w, oracle), draw)[0]
    tensor([0.7500])
    """

    name: ClassVar[str] = "entropy_sgd"
    source: ClassVar[str] = "Chaudhari et al. (2017), Algorithm 1"
    draws: ClassVar[tuple[Draw, ...]] = (Draw("z", "normal", "coordinate"),)
    tuned: ClassVar[frozenset[str]] = frozenset({"inner", "gamma0"})

    eta: Hyper
    S: int = 20
    beta: Hyper = 0.0
    weight_decay: Hyper = 0.0
    inner: Hyper = field(default=0.1, kw_only=True)
    average: float = field(default=0.75, kw_only=True)
    gamma0: Hyper = field(default=1e-2, kw_only=True)
    gamma1: Hyper = field(default=0.0, kw_only=True)
    eps: Hyper = field(default=1e-4, kw_only=True)
    variant: Literal["paper", "authors"] = field(default="paper", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        count(self, "S", 1)
        if self.variant not in ("paper", "authors"):
            raise ValueError(
                f"entropy_sgd: variant must be 'paper' or 'authors', got {self.variant!r}"
            )

    def init(self, w: Tensor, oracle: Oracle) -> Langevin:
        zero = w.new_zeros((*w.shape[:-1], 1))
        if is_zero(self.beta):
            return Langevin(w, w, zero, zero)
        return Langevin(w, w, zero, zero, torch.zeros_like(w), torch.zeros_like(w))

    def restarts(
        self, rng: np.random.Generator, first: int, steps: int, replicas: int
    ) -> np.ndarray:
        return periodic(first, steps, 0, int(self.S))

    def update(
        self, w: Tensor, oracle: Oracle, state: Langevin, draw: Drawn
    ) -> tuple[Tensor, Langevin]:
        t, authors = draw.t, self.variant == "authors"
        eta, inner, beta = self.at(self.eta, t), self.at(self.inner, t), self.at(self.beta, t)
        decay, eps, gamma = (self.at(x, t) for x in (self.weight_decay, self.eps, self.gamma0))
        g = oracle.gradient(w)
        state = begin_round(w, state, draw.restart)
        fresh = torch.as_tensor(draw.restart).to(w)
        if authors and state.outer_v is not None:
            first = fresh * (state.round == 1)
            state = state._replace(outer_v=torch.lerp(state.outer_v, g, first))
        anchor, mu = state.anchor, torch.lerp(state.mu, w, fresh)
        if not authors and not is_zero(self.gamma1):
            gamma = gamma * (1 + self.at(self.gamma1, t)) ** (state.round - 1)

        direction = add_scaled(g, decay, w)
        if not is_zero(beta):
            assert state.inner_v is not None
            v = add_scaled(direction, beta, state.inner_v * (1 - fresh))
            direction, state = add_scaled(direction, beta, v), state._replace(inner_v=v)
        direction = add_scaled(direction, gamma, w - anchor)
        scale = -math.sqrt(2) if authors else 1.0
        root = inner.sqrt() if isinstance(inner, Tensor) else math.sqrt(inner)
        w = add_scaled(add_scaled(w, -inner, direction), scale * eps * root, draw.own["z"])
        mu = torch.lerp(mu, w, 1 - self.average if authors else self.average)

        last = torch.as_tensor(state.k == int(self.S)).to(w)
        outer = anchor - mu
        if not authors:
            outer = gamma * outer
        outer = add_scaled(outer, decay, anchor)
        if not is_zero(beta):
            assert state.outer_v is not None
            v = add_scaled(outer, beta, state.outer_v)
            outer = add_scaled(outer, beta, v)
            state = state._replace(outer_v=torch.lerp(state.outer_v, v, last))
        return torch.lerp(w, add_scaled(anchor, -eta, outer), last), state._replace(mu=mu)
