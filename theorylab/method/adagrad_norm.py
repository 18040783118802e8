"""AdaGrad-norm: one adaptive step size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle

__all__ = ["AdaGradNorm", "SquaredNorms"]


class SquaredNorms(NamedTuple):
    """The sum of ``b0^2`` and the squared gradient norms so far, one number a run."""

    b_squared: Tensor


@final
@dataclass(frozen=True)
class AdaGradNorm(UpdateRule[SquaredNorms]):
    """``b^2 <- b^2 + ||g||^2``, ``w <- w - (eta/b) g``, from ``b = b0``.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step scale (units X).
    b0 : float
        Above 0 (F/X).
    weight_decay : float or Tensor
        Weight of the penalty ``||w||^2/2``; it joins the gradient.

    Raises
    ------
    ValueError
        If ``b0`` is not positive.

    References
    ----------
    Ward, Wu and Bottou (2019), Algorithm 1.

    Examples
    --------
    >>> import torch
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = AdaGradNorm(eta=1.0, b0=3.0), torch.zeros(1)
    >>> oracle = FunctionOracle(lambda w: torch.full_like(w, 4.0))
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([-0.8000])
    """

    name: ClassVar[str] = "adagrad_norm"
    source: ClassVar[str] = "Ward, Wu and Bottou (2019), Algorithm 1"

    eta: Hyper
    b0: float = 1e-2
    weight_decay: Hyper = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.b0 > 0:
            raise ValueError(f"adagrad_norm: b0 must be positive, got {self.b0!r}")

    def init(self, w: Tensor, oracle: Oracle) -> SquaredNorms:
        return SquaredNorms(w.new_full((*w.shape[:-1], 1), self.b0**2))

    def update(
        self, w: Tensor, oracle: Oracle, state: SquaredNorms, draw: Drawn
    ) -> tuple[Tensor, SquaredNorms]:
        t = draw.t
        g = add_scaled(oracle.gradient(w), self.at(self.weight_decay, t), w)
        total = state.b_squared + g.square().sum(-1, keepdim=True)
        return w - self.at(self.eta, t) / total.sqrt() * g, SquaredNorms(total)
