"""``Scalar``: a number that a step will compute, and the line of C that does.

A rule's code is run once on such numbers, in place of the step's index, the step size, norms and
sums; what it does to them is written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from theorylab.torch.vector import Vector, unsupported

__all__ = ["Lines", "Scalar"]

_TEXTS = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}",
    "pow": "pow({0}, {1})", "neg": "-{0}", "abs": "fabs({0})", "sqrt": "sqrt({0})",
    "exp": "exp({0})", "expm1": "expm1({0})", "log": "log({0})", "log1p": "log1p({0})",
    "reciprocal": "1 / {0}", "rsqrt": "1 / sqrt({0})", "square": "{0} * {0}",
    "lt": "{0} < {1}", "le": "{0} <= {1}", "gt": "{0} > {1}", "ge": "{0} >= {1}",
    "eq": "{0} == {1}", "ne": "{0} != {1}", "where": "{0} != 0 ? {1} : {2}",
    # A NaN stays one, as in torch.
    "maximum": "({0} > {1} || {0} != {0}) ? {0} : {1}",
    "minimum": "({0} < {1} || {0} != {0}) ? {0} : {1}",
    "clamp_min": "{0} < {1} ? {1} : {0}", "clamp_max": "{0} > {1} ? {1} : {0}",
    "zeros_like": "0", "ones_like": "1",
}  # fmt: skip
_TURNED = {"rsub": "sub", "rpow": "pow", "rtruediv": "div", "rdiv": "div"}
_SAME = {"truediv": "div", "true_divide": "div", "radd": "add", "rmul": "mul", "subtract": "sub",
         "multiply": "mul", "divide": "div", "float_power": "pow"}  # fmt: skip
_UNMOVED = frozenset({"clone", "detach", "reshape", "to", "view"})
_LOOKS = frozenset({"dim", "get", "is_floating_point", "numel", "size"})


@final
class Lines:
    """Lines of C that compute a step's numbers, each a double of its own name.

    Attributes
    ----------
    text : list of str
    given : list of float
        The numbers that they take, in the order of an array of that name: the text does not
        depend on them.

    >>> lines = Lines()
    >>> x = lines.scalar(lines.name(0.5))
    >>> y = torch.where(x > 0, 1 - x, torch.zeros_like(x))
    >>> lines.text[-1], lines.given
    ('const double s4 = s1 != 0 ? s2 : s3;', [0.5, 0.0, 1.0])
    """

    def __init__(self) -> None:
        self.text: list[str] = []
        self.given: list[float] = []
        self._many = 0

    def scalar(self, expression: str) -> Scalar:
        """The number of this value."""
        found: Scalar = torch.zeros((), dtype=torch.float64).as_subclass(Scalar)
        found.lines, found.said = self, f"s{self._many}"
        self._many += 1
        self.text.append(f"const double {found.said} = {expression};")
        return found

    def name(self, x: Any) -> str:
        """What a number is called in the text."""
        if isinstance(x, Scalar):
            return x.said
        if isinstance(x, Tensor) and (x.numel() != 1 or x.device.type != "cpu"):
            unsupported(f"a tensor of shape {tuple(x.shape)} among numbers")
        if not isinstance(x, Tensor | bool | int | float):
            unsupported(f"{type(x).__name__} among numbers")
        self.given.append(float(x))
        return f"given[{len(self.given) - 1}]"


@final
class Scalar(Tensor):
    """A number that is computed in a step: what is done to it is written down.

    Its value is not known: no code of Python's can branch on it.
    """

    lines: Lines
    said: str

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if any(isinstance(x, Vector) for x in (*args, *(kwargs or {}).values())):
            return NotImplemented
        called = func.__name__
        name = called.strip("_")
        own = next(x for x in args if isinstance(x, Scalar))
        if name in _LOOKS:  # its type and shape
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        if name in _UNMOVED and args[0] is own:
            return own
        if name in _TURNED:
            name, args = _TURNED[name], (args[1], args[0])
        name = _SAME.get(name, name)
        text = _TEXTS.get(name)
        if text is None or kwargs or (len(args) != _takes(text) and not name.endswith("_like")):
            unsupported(f"{called} of a number")
        made = own.lines.scalar(text.format(*map(own.lines.name, args)))
        if called.endswith("_") and not called.startswith("_"):  # in place
            own.said = made.said
            return own
        return made


def _takes(text: str) -> int:
    return 1 + max((n for n in (0, 1, 2) if f"{{{n}}}" in text), default=0)
