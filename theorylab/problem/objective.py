"""``Objective``: a function with certified constants and a law of stochastic gradients."""

from __future__ import annotations

import abc
import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from theorylab.data.record import Reading
from theorylab.errors import UsageError
from theorylab.problem.affine import AffineGradients
from theorylab.problem.tracing import row_by_row

__all__ = ["Constant", "Family", "FiniteSum", "Objective", "Parameter", "initial_distance"]

_AT_ONCE = 1 << 16  # numbers of a mini-batch's gradients: as many are computed as rows of one


@dataclass(frozen=True)
class Constant:
    """A certified number: every point of the objective obeys it.

    Parameters
    ----------
    value : float
        The constant.
    how : str
        How it is certified: ``"closed form"``, ``"spectral norm"``, ``"interval arithmetic"``.
    attained : bool
        Whether some point (or a limit of points) attains it, so that no smaller one would do.
    """

    value: float
    how: str
    attained: bool = False

    def __float__(self) -> float:
        return float(self.value)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a family that a search may move within ``[lower, upper]``."""

    name: str
    lower: float
    upper: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class Family:
    """A registered family of objectives: how to build one, and what a search may move.

    ``build(**parameters)`` returns an :class:`Objective`; ``defaults`` are the parameters of
    the instances that ``verify`` tries when no objective is named.
    """

    name: str
    build: Callable[..., Objective]
    parameters: tuple[Parameter, ...] = ()
    defaults: tuple[Mapping[str, Any], ...] = field(default=({},))


class Objective(abc.ABC):
    """A differentiable F on R^d, its certified constants, and its stochastic gradients.

    Every method is batched: ``w`` has shape ``(R, d)``, one row a replica, and row ``r`` of a
    result depends on row ``r`` of ``w`` alone, bit for bit.

    Attributes
    ----------
    name : str
        Shown in results, e.g. ``"delta_nonconvex"``.
    start : Tensor, shape (d,)
        ``w_0``; the constant ``Delta`` refers to it.
    parameters : mapping
        What built it, for provenance and for a search.
    unread : mapping of str to str
        Of those, what nothing reads beside the others, and what would have it read: ``{"dof":
        "noise=student_t"}``.
    data : Reading or None
        What was read to build it.
    """

    name: str
    start: Tensor
    parameters: Mapping[str, Any]
    unread: Mapping[str, str] = MappingProxyType({})
    data: Reading | None = None

    @property
    def dim(self) -> int:
        """The dimension d."""
        return int(self.start.shape[0])

    def __repr__(self) -> str:
        # Constants are left out: some take long to compute.
        return f"<{self.name}: d = {self.dim}>"

    def _repr_html_(self) -> str:
        """The name, and the certified constants with how each is certified."""
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{c.value:.6g}</td><td>{escape(c.how)}</td>"
            f"<td>{'yes' if c.attained else ''}</td></tr>"
            for name, c in self.constants().items()
        )
        return (
            f"<div>{escape(repr(self)[1:-1])}</div><table><thead><tr><th>constant</th>"
            "<th>value</th><th>certified by</th><th>attained</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )

    # --- the function ------------------------------------------------------------------------
    @abc.abstractmethod
    def value(self, w: Tensor) -> Tensor:
        """F(w), shape ``(R,)``."""

    @abc.abstractmethod
    def gradient(self, w: Tensor) -> Tensor:
        """grad F(w), shape ``(R, d)``."""

    def hessian(self, w: Tensor) -> Tensor:
        """Hess F(w), shape ``(R, d, d)``; by automatic differentiation of :meth:`value`."""
        with torch.inference_mode(False), torch.enable_grad():
            point = w.clone().requires_grad_()
            # Rows do not mix, so the gradient of a sum over rows holds every row's gradient.
            (slope,) = torch.autograd.grad(self.value(point).sum(), point, create_graph=True)
            columns = []
            for j in range(self.dim):
                along = slope[:, j].sum()
                (column,) = (
                    torch.autograd.grad(along, point, retain_graph=True, allow_unused=True)
                    if along.requires_grad
                    else (None,)
                )
                columns.append(torch.zeros_like(w) if column is None else column)
            return torch.stack(columns, -1)

    # --- the stochastic gradient -------------------------------------------------------------
    @abc.abstractmethod
    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        """Randomness for ``steps`` mini-batches: shape ``(steps, replicas, batch_size, ...)``.

        Drawing ``a`` steps and then ``b`` gives the same numbers as drawing ``a + b``.
        """

    @abc.abstractmethod
    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        """Mini-batch gradient at ``w`` for one step's ``draw``, shape ``(R, d)``.

        ``draw`` has shape ``(R, batch_size, ...)``.
        """

    def sample_gradients(self, w: Tensor, draw: Tensor) -> Tensor:
        """The gradient of each sample of the mini-batch, shape ``(R, batch_size, d)``."""
        count = draw.shape[1]
        if row_by_row() or count * w.numel() > _AT_ONCE:
            columns = [self.sample_gradient(w, part) for part in draw.split(1, dim=1)]
            return torch.stack(columns, dim=1)
        rows = w.repeat_interleave(count, dim=0)  # one a sample: a row depends on itself alone
        each = self.sample_gradient(rows, draw.flatten(0, 1).unsqueeze(1))
        return each.reshape(len(w), count, -1)

    def batch_value(self, w: Tensor, draw: Tensor) -> Tensor:
        """The function whose gradient :meth:`sample_gradient` is, shape ``(R,)``.

        Raises
        ------
        UsageError
            If only gradients are known of a mini-batch.
        """
        raise UsageError(f"{self.name} has no values of a mini-batch")

    def outcomes(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The law of one draw where it is finite: ``(draws, probabilities)``, else ``None``.

        ``draws`` has shape ``(m, ...)``, each entry a value :meth:`draw` can give one sample.
        """
        return None

    # --- workers, where several hold a share of F --------------------------------------------
    @property
    def workers(self) -> int:
        """How many workers hold a share of F; 0 where it is not shared."""
        return 0

    def worker_gradients(self, w: Tensor, draw: Tensor) -> Tensor:
        """Each worker's mini-batch gradient at its own point, ``(R, M, d)`` to the same.

        Raises
        ------
        UsageError
            If F is not shared by workers.
        """
        raise UsageError(f"{self.name} has no workers: no one shares it")

    # --- geometry, where there is a simple part h or a convex set ----------------------------
    @property
    def setting(self) -> frozenset[str]:
        """Assumptions (by name) of which a statement must make one to speak of this objective.

        None by default. With a simple part, or on a convex set, ``inf F`` and the constants mean
        something else than they do for a plain F.
        """
        return frozenset()

    @property
    def smooth_part(self) -> Objective:
        """The f whose gradients these are: F itself, but for a simple part that is added."""
        return self

    def simple_slope(self, size: float) -> float:
        """The largest subgradient of a simple part at points no longer than ``size``; else 0."""
        return 0.0

    def inside(self, w: Tensor) -> Tensor:
        """``w``, or the nearest point of the convex set F is minimised on, shape of ``w``."""
        return w

    def prox(self, w: Tensor, step: Any) -> Tensor:
        """``argmin_u h(u) + ||u - w||^2/(2 step)``, shape ``(R, d)``.

        Raises
        ------
        UsageError
            If F has no simple part.
        """
        raise UsageError(f"{self.name} has no prox: no simple part was added to it")

    def projection(self, w: Tensor) -> Tensor:
        """The nearest point of the convex set F is minimised on, shape ``(R, d)``.

        Raises
        ------
        UsageError
            If there is no set.
        """
        raise UsageError(f"{self.name} has no projection: it is minimised on the whole space")

    def linear_minimizer(self, g: Tensor) -> Tensor:
        """A point u of that set with the least ``<g, u>``, shape ``(R, d)``.

        Raises
        ------
        UsageError
            If there is no set, or no bounded one.
        """
        raise UsageError(f"{self.name} has no linear minimizer: it has no bounded convex set")

    def mirror(self, w: Tensor, g: Tensor) -> Tensor:
        """``argmin_u <g, u> + D(u, w)`` on that set, D its Bregman divergence, shape ``(R, d)``.

        Raises
        ------
        UsageError
            If there is no set.
        """
        raise UsageError(f"{self.name} has no mirror step: it is minimised on the whole space")

    # --- what is certified -------------------------------------------------------------------
    @abc.abstractmethod
    def constants(self) -> Mapping[str, Constant]:
        """Certified constants of F and its sampling, by symbol name (``ell``, ``delta``, ...)."""

    def uncertified(self, constant: str) -> str:
        """Why a constant is not certified, where more is known than that it is not."""
        return ""

    def sample_constants(self) -> Mapping[str, Constant]:
        """Constants that hold for every f_i (finite sums); empty where there are none."""
        return {}

    def worker_constants(self) -> Mapping[str, Constant]:
        """Constants that hold for every worker's function; empty where there are no workers."""
        return {}

    def region_constants(self) -> Mapping[str, Constant]:
        """Constants that hold for every f_i on a convex set that SGD's iterates never leave.

        From :attr:`start`, with steps of at most ``1/ell``; empty where no such set is known.
        """
        return {}

    @property
    def declared(self) -> frozenset[str]:
        """Assumptions without constants that F satisfies, by name (``"convex"``)."""
        return frozenset()

    @property
    def sample_declared(self) -> frozenset[str]:
        """Assumptions without constants that every f_i satisfies, by name; none by default."""
        return frozenset()

    @property
    def worker_declared(self) -> frozenset[str]:
        """Likewise what every worker's function satisfies."""
        return frozenset()

    def affine_gradients(self) -> AffineGradients | None:
        """The form of sample gradients that are affine in w everywhere, else ``None``."""
        return None

    def worker_affine_gradients(self) -> tuple[AffineGradients, ...] | None:
        """That of each worker's, where there are workers and all of them are affine."""
        return None

    def minimum(self) -> float:
        """inf F, or a certified lower bound of it; ``nan`` if unknown."""
        return math.nan

    def minimizer(self) -> Tensor | None:
        """A global minimizer, shape ``(d,)``, where one is known."""
        return None


