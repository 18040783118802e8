"""Methods on a convex set: projected subgradient, Frank-Wolfe, mirror descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, Stateless, UpdateRule, add_scaled
from theorylab.problem.oracle import Oracle

__all__ = ["FrankWolfe", "MirrorDescent", "MirrorMean", "ProjectedSubgradient"]


@final
@dataclass(frozen=True)
class ProjectedSubgradient(UpdateRule[Stateless]):
    """``w <- P(w - eta g)``, with the projection P on the objective's convex set.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (units X^2/F).

    References
    ----------
    Shor (1964); Nesterov (2018), section 3.2.3.

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.problem.composite import Constrained
    >>> from theorylab.problem.geometry import Ball
    >>> from theorylab.problem.oracle import MiniBatch
    >>> F = Constrained(synthetic.quadratic(dim=2), Ball(1.0))
    >>> w = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    >>> rule, oracle = ProjectedSubgradient(eta=0.0), MiniBatch(F, [torch.zeros(1, 1)])
    >>> rule.update(w, oracle, Stateless(), Drawn(torch.tensor(1.0)))[0]
    tensor([[0.6000, 0.8000]], dtype=torch.float64)
    """

    name: ClassVar[str] = "projected_subgradient"
    source: ClassVar[str] = "Nesterov (2018), section 3.2.3"
    needs: ClassVar[frozenset[str]] = frozenset({"projection"})

    eta: Hyper

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        step = self.at(self.eta, draw.t)
        return oracle.projection(add_scaled(w, -step, oracle.gradient(w))), state


@final
@dataclass(frozen=True)
class FrankWolfe(UpdateRule[Stateless]):
    """``w <- (1-eta) w + eta u``, where u in the convex set has the least ``<g, u>``.

    Parameters
    ----------
    eta : float, Tensor or Schedule, optional
        Step in [0, 1] (no unit); ``2/(t+1)`` at step t from 1 by default.

    References
    ----------
    Frank and Wolfe (1956); Jaggi (2013), Algorithm 1.

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.problem.composite import Constrained
    >>> from theorylab.problem.geometry import Simplex
    >>> from theorylab.problem.oracle import MiniBatch
    >>> F = Constrained(synthetic.quadratic(dim=2), Simplex())
    >>> w = torch.tensor([[0.75, 0.25]], dtype=torch.float64)
    >>> oracle = MiniBatch(F, [torch.zeros(1, 1)])
    >>> FrankWolfe().update(w, oracle, Stateless(), Drawn(torch.tensor(1.0)))[0]
    tensor([[1., 0.]], dtype=torch.float64)
    """

    name: ClassVar[str] = "frank_wolfe"
    source: ClassVar[str] = "Jaggi (2013), Algorithm 1"
    needs: ClassVar[frozenset[str]] = frozenset({"linear_minimizer"})

    eta: Hyper | None = None

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        step = 2 / (draw.t + 1) if self.eta is None else self.at(self.eta, draw.t)
        return add_scaled(w, step, oracle.linear_minimizer(oracle.gradient(w)) - w), state


class MirrorMean(NamedTuple):
    """The mean of the iterates before the last step."""

    mean: Tensor


@final
@dataclass(frozen=True)
class MirrorDescent(UpdateRule[MirrorMean]):
    """``w <- argmin_u eta <g, u> + D(u, w)`` over the convex set; the output is the iterates' mean.

    D is the Bregman divergence of the objective's set: on the simplex that of the entropy, so
    that ``w_j`` becomes ``w_j exp(-eta g_j)``, normalised (entropic mirror descent).

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (its units are those of the divergence over F).

    References
    ----------
    Beck and Teboulle (2003), section 5, entropic descent algorithm.

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.problem.composite import Constrained
    >>> from theorylab.problem.geometry import Simplex
    >>> from theorylab.problem.oracle import MiniBatch
    >>> F = Constrained(synthetic.quadratic(dim=2, start=0.0), Simplex())
    >>> rule, w = MirrorDescent(eta=1.0), torch.full((1, 2), 0.5, dtype=torch.float64)
    >>> oracle = MiniBatch(F, [torch.zeros(1, 1)])
    >>> moved, _ = rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))
    >>> torch.allclose(moved, torch.softmax(-F.gradient(w), -1))
    True
    """

    name: ClassVar[str] = "mirror_descent"
    source: ClassVar[str] = "Beck and Teboulle (2003), section 5"
    needs: ClassVar[frozenset[str]] = frozenset({"mirror"})

    eta: Hyper

    def init(self, w: Tensor, oracle: Oracle) -> MirrorMean:
        return MirrorMean(w)

    def update(
        self, w: Tensor, oracle: Oracle, state: MirrorMean, draw: Drawn
    ) -> tuple[Tensor, MirrorMean]:
        moved = oracle.mirror(w, self.at(self.eta, draw.t) * oracle.gradient(w))
        return moved, MirrorMean(torch.lerp(state.mean, w, 1 / draw.t))

    def output(self, w: Tensor, state: MirrorMean) -> Tensor:
        return state.mean
