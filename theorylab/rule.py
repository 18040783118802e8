"""``UpdateRule``: one stochastic method, written once for a single run along the last axis.

A rule is a frozen dataclass and a pure function: no random draws, no in-place writes, no Python
branch on tensor values. Every operation is elementwise or reduces the last axis, so the same
code moves one flat parameter vector of shape ``(d,)`` (the deep track, through
:mod:`theorylab.torch_optim`) or thousands of replicas ``(R, d)`` at once (the synthetic track,
through :func:`theorylab.run`), and replicas cannot leak into each other. Hyperparameters may be
numbers, tensors of shape ``(R, 1)`` (one value a replica) or schedules.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from theorylab.schedules import Schedule

__all__ = ["Draw", "Hyper", "State", "UpdateRule", "norm"]

Hyper = float | Tensor | Schedule
State = dict[str, Tensor]


def norm(x: Tensor) -> Tensor:
    """Euclidean norm of each run's vector: shape ``(..., d)`` to ``(..., 1)``."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)


@dataclass(frozen=True)
class Draw:
    """Randomness a rule consumes at every step, drawn ahead by whoever runs it.

    ``uniform`` is U[0, 1), ``normal`` is N(0, 1); one number a run, or one a coordinate.
    """

    name: str
    law: Literal["uniform", "normal"]
    per: Literal["run", "coordinate"]


@dataclass(frozen=True)
class UpdateRule(abc.ABC):
    """A stochastic optimization method as a pure update.

    Subclasses are final frozen dataclasses whose fields carry the field's symbols (``eta``,
    ``beta``, ``lam``, ``theta``, ``S``); a statement's values build a rule by those names.

    Class attributes
    ----------------
    name : str
        The registered name, e.g. ``"sngm"``.
    source : str
        Paper and equation the update is taken from.
    draws : tuple of Draw
        Randomness consumed at each step, passed to :meth:`update` in ``draw``.
    lags : int
        How many of the most recent mini-batches the rule wants gradients for. With 1 (nearly
        every rule) ``g`` has the shape of ``w``; otherwise ``(lags, ..., d)``, newest first,
        all at the current ``w``.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    draws: ClassVar[tuple[Draw, ...]] = ()
    lags: ClassVar[int] = 1

    def init(self, w: Tensor) -> State:
        """The state before the first step, for parameters ``w`` of shape ``(..., d)``."""
        return {}

    @abc.abstractmethod
    def update(
        self, w: Tensor, g: Tensor, state: State, draw: Mapping[str, Tensor]
    ) -> tuple[Tensor, State]:
        """One step.

        Parameters
        ----------
        w : Tensor, shape (..., d)
            Current parameters.
        g : Tensor, shape (..., d), or (lags, ..., d)
            Stochastic gradient at ``w``.
        state : dict of str to Tensor
            As returned by :meth:`init` or the previous step.
        draw : mapping of str to Tensor
            ``t``, the index of this step from 1 (a scalar tensor); ``restart``, shape
            ``(..., 1)`` bool, for rules with rounds: whether this step begins a round; and one
            entry for each of :attr:`draws`.

        Returns
        -------
        tuple of Tensor and dict
            The next parameters and state.
        """

    def restarts(
        self, rng: np.random.Generator, first: int, steps: int, replicas: int
    ) -> np.ndarray | None:
        """Which of steps ``first .. first+steps-1`` (from 0) begin a round.

        ``None`` if every step is a round of its own (rules without an inner loop); otherwise a
        bool array of shape ``(steps, replicas)`` or, where all replicas agree, ``(steps, 1)``.
        Step 0 always begins a round.
        """
        return None

    def rows(self, rows: slice) -> UpdateRule:
        """The same rule for a slice of the replicas: tensors of one value a replica are cut."""
        cut = {
            f.name: value[rows]
            for f in dataclasses.fields(self)
            if isinstance(value := getattr(self, f.name), Tensor) and value.ndim == 2
        }
        return dataclasses.replace(self, **cut) if cut else self

    def at(self, hyper: Hyper, t: Tensor | int) -> Any:
        """The value of a hyperparameter at iteration ``t``: schedules are evaluated."""
        return hyper(t) if isinstance(hyper, Schedule) else hyper
