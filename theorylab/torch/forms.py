"""The two forms in which a network's parameters meet a rule: in parts, or end to end.

``InParts`` gives the rule vectors that are lists of tensors and copies nothing; ``EndToEnd`` gives
it one flat tensor, for rules whose code needs the numbers side by side, for ``foreach=False``
(the plain reference), and for steps captured as a graph.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from operator import is_
from typing import Any, NamedTuple, NoReturn, final

import torch
from torch import Tensor

from theorylab.method.rule import State, UpdateRule, entries
from theorylab.problem.oracle import Oracle
from theorylab.torch.plan import Plan
from theorylab.torch.shards import local
from theorylab.torch.space import Space
from theorylab.torch.vector import Vector, leaf_of

__all__ = ["EndToEnd", "Form", "InParts", "Kept", "kept_by", "restore"]


class Kept(NamedTuple):
    """What a rule keeps between steps, by name: tensors of a parameter's shape, and numbers."""

    tensors: tuple[str, ...]
    numbers: tuple[str, ...]


class _Before(Oracle):
    """Nothing was evaluated yet."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self._name = who

    def gradient(self, w: Tensor, lag: int = 0) -> Tensor:
        self._lacks("gradients before the first step")

    def _lacks(self, what: str) -> NoReturn:
        raise ValueError(f"{self._name}: the method needs {what}, which closures cannot give")


def kept_by(rule: UpdateRule, who: str) -> Kept:
    """The names, found by asking the rule for the state of two numbers."""
    probe = entries(rule.init(torch.zeros(2), _Before(who)))
    vectors = {n for n, v in probe.items() if isinstance(v, Tensor) and v.shape == (2,)}
    return Kept(
        tuple(n for n in probe if n in vectors), tuple(n for n in probe if n not in vectors)
    )


def wide(p: Tensor) -> torch.dtype:
    """What is computed with, and kept in: float32 for half-precision parameters."""
    return p.dtype if p.dtype in (torch.float32, torch.float64) else torch.float32


def restore(
    state: Mapping[Tensor, dict[str, Any]], params: Iterable[tuple[Tensor, Any]],
    saved: Mapping[Any, Mapping[str, Any]],
) -> None:  # fmt: skip
    """Put saved tensors in place of those that torch cast to the parameters' type.

    Ours are wide, and counts of their own type.
    """
    for p, number in params:
        for key, value in saved.get(number, {}).items():
            if isinstance(value, Tensor):
                state[p][key] = _loaded(key, value, p)


def _loaded(key: str, value: Tensor, p: Tensor) -> Tensor:
    """A saved part of a state, for ``p``: counts as they are, all else wide, where p is."""
    if key in ("step", "position", "rounds"):
        return value.clone()
    if value.shape != p.shape:
        return value.to(wide(p), copy=True)
    return torch.empty_like(p, dtype=wide(p), requires_grad=False).copy_(value)


class Form(abc.ABC):
    """Parameters, their gradients and what is kept of them, as one step's rule sees them.

    Parameters
    ----------
    who : str
        Named in errors.
    params : list of Tensor
    signs : list of float
        -1 for each parameter whose gradient is ascended.
    """

    w: Any
    away = False
    """Whether the parameters were moved for a while, so that ``w`` holds a copy of them."""

    def __init__(self, who: str, params: list[Tensor], signs: list[float]) -> None:
        self.who, self.params, self.signs = who, params, signs
        self.device = params[0].device
        self.dtype = torch.float64 if any(p.dtype == torch.float64 for p in params) else (
            torch.float32
        )  # fmt: skip

    def begin(self, rule: UpdateRule, kept: Kept, states: list[dict[str, Any]]) -> None:
        """Give parameters that lack a part of their state the one before the first step."""
        wanted = {"step", *kept.tensors, *kept.numbers}
        if all(map(wanted.issubset, states)):
            return
        new = [held for held in states if "step" not in held]
        for held, count in zip(new, torch.zeros(len(new)), strict=True):
            held["step"] = count  # parts of one tensor, so that they can be counted at once
        for p, held in zip(self.params, states, strict=True):
            if wanted <= held.keys():
                continue
            row = local(p).detach().reshape(-1).to(self.dtype, copy=True)
            fresh = entries(rule.init(row, _Before(self.who)))
            for name in kept.tensors:
                if name not in held:
                    like = torch.empty_like(p, dtype=wide(p), requires_grad=False)
                    part = local(like)
                    part.copy_(fresh[name].view(part.shape))
                    held[name] = like
            for name in kept.numbers:
                if name not in held:
                    number = torch.as_tensor(fresh[name], dtype=wide(p)).reshape(())
                    held[name] = number.clone()

    def gradients(self) -> list[Tensor]:
        """The gradients there are now; zeros where there are none."""
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.params]
        if any(g.layout != torch.strided for g in found):
            raise ValueError(f"{self.who}: sparse gradients are not supported")
        return found

    @abc.abstractmethod
    def gradient(self) -> Any:
        """The gradient at hand, as the rule sees it."""

    @abc.abstractmethod
    def each(self, values: Sequence[Any]) -> Any:
        """One number a parameter, for the rule."""

    @abc.abstractmethod
    def common(self, value: Any) -> Any:
        """One number for all."""

    def scalar(self, value: float) -> Tensor:
        """One number for all, without a shape."""
        found: Tensor = self.common(value).reshape(())
        return found

    def value(self, loss: Tensor) -> Tensor:
        """A loss as the rule sees it: wide on the CPU, for the difference of two of them.

        Raises
        ------
        ValueError
            If it is ascended for some parameters alone.
        """
        if len(set(self.signs)) > 1:
            raise ValueError(f"{self.who}: maximize must be the same in all parameter groups, "
                             "since the method asks for values of the loss")  # fmt: skip
        kind = torch.float64 if self.device.type == "cpu" else self.dtype
        return self.signs[0] * loss.to(self.device, kind).reshape(())

    @abc.abstractmethod
    def draws(self, law: str, key: int, on: torch.device | None) -> Any:
        """A draw for each coordinate, decided by the key."""

    @abc.abstractmethod
    def state(self, rule: UpdateRule, kept: Kept, states: list[dict[str, Any]]) -> State:
        """The rule's state."""

    @abc.abstractmethod
    def move_to(self, x: Any) -> None:
        """Put other values into the parameters for a while; ``w`` keeps those before."""

    @abc.abstractmethod
    def put_back(self) -> None:
        """End :meth:`move_to`."""

    @abc.abstractmethod
    def write(
        self, moved: Any, state: State, kept: Kept, states: list[dict[str, Any]]
    ) -> Plan | None:
        """The step's outcome into parameters and their states; how that was done in parts."""

    def numbers(self, name: str, states: list[dict[str, Any]]) -> Any:
        """A number that is kept, as the rule sees it: one where all parameters have the same."""
        held = [s[name] for s in states]
        if all(x is held[0] for x in held):
            return self.common(held[0])
        if self.held:
            return self.each(held)
        values = [float(x) for x in held]
        return self.common(values[0]) if len(set(values)) == 1 else self.each(values)

    held = False


