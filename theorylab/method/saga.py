"""SAGA: variance reduction by a table of the samples' last gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle

__all__ = ["SAGA", "Table"]


class Table(NamedTuple):
    """The last gradient of each sample, shape ``(..., n, d)``."""

    table: Tensor


@final
@dataclass(frozen=True)
class SAGA(UpdateRule[Table]):
    """``w <- w - eta (grad f_i(w) - a_i + (1/n) sum_j a_j)``, then ``a_i <- grad f_i(w)``.

    The table ``a`` starts as the samples' gradients at ``w_0``. With a mini-batch, the difference
    is averaged over its samples.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).

    Raises
    ------
    UsageError
        If the objective is no finite sum.

    References
    ----------
    Defazio, Bach and Lacoste-Julien (2014), equation (2).

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.problem.oracle import MiniBatch
    >>> data = synthetic.robust_regression(n=4, dim=2)
    >>> rule, w = SAGA(eta=1.0), data.start.unsqueeze(0)
    >>> state = rule.init(w, MiniBatch(data))
    >>> moved, _ = rule.update(w, MiniBatch(data, [torch.tensor([[3]])]), state,
    ...                        Drawn(torch.tensor(1.0)))
    >>> torch.allclose(moved, w - data.gradient(w))  # the first step is that of gradient descent
    True
    """

    name: ClassVar[str] = "saga"
    source: ClassVar[str] = "Defazio, Bach and Lacoste-Julien (2014), equation (2)"
    needs: ClassVar[frozenset[str]] = frozenset({"every_gradient", "sample_gradients", "samples"})

    eta: Hyper

    def init(self, w: Tensor, oracle: Oracle) -> Table:
        return Table(oracle.every_gradient(w))

    def update(self, w: Tensor, oracle: Oracle, state: Table, draw: Drawn) -> tuple[Tensor, Table]:
        fresh = oracle.sample_gradients(w)
        where = oracle.samples.to(torch.int64).unsqueeze(-1).expand_as(fresh)
        change = fresh - state.table.gather(-2, where)
        g = change.mean(-2) + state.table.mean(-2)
        moved = add_scaled(w, -self.at(self.eta, draw.t), g)
        return moved, Table(state.table.scatter(-2, where, fresh))
