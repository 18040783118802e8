"""``Standing``: what one step found and the next need not look for again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from operator import attrgetter, is_
from typing import Any, final

import torch
from torch import Tensor

from theorylab.method.rule import UpdateRule
from theorylab.torch.forms import InParts
from theorylab.torch.groups import Active, Groups
from theorylab.torch.whole import Whole, whole

__all__ = ["Standing", "stepped"]

_LOOK = attrgetter("shape", "dtype", "device")
_GRADIENT = attrgetter("grad")


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
        self.gradients: list[Any] = []  # those at hand, after holds
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
        self._arguments: dict[str, Any] | None = None
        self._wholes: dict[bool, Whole | None] = {}

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
    @property
    def alike(self) -> bool:
        """Whether all parameters have taken as many steps."""
        if self._numbers is not None and self._block is not None:
            if self._block._version != self._version:
                self._recounted()
            return self._count is not None
        counts = [x.item() for x in self._steps]
        return counts.count(counts[0]) == len(counts)

    def _recounted(self) -> None:
        assert self._numbers is not None and self._block is not None
        counts = self._numbers.tolist()
        self._count = counts[0] if counts.count(counts[0]) == len(counts) else None
        self._version = self._block._version

    def counted(self) -> float | list[float]:
        """Count a step of every parameter; its index, one number where all have the same."""
        if self._numbers is not None and self._block is not None:  # they lie side by side
            if self._block._version != self._version:
                self._recounted()
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

    # --- the step as one call ------------------------------------------------------------------
    def whole(self, groups: Groups, rule: UpdateRule, restart: bool) -> Whole | None:
        """The step that is to be taken as one call in C, where it can be; see :class:`Whole`."""
        arguments = groups.arguments
        if arguments is not self._arguments:  # a rule of other numbers
            self._arguments, self._wholes = arguments, {}
        if restart not in self._wholes:
            self._wholes[restart] = None if arguments is None else whole(
                self.form, rule, arguments, groups.moving, groups.kept, self.states, restart
            )  # fmt: skip
        return self._wholes[restart]