def _apart(parts: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, Any]]:
    """Numbers to be stored one after the other: none lies where another is stored."""
    found = [(name, parts[name]) for name in names]
    if len(found) == 1:
        return found
    return [(name, x.clone() if isinstance(x, Tensor) else x) for name, x in found]


def _store(value: Any, name: str, p_dtype: torch.dtype, states: list[dict[str, Any]]) -> None:
    """A number that the rule returned, kept by every parameter."""
    if isinstance(value, Tensor) and value.numel() == len(states) > 1:
        for one, s in zip(value.reshape(-1).to(p_dtype).unbind(), states, strict=True):
            s[name] = one.clone()
        return
    held = states[0].get(name)
    if (
        held is not None
        and held.dtype == p_dtype
        and held.ndim == 0
        and (not held.is_inference() and all(s.get(name) is held for s in states))
    ):
        if isinstance(value, Tensor):
            held.copy_(value.reshape(()))
        elif held.device.type == "cpu":
            held.numpy()[()] = value  # see InParts.scalar
        else:
            held.fill_(value)
        return
    number = torch.as_tensor(value, dtype=p_dtype).reshape(())
    if isinstance(value, Tensor) and number.data_ptr() == value.data_ptr():
        number = number.clone()
    for s in states:
        s[name] = number


