"""Workers that send the largest entries of their steps and keep the rest for later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.local_sgd import everywhere, for_workers
from theorylab.method.proximal import count
from theorylab.method.rule import Drawn, Hyper, UpdateRule
from theorylab.method.topk_sgd import top_k
from theorylab.problem.oracle import Oracle

__all__ = ["DistributedTopKSGD", "HeldBack"]


class HeldBack(NamedTuple):
    """What each worker held back so far, shape ``(..., M, d)``."""

    e: Tensor


@final
@dataclass(frozen=True)
class DistributedTopKSGD(UpdateRule[HeldBack]):
    """``p_m = e_m + eta g_m(w)``, ``w <- w - (1/M) sum_m top_k(p_m)``, ``e_m <- p_m - top_k(p_m)``.

    ``top_k`` keeps the k entries of largest magnitude; every worker its own.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    k : int
        Entries each worker sends; all where there are fewer.

    Raises
    ------
    UsageError
        If the objective has no workers.
    ValueError
        If k < 1 or differs between replicas.

    References
    ----------
    Stich, Cordonnier and Jaggi (2018), Algorithm 2 (Parallel-Mem-SGD), in rounds of one step of
    every worker.

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.problem.oracle import MiniBatch
    >>> F = synthetic.shifted_workers(dim=2, zeta=0.0, condition=2.0)
    >>> rule, w = DistributedTopKSGD(1.0, k=1), F.start[None]
    >>> oracle = MiniBatch(F, [torch.zeros(1, 1, 2, 0)])
    >>> w, state = rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))
    >>> w.tolist(), state.e.tolist()
    ([[0.0, 1.0]], [[[0.0, 0.5], [0.0, 0.5]]])
    """

    name: ClassVar[str] = "distributed_topk_sgd"
    source: ClassVar[str] = "Stich, Cordonnier and Jaggi (2018), Algorithm 2"
    needs: ClassVar[frozenset[str]] = frozenset({"workers", "worker_gradients", "communicate"})

    eta: Hyper
    k: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        count(self, "k", 1)

    def init(self, w: Tensor, oracle: Oracle) -> HeldBack:
        return HeldBack(torch.zeros_like(everywhere(w, oracle.workers)))

    def update(
        self, w: Tensor, oracle: Oracle, state: HeldBack, draw: Drawn
    ) -> tuple[Tensor, HeldBack]:
        oracle.communicate()
        g = oracle.worker_gradients(everywhere(w, oracle.workers))
        p = state.e + for_workers(self.at(self.eta, draw.t)) * g
        sent = top_k(p, int(self.k))
        return w - sent.mean(-2), HeldBack(p - sent)
