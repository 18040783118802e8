"""``Vector``: many tensors that a rule's code takes for one vector, never concatenated.

A rule is written for a flat vector. On a network its code is given ``Vector`` objects in place of
tensors: arithmetic on them is only noted down, norms and sums are computed when they are asked for,
and :meth:`~theorylab.torch.space.Space.write` computes the results straight into parameters and
state: by one loop in C where there is a compiler, else by torch's operations block by block. So a
step reads and writes each number about once, and what lies between takes a block of memory.

>>> from theorylab.torch.space import Space
>>> first, second = torch.ones(2), torch.full((1, 1), 3.0)
>>> space = Space([first, second])
>>> w = space.vector([first, second])
>>> round(torch.linalg.vector_norm(w, dim=-1, keepdim=True).item() ** 2, 5)
11.0
>>> space.write([(torch.lerp(w, 2 * w, 0.5), w)])
>>> first, second
(tensor([1.5000, 1.5000]), tensor([[4.5000]]))

Numbers that meet vectors are floats, tensors of one element, or tensors of one element a tensor
of the vector (a step size that differs between parameter groups, a norm of each layer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, final

import torch
from torch import Tensor

if TYPE_CHECKING:
    from theorylab.torch.space import Space

__all__ = ["Unsupported", "Vector", "leaf_of", "unsupported"]

_UNARY = frozenset({
    "abs", "ceil", "exp", "expm1", "floor", "log", "log1p", "neg", "reciprocal", "rsqrt",
    "sigmoid", "sign", "sqrt", "square", "tanh",
})  # fmt: skip
_BINARY = frozenset({
    "add", "sub", "mul", "div", "maximum", "minimum", "clamp_min", "clamp_max",
    "lt", "le", "gt", "ge", "eq", "ne",
})  # fmt: skip
_TERNARY = frozenset({"addcdiv", "addcmul", "lerp", "where"})
_NOTED = _UNARY | _BINARY | _TERNARY
_SAME = {
    "truediv": "div", "true_divide": "div", "divide": "div", "multiply": "mul",
    "subtract": "sub", "negative": "neg", "absolute": "abs", "iadd": "add", "isub": "sub",
    "imul": "mul", "itruediv": "div", "radd": "add", "rmul": "mul",
}  # fmt: skip
_FILLED = {"zeros_like": 0.0, "ones_like": 1.0}
_TAKES = {name: n for n, names in enumerate((_UNARY, _BINARY, _TERNARY), 1) for name in names}
_NAMED: dict[Any, str] = {}
_NONE: list[Tensor] = []


class Unsupported(Exception):
    """The rule uses an operation that needs the numbers side by side in one tensor."""


def unsupported(what: str) -> NoReturn:
    """Say that the rule does something that vectors in parts cannot do."""
    raise Unsupported(f"{what} of a vector in parts")


@final
class Vector:
    """A vector in parts, or what is to be done to others to get it; see the module's text."""

    __slots__ = ("age", "args", "at", "each", "kwargs", "op", "plain", "rows", "space", "tensors")

    def __init__(
        self, space: Space, op: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        self.space, self.op, self.args, self.kwargs = space, op, args, kwargs or {}
        self.tensors: list[Tensor] = _NONE
        self.rows: list[int] = []
        self.each = False
        self.plain = True
        self.age = self.at = 0
        if op != "leaf":
            self.place()

    def place(self) -> int:
        """Where the tape of now has it: a leaf's number, or a result's, which is negative."""
        tape = self.space.tape
        if self.age != tape.age:
            self.at = (
                tape.leaf(self) if self.op == "leaf" else tape.note(self.op, self.args, self.kwargs)
            )
            self.age = tape.age
        return self.at

    # --- what it looks like ------------------------------------------------------------------
    @property
    def shape(self) -> torch.Size:
        return torch.Size([self.space.numel])

    @property
    def dtype(self) -> torch.dtype:
        return self.space.dtype

    @property
    def device(self) -> torch.device:
        return self.space.device

    @property
    def ndim(self) -> int:
        return 1

    def numel(self) -> int:
        return self.space.numel

    def per_layer(self) -> Vector:
        """The same vector, whose sums, means and norms are one number a tensor."""
        twin = self._twin()
        twin.each = True
        return twin

    def new_zeros(self, shape: Any, **_: Any) -> Tensor:
        return self.new_full(shape, 0.0)

    def new_ones(self, shape: Any, **_: Any) -> Tensor:
        return self.new_full(shape, 1.0)

    def new_full(self, shape: Any, value: float, **_: Any) -> Tensor:
        """A number a run: vectors in parts are one run, so it is a scalar."""
        if any(n != 1 for n in tuple(shape)):
            unsupported(f"a new tensor of shape {tuple(shape)}")
        return torch.full((), value, dtype=torch.float64 if self.device.type == "cpu"
                          else self.dtype, device=self.device)  # fmt: skip

    def clone(self) -> Vector:
        return Vector(self.space, "copy", (self,))

    def to(self, *_: Any, **__: Any) -> Vector:
        """Itself: all vectors of a step share type and device."""
        return self

    detach = to

    # --- reductions --------------------------------------------------------------------------
    def sum(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return self.space.reduced(self, "sum", self.each)

    def mean(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        total = self.sum()
        if not self.each:
            return total / self.space.numel
        return total / torch.tensor(self.space.sizes).to(total)

    def norm(self, *_: Any, **__: Any) -> Tensor:
        return self.space.reduced(self, "norm", self.each)

    def spread(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, from one pass over the numbers."""
        return self.space.spread(self)

    def first(self, many: int) -> Vector:
        """1 for so many numbers from the first on, 0 for the others."""
        return self.space.first(many)

    def top(self, k: int) -> Vector:
        """The k entries of largest magnitude, zeros elsewhere."""
        return self.space.top(self, k)

    # --- operations --------------------------------------------------------------------------
    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = _NAMED.get(function) or _NAMED.setdefault(function, function.__name__.strip("_"))
        first = args[0] if args and args[0].__class__ is Vector else next(
            x for x in (*args, *kwargs.values()) if isinstance(x, Vector)
        )  # fmt: skip
        if name in _NOTED:
            return first._apply(name, args, kwargs)
        if name in _FILLED or name == "full_like":
            value = _FILLED.get(name)
            return first._filled(args[1] if value is None else value)
        if name in ("vector_norm", "linalg_vector_norm"):
            rest = {k: v for k, v in kwargs.items() if k not in ("dim", "keepdim")}
            if len(args) > 1 or rest:
                unsupported("another norm")
            return first.norm()
        if name in ("sum", "mean", "clone", "detach") and args[0] is first:
            return getattr(first, name)()
        if name == "to" and isinstance(args[0], Tensor):
            kind = torch.float64 if first.device.type == "cpu" else first.dtype
            return args[0].to(dtype=kind, device=first.device)
        return first._apply(name, args, kwargs)

    def _filled(self, value: Any) -> Vector:
        return Vector(self.space, "full", (self.space.number(value),))

    def _apply(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Vector:
        name = _SAME.get(name, name)
        if name == "square":
            name, args = "mul", (args[0], args[0])
        scale: Any = 1.0
        if kwargs:
            args = [*args, *(kwargs[k] for k in ("other", "weight") if k in kwargs)]
            if set(kwargs) - {"alpha", "value", "other", "weight"}:
                unsupported(name)
            scale = kwargs.get("alpha", kwargs.get("value", 1.0))
            scale = 1.0 if scale == 1 else self.space.number(scale)
        if len(args) != _TAKES.get(name):
            unsupported(name)
        numbers = [x if x.__class__ is Vector else self.space.number(x) for x in args]
        if (
            name == "add"
            and numbers[0].__class__ is numbers[1].__class__ is Vector
            and (scale.__class__ is float)
        ):  # the common case
            return Vector(self.space, name, tuple(numbers), {} if scale == 1 else {"alpha": scale})
        return self._canonical(name, numbers, scale)

    def _canonical(self, name: str, args: list[Any], scale: Any) -> Vector:
        """The operation with a vector first, and scalar tensors nowhere but as operands."""

        def make(op: str, *args: Any, **kwargs: Any) -> Vector:
            return Vector(self.space, op, args, kwargs)

        if name == "addcmul" and not (isinstance(args[1], Vector) and isinstance(args[2], Vector)):
            x, y, z = args
            y, z = (y, z) if isinstance(z, Vector) else (z, y)
            if not (isinstance(x, Vector) and isinstance(scale, float)) or (
                isinstance(z, float | tuple)
            ):
                unsupported("addcmul of numbers")
            if scale != 1.0:
                y = tuple(scale * v for v in y) if isinstance(y, tuple) else scale * y
            return self._canonical("add", [x, z], y)
        if name == "sub":
            if not isinstance(args[0], Vector):
                return make("add", make("neg", args[1]), args[0])
            scale = -scale if isinstance(scale, float | Tensor) else tuple(-s for s in scale)
            name = "add"
            if not isinstance(args[1], Vector):  # x - 2 is x + (-2)
                y = args[1]
                args = [args[0], tuple(-v for v in y) if isinstance(y, tuple) else -y]
                scale = 1.0
        if name == "add":
            x, y = args if isinstance(args[0], Vector) else args[::-1]
            if isinstance(scale, float) and scale == 1.0:
                return make("add", x, y)
            if not (isinstance(args[0], Vector) and isinstance(args[1], Vector)):
                unsupported("a scaled sum with a number")
            many = scale if isinstance(scale, tuple) else (scale,)
            if any(isinstance(s, Tensor) for s in many):
                return make("addcmul", x, scale, y)
            return make("add", x, y, alpha=scale)
        if name == "mul" and not isinstance(args[0], Vector):
            args = args[::-1]
        if name == "div" and not isinstance(args[0], Vector):
            return make("mul", make("reciprocal", args[1]), args[0])
        if name == "lerp" and not (isinstance(args[0], Vector) and isinstance(args[1], Vector)):
            unsupported("lerp of numbers")
        if name in ("maximum", "minimum") and not isinstance(args[1], Vector):
            name = {"maximum": "clamp_min", "minimum": "clamp_max"}[name]
        if name == "where":
            return make("where", *args)
        if not isinstance(args[0], Vector):
            unsupported(f"{name} with a number first")
        return make(name, *args, **({} if scale == 1.0 else {"value": scale}))

    def _become(self, new: Vector) -> Vector:
        """In place: this object is the result from now on, and what used it keeps the old."""
        if self.op == "leaf":
            unsupported("a change in place of what was given")
        self.op, self.args, self.kwargs = new.op, new.args, new.kwargs
        self.age, self.at = new.age, new.at
        return self

    def _twin(self) -> Vector:
        twin = Vector.__new__(Vector)
        for name in Vector.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    def __getattr__(self, name: str) -> Callable[..., Vector]:
        plain = name.rstrip("_")
        known = _SAME.get(plain, plain)
        if name.startswith("_") or known not in _NOTED:
            unsupported(name)
        if name.endswith("_"):
            return lambda *args, **kwargs: self._become(
                self._apply(known, (self._twin(), *args), kwargs)
            )
        return lambda *args, **kwargs: self._apply(known, (self, *args), kwargs)

    def __add__(self, other: Any) -> Vector:
        return self._apply("add", (self, other), {})

    __radd__ = __add__

    def __sub__(self, other: Any) -> Vector:
        return self._apply("sub", (self, other), {})

    def __rsub__(self, other: Any) -> Vector:
        return self._apply("sub", (other, self), {})

    def __mul__(self, other: Any) -> Vector:
        return self._apply("mul", (self, other), {})

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Vector:
        return self._apply("div", (self, other), {})

    def __rtruediv__(self, other: Any) -> Vector:
        return self._apply("div", (other, self), {})

    def __neg__(self) -> Vector:
        return self._apply("neg", (self,), {})

    def __pow__(self, power: Any) -> Vector:
        if power == 2:
            return self * self
        if power == 0.5:
            return self._apply("sqrt", (self,), {})
        return unsupported(f"the power {power}")

    def __lt__(self, other: Any) -> Vector:
        return self._apply("lt", (self, other), {})

    def __le__(self, other: Any) -> Vector:
        return self._apply("le", (self, other), {})

    def __gt__(self, other: Any) -> Vector:
        return self._apply("gt", (self, other), {})

    def __ge__(self, other: Any) -> Vector:
        return self._apply("ge", (self, other), {})

    def __bool__(self) -> bool:
        unsupported("the truth")

    def __len__(self) -> int:
        unsupported("the length")

    def __iter__(self) -> Any:
        unsupported("a loop over the numbers")

    def __getitem__(self, _: Any) -> Any:
        unsupported("a part")


def leaf_of(x: Vector) -> Vector:
    """The tensors a vector was made from."""
    return x if x.op == "leaf" else x.args[0]