class FiniteSum(Objective):
    """F = (1/n) sum_i f_i with uniform sampling with replacement.

    ``draw`` gives sample indices; subclasses provide what depends on the sample.
    """

    @property
    @abc.abstractmethod
    def n(self) -> int:
        """The number of samples."""

    def __repr__(self) -> str:
        return f"<{self.name}: d = {self.dim}, n = {self.n}>"

    @abc.abstractmethod
    def sample_value(self, w: Tensor, draw: Tensor) -> Tensor:
        """f_i(w) for each index, shape of ``draw`` (``(R, b)``)."""

    @abc.abstractmethod
    def resize(self, n: int, seed: int = 0) -> FiniteSum:
        """The same family with ``n`` samples: for measuring how a bound grows with n."""

    @abc.abstractmethod
    def replacement(self, seed: int, pairs: int) -> tuple[np.ndarray, FiniteSum]:
        """Perturbed twins: positions ``(pairs,)`` in [0, n), and a sum over n + pairs samples.

        Samples ``n .. n+pairs-1`` of the returned sum are the replacements: twin ``p`` draws
        ``n + p`` where its sibling draws ``positions[p]``. Its constants hold for both twins
        (and its constant ``n`` is the size of either); ``sample_value`` at a replacement is the
        loss at a test point.
        """

    @property
    def probes(self) -> tuple[int, ...]:
        """Samples beyond those that are drawn: test points at which twins are known to differ."""
        return ()

    def batch_value(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.sample_value(w, draw).mean(-1)

    def population_value(self, w: Tensor) -> Tensor | None:
        """E_z f(w; z) under the law the samples come from, shape ``(R,)``; ``None`` if unknown."""
        return None

    def population_constants(self) -> Mapping[str, Constant]:
        """Constants that hold for every sample of that law; empty where none is proved to."""
        return {}

    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        return rng.integers(0, self.n, size=(steps, replicas, batch_size), dtype=np.int32)

    def outcomes(self) -> tuple[np.ndarray, np.ndarray] | None:
        return np.arange(self.n, dtype=np.int32), np.full(self.n, 1.0 / self.n)


def initial_distance(objective: Objective, error: float = 0.0) -> dict[str, Constant]:
    """``R = ||w_0 - w*||`` by name, where a minimizer w* is known; else nothing.

    Parameters
    ----------
    objective : Objective
    error : float
        How far from a minimizer the known one may be (X); it is added.

    >>> import synthetic
    >>> float(initial_distance(synthetic.quadratic(dim=1, start=3.0))["R"])
    3.0
    """
    best = objective.minimizer()
    if best is None:
        return {}
    distance = float(torch.linalg.vector_norm((objective.start - best).double()))
    return {"R": Constant(distance + error, "closed form", attained=error <= 1e-9 * distance)}


def started_at(objective: Objective, start: Tensor) -> Objective:
    """The objective with another start; nothing that was kept of the old one is."""
    moved = copy.copy(objective)
    moved.start = start
    kept = [n for n in vars(moved) if isinstance(getattr(type(moved), n, None), cached_property)]
    for name in kept:
        del vars(moved)[name]
    return moved


def coarsened(objective: Objective, grain: float) -> Objective:
    """The objective whose mini-batches answer with values rounded to multiples of ``grain``.

    Gradients, and F itself, stay as they are.

    >>> import synthetic
    >>> bowl = synthetic.quadratic(dim=1)
    >>> w, none = torch.full((1, 1), 0.6, dtype=torch.float64), torch.zeros(1, 1, 0)
    >>> coarsened(bowl, 0.25).batch_value(w, none).item()
    0.25
    """
    rough = copy.copy(objective)

    def batch_value(w: Tensor, batch: Tensor) -> Tensor:
        return (objective.batch_value(w, batch) / grain).round() * grain

    vars(rough)["batch_value"] = batch_value
    return rough
