"""Methods that scale every coordinate: Adam, AMSGrad, RMSprop, and TRAdam."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, final

import numpy as np
import torch
from torch import Tensor

from theorylab.method.proximal import begin_round, count, periodic
from theorylab.method.rule import Hyper, State, UpdateRule, add_scaled, is_zero

__all__ = ["AMSGrad", "Adam", "RMSprop", "TRAdam"]


def _lacking(beta: Any, t: Tensor) -> Any:
    """``1 - beta^t``, without cancellation for beta near 1 in float32."""
    if isinstance(beta, Tensor):
        return -torch.expm1(t * beta.log())
    return 1.0 if beta == 0 else -torch.expm1(t * math.log(beta))


@dataclass(frozen=True)
class _Moments(UpdateRule):
    eta: Hyper
    beta1: Hyper = 0.9
    beta2: Hyper = 0.999
    eps: float = 1e-8
    weight_decay: Hyper = 0.0

    def init(self, w: Tensor) -> State:
        return {"m": torch.zeros_like(w), "v": torch.zeros_like(w)}


def _moments(rule: Any, g: Tensor, state: State, t: Tensor) -> State:
    m = torch.lerp(state["m"], g, 1 - rule.at(rule.beta1, t))
    v = torch.lerp(state["v"], g * g, 1 - rule.at(rule.beta2, t))
    return {**state, "m": m, "v": v}


def _corrected(rule: Any, w: Tensor, m: Tensor, v: Tensor, t: Tensor, step: Any) -> Tensor:
    """``w - step m^/(sqrt(v^) + eps)`` with both moments' bias removed."""
    first = _lacking(rule.at(rule.beta1, t), t)
    second = _lacking(rule.at(rule.beta2, t), t)
    root = (v / second).sqrt_()
    return add_scaled(w, -(step / first), m / (root + rule.eps))


def _guarded_first(rule: Any, w: Tensor, m: Tensor, v: Tensor, t: Tensor, step: Any) -> Tensor:
    """``w - step m^ sqrt(1-beta2^t)/(sqrt(v) + eps)``: the guard before the bias is removed."""
    first = _lacking(rule.at(rule.beta1, t), t)
    second = _lacking(rule.at(rule.beta2, t), t)
    return add_scaled(w, -(step * second**0.5 / first), m / (v.sqrt() + rule.eps))


