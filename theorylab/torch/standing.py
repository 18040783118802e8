"""``Standing``: what one step found and the next need not look for again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from operator import attrgetter, is_
from typing import Any, NoReturn, final

import torch
from torch import Tensor

from theorylab.method.rule import Drawn, UpdateRule
from theorylab.problem.oracle import Oracle
from theorylab.torch.forms import InParts, Kept
from theorylab.torch.groups import Active, Groups
from theorylab.torch.oracle import ClosureOracle
from theorylab.torch.plan import Plan
from theorylab.torch.vector import Vector

__all__ = ["Index", "Standing", "stepped"]

_LOOK = attrgetter("shape", "dtype", "device")
_GRADIENT = attrgetter("grad")
_KIND = attrgetter("dtype", "layout")


@final
class Index(Tensor):
    """A step's index that notes whether anyone looked at it."""

    asked: bool

    @staticmethod
    def of(t: Tensor) -> Index:
        """This index, not looked at yet."""
        found: Index = t.as_subclass(Index)
        found.asked = False
        return found

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        for x in (*args, *(kwargs or {}).values()):
            if isinstance(x, Index):
                x.asked = True
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


class _AskedMore(Exception):
    """More than the gradient at hand was asked for."""


@final
class _AtHand(Oracle):
    """Answers with the gradient at hand, and with nothing else."""

    def __init__(self, form: InParts, leaf: Vector) -> None:
        super().__init__()
        self.form, self.leaf = form, leaf

    def gradient(self, w: Any, lag: int = 0) -> Any:
        if w is not self.form.w or lag:
            raise _AskedMore
        return self.leaf

    def _lacks(self, what: str) -> NoReturn:
        raise _AskedMore


@final
class _Count:
    """A count that all parameters share, fetched only where someone else may have written it."""

    def __init__(self, x: Tensor) -> None:
        self._x, self._value, self._version = x, 0, -1

    @property
    def value(self) -> int:
        if self._x._version != self._version:
            self._value, self._version = int(self._x), self._x._version
        return self._value

    @value.setter
    def value(self, new: int) -> None:
        if self._x.device.type == "cpu":
            self._x.numpy()[()] = new
        else:
            self._x.fill_(new)
        self._value, self._version = new, self._x._version


def stepped(steps: Sequence[Tensor]) -> float | list[float]:
    """Add 1 to counts; what they are then, one number where all are the same."""
    counts = [x.item() + 1 for x in steps]
    for x, count in zip(steps, counts, strict=True):
        x.fill_(count)
    return counts[0] if counts.count(counts[0]) == len(counts) else counts


def _block(steps: Sequence[Tensor]) -> Tensor | None:
    """The one tensor on the CPU that counts are the numbers of."""
    base = steps[0]._base
    one = base is not None and base.shape == (len(steps),) and base.device.type == "cpu" and (
        not base.is_inference() and all(x._base is base for x in steps)
        and len({x.data_ptr() for x in steps}) == len(steps)
    )  # fmt: skip
    return base if one else None


