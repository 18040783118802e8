"""SGD with top-k compression and error feedback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.proximal import count
from theorylab.method.rule import Drawn, Hyper, UpdateRule
from theorylab.problem.oracle import Oracle

__all__ = ["Held", "TopKSGD", "top_k"]


class Held(NamedTuple):
    """What compression held back so far."""

    e: Tensor


@final
@dataclass(frozen=True)
class TopKSGD(UpdateRule[Held]):
    """``p = e + eta g``, ``w <- w - top_k(p)``, ``e <- p - top_k(p)``, from ``e = 0``.

    ``top_k`` keeps the k entries of largest magnitude and zeroes the others.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    k : int
        Entries kept; all where there are fewer.

    Raises
    ------
    ValueError
        If k < 1 or differs between replicas.

    References
    ----------
    Stich, Cordonnier and Jaggi (2018), Algorithm 1 (Mem-SGD).

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = TopKSGD(eta=1.0, k=1), torch.zeros(2)
    >>> oracle = FunctionOracle(lambda w: torch.tensor([3.0, 2.0]))
    >>> w, state = rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))
    >>> w, state.e
    (tensor([-3.,  0.]), tensor([0., 2.]))
    """

    name: ClassVar[str] = "topk_sgd"
    source: ClassVar[str] = "Stich, Cordonnier and Jaggi (2018), Algorithm 1"

    eta: Hyper
    k: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        count(self, "k", 1)

    def init(self, w: Tensor, oracle: Oracle) -> Held:
        return Held(torch.zeros_like(w))

    def update(self, w: Tensor, oracle: Oracle, state: Held, draw: Drawn) -> tuple[Tensor, Held]:
        p = state.e + self.at(self.eta, draw.t) * oracle.gradient(w)
        sent = top_k(p, int(self.k))
        return w - sent, Held(p - sent)


def top_k(p: Tensor, k: int) -> Tensor:
    """The k entries of largest magnitude along the last axis, zeros elsewhere.

    >>> top_k(torch.tensor([1.0, -3.0, 2.0]), 2)
    tensor([ 0., -3.,  2.])
    """
    if not isinstance(p, Tensor):  # a vector in parts
        return p.top(k)
    where = p.abs().topk(min(k, p.shape[-1]), dim=-1).indices
    return torch.zeros_like(p).scatter(-1, where, p.gather(-1, where))
