"""Methods that scale every coordinate: Adam, AMSGrad, RMSprop, and TRAdam."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from theorylab.method.proximal import begin_round, count, periodic
from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled, is_zero, over
from theorylab.problem.oracle import Oracle

__all__ = [
    "AMSGrad", "Adam", "AnchoredMoments", "Moments", "RMSprop", "SecondMoment", "TRAdam",
    "corrected", "moved_moments",
]  # fmt: skip


class Moments(NamedTuple):
    """First and second moment; for AMSGrad also the largest second moment so far."""

    m: Tensor
    v: Tensor
    top: Tensor | None = None


class SecondMoment(NamedTuple):
    """The second moment, and the momentum of scaled gradients where there is any."""

    v: Tensor
    u: Tensor | None = None


class AnchoredMoments(NamedTuple):
    """Both moments, the anchor (unless lam is 0), the step k within the round, the largest v."""

    m: Tensor
    v: Tensor
    anchor: Tensor | None
    k: Any
    top: Tensor | None = None


def _lacking(beta: Any, t: Tensor) -> Any:
    """``1 - beta^t``, without cancellation for beta near 1 in float32."""
    if isinstance(beta, Tensor):
        return -torch.expm1(t * beta.log())
    return 1.0 if beta == 0 else -torch.expm1(t * math.log(beta))


@dataclass(frozen=True)
class _Moments(UpdateRule[Moments]):
    eta: Hyper = 1e-3
    beta1: Hyper = 0.9
    beta2: Hyper = 0.999
    eps: float = 1e-8
    weight_decay: Hyper = 0.0

    def init(self, w: Tensor, oracle: Oracle) -> Moments:
        return Moments(torch.zeros_like(w), torch.zeros_like(w))


def moved_moments(
    rule: Any, g: Tensor, state: Moments | AnchoredMoments, t: Tensor
) -> tuple[Tensor, Tensor]:
    """The new first and second moment."""
    m = torch.lerp(state.m, g, 1 - rule.at(rule.beta1, t))
    return m, torch.lerp(state.v, g * g, 1 - rule.at(rule.beta2, t))


def corrected(rule: Any, w: Tensor, m: Tensor, v: Tensor, t: Tensor, step: Any) -> Tensor:
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
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = Adam(eta=0.5), torch.ones(1)
    >>> oracle = FunctionOracle(torch.ones_like)
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([0.5000])
    """

    name: ClassVar[str] = "adam"
    source: ClassVar[str] = "Kingma and Ba (2015), Algorithm 1"

    def update(
        self, w: Tensor, oracle: Oracle, state: Moments, draw: Drawn
    ) -> tuple[Tensor, Moments]:
        t = draw.t
        g = add_scaled(oracle.gradient(w), self.at(self.weight_decay, t), w)
        m, v = moved_moments(self, g, state, t)
        return corrected(self, w, m, v, t, self.at(self.eta, t)), Moments(m, v)


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
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = AMSGrad(eta=0.5, beta1=0.5, beta2=0.75), torch.ones(1)
    >>> oracle = FunctionOracle(torch.ones_like)
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([0.5000])
    """

    name: ClassVar[str] = "amsgrad"
    source: ClassVar[str] = "Reddi, Kale and Kumar (2018), Algorithm 2"

    variant: Literal["paper", "torch"] = field(default="paper", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        _known(self, "variant", self.variant, ("paper", "torch"))

    def init(self, w: Tensor, oracle: Oracle) -> Moments:
        return Moments(torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w))

    def update(
        self, w: Tensor, oracle: Oracle, state: Moments, draw: Drawn
    ) -> tuple[Tensor, Moments]:
        t = draw.t
        eta = self.at(self.eta, t)
        g = add_scaled(oracle.gradient(w), self.at(self.weight_decay, t), w)
        m, v = moved_moments(self, g, state, t)
        assert state.top is not None
        top = torch.maximum(state.top, v)
        if self.variant == "torch":
            return corrected(self, w, m, top, t, eta), Moments(m, v, top)
        return add_scaled(w, -eta, m / (top.sqrt() + self.eps)), Moments(m, v, top)


@final
@dataclass(frozen=True)
class RMSprop(UpdateRule[SecondMoment]):
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
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = RMSprop(eta=0.5, alpha=0.75), torch.ones(1)
    >>> oracle = FunctionOracle(torch.ones_like)
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([0.])
    """

    name: ClassVar[str] = "rmsprop"
    source: ClassVar[str] = "Tieleman and Hinton (2012)"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {"alpha": (0.0, 1.0)}

    eta: Hyper = 1e-2
    alpha: Hyper = 0.99
    eps: float = 1e-8
    weight_decay: Hyper = 0.0
    beta: Hyper = 0.0

    def init(self, w: Tensor, oracle: Oracle) -> SecondMoment:
        return SecondMoment(
            torch.zeros_like(w), None if is_zero(self.beta) else torch.zeros_like(w)
        )

    def update(
        self, w: Tensor, oracle: Oracle, state: SecondMoment, draw: Drawn
    ) -> tuple[Tensor, SecondMoment]:
        t = draw.t
        g = add_scaled(oracle.gradient(w), self.at(self.weight_decay, t), w)
        v = torch.lerp(state.v, g * g, 1 - self.at(self.alpha, t))
        u = g / v.sqrt().add_(self.eps)
        new = SecondMoment(v)
        if state.u is not None:
            u = add_scaled(u, self.at(self.beta, t), state.u)
            new = SecondMoment(v, u)
        return add_scaled(w, -self.at(self.eta, t), u), new


@final
@dataclass(frozen=True)
class TRAdam(UpdateRule[AnchoredMoments]):
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
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = TRAdam(lam=1.0, S=2, eta=0.5), torch.ones(1)
    >>> oracle = FunctionOracle(torch.ones_like)
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
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

    def init(self, w: Tensor, oracle: Oracle) -> AnchoredMoments:
        anchor = None if is_zero(self.lam) else w
        zero, top = w.new_zeros((*w.shape[:-1], 1)), torch.zeros_like(w) if self.amsgrad else None
        return AnchoredMoments(torch.zeros_like(w), torch.zeros_like(w), anchor, zero, top)

    def restarts(
        self, rng: np.random.Generator, first: int, steps: int, replicas: int
    ) -> np.ndarray:
        return periodic(first, steps, 0, int(self.S))

    def update(
        self, w: Tensor, oracle: Oracle, state: AnchoredMoments, draw: Drawn
    ) -> tuple[Tensor, AnchoredMoments]:
        t, g = draw.t, oracle.gradient(w)
        state = begin_round(w, state, draw.restart)
        lam, eta = self.at(self.lam, t), self.at(self.eta, t)
        if state.anchor is not None:
            pull = over(2 * lam, eta) if self.variant == "authors" else lam
            g = add_scaled(g, pull, w - state.anchor)
        g = add_scaled(g, self.at(self.weight_decay, t), w)
        m, v = moved_moments(self, g, state, t)
        top = None if state.top is None else torch.maximum(state.top, v)
        form = _guarded_first if self.variant == "authors" else corrected
        moved = form(self, w, m, v if top is None else top, t, eta / state.k)
        return moved, AnchoredMoments(m, v, state.anchor, state.k, top)


def _known(rule: UpdateRule, name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        choices = " or ".join(map(repr, known))
        raise ValueError(f"{rule.name}: {name} must be {choices}, got {value!r}")
