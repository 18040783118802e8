"""Arguments of the optimizers: flags all share, ranges, and the layers that parameters form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor

__all__ = [
    "FLAGS", "Flags", "check_group", "check_number", "is_zero_rate", "kind_of", "layer_kinds",
    "limits_of",
]  # fmt: skip


class Flags(TypedDict, total=False):
    """Keyword-only flags of every optimizer here.

    Attributes
    ----------
    maximize : bool
        Ascend in place of descending.
    foreach : bool or None
        ``False`` runs the rule on one flat copy of the parameters: slow, and the same to rounding.
    capturable : bool
        Fetch no number from a tensor, so that a graph may capture the step. Methods with rounds or
        draws of their own, which the host decides, refuse it.
    differentiable, fused : bool
        Not supported: ``True`` is refused.
    seed : int or None
        Decides what a method draws, with the step; ``None`` draws as ``torch.manual_seed`` says.
    """

    maximize: bool
    foreach: bool | None
    capturable: bool
    differentiable: bool
    fused: bool | None
    seed: int | None


FLAGS: Flags = {
    "maximize": False, "foreach": None, "capturable": False, "differentiable": False,
    "fused": None, "seed": None,
}  # fmt: skip

_ANY = (0.0, math.inf)
_POSITIVE = (5e-324, math.inf)
_BELOW_1 = (0.0, 1.0)
_RANGES: Mapping[str, tuple[float, float]] = {
    "eta": _ANY, "inner": _ANY, "weight_decay": _ANY, "eps": _ANY, "lam": _ANY, "trust": _ANY,
    "gamma0": _ANY, "gamma1": _ANY, "xi": _ANY, "rho": _ANY, "delta": _ANY,
    "beta": _BELOW_1, "beta1": _BELOW_1, "beta2": _BELOW_1,
    "kappa": _POSITIVE, "c": _POSITIVE, "b0": _POSITIVE, "mu": _POSITIVE,
    "average": (0.0, math.nextafter(1, 2)), "a": (0.0, math.nextafter(1, 2)),
}  # fmt: skip
_TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check_group(
    name: str,
    group: Mapping[str, Any],
    fields: Mapping[str, tuple[str, ...]],
    own: Mapping[str, tuple[float, float]],
) -> None:
    """Refuse a parameter group whose values are out of range, naming the argument.

    Parameters
    ----------
    name : str
        The optimizer's.
    group : mapping
    fields : mapping
        The rule's fields that each argument sets.
    own : mapping
        Ranges of the rule's own, by field.

    Raises
    ------
    ValueError
    """
    for flag, why in (
        ("differentiable", "updates are not recorded by autograd"),
        ("fused", "foreach, the default, is fused where it can be"),
    ):
        if group.get(flag):
            raise ValueError(f"{name}: {flag}=True is not supported: {why}")
    for key, names in fields.items():
        given = group.get(key)
        values = given if isinstance(given, tuple | list) else (given,)
        if len(names) > 1 and len(values) != len(names):
            raise ValueError(f"{name}: {key} must be {len(names)} numbers, got {given!r}")
        for field, value in zip(names, values, strict=False):
            check_number(name, key, field, value, own, bool(group.get("capturable")))
    for p in group["params"]:
        if p.dtype not in _TYPES:
            raise ValueError(f"{name}: params must be real floating-point, got {p.dtype}")


def check_number(
    name: str, key: str, field: str, value: Any, own: Mapping[str, tuple[float, float]],
    held: bool = False,
) -> None:  # fmt: skip
    """Refuse a value of a rule's field out of its range; ``held`` tensors are not fetched.

    Raises
    ------
    ValueError
    """
    limits = own.get(field, _RANGES.get(field))
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"{name}: {key} must have one element, got {value.numel()}")
        if held or value.device.type != "cpu":
            return
        value = value.item()
    if limits is None or not isinstance(value, int | float):
        return
    low, high = limits
    if not low <= value < high:
        kind = (
            "be positive"
            if low > 0
            else (f"lie in [0, {high:g}{']' if high > 1 and high < 2 else ')'}")
        )
        raise ValueError(f"{name}: {key} must {kind}, got {value!r}")


def limits_of(field: str, own: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """The least value of a rule's field, and what all lie below.

    Parameters
    ----------
    field : str
    own : mapping
        Ranges of the rule's own, by field.
    """
    return own.get(field, _RANGES.get(field, (-math.inf, math.inf)))


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


def kind_of(value: Any) -> Any:
    """What of an argument may decide which code of a rule runs."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value == 0
    return value if isinstance(value, bool | str) else type(value)


def is_zero_rate(lr: Any, held: bool) -> bool:
    """Whether a group does not move; no number is fetched from a device, nor if ``held``."""
    if isinstance(lr, Tensor):
        return not held and lr.device.type == "cpu" and lr.numel() == 1 and lr.item() == 0
    return isinstance(lr, int | float) and lr == 0
