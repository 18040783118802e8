"""Operations element by element, and constants."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from theorylab.engine.native.values import Index, Value, Writer, constant, count, kind_of, type_of

__all__ = ["ARITHMETIC", "COMPARISONS", "LOGICAL", "Elementwise"]

# Element by element: the expression, given its arguments' expressions in the result's type.
ARITHMETIC: dict[str, str] = {
    "abs": "fabs({0})", "neg": "(-{0})", "reciprocal": "(1 / {0})", "sqrt": "sqrt({0})",
    "rsqrt": "(1 / sqrt({0}))", "exp": "exp({0})", "expm1": "expm1({0})", "log": "log({0})",
    "log1p": "log1p({0})", "log2": "log2({0})", "sin": "sin({0})", "cos": "cos({0})",
    "tan": "tan({0})", "tanh": "tanh({0})", "sinh": "sinh({0})", "cosh": "cosh({0})",
    "asin": "asin({0})", "acos": "acos({0})", "asinh": "asinh({0})", "acosh": "acosh({0})",
    "atanh": "atanh({0})", "exp2": "exp2({0})", "log10": "log10({0})", "erfc": "erfc({0})",
    "hypot": "hypot({0}, {1})", "copysign": "copysign({0}, {1})",
    "atan": "atan({0})", "erf": "erf({0})", "floor": "floor({0})", "ceil": "ceil({0})",
    "round": "rint({0})", "trunc": "trunc({0})", "sigmoid": "(1 / (1 + exp(-{0})))",
    "relu": "larger_{T}({0}, 0)", "sign": "sign_{T}({0})", "mul": "({0} * {1})",
    "div": "({0} / {1})", "fmod": "fmod({0}, {1})", "atan2": "atan2({0}, {1})",
    "maximum": "larger_{T}({0}, {1})", "minimum": "smaller_{T}({0}, {1})",
    "clamp_min": "larger_{T}({0}, {1})", "clamp_max": "smaller_{T}({0}, {1})",
}  # fmt: skip
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
LOGICAL = {
    "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^", "logical_and": "&&",
    "logical_or": "||",
}  # fmt: skip


@dataclass
class Elementwise(abc.ABC):
    """A method an operation, called as it is: its node, then its arguments.

    Parameters
    ----------
    writer : Writer
    targets : mapping of Node to str
        Arrays that some nodes are stored in.
    panels : mapping of Node to str
        The table, as :mod:`theorylab.engine.native.products` lays it out, of a product that is
        made for many rows at once.
    wide : int
        Bytes of the vectors that sums are made of.
    """

    writer: Writer
    targets: dict[fx.Node, str]
    panels: Mapping[fx.Node, str] = field(default_factory=dict)
    wide: int = 16

    # --- element by element ------------------------------------------------------------------
    def _each(
        self,
        node: fx.Node,
        expression: str,
        arguments: Sequence[Any],
        inside: str | None = None,
    ) -> Value:
        """``expression`` of the elements laid over each other, in the type ``inside`` (``{T}``)."""
        shape, kind = type_of(node)
        inside = kind if inside is None else inside
        values = []
        for argument in arguments:
            given = argument if isinstance(argument, Value) else constant(argument, inside)
            # Spread over more elements, it must not be computed anew for each.
            fewer = count(given.shape) < count(shape)
            values.append(self.writer.plain(given) if fewer else given)

        def at(index: Index) -> str:
            here = (v.cast(inside, v.spread(shape, index)) for v in values)
            return expression.format(*here, T=inside)

        return Value(shape, kind, at)

    @staticmethod
    def _common(node: fx.Node) -> str:
        """The type in which a comparison is made."""
        made: list[Any] = [a.meta["val"] if isinstance(a, fx.Node) else a for a in node.args[:2]]
        return kind_of(torch.result_type(*made))

    def _add(self, node: fx.Node, a: Any, b: Any, alpha: float = 1, sign: str = "+") -> Value:
        kind = type_of(node)[1]
        times = "" if alpha == 1 else f"{constant(alpha, kind).at([])} * "
        return self._each(node, f"({{0}} {sign} {times}{{1}})", (a, b))

    def _sub(self, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Value:
        return self._add(node, a, b, alpha, "-")

    def _rsub(self, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Value:
        return self._add(node, b, a, alpha, "-")

    def _addcmul(self, node: fx.Node, a: Value, b: Value, c: Value, value: float = 1) -> Value:
        return self._each(node, "({0} + {3} * {1} * {2})", (a, b, c, value))

    def _addcdiv(self, node: fx.Node, a: Value, b: Value, c: Value, value: float = 1) -> Value:
        return self._each(node, "({0} + {3} * {1} / {2})", (a, b, c, value))

    def _lerp(self, node: fx.Node, a: Value, b: Value, weight: Any) -> Value:
        return self._each(node, "({0} + {2} * ({1} - {0}))", (self.writer.plain(a), b, weight))

    def _pow(self, node: fx.Node, base: Any, exponent: Any) -> Value:
        special = {
            0.5: "sqrt({0})", -0.5: "(1 / sqrt({0}))", 1: "{0}", -1: "(1 / {0})",
            2: "({0} * {0})", 3: "({0} * {0} * {0})", -2: "(1 / ({0} * {0}))",
        }  # fmt: skip
        if isinstance(exponent, int | float) and exponent in special:
            return self._each(node, special[exponent], (self.writer.plain(base),))
        return self._each(node, "pow({0}, {1})", (base, exponent))

    def _where(self, node: fx.Node, condition: Value, yes: Any, no: Any) -> Value:
        shape, kind = type_of(node)
        if count(condition.shape) == 1 < count(shape) and not self.writer.in_parts:
            flag, ends = self.writer.plain(condition), (yes, no)
            if all(isinstance(x, Value) and x.array is not None and x.shape == shape
                   and x.kind == kind for x in ends):  # fmt: skip
                name, at = self.writer.name("s"), flag.at(["0"] * len(flag.shape))
                self.writer.lines.append(f"const {kind} *{name} = {at} ? {yes.array} : {no.array};")
                return self.writer.whole(name, shape, kind)
        return self._each(node, "({0} != 0 ? {1} : {2})", (condition, yes, no))

    def _clamp(self, node: fx.Node, x: Value, low: Any = None, high: Any = None) -> Value:
        given = [self.writer.plain(x), *(end for end in (low, high) if end is not None)]
        text = "{0}"
        if low is not None:
            text = f"larger_{{T}}({text}, {{1}})"
        if high is not None:
            text = f"smaller_{{T}}({text}, {{{len(given) - 1}}})"
        return self._each(node, text, given)

    def _remainder(self, node: fx.Node, a: Any, b: Any) -> Value:
        kind = type_of(node)[1]
        inside = "int64_t" if kind.startswith("int") else kind
        return self._each(node, f"modulo_{inside}({{0}}, {{1}})", (a, b), inside)

    def _bitwise_not(self, node: fx.Node, x: Value) -> Value:
        return self._each(node, "(!{0})" if x.kind == "uint8_t" else "(~{0})", (x,))

    def _logical_not(self, node: fx.Node, x: Value) -> Value:
        return self._each(node, "(!{0})", (x,), x.kind)

    def _isnan(self, node: fx.Node, x: Value) -> Value:
        return self._each(node, "(isnan({0}) != 0)", (x,), x.kind)

    def _isfinite(self, node: fx.Node, x: Value) -> Value:
        return self._each(node, "(isfinite({0}) != 0)", (x,), x.kind)

    def _cast(self, node: fx.Node, x: Value) -> Value:
        shape, kind = type_of(node)
        if kind == x.kind:
            return x
        return Value(shape, kind, lambda i: x.cast(kind, i), plain=x.plain)

    def _copy(self, node: fx.Node, x: Value, source: Value, non_blocking: bool = False) -> Value:
        return self._each(node, "{0}", (source,))

    def _bucketize(self, node: fx.Node, x: Value, edges: Value, out_int32: bool = False,
                   right: bool = False) -> Value:  # fmt: skip
        held, n, kind = self.writer.held(edges), count(edges.shape), edges.kind
        text = f"bucket_{{T}}({{0}}, {held.array}, {n}, {int(right)})"
        return self._each(node, text, (x,), kind)

    # --- constants ---------------------------------------------------------------------------
    def _full(self, node: fx.Node, *arguments: Any, **options: Any) -> Value:
        shape, kind = type_of(node)
        return constant(arguments[-1], kind, shape)

    _full_like = _full
    _scalar_tensor = _full

    def _zeros(self, node: fx.Node, *arguments: Any, **options: Any) -> Value:
        shape, kind = type_of(node)
        return constant(0, kind, shape)

    _zeros_like = _zeros

    def _ones(self, node: fx.Node, *arguments: Any, **options: Any) -> Value:
        shape, kind = type_of(node)
        return constant(1, kind, shape)

    _ones_like = _ones

    def _arange(self, node: fx.Node, *arguments: Any, **options: Any) -> Value:
        shape, kind = type_of(node)
        start = arguments[0] if len(arguments) > 1 else 0
        step = arguments[2] if len(arguments) > 2 else 1
        return Value(shape, kind, lambda i: f"(({kind})({start} + {step} * {i[0]}))", plain=True)
