"""Regular files alone: no pipe is waited for, and no device is read without end."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

__all__ = ["regular", "regular_bytes", "regular_text"]

_ELSE = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe; write it to a file first",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
# Opening a pipe waits for its writer, unless told not to.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def regular(path: Path | str) -> BufferedReader:
    """A regular file, opened for reading.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If it cannot be read, or is a directory, pipe or device; ``strerror`` says which.

    Examples
    --------
    >>> regular("/")
    Traceback (most recent call last):
    IsADirectoryError: [Errno 21] expected a file, got a directory: '/'
    """
    handle = os.open(path, _FLAGS)
    kind = stat.S_IFMT(os.fstat(handle).st_mode)
    if kind == stat.S_IFREG:
        return os.fdopen(handle, "rb")
    os.close(handle)
    number = errno.EISDIR if kind == stat.S_IFDIR else errno.EINVAL
    raise OSError(number, f"expected a file, got {_ELSE.get(kind, 'something else')}", str(path))


def regular_bytes(path: Path | str) -> bytes:
    """The bytes of a :func:`regular` file."""
    with regular(path) as stream:
        return stream.read()


def regular_text(path: Path | str) -> str:
    """The text, in UTF-8, of a :func:`regular` file."""
    return regular_bytes(path).decode()
