"""``Standing``: what one step found and the next need not look for again."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any, final

import torch
from torch import Tensor

from theorylab.torch.forms import InParts
from theorylab.torch.groups import Active

__all__ = ["Standing"]

_LOOK = attrgetter("shape", "dtype", "device")


@final
class Standing:
    """The parameters with gradients, the form they took, and whether both are the same now.

    Parameters
    ----------
    groups : sequence of dict
        The optimizer's.
    flags : tuple
        Whatever else the form depends on.
    active : list
        Parameters with gradients, and their groups.
    form : InParts
    """

    def __init__(
        self, groups: Sequence[dict[str, Any]], flags: tuple[Any, ...], active: Active,
        form: InParts,
    ) -> None:  # fmt: skip
        self.active, self.form, self._flags = active, form, flags
        self.params = [p for p, _ in active]
        self._groups = list(groups)
        self._flat = [p for group in groups for p in group["params"]]
        self._each = [(len(group["params"]), group["maximize"]) for group in groups]
        self._absent = [p.grad is None for p in self._flat]
        self._looks = list(map(_LOOK, self._flat))
        self._steps: list[Tensor] = []
        self._block: Tensor | None = None
        self._versions: list[int] = []
        self._counts: list[float] = []

    def holds(self, groups: Sequence[dict[str, Any]], flags: tuple[Any, ...]) -> bool:
        """Whether groups, parameters, what they look like and who has a gradient are the same."""
        flat = [p for group in groups for p in group["params"]]
        return (
            flags == self._flags
            and len(groups) == len(self._groups)
            and all(map(is_, groups, self._groups))
            and [(len(group["params"]), group["maximize"]) for group in groups] == self._each
            and all(map(is_, flat, self._flat))
            and [p.grad is None for p in flat] == self._absent
            and list(map(_LOOK, flat)) == self._looks
        )

    def counts(self, steps: list[Tensor]) -> list[float]:
        """The numbers of steps taken, fetched only where someone else may have written them."""
        known = len(self._steps) == len(steps) and all(map(is_, self._steps, steps))
        if known and self._seen(steps) == self._versions:
            return self._counts
        self._steps = []
        return [x.item() for x in steps]

    def _seen(self, steps: list[Tensor]) -> list[int]:
        """How often the counts were written, by whomever."""
        return [x._version for x in (steps if self._block is None else (self._block,))]

    def counted(self, steps: list[Tensor], counts: list[float]) -> None:
        """Write the counts after a step."""
        if self._steps:
            if self._block is None:
                torch._foreach_add_(steps, 1)
            else:
                self._block.add_(1)
        else:
            for x, count in zip(steps, counts, strict=True):
                x.fill_(count)
            if len({id(x) for x in steps}) < len(steps) or any(x.is_inference() for x in steps):
                return
            base = steps[0]._base
            one = base is not None and base.shape == (len(steps),)
            self._block = base if one and all(x._base is base for x in steps) else None
        self._steps, self._versions, self._counts = steps, self._seen(steps), counts
