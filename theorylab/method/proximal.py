"""Methods that pull towards an anchor: TRSGD, LRSGD-R, LRSGD-C.

A round fixes an anchor ``a = w`` and takes stochastic gradient steps on
``f(w) + (lam/2)||w - a||^2``; ``draw.restart`` says which steps begin one.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, final

import numpy as np
import torch
from torch import Tensor

from theorylab.method.rule import Drawn, Hyper, State, UpdateRule, add_scaled, is_zero, over, select
from theorylab.method.schedules import Schedule
from theorylab.problem.oracle import Oracle
from theorylab.problem.tracing import row_by_row

__all__ = ["LRSGD_C", "LRSGD_R", "TRSGD", "Anchored", "Proximal", "count", "periodic"]

_COUNTED = 10**15  # doubles hold every integer up to that
Variant = Literal["paper", "authors"]
S = TypeVar("S", bound=State)


def count(rule: UpdateRule, field_name: str, least: int) -> int:
    """An integer hyperparameter that every replica shares.

    Raises
    ------
    ValueError
        If it is a tensor or schedule, less than ``least``, or more than steps can be counted.
    """
    value = getattr(rule, field_name)
    if isinstance(value, Tensor | Schedule) or not least <= value <= _COUNTED:
        raise ValueError(
            f"{rule.name}: {field_name} must be one number of at least {least} for all "
            f"replicas, and at most {_COUNTED:.0e}, got {value!r}"
        )
    return math.floor(value)


def periodic(first: int, steps: int, warm: int, length: int) -> np.ndarray:
    """Rounds of one step for the first ``warm`` steps, then of ``length``; shape (steps, 1).

    >>> periodic(0, 6, 1, 2).ravel().astype(int)
    array([1, 1, 0, 1, 0, 1])
    """
    if steps == 1:  # asked for at every step of a training run
        return np.array([[first < warm or (first - warm) % length == 0]])
    index = np.arange(first, first + steps)
    return ((index < warm) | ((index - warm) % length == 0))[:, None]


class Anchored(NamedTuple):
    """Of a method with an anchor: what it uses of this.

    Attributes
    ----------
    anchor : Tensor
        Where the round began.
    k, round : Tensor
        The step within the round and the round, from 1.
    v : Tensor
        The momentum.
    """

    anchor: Tensor | None = None
    k: Any = None
    round: Any = None
    v: Tensor | None = None


@dataclass(frozen=True)
class Proximal(UpdateRule[Anchored]):
    """The update the family shares.

    Direction ``g + pull (w - a) + weight_decay w``, then momentum
    ``v <- beta v + direction`` (one buffer, never reset at anchors), then ``w <- w - step v``.
    """

    torch_names: ClassVar[Mapping[str, str]] = {"inner": "lr", "delta": ""}

    lam: Hyper
    inner: Hyper | None = field(default=None, kw_only=True)
    beta: Hyper = field(default=0.0, kw_only=True)
    weight_decay: Hyper = field(default=0.0, kw_only=True)
    variant: Variant = field(default="paper", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in ("paper", "authors"):
            raise ValueError(f"{self.name}: variant must be 'paper' or 'authors', "
                             f"got {self.variant!r}")  # fmt: skip
        if self.variant == "authors" and self.inner is None:
            raise ValueError(f"{self.name}: variant 'authors' needs inner, its learning rate")

    @cached_property
    def _plain(self) -> bool:
        """Whether there is neither momentum nor weight decay."""
        return is_zero(self.beta) and is_zero(self.weight_decay)

    @property
    def _counts_steps(self) -> bool:
        """Whether the index k within the round is needed."""
        return True

    @cached_property
    def _counts_rounds(self) -> bool:
        """Whether the index t of the round is needed."""
        return isinstance(self.lam, Schedule) or isinstance(self.inner, Schedule)

    def init(self, w: Tensor, oracle: Oracle) -> Anchored:
        zero = w.new_zeros((*w.shape[:-1], 1))
        return Anchored(
            None if is_zero(self.lam) else w,
            zero if self._counts_steps else None,
            zero if self._counts_rounds else None,
            None if is_zero(self.beta) else torch.zeros_like(w),
        )

    @abc.abstractmethod
    def _step(self, t: Any, k: Any, like: Tensor) -> tuple[Any, Any]:
        """The step size and the anchor's pull at step ``k`` of round ``t``."""

    def _shrink(self, step: Any, pull: Any) -> Any:
        """How far towards the anchor one step moves: ``step pull``."""
        return step * pull

    def _pull(self, lam: Any, inner: Any) -> Any:
        return over(2 * lam, inner) if self.variant == "authors" else lam

    def update(
        self, w: Tensor, oracle: Oracle, state: Anchored, draw: Drawn
    ) -> tuple[Tensor, Anchored]:
        g = oracle.gradient(w)
        state = begin_round(w, state, draw.restart)
        t = state.round if self._counts_rounds else draw.t
        step, pull = self._step(t, state.k, w)
        if self._plain:
            # w - step (g + pull (w - a)), as a move towards the anchor and a gradient step.
            if not is_zero(pull):
                assert state.anchor is not None
                w = torch.lerp(w, state.anchor, self._shrink(step, pull))
            if isinstance(step, Tensor):
                return torch.addcmul(w, step, g, value=-1), state
            return add_scaled(w, -step, g), state
        decay, beta = self.at(self.weight_decay, t), self.at(self.beta, t)
        direction = add_scaled(g, decay, w)
        if not is_zero(pull):
            assert state.anchor is not None
            direction = add_scaled(direction, pull, w - state.anchor)
        if not is_zero(beta):
            assert state.v is not None
            direction = add_scaled(direction, beta, state.v)
            state = state._replace(v=direction)
        return add_scaled(w, -step, direction), state


