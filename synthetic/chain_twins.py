"""Twins that part along a chain of kinks: stability under steps beyond ``2/ell``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthetic.laws import mean_of_rows
from synthetic.shared import count, given, positive
from theorylab.problem.objective import Constant, FiniteSum
from theorylab.problem.tracing import row_by_row

__all__ = ["ChainTwins", "chain_twins"]

_RHO = 0.1  # how much of a step along one piece is felt by the next


class ChainTwins(FiniteSum):
    """All samples but one are a smoothed maximum of linear pieces; that one is linear.

    With ``k`` pieces on either side of the middle coordinate ``w_0``, ``N = sqrt(1 + rho^2)`` and
    ``y_j = (w_j - rho w_{j-1})/N``, ``y_{-j} = -(w_{-j} - rho w_{-j+1})/N``, they are
    ``h(w) = G max_{p >= 0, sum p <= 1} <p, y> - (nu/2)||p||^2``: convex, ``G``-Lipschitz, and with
    ``nu = G||V||^2/ell`` (``y = V w``) ``ell``-smooth. The other sample is ``G w_0``, a twin's
    ``-G w_0``. Whichever is drawn starts its own half of the chain: every step along one piece
    makes the next one positive. What tells the runs apart best is ``G <c, w>``, which no run draws.

    Parameters
    ----------
    n : int
        Samples.
    k : int
        Pieces on either side: ``d = 2 k + 1``.
    G, ell : float
    parameters : mapping
    dtype : torch.dtype
    pairs : int, optional
        Replacements that follow the n samples.

    Examples
    --------
    >>> F = ChainTwins(20, 3, 2.0, 1.0)
    >>> {name: float(c) for name, c in F.sample_constants().items()}
    {'ell': 1.0, 'L': 1.0, 'delta': 0.0, 'G': 2.0}
    """

    name = "chain_twins"

    def __init__(
        self,
        n: int,
        k: int,
        G: float,
        ell: float,
        parameters: Mapping[str, Any] | None = None,
        dtype: torch.dtype = torch.float64,
        pairs: int | None = None,
    ) -> None:
        self._size, self.k, self.G, self.ell, self._pairs = n, k, float(G), float(ell), pairs
        self.parameters = dict(parameters or {})
        self.start = torch.zeros(2 * k + 1, dtype=dtype)
        rho, length = _RHO, math.hypot(1.0, _RHO)
        self._near, self._far = 1 / length, rho / length
        # The pieces' Gram matrix: rho/N^2 beside the diagonal, and between the two inner ones.
        gram = np.eye(2 * k) - rho / length**2 * (np.eye(2 * k, k=1) + np.eye(2 * k, k=-1))
        gram[k - 1, k] = gram[k, k - 1] = -((rho / length) ** 2)
        self._nu = self.G * float(np.linalg.eigvalsh(gram)[-1]) * (1 + 1e-12) / self.ell
        rows = np.zeros((n + (0 if pairs is None else pairs + 1), 2 * k + 1))
        rows[0, k] = self.G
        if pairs is not None:
            rows[n:, k] = -self.G
            fading = 1 - np.arange(1, k + 1) / (k + 1)
            telling = np.concatenate([fading[::-1], [2.0], fading])
            rows[-1] = self.G * telling / np.linalg.norm(telling)
        self._rows = torch.tensor(rows, dtype=dtype)
        self._bent = torch.tensor(~rows.any(axis=1))

    @property
    def n(self) -> int:
        return self._size + (self._pairs or 0)

    @property
    def probes(self) -> tuple[int, ...]:
        return () if self._pairs is None else (self.n,)

    # --- the function ------------------------------------------------------------------------
    def _levels(self, w: Tensor) -> Tensor:
        """``y``, from the leftmost piece to the rightmost: shape (R, 2k)."""
        k, near, far = self.k, self._near, self._far
        left = far * w[:, 1 : k + 1] - near * w[:, :k]
        right = near * w[:, k + 1 :] - far * w[:, k:-1]
        return torch.cat([left, right], 1)

    def _weights(self, y: Tensor) -> Tensor:
        """The ``p`` that attains the maximum: ``y/nu`` projected on the simplex and below it."""
        x = (y / self._nu).clamp_min(0.0)
        most, order = x.sort(dim=1, descending=True)[0], torch.arange(1, x.shape[1] + 1)
        excess = (most.cumsum(1) - 1) / order.to(x.dtype)
        inside = (most > excess).sum(1, keepdim=True)
        threshold = excess.gather(1, inside - 1)
        return (x - threshold.clamp_min(0.0)).clamp_min(0.0)

    def _chain_value(self, w: Tensor) -> Tensor:
        y = self._levels(w)
        p = self._weights(y)
        return self.G * ((p * y).sum(1) - self._nu / 2 * p.square().sum(1))

    def _chain_gradient(self, w: Tensor) -> Tensor:
        if row_by_row():
            return self._slopes(w)
        # Most rows have not left the start, or have every piece behind them.
        rows = w.any(1).nonzero().squeeze(1)
        rows = rows[(self._levels(w.index_select(0, rows)) > 0).any(1)]
        found = torch.zeros_like(w)
        return found.index_copy_(0, rows, self._slopes(w.index_select(0, rows)))

    def _slopes(self, w: Tensor) -> Tensor:
        k, near, far = self.k, self.G * self._near, self.G * self._far
        p = self._weights(self._levels(w))
        left, right, zero = p[:, :k], p[:, k:], p.new_zeros(len(p), 1)
        slopes = torch.cat([-near * left, zero, near * right], 1)
        slopes[:, 1 : k + 1] += far * left
        slopes[:, k:-1] -= far * right
        return slopes

    def value(self, w: Tensor) -> Tensor:
        return (self._chain_value(w) * (self._size - 1) + self.G * w[:, self.k]) / self._size

    def gradient(self, w: Tensor) -> Tensor:
        total = self._chain_gradient(w) * (self._size - 1)
        total[:, self.k] += self.G
        return total / self._size

    def sample_value(self, w: Tensor, draw: Tensor) -> Tensor:
        linear = [(self._rows.index_select(0, i) * w).sum(-1) for i in draw.unbind(1)]
        bent = self._bent.index_select(0, draw.reshape(-1)).view(draw.shape)
        return torch.where(bent, self._chain_value(w).unsqueeze(1), torch.stack(linear, 1))

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        share = self._bent.index_select(0, draw.reshape(-1)).view(draw.shape).to(w.dtype)
        chain = self._chain_gradient(w) * share.mean(1, keepdim=True)
        return chain.add_(mean_of_rows(self._rows, draw))

    # --- what is certified -------------------------------------------------------------------
    @property
    def declared(self) -> frozenset[str]:
        return frozenset(["convex"])

    @property
    def sample_declared(self) -> frozenset[str]:
        return self.declared

    def sample_constants(self) -> Mapping[str, Constant]:
        bend = Constant(self.ell, "closed form", attained=True)
        return {"ell": bend, "L": bend, "delta": Constant(0.0, "closed form", attained=True),
                "G": Constant(self.G, "closed form", attained=True)}  # fmt: skip

    def region_constants(self) -> Mapping[str, Constant]:
        return {"G": Constant(self.G, "closed form", attained=True)}

    def constants(self) -> Mapping[str, Constant]:
        # Two gradients are at most 2 G apart; no spread about the mean beats the mean square.
        rare = 1 / self._size
        spread = self.G if self._pairs else self.G * min(1.0, 2 * math.sqrt(rare * (1 - rare)))
        plain = {"ell": self.ell, "L": self.ell, "G": self.G, "sigma": spread}
        found = {name: Constant(value, "closed form") for name, value in plain.items()}
        exact = {"delta": 0.0, "n": float(self._size), "d": float(self.dim)}
        return found | {k: Constant(v, "closed form", attained=True) for k, v in exact.items()}

    def minimum(self) -> float:
        return math.nan

    # --- other samples -----------------------------------------------------------------------
    def resize(self, n: int, seed: int = 0) -> ChainTwins:
        return ChainTwins(n, self.k, self.G, self.ell, {**self.parameters, "n": n},
                          self.start.dtype)  # fmt: skip

    def replacement(self, seed: int, pairs: int) -> tuple[np.ndarray, ChainTwins]:
        whole = ChainTwins(self._size, self.k, self.G, self.ell, self.parameters,
                           self.start.dtype, pairs)  # fmt: skip
        return np.zeros(pairs, dtype=int), whole


def chain_twins(
    n: int = 400,
    dim: int = 11,
    G: float = 1.0,
    ell: float = 1.0,
    dtype: torch.dtype = torch.float64,
) -> ChainTwins:
    """``n`` convex losses whose twins part by more than ``2 G^2 eta T/n``, steps being long.

    With ``eta ell >= 13`` every step after the replaced sample moves along another coordinate, as
    on a non-smooth loss: ``t`` steps later the runs are about ``eta G sqrt(4 + 2 t)`` apart, where
    two steps of at most ``2/ell`` would not part them beyond ``2 eta G``.

    Parameters
    ----------
    n : int
        Samples, at least 2.
    dim : int
        Dimension, at least 3; an even one is the odd one below.
    G : float
        Of every sample, attained (F/X).
    ell : float
        Of every sample, attained (F/X^2).

    References
    ----------
    After Bassily, Feldman, Guzman & Talwar (2020), "Stability of stochastic gradient descent on
    nonsmooth convex losses", Section 4; the chain and its smoothing are ours.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> F = chain_twins(dim=5)
    >>> w = torch.tensor([[0.0, 0.0, -100.0, 0.0, 0.0]], dtype=torch.float64)
    >>> [round(x, 3) for x in F.sample_gradient(w, torch.tensor([[1]]))[0].tolist()]
    [0.0, 0.0, -0.1, 0.995, 0.0]
    """
    parameters = given(locals())
    n, dim = count("chain_twins", "n", n, least=2), count("chain_twins", "dim", dim, least=3)
    positive("chain_twins", G=G, ell=ell)
    return ChainTwins(n, (dim - 1) // 2, G, ell, parameters, dtype)