@final
@dataclass(frozen=True)
class Adam(_Moments):
    """``w <- w - eta m^/(sqrt(v^) + eps)`` with bias-corrected moments m^ and v^.

    ``m <- beta1 m + (1-beta1) g``, ``v <- beta2 v + (1-beta2) g^2``, ``m^ = m/(1-beta1^t)``,
    ``v^ = v/(1-beta2^t)``. Weight decay joins ``g``, so it enters both moments, as in
    ``torch.optim.Adam``, which this equals.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X).
    beta1, beta2 : float or Tensor
        Decay of the moments.
    eps : float
        Added to the root (units F/X).
    weight_decay : float or Tensor
        Weight of the penalty ``||w||^2/2``.

    References
    ----------
    Kingma and Ba (2015), Algorithm 1.

    Examples
    --------
    >>> rule, w = Adam(eta=0.5), torch.ones(1)
    >>> rule.update(w, torch.ones(1), rule.init(w), {"t": torch.tensor(1.0)})[0]
    tensor([0.5000])
    """

    name: ClassVar[str] = "adam"
    source: ClassVar[str] = "Kingma and Ba (2015), Algorithm 1"

    def update(
        self, w: Tensor, g: Tensor, state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        t = draw["t"]
        state = _moments(self, add_scaled(g, self.at(self.weight_decay, t), w), state, t)
        return _corrected(self, w, state["m"], state["v"], t, self.at(self.eta, t)), state


@final
@dataclass(frozen=True)
class AMSGrad(_Moments):
    """``w <- w - eta m/(sqrt(max of all v) + eps)``: Adam's moments, the second never falling.

    The paper has no bias correction; ``variant="torch"`` corrects both, as
    ``torch.optim.Adam(amsgrad=True)`` does. Weight decay joins ``g``.

    Parameters
    ----------
    eta, beta1, beta2, eps, weight_decay
        As for :class:`Adam`.
    variant : "paper" or "torch"

    References
    ----------
    Reddi, Kale and Kumar (2018), Algorithm 2.

    Examples
    --------
    >>> rule, w = AMSGrad(eta=0.5, beta1=0.5, beta2=0.75), torch.ones(1)
    >>> rule.update(w, torch.ones(1), rule.init(w), {"t": torch.tensor(1.0)})[0]
    tensor([0.5000])
    """

    name: ClassVar[str] = "amsgrad"
    source: ClassVar[str] = "Reddi, Kale and Kumar (2018), Algorithm 2"

    variant: Literal["paper", "torch"] = field(default="paper", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        _known(self, "variant", self.variant, ("paper", "torch"))

    def init(self, w: Tensor) -> State:
        return {**super().init(w), "top": torch.zeros_like(w)}

    def update(
        self, w: Tensor, g: Tensor, state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        t = draw["t"]
        eta = self.at(self.eta, t)
        state = _moments(self, add_scaled(g, self.at(self.weight_decay, t), w), state, t)
        state["top"] = top = torch.maximum(state["top"], state["v"])
        if self.variant == "torch":
            return _corrected(self, w, state["m"], top, t, eta), state
        return add_scaled(w, -eta, state["m"] / (top.sqrt() + self.eps)), state


@final
@dataclass(frozen=True)
class RMSprop(UpdateRule):
    """``v <- alpha v + (1-alpha) g^2``, ``w <- w - eta g/(sqrt(v) + eps)``, from ``v = 0``.

    With ``beta``, ``u <- beta u + g/(sqrt(v) + eps)`` is what is stepped along. Weight decay
    joins ``g``. Equals ``torch.optim.RMSprop`` (not centered).

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X).
    alpha, beta, eps, weight_decay
        Decay of the second moment, momentum, guard, penalty.

    References
    ----------
    Tieleman and Hinton (2012), lecture 6.5.

    Examples
    --------
    >>> rule, w = RMSprop(eta=0.5, alpha=0.75), torch.ones(1)
    >>> rule.update(w, torch.ones(1), rule.init(w), {"t": torch.tensor(1.0)})[0]
    tensor([0.])
    """

    name: ClassVar[str] = "rmsprop"
    source: ClassVar[str] = "Tieleman and Hinton (2012)"

    eta: Hyper
    alpha: Hyper = 0.99
    eps: float = 1e-8
    beta: Hyper = 0.0
    weight_decay: Hyper = 0.0

    def init(self, w: Tensor) -> State:
        names = ("v",) if is_zero(self.beta) else ("v", "u")
        return {name: torch.zeros_like(w) for name in names}

    def update(
        self, w: Tensor, g: Tensor, state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        t = draw["t"]
        g = add_scaled(g, self.at(self.weight_decay, t), w)
        v = torch.lerp(state["v"], g * g, 1 - self.at(self.alpha, t))
        u = g / v.sqrt().add_(self.eps)
        new = {"v": v}
        if not is_zero(self.beta):
            u = new["u"] = add_scaled(u, self.at(self.beta, t), state["u"])
        return add_scaled(w, -self.at(self.eta, t), u), new


@final
@dataclass(frozen=True)
class TRAdam(UpdateRule):
    """Adam on ``f + (lam/2)||w - a||^2`` with step ``eta/k``, in rounds of ``S`` steps.

    The proximal term and the weight decay join the gradient, so they enter both moments; the
    moments and their step counter run on across anchors. ``variant="authors"`` is the published
    code: the pull is ``2 lam/eta`` (``lam`` is its lambda_w), and ``eps`` joins the root of the
    second moment before its bias is removed, ``m^ sqrt(1-beta2^t) / (sqrt(v) + eps)``. With
    ``amsgrad`` the root is of the largest ``v`` so far.

    Parameters
    ----------
    lam : float, Tensor, or Schedule in the step
        Proximal weight (units F/X^2; authors' variant: F/X).
    S : int
        Steps in a round.
    eta : float, Tensor, or Schedule in the step
        Step size at k = 1 (units X).
    beta1, beta2, eps, weight_decay
        As for :class:`Adam`.
    variant : "paper" or "authors"
    amsgrad : bool

    Raises
    ------
    ValueError
        If S < 1 or differs between replicas.

    References
    ----------
    TRAlgo, Algorithm 1 with Adam (section 4); github.com/huiqu18/TRAlgorithm for the variant.

    Examples
    --------
    >>> rule, w = TRAdam(lam=1.0, S=2, eta=0.5), torch.ones(1)
    >>> draw = {"t": torch.tensor(1.0), "restart": torch.tensor([True])}
    >>> rule.update(w, torch.ones(1), rule.init(w), draw)[0]
    tensor([0.5000])
    """

    name: ClassVar[str] = "tradam"
    source: ClassVar[str] = "TRAlgo, Algorithm 1 with Adam"

    lam: Hyper
    S: int = 10
    eta: Hyper = 1e-3
    beta1: Hyper = 0.9
    beta2: Hyper = 0.999
    eps: float = 1e-8
    weight_decay: Hyper = 0.0
    variant: Literal["paper", "authors"] = field(default="paper", kw_only=True)
    amsgrad: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        count(self, "S", 1)
        _known(self, "variant", self.variant, ("paper", "authors"))

    def init(self, w: Tensor) -> State:
        anchor = {} if is_zero(self.lam) else {"anchor": w}
        names = ("m", "v", "top") if self.amsgrad else ("m", "v")
        moments = {name: torch.zeros_like(w) for name in names}
        return {**moments, **anchor, "k": w.new_zeros((*w.shape[:-1], 1))}

    def restarts(
        self, rng: np.random.Generator, first: int, steps: int, replicas: int
    ) -> np.ndarray:
        return periodic(first, steps, 0, int(self.S))

    def update(
        self, w: Tensor, g: Tensor, state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        t = draw["t"]
        state = begin_round(w, state, draw["restart"])
        lam, eta = self.at(self.lam, t), self.at(self.eta, t)
        if not is_zero(self.lam):
            pull = 2 * lam / eta if self.variant == "authors" else lam
            g = add_scaled(g, pull, w - state["anchor"])
        g = add_scaled(g, self.at(self.weight_decay, t), w)
        state = _moments(self, g, state, t)
        second = state["v"]
        if self.amsgrad:
            state["top"] = second = torch.maximum(state["top"], second)
        form = _guarded_first if self.variant == "authors" else _corrected
        return form(self, w, state["m"], second, t, eta / state["k"]), state


def _known(rule: UpdateRule, name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        choices = " or ".join(map(repr, known))
        raise ValueError(f"{rule.name}: {name} must be {choices}, got {value!r}")
