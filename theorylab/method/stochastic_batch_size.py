"""Stochastic batch size: every parameter waits a random number of mini-batches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple, final

import torch
from torch import Tensor

from theorylab.method.layers import Layout, check_layout, reduce_layers, spread_layers
from theorylab.method.rule import Draw, Drawn, Hyper, UpdateRule, add_scaled, is_zero, norm
from theorylab.problem.oracle import Oracle
from theorylab.problem.tracing import row_by_row

__all__ = ["StochasticBatchSize1", "StochasticBatchSize2", "Waiting", "update_probability"]

Across = Literal["kind", "all"]
Step = Literal["eta", "k_eta"]


def sigmoid(x: Tensor) -> Tensor:
    """``1/(1 + exp(-x))`` by tanh: torch.sigmoid's bits depend on an entry's place in a tensor.

    >>> sigmoid(torch.zeros(1))
    tensor([0.5000])
    """
    if not isinstance(x, Tensor):
        return x.sigmoid()  # a vector in parts has no such place, and tanh takes ten times as long
    if row_by_row():
        return torch.sigmoid(x)  # nor does compiled code know any
    return torch.tanh(x / 2).add_(1).div_(2)


def update_probability(
    g: Tensor, alpha: Any, lambda_: Any, layout: Layout = (), across: Across = "kind"
) -> Tensor:
    """``p_j = s(v_j; alpha, lambda_ mu~_l)``: how likely each parameter is to be updated.

    ``v_j = (|g_j| - mu_l)/sigma_l`` within layer l; ``mu~_l = (mu_l - mu)/sigma``, where mu and
    sigma are the mean and standard deviation of the layers' means, each layer weighted by its
    number of parameters, over the layers of the same kind or over all of them.

    Where a standard deviation is 0 up to rounding (a layer of one parameter, a kind of one
    layer, equal magnitudes) the standardised value is 0, the mean of any distribution.

    Parameters
    ----------
    g : Tensor, shape (..., d)
        Gradient (units F/X; p has none).
    alpha, lambda_ : float or Tensor
        Local and global slopes; the local scheme has ``lambda_ = 0``, the global ``alpha = 0``.
    layout : tuple of (str, int)
        Consecutive layers: kind and size. Empty: one layer.
    across : "kind" or "all"
        Which layers' means are compared.

    Returns
    -------
    Tensor, shape (..., d)

    References
    ----------
    Stochastic batch size, equations (16)-(21).

    Examples
    --------
    >>> update_probability(torch.tensor([0.0, 2.0]), alpha=1.0, lambda_=0.0)
    tensor([0.2689, 0.7311])
    """
    size = g.abs()
    slope = None if is_zero(alpha) else alpha
    mean, deviation = _moments(size, layout, slope is not None)
    local = 0.0 if slope is None else _standardised(size, mean, deviation, slope, layout)
    if is_zero(lambda_) or len(layout) <= 1:
        return torch.full_like(g, 0.5) if isinstance(local, float) else sigmoid(local)
    weights = _weights(layout, across, g.dtype, g.device)
    centre = (mean.unsqueeze(-1) * weights).sum(-2)
    # Each layer's deviation from the mean of its own kind, by differences: a layer that has nearly
    # all of a kind's parameters is its mean up to rounding.
    off = ((mean.unsqueeze(-2) - mean.unsqueeze(-1)) * weights).sum(-2)
    spread = (off.square().unsqueeze(-1) * weights).sum(-2).sqrt()
    far = off * _inverse(spread, centre, g.dtype)
    return sigmoid(local + lambda_ * spread_layers(far, layout, g))


def _mean(x: Tensor) -> Tensor:
    return x.mean(-1, keepdim=True)


def _moments(size: Tensor, layout: Layout, both: bool) -> tuple[Tensor, Tensor]:
    """Each layer's mean and, if ``both`` are wanted, standard deviation (else the mean twice)."""
    many = len(layout) > 1
    if both and not isinstance(size, Tensor):  # a vector in parts knows both from one pass
        return (size.per_layer() if many else size).spread()
    mean = reduce_layers(_mean, size, layout)
    if not both:
        return mean, mean
    # The deviation by the norm: torch.std is thirty times slower along short rows.
    root = _roots(layout, mean.dtype, mean.device) if many else math.sqrt(size.shape[-1])
    return mean, reduce_layers(norm, size - spread_layers(mean, layout, size), layout) / root


