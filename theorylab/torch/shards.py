"""Parameters of which every process holds a part.

``fully_shard`` makes parameters of tensors that know it: each process steps its part, and norms and
sums are added up over the processes. ``ZeroRedundancyOptimizer`` and FSDP's first version hand out
parts that look whole: there only methods that treat every coordinate by itself are right.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from theorylab.method.rule import UpdateRule

__all__ = ["Shards", "local", "refuse_draws", "refuse_hidden", "shards_of"]

_ZERO = "torch.distributed.optim.zero_redundancy_optimizer"
# What FSDP's first version notes on the parameters that it has put end to end and cut.
_FLATTENED = ("_fsdp_flattened", "_is_flat_param")


@final
class Shards:
    """Who holds the other parts.

    Parameters
    ----------
    mesh : DeviceMesh
    cut : sequence of int
        Its dimensions along which the parameters are cut; along others they are repeated.
    """

    def __init__(self, mesh: Any, cut: Sequence[int]) -> None:
        self._cut = [mesh.get_group(dim) for dim in cut]
        self._all = [mesh.get_group(dim) for dim in range(mesh.ndim)]
        self._processes = mesh.size()

    def summed(self, x: Tensor) -> Tensor:
        """The sum of all parts' ``x``."""
        for group in self._cut:
            torch.distributed.all_reduce(x, group=group)
        return x

    def averaged(self, x: Tensor) -> Tensor:
        """The mean of all processes' ``x``, each of its own share of a mini-batch."""
        x = x.clone()
        for group in self._all:
            torch.distributed.all_reduce(x, group=group)
        return x / self._processes


def local(x: Tensor) -> Tensor:
    """This process's part of a tensor, in the same memory; a whole tensor itself."""
    return x.detach().to_local() if hasattr(x, "to_local") else x  # type: ignore[attr-defined]


def shards_of(who: str, params: Sequence[Tensor]) -> Shards | None:
    """Who holds the other parts of these parameters; ``None`` if they are whole.

    Raises
    ------
    ValueError
        If some are cut and others are not, or not alike.
    """
    placed = [(getattr(p, "device_mesh", None), getattr(p, "placements", None)) for p in params]
    mesh, places = placed[0] if placed else (None, None)
    cut = [] if places is None else [n for n, place in enumerate(places) if place.is_shard()]
    for other, theirs in placed:
        alike = (theirs is None) == (places is None) and other == mesh
        if not alike or (theirs is not None and [
            n for n, place in enumerate(theirs) if not place.is_replicate()
        ] != cut):  # fmt: skip
            raise ValueError(f"{who}: all params must be sharded over the same processes")
    return None if mesh is None else Shards(mesh, cut)


def refuse_hidden(who: str, params: Sequence[Tensor], by_coordinate: Callable[[], bool]) -> None:
    """Refuse parts that look whole, unless the method treats every coordinate by itself.

    Raises
    ------
    ValueError
    """
    kind = ""
    if any(hasattr(p, name) for p in params for name in _FLATTENED):
        kind = "FullyShardedDataParallel"
    frame = sys._getframe(1)
    while not kind and frame is not None:
        if frame.f_globals.get("__name__") == _ZERO:
            kind = "ZeroRedundancyOptimizer"
        frame = frame.f_back  # type: ignore[assignment]
    if kind and not by_coordinate():
        raise ValueError(f"{who}: {kind} gives each process some of the parameters, and the method "
                         "takes them for one vector; use DistributedDataParallel or fully_shard"
                         )  # fmt: skip


def refuse_draws(who: str, rule: UpdateRule, seed: int | None) -> None:
    """Refuse draws that would differ between the processes that hold a part each.

    Raises
    ------
    ValueError
    """
    rounds = rule.restarts(np.random.default_rng(0), 0, 1, 2)
    random = bool(rule.draws) or (rounds is not None and rounds.shape[1] > 1)
    why = ""
    if any(draw.per == "coordinate" for draw in rule.draws):
        why = "the method draws a number for each coordinate"
    elif random and seed is None:
        why = "all processes must draw alike; give seed"
    if why:
        raise ValueError(f"{who}: sharded params are not supported: {why}")