def begin_round(w: Tensor, state: S, restart: Tensor | bool) -> S:
    """The state with ``anchor``, ``k`` and ``round`` moved on where a round begins."""
    known: Any = state
    anchor, k = known.anchor, known.k
    round = getattr(state, "round", None)
    if isinstance(restart, bool):
        if restart and anchor is not None:
            anchor = w
        if k is not None:
            k = 1 if restart else k + 1
        if restart and round is not None:
            round = round + 1
    else:
        # A lerp by exactly 0 or 1 returns one of its ends unchanged, at a third of a mask's cost.
        fresh = restart.to(w.dtype)
        if anchor is not None:
            # In compiled code a choice is of where to read.
            anchor = select(restart, w, anchor) if row_by_row() else torch.lerp(anchor, w, fresh)
        if k is not None:
            k = torch.addcmul(k, k, fresh, value=-1).add_(1)
        if round is not None:
            round = round + fresh
    if type(state) is Anchored:  # built at once: this is done at every step of every run
        return Anchored(anchor, k, round, known.v)  # type: ignore[return-value]
    new = {"anchor": anchor, "k": k} | ({} if round is None else {"round": round})
    return known._replace(**new)


@final
@dataclass(frozen=True)
class TRSGD(Proximal):
    """Rounds of ``S`` steps: at step k, ``w <- w - (g + lam (w - a)) / ((lam - delta) k)``.

    Weight decay joins the direction, before the optional momentum (one buffer for the whole
    run). ``variant="authors"`` is the published code: the step is ``inner/k``, the pull
    ``2 lam/inner`` (``lam`` is what the code calls lambda_w, 0.1 of the initial rate), so it
    grows whenever the rate drops.

    Parameters
    ----------
    lam : float or Tensor
        Proximal weight (units F/X^2); 0 (with ``inner``) leaves the 1/k schedule alone.
    delta : float or Tensor
        Weak-convexity constant (F/X^2), less than ``lam``.
    S : int
        Steps in a round.
    inner : float, Tensor or Schedule in the round, optional
        The step at k = 1, in place of ``1/(lam - delta)``.
    beta, weight_decay : float or Tensor
        Momentum and penalty; the theorems have neither.
    variant : "paper" or "authors"

    Raises
    ------
    ValueError
        If S < 1 or differs between replicas, or no step size follows from the values.

    References
    ----------
    TRAlgo, Definition 1; github.com/huiqu18/TRAlgorithm for the variant.

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w, oracle = TRSGD(lam=2.0, delta=0.0, S=2), torch.ones(1), FunctionOracle(torch.clone)
    >>> state = rule.init(w, oracle)
    >>> for t, restart in ((1.0, True), (2.0, False)):
    ...     w, state = rule.update(w, oracle, state, Drawn(torch.tensor(t), restart))
    >>> w
    tensor([0.6250])
    """

    name: ClassVar[str] = "trsgd"
    source: ClassVar[str] = "TRAlgo, Definition 1"

    delta: Hyper = 0.0
    S: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        count(self, "S", 1)
        _check_step(self, self.lam, self.delta, self.inner)

    def restarts(
        self, rng: np.random.Generator, first: int, steps: int, replicas: int
    ) -> np.ndarray:
        return periodic(first, steps, 0, int(self.S))

    def _step(self, t: Any, k: Any, like: Tensor) -> tuple[Any, Any]:
        lam, inner = self.at(self.lam, t), self.at(self.inner, t)
        step = _decaying(lam, self.at(self.delta, t), inner, k)
        return step, self._pull(lam, inner)


