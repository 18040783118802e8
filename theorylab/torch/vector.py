"""``Vector``: many tensors that a rule's code takes for one vector, never concatenated.

A rule is written for a flat vector. On a network its code is given ``Vector`` objects in place of
tensors: arithmetic on them is only noted down, norms and sums are computed when they are asked for,
and :meth:`Space.write` computes the results block by block, straight into parameters and state. So
a step reads and writes each number about once, and what lies between takes one block of memory.

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

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, final

import torch
from torch import Tensor

from theorylab.torch.layout import Tape
from theorylab.torch.plan import BLOCK, CHUNK, Plan, grouped
from theorylab.torch.shards import Shards

__all__ = ["Space", "Unsupported", "Vector", "leaf_of"]

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


def _unsupported(what: str) -> NoReturn:
    raise Unsupported(f"{what} of a vector in parts")


@final
class Space:
    """What all vectors of one step have in common: the shapes of their tensors.

    Parameters
    ----------
    like : sequence of Tensor
        Tensors of these shapes, on one device. Half-precision ones are computed with in float32.
    held : bool
        Never fetch a number from a tensor, as a captured graph must not.
    shards : Shards, optional
        Who holds the other parts of the tensors, where these are parts.
    sizes : sequence of int, optional
        Entries of the tensors with all their parts.
    """

    def __init__(
        self,
        like: Sequence[Tensor],
        held: bool = False,
        shards: Shards | None = None,
        sizes: Sequence[int] | None = None,
    ) -> None:
        self.shapes = [t.shape for t in like]
        self.device = like[0].device
        wide = any(t.dtype == torch.float64 for t in like)
        self.dtype = torch.float64 if wide else torch.float32
        self.held = held
        self.shards = shards
        self.sizes = [t.numel() for t in like] if sizes is None else list(sizes)
        self.numel = sum(self.sizes)
        self.summed = False  # whether anything was
        self.lists, self.large = grouped(self.shapes, self.device)
        self.tape = Tape()
        self._registers: dict[int, list[Tensor]] = {}

    def vector(self, tensors: Sequence[Tensor]) -> Vector:
        """These tensors as a vector; what is written into them is seen by it."""
        leaf = Vector(self, "leaf", ())
        leaf.tensors = list(tensors)
        if {t.dtype for t in leaf.tensors} != {self.dtype}:
            leaf.plain = False
            return Vector(self, "copy", (leaf,))
        return leaf

    def drawn(self, law: str, key: int) -> Vector:
        """Numbers drawn from a law, decided by the key and the shapes alone."""
        return Vector(self, "draw", (law, key))

    def registers(self, many: int, size: int) -> list[Tensor]:
        """Scratch of so many numbers each, the same at every call; the last is the first."""
        held = self._registers.setdefault(size, [])
        while len(held) < many:
            # Sizes up to a block share its memory: they are never in use together.
            if size >= BLOCK or size == CHUNK:
                held.insert(0, torch.empty(size, dtype=self.dtype))
            else:
                full = CHUNK if size < CHUNK else BLOCK
                held.insert(0, self.registers(len(held) + 1, full)[0][:size])
        return held[len(held) - many :]

    def number(self, x: Any) -> Any:
        """A number for an operation: a float, a scalar tensor, or a tuple of one a tensor."""
        if isinstance(x, bool | int | float):
            return float(x)
        if not isinstance(x, Tensor):
            _unsupported(type(x).__name__)
        fetched = x.device.type == "cpu" and not self.held
        if x.numel() == 1:
            return float(x.item()) if fetched else x.reshape(()).to(self.dtype)
        if x.numel() == len(self.shapes) and x.ndim == 1:
            return tuple(x.tolist() if fetched else x.to(self.dtype).unbind())
        return _unsupported(f"arithmetic with a tensor of shape {tuple(x.shape)}")

    # --- computing ---------------------------------------------------------------------------
    def write(self, results_into: Sequence[tuple[Vector, Vector]]) -> Plan:
        """Compute each first vector into the tensors of the second one; how that was done."""
        plan = Plan(self, [(new, leaf_of(old)) for new, old in results_into])
        plan.all()
        self.tape.clear()  # gradients are not held beyond a step
        return plan

    def tensors(self, x: Vector) -> list[Tensor]:
        """The vector's numbers in new tensors of its shapes."""
        made = [torch.empty(s, dtype=self.dtype, device=self.device) for s in self.shapes]
        self.write([(x, self.vector(made))])
        return made

    def reduced(self, x: Vector, what: str, each: bool) -> Tensor:
        """The ``"norm"`` or ``"sum"`` of a vector; with ``each``, of each of its tensors."""
        self.summed = True
        owners: list[int] = []
        parts: list[Tensor] = []
        for block, tensors in Plan(self, [], x).run():
            parts += _norms(tensors) if what == "norm" else [t.sum() for t in tensors]
            owners += block
        found = torch.stack(parts)
        if self.device.type == "cpu" and not each and self.shards is None:
            # Few numbers: Python adds them before torch has found its kernel.
            many = found.tolist()
            total = math.sqrt(sum(x * x for x in many)) if what == "norm" else sum(many)
            return torch.tensor(total, dtype=torch.float64)
        found = found.to(torch.float64)
        if what == "norm":
            found = found.square()
        found = self._joined(found, owners, each)
        if what == "norm":
            found = found.sqrt()
        return found if self.device.type == "cpu" else found.to(self.dtype)

    def spread(self, x: Vector) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a vector's numbers (``x.each``: of each tensor's).

        Both in one pass: of every block its own, joined as Chan, Golub and LeVeque (1983) do.
        """
        self.summed = True
        owners: list[int] = []
        many: list[int] = []
        sums: list[Tensor] = []
        means: list[Tensor] = []
        norms: list[Tensor] = []
        plan = Plan(self, [], x)
        for block, tensors in plan.run():
            sizes = [t.numel() for t in tensors]
            total = [t.sum() for t in tensors]
            middle = [t / n for t, n in zip(total, sizes, strict=True)]
            if plan.shown_is_scratch:
                torch._foreach_sub_(tensors, middle)
                norms += _norms(tensors)
            else:
                norms += _norms(torch._foreach_sub(tensors, middle))
            sums += total
            means += middle
            many += sizes
            owners += block
        size = torch.tensor(many, dtype=torch.float64, device=self.device)
        each, mean, off = (torch.stack(y).to(torch.float64) for y in (sums, means, norms))
        whole = self._joined(size, owners, x.each)
        centre = self._joined(each, owners, x.each) / whole
        theirs = centre[torch.tensor(owners, device=self.device)] if x.each else centre
        square = off.square() + size * (mean - theirs).square()
        deviation = (self._joined(square, owners, x.each) / whole).sqrt()
        if self.device.type == "cpu":
            return centre, deviation
        return centre.to(self.dtype), deviation.to(self.dtype)

    def _joined(self, parts: Tensor, owners: Sequence[int], each: bool) -> Tensor:
        """The sum of blocks' numbers, or with ``each`` of each tensor's, over all processes."""
        if each:
            zero = parts.new_zeros(len(self.shapes))
            found = zero.index_add(0, torch.tensor(owners, device=parts.device), parts)
        else:
            found = parts.sum()
        return found if self.shards is None else self.shards.summed(found)


def _norms(tensors: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    if len(tensors) > 1:
        return list(torch._foreach_norm(tensors))
    return [torch.linalg.vector_norm(tensors[0])]


@final
class Vector:
    """A vector in parts, or what is to be done to others to get it; see the module's text."""

    __slots__ = ("age", "args", "at", "each", "kwargs", "op", "plain", "space", "tensors")

    def __init__(
        self, space: Space, op: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        self.space, self.op, self.args, self.kwargs = space, op, args, kwargs or {}
        self.tensors: list[Tensor] = _NONE
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
            _unsupported(f"a new tensor of shape {tuple(shape)}")
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
                _unsupported("another norm")
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
                _unsupported(name)
            scale = kwargs.get("alpha", kwargs.get("value", 1.0))
            scale = 1.0 if scale == 1 else self.space.number(scale)
        if len(args) != _TAKES.get(name):
            _unsupported(name)
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
            if scale != 1.0 or not isinstance(x, Vector) or isinstance(z, float | tuple):
                _unsupported("addcmul of numbers")
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
                _unsupported("a scaled sum with a number")
            many = scale if isinstance(scale, tuple) else (scale,)
            if any(isinstance(s, Tensor) for s in many):
                return make("addcmul", x, scale, y)
            return make("add", x, y, alpha=scale)
        if name == "mul" and not isinstance(args[0], Vector):
            args = args[::-1]
        if name == "div" and not isinstance(args[0], Vector):
            return make("mul", make("reciprocal", args[1]), args[0])
        if name == "lerp" and not (isinstance(args[0], Vector) and isinstance(args[1], Vector)):
            _unsupported("lerp of numbers")
        if name in ("maximum", "minimum") and not isinstance(args[1], Vector):
            name = {"maximum": "clamp_min", "minimum": "clamp_max"}[name]
        if name == "where":
            return make("where", *args)
        if not isinstance(args[0], Vector):
            _unsupported(f"{name} with a number first")
        return make(name, *args, **({} if scale == 1.0 else {"value": scale}))

    def _become(self, new: Vector) -> Vector:
        """In place: this object is the result from now on, and what used it keeps the old."""
        if self.op == "leaf":
            _unsupported("a change in place of what was given")
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
            _unsupported(name)
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
        return _unsupported(f"the power {power}")

    def __lt__(self, other: Any) -> Vector:
        return self._apply("lt", (self, other), {})

    def __le__(self, other: Any) -> Vector:
        return self._apply("le", (self, other), {})

    def __gt__(self, other: Any) -> Vector:
        return self._apply("gt", (self, other), {})

    def __ge__(self, other: Any) -> Vector:
        return self._apply("ge", (self, other), {})

    def __bool__(self) -> bool:
        _unsupported("the truth")

    def __len__(self) -> int:
        _unsupported("the length")

    def __iter__(self) -> Any:
        _unsupported("a loop over the numbers")

    def __getitem__(self, _: Any) -> Any:
        _unsupported("a part")


def leaf_of(x: Vector) -> Vector:
    """The tensors a vector was made from."""
    return x if x.op == "leaf" else x.args[0]