@final
class InParts(Form):
    """Lists of tensors; see :mod:`theorylab.torch.vector`."""

    def __init__(self, who: str, params: list[Tensor], signs: list[float], space: Space) -> None:
        super().__init__(who, params, signs)
        self.space = space
        self.held = space.held
        self._here = params if space.shards is None else [local(p) for p in params]
        self._into = self.w = space.vector(self._here)
        self._live = leaf_of(self.w).tensors
        self.upward = any(s != 1 for s in signs)
        self.usual = {(space.dtype, torch.strided)}
        self.kept: dict[str, Vector] = {}
        self.counts: frozenset[str] = frozenset()
        """Numbers that are given to the rule as plain ones: it makes them plain itself."""
        self._like: tuple[Kept, Any] | None = None
        self._t: tuple[Tensor, Any] | None = None

    def gradient(self) -> Vector:
        if self.space.shards is None and not self.upward:  # the common case, at every step
            now = [p.grad for p in self.params]
            if {g is None or (g.dtype, g.layout) for g in now} == self.usual:
                leaf = Vector(self.space, "leaf", ())
                leaf.tensors = now  # type: ignore[assignment]
                return leaf
        found = self.gradients()
        g = self.space.vector(found if self.space.shards is None else [local(x) for x in found])
        if all(s == 1 for s in self.signs):
            return g
        return -g if all(s == -1 for s in self.signs) else g * self.each(self.signs)

    def each(self, values: Sequence[Any]) -> Tensor:
        kind = torch.float64 if self.space.device.type == "cpu" else self.space.dtype
        if any(isinstance(v, Tensor) for v in values):
            return torch.stack([torch.as_tensor(v).reshape(()).to(self.space.device, kind)
                                for v in values])  # fmt: skip
        return torch.tensor(list(values), dtype=kind, device=self.space.device)

    def common(self, value: Any) -> Tensor:
        kind = torch.float64 if self.space.device.type == "cpu" else self.space.dtype
        return torch.as_tensor(value, dtype=kind).to(self.space.device).reshape(())

    def scalar(self, value: float) -> Tensor:
        if self.space.device.type != "cpu":
            return torch.scalar_tensor(value, dtype=self.space.dtype, device=self.space.device)
        # One tensor for all steps, written as numpy's: an operation of torch's between a network's
        # backward and its next forward costs ten times what it does in a row of its like.
        if self._t is None:
            t = torch.zeros((), dtype=torch.float64)
            self._t = t, t.numpy()
        self._t[1][()] = value
        return self._t[0]

    def numbers(self, name: str, states: list[dict[str, Any]]) -> Any:
        if name in self.counts and not self.held:
            held = states[0][name]
            if all(s[name] is held for s in states):
                return held.item()
        return super().numbers(name, states)

    def value(self, loss: Tensor) -> Tensor:
        found = super().value(loss)
        return found if self.space.shards is None else self.space.shards.averaged(found)

    def draws(self, law: str, key: int, on: torch.device | None) -> Vector:
        if on is None or on == self.space.device:
            return self.space.drawn(law, key)
        there = Space([torch.empty(s, dtype=self.dtype, device=on) for s in self.space.shapes])
        return self.space.vector(
            [x.to(self.space.device) for x in there.tensors(there.drawn(law, key))]
        )

    def state(self, rule: UpdateRule, kept: Kept, states: list[dict[str, Any]]) -> State:
        self.space.tape.clear()
        cut = self.space.shards is not None
        before, self.kept = self.kept, {}
        for n in kept.tensors:
            found = [local(s[n]) if cut else s[n] for s in states]
            held = before.get(n)
            stands = held is not None and all(map(is_, leaf_of(held).tensors, found))
            self.kept[n] = held if held is not None and stands else self.space.vector(found)
        numbers = {n: self.numbers(n, states) for n in kept.numbers}
        if self._like is None or self._like[0] != kept:
            self._like = kept, rule.init(torch.zeros(2), _Before(self.who))
        like: State = self._like[1]._replace(**self.kept, **numbers)
        return like

    def share(self, kept: Kept, states: list[dict[str, Any]]) -> None:
        """Keep a number that is the same for all parameters once, as it is after a step."""
        for name in kept.numbers:
            first = states[0][name]
            others = [s for s in states if s[name] is not first]
            if others and not self.held and first.is_cpu and (
                all(s[name].dtype == first.dtype and torch.equal(s[name], first) for s in others)
            ):  # fmt: skip
                for s in others:
                    s[name] = first

    def move_to(self, x: Vector) -> None:
        if not self.away:
            # Everything noted down so far goes on reading the values of before.
            self._live[:] = [p.detach().clone() for p in self._here]
            self._into = self.space.vector(list(self._here))
            self.away = True
        self.space.write([(x, self._into)])

    def put_back(self) -> None:
        if self.away:
            torch._foreach_copy_(self._here, self._live)

    def planned(self, moved: Any, state: State, kept: Kept) -> Plan:
        """How the outcome will be written, numbers aside."""
        return self.space.planned(self.ends(moved, entries(state), kept))

    def ends(self, moved: Any, parts: Mapping[str, Any], kept: Kept) -> list[tuple[Vector, Vector]]:
        """The step's vectors, each with the one into whose tensors it goes."""
        wanted = [(parts[n], self.kept[n]) for n in kept.tensors if parts[n] is not self.kept[n]]
        return [*wanted, (moved, self._into)]

    def write(
        self, moved: Any, state: State, kept: Kept, states: list[dict[str, Any]]
    ) -> Plan | None:
        plan = self.planned(moved, state, kept)
        plan.all()
        parts = entries(state)
        for name, value in _apart(parts, kept.numbers):
            _store(value, name, self.dtype, states)
        return plan