@dataclass(frozen=True)
class _LRSGD(Proximal):
    """What LRSGD-R and LRSGD-C share: ``t0`` rounds of one plain SGD step come first."""

    t0: float = field(default=0, kw_only=True)
    eta: Hyper | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if count(self, "t0", 0) and self.eta is None:
            raise ValueError(f"{self.name}: t0 = {self.t0} rounds of plain SGD need eta")

    @cached_property
    def warm(self) -> int:
        """Rounds of plain SGD: the t <= t0."""
        return math.floor(self.t0)

    @cached_property
    def _counts_rounds(self) -> bool:
        return super()._counts_rounds or self.warm > 0

    def _warmed(self, t: Any, step: Any, like: Tensor) -> Any:
        """``eta`` in the first rounds, ``step`` afterwards."""
        if not self.warm:
            return step
        ends = [
            x if isinstance(x, Tensor) else like.new_full((), x)
            for x in (self.at(self.eta, t), step)
        ]
        return torch.where(t <= self.warm, *ends)


@final
@dataclass(frozen=True)
class LRSGD_R(_LRSGD):
    """Rounds of geometric length; every step is ``w <- w - (theta/lam_t) (g + lam_t (w - a))``.

    A round ends after each step with probability gamma = log(1/(1-theta))/log(1/theta).
    During the first ``t0`` rounds, each of one step, ``w <- w - eta_t g`` (the pull vanishes
    there, since ``w = a``). Weight decay joins the direction, before the optional momentum.
    ``variant="authors"`` is the published code: the step is ``inner``, the pull
    ``2 lam/inner``, momentum across rounds; the code sets ``gamma=0.1``.

    Parameters
    ----------
    lam : float, Tensor, or Schedule in the round t
        Proximal weight (F/X^2).
    theta : float
        Inner step times ``lam``, in (0, 1); the paper asks for at most 1/4.
    t0 : int
        Rounds of plain SGD before the first of LRSGD.
    eta : float, Tensor, or Schedule in the round t
        The step in those rounds.
    inner : float, Tensor, or Schedule in the round t, optional
        The inner step, in place of ``theta/lam_t``.
    gamma : float, optional
        The probability that a round ends, in place of theta's.
    beta, weight_decay : float or Tensor
        Momentum and penalty; the theorems have neither.
    variant : "paper" or "authors"

    Raises
    ------
    ValueError
        If theta or gamma is out of range or differs between replicas, or eta is missing.

    References
    ----------
    LRSGD, Definition 4.1, Theorem 4.3; github.com/huiqu18/LRSGD for the variant.

    Examples
    --------
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w, oracle = LRSGD_R(lam=2.0, theta=0.25), torch.ones(1), FunctionOracle(torch.clone)
    >>> round(rule.ends_with, 4)
    0.2075
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([0.8750])
    """

    name: ClassVar[str] = "lrsgd_r"
    source: ClassVar[str] = "LRSGD, Definition 4.1"

    theta: float = 0.25
    gamma: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, most in (("theta", self.theta, math.nextafter(1, 0)),
                                  ("gamma", self.gamma, 1)):  # fmt: skip
            if value is not None and not (isinstance(value, int | float) and 0 < value <= most):
                raise ValueError(f"lrsgd_r: {name} must be one number above 0 and at most 1 "
                                 f"(theta: below 1) for all replicas, got {value!r}")  # fmt: skip

    @property
    def ends_with(self) -> float:
        """The probability that a round ends after a step."""
        if self.gamma is not None:
            return self.gamma
        # theta above 1/2 would give more than 1: such a round has one step.
        return min(1.0, math.log1p(-self.theta) / math.log(self.theta))

    @property
    def _counts_steps(self) -> bool:
        return False

    def restarts(
        self, rng: np.random.Generator, first: int, steps: int, replicas: int
    ) -> np.ndarray:
        # The geometric law has no memory, so each step decides on its own draw alone.
        index = np.arange(first, first + steps)[:, None]
        return (rng.random((steps, replicas)) < self.ends_with) | (index <= self.warm)

    def _step(self, t: Any, k: Any, like: Tensor) -> tuple[Any, Any]:
        lam, inner = self.at(self.lam, t), self.at(self.inner, t)
        step = inner
        if inner is None:  # of tensors as `theta / lam` is computed, without the way there
            step = lam.reciprocal() * self.theta if isinstance(lam, Tensor) else self.theta / lam
        return self._warmed(t, step, like), self._pull(lam, inner)

    def _shrink(self, step: Any, pull: Any) -> Any:
        # During plain rounds w = a, so any number will do there.
        return self.theta if self.inner is None else step * pull


