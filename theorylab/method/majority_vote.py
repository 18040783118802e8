"""Sign SGD with majority vote: each worker sends signs, the server the sign of their sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.local_sgd import everywhere
from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled, is_zero
from theorylab.problem.oracle import Oracle

__all__ = ["MajorityVote", "Votes"]


class Votes(NamedTuple):
    """The workers' momenta, shape ``(..., M, d)``; absent without momentum."""

    m: Tensor | None = None


@final
@dataclass(frozen=True)
class MajorityVote(UpdateRule[Votes]):
    """``w <- w - eta (sign(sum_m sign(g_m)) + weight_decay w)``, ``g_m`` worker m's gradient at w.

    With momentum each worker votes by ``m_m <- beta m_m + (1-beta) g_m``, from ``m_m = 0``.
    ``sign(0) = 0``: where as many workers vote one way as the other, a coordinate stays.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step of every coordinate (units X).
    beta : float or Tensor
        Momentum in [0, 1).
    weight_decay : float or Tensor
        (1/X).

    Raises
    ------
    UsageError
        If the objective has no workers.

    References
    ----------
    Bernstein, Wang, Azizzadenesheli and Anandkumar (2018), Algorithm 3 (signSGD with majority
    vote); Bernstein, Zhao, Azizzadenesheli and Anandkumar (2019), Algorithm 1, with momentum.

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.problem.oracle import MiniBatch
    >>> F = synthetic.shifted_workers(M=3, zeta=3.0, start=1.0)  # slopes w and w +- 3.7
    >>> rule, w = MajorityVote(0.25), F.start[None]
    >>> oracle = MiniBatch(F, [torch.zeros(1, 1, 3, 0)])
    >>> w, state = rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))
    >>> w.item(), oracle.calls.communications
    (0.75, 1)
    """

    name: ClassVar[str] = "majority_vote"
    source: ClassVar[str] = "Bernstein et al. (2018), Algorithm 3; Bernstein et al. (2019)"
    needs: ClassVar[frozenset[str]] = frozenset({"workers", "worker_gradients", "communicate"})

    eta: Hyper
    beta: Hyper = 0.0
    weight_decay: Hyper = 0.0

    def init(self, w: Tensor, oracle: Oracle) -> Votes:
        zero = torch.zeros_like(everywhere(w, oracle.workers))
        return Votes(None if is_zero(self.beta) else zero)

    def update(
        self, w: Tensor, oracle: Oracle, state: Votes, draw: Drawn
    ) -> tuple[Tensor, Votes]:  # fmt: skip
        oracle.communicate()
        t, m = draw.t, oracle.worker_gradients(everywhere(w, oracle.workers))
        if state.m is not None:
            m = torch.lerp(m, state.m, self.at(self.beta, t))
            state = Votes(m)
        direction = add_scaled(m.sign().sum(-2).sign(), self.at(self.weight_decay, t), w)
        return add_scaled(w, -self.at(self.eta, t), direction), state
