"""How far a certificate was pushed, and the ascent that pushes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LOWER", "Reach", "ascend"]

LOWER = frozenset({"mu", "mu_pl", "mu_qg", "s_min"})
"""Constants that bound from below."""


@dataclass(frozen=True)
class Reach:
    """How far one certificate was pushed.

    Attributes
    ----------
    scope : str
        ``"F"``, or ``"f_i"`` for a constant that holds for every sample.
    name : str
        Of the constant; ``"L0"`` stands for the pair ``(L0, L1)``.
    certified, reached : float
        The certificate, and the most (for a lower bound, the least) that was found.
    slack : float
        What rounding (or, for sampled noise, chance) can add to ``reached``.
    point : tuple of float
        Where it was found.
    attained : bool
        Whether the certificate claims that no smaller constant would do.
    """

    scope: str
    name: str
    certified: float
    reached: float
    slack: float
    point: tuple[float, ...]
    attained: bool

    @property
    def ratio(self) -> float:
        """``reached/certified`` (inverted for lower bounds): at most 1, near 1 where attained."""
        top, bottom = self.reached, self.certified
        if self.name in LOWER:
            top, bottom = bottom, top
        return top / bottom if bottom else (0.0 if top <= self.slack else math.inf)

    @property
    def broken(self) -> bool:
        """Whether the certificate is refuted, beyond 1e-9 relative and rounding."""
        if self.name in LOWER:
            return self.reached < self.certified * (1 - 1e-9) - self.slack
        return self.reached > self.certified * (1 + 1e-9) + self.slack


def ascend(score: Callable[[Tensor], Tensor], x: Tensor, scale: Tensor, steps: int) -> Tensor:
    """Move each row of ``x`` uphill, a step that improved grows and one that did not shrinks."""
    step = 0.3 * scale.clone()

    def evaluate(point: Tensor) -> tuple[Tensor, Tensor]:
        point = point.detach().requires_grad_()
        scores = score(point)
        if not scores.requires_grad:  # the same everywhere
            return scores, torch.zeros_like(point)
        (slope,) = torch.autograd.grad(scores.sum(), point, allow_unused=True)
        slope = torch.zeros_like(point) if slope is None else slope
        return scores.detach().nan_to_num(-math.inf, -math.inf, -math.inf), slope.nan_to_num(0)

    best, slope = evaluate(x)
    for _ in range(steps):
        size = slope.norm(dim=-1, keepdim=True).clamp_min(1e-300)
        trial = x + step * slope / size
        scores, slopes = evaluate(trial)
        better = (scores > best).unsqueeze(1)
        x = torch.where(better, trial, x)
        slope = torch.where(better, slopes, slope)
        best = torch.where(better.squeeze(1), scores, best)
        step = torch.where(better, 1.6 * step, 0.4 * step)
    return x.detach()
