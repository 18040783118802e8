"""``MarginSum``: ``f_i(w) = phi(<a_i, w> - b_i)`` plus a non-convex regulariser."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthetic.losses import GemanMcClure, Loss, Squared
from synthetic.populations import Population, mean_loss
from synthetic.tiles import by_tiles, column_blocks
from theorylab.errors import UsageError
from theorylab.problem.affine import AffineGradients
from theorylab.problem.objective import Constant, FiniteSum, initial_distance

__all__ = ["MarginSum"]

_PENALTY = GemanMcClure()
_CACHE = 2**18  # bytes


class MarginSum(FiniteSum):
    """``F(w) = (1/n) sum_i phi(<a_i, w> - b_i) + alpha sum_j w_j^2/(1 + w_j^2)``.

    ``Hess F = (1/n) A^T diag(phi'') A + ...``, so with ``gamma = ||A^T A/n||``:
    ``L <= gamma sup phi'' + 2 alpha``, ``delta <= gamma (-inf phi'')_+ + alpha/2``,
    ``G <= sqrt(gamma) sup|phi'| + ...`` and ``sigma <= sup|phi'| sqrt((1/n) sum ||a_i||^2)``.
    Per sample ``gamma`` is ``max ||a_i||^2``.

    Parameters
    ----------
    name : str
    loss : Loss
        ``phi``.
    A : ndarray, shape (n, d)
    b : ndarray, shape (n,)
    start : ndarray, shape (d,)
    alpha : float
        Weight of the regulariser (F), at least 0; it belongs to every ``f_i``.
    population : Population
        The law the samples come from; new samples are drawn from it.
    parameters : mapping
    dtype : torch.dtype

    Examples
    --------
    >>> from synthetic.losses import GemanMcClure
    >>> F = MarginSum("toy", GemanMcClure(), np.eye(2), np.zeros(2), np.ones(2))
    >>> {k: round(float(c), 4) for k, c in F.sample_constants().items()}
    {'ell': 1.0, 'delta': 0.25, 'L': 1.0, 'G': 0.3248, 'Bf': 0.5}
    """

    def __init__(
        self,
        name: str,
        loss: Loss,
        A: np.ndarray,
        b: np.ndarray,
        start: np.ndarray,
        alpha: float = 0.0,
        population: Population | None = None,
        parameters: Mapping[str, Any] | None = None,
        dtype: torch.dtype = torch.float64,
        twin_size: int | None = None,
    ) -> None:
        self.name, self.loss, self.alpha = name, loss, float(alpha)
        self.population, self.parameters = population, dict(parameters or {})
        self._A, self._b = np.asarray(A, float), np.asarray(b, float)
        self._twin_size, self._dtype = twin_size, dtype
        self.start = torch.tensor(start, dtype=dtype)
        self.A, self.b = (torch.tensor(x, dtype=dtype) for x in (self._A, self._b))
        self._blocks = column_blocks(self.A)
        self._centred = not self._b.any()  # no offsets to subtract

    @property
    def n(self) -> int:
        return len(self._b)

    # --- the function ------------------------------------------------------------------------
    def _penalty(self, w: Tensor) -> Tensor:
        return 2 * self.alpha * _PENALTY.value(w).sum(-1)

    def value(self, w: Tensor) -> Tensor:
        value = mean_loss(self.loss, w, self.A, self.b)
        return value + self._penalty(w) if self.alpha else value

    def gradient(self, w: Tensor) -> Tensor:
        def tile(rows: Tensor) -> Tensor:
            total = torch.zeros_like(rows)
            for block in self._blocks:
                A = self.A[block]
                total += self.loss.slope((rows @ A.T).sub_(self.b[block])) @ A
            return total

        gradient = by_tiles(tile, w).div_(self.n)
        return self._penalised(gradient, w)

    def hessian(self, w: Tensor) -> Tensor:
        def tile(rows: Tensor) -> Tensor:
            bend = self.loss.curvature(rows @ self.A.T - self.b)
            return torch.stack([(self.A.T * row) @ self.A for row in bend]) / self.n

        total = by_tiles(tile, w)
        if self.alpha:
            total = total + torch.diag_embed(2 * self.alpha * _PENALTY.curvature(w))
        return total

    def _penalised(self, gradient: Tensor, w: Tensor) -> Tensor:
        return gradient.add_(_PENALTY.slope(w), alpha=2 * self.alpha) if self.alpha else gradient

    def sample_value(self, w: Tensor, draw: Tensor) -> Tensor:
        # Some columns at a time: (R, d) temporaries stay in the cache, all (R, B, d) do not.
        width = max(1, _CACHE // max(1, w.numel() * w.element_size()))
        values = []
        for some in draw.split(width, dim=1):
            i = some.reshape(-1)
            rows = self.A.index_select(0, i).view(*some.shape, -1)
            margin = (rows * w.unsqueeze(1)).sum(-1) - self.b.index_select(0, i).view(some.shape)
            values.append(self.loss.value(margin))
        total = values[0] if len(values) == 1 else torch.cat(values, 1)
        return total + self._penalty(w).unsqueeze(1) if self.alpha else total

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        if draw.shape[1] == 1:
            total = self._margin_gradient(w, draw.view(-1))
        else:
            # One sample at a time: (R, d) temporaries stay in the cache, (R, B, d) ones do not.
            columns = iter(draw.unbind(1))
            total = self._margin_gradient(w, next(columns))
            for i in columns:
                total.add_(self._margin_gradient(w, i))
            total.div_(draw.shape[1])
        return self._penalised(total, w)

    def _margin_gradient(self, w: Tensor, i: Tensor) -> Tensor:
        """``phi'(<a_i, w> - b_i) a_i`` for one sample a row."""
        rows = self.A.index_select(0, i)
        margin = torch.linalg.vecdot(rows, w)
        if not self._centred:
            margin.sub_(self.b.index_select(0, i))
        return rows.mul_(self.loss.slope(margin).unsqueeze(1))

    # --- what is certified -------------------------------------------------------------------
    @cached_property
    def _spectrum(self) -> tuple[float, float]:
        """Certified (least, greatest) eigenvalue of ``A^T A/n``, for twins of any twin."""
        size = self._twin_size or self.n
        squares = np.sum(self._A**2, axis=1)
        eigenvalues = np.linalg.eigvalsh(self._A.T @ self._A / size)
        # Forming and factoring the Gram matrix errs by less than this.
        slack = 4 * (self.n + self.dim) * np.finfo(float).eps * float(squares.sum()) / size
        high = min(float(eigenvalues[-1]) + slack, float(squares.max()))
        low = 0.0 if self._twin_size else max(float(eigenvalues[0]) - slack, 0.0)
        return low, high

    @cached_property
    def _consistent(self) -> bool:
        """Whether some w brings every margin to where phi'' is greatest."""
        peak = self.loss.ranges.peak
        if peak is None or self.alpha or self._twin_size is not None:
            return False
        target = self._b + peak
        w = np.linalg.lstsq(self._A, target, rcond=None)[0]
        return bool(np.abs(self._A @ w - target).max() < 1e-9)

    def _certify(
        self, gamma: tuple[float, float], how: str, attained: bool, bend_attained: bool
    ) -> dict[str, Constant]:
        r, alpha, penalty = self.loss.ranges, self.alpha, _PENALTY.ranges
        least, most = gamma
        top = most * max(r.curvature[1], 0.0) + 2 * alpha * penalty.curvature[1]
        bottom = most * r.concavity + 2 * alpha * penalty.concavity
        steepest = math.sqrt(most) * r.steepest
        steepest += 2 * alpha * penalty.steepest * math.sqrt(self.dim)
        if r.how != "closed form":
            how = f"{how}, {r.how}"
        attained, bend_attained = attained and r.attained, bend_attained and r.attained
        found = {
            "ell": Constant(max(top, bottom), how, bend_attained and bool(top >= bottom)),
            "delta": Constant(bottom, how, attained or bool(bottom == 0)),
            "L": Constant(top, how, bend_attained),
        }
        found = {name: c for name, c in found.items() if math.isfinite(c.value)}
        if r.curvature[0] > 0 and least > 0 and not alpha:
            mu = least * r.curvature[0]
            found["mu"] = Constant(mu, how, r.curvature[0] == r.curvature[1])
        if math.isfinite(steepest):
            found["G"] = Constant(steepest, how, attained)
        if math.isfinite(r.height):
            height = r.height + 2 * alpha * penalty.height * self.dim
            found["Bf"] = Constant(height, r.how, attained)
        return found

    @cached_property
    def _constants(self) -> Mapping[str, Constant]:
        r = self.loss.ranges
        size = self._twin_size or self.n
        single = self.n == 1 and not self.alpha
        found = self._certify(self._spectrum, "spectral norm", single,
                              self._consistent or single)  # fmt: skip
        rows = np.sum(self._A**2, axis=1)
        squares = np.sort(rows)[::-1]
        if math.isfinite(r.steepest):
            second = float(squares[:size].sum()) / size
            spread = 0.0 if size == 1 else r.steepest * math.sqrt(second)
            found["sigma"] = Constant(spread, "closed form", size == 1)
        start = self.start.unsqueeze(0)
        if self._twin_size is None and math.isfinite(self.minimum()):
            first = float(self.value(start)[0])
            exact = self.minimizer() is not None
            found["Delta"] = Constant(first - self.minimum(), "closed form", exact)
        elif self._twin_size is not None and math.isfinite(r.value[0]):
            every = torch.arange(self.n).unsqueeze(0)
            worst = float(self.sample_value(start, every).max())
            found["Delta"] = Constant(worst - r.value[0], "closed form")
        if "mu" in found:
            found |= dict.fromkeys(("mu_pl", "mu_qg"), found["mu"])
        best = self.minimizer()
        if best is not None and r.curvature[0] >= 0 and not self.alpha:
            # Each f_i is convex and ||a_i||^2 sup phi''-smooth: interpolation, sample by sample.
            found["ell_es"] = Constant(float(self._sample_constants["L"]), "closed form")
            slopes = self.loss.slope(torch.tensor(self._A @ best.double().numpy() - self._b))
            square = float(np.mean(rows * slopes.numpy() ** 2))
            found["sigma_star"] = Constant(math.sqrt(square), "closed form", True)
        if best is not None and "mu" in found:
            # mu ||w - w*|| <= ||grad F(w)||, whatever rounding left of it.
            left = float(self.gradient(best.unsqueeze(0)).double().norm())
            found |= initial_distance(self, left / float(found["mu"]))
        found["n"] = Constant(float(size), "closed form", True)
        found["d"] = Constant(float(self.dim), "closed form", True)
        return found

    def constants(self) -> Mapping[str, Constant]:
        return self._constants

    @cached_property
    def _sample_constants(self) -> Mapping[str, Constant]:
        squares = np.sum(self._A**2, axis=1)
        # Of more dimensions than one, a loss of <a, w> is flat across a.
        least = float(squares.min()) if self.dim == 1 else 0.0
        return self._certify((least, float(squares.max())), "closed form", not self.alpha,
                             not self.alpha)  # fmt: skip

    def sample_constants(self) -> Mapping[str, Constant]:
        return self._sample_constants

    def uncertified(self, constant: str) -> str:
        return self.loss.uncertified(constant)

    @property
    def sample_declared(self) -> frozenset[str]:
        convex = self.declared & {"convex"}  # one loss for every sample: convex alike
        return convex | ({"strongly_convex"} if "mu" in self._sample_constants else set())

    def affine_gradients(self) -> AffineGradients | None:
        least, most = self.loss.ranges.curvature
        if least != most or self.alpha or self._twin_size is not None:
            return None
        slopes = self.loss.slope(-torch.tensor(self._b)).numpy()
        return AffineGradients(
            np.full(self.n, 1 / self.n), least * self._A[:, :, None] * self._A[:, None, :],
            slopes[:, None] * self._A, np.zeros((self.dim, self.dim)),
        )  # fmt: skip

    @property
    def declared(self) -> frozenset[str]:
        if self.alpha or self.loss.ranges.curvature[0] < 0:
            return frozenset()
        return frozenset(["convex"] + ["strongly_convex"] * ("mu" in self.constants()))

    @cached_property
    def _optimum(self) -> tuple[float, Tensor | None]:
        """A certified lower bound of F and, for linear regression, where it is attained."""
        r = self.loss.ranges
        lowest = r.value[0]
        if isinstance(self.loss, Squared) and not self.alpha and self._twin_size is None:
            w = np.linalg.lstsq(self._A, self._b, rcond=None)[0]
            point = torch.tensor(w, dtype=torch.float64)
            residual = self._A @ w - self._b
            return 0.5 * float(np.mean(residual**2)), point.to(self._dtype)
        if self._consistent and r.minimizer is not None and r.minimizer == r.peak:
            w = np.linalg.lstsq(self._A, self._b + r.minimizer, rcond=None)[0]
            return lowest, torch.tensor(w, dtype=self._dtype)
        return lowest, None

    def minimum(self) -> float:
        return self._optimum[0]

    def minimizer(self) -> Tensor | None:
        return self._optimum[1]

    # --- other samples -----------------------------------------------------------------------
    def population_value(self, w: Tensor) -> Tensor | None:
        if self.population is None:
            return None
        value = self.population.risk(self.loss, w)
        return value + self._penalty(w) if self.alpha else value

    def population_constants(self) -> Mapping[str, Constant]:
        # The loss is bounded, or it is not, at every margin: whatever the sample is.
        known = self._sample_constants
        bounded = self.population is not None and "Bf" in known
        return {"Bf": Constant(known["Bf"].value, known["Bf"].how)} if bounded else {}

    def _law(self) -> Population:
        if self.population is None:
            raise UsageError(f"{self.name}: no population to draw new samples from")
        return self.population

    def _with(self, A: np.ndarray, b: np.ndarray, **changes: Any) -> MarginSum:
        parameters = {**self.parameters, **changes.pop("parameters", {})}
        return MarginSum(self.name, self.loss, A, b, self.start.double().numpy(), self.alpha,
                         self.population, parameters, self._dtype, **changes)  # fmt: skip

    def resize(self, n: int, seed: int = 0) -> MarginSum:
        A, b = self._law().sample(np.random.default_rng(seed), n)
        return self._with(A, b, parameters={"n": n, "seed": seed})

    def replacement(self, seed: int, pairs: int) -> tuple[np.ndarray, MarginSum]:
        rng = np.random.default_rng(seed)
        positions = rng.integers(0, self.n, size=pairs)
        A, b = self._law().sample(rng, pairs)
        return positions, self._with(
            np.concatenate([self._A, A]), np.concatenate([self._b, b]), twin_size=self.n
        )

    # --- samples as points (theorylab.stability.twins.SampleSpace) ------------------------------
    def sample(self, index: Tensor) -> Tensor:
        """The rows ``(a_i, b_i)``, shape ``(m, d + 1)``."""
        return torch.cat([self.A[index], self.b[index].unsqueeze(-1)], dim=-1)

    def sample_loss(self, w: Tensor, x: Tensor) -> Tensor:
        """The loss of sample ``x = (a, b)`` at ``w``, row by row: shape ``(R,)``."""
        value = self.loss.value((w * x[..., :-1]).sum(-1) - x[..., -1])
        return value + self._penalty(w) if self.alpha else value

    def admissible(self, x: Tensor) -> Tensor:
        """``x`` with ``||a||`` cut to the largest here: every per-sample constant still holds."""
        a, b = x[..., :-1], x[..., -1:]
        longest = torch.linalg.vector_norm(self.A, dim=-1).max()
        length = torch.linalg.vector_norm(a, dim=-1, keepdim=True).clamp_min(longest)
        return torch.cat([a * (longest / length), b], dim=-1)

    def with_replacements(self, x: Tensor) -> MarginSum:
        """The sum over these samples and then the rows of ``x``, with constants for all twins."""
        rows = x.double().numpy()
        return self._with(
            np.concatenate([self._A, rows[:, :-1]]), np.concatenate([self._b, rows[:, -1]]),
            twin_size=self.n,
        )  # fmt: skip
