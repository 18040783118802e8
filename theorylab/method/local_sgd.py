"""Local SGD, also called federated averaging: workers step alone, and average now and then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, final

import numpy as np
from torch import Tensor

from theorylab.method.proximal import count, periodic
from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled, select
from theorylab.problem.oracle import Oracle

__all__ = ["Local", "LocalSGD", "everywhere", "for_workers"]


class Local(NamedTuple):
    """The workers' points, shape ``(..., M, d)``; with a server's step, where the round began."""

    points: Tensor
    anchor: Tensor | None = None


def everywhere(w: Tensor, workers: int) -> Tensor:
    """``w`` at each worker, ``(..., d)`` to ``(..., M, d)``."""
    return w.unsqueeze(-2).expand(*w.shape[:-1], workers, w.shape[-1]).clone()


@final
@dataclass(frozen=True)
class LocalSGD(UpdateRule[Local]):
    """Rounds of ``S`` steps ``w_m <- w_m - eta g_m(w_m)``, all workers from one point a round.

    ``w`` is the mean of the workers' points; a round begins by communicating it to all of them.
    With ``server`` other than 1 the round ends with ``w <- a + server (mean_m w_m - a)``, where
    ``a`` is where the round began (FedAvg with a server's step).

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size of the workers (units X^2/F).
    S : int
        Local steps in a round; 1 is mini-batch SGD over the workers.
    server : float or Tensor
        The server's step, a pure number.

    Raises
    ------
    UsageError
        If the objective has no workers.
    ValueError
        If S < 1 or differs between replicas.

    References
    ----------
    McMahan, Moore, Ramage, Hampson and Arcas (2017), Algorithm 1, all clients in every round;
    Stich (2019), Algorithm 1; the server's step: Karimireddy et al. (2020), Algorithm 1, no
    control variates.

    Examples
    --------
    >>> import synthetic, torch
    >>> from theorylab.problem.oracle import MiniBatch
    >>> F = synthetic.curved_workers(condition=4.0, start=0.4)  # (w - 1)^2/2, (w + 1)^2/8
    >>> oracle, rule, w = MiniBatch(F, [torch.zeros(1, 1, 2, 0)]), LocalSGD(1.0, S=2), F.start[None]
    >>> state = rule.init(w, oracle)
    >>> for t in (1, 2):
    ...     w, state = rule.update(w, oracle, state, Drawn(torch.tensor(float(t)), t == 1))
    >>> [round(x, 6) for x in state.points.flatten().tolist()], round(w.item(), 6)
    ([1.0, 0.125], 0.5625)
    """

    name: ClassVar[str] = "local_sgd"
    source: ClassVar[str] = "McMahan et al. (2017), Algorithm 1; Stich (2019), Algorithm 1"
    needs: ClassVar[frozenset[str]] = frozenset({"workers", "worker_gradients", "communicate"})

    eta: Hyper
    S: int = 4
    server: Hyper = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        count(self, "S", 1)

    @property
    def _averages(self) -> bool:
        return isinstance(self.server, (int, float)) and self.server == 1

    def init(self, w: Tensor, oracle: Oracle) -> Local:
        points = everywhere(w, oracle.workers)
        if self._averages:
            return Local(points)
        return Local(points, w)

    def restarts(
        self, rng: np.random.Generator, first: int, steps: int, replicas: int
    ) -> np.ndarray:
        return periodic(first, steps, 0, int(self.S))

    def update(
        self, w: Tensor, oracle: Oracle, state: Local, draw: Drawn
    ) -> tuple[Tensor, Local]:  # fmt: skip
        oracle.communicate(draw.restart)
        restart, t = draw.restart, draw.t
        rows = restart if isinstance(restart, bool) else restart.unsqueeze(-2)
        points = select(rows, w.unsqueeze(-2).expand_as(state.points), state.points)
        points = add_scaled(
            points, -for_workers(self.at(self.eta, t)), oracle.worker_gradients(points)
        )
        mean = points.mean(-2)
        if state.anchor is None:
            return mean, Local(points)
        anchor = select(restart, w, state.anchor)
        moved = anchor + self.at(self.server, t) * (mean - anchor)
        ends = (t % int(self.S) == 0).expand_as(mean[..., :1])
        return select(ends, moved, mean), Local(points, anchor)


def for_workers(step: Any) -> Any:
    """A step for the workers' rows: one value a replica gains an axis."""
    return step.unsqueeze(-2) if isinstance(step, Tensor) and step.ndim else step
