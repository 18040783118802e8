"""``Oracle``: all that a method may ask in one step, each call counted.

A step is written once, against an oracle; what answers may be tensors of thousands of replicas,
the compiler's trace, one branch an outcome of a small law, the unknowns of a semidefinite program
or a network's closure.
"""

from __future__ import annotations

import abc
import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, final

import torch
from torch import Tensor

from theorylab.errors import UsageError
from theorylab.problem.objective import FiniteSum, Objective

__all__ = ["Calls", "Fed", "FunctionOracle", "MiniBatch", "Oracle"]


@final
@dataclass(frozen=True)
class Calls:
    """How often an oracle was asked; plain numbers, or arrays along a trajectory.

    Attributes
    ----------
    gradients, values : int or ndarray
        Gradients and values of single samples; a full pass over n samples counts n.
    passes : int or ndarray
        Full gradients and full values.
    communications : int or ndarray
        Rounds of communication between workers.
    prox, projections, linear_minimizers : int or ndarray
        Calls of each; a mirror step counts as a prox.

    >>> Calls(gradients=3) + Calls(gradients=1, values=2)
    Calls(gradients=4, values=2, passes=0, communications=0, prox=0, projections=0, \
linear_minimizers=0)
    """

    gradients: Any = 0
    values: Any = 0
    passes: Any = 0
    communications: Any = 0
    prox: Any = 0
    projections: Any = 0
    linear_minimizers: Any = 0

    def map(self, function: Callable[[Any], Any]) -> Calls:
        """The record with ``function`` of every entry."""
        return Calls(*(function(getattr(self, f.name)) for f in dataclasses.fields(self)))

    def __add__(self, other: Calls) -> Calls:
        return Calls(*(getattr(self, f.name) + getattr(other, f.name)
                       for f in dataclasses.fields(self)))  # fmt: skip


class Oracle(abc.ABC):
    """What a method may ask in one step.

    Points have shape ``(..., d)``, values ``(..., 1)``. Questions about the mini-batch take a
    ``lag``: 0 is this step's mini-batch, 1 the one before; where there were fewer, the oldest
    answers. ``when`` (a bool, or a tensor of shape ``(..., 1)``) says which rows ask at all: the
    answer elsewhere is unspecified, and not counted.

    Whoever implements one answers what it can; the rest raises ``UsageError``.
    """

    def __init__(self) -> None:
        self._count: defaultdict[str, int] = defaultdict(int)

    @property
    def calls(self) -> Calls:
        """What was asked so far."""
        return Calls(**self._count)

    # --- the mini-batch ----------------------------------------------------------------------
    @abc.abstractmethod
    def gradient(self, w: Tensor, lag: int = 0) -> Tensor:
        """The mini-batch's gradient at any ``w``, shape of ``w``."""

    def value(self, w: Tensor, lag: int = 0) -> Tensor:
        """The mini-batch's value at ``w``, shape ``(..., 1)``."""
        self._lacks("values of a mini-batch")

    def sample_gradients(self, w: Tensor) -> Tensor:
        """The gradient of each of the mini-batch's B samples, shape ``(..., B, d)``."""
        self._lacks("gradients sample by sample")

    @property
    def samples(self) -> Tensor:
        """The indices of the mini-batch's samples in a finite sum, shape ``(..., B)``."""
        self._lacks("indices of samples")

    # --- everything at once ------------------------------------------------------------------
    def full_gradient(self, w: Tensor, when: Tensor | bool = True) -> Tensor:
        """grad F(w), shape of ``w``."""
        self._lacks("full gradients")

    def full_value(self, w: Tensor, when: Tensor | bool = True) -> Tensor:
        """F(w), shape ``(..., 1)``."""
        self._lacks("full values")

    def every_gradient(self, w: Tensor) -> Tensor:
        """The gradient of each of a finite sum's n samples, shape ``(..., n, d)``."""
        self._lacks("gradients sample by sample")

    # --- geometry ----------------------------------------------------------------------------
    def prox(self, w: Tensor, step: Any) -> Tensor:
        """``argmin_u h(u) + ||u - w||^2/(2 step)`` for the objective's simple part h."""
        self._lacks("a prox")

    def projection(self, w: Tensor) -> Tensor:
        """The nearest point of the objective's convex set."""
        self._lacks("a projection")

    def linear_minimizer(self, g: Tensor) -> Tensor:
        """A point u of the objective's convex set with the least ``<g, u>``."""
        self._lacks("a linear minimizer")

    def mirror(self, w: Tensor, g: Tensor) -> Tensor:
        """``argmin_u <g, u> + D(u, w)`` on the objective's set, D its Bregman divergence."""
        self._lacks("a mirror step")

    # --- workers -----------------------------------------------------------------------------
    @property
    def workers(self) -> int:
        """How many workers there are, M."""
        self._lacks("workers")

    def worker_gradients(self, w: Tensor) -> Tensor:
        """Each worker's mini-batch gradient at its own point: ``(..., M, d)`` to the same."""
        self._lacks("workers")

    def communicate(self, when: Tensor | bool = True) -> None:
        """Count a round of communication between the workers."""
        if when is not False:
            self._count["communications"] += 1

    def _lacks(self, what: str) -> NoReturn:
        raise UsageError(f"{self._who} has no {what}")

    @property
    def _who(self) -> str:
        return type(self).__name__