@final
class Standing:
    """Parameters with gradients, their form and what is kept of them, if they are the same now.

    Where nothing but gradients can differ from the step before (plain numbers, no sums, draws or
    rounds, and the step's index not asked for), its operations are done again as they stand.

    Parameters
    ----------
    groups : sequence of dict
        The optimizer's.
    flags : tuple
        Whatever else the form depends on.
    active : list
        Parameters with gradients, and their groups.
    form : InParts
    state : mapping
        The optimizer's, of parameters that have begun.
    """

    def __init__(
        self, groups: Sequence[dict[str, Any]], flags: tuple[Any, ...], active: Active,
        form: InParts, state: Mapping[Tensor, dict[str, Any]],
    ) -> None:  # fmt: skip
        self.active, self.form, self._flags = active, form, flags
        self.params = [p for p, _ in active]
        self.states = [state[p] for p in self.params]
        self.gradients: list[Tensor] = []  # those at hand, from holds to again
        self._groups = [(group, list(group["params"]), group["maximize"]) for group in groups]
        self._flat = [p for group in groups for p in group["params"]]
        self._without = [p for p in self._flat if p.grad is None]
        self._looks = list(map(_LOOK, self._flat))
        self._owners, self._held = list(state), list(state.values())
        self._names = list(chain.from_iterable(self._held))
        self._contents = list(chain.from_iterable(held.values() for held in self._held))
        self._steps: list[Tensor] = [held["step"] for held in self.states]
        self._block = _block(self._steps)
        # Numpy's view of it: see InParts.scalar.
        self._numbers = None if self._block is None else self._block.detach().numpy()
        self._version = -1
        self._count: float | None = None
        self._common: dict[str, _Count | None] = {}
        self._index: tuple[Tensor, Index] | None = None
        self._rule: UpdateRule | None = None
        self._plan: Plan | None = None
        self._asked: _AtHand | None = None
        self._alike: bool | None = None
        self.varies = False

    def holds(
        self, groups: Sequence[dict[str, Any]], flags: tuple[Any, ...],
        state: Mapping[Tensor, dict[str, Any]],
    ) -> bool:  # fmt: skip
        """Whether all is the same: groups, parameters, who has a gradient, what is kept and where.

        The numbers in it may differ.
        """
        if flags != self._flags or len(groups) != len(self._groups):
            return False
        for group, (known, params, upward) in zip(groups, self._groups, strict=True):
            here = group["params"]
            if (group is not known or group["maximize"] != upward or len(here) != len(params)
                    or not all(map(is_, here, params))):  # fmt: skip
                return False
        self.gradients = list(map(_GRADIENT, self.params))
        return (
            not any(map(is_, self.gradients, repeat(None)))
            and (not self._without or all(p.grad is None for p in self._without))
            and list(map(_LOOK, self._flat)) == self._looks
            and len(state) == len(self._owners)
            and all(map(is_, state, self._owners))
            and all(map(is_, state.values(), self._held))
            and list(chain.from_iterable(self._held)) == self._names
            and all(map(is_, chain.from_iterable(map(dict.values, self._held)), self._contents))
        )

    # --- counts --------------------------------------------------------------------------------
    def counted(self) -> float | list[float]:
        """Count a step of every parameter; its index, one number where all have the same."""
        if self._numbers is not None and self._block is not None:  # they lie side by side
            if self._block._version != self._version:
                counts = self._numbers.tolist()
                self._count = counts[0] if counts.count(counts[0]) == len(counts) else None
                self._version = self._block._version
            self._numbers += 1
            if self._count is None:
                found: list[float] = self._numbers.tolist()
                return found
            self._count += 1
            return self._count
        return stepped(self._steps)

    def common(self, name: str) -> _Count | None:
        """A count that all parameters share in one tensor; ``None`` if they do not."""
        if name not in self._common:
            found = {id(held.get(name)): held.get(name) for held in self._held}
            x = next(iter(found.values())) if len(found) == 1 else None
            one = x is not None and not x.is_inference()
            self._common[name] = _Count(x) if one and x is not None else None
        return self._common[name]

    # --- the same again ------------------------------------------------------------------------
    def index(self, t: Tensor) -> Tensor:
        """The step's index, watched where the step may be done again."""
        if self.varies:
            return t
        if self._index is None or self._index[0] is not t:
            self._index = t, Index.of(t)
        self._index[1].asked = False
        return self._index[1]

    def learn(
        self, rule: UpdateRule, oracle: ClosureOracle, draw: Drawn, still: Sequence[Tensor],
        groups: Groups, plan: Plan | None,
    ) -> None:  # fmt: skip
        """After a step: whether the next one of this rule does the same to other gradients."""
        leaf = oracle.at_hand
        if self._alike is None:  # what is the same for all rules that hold lets pass
            self._alike = (
                leaf.op == "leaf" and leaf.plain and groups.plain and not groups.kept.numbers
                and not rule.draws and rule.lags == 1
                and type(rule).restarts is UpdateRule.restarts
            )  # fmt: skip
        self.varies = (
            not self._alike or not isinstance(draw.t, Index) or draw.t.asked or bool(still)
            or oracle.asked_more or self.form.space.summed or plan is None
        )  # fmt: skip
        if not self.varies and plan is not None:
            self._rule, self._plan, self._asked = rule, plan, _AtHand(self.form, leaf)
            leaf.tensors = []  # gradients are not held beyond a step

    def again(self, rule: UpdateRule, kept: Kept, update: Callable[..., Any]) -> bool:
        """Take the step that was learnt, with the rule's numbers, if gradients are as usual."""
        found, self.gradients = self.gradients, []
        if self._asked is None or set(map(_KIND, found)) != self.form.usual:
            return False
        leaf = self._asked.leaf
        leaf.tensors = found
        try:
            if rule is not self._rule and not self._relearnt(rule, kept, update):
                return False
            self.counted()
            assert self._plan is not None
            self._plan.all()
        finally:
            leaf.tensors = []
        return True

    def _relearnt(self, rule: UpdateRule, kept: Kept, update: Callable[..., Any]) -> bool:
        """Learn the step of a rule of other numbers, if it asks for nothing more than the last."""
        form = self.form
        assert self._index is not None
        index = self._index[1]
        form.space.tape.clear()
        try:
            moved, state = update(form.w, self._asked, form.given, Drawn(index))
        except _AskedMore:
            return False
        if index.asked or form.space.summed:
            return False
        self._rule, self._plan = rule, form.planned(moved, state, kept)
        return True
