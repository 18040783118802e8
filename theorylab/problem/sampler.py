"""``Sampler``: how mini-batches are drawn, from step to step."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, combinations_with_replacement
from typing import Literal, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from theorylab.errors import UsageError
from theorylab.problem.objective import Objective

__all__ = [
    "Branches",
    "Growing",
    "Importance",
    "Reshuffled",
    "Sampler",
    "Stream",
    "WithReplacement",
    "WithoutReplacement",
    "weights_of",
]

Stream = Callable[[int, int], np.ndarray]
"""``(steps, batch_size)`` to the draws of the next so many steps: ``(steps, R, B, ...)``."""


class Branches(NamedTuple):
    """Every mini-batch that the next step may draw, where they are finitely many.

    Attributes
    ----------
    draws : ndarray, shape (m, B, ...)
    chances : ndarray, shape (m,)
    memories : tuple
        What the sampler remembers after each; ``None`` where mini-batches are independent.
    """

    draws: np.ndarray
    chances: np.ndarray
    memories: tuple[Hashable, ...]


class Sampler(abc.ABC):
    """How a method draws its mini-batches. A final frozen dataclass; equal ones draw alike."""

    @abc.abstractmethod
    def stream(self, objective: Objective, rng: np.random.Generator, replicas: int) -> Stream:
        """Draws for some replicas; ``a`` steps and then ``b`` are the same as ``a + b``.

        Raises
        ------
        UsageError
            If the objective cannot be sampled so.
        """

    def batches(
        self, objective: Objective, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The law of one mini-batch where it is finite and the same at every step, else ``None``.

        Every mini-batch up to the order of its samples, shape ``(m, B, ...)``, and its
        probability.
        """
        return None

    def count(self, objective: Objective, batch_size: int) -> float:
        """How many mini-batches a step may draw, at most; ``inf`` where they are not counted."""
        return math.inf

    def branches(
        self, objective: Objective, batch_size: int, memory: Hashable = None
    ) -> Branches | None:
        """The law of the next mini-batch, given what the sampler remembers of those before.

        ``memory`` is ``None`` before the first step, and later one of :attr:`Branches.memories`.
        ``None`` where that law is not finite.
        """
        law = self.batches(objective, batch_size)
        return None if law is None else Branches(*law, (None,) * len(law[1]))

    def weights(self, objective: Objective) -> np.ndarray | None:
        """What each sample's gradient is multiplied by, shape ``(n,)``; ``None``: by 1."""
        return None

    def size(self, step: int, batch_size: int) -> int:
        """The size of the mini-batch of a step (from 0)."""
        return batch_size

    @property
    def constant(self) -> bool:
        """Whether all mini-batches have the same size."""
        return True


