"""``Standing``: what one step found and the next need not look for again."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any, final

import torch
from torch import Tensor

from theorylab.torch.forms import InParts
from theorylab.torch.groups import Active

__all__ = ["Standing"]


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
        self._groups = list(groups)  # held, so that nothing else can have their addresses
        self._flat = [list(group["params"]) for group in groups]
        self._looks = self._seen(groups)
        self._counts: tuple[list[Tensor], list[int], list[float]] = ([], [], [])

    def _seen(self, groups: Sequence[dict[str, Any]]) -> list[Any]:
        flat = [p for group in groups for p in group["params"]]
        return [
            [id(group) for group in groups], [len(group["params"]) for group in groups],
            [id(p) for p in flat], [p.grad is None for p in flat],
            [p.shape for p in flat], [p.dtype for p in flat], [p.device for p in flat],
            [group["maximize"] for group in groups],
        ]  # fmt: skip

    def holds(self, groups: Sequence[dict[str, Any]], flags: tuple[Any, ...]) -> bool:
        """Whether groups, parameters, what they look like and who has a gradient are the same."""
        return flags == self._flags and self._seen(groups) == self._looks

    def counts(self, steps: list[Tensor]) -> list[float]:
        """The numbers of steps taken, fetched only where someone else may have written them."""
        noted, versions, counts = self._counts
        if len(noted) == len(steps) and all(map(is_, noted, steps)) and versions == [
            x._version for x in steps
        ]:  # fmt: skip
            return counts
        self._counts = ([], [], [])
        return [x.item() for x in steps]

    def counted(self, steps: list[Tensor], counts: list[float]) -> None:
        """Write the counts after a step."""
        if self._counts[0]:
            torch._foreach_add_(steps, 1)
        else:
            for x, count in zip(steps, counts, strict=True):
                x.fill_(count)
            if len({id(x) for x in steps}) < len(steps) or any(x.is_inference() for x in steps):
                return
        self._counts = steps, [x._version for x in steps], counts
