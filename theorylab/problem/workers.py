"""``Workers``: an objective that M workers share, each with a function and noise of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, reduce
from itertools import product
from operator import add
from typing import Any

import numpy as np
import torch
from torch import Tensor

from theorylab.errors import UsageError
from theorylab.problem.affine import AffineGradients
from theorylab.problem.objective import Constant, Objective, initial_distance

__all__ = ["Workers"]

_OUTCOMES = 4096
_OF_THE_MEAN = ("ell", "L", "delta", "mu", "G", "Bf")
"""Certified of F by the mean of the workers' certificates."""
_LEAST = ("mu",)


class Workers(Objective):
    """``F = (1/M) sum_m f_m``, worker m drawing samples of ``f_m``, independently of the others.

    One sample of a mini-batch is one sample of every worker, so a mini-batch of B is B samples
    each: ``draw`` has shape ``(R, B, M, ...)``. Methods without workers see the mean over workers
    (:meth:`sample_gradient`); the others ask :meth:`worker_gradients`.

    Parameters
    ----------
    name : str
    members : sequence of Objective
        The ``f_m`` with their noise: of one dimension, and drawing alike-shaped randomness.
    whole : Objective, optional
        F itself, where it has a closed form and certified constants; its sampling is not used.
        Otherwise F's constants are means of the workers'.
    zeta : Constant, optional
        ``sqrt(sup_w (1/M) sum_m ||grad f_m(w) - grad F(w)||^2)``; none where it is infinite.
    parameters : mapping

    Raises
    ------
    UsageError
        If there is no worker, or workers do not fit together.

    Examples
    --------
    >>> import synthetic
    >>> pair = Workers("pair", [synthetic.quadratic(dim=1), synthetic.quadratic(dim=1, ell=3.0)])
    >>> w = torch.tensor([[[1.0], [2.0]]], dtype=torch.float64)
    >>> pair.worker_gradients(w, torch.zeros(1, 1, 2, 0)).tolist()
    [[[1.0], [6.0]]]
    >>> pair.gradient(w[:, 0]).tolist(), float(pair.worker_constants()["ell"])
    ([[2.0]], 3.0)
    """

    def __init__(
        self,
        name: str,
        members: Sequence[Objective],
        whole: Objective | None = None,
        zeta: Constant | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        if not members:
            raise UsageError(f"{name}: at least one worker is required")
        first = members[0]
        shape = self._shape(first)
        for member in members:
            if member.dim != first.dim or member.start.dtype != first.start.dtype:
                raise UsageError(f"{name}: workers must have points of one dimension and type")
            if self._shape(member) != shape:
                raise UsageError(f"{name}: workers must draw randomness of one shape and type")
        self.name, self.members, self.whole = name, tuple(members), whole
        self.start = first.start
        self.parameters, self.unread = dict(parameters or {}), first.unread
        self._zeta = zeta

    @staticmethod
    def _shape(member: Objective) -> tuple[Any, ...]:
        one = member.draw(np.random.default_rng(0), 1, 1, 1)
        return one.shape[3:], one.dtype

    @property
    def workers(self) -> int:
        return len(self.members)

    def map(
        self, name: str, change: Callable[[Objective], Objective], slope: float = 1.0
    ) -> Workers:
        """The workers with ``change`` of each function (and F's), gradients ``slope`` as large."""
        zeta = self._zeta
        if zeta is not None:
            zeta = replace(zeta, value=zeta.value * slope)
        whole = None if self.whole is None else change(self.whole)
        return Workers(name, [change(member) for member in self.members], whole, zeta,
                       self.parameters)  # fmt: skip

    def _mean(self, parts: Sequence[Tensor]) -> Tensor:
        return reduce(add, parts) / len(parts)

    # --- the function ------------------------------------------------------------------------
    def value(self, w: Tensor) -> Tensor:
        if self.whole is not None:
            return self.whole.value(w)
        return self._mean([member.value(w) for member in self.members])

    def gradient(self, w: Tensor) -> Tensor:
        if self.whole is not None:
            return self.whole.gradient(w)
        return self._mean([member.gradient(w) for member in self.members])

    def minimum(self) -> float:
        if self.whole is not None:
            return self.whole.minimum()
        # inf F is at least the mean of the inf f_m.
        return sum(member.minimum() for member in self.members) / self.workers

    def minimizer(self) -> Tensor | None:
        return None if self.whole is None else self.whole.minimizer()

    # --- the stochastic gradients ------------------------------------------------------------
    @cached_property
    def _draw_together(self) -> bool:
        """Whether one law serves all workers: then one call draws for all of them."""
        first, *others = (member.outcomes() for member in self.members)
        return first is not None and all(
            law is not None and all(map(np.array_equal, law, first)) for law in others
        )

    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        M = self.workers
        if self._draw_together:
            flat = self.members[0].draw(rng, steps, replicas, batch_size * M)
            return flat.reshape(steps, replicas, batch_size, M, *flat.shape[3:])
        # Step by step, so that a steps and then b are the same draws as a + b.
        each = [
            np.concatenate(
                [member.draw(rng, 1, replicas, batch_size)[:, :, :, None]
                 for member in self.members],
                axis=3,
            )
            for _ in range(steps)
        ]  # fmt: skip
        if not each:
            one = self.members[0].draw(rng, 0, replicas, batch_size)[:, :, :, None]
            return np.repeat(one, M, axis=3)
        return np.concatenate(each)

    def worker_gradients(self, w: Tensor, draw: Tensor) -> Tensor:
        """Each worker's mini-batch gradient at its own point, ``(R, M, d)`` to the same."""
        rows = [
            member.sample_gradient(w[:, m].contiguous(), draw[:, :, m].contiguous())
            for m, member in enumerate(self.members)
        ]
        return torch.stack(rows, dim=1)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        return self._mean([
            member.sample_gradient(w, draw[:, :, m].contiguous())
            for m, member in enumerate(self.members)
        ])  # fmt: skip

    def batch_value(self, w: Tensor, draw: Tensor) -> Tensor:
        return self._mean([
            member.batch_value(w, draw[:, :, m].contiguous())
            for m, member in enumerate(self.members)
        ])  # fmt: skip

    def outcomes(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The product of the workers' laws, where that has at most 4,096 outcomes."""
        laws = [member.outcomes() for member in self.members]
        known = [law for law in laws if law is not None]
        if len(known) < len(laws) or math.prod(len(law[0]) for law in known) > _OUTCOMES:
            return None
        picks = np.array(list(product(*(range(len(law[0])) for law in known))))
        draws = np.stack([law[0][picks[:, m]] for m, law in enumerate(known)], axis=1)
        chances = np.prod([law[1][picks[:, m]] for m, law in enumerate(known)], axis=0)
        return draws, chances

    def affine_gradients(self) -> AffineGradients | None:
        forms = self.worker_affine_gradients()
        if forms is None or math.prod(len(form.chances) for form in forms) > _OUTCOMES:
            return None
        M = self.workers
        picks = np.array(list(product(*(range(len(form.chances)) for form in forms)))).T
        pairs = list(zip(forms, picks, strict=True))
        return AffineGradients(
            np.prod([form.chances[k] for form, k in pairs], axis=0),
            np.sum([form.matrices[k] for form, k in pairs], axis=0) / M,
            np.sum([form.offsets[k] for form, k in pairs], axis=0) / M,
            np.sum([form.covariance for form in forms], axis=0) / M**2,
        )

    def worker_affine_gradients(self) -> tuple[AffineGradients, ...] | None:
        """Each worker's sample gradients where all of them are affine in w, else ``None``."""
        forms = [member.affine_gradients() for member in self.members]
        known = tuple(form for form in forms if form is not None)
        return known if len(known) == len(forms) else None

    # --- what is certified -------------------------------------------------------------------
    @property
    def declared(self) -> frozenset[str]:
        if self.whole is not None:
            return self.whole.declared
        return self.worker_declared

    @property
    def worker_declared(self) -> frozenset[str]:
        """Assumptions without constants that every f_m satisfies, by name."""
        return frozenset.intersection(*(member.declared for member in self.members))

    def _shared(self) -> dict[str, Constant]:
        """What is said of all workers together: their number, and how far they are apart."""
        found = {"M": Constant(float(self.workers), "closed form", attained=True)}
        if self._zeta is not None:
            found["zeta"] = self._zeta
        best = self.minimizer()
        if best is not None:
            point = best.unsqueeze(0)
            slopes = torch.stack([member.gradient(point)[0] for member in self.members])
            square = float(slopes.square().sum(-1).mean())
            found["zeta_star"] = Constant(math.sqrt(square), "closed form", attained=True)
        return found | initial_distance(self)

    def constants(self) -> Mapping[str, Constant]:
        return self._constants

    @cached_property
    def _constants(self) -> Mapping[str, Constant]:
        each = [member.constants() for member in self.members]
        M = self.workers
        if self.whole is None:
            found: dict[str, Constant] = {}
            for name in _OF_THE_MEAN:
                if all(name in known for known in each):
                    mean = sum(float(known[name]) for known in each) / M
                    found[name] = Constant(mean, each[0][name].how)
            found["d"] = Constant(float(self.dim), "closed form", attained=True)
            if math.isfinite(lowest := self.minimum()):
                first = float(self.value(self.start.unsqueeze(0))[0])
                found["Delta"] = Constant(first - lowest, "closed form")
        else:
            own = ("sigma", "sigma_star", "ell_es", "n")
            found = {k: v for k, v in self.whole.constants().items() if k not in own}
        if all("sigma" in known for known in each):
            sigma = math.sqrt(sum(float(known["sigma"]) ** 2 for known in each)) / M
            alike = all(known["sigma"].attained for known in each)
            # Additive noise is as large everywhere; that of finite sums need not peak together.
            alike &= all("sigma_star" in known and
                         float(known["sigma_star"]) == float(known["sigma"])
                         for known in each)  # fmt: skip
            found["sigma"] = Constant(sigma, "closed form", attained=alike)
            if alike and self.minimizer() is not None:
                found["sigma_star"] = found["sigma"]
        return found | self._shared()

    def worker_constants(self) -> Mapping[str, Constant]:
        """Constants that every ``f_m`` and its noise obey (``ell``, ``mu``, ``sigma``, ...).

        With what is said of F alone (``Delta``) or of all workers (``M``, ``zeta``).
        """
        return self._of_each

    @cached_property
    def _of_each(self) -> Mapping[str, Constant]:
        each = [member.constants() for member in self.members]
        found: dict[str, Constant] = {}
        for name in (*_OF_THE_MEAN, "sigma"):
            if all(name in known for known in each):
                worst = min if name in _LEAST else max
                found[name] = worst((known[name] for known in each), key=float)
        kept = ("Delta", "d")
        return found | {k: v for k, v in self.constants().items() if k in kept} | self._shared()
