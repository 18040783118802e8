"""Objectives with a simple part added, or on a convex set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
from torch import Tensor

from theorylab.problem.geometry import ConvexSet, Simple
from theorylab.problem.objective import Constant, Objective

__all__ = ["Composite", "Constrained"]


class _Wrapped(Objective):
    """An objective that draws and differentiates as another one does."""

    def __init__(self, smooth: Objective, what: str, start: Tensor | None) -> None:
        self.smooth = smooth
        self.name = f"{smooth.name} {what}"
        self.start = smooth.start if start is None else start
        self.parameters = dict(smooth.parameters)

    def value(self, w: Tensor) -> Tensor:
        return self.smooth.value(w)

    def gradient(self, w: Tensor) -> Tensor:
        return self.smooth.gradient(w)

    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        return self.smooth.draw(rng, steps, replicas, batch_size)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.smooth.sample_gradient(w, draw)

    def batch_value(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.smooth.batch_value(w, draw)

    def outcomes(self) -> tuple[np.ndarray, np.ndarray] | None:
        return self.smooth.outcomes()


@final
class Composite(_Wrapped):
    """``F = f + h``: gradients are f's, the prox is h's, values are of both.

    Parameters
    ----------
    smooth : Objective
        f.
    simple : Simple
        h.
    start : Tensor, shape (d,), optional
        By default f's.

    Examples
    --------
    >>> import synthetic, torch
    >>> from theorylab.problem.geometry import L1
    >>> F = Composite(synthetic.quadratic(dim=2), L1(0.5))
    >>> w = torch.ones(1, 2, dtype=torch.float64)
    >>> round(float(F.value(w) - F.smooth.value(w)), 9), F.prox(w, 1.0)
    (1.0, tensor([[0.5000, 0.5000]], dtype=torch.float64))
    """

    def __init__(self, smooth: Objective, simple: Simple, start: Tensor | None = None) -> None:
        super().__init__(smooth, f"+ {simple}", start)
        self.simple = simple

    def value(self, w: Tensor) -> Tensor:
        return self.smooth.value(w) + self.simple.value(w)

    def prox(self, w: Tensor, step: Any) -> Tensor:
        return self.simple.prox(w, step)

    def constants(self) -> Mapping[str, Constant]:
        """Those of f that speak of its curvature and noise; values are of another function."""
        kept = ("ell", "L", "delta", "mu", "sigma")
        return {name: c for name, c in self.smooth.constants().items() if name in kept}


@final
class Constrained(_Wrapped):
    """F on a convex set, with its projection, linear minimizer and mirror step.

    Parameters
    ----------
    smooth : Objective
        F.
    domain : ConvexSet
    start : Tensor, shape (d,), optional
        By default the projection of F's start.

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.problem.geometry import Ball
    >>> F = Constrained(synthetic.quadratic(dim=2, start=2.0), Ball(1.0))
    >>> float(F.start.norm()) <= 1
    True
    """

    def __init__(self, smooth: Objective, domain: ConvexSet, start: Tensor | None = None) -> None:
        at = smooth.start if start is None else start
        super().__init__(smooth, f"on {domain}", domain.projection(at))
        self.domain = domain

    def projection(self, w: Tensor) -> Tensor:
        return self.domain.projection(w)

    def linear_minimizer(self, g: Tensor) -> Tensor:
        return self.domain.linear_minimizer(g)

    def mirror(self, w: Tensor, g: Tensor) -> Tensor:
        return self.domain.mirror(w, g)

    def constants(self) -> Mapping[str, Constant]:
        """Those of F that hold on any set; its infimum over the set is another."""
        kept = ("ell", "L", "delta", "mu", "sigma", "G")
        return {name: c for name, c in self.smooth.constants().items() if name in kept}
