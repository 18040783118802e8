"""LARS: layer-wise adaptive rate scaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from theorylab.method.layers import (
    VECTORS,
    Layout,
    check_layout,
    reduce_layers,
    spread_layers,
)
from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled, is_zero, norm
from theorylab.method.sgd import Velocity
from theorylab.problem.oracle import Oracle

__all__ = ["LARS"]

Variant = Literal["paper", "outside", "decayed_norm", "skip_without_decay"]
_VARIANTS = ("paper", "outside", "decayed_norm", "skip_without_decay")


@final
@dataclass(frozen=True)
class LARS(UpdateRule[Velocity]):
    """``v <- beta v + eta r (g + weight_decay w)``, ``w <- w - v``, with a ratio r a layer.

    ``r = trust ||w|| / (||g|| + weight_decay ||w||)``, norms over the layer. Where ``||w||`` or
    ``||g||`` is 0, r = 1 (the libraries' convention): layers that start at zero train, and one
    without a gradient decays by ``eta weight_decay``, not by ``eta trust``. Variants, as
    libraries differ:

    - ``"outside"``: the step size is outside the momentum, ``v <- beta v + r (...)``,
      ``w <- w - eta v``; the two differ whenever ``eta`` changes.
    - ``"decayed_norm"``: ``r = trust ||w|| / ||g + weight_decay w||``.
    - ``"skip_without_decay"``: r = 1 when ``weight_decay`` is 0.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (no unit: r carries them).
    beta : float or Tensor
        Momentum.
    weight_decay : float or Tensor
        Penalty (F/X^2).
    trust : float or Tensor
        Trust coefficient.
    layout : tuple of (str, int)
        Layers; empty: the whole vector is one.
    variant : str
        ``"paper"`` or one of the above.
    vectors : "scaled" or "plain"
        ``"plain"`` steps by the gradient alone (r = 1, no weight decay) in layers of kind bias,
        normalization or vector, as the packages in use do.

    Raises
    ------
    ValueError
        If the variant is unknown or the layout malformed.

    References
    ----------
    You, Gitman and Ginsburg (2017), Algorithm 1; the reference SNGM compares with.

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = LARS(eta=1.0, trust=0.5, weight_decay=0.0), torch.ones(2)
    >>> oracle = FunctionOracle(lambda w: 3 * torch.ones(2))
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([0.5000, 0.5000])
    """

    name: ClassVar[str] = "lars"
    source: ClassVar[str] = "You, Gitman and Ginsburg (2017), Algorithm 1"
    tuned: ClassVar[frozenset[str]] = frozenset({"trust"})

    eta: Hyper
    beta: Hyper = 0.9
    weight_decay: Hyper = 5e-4
    trust: Hyper = 1e-3
    layout: Layout = ()
    variant: Variant = "paper"
    vectors: Literal["scaled", "plain"] = "scaled"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vectors not in ("scaled", "plain"):
            raise ValueError(f"lars: vectors must be 'scaled' or 'plain', got {self.vectors!r}")
        check_layout(self.name, self.layout)
        if self.variant not in _VARIANTS:
            raise ValueError(f"lars: variant must be one of {_VARIANTS}, got {self.variant!r}")

    def init(self, w: Tensor, oracle: Oracle) -> Velocity:
        return Velocity(torch.zeros_like(w))

    def update(
        self, w: Tensor, oracle: Oracle, state: Velocity, draw: Drawn
    ) -> tuple[Tensor, Velocity]:
        t, g = draw.t, oracle.gradient(w)
        eta, beta = self.at(self.eta, t), self.at(self.beta, t)
        decay, trust = self.at(self.weight_decay, t), self.at(self.trust, t)
        scaled = self._scaled(w)
        if scaled is not None:
            decay = decay * scaled
        decayed = add_scaled(g, decay, w)
        skips = self.variant == "skip_without_decay"
        if not (skips and is_zero(decay)):
            ratio = self._ratio(w, g, decayed, decay, trust)
            if skips and isinstance(decay, Tensor):
                ratio = torch.where(decay == 0, torch.ones_like(ratio), ratio)
            if scaled is not None:
                ratio = torch.where(scaled == 0, torch.ones_like(ratio), ratio)
            decayed = decayed * ratio
        if self.variant == "outside":
            v = add_scaled(decayed, beta, state.v)
            return add_scaled(w, -eta, v), Velocity(v)
        v = add_scaled(eta * decayed, beta, state.v)
        return w - v, Velocity(v)

    def _scaled(self, w: Tensor) -> Tensor | None:
        """1 for what is in a layer that is scaled, 0 elsewhere; ``None`` if all are."""
        if self.vectors == "scaled":
            return None
        kinds = [float(kind not in VECTORS) for kind, _ in self.layout] or [1.0]
        each = torch.tensor(kinds, dtype=w.dtype, device=w.device)
        return spread_layers(each, self.layout, w)

    def _ratio(self, w: Tensor, g: Tensor, decayed: Tensor, decay: Any, trust: Any) -> Tensor:
        size = spread_layers(reduce_layers(norm, w, self.layout), self.layout, w)
        other = decayed if self.variant == "decayed_norm" else g
        below = slope = spread_layers(reduce_layers(norm, other, self.layout), self.layout, w)
        if self.variant != "decayed_norm":
            below = add_scaled(slope, decay, size)
        usable = (size > 0) & (slope > 0)
        return torch.where(usable, trust * size / below, torch.ones_like(size))