@final
class MiniBatch(Oracle):
    """The oracle of an objective at one step's mini-batch; one row a replica.

    Parameters
    ----------
    objective : Objective
    batches : sequence of Tensor, each of shape (R, B, ...)
        Draws of this step's mini-batch and earlier ones, newest first; a driver replaces them
        from step to step.
    weights : Tensor, shape (n,), optional
        What the gradient and value of each sample of a finite sum are multiplied by.

    Examples
    --------
    >>> import synthetic, torch
    >>> bowl = synthetic.quadratic(dim=2)
    >>> oracle = MiniBatch(bowl, [torch.zeros(1, 3)])
    >>> w = torch.ones(1, 2, dtype=torch.float64)
    >>> torch.equal(oracle.gradient(w), oracle.full_gradient(w))
    True
    >>> oracle.calls.gradients, oracle.calls.passes
    (3, 1)
    """

    def __init__(
        self,
        objective: Objective,
        batches: Sequence[Tensor] = (),
        weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.objective = objective
        self.batches = batches
        self.weights = weights
        self._asked = 0  # a plain number: this is asked at every step of every run

    @property
    def _who(self) -> str:
        return self.objective.name

    @property
    def calls(self) -> Calls:
        """What was asked so far, in samples."""
        asked = dict(self._count)
        asked["batches"] = asked.get("batches", 0) + self._asked
        # A sample of the mini-batch is one of every worker.
        size = self.batches[0].shape[1] * max(1, self.objective.workers) if self.batches else 0
        n = self.objective.n if isinstance(self.objective, FiniteSum) else 0
        batch_gradients, batch_values = asked.pop("batches", 0), asked.pop("batch_values", 0)
        full_gradients, full_values = asked.pop("full", 0), asked.pop("full_values", 0)
        return Calls(**asked) + Calls(
            gradients=size * batch_gradients + n * full_gradients,
            values=size * batch_values + n * full_values,
            passes=full_gradients + full_values,
        )

    def _batch(self, lag: int) -> Tensor:
        batches = self.batches
        if not batches:
            raise UsageError(f"{self._who}: there is no mini-batch before the first step")
        return batches[lag if lag < len(batches) else -1]

    def gradient(self, w: Tensor, lag: int = 0) -> Tensor:
        self._asked += 1
        batch = self._batch(lag)
        if self.weights is None:
            return self.objective.sample_gradient(w, batch)
        return self._weighted(self.objective.sample_gradients(w, batch), batch)

    def value(self, w: Tensor, lag: int = 0) -> Tensor:
        self._count["batch_values"] += 1
        batch = self._batch(lag)
        if self.weights is None:
            return self.objective.batch_value(w, batch).unsqueeze(-1)
        columns = [self.objective.batch_value(w, part) for part in batch.split(1, dim=1)]
        return self._weighted(torch.stack(columns, 1).unsqueeze(-1), batch)

    def _weighted(self, each: Tensor, batch: Tensor) -> Tensor:
        assert self.weights is not None
        return (each * self.weights[batch].unsqueeze(-1)).mean(1)

    def sample_gradients(self, w: Tensor) -> Tensor:
        self._count["batches"] += 1
        each = self.objective.sample_gradients(w, self._batch(0))
        return each if self.weights is None else each * self.weights[self._batch(0)].unsqueeze(-1)

    @property
    def samples(self) -> Tensor:
        if not isinstance(self.objective, FiniteSum):
            self._lacks("indices of samples: it is no finite sum")
        return self._batch(0)

    def full_gradient(self, w: Tensor, when: Tensor | bool = True) -> Tensor:
        if when is False:
            return w
        self._count["full"] += 1
        return self.objective.gradient(w)

    def full_value(self, w: Tensor, when: Tensor | bool = True) -> Tensor:
        if when is False:
            return w[..., :1]
        self._count["full_values"] += 1
        return self.objective.value(w).unsqueeze(-1)

    def every_gradient(self, w: Tensor) -> Tensor:
        if not isinstance(self.objective, FiniteSum):
            self._lacks("gradients sample by sample: it is no finite sum")
        self._count["full"] += 1
        index = w.new_zeros((len(w), self.objective.n)).int() + _count_up(w, self.objective.n)
        return self.objective.sample_gradients(w, index)

    @property
    def workers(self) -> int:
        return self.objective.workers or self._lacks("workers: no one shares it")

    def worker_gradients(self, w: Tensor) -> Tensor:
        self._count["batches"] += 1
        return self.objective.worker_gradients(w, self._batch(0))

    def prox(self, w: Tensor, step: Any) -> Tensor:
        self._count["prox"] += 1
        return self.objective.prox(w, step)

    def projection(self, w: Tensor) -> Tensor:
        self._count["projections"] += 1
        return self.objective.projection(w)

    def linear_minimizer(self, g: Tensor) -> Tensor:
        self._count["linear_minimizers"] += 1
        return self.objective.linear_minimizer(g)

    def mirror(self, w: Tensor, g: Tensor) -> Tensor:
        self._count["prox"] += 1
        return self.objective.mirror(w, g)


def _count_up(w: Tensor, n: int) -> Tensor:
    return w.new_ones(n).cumsum(0).int() - 1


@final
class FunctionOracle(Oracle):
    """An oracle from plain functions of the point: for tests, examples and models of a method.

    Parameters
    ----------
    gradient : callable
        The answer to every question for a gradient, of a mini-batch or full.
    value : callable, optional
        Likewise for values, shape ``(..., 1)``.
    workers : int
        How many workers have this function, each at points ``(..., M, d)`` of its own; 0 for none.

    Examples
    --------
    >>> import torch
    >>> oracle = FunctionOracle(torch.ones_like)
    >>> oracle.gradient(torch.zeros(2)), oracle.calls.gradients
    (tensor([1., 1.]), 1)
    """

    def __init__(
        self,
        gradient: Callable[[Tensor], Tensor],
        value: Callable[[Tensor], Tensor] | None = None,
        workers: int = 0,
    ) -> None:
        super().__init__()
        self._gradient, self._value, self._workers = gradient, value, workers

    def gradient(self, w: Tensor, lag: int = 0) -> Tensor:
        self._count["gradients"] += 1
        return self._gradient(w)

    def value(self, w: Tensor, lag: int = 0) -> Tensor:
        if self._value is None:
            self._lacks("values of a mini-batch")
        self._count["values"] += 1
        return self._value(w)

    def full_gradient(self, w: Tensor, when: Tensor | bool = True) -> Tensor:
        if when is False:
            return w
        self._count["passes"] += 1
        return self._gradient(w)

    @property
    def workers(self) -> int:
        return self._workers or self._lacks("workers")

    def worker_gradients(self, w: Tensor) -> Tensor:
        self._count["gradients"] += self.workers
        return self._gradient(w)


@final
class Fed(Oracle):
    """Gives one gradient, at one point, and refuses every other question.

    For models of a method that know of one gradient a step, at the iterate.

    Raises
    ------
    UsageError
        At the first other question.
    """

    def __init__(self, who: str, at: Tensor, gradient: Tensor | None) -> None:
        super().__init__()
        self._name, self._at, self._gradient = who, at, gradient

    @property
    def _who(self) -> str:
        return f"one gradient a step at w is modelled; {self._name} asks for more, and the model"

    def gradient(self, w: Tensor, lag: int = 0) -> Tensor:
        asked, self._count["gradients"] = self._count["gradients"], 1
        if asked or lag or self._gradient is None or not torch.equal(w, self._at):
            self._lacks("other gradients")
        return self._gradient
