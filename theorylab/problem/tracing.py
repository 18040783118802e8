"""Whether a step is being traced for compiled code, which takes one row at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["row_by_row", "traced_by_rows"]

_BY_ROWS: ContextVar[bool] = ContextVar("by_rows", default=False)


def row_by_row() -> bool:
    """Whether the code that is made has loops of its own, and rows need no others beside them."""
    return _BY_ROWS.get()


@contextmanager
def traced_by_rows() -> Iterator[None]:
    """A block in which :func:`row_by_row` says so."""
    token = _BY_ROWS.set(True)
    try:
        yield
    finally:
        _BY_ROWS.reset(token)
