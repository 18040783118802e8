"""Reads arrays, numbers, strings, lists and dicts from a pickle without running anything in it.

A pickle is a program: loading one from outside may run any code. Here every name a pickle asks
for is refused, but for the few that numpy arrays are made of, and those get stand-ins of our own
that only store what they are given. No numpy code runs until the result, plain data by then, has
been checked.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Iterator
from typing import Any, final

import numpy as np

from deep.data.files import Readable
from theorylab.errors import DataError

__all__ = ["read_pickle"]

_MOST = 1_000_000  # values; the files of CIFAR-100 have a fifth of that
_TYPES = {"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1"}


class _Inert:
    """What a pickle may build: keeps arguments and state, does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


@final
class _Reconstruct(_Inert):
    """``_reconstruct(ndarray, shape, code)``; the array itself comes as the state."""


@final
class _FromBuffer(_Inert):
    """``_frombuffer(buffer, dtype, shape, order)``."""


@final
class _Type(_Inert):
    """``dtype(code, align, copy)``; the byte order comes in the state."""


@final
class _ArrayClass(_Inert):
    """The class ``ndarray``, which is only ever named."""


@final
class _Latin1(_Inert):
    """``_codecs.encode(text, "latin1")``: how Python 3 writes bytes for Python 2."""


_STAND_INS: dict[tuple[str, str], type[_Inert]] = {
    ("numpy", "ndarray"): _ArrayClass,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _Latin1,
}
for _package in ("numpy.core", "numpy._core"):
    _STAND_INS[f"{_package}.multiarray", "_reconstruct"] = _Reconstruct
    _STAND_INS[f"{_package}.numeric", "_frombuffer"] = _FromBuffer


class _Refused(Exception):
    """A pickle asks for something that is not part of an array."""


@final
class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Inert]:
        if (module, name) not in _STAND_INS:
            raise _Refused(f"{module}.{name}")
        return _STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("an object kept elsewhere")


def read_pickle(path: Readable, who: str = "data") -> Any:
    """The content of a pickle file of plain data and numpy arrays; strings of Python 2 as bytes.

    Raises
    ------
    DataError
        If the pickle asks for anything else (nothing of it is run), or is damaged.
    """
    data = path.read_bytes()
    try:
        return _plain(_Reader(io.BytesIO(data), encoding="bytes").load(), iter(range(_MOST)))
    except _Refused as refused:
        raise DataError(
            f"{who}: only numbers, strings and numpy arrays may be in the pickle {path}; it asks "
            f"for {refused}. Refused, and nothing in it was run"
        ) from None
    # A damaged pickle can fail in nearly any way; nothing but the readers above has run.
    except Exception as error:
        raise DataError(
            f"{who}: {path} is not a readable pickle of plain data: {type(error).__name__}: {error}"
        ) from None


def _plain(value: Any, left: Iterator[int]) -> Any:
    # Lists that hold a list twice, each the one before, are few bytes and no end of values.
    if next(left, None) is None:
        raise ValueError(f"more than {_MOST} values")
    if isinstance(value, dict):
        return {_plain(key, left): _plain(item, left) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item, left) for item in value)
    if isinstance(value, _Latin1):
        return _text(value)
    if isinstance(value, _Reconstruct):
        _, shape, kind, by_columns, data = value.state
        return _array(data, kind, shape, "F" if by_columns else "C")
    if isinstance(value, _FromBuffer):
        return _array(*value.arguments)
    if isinstance(value, _Inert):
        raise ValueError(f"a bare {type(value).__name__.strip('_')}")
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    raise ValueError(f"a {type(value).__name__}")


def _text(value: _Latin1) -> bytes:
    text, encoding = value.arguments
    if encoding not in ("latin1", b"latin1") or not isinstance(text, str):
        raise ValueError("text in an unexpected encoding")
    return text.encode("latin1")


def _array(data: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    """The one place where an array is made: from bytes, a listed number type and a shape."""
    if isinstance(data, _Latin1):
        data = _text(data)
    if not isinstance(data, bytes | bytearray) or not isinstance(kind, _Type):
        raise ValueError("an array without data")
    code = kind.arguments[0]
    code = code.decode("ascii") if isinstance(code, bytes) else code
    mark = kind.state[1] if kind.state is not None else "|"
    mark = mark.decode("ascii") if isinstance(mark, bytes) else mark
    if code not in _TYPES or mark not in ("<", ">", "|", "="):
        raise ValueError(f"an array of type {mark}{code}")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"an array of shape {shape}")
    number = np.dtype(mark + code)
    if math.prod(shape) * number.itemsize != len(data) or order not in ("C", "F"):
        raise ValueError(f"{len(data)} bytes for an array of shape {shape}")
    return np.frombuffer(bytes(data), number).reshape(shape, order=order)
