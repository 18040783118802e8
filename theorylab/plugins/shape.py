"""Whether a value that came out of a file has the type that a record or a function says."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache, partial
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from theorylab.errors import printable

__all__ = ["fits", "require", "shaped"]


def fits(value: Any, kind: Any) -> bool:
    """Whether JSON gave a value of this type: a list for any sequence, an integer for a number.

    Parameters
    ----------
    kind
        A plain type, ``Literal``, a union, ``Sequence``, ``tuple``, ``Mapping``, a ``TypedDict``
        or a dataclass, of such types.

    Examples
    --------
    >>> fits(1, float), fits(True, float), fits([1.0, None], tuple[float | None, float | None])
    (True, False, True)
    >>> fits({"a": "x"}, Mapping[str, float])
    False
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if kind is float:
        return type(value) in (int, float)
    if kind is None or kind in (int, str, bool, type(None)):
        return type(value) is (type(None) if kind is None else kind)
    if origin is Literal:
        return any(type(value) is type(x) and value == x for x in inner)
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if origin is tuple and inner[-1] is not Ellipsis:
        return (isinstance(value, list | tuple) and len(value) == len(inner)
                and all(map(fits, value, inner)))  # fmt: skip
    if is_typeddict(kind) or is_dataclass(kind):
        return isinstance(value, Mapping) and all(
            name in value and fits(value[name], hint) for name, hint in _hints(kind).items()
        )
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items()
        )
    return isinstance(value, list | tuple) and all(fits(v, inner[0]) for v in value)


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


def require(kind: type, table: Mapping[str, Any]) -> None:
    """Refuse a table with an entry of another type than the field of a record has.

    Raises
    ------
    ValueError
        Naming the first one.

    Examples
    --------
    >>> from theorylab.studies.sweep import SweepRow
    >>> require(SweepRow, {"x": "far"})
    Traceback (most recent call last):
    ValueError: x is a float, got 'far'
    """
    for name, hint in _hints(kind).items():
        if name in table and not fits(table[name], hint):
            wanted = getattr(hint, "__name__", str(hint))
            raise ValueError(f"{name} is a {wanted}, got {printable(repr(table[name]), 60)}")


def shaped(kind: Any) -> Callable[[Any], Any]:
    """What gives a value of this type back, and raises ``ValueError`` for any other."""
    return partial(_shaped, kind)


def _shaped(kind: Any, value: Any) -> Any:
    if not fits(value, kind):
        raise ValueError(f"it is no {getattr(kind, '__name__', kind)}")
    return value