def _multisets(chances: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Every choice of ``size`` outcomes, repeats allowed, up to order, and its probability.

    >>> picks, likely = _multisets(np.array([0.9, 0.1]), 3)
    >>> picks.tolist(), likely.round(12).tolist()
    ([[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]], [0.729, 0.243, 0.027, 0.001])
    """
    picks = np.array(list(combinations_with_replacement(range(len(chances)), size)))
    if size == 1:
        return picks, np.asarray(chances, dtype=float)
    often = np.stack([(picks == k).sum(1) for k in range(len(chances))], axis=1)
    # In integers, each probability rounded once: an error of 1e-13 in them, times F, would hide or
    # feign what a step of a large batch does.
    shift = max(Fraction(float(c)).denominator.bit_length() - 1 for c in chances)
    whole = [int(Fraction(float(c)) * 2**shift) for c in chances]
    powers = [[w**j for j in range(size + 1)] for w in whole]
    factorials = [math.factorial(j) for j in range(size + 1)]
    total = sum(whole) ** size
    likely = []
    for row in often.tolist():
        orders = factorials[size]
        weight = 1
        for k, j in enumerate(row):
            orders //= factorials[j]
            weight *= powers[k][j]
        likely.append(orders * weight / total)
    return picks, np.array(likely)


def _multiset_count(outcomes: int, size: int) -> float:
    return _float(math.comb(outcomes + size - 1, size))


def _float(count: int) -> float:
    """``count``, or infinity where it is beyond every float."""
    try:
        return float(count)
    except OverflowError:
        return math.inf


@final
@dataclass(frozen=True)
class WithReplacement(Sampler):
    """Every sample of every mini-batch is a draw of its own.

    >>> import synthetic
    >>> coin = synthetic.quadratic(dim=1, noise="two_point", sigma=1.0)
    >>> draws, chances = WithReplacement().batches(coin, 2)
    >>> draws.tolist(), chances.round(12).tolist()
    ([[0, 0], [0, 1], [1, 1]], [0.25, 0.5, 0.25])
    """

    def stream(self, objective: Objective, rng: np.random.Generator, replicas: int) -> Stream:
        return lambda steps, size: objective.draw(rng, steps, replicas, size)

    def batches(
        self, objective: Objective, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        law = objective.outcomes()
        if law is None:
            return None
        draws, chances = law
        picks, likely = _multisets(chances, batch_size)
        return draws[picks], likely

    def count(self, objective: Objective, batch_size: int) -> float:
        law = objective.outcomes()
        return math.inf if law is None else _multiset_count(len(law[0]), batch_size)


@final
@dataclass(frozen=True)
class WithoutReplacement(Sampler):
    """The samples of a mini-batch are distinct; mini-batches are independent.

    >>> import synthetic
    >>> draws, _ = WithoutReplacement().batches(synthetic.robust_regression(n=3, dim=1), 2)
    >>> draws.tolist()
    [[0, 1], [0, 2], [1, 2]]
    """

    def stream(self, objective: Objective, rng: np.random.Generator, replicas: int) -> Stream:
        table = _uniform(self, objective)

        def draw(steps: int, size: int) -> np.ndarray:
            _fits(self, objective, size, len(table))
            found = [np.argsort(rng.random((replicas, len(table))))[:, :size] for _ in range(steps)]
            shape = (steps, replicas, size)
            return table[np.reshape(found, shape).astype(np.int32)]

        return draw

    def batches(
        self, objective: Objective, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        table = _uniform(self, objective)
        _fits(self, objective, batch_size, len(table))
        picks = np.array(list(combinations(range(len(table)), batch_size)))
        return table[picks], np.full(len(picks), 1 / len(picks))

    def count(self, objective: Objective, batch_size: int) -> float:
        return _float(math.comb(len(_uniform(self, objective)), batch_size))


@final
@dataclass(frozen=True)
class Reshuffled(Sampler):
    """Every epoch goes once through all samples.

    Parameters
    ----------
    order : "reshuffled", "once" or "cyclic"
        A new random order for every epoch, one for the whole run, or the samples' own.

    >>> import synthetic
    >>> data = synthetic.robust_regression(n=4, dim=1)
    >>> epoch = Reshuffled().stream(data, np.random.default_rng(0), replicas=1)(4, 1)
    >>> sorted(epoch.ravel().tolist())
    [0, 1, 2, 3]
    """

    order: Literal["reshuffled", "once", "cyclic"] = "reshuffled"

    def stream(self, objective: Objective, rng: np.random.Generator, replicas: int) -> Stream:
        table = _uniform(self, objective)
        n = len(table)
        held = np.empty((0, replicas), dtype=np.int32)
        first: np.ndarray | None = None

        def epoch() -> np.ndarray:
            nonlocal first
            if self.order == "reshuffled" or first is None:
                first = np.tile(np.arange(n, dtype=np.int32)[:, None], (1, replicas))
                if self.order != "cyclic":
                    first = np.argsort(rng.random((n, replicas)), axis=0).astype(np.int32)
            return first

        def draw(steps: int, size: int) -> np.ndarray:
            nonlocal held
            _fits(self, objective, size, n)
            _divides(objective, size, n)
            parts = [held]
            while sum(map(len, parts)) < steps * size:
                parts.append(epoch())
            whole = np.concatenate(parts)
            used, held = whole[: steps * size], whole[steps * size :]
            return table[used.reshape(steps, size, replicas).swapaxes(1, 2)]

        return draw

    def count(self, objective: Objective, batch_size: int) -> float:
        n = len(_uniform(self, objective))
        return 1.0 if self.order == "cyclic" else _float(math.comb(n, batch_size))

    def branches(self, objective: Objective, batch_size: int, memory: Hashable = None) -> Branches:
        """The mini-batches left in this epoch; within one, the order does not matter.

        >>> import synthetic
        >>> data = synthetic.robust_regression(n=4, dim=1)
        >>> first = Reshuffled().branches(data, 2)
        >>> first.draws[0].tolist(), round(float(first.chances[0]), 9), first.memories[0]
        ([0, 1], 0.166666667, frozenset({0, 1}))
        >>> Reshuffled().branches(data, 2, first.memories[0]).draws.tolist()
        [[2, 3]]
        """
        table = _uniform(self, objective)
        n = len(table)
        _fits(self, objective, batch_size, n)
        _divides(objective, batch_size, n)
        if self.order == "cyclic":
            place = memory if isinstance(memory, int) else 0
            picks = [tuple(range(place, place + batch_size))]
            after: list[Hashable] = [(place + batch_size) % n]
        elif self.order == "once":
            order, place = memory if isinstance(memory, tuple) else ((), 0)
            if len(order) == n:
                picks = [order[place : place + batch_size]]
                after = [(order, (place + batch_size) % n)]
            else:
                picks = list(combinations(sorted(set(range(n)) - set(order)), batch_size))
                after = [((*order, *pick), (place + batch_size) % n) for pick in picks]
        else:
            used = memory if isinstance(memory, frozenset) and len(memory) < n else frozenset()
            picks = list(combinations(sorted(set(range(n)) - used), batch_size))
            after = [used.union(pick) for pick in picks]
        return Branches(table[np.array(picks)], np.full(len(picks), 1 / len(picks)), tuple(after))


@final
@dataclass(frozen=True)
class Importance(Sampler):
    """Sample i is drawn with probability ``p_i``, and its gradient multiplied by ``1/(n p_i)``.

    Parameters
    ----------
    probabilities : tuple of float
        Positive, summing to 1.
    """

    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        p = self.probabilities
        if not p or not min(p) > 0 or not math.isclose(sum(p), 1, rel_tol=1e-9):
            raise UsageError("Importance: probabilities must be positive and sum to 1")

    def _table(self, objective: Objective) -> np.ndarray:
        table = _uniform(self, objective)
        if len(table) != len(self.probabilities):
            raise UsageError(f"{objective.name}: {len(table)} probabilities are required, "
                             f"got {len(self.probabilities)}")  # fmt: skip
        return table

    def stream(self, objective: Objective, rng: np.random.Generator, replicas: int) -> Stream:
        table, edges = self._table(objective), np.cumsum(self.probabilities)

        def draw(steps: int, size: int) -> np.ndarray:
            index = np.searchsorted(edges, rng.random((steps, replicas, size)), side="right")
            return table[np.minimum(index, len(table) - 1).astype(np.int32)]

        return draw

    def batches(
        self, objective: Objective, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        table, chances = self._table(objective), np.array(self.probabilities)
        picks, likely = _multisets(chances, batch_size)
        return table[picks], likely

    def count(self, objective: Objective, batch_size: int) -> float:
        return _multiset_count(len(self.probabilities), batch_size)

    def weights(self, objective: Objective) -> np.ndarray:
        n = len(self._table(objective))
        return 1 / (n * np.array(self.probabilities))


@final
@dataclass(frozen=True)
class Growing(Sampler):
    """With replacement, ``ceil(B (t + 1)^power)`` samples at step t (from 0).

    >>> [Growing(power=1.0).size(t, 2) for t in range(4)]
    [2, 4, 6, 8]
    """

    power: float = 1.0

    def stream(self, objective: Objective, rng: np.random.Generator, replicas: int) -> Stream:
        return lambda steps, size: objective.draw(rng, steps, replicas, size)

    def size(self, step: int, batch_size: int) -> int:
        return math.ceil(batch_size * (step + 1) ** self.power - 1e-9)

    @property
    def constant(self) -> bool:
        return self.power == 0


def weights_of(sampler: Sampler, objective: Objective) -> Tensor | None:
    """The sampler's weights as the objective's numbers, for :class:`MiniBatch`."""
    weights = sampler.weights(objective)
    return None if weights is None else torch.from_numpy(weights).to(objective.start.dtype)


def _uniform(sampler: Sampler, objective: Objective) -> np.ndarray:
    """The equally likely outcomes of one draw."""
    law = objective.outcomes()
    if objective.workers:
        raise UsageError(
            f"{objective.name}: {type(sampler).__name__} is of one list of samples; here every "
            "worker draws its own, with replacement"
        )
    if law is None or not _equal(law[1]):
        raise UsageError(
            f"{objective.name}: {type(sampler).__name__} needs samples to choose from, equally "
            "likely, as a finite sum has them"
        )
    return law[0]


def _equal(chances: np.ndarray) -> bool:
    # Those of a finite sum are the very same: that is seen at once.
    first = chances[0]
    return bool((chances == first).all() or np.allclose(chances, first, rtol=1e-12, atol=0))


def _fits(sampler: Sampler, objective: Objective, size: int, n: int) -> None:
    if size > n:
        raise UsageError(f"{objective.name}: {size} distinct samples are required of {n}")


def _divides(objective: Objective, size: int, n: int) -> None:
    if n % size:
        raise UsageError(
            f"{objective.name}: going through all samples requires a batch size that divides "
            f"n = {n}, got {size}"
        )
