"""SVRG: variance reduction by a full gradient at an anchor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from theorylab.method.proximal import count, periodic
from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled, select
from theorylab.problem.oracle import Oracle

__all__ = ["SVRG", "AnchorGradient"]


class AnchorGradient(NamedTuple):
    """Where the round began, and the full gradient there."""

    anchor: Tensor
    full: Tensor


@final
@dataclass(frozen=True)
class SVRG(UpdateRule[AnchorGradient]):
    """``w <- w - eta (g(w) - g(a) + grad F(a))``, both ``g`` on the same mini-batch.

    The anchor ``a`` is the iterate at which a round of ``S`` steps begins (Option I).

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    S : int
        Steps in a round (the paper's m).

    Raises
    ------
    ValueError
        If S < 1 or differs between replicas.

    References
    ----------
    Johnson and Zhang (2013), "Procedure SVRG".

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w, oracle = SVRG(eta=0.5, S=2), torch.ones(1), FunctionOracle(torch.clone)
    >>> w, state = rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))
    >>> w, state.full, oracle.calls.passes
    (tensor([0.5000]), tensor([1.]), 1)
    """

    name: ClassVar[str] = "svrg"
    source: ClassVar[str] = "Johnson and Zhang (2013)"
    needs: ClassVar[frozenset[str]] = frozenset({"full_gradient"})

    eta: Hyper
    S: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        count(self, "S", 1)

    def init(self, w: Tensor, oracle: Oracle) -> AnchorGradient:
        return AnchorGradient(w, torch.zeros_like(w))

    def restarts(
        self, rng: np.random.Generator, first: int, steps: int, replicas: int
    ) -> np.ndarray:
        return periodic(first, steps, 0, int(self.S))

    def update(
        self, w: Tensor, oracle: Oracle, state: AnchorGradient, draw: Drawn
    ) -> tuple[Tensor, AnchorGradient]:
        full = select(draw.restart, oracle.full_gradient(w, draw.restart), state.full)
        anchor = select(draw.restart, w, state.anchor)
        g = oracle.gradient(w) - oracle.gradient(anchor) + full
        return add_scaled(w, -self.at(self.eta, draw.t), g), AnchorGradient(anchor, full)