@final
@dataclass(frozen=True)
class LRSGD_C(_LRSGD):
    """Rounds of ``S`` steps: at step k, ``w <- w - (g + lam_t (w - a)) / ((lam_t - delta) k)``.

    During the first ``t0`` rounds, each of one step, ``w <- w - eta_t g``. Weight decay joins
    the direction, before the optional momentum. ``variant="authors"`` is the published code:
    the step is ``inner/k``, the pull ``2 lam/inner``, momentum across rounds, S = 10. With
    ``falling=False`` every step of a round is that of k = 1, as in the paper's Figure 3 (b).

    Parameters
    ----------
    lam : float, Tensor, or Schedule in the round t
        Proximal weight (F/X^2), above ``delta`` in every round after ``t0``.
    delta : float or Tensor
        Weak-convexity constant (F/X^2).
    S : int
        Steps in a round (the paper's M_t, constant).
    falling : bool
        Whether steps fall as 1/k within a round.
    t0 : int
        Rounds of plain SGD before the first of LRSGD.
    eta : float, Tensor, or Schedule in the round t
        The step in those rounds.
    inner : float, Tensor, or Schedule in the round t, optional
        The step at k = 1, in place of ``1/(lam_t - delta)``.
    beta, weight_decay : float or Tensor
        Momentum and penalty; the theorems have neither.
    variant : "paper" or "authors"

    Raises
    ------
    ValueError
        If S < 1 or differs between replicas, or no step size follows from the values.

    References
    ----------
    LRSGD, Definition 4.8, Theorem 4.9; github.com/huiqu18/LRSGD for the variant.

    Examples
    --------
    >>> from theorylab.method.schedules import Expression
    >>> from bounds.notation import t
    >>> from theorylab.problem.oracle import FunctionOracle
    >>> rule, w = LRSGD_C(lam=Expression(2 * t), delta=0.0, S=3), torch.ones(1)
    >>> oracle = FunctionOracle(torch.clone)
    >>> rule.update(w, oracle, rule.init(w, oracle), Drawn(torch.tensor(1.0)))[0]
    tensor([0.5000])
    """

    name: ClassVar[str] = "lrsgd_c"
    source: ClassVar[str] = "LRSGD, Definition 4.8"

    delta: Hyper = 0.0
    S: int = 10
    falling: bool = field(default=True, kw_only=True)

    @property
    def _counts_steps(self) -> bool:
        return self.falling

    def __post_init__(self) -> None:
        super().__post_init__()
        count(self, "S", 1)
        _check_step(self, self.lam, self.delta, self.inner)

    def restarts(
        self, rng: np.random.Generator, first: int, steps: int, replicas: int
    ) -> np.ndarray:
        return periodic(first, steps, self.warm, int(self.S))

    def _step(self, t: Any, k: Any, like: Tensor) -> tuple[Any, Any]:
        lam, inner = self.at(self.lam, t), self.at(self.inner, t)
        step = _decaying(lam, self.at(self.delta, t), inner, k if self.falling else 1)
        return self._warmed(t, step, like), self._pull(lam, inner)


def _decaying(lam: Any, delta: Any, inner: Any, k: Any) -> Any:
    if inner is not None:
        return inner / k
    scale = k * (lam - delta)
    return torch.reciprocal(scale) if isinstance(scale, Tensor) else 1 / scale


def _check_step(rule: UpdateRule, lam: Hyper, delta: Hyper, inner: Hyper | None) -> None:
    if inner is None and all(isinstance(x, int | float) for x in (lam, delta)) and lam <= delta:  # type: ignore[operator]
        raise ValueError(
            f"{rule.name}: the step 1/((lam - delta) k) needs lam > delta, got lam = {lam}, "
            f"delta = {delta}; or give inner, the step at k = 1"
        )
