"""``UpdateRule``: one stochastic method, written once for a single run along the last axis.

A rule is a frozen dataclass and a pure function: no random draws, no in-place writes, no Python
branch on tensor values. Every operation is elementwise or reduces the last axis, so the same
code moves one flat parameter vector of shape ``(d,)`` (the deep track, through
:mod:`theorylab.torch.optim`) or thousands of replicas ``(R, d)`` at once (the synthetic track,
through :func:`theorylab.run`), and replicas cannot leak into each other. Hyperparameters may be
numbers, tensors of shape ``(R, 1)`` (one value a replica) or schedules.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from theorylab.method.schedules import Schedule

__all__ = [
    "Draw",
    "Hyper",
    "State",
    "UpdateRule",
    "add_scaled",
    "begins_fresh",
    "is_zero",
    "norm",
    "round_starts",
    "tables",
]

Hyper = float | Tensor | Schedule
State = dict[str, Any]
_PLAIN = (float, int, type(None))


def norm(x: Tensor) -> Tensor:
    """Euclidean norm of each run's vector: shape ``(..., d)`` to ``(..., 1)``."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def is_zero(hyper: Any) -> bool:
    """Whether a hyperparameter is the plain number 0, so that its term need not be computed."""
    return isinstance(hyper, (int, float)) and hyper == 0


def add_scaled(x: Tensor, factor: Any, y: Tensor) -> Tensor:
    """``x + factor y`` in one operation, for a number or a tensor that broadcasts.

    >>> add_scaled(torch.ones(2), 0.5, torch.ones(2))
    tensor([1.5000, 1.5000])
    """
    if isinstance(factor, Tensor):
        return torch.addcmul(x, factor, y)
    return x if factor == 0 else torch.add(x, y, alpha=factor)


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
    """

    name: ClassVar[str]
    source: ClassVar[str]
    draws: ClassVar[tuple[Draw, ...]] = ()

    def __post_init__(self) -> None:
        # Values computed with numpy arrive as its scalars, which do not mix with tensors.
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
                object.__setattr__(self, f.name, value.item())

    @property
    def lags(self) -> int:
        """How many of the most recent mini-batches the rule wants gradients for.

        With 1 (nearly every rule) ``g`` has the shape of ``w``; otherwise ``(lags, ..., d)``,
        newest first, all at the current ``w``.
        """
        return 1

    def init(self, w: Tensor) -> State:
        """The state before the first step, for parameters ``w`` of shape ``(..., d)``.

        Tensors by name; counts that all runs share may become plain numbers.
        """
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
            ``t``, the index of this step from 1 (a scalar tensor); ``restart``, for rules with
            rounds: whether this step begins a round, shape ``(..., 1)`` (or a plain ``bool``
            where all runs agree); and one entry for each of :attr:`draws`.

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

    def rows(self, rows: slice | np.ndarray) -> UpdateRule:
        """The same rule for some of the replicas: tensors of one value a replica are cut."""
        return _cut(self, rows)

    def at(self, hyper: Hyper | None, t: Tensor | int) -> Any:
        """The value of a hyperparameter at iteration ``t``: schedules are evaluated.

        Tensors come in the type and on the device of ``t``, so a float64 table of step sizes
        does not turn a float32 run into a float64 one.
        """
        if hyper.__class__ in _PLAIN:  # the common case, several times a step
            return hyper
        value = hyper(t) if isinstance(hyper, Schedule) else hyper
        return value.to(t) if isinstance(value, Tensor) and isinstance(t, Tensor) else value


def _cut(whole: Any, rows: slice | np.ndarray) -> Any:
    """A rule or schedule with its tensors of one value a replica, at any depth, cut to ``rows``."""
    if isinstance(whole, Tensor):
        return whole[rows] if whole.ndim == 2 else whole
    if not (isinstance(whole, UpdateRule | Schedule) and dataclasses.is_dataclass(whole)):
        return whole
    parts = {f.name: getattr(whole, f.name) for f in dataclasses.fields(whole)}
    cut = {name: new for name, part in parts.items() if (new := _cut(part, rows)) is not part}
    return dataclasses.replace(whole, **cut) if cut else whole


def tables(whole: Any) -> Iterator[Tensor]:
    """The tensors of one value a replica in a rule or schedule, at any depth."""
    if isinstance(whole, Tensor) and whole.ndim == 2:
        yield whole
    elif isinstance(whole, UpdateRule | Schedule) and dataclasses.is_dataclass(whole):
        for f in dataclasses.fields(whole):
            yield from tables(getattr(whole, f.name))


def begins_fresh(rule: UpdateRule) -> bool:
    """Whether a round depends on the rounds before it through ``w`` alone.

    The rule is run on random vectors: a second round from the state that the first one left,
    and from a fresh state at the same ``w`` and ``t``. A claim on one round of a rule that does
    not begin fresh must be tried on states that earlier rounds leave.

    >>> from theorylab.method import MSGD, SGD, TRSGD
    >>> [begins_fresh(rule) for rule in (SGD(eta=0.1), TRSGD(lam=2.0, S=4), MSGD(eta=0.1))]
    [True, True, False]
    """
    rng = np.random.default_rng(13)
    long = rule.restarts(np.random.default_rng(0), 0, 2, 1) is not None
    begins = (True, False, False, True, False, False) if long else (True,) * 6

    def vectors(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal((*shape, 1, 7)))

    def draw(k: int) -> dict[str, Tensor]:
        found = {"t": torch.tensor(float(k + 1), dtype=torch.float64),
                 "restart": torch.tensor([[begins[k]]])}  # fmt: skip
        for one in rule.draws:
            size = (1, 1) if one.per == "run" else (1, 7)
            drawn = rng.random(size) if one.law == "uniform" else rng.standard_normal(size)
            found[one.name] = torch.from_numpy(drawn)
        return found

    with torch.no_grad():
        w = vectors()
        state = rule.init(w)
        for k in range(3):
            w, state = rule.update(w, vectors(rule.lags) if rule.lags > 1 else vectors(), state,
                                   draw(k))  # fmt: skip
        fresh, anew = w, rule.init(w)
        for k in range(3, 6):
            g, drawn = vectors(rule.lags) if rule.lags > 1 else vectors(), draw(k)
            w, state = rule.update(w, g, state, drawn)
            fresh, anew = rule.update(fresh, g, anew, drawn)
            if not long:  # the next step is another round
                break
    return bool(torch.allclose(w, fresh, rtol=1e-12, atol=1e-12))


def round_starts(rule: UpdateRule, rounds: int, longest: int = 256) -> np.ndarray | None:
    """Which steps of the first ``rounds`` rounds begin one: bool, shape ``(steps,)``.

    ``None`` if that is random, or if the rounds take more than ``longest`` steps.
    """
    mask = rule.restarts(np.random.default_rng(0), 0, longest + 1, 2)
    if mask is None:
        return np.ones(rounds, dtype=bool)
    begins = np.flatnonzero(mask[:, 0])
    if mask.shape[1] > 1 or len(begins) <= rounds:
        return None
    return mask[: begins[rounds], 0]
