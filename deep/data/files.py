"""Finding and reading files a user names, with errors that say who needed what and what came."""

from __future__ import annotations

from pathlib import Path

from theorylab.errors import DataError

__all__ = ["contents", "find", "read_bytes", "required_directory"]


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


def find(who: str, directory: Path, *layouts: tuple[str, tuple[str, ...]]) -> list[Path]:
    """The files of the first layout that is there in full.

    A layout is the folder the published archive unpacks to, and its files: they may lie in that
    folder below ``directory`` or in ``directory`` itself.

    Raises
    ------
    DataError
        Naming the layouts and what is missing or there instead.
    """
    required_directory(who, directory)
    partial = ""
    for folder, names in layouts:
        for base in (directory / folder, directory):
            there = [base / name for name in names]
            missing = [p.name for p in there if not p.is_file()]
            if not missing:
                return there
            if len(missing) < len(names):
                partial = f"; {base} lacks {', '.join(missing)}"
    wanted = " or ".join(f"{folder}/ with {', '.join(names)}" for folder, names in layouts)
    raise DataError(
        f"{who}: {wanted} required (unpacked), got {directory} holding {contents(directory)}"
        + partial
    )


def read_bytes(who: str, path: Path, multiple_of: int) -> bytes:
    """A file of whole records, ``multiple_of`` bytes each."""
    data = path.read_bytes()
    if not data or len(data) % multiple_of:
        raise DataError(
            f"{who}: {path} must hold records of {multiple_of} bytes, got {len(data)} bytes"
        )
    return data
