"""``Standing``: what one step found and the next need not look for again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from operator import attrgetter, getitem, is_, itemgetter
from typing import Any, final

import torch
from torch import Tensor

from theorylab.method.rule import UpdateRule
from theorylab.torch.forms import InParts
from theorylab.torch.groups import Active, Groups
from theorylab.torch.whole import Whole, whole

__all__ = ["Count", "Standing", "stepped"]

_LOOK = attrgetter("shape", "dtype", "device")
_GRADIENT = attrgetter("grad")
_PARAMS, _SIGN = itemgetter("params"), itemgetter("maximize")


@final
class Count:
    """A count that all parameters share, fetched only where someone else may have written it."""

    def __init__(self, x: Tensor) -> None:
        self._x, self._value, self._version = x, 0, -1
        self._number = x.numpy() if x.device.type == "cpu" else None

    @property
    def value(self) -> int:
        if self._x._version != self._version:
            self._value, self._version = int(self._x), self._x._version
        return self._value

    @value.setter
    def value(self, new: int) -> None:
        if self._number is not None:
            self._number[()] = new
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
        self.active, self.form = active, form
        self.params = [p for p, _ in active]
        self.states = [state[p] for p in self.params]
        self._held = list(state.values())
        self._flat = [p for group in groups for p in group["params"]]
        self._without = [p for p in self._flat if p.grad is None]
        self._signs = [group["maximize"] for group in groups]
        self._looks = list(map(_LOOK, self._flat))
        self._all = self._seen(groups, flags, state)
        self._contents = [dict(held) for held in self._held]
        # Tensors of one number may be equal and not the same.
        ones = [(held, name, x) for held in self._held for name, x in held.items()
                if not (isinstance(x, Tensor) and x.numel() > 1)]  # fmt: skip
        self._ones = tuple(zip(*ones, strict=True))
        self._steps: list[Tensor] = [held["step"] for held in self.states]
        self._block = _block(self._steps)
        # Numpy's view of it: see InParts.scalar.
        self._numbers = None if self._block is None else self._block.detach().numpy()
        narrow = self._block is not None and self._block.dtype == torch.float32
        self._counts = self._block if narrow else None
        self._version = -1
        self._count: float | None = None
        self._looked = False
        self._in_round: tuple[Count, Count] | None = None
        self._of: object = None
        self._cannot: set[tuple[Any, ...]] = set()
        self.wholes: dict[bool, Whole] = {}
        self.rounds = False

    def _seen(
        self, groups: Sequence[dict[str, Any]], flags: Sequence[Any],
        state: Mapping[Tensor, dict[str, Any]],
    ) -> list[Any]:  # fmt: skip
        """What must be the very same objects: in one list, that looking takes one line."""
        return [
            *flags, *groups, *chain.from_iterable(map(_PARAMS, groups)), *state, *state.values(),
        ]  # fmt: skip

    def same(
        self, groups: Sequence[dict[str, Any]], flags: Sequence[Any],
        state: Mapping[Tensor, dict[str, Any]],
    ) -> bool:  # fmt: skip
        """Whether groups, parameters and what is kept of them are the same objects.

        Numbers in them may differ, and so may what the parameters hold.
        """
        now = self._seen(groups, flags, state)
        if len(now) != len(self._all) or not all(map(is_, now, self._all)):
            return False
        held, names, ones = self._ones
        try:
            # Dictionaries see identity first, in a tenth of the time. Tensors of several numbers
            # that are not the same cannot be compared; one number would be fetched.
            return all(map(is_, map(getitem, held, names), ones)) and self._held == self._contents
        except (KeyError, RuntimeError, TypeError, ValueError):
            return False

    def holds(
        self, groups: Sequence[dict[str, Any]], flags: Sequence[Any],
        state: Mapping[Tensor, dict[str, Any]],
    ) -> bool:  # fmt: skip
        """Whether all is the same, shapes and who has a gradient included."""
        return (
            self.same(groups, flags, state)
            and list(map(_LOOK, self._flat)) == self._looks
            and list(map(_SIGN, groups)) == self._signs
            and self.gradients() is not None
        )

    def gradients(self) -> list[Tensor] | None:
        """The gradients at hand; ``None`` if others than usual have one."""
        found = self.found()
        return None if found is None or any(map(is_, found, repeat(None))) else found

    def found(self) -> list[Tensor] | None:
        """The gradients at hand, some of them perhaps ``None``; ``None`` if others have one."""
        if self._without and any(p.grad is not None for p in self._without):
            return None
        return list(map(_GRADIENT, self.params))

    # --- counts --------------------------------------------------------------------------------
    @property
    def count(self) -> float | None:
        """How many steps all parameters have taken; ``None`` if not all as many."""
        if self._numbers is None or self._block is None:
            counts = [x.item() for x in self._steps]
            return counts[0] if counts.count(counts[0]) == len(counts) else None
        if self._block._version != self._version:
            counts = self._numbers.tolist()
            self._count = counts[0] if counts.count(counts[0]) == len(counts) else None
            self._version = self._block._version
        return self._count

    def counted(self) -> float | list[float]:
        """Count a step of every parameter; its index, one number where all have the same."""
        if self._numbers is None:
            return stepped(self._steps)
        count = self.count
        self._numbers += 1  # they lie side by side
        if count is None:
            found: list[float] = self._numbers.tolist()
            return found
        self._count = count + 1
        return self._count

    def called(self, count: float) -> None:
        """After a step that was one call: all have taken so many."""
        if self._counts is None:
            stepped(self._steps)
        self._count = count

    @property
    def in_round(self) -> tuple[Count, Count] | None:
        """The inner index and the rounds begun, where all parameters share both."""
        if self._looked:
            return self._in_round
        self._looked = True
        found = []
        for name in ("position", "rounds"):
            same = {id(held.get(name)): held.get(name) for held in self._held}
            x = next(iter(same.values())) if len(same) == 1 else None
            if x is None or x.is_inference():
                return None
            found.append(Count(x))
        self._in_round = found[0], found[1]
        return self._in_round

    # --- the step as one call ------------------------------------------------------------------
    def prepare(self, known: Groups, groups: Sequence[dict[str, Any]], rule: UpdateRule) -> None:
        """Make the rule's step one call in C, if it can be: see :class:`Whole`."""
        if known.last is self._of:
            return
        self._of, self.wholes = known.last, {}
        arguments, kinds = known.arguments, known.kinds(groups)
        if kinds in self._cannot or arguments is None or known.told(groups) is None:
            return
        self.rounds = type(rule).restarts is not UpdateRule.restarts
        found = {restart: whole(self.form, rule, arguments, known.moving, known.kept, self.states,
                                self._counts, restart)
                 for restart in ((True, False) if self.rounds else (True,))}  # fmt: skip
        self.wholes = {r: one for r, one in found.items() if one is not None}
        if len(self.wholes) < len(found):
            self._cannot.add(kinds)
            self.wholes = {}
