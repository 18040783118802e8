"""SVRG: variance reduction by a full gradient at an anchor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from theorylab.method.proximal import count, periodic
from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled, select
from theorylab.problem.oracle import Oracle

__all__ = ["SVRG", "AnchorGradient"]


class AnchorGradient(NamedTuple):
    """Where the round began, the full gradient there, and the mean of the round's iterates."""

    anchor: Tensor
    full: Tensor
    mean: Tensor | None = None


@final
@dataclass(frozen=True)
class SVRG(UpdateRule[AnchorGradient]):
    """``w <- w - eta (g(w) - g(a) + grad F(a))``, both ``g`` on the same mini-batch.

    The anchor ``a`` is where a round of ``S`` steps begins: at the last iterate (Option I), or at
    the mean of the last round's iterates after each step, which is then the output as well.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    S : int
        Steps in a round (the paper's m).
    anchor : "last" or "mean"
        Which iterate of a round the next one begins at.

    Raises
    ------
    ValueError
        If S < 1 or differs between replicas, or ``anchor`` is none of the two.

    References
    ----------
    Johnson and Zhang (2013), "Procedure SVRG"; the mean: Xiao and Zhang (2014), Prox-SVRG.

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
    anchor: Literal["last", "mean"] = field(default="last", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        count(self, "S", 1)
        if self.anchor not in ("last", "mean"):
            raise ValueError(f"svrg: anchor must be 'last' or 'mean', got {self.anchor!r}")

    def init(self, w: Tensor, oracle: Oracle) -> AnchorGradient:
        return AnchorGradient(w, torch.zeros_like(w), w if self.anchor == "mean" else None)

    def restarts(
        self, rng: np.random.Generator, first: int, steps: int, replicas: int
    ) -> np.ndarray:
        return periodic(first, steps, 0, int(self.S))

    def update(
        self, w: Tensor, oracle: Oracle, state: AnchorGradient, draw: Drawn
    ) -> tuple[Tensor, AnchorGradient]:
        if state.mean is not None:
            w = select(draw.restart, state.mean, w)
        full = select(draw.restart, oracle.full_gradient(w, draw.restart), state.full)
        anchor = select(draw.restart, w, state.anchor)
        g = oracle.gradient(w) - oracle.gradient(anchor) + full
        w = add_scaled(w, -self.at(self.eta, draw.t), g)
        mean = state.mean
        if mean is not None:  # of this round's steps, 1 .. S of them
            mean = torch.lerp(mean, w, 1 / (torch.remainder(draw.t - 1, int(self.S)) + 1))
        return w, AnchorGradient(anchor, full, mean)

    def output(self, w: Tensor, state: AnchorGradient) -> Tensor:
        return w if state.mean is None else state.mean
