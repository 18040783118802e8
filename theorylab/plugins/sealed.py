"""Bytes that carry their own checksum at the end, so that any program may read what is before."""

from __future__ import annotations

import hashlib
from pathlib import Path

from theorylab.regular import regular_bytes

__all__ = ["Damaged", "opened", "read_bytes", "seal"]

_SEAL = b"\ntheorylab checkpoint, sha256 "
_LENGTH = len(_SEAL) + 64 + 1  # the checksum in hex, and a line's end


class Damaged(Exception):
    """A stored file that cannot be trusted; the message says why."""


def seal(digest: str) -> bytes:
    """What follows content of that SHA-256 (in hex).

    >>> len(seal("0" * 64)) == _LENGTH
    True
    """
    return _SEAL + digest.encode() + b"\n"


def opened(data: bytes, *, required: bool = True) -> memoryview:
    """The content before the checksum, every byte of it verified.

    Without ``required``, bytes that never had a checksum are content too.

    Raises
    ------
    Damaged
        If there is no checksum, or it does not fit.

    Examples
    --------
    >>> bytes(opened(b"text" + seal(hashlib.sha256(b"text").hexdigest())))
    b'text'
    """
    body, end = memoryview(data)[:-_LENGTH], data[-_LENGTH:]
    if not end.startswith(_SEAL):
        if required:
            raise Damaged("it has no checksum")
        return memoryview(data)
    if end != seal(hashlib.sha256(body).hexdigest()):
        raise Damaged("its checksum does not fit")
    return body


def read_bytes(path: Path) -> bytes:
    """A stored file's bytes.

    Raises
    ------
    Damaged
        If it cannot be read.
    FileNotFoundError
        If there is none.
    """
    try:
        return regular_bytes(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"it cannot be read: {error.strerror or error}") from None
