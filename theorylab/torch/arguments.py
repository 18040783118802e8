"""Arguments of the optimizers: flags all share, ranges, and the layers that parameters form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor

__all__ = ["FLAGS", "Flags", "check_group", "layer_kinds"]


class Flags(TypedDict, total=False):
    """Keyword-only flags of every optimizer here.

    Attributes
    ----------
    maximize : bool
        Ascend in place of descending.
    foreach : bool or None
        Whether parameters are written back in one call; the results are the same.
    capturable, differentiable : bool
        Not supported: ``True`` is refused. (The step counter and a round's position live on the
        host, and updates are not recorded by autograd.)
    seed : int
        Seeds the randomness of methods that draw their own.
    """

    maximize: bool
    foreach: bool | None
    capturable: bool
    differentiable: bool
    seed: int


FLAGS: Flags = {
    "maximize": False, "foreach": None, "capturable": False, "differentiable": False, "seed": 0,
}  # fmt: skip


_LIMITS = {
    "lr": math.inf, "momentum": 1.0, "betas": 1.0, "weight_decay": math.inf, "eps": math.inf,
    "lam": math.inf,
}  # fmt: skip


def check_group(name: str, group: Mapping[str, Any]) -> None:
    """Refuse a parameter group whose values are out of range, naming the argument.

    Raises
    ------
    ValueError
    """
    for flag, why in (
        ("capturable", "the step counter lives on the host"),
        ("differentiable", "updates are not recorded by autograd"),
    ):
        if group[flag]:
            raise ValueError(f"{name}: {flag}=True is not supported: {why}")
    for key, limit in _LIMITS.items():
        given = group.get(key)
        for value in given if isinstance(given, tuple | list) else (given,):
            if isinstance(value, Tensor) and value.numel() != 1:
                raise ValueError(f"{name}: {key} must have one element, got {value.numel()}")
            if isinstance(value, int | float) and not 0 <= value < limit:
                raise ValueError(f"{name}: {key} must lie in [0, {limit:g}), got {value!r}")
    for p in group["params"]:
        if p.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"{name}: params must be float32 or float64, got {p.dtype}; keep float32 "
                "parameters and compute in lower precision under torch.autocast"
            )


def layer_kinds(
    groups: Sequence[Mapping[str, Any]], active: Sequence[tuple[Tensor, Mapping[str, Any]]]
) -> Iterable[tuple[str, int]]:
    """Each parameter's kind: its group's ``kind``, or what its shape and name tell."""
    names = {
        id(p): name
        for group in groups
        for name, p in zip(group.get("param_names", ()), group["params"], strict=False)
    }
    scales = {
        names[id(p)]
        for group in groups
        for p in group["params"]
        if p.ndim == 1 and names.get(id(p), "").endswith("weight")
    }
    for p, group in active:
        if (kind := group.get("kind")) is None:
            if p.ndim >= 2:
                kind = "fully connected" if p.ndim == 2 else "convolution"
            elif id(p) not in names:
                kind = "vector"
            else:
                # A normalization layer is one whose weight is a vector.
                weight = names[id(p)].removesuffix("bias").removesuffix("weight") + "weight"
                kind = "normalization" if weight in scales else "bias"
        yield kind, p.numel()
