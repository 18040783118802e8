"""Objectives with a simple part added, or on a convex set."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from typing import Any, final

import numpy as np
from torch import Tensor

from theorylab.problem.geometry import ConvexSet, Simple, Simplex
from theorylab.problem.objective import Constant, FiniteSum, Objective, initial_distance

__all__ = ["Composite", "Constrained"]

_HOW = "closed form"


class _Wrapped(Objective, abc.ABC):
    """An objective that draws and differentiates as another one does."""

    _kept: tuple[str, ...] = ()

    def __init__(
        self,
        smooth: Objective,
        what: str,
        start: Tensor,
        minimizer: Tensor | None,
        certified: Mapping[str, Constant] | None,
        parameters: Mapping[str, Any] | None,
    ) -> None:
        self.smooth = smooth
        self.name = f"{smooth.name} {what}"
        self.start = start
        self.parameters = dict(smooth.parameters if parameters is None else parameters)
        self.unread = smooth.unread
        self._best, self._certified = minimizer, dict(certified or {})

    @property
    def smooth_part(self) -> Objective:
        return self.smooth

    def value(self, w: Tensor) -> Tensor:
        return self.smooth.value(w)

    def gradient(self, w: Tensor) -> Tensor:
        return self.smooth.gradient(w)

    def hessian(self, w: Tensor) -> Tensor:
        return self.smooth.hessian(w)

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

    def minimum(self) -> float:
        """F at its minimizer; ``nan`` if none was given."""
        return math.nan if self._best is None else float(self.value(self._best.unsqueeze(0))[0])

    def minimizer(self) -> Tensor | None:
        return self._best

    def constants(self) -> Mapping[str, Constant]:
        """Those of f that hold of it anywhere, what was certified besides, and what follows."""
        known = self.smooth.constants()
        found = {name: known[name] for name in self._kept if name in known}
        found["d"] = Constant(float(self.dim), _HOW, attained=True)
        if self._best is not None:
            first = float(self.value(self.start.unsqueeze(0))[0])
            found["Delta"] = Constant(max(0.0, first - self.minimum()), _HOW, attained=True)
        return found | initial_distance(self) | self._certified

    @property
    def declared(self) -> frozenset[str]:
        # The minimum of F is not that of its smooth part.
        return self.smooth.declared - {"fitted"} | self.setting


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
    minimizer : Tensor, shape (d,), optional
        Of F, where it is known.
    certified : mapping of str to Constant, optional
        Constants beside those of f that speak of its curvature and noise.
    parameters : mapping, optional
        What built it; by default f's.

    Examples
    --------
    >>> import synthetic, torch
    >>> from theorylab.problem.geometry import L1
    >>> F = Composite(synthetic.quadratic(dim=2), L1(0.5))
    >>> w = torch.ones(1, 2, dtype=torch.float64)
    >>> round(float(F.value(w) - F.smooth.value(w)), 9), F.prox(w, 1.0)
    (1.0, tensor([[0.5000, 0.5000]], dtype=torch.float64))
    """

    _kept = ("ell", "L", "delta", "mu", "sigma")

    def __init__(
        self,
        smooth: Objective,
        simple: Simple,
        start: Tensor | None = None,
        *,
        minimizer: Tensor | None = None,
        certified: Mapping[str, Constant] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        at = smooth.start if start is None else start
        super().__init__(smooth, f"+ {simple}", at, minimizer, certified, parameters)
        self.simple = simple

    @property
    def setting(self) -> frozenset[str]:
        return frozenset({"composite"})

    def value(self, w: Tensor) -> Tensor:
        return self.smooth.value(w) + self.simple.value(w)

    def prox(self, w: Tensor, step: Any) -> Tensor:
        return self.simple.prox(w, step)

    def simple_slope(self, size: float) -> float:
        return self.simple.steepest(size, self.dim)


@final
class Constrained(_Wrapped):
    """F on a convex set, with its projection, linear minimizer and mirror step.

    It is F plus the set's indicator as well, whose prox is the projection.

    Parameters
    ----------
    smooth : Objective
        F.
    domain : ConvexSet
    start : Tensor, shape (d,), optional
        By default F's; the nearest point of the set is taken.
    minimizer : Tensor, shape (d,), optional
        Of F on the set, where it is known.
    certified : mapping of str to Constant, optional
        Constants beside those of F that hold on any set.
    sample_certified : mapping of str to Constant, optional
        Likewise of every f_i, where F is a finite sum.
    parameters : mapping, optional
        What built it; by default F's.

    Examples
    --------
    >>> import synthetic
    >>> from theorylab.problem.geometry import Ball
    >>> F = Constrained(synthetic.quadratic(dim=2, start=2.0), Ball(1.0))
    >>> float(F.start.norm()) <= 1, float(F.constants()["D"])
    (True, 2.0)
    """

    _kept = ("ell", "L", "delta", "mu", "sigma", "G")

    def __init__(
        self,
        smooth: Objective,
        domain: ConvexSet,
        start: Tensor | None = None,
        *,
        minimizer: Tensor | None = None,
        certified: Mapping[str, Constant] | None = None,
        sample_certified: Mapping[str, Constant] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        at = domain.projection(smooth.start if start is None else start)
        super().__init__(smooth, f"on {domain}", at, minimizer, certified, parameters)
        self.domain = domain
        self._sample_certified = dict(sample_certified or {})

    @property
    def setting(self) -> frozenset[str]:
        return frozenset({"composite", "constrained"})

    @property
    def declared(self) -> frozenset[str]:
        return super().declared | self._centred

    @property
    def sample_declared(self) -> frozenset[str]:
        """What every f_i satisfies on the set; none where F is no finite sum."""
        if not isinstance(self.smooth, FiniteSum):
            return frozenset()
        return self.smooth.sample_declared - {"fitted"} | self.setting | self._centred

    @property
    def _centred(self) -> frozenset[str]:
        centred = isinstance(self.domain, Simplex) and bool((self.start == self.start[0]).all())
        return frozenset({"from_centre"}) if centred else frozenset()

    def constants(self) -> Mapping[str, Constant]:
        return {**super().constants(), **self._diameters()}

    def sample_constants(self) -> Mapping[str, Constant]:
        """Those of every f_i that hold anywhere, what was certified besides, n and the set's."""
        if not isinstance(self.smooth, FiniteSum):
            return {}
        known = self.smooth.sample_constants()
        found = {name: known[name] for name in self._kept if name in known}
        found["n"] = Constant(float(self.smooth.n), _HOW, attained=True)
        return {**found, **self._diameters(), **self._sample_certified}

    def _diameters(self) -> Mapping[str, Constant]:
        sizes = {"D": self.domain.diameter(self.dim), "D1": self.domain.l1_diameter(self.dim)}
        return {name: Constant(size, _HOW, attained=True)
                for name, size in sizes.items() if math.isfinite(size)}  # fmt: skip

    def inside(self, w: Tensor) -> Tensor:
        return self.domain.projection(w)

    def prox(self, w: Tensor, step: Any) -> Tensor:
        return self.domain.projection(w)

    def projection(self, w: Tensor) -> Tensor:
        return self.domain.projection(w)

    def linear_minimizer(self, g: Tensor) -> Tensor:
        return self.domain.linear_minimizer(g)

    def mirror(self, w: Tensor, g: Tensor) -> Tensor:
        return self.domain.mirror(w, g)