@final
class EndToEnd(Form):
    """One flat tensor: a copy of the parameters."""

    def __init__(self, who: str, params: list[Tensor], signs: list[float]) -> None:
        super().__init__(who, params, signs)
        self.sizes = [p.numel() for p in params]
        self.w = self._row(params)

    def _row(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([x.detach().reshape(-1).to(self.dtype) for x in tensors])

    def gradient(self) -> Tensor:
        return self._row([-g if s < 0 else g
                          for g, s in zip(self.gradients(), self.signs, strict=True)])  # fmt: skip

    def each(self, values: Sequence[Any]) -> Tensor:
        return torch.cat([torch.as_tensor(v, dtype=self.dtype).to(self.w).reshape(1).expand(n)
                          for v, n in zip(values, self.sizes, strict=True)])  # fmt: skip

    def common(self, value: Any) -> Tensor:
        return torch.as_tensor(value, dtype=self.dtype).to(self.w).reshape(1)

    def draws(self, law: str, key: int, on: torch.device | None) -> Tensor:
        where = self.w.device if on is None else on
        space = Space([torch.empty(p.shape, dtype=self.dtype, device=where) for p in self.params])
        return self._row(space.tensors(space.drawn(law, key))).to(self.w.device)

    def state(self, rule: UpdateRule, kept: Kept, states: list[dict[str, Any]]) -> State:
        tensors = {n: self._row([s[n] for s in states]) for n in kept.tensors}
        numbers = {n: self.numbers(n, states) for n in kept.numbers}
        like: Any = rule.init(torch.zeros(2), _Before(self.who))
        return like._replace(**tensors, **numbers)

    def move_to(self, x: Tensor) -> None:
        self._scatter(x, self.params)

    def put_back(self) -> None:
        self._scatter(self.w, self.params)

    def _scatter(self, row: Tensor, into: Sequence[Tensor]) -> None:
        pieces = [x.view(t.shape) for x, t in zip(row.split(self.sizes), into, strict=True)]
        torch._foreach_copy_(list(into), pieces)

    def write(
        self, moved: Tensor, state: State, kept: Kept, states: list[dict[str, Any]]
    ) -> Plan | None:
        parts = entries(state)
        for name in kept.tensors:
            self._scatter(parts[name], [s[name] for s in states])
        self._scatter(moved, self.params)
        ends = torch.tensor(self.sizes).cumsum(0) - 1
        for name, value in _apart(parts, kept.numbers):
            if isinstance(value, Tensor) and value.numel() == sum(self.sizes) > 1:
                value = value[ends.to(value.device)]
            _store(value, name, self.dtype, states)
        return None
