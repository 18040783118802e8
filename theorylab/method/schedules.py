"""Step-size (and proximal-weight) schedules: pure functions of the iteration ``t`` from 1."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
import torch
from torch import Tensor

__all__ = [
    "Constant",
    "Exponential",
    "Expression",
    "Harmonic",
    "Poly",
    "Schedule",
    "Sigmoid",
    "Staircase",
    "Warmup",
]


class Schedule(abc.ABC):
    """A hyperparameter as a function of the iteration ``t = 1, 2, ...``."""

    @abc.abstractmethod
    def __call__(self, t: Tensor | int) -> Any:
        """The value at iteration ``t`` (a number, or a tensor of one value a replica)."""


@dataclass(frozen=True)
class Constant(Schedule):
    """``value`` at every ``t``.

    >>> Constant(0.1)(7)
    0.1
    """

    value: float

    def __call__(self, t: Tensor | int) -> Any:
        return self.value


@dataclass(frozen=True)
class Harmonic(Schedule):
    """``scale / max(t, floor)``: ``c/(t ell)`` with ``scale = c/ell``; ``1/k`` for inner loops.

    >>> Harmonic(2.0)(4), Harmonic(2.0, floor=8)(4)
    (0.5, 0.25)
    """

    scale: float
    floor: float = 1.0

    def __call__(self, t: Tensor | int) -> Any:
        clipped = t.clamp_min(self.floor) if isinstance(t, Tensor) else max(t, self.floor)
        return self.scale / clipped


@dataclass(frozen=True)
class Poly(Schedule):
    """``initial (1 - (t-1)/total)^power``: the poly-power schedule.

    >>> Poly(1.0, total=10, power=2.0)(6)
    0.25
    """

    initial: float
    total: int
    power: float = 1.0

    def __call__(self, t: Tensor | int) -> Any:
        left = 1 - (t - 1) / self.total
        left = left.clamp_min(0) if isinstance(left, Tensor) else max(left, 0.0)
        return self.initial * left**self.power


@dataclass(frozen=True)
class Staircase(Schedule):
    """``initial factor^k`` after the k-th milestone: the value drops when ``t`` exceeds each.

    >>> stairs = Staircase(1.0, milestones=(2, 4), factor=0.1)
    >>> stairs(2), round(stairs(3), 9), round(stairs(5), 9)
    (1.0, 0.1, 0.01)
    >>> hash(Staircase(1.0, [2, 4])) == hash(stairs)
    True
    """

    initial: float
    milestones: Sequence[int]
    factor: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))

    def __call__(self, t: Tensor | int) -> Any:
        if isinstance(t, Tensor):
            real = t if t.is_floating_point() else t.to(torch.get_default_dtype())
            passed = torch.stack([(t > m).to(real.dtype) for m in self.milestones])
            return self.initial * self.factor ** passed.sum(0)
        return self.initial * self.factor ** sum(t > m for m in self.milestones)


@dataclass(frozen=True)
class Exponential(Schedule):
    """``initial exp(-rate (t-1)/total)``: exponential decay to ``initial exp(-rate)``.

    >>> round(Exponential(1.0, total=10, rate=2.0)(6), 6) == round(math.exp(-1), 6)
    True
    """

    initial: float
    total: int
    rate: float

    def __call__(self, t: Tensor | int) -> Any:
        exponent = -self.rate * (t - 1) / self.total
        return self.initial * _either("exp")(exponent)


@dataclass(frozen=True)
class Sigmoid(Schedule):
    """Sigmoid annealing: ``final + (initial - final) s(-steepness ((t-1)/total - 1/2))``.

    ``s`` is the logistic function: half-way down at half of ``total``. The stochastic batch
    size paper anneals from 0.1 to 0.001 and does not print its steepness.

    >>> round(Sigmoid(0.1, final=0.001, total=10)(6), 6)
    0.0505
    """

    initial: float
    final: float
    total: int
    steepness: float = 10.0

    def __call__(self, t: Tensor | int) -> Any:
        x = self.steepness * ((t - 1) / self.total - 0.5)
        share = torch.sigmoid(-x) if isinstance(x, Tensor) else 1 / (1 + math.exp(x))
        return self.final + (self.initial - self.final) * share


@dataclass(frozen=True)
class Warmup(Schedule):
    """``after(t)`` times a factor that grows linearly from ``first`` to 1 over ``length``.

    ``first``, the factor of the first step, is ``1/length`` unless given.

    >>> Warmup(Constant(1.0), length=4)(2), Warmup(Constant(1.0), length=4)(9)
    (0.5, 1.0)
    >>> [Warmup(Constant(2.0), length=3, first=0.5)(t) for t in (1, 2, 3, 4)]
    [1.0, 1.5, 2.0, 2.0]
    """

    after: Schedule
    length: int
    first: float | None = None

    def __call__(self, t: Tensor | int) -> Any:
        if self.first is None:
            share = t / self.length
        else:
            share = self.first + (1 - self.first) * (t - 1) / max(self.length - 1, 1)
        share = share.clamp_max(1) if isinstance(share, Tensor) else min(share, 1.0)
        return self.after(t) * share


@dataclass(frozen=True)
class Expression(Schedule):
    """A sympy expression in the one symbol ``t``, as statements write it.

    >>> from bounds.notation import t
    >>> Expression(1 / (2 * t))(4)
    0.125
    """

    expression: sp.Expr

    def __post_init__(self) -> None:
        free = sorted(self.expression.free_symbols, key=str)
        if [symbol.name for symbol in free] not in ([], ["t"]):
            raise ValueError(f"a schedule may depend on t alone, got {self.expression}")
        function = sp.lambdify(free or [sp.Symbol("t")], self.expression, modules=_TORCH)
        object.__setattr__(self, "_function", function)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Expression, (self.expression,))

    def __call__(self, t: Tensor | int) -> Any:
        return self._function(t)  # type: ignore[attr-defined]


def _extreme(pick: str) -> Any:
    def function(*values: Any) -> Any:
        result = values[0]
        for value in values[1:]:
            if isinstance(result, Tensor) or isinstance(value, Tensor):
                like = result if isinstance(result, Tensor) else value
                pair = [torch.as_tensor(v, dtype=like.dtype) for v in (result, value)]
                result = torch.maximum(*pair) if pick == "max" else torch.minimum(*pair)
            else:
                result = max(result, value) if pick == "max" else min(result, value)
        return result

    return function


def _either(name: str) -> Any:
    """The function of that name, of torch for tensors and of math for numbers."""

    def function(x: Any) -> Any:
        return getattr(torch if isinstance(x, Tensor) else math, name)(x)

    return function


_TORCH: list[Any] = [
    {"Max": _extreme("max"), "Min": _extreme("min"), "amax": _extreme("max")}
    | {name: _either(name) for name in ("sqrt", "exp", "log", "floor", "ceil")},
    "math",
]
