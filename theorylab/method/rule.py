"""``UpdateRule``: one stochastic method, written once for a single run along the last axis.

A rule is a frozen dataclass and a pure function: no random draws, no in-place writes, no Python
branch on tensor values. What it wants to know of the function it asks an
:class:`~theorylab.problem.oracle.Oracle`. Every operation is elementwise or reduces the last
axis, so the same code moves one flat parameter vector of shape ``(d,)`` (the deep track, through
:mod:`theorylab.torch.optim`) or thousands of replicas ``(R, d)`` at once (the synthetic track,
through :func:`theorylab.run`), and replicas cannot leak into each other. Hyperparameters may be
numbers, tensors of shape ``(R, 1)`` (one value a replica) or schedules.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import TypeVar

from theorylab.method.schedules import Schedule
from theorylab.problem.oracle import Oracle
from theorylab.problem.sampler import Sampler, WithReplacement

__all__ = [
    "Draw",
    "Drawn",
    "Hyper",
    "State",
    "Stateless",
    "UpdateRule",
    "add_scaled",
    "entries",
    "independent",
    "is_zero",
    "map_state",
    "norm",
    "over",
    "round_starts",
    "select",
    "tables",
]

Hyper = float | Tensor | Schedule
State = tuple[Any, ...]
"""A ``NamedTuple`` of tensors, of counts that all runs share, and of ``None`` for absent parts."""
S = TypeVar("S", bound=State, default=Any)
_WITH_REPLACEMENT = WithReplacement()
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


def over(x: Any, y: Any) -> Any:
    """``x / y``, and 0 where y is 0: a pull that belongs to a step of length 0 pulls nothing.

    >>> over(1.0, 0.0), over(1.0, torch.tensor([0.0, 2.0]))
    (0.0, tensor([0.0000, 0.5000]))
    """
    if not isinstance(y, Tensor):
        return 0.0 if isinstance(y, int | float) and y == 0 else x / y
    still = y == 0
    return torch.where(still, torch.zeros_like(y), x / torch.where(still, torch.ones_like(y), y))


def select(where: Tensor | bool, new: Tensor, old: Tensor) -> Tensor:
    """``new`` in the rows where ``where`` is true, ``old`` elsewhere.

    >>> select(torch.tensor([[True], [False]]), torch.ones(2, 1), torch.zeros(2, 1)).ravel()
    tensor([1., 0.])
    """
    if isinstance(where, bool):
        return new if where else old
    return torch.where(where.to(torch.bool), new, old)


class Stateless(NamedTuple):
    """The state of a rule that keeps nothing."""


def entries(state: State) -> dict[str, Any]:
    """The parts of a state by name, without those that are absent.

    >>> class Pair(NamedTuple):
    ...     v: Tensor
    ...     anchor: Tensor | None = None
    >>> entries(Pair(torch.ones(1)))
    {'v': tensor([1.])}
    """
    named = state._asdict()  # type: ignore[attr-defined]
    return {name: value for name, value in named.items() if value is not None}


def map_state(function: Callable[[Any], Any], state: S) -> S:
    """The state with ``function`` of each of its parts."""
    make: Callable[..., S] = type(state)
    return make(*(None if value is None else function(value) for value in state))


class Drawn(NamedTuple):
    """What a rule is given at a step besides the oracle.

    Attributes
    ----------
    t : Tensor
        The index of this step from 1, a scalar.
    restart : Tensor or bool
        Whether this step begins a round: shape ``(..., 1)``, or a plain ``bool`` where all runs
        agree. Steps of rules without an inner loop all do.
    own : mapping of str to Tensor
        One entry for each of the rule's :attr:`~UpdateRule.draws`.
    """

    t: Tensor
    restart: Tensor | bool = True
    own: Mapping[str, Tensor] = {}


@dataclass(frozen=True)
class Draw:
    """Randomness a rule consumes at every step, drawn ahead by whoever runs it.

    ``uniform`` is U[0, 1), ``normal`` is N(0, 1); one number a run, or one a coordinate.
    """

    name: str
    law: Literal["uniform", "normal"]
    per: Literal["run", "coordinate"]


@dataclass(frozen=True)
class UpdateRule(abc.ABC, Generic[S]):
    """A stochastic optimization method as a pure update; ``S`` is the type of its state.

    Subclasses are final frozen dataclasses whose fields carry the field's symbols (``eta``,
    ``beta``, ``lam``, ``theta``, ``S``); a statement's values build a rule by those names.

    Class attributes
    ----------------
    name : str
        The registered name, e.g. ``"sngm"``.
    source : str
        Paper and equation the update is taken from.
    torch_names : mapping of str to str
        What users of torch call a field, where it is not the usual name (``lr`` for ``eta``,
        ``momentum`` for ``beta``, ``betas``); "" for a field that networks have no use for.
    needs : frozenset of str
        What the rule asks of its oracle beside :meth:`~theorylab.problem.oracle.Oracle.gradient`,
        by the names of the oracle's methods (``"full_gradient"``, ``"prox"``, ...).
    draws : tuple of Draw
        Randomness consumed at each step, passed to :meth:`update` in ``draw.own``.
    tuned : frozenset of str
        Fields that no default suits on networks: there they must be given.
    ranges : mapping of str to (float, float)
        Half-open ranges of fields, beyond those of the usual symbols, that networks insist on.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    draws: ClassVar[tuple[Draw, ...]] = ()
    torch_names: ClassVar[Mapping[str, str]] = {}
    needs: ClassVar[frozenset[str]] = frozenset()
    tuned: ClassVar[frozenset[str]] = frozenset()
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def __post_init__(self) -> None:
        # Values computed with numpy arrive as its scalars, which do not mix with tensors.
        for name, value in vars(self).items():
            if value.__class__ in _PLAIN:
                continue
            if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
                object.__setattr__(self, name, value.item())

    @property
    def lags(self) -> int:
        """How many of the most recent mini-batches the rule asks about; 1 is this step's."""
        return 1

    @property
    def sampler(self) -> Sampler:
        """How its mini-batches are drawn, where whoever runs it draws them."""
        return _WITH_REPLACEMENT

    def init(self, w: Tensor, oracle: Oracle) -> S:
        """The state before the first step; nothing by default.

        Parameters
        ----------
        w : Tensor, shape (..., d)
            Where the run starts.
        oracle : Oracle
            It has no mini-batch yet.

        Returns
        -------
        NamedTuple
            Tensors by name; counts that all runs share may become plain numbers.
        """
        return Stateless()  # type: ignore[return-value]

    @abc.abstractmethod
    def update(self, w: Tensor, oracle: Oracle, state: S, draw: Drawn) -> tuple[Tensor, S]:
        """One step.

        Parameters
        ----------
        w : Tensor, shape (..., d)
            Current parameters.
        oracle : Oracle
            Answers for this step's mini-batch.
        state : NamedTuple
            As returned by :meth:`init` or the previous step.
        draw : Drawn

        Returns
        -------
        tuple of Tensor and NamedTuple
            The next parameters and state.
        """

    def output(self, w: Tensor, state: S) -> Tensor:
        """What the method returns if it stops here: by default the last iterate."""
        return w

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


def tables(whole: Any, path: str = "") -> dict[str, Tensor]:
    """The tensors of one value a replica in a rule and its schedules, by their path.

    >>> from theorylab.method import SGD
    >>> tables(SGD(eta=torch.ones(2, 1)))
    {'eta': tensor([[1.],
            [1.]])}
    """
    found: dict[str, Tensor] = {}
    for f in dataclasses.fields(whole):
        value, name = getattr(whole, f.name), f"{path}{f.name}"
        if isinstance(value, Tensor) and value.ndim == 2:
            found[name] = value
        elif isinstance(value, UpdateRule | Schedule) and dataclasses.is_dataclass(value):
            found |= tables(value, f"{name}/")
    return found


def independent(rule: UpdateRule) -> bool:
    """Whether all samples of all its mini-batches are independent draws."""
    return isinstance(rule.sampler, WithReplacement)


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
