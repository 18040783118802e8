"""Decentralised SGD: workers step alone and mix with their neighbours, no server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from theorylab.errors import UsageError
from theorylab.method.local_sgd import everywhere, for_workers
from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle

__all__ = ["DecentralizedSGD", "Gossip", "mixing_matrix", "spectral_gap"]

Rows = tuple[tuple[float, ...], ...]


class Gossip(NamedTuple):
    """The workers' points, shape ``(..., M, d)``."""

    points: Tensor


@cache
def mixing_matrix(topology: str, workers: int) -> Rows:
    """The weights of a topology, rows summing to 1.

    ``"ring"``: 1/3 to oneself and to each of two neighbours (two workers: 2/3 and 1/3, one: 1);
    ``"complete"``: ``1/M`` to all.

    >>> mixing_matrix("ring", 4)[0]
    (0.3333333333333333, 0.3333333333333333, 0.0, 0.3333333333333333)
    """
    if topology == "complete":
        table = np.full((workers, workers), 1 / workers)
    else:
        table = np.zeros((workers, workers))
        for m in range(workers):
            for other in {m, (m + 1) % workers, (m - 1) % workers} if workers > 2 else {m}:
                table[m, other] = 1 / 3
        if workers == 2:
            table = np.array([[2 / 3, 1 / 3], [1 / 3, 2 / 3]])
        if workers == 1:
            table = np.ones((1, 1))
    return tuple(map(tuple, table.tolist()))


def spectral_gap(mixing: Sequence[Sequence[float]]) -> float:
    """The greatest p with ``||W x - xbar||^2 <= (1 - p) ||x - xbar||^2`` for every x.

    It is ``1 - s^2``, s the greatest singular value of W off the mean.

    >>> round(spectral_gap(mixing_matrix("ring", 4)), 9), spectral_gap(mixing_matrix("complete", 3))
    (0.888888889, 1.0)
    """
    table = np.array(mixing, dtype=float)
    off = table - np.full_like(table, 1 / len(table))
    return max(0.0, 1 - float(np.linalg.norm(off, 2)) ** 2)


@final
@dataclass(frozen=True)
class DecentralizedSGD(UpdateRule[Gossip]):
    """``w_m <- sum_j W_mj (w_j - eta g_j(w_j))``: a step of each worker, then one mixing.

    With ``mix_first``, ``w_m <- sum_j W_mj w_j - eta g_m(w_m)``. ``w`` is the mean of the
    workers' points; all of them start at ``w_0``.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).
    topology : "ring" or "complete"
        See :func:`mixing_matrix`; ``mixing`` takes its place where it is given.
    mix_first : bool
        Whether points are mixed before the step, gradients taken before either.
    mixing : tuple of rows, optional
        W, doubly stochastic (rows and columns sum to 1, nothing negative), one row a worker.

    Raises
    ------
    UsageError
        If the objective has no workers, or other than as many as W has rows.
    ValueError
        If W is not doubly stochastic, or the topology unknown.

    References
    ----------
    Koloskova, Loizou, Boreiri, Jaggi and Stich (2020), Algorithm 1, with one W; mixing first:
    Yuan, Ling and Yin (2016), equation (2), Lian et al. (2017), Algorithm 1.

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.problem.oracle import MiniBatch
    >>> F = synthetic.shifted_workers(start=0.0)  # slopes w + 1 and w - 1
    >>> rule, w = DecentralizedSGD(0.5), F.start[None]
    >>> oracle = MiniBatch(F, [torch.zeros(1, 1, 2, 0)])
    >>> w, state = rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))
    >>> sorted(round(x, 4) for x in state.points.flatten().tolist()), w.item()
    ([-0.1667, 0.1667], 0.0)
    """

    name: ClassVar[str] = "decentralized_sgd"
    source: ClassVar[str] = "Koloskova et al. (2020), Algorithm 1"
    needs: ClassVar[frozenset[str]] = frozenset({"workers", "worker_gradients", "communicate"})

    eta: Hyper
    topology: Literal["ring", "complete"] = "ring"
    mix_first: bool = False
    mixing: Rows | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.topology not in ("ring", "complete"):
            raise ValueError(f"{self.name}: topology must be 'ring' or 'complete', "
                             f"got {self.topology!r}")  # fmt: skip
        if self.mixing is None:
            return
        table = np.array(self.mixing, dtype=float)
        square = table.ndim == 2 and table.shape[0] == table.shape[1]
        if not square or not (
            (table >= 0).all() and all(math.isclose(x, 1, rel_tol=1e-9)
                                       for x in (*table.sum(0), *table.sum(1)))
        ):  # fmt: skip
            raise ValueError(f"{self.name}: mixing must be a doubly stochastic matrix, "
                             "one row a worker")  # fmt: skip

    def weights(self, workers: int) -> Rows:
        """W for so many workers."""
        if self.mixing is None:
            return mixing_matrix(self.topology, workers)
        if len(self.mixing) != workers:
            raise UsageError(f"{self.name}: mixing has {len(self.mixing)} rows for "
                             f"{workers} workers")  # fmt: skip
        return self.mixing

    def init(self, w: Tensor, oracle: Oracle) -> Gossip:
        self.weights(oracle.workers)
        return Gossip(everywhere(w, oracle.workers))

    def update(
        self, w: Tensor, oracle: Oracle, state: Gossip, draw: Drawn
    ) -> tuple[Tensor, Gossip]:
        oracle.communicate()
        step = -for_workers(self.at(self.eta, draw.t))
        g, points = oracle.worker_gradients(state.points), state.points
        if not self.mix_first:
            points = add_scaled(points, step, g)
        each = points.unbind(-2)
        # Sum by sum: a product of matrices would round a row by how many there are.
        points = torch.stack([mixed(row, each) for row in self.weights(len(each))], dim=-2)
        if self.mix_first:
            points = add_scaled(points, step, g)
        return points.mean(-2), Gossip(points)


def mixed(row: Sequence[float], points: Sequence[Tensor]) -> Tensor:
    """``sum_j row_j points_j``, without the terms of weight 0."""
    total: Tensor | None = None
    for weight, point in zip(row, points, strict=True):
        if weight:
            total = weight * point if total is None else torch.add(total, point, alpha=weight)
    assert total is not None
    return total