def _standardised(
    size: Tensor, mean: Tensor, deviation: Tensor, slope: Any, layout: Layout
) -> Tensor:
    """``slope (size - mean)/deviation``."""
    steep = slope * _inverse(deviation, mean, size.dtype)
    centred = size - spread_layers(mean, layout, size)
    return centred * spread_layers(steep, layout, size)


def _inverse(deviation: Tensor, mean: Tensor, dtype: torch.dtype) -> Tensor:
    """``1/deviation``, or 0 where the deviation is rounding error (in ``dtype``) of ``mean``."""
    noise = mean.abs() * (8 * torch.finfo(dtype).eps)
    return torch.where(deviation > noise, deviation.reciprocal(), torch.zeros_like(deviation))


@cache
def _roots(layout: Layout, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor([math.sqrt(n) for _, n in layout], dtype=dtype, device=device)


@cache
def _weights(layout: Layout, across: Across, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Entry (i, l): the weight of layer i in the mean that layer l is compared with."""
    alike = [[across == "all" or a == b for b, _ in layout] for a, _ in layout]
    sizes = torch.tensor([float(n) for _, n in layout], dtype=torch.float64)
    table = torch.tensor(alike, dtype=torch.float64) * sizes[:, None]
    return (table / table.sum(0)).to(device, dtype)


class Waiting(NamedTuple):
    """Of every parameter: how many mini-batches it waits for, momentum, moving average."""

    k: Tensor
    v: Tensor | None = None
    mean: Tensor | None = None


@dataclass(frozen=True)
class _StochasticBatchSize(UpdateRule[Waiting]):
    eta: Hyper
    alpha: Hyper = 0.1
    lambda_: Hyper = -4.0
    layout: Layout = ()
    across: Across = "kind"
    step: Step = "eta"
    beta: Hyper = 0.0
    weight_decay: Hyper = 0.0

    draws: ClassVar[tuple[Draw, ...]] = (Draw("chi", "uniform", "coordinate"),)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layout(self.name, self.layout)
        for name, value, known in (("across", self.across, ("kind", "all")),
                                   ("step", self.step, ("eta", "k_eta"))):  # fmt: skip
            if value not in known:
                raise ValueError(f"{self.name}: {name} must be {known[0]!r} or {known[1]!r}, "
                                 f"got {value!r}")  # fmt: skip

    def init(self, w: Tensor, oracle: Oracle) -> Waiting:
        return Waiting(torch.ones_like(w), None if is_zero(self.beta) else torch.zeros_like(w))

    def _chosen(self, g: Tensor, draw: Drawn) -> Tensor:
        """chi as numbers 0 and 1."""
        t = draw.t
        alpha, lambda_ = self.at(self.alpha, t), self.at(self.lambda_, t)
        p = update_probability(g, alpha, lambda_, self.layout, self.across)
        return (draw.own["chi"] < p).to(g.dtype)

    def _move(
        self, w: Tensor, g: Tensor, chi: Tensor, state: Waiting, draw: Drawn
    ) -> tuple[Tensor, Waiting]:
        t, k = draw.t, state.k
        g = add_scaled(g, self.at(self.weight_decay, t), w)
        new = Waiting(torch.addcmul(k, k, chi, value=-1).add_(1))
        if state.v is not None:
            moved = add_scaled(g, self.at(self.beta, t), state.v)
            g = torch.lerp(state.v, moved, chi)
            new = Waiting(new.k, g)
        weight = chi * k if self.step == "k_eta" else chi
        eta = self.at(self.eta, t)
        if isinstance(eta, Tensor) or is_zero(eta):
            return add_scaled(w, -eta, weight * g), new
        return torch.addcmul(w, weight, g, value=-eta), new


@final
@dataclass(frozen=True)
class StochasticBatchSize1(_StochasticBatchSize):
    """Algorithm 1: parameter j moves with probability p_j, by the gradient of all it waited for.

    ``w_j <- w_j - chi_j eta g_j`` with ``chi_j ~ Bernoulli(p_j)``, where ``g_j`` averages the
    gradients at the current w over the ``k_j`` mini-batches since j last moved, the current one
    included, and ``p_j`` is :func:`update_probability` of those averages. Mini-batches older
    than the last ``memory`` are forgotten (a parameter that waits so long averages the last
    ``memory``); at p near 1/2 that happens with probability about ``2^-memory``.

    Decisions the paper leaves open: with ``beta``, parameter j's momentum moves when j moves;
    weight decay joins the gradient when j moves, and does not enter ``p_j``.

    Parameters
    ----------
    eta : float, Tensor or Schedule
        Step size (X^2/F).
    alpha, lambda_ : float or Tensor
        Slopes within and across layers.
    layout : tuple of (str, int)
        Kind and size of each layer; empty: one layer, and ``lambda_`` has no effect.
    across : "kind" or "all"
        Whether layers' means are compared within a kind or over all.
    step : "eta" or "k_eta"
        Algorithm 1's ``eta``, or equation (13)'s ``k_j eta``.
    beta, weight_decay : float or Tensor
        See above.
    memory : int
        Mini-batches kept; a gradient of each is needed at every step.

    References
    ----------
    Stochastic batch size, equations (9)-(12), (16)-(21), Algorithm 1.

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = StochasticBatchSize1(eta=1.0, memory=2), torch.zeros(2)
    >>> oracle = FunctionOracle(torch.ones_like)
    >>> draw = Drawn(torch.tensor(1.0), own={"chi": torch.tensor([0.0, 0.9])})
    >>> rule.update(w, oracle, rule.init(w, oracle), draw)[0]
    tensor([-1.,  0.])
    """

    name: ClassVar[str] = "stochastic_batch_size_1"
    source: ClassVar[str] = "Stochastic batch size, Algorithm 1"

    memory: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.memory >= 1 and int(self.memory) == self.memory):
            raise ValueError(f"{self.name}: memory must be an integer of at least 1, "
                             f"got {self.memory!r}")  # fmt: skip

    @property
    def lags(self) -> int:
        return int(self.memory)

    def update(
        self, w: Tensor, oracle: Oracle, state: Waiting, draw: Drawn
    ) -> tuple[Tensor, Waiting]:
        if self.lags > 1:
            held, g = state.k.clamp_max(self.lags), oracle.gradient(w)
            for lag in range(1, self.lags):
                waited = (held > lag).to(g.dtype)
                g = torch.addcmul(g, waited, oracle.gradient(w, lag))
            g = g / held
        else:
            g = oracle.gradient(w)
        return self._move(w, g, self._chosen(g, draw), state, draw)


@final
@dataclass(frozen=True)
class StochasticBatchSize2(_StochasticBatchSize):
    """Algorithm 2: as Algorithm 1, with one gradient a step and a cumulative moving average.

    ``m_j <- m_j + (g_j - m_j)/k_j``, ``w_j <- w_j - chi_j eta m_j``; where ``chi_j = 1``,
    ``m_j <- 0`` and ``k_j <- 1``, elsewhere ``k_j <- k_j + 1``. The averaged gradients were
    taken at moving iterates, so this is another algorithm, not a faster Algorithm 1. ``p_j`` is
    :func:`update_probability` of the current mini-batch's gradient, the pseudo-code's ``g^t``.

    Decisions the paper leaves open: with ``beta``, parameter j's momentum moves when j moves;
    weight decay joins the average when j moves, and does not enter ``p_j``.

    Parameters
    ----------
    eta, alpha, lambda_, layout, across, beta, weight_decay
        As for :class:`StochasticBatchSize1`.
    step : "eta" or "k_eta"
        Algorithm 2's ``eta`` or equation (13)'s ``k_j eta``: different algorithms, the first
        moving ``1/E[k]`` as far.

    References
    ----------
    Stochastic batch size, equations (13)-(21), Algorithm 2.

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = StochasticBatchSize2(eta=1.0), torch.zeros(2)
    >>> state = rule.init(w, FunctionOracle(torch.ones_like))
    >>> for g, chi in ((1.0, [0.0, 0.9]), (3.0, [0.9, 0.0])):
    ...     oracle = FunctionOracle(lambda w: torch.full((2,), g))
    ...     draw = Drawn(torch.tensor(1.0), own={"chi": torch.tensor(chi)})
    ...     w, state = rule.update(w, oracle, state, draw)
    >>> w, state.k
    (tensor([-1., -2.]), tensor([2., 1.]))
    """

    name: ClassVar[str] = "stochastic_batch_size_2"
    source: ClassVar[str] = "Stochastic batch size, Algorithm 2"

    def init(self, w: Tensor, oracle: Oracle) -> Waiting:
        return super().init(w, oracle)._replace(mean=torch.zeros_like(w))

    def update(
        self, w: Tensor, oracle: Oracle, state: Waiting, draw: Drawn
    ) -> tuple[Tensor, Waiting]:
        g = oracle.gradient(w)
        assert state.mean is not None
        chi = self._chosen(g, draw)
        mean = torch.addcdiv(state.mean, g - state.mean, state.k)
        w, state = self._move(w, mean, chi, state, draw)
        return w, state._replace(mean=torch.addcmul(mean, mean, chi, value=-1))
