"""``Deterministic``: an objective whose stochastic gradient is its gradient."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from functools import cached_property

import numpy as np
from torch import Tensor

from theorylab.problem.objective import Constant, Objective, initial_distance

__all__ = ["Deterministic", "initial_suboptimality"]


def initial_suboptimality(objective: Objective, attained: bool) -> Constant:
    """``Delta = F(w_0) - inf F`` from the certified minimum (a lower bound makes it larger)."""
    first = float(objective.value(objective.start.unsqueeze(0))[0])
    return Constant(first - objective.minimum(), "closed form", attained)


class Deterministic(Objective):
    """No noise: ``sigma = 0``, and the one outcome of a draw is empty."""

    @abc.abstractmethod
    def deterministic_constants(self) -> Mapping[str, Constant]:
        """Certified constants of F, all but ``sigma``, ``d``, ``Delta`` and ``R``."""

    def constants(self) -> Mapping[str, Constant]:
        return self._constants

    @cached_property
    def _constants(self) -> Mapping[str, Constant]:
        found = dict(self.deterministic_constants())
        if np.isfinite(self.minimum()):
            found["Delta"] = initial_suboptimality(self, self.minimizer() is not None)
        found["d"] = Constant(float(self.dim), "closed form", attained=True)
        found["sigma"] = Constant(0.0, "closed form", attained=True)
        if self.minimizer() is not None:
            found["sigma_star"] = Constant(0.0, "closed form", attained=True)
        return found | initial_distance(self)

    @property
    def declared(self) -> frozenset[str]:
        return self._declared

    @cached_property
    def _declared(self) -> frozenset[str]:
        found = self.deterministic_constants()
        names = set()
        if "mu" in found:
            names |= {"convex", "strongly_convex"}
        elif "delta" in found and float(found["delta"]) == 0:
            names.add("convex")
        if self.minimizer() is not None and self.minimum() == 0:
            names.add("fitted")
        return frozenset(names)

    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        return np.empty((steps, replicas, batch_size, 0), dtype=np.float32)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.gradient(w)

    def batch_value(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.value(w)

    def outcomes(self) -> tuple[np.ndarray, np.ndarray] | None:
        return np.empty((1, 0), dtype=np.float32), np.ones(1)
