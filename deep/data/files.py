"""Finding and reading files a user names, with errors that say who needed what and what came."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol, final

from theorylab.errors import DataError

__all__ = ["Member", "Readable", "contents", "find", "read_bytes", "required_directory"]

_LARGEST = 4 * 2**30  # bytes of one member; STL10's largest has 2.8e9


def contents(directory: Path, limit: int = 8) -> str:
    """What lies in a directory, in one line.

    >>> import tempfile
    >>> contents(Path(tempfile.mkdtemp()))
    'nothing'
    """
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in directory.iterdir())
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more or "nothing"


def required_directory(who: str, directory: Path) -> Path:
    """The directory, or a :class:`~theorylab.errors.DataError` if there is none."""
    if not directory.is_dir():
        came = "a file" if directory.exists() else "nothing there"
        raise DataError(f"{who}: a directory is required, got {directory} ({came})")
    return directory


class Readable(Protocol):
    """A file, or a member of an archive: what readers need of a path."""

    @property
    def name(self) -> str: ...
    @property
    def suffix(self) -> str: ...
    def read_bytes(self) -> bytes: ...


@final
@dataclass(frozen=True)
class Member:
    """A file inside an archive, already read; nothing of the archive is written to disk."""

    archive: Path
    name: str
    data: bytes = field(repr=False)

    @property
    def suffix(self) -> str:
        """The file's ending, as of a path."""
        return PurePosixPath(self.name).suffix

    def read_bytes(self) -> bytes:
        """Its content."""
        return self.data

    def __str__(self) -> str:
        return f"{self.archive}:{self.name}"


Layout = tuple[str, tuple[str, ...]]


def find(who: str, place: Path, *layouts: Layout) -> Sequence[Readable]:
    """The files of the first layout that is there in full.

    A layout is the folder the published archive unpacks to, and its files: they may lie in that
    folder below ``place`` or in ``place`` itself; or ``place`` is the archive, a tar.

    Raises
    ------
    DataError
        Naming the layouts and what is missing or there instead.
    """
    if place.is_file():
        return _members(who, place, layouts)
    required_directory(who, place)
    partial = ""
    for folder, names in layouts:
        for base in (place / folder, place):
            there = [base / name for name in names]
            missing = [p.name for p in there if not p.is_file()]
            if not missing:
                return there
            if len(missing) < len(names):
                partial = f"; {base} lacks {', '.join(missing)}"
    raise DataError(
        f"{who}: {_wanted(layouts)} required (unpacked, or their tar), got {place} holding "
        f"{contents(place)}{partial}"
    )


def _wanted(layouts: Sequence[Layout]) -> str:
    return " or ".join(f"{folder}/ with {', '.join(names)}" for folder, names in layouts)


def _members(who: str, archive: Path, layouts: Sequence[Layout]) -> Sequence[Readable]:
    """The same out of a tar: only plain files of the very names asked for are read, in memory."""
    known = {f"{folder}/{name}" for folder, names in layouts for name in names}
    found: dict[str, Member] = {}
    try:
        with tarfile.open(archive, "r:*") as opened:
            for member in opened:
                # Where a member says it lies decides nothing but which of the known files it is.
                name = "/".join(PurePosixPath(member.name).parts[-2:])
                if not member.isreg() or name not in known:
                    continue
                if name in found or member.size > _LARGEST:
                    what = "twice" if name in found else f"with {member.size} bytes"
                    raise DataError(f"{who}: {archive} holds {name} {what}")
                stream = opened.extractfile(member)
                assert stream is not None
                found[name] = Member(archive, name, stream.read())
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{who}: {archive} is not a readable tar archive: {error}") from None
    partial = ""
    for folder, names in layouts:
        missing = [name for name in names if f"{folder}/{name}" not in found]
        if not missing:
            return [found[f"{folder}/{name}"] for name in names]
        if len(missing) < len(names):
            partial = f"; it lacks {', '.join(missing)}"
    raise DataError(f"{who}: {_wanted(layouts)} required in {archive}{partial}")


def read_bytes(who: str, path: Readable, multiple_of: int) -> bytes:
    """A file of whole records, ``multiple_of`` bytes each."""
    data = path.read_bytes()
    if not data or len(data) % multiple_of:
        raise DataError(
            f"{who}: {path} must hold records of {multiple_of} bytes, got {len(data)} bytes"
        )
    return data
