"""A file's bytes: read once, hashed, unpacked within a limit; nothing is written to disk."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol, final

from theorylab.errors import DataError, printable
from theorylab.regular import regular

__all__ = ["LIMIT", "Content", "content", "read_file", "require_room", "size_text"]

LIMIT = 2**29
"""Bytes that a file, what is packed in it, or the numbers made of it may take: 512 MiB."""

_CHUNK = 2**20
_XZ_MEMORY = 2**27
_SUFFIXES = {".gz", ".bz2", ".xz", ".zip"}
_ZIPPED = {".npz", ".xlsx", ".xlsm", ".ods"}  # formats that are archives themselves


@final
@dataclass(frozen=True)
class Content:
    """The bytes that are parsed.

    Attributes
    ----------
    name : str
        The file's path as it may be shown.
    stem, suffix : str
        Of the file's name, less the suffix of a compression.
    data : bytes
        Unpacked.
    sha256 : str
        Of the file's own bytes, packed as they are.
    """

    name: str
    stem: str
    suffix: str
    data: bytes
    sha256: str


class _Stream(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def size_text(size: int) -> str:
    """A size in bytes as people say it.

    >>> size_text(3 * 2**20)
    '3 MiB'
    """
    return f"{size / 2**20:,.0f} MiB" if size < 10 * 2**30 else f"{size / 2**30:,.0f} GiB"


def require_room(who: str, size: int, limit: int, what: str) -> None:
    """Refuse what would take more than ``limit`` bytes, before it is made.

    Raises
    ------
    DataError
    """
    if size > limit:
        raise DataError(f"{who}: {what} would take {size_text(size)}, more than the "
                        f"{size_text(limit)} allowed; give fewer rows or columns")  # fmt: skip


def read_file(path: str | Path, limit: int = LIMIT) -> tuple[bytes, str]:
    """A regular file's bytes and their SHA-256, in hex.

    Raises
    ------
    DataError
        If there is no such file, it is a directory, pipe or device, or larger than ``limit``.
    """
    who = printable(path, 500)
    try:
        with regular(path) as stream:
            require_room(who, os.fstat(stream.fileno()).st_size, limit, "the file")
            data = _bounded(who, stream, limit)
    except FileNotFoundError:
        raise DataError(f"{who}: no such file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = str(getattr(error, "strerror", None) or error)
        told = reason if reason.startswith("expected") else f"cannot be read: {reason}"
        raise DataError(f"{who}: {told}") from None
    return data, hashlib.sha256(data).hexdigest()


def content(path: str | Path, limit: int = LIMIT) -> Content:
    """A file's bytes, unpacked if they are gzip, bzip2, xz or a zip of one file.

    Raises
    ------
    DataError
        As :func:`read_file`; also if what is packed is damaged or larger than ``limit``.
    """
    data, digest = read_file(path, limit)
    who, name = printable(path, 500), Path(path).name
    if not data:
        raise DataError(f"{who}: expected rows of numbers, got an empty file")
    inner = PurePosixPath(name)
    suffix = inner.suffix.lower()
    packed = inner.with_suffix("") if suffix in _SUFFIXES and inner.stem else inner
    for magic, unpack in _UNPACK:
        if re.match(magic, data, re.DOTALL):
            data, inner = _unpacked(who, unpack, data, limit), packed
            break
    else:
        if data.startswith(b"PK\x03\x04") and suffix not in _ZIPPED:
            member, data = _unzipped(who, data, limit)
            inner = PurePosixPath(member) if PurePosixPath(member).suffix else packed
        elif data.startswith(b"\x28\xb5\x2f\xfd"):
            raise DataError(f"{who}: Zstandard is not read; unpack it first")
        elif suffix in _SUFFIXES:
            raise DataError(f"{who}: expected a {suffix} file, got something else")
    stem = printable(PurePosixPath(packed.name).stem)
    return Content(who, stem or "data", inner.suffix.lower(), data, digest)


def _unzipped(who: str, data: bytes, limit: int) -> tuple[str, bytes]:
    """The name and bytes of the one file in a zip archive.

    Raises
    ------
    DataError
        If it holds another number of files, one that is encrypted, or more than ``limit``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [
                entry for entry in archive.infolist()
                if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")
            ]  # fmt: skip
            if len(members) != 1:
                raise DataError(f"{who}: expected a zip archive of one file, got {len(members)}; "
                                "unpack the one you mean")  # fmt: skip
            (entry,) = members
            require_room(who, entry.file_size, limit, "what is packed in it")
            if entry.flag_bits & 1:
                raise DataError(f"{who}: the archive is encrypted; unpack it first")
            with archive.open(entry) as stream:
                return entry.filename, _bounded(who, stream, limit)
    except DataError:
        raise
    except Exception as error:  # a damaged archive raises what zipfile or zlib happens to
        raise DataError(f"{who}: a damaged zip archive: {printable(error)}") from None


def _bounded(who: str, stream: _Stream, limit: int) -> bytes:
    parts, size = [], 0
    while part := stream.read(_CHUNK):
        size += len(part)
        if size > limit:
            raise DataError(f"{who}: holds more than the {size_text(limit)} allowed; "
                            "give fewer rows or columns")  # fmt: skip
        parts.append(part)
    return b"".join(parts)


def _unpacked(who: str, unpack: Callable[[bytes], _Stream], data: bytes, limit: int) -> bytes:
    try:
        return _bounded(who, unpack(data), limit)
    except DataError:
        raise
    except (OSError, EOFError, ValueError, MemoryError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{who}: damaged where it is unpacked: {printable(error, 80)}") from None


class _XZ:
    """An xz file whose header may not ask for more memory than is sane."""

    def __init__(self, data: bytes) -> None:
        self._rest, self._decoder = data, lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int = -1, /) -> bytes:
        while True:
            if self._decoder.eof:
                self._rest = self._decoder.unused_data.lstrip(b"\0")
                if not self._rest:
                    return b""
                self._decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            part = self._decoder.decompress(self._rest, max_length=_CHUNK)
            self._rest = b""
            if part:
                return part
            if self._decoder.needs_input and not self._decoder.eof:
                raise EOFError("it ends too early")


_UNPACK: tuple[tuple[bytes, Callable[[bytes], _Stream]], ...] = (
    (b"\x1f\x8b", lambda data: gzip.GzipFile(fileobj=io.BytesIO(data))),
    (b"BZh[1-9]1AY&SY", lambda data: bz2.BZ2File(io.BytesIO(data))),
    (b"\xfd7zXZ\x00", _XZ),
)
