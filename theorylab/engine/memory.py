"""How many bytes this process may hold: what the arrays of a run are sized by."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from theorylab.errors import UsageError

__all__ = ["LEAST", "limit", "limited", "parse", "resident", "room", "shown"]

LEAST = 512 * 2**20
"""Python with torch and sympy alone takes most of it."""

_SHARE = 2  # half of the machine is left to others
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNKNOWN = 8 * 2**30  # of a machine that does not say how much it has
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_STATM = Path("/proc/self/statm")
_LIMIT: ContextVar[int | None] = ContextVar("memory", default=None)


def parse(size: int | str) -> int:
    """Bytes, from a number of them or a text such as ``2G`` (of 1024 M each).

    Raises
    ------
    UsageError
        If it is no size, or less than a process needs to begin with.

    Examples
    --------
    >>> parse("2G"), parse("1.5 GiB"), parse(10**9)
    (2147483648, 1610612736, 1000000000)
    >>> parse("some")
    Traceback (most recent call last):
    theorylab.errors.UsageError: memory is a number of bytes, or as 800M or 2G, got 'some'
    """
    match = _SIZE.fullmatch(str(size).strip()) if not isinstance(size, bool) else None
    if match is None or len(match[1]) > 20:
        raise UsageError(f"memory is a number of bytes, or as 800M or 2G, got {size!r}")
    found = int(float(match[1]) * _UNITS[match[2].lower()])
    if found < LEAST:
        raise UsageError(f"memory must be at least {shown(LEAST)}, got {size!r}")
    return found


def shown(size: float) -> str:
    """A size for people.

    >>> shown(2 * 2**30), shown(300 * 2**20)
    ('2G', '300M')
    """
    unit, name = next((2.0**p, name) for p, name in ((40, "T"), (30, "G"), (20, "M"), (0, ""))
                      if size >= 2**p or p == 0)  # fmt: skip
    return f"{size / unit:.3g}{name}"


def limit() -> int:
    """The bytes this process may hold: as :func:`limited` says, else half of the machine's."""
    return _LIMIT.get() or max(LEAST, _machine() // _SHARE)


@contextmanager
def limited(size: int | None) -> Iterator[None]:
    """Inside the block this process may hold so many bytes; ``None`` changes nothing.

    >>> with limited(2**30):
    ...     limit()
    1073741824
    """
    token = _LIMIT.set(_LIMIT.get() if size is None else size)
    try:
        yield
    finally:
        _LIMIT.reset(token)


def room() -> int:
    """What the limit leaves beside all that the process holds already, never less than 0.

    A notebook that holds more than half of the machine is refused nothing small: without a limit of
    its own a run may take :data:`LEAST`.
    """
    return max(0 if _LIMIT.get() else LEAST, limit() - resident())


def resident() -> int:
    """The bytes this process holds now; what it begins with where the system does not say."""
    try:
        with open(_STATM, "rb", 0) as told:  # a short run asks as well: no text layer, no buffer
            return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return LEAST // 2


@cache  # a short run would spend a tenth of its time in reading it
def _machine() -> int:
    """The memory of this machine, or of the container this process is confined to."""
    try:
        sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (OSError, ValueError, AttributeError):
        sizes = [_UNKNOWN]
    for path in _CGROUPS:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            sizes.append(int(text))
    return min(sizes)
