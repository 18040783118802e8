"""Decoded images kept beside their source's hash, so that decoding happens once."""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from theorylab.errors import UsageError
from theorylab.plugins.files import clear_leftovers, writing
from theorylab.regular import regular, regular_bytes

__all__ = ["cached", "default_cache", "fingerprint"]

_READ = 16 * 2**30  # bytes of a folder that are read to know it


def default_cache() -> Path:
    """``$THEORYLAB_CACHE``, or ``theorylab`` in the user's cache directory."""
    if named := os.environ.get("THEORYLAB_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "theorylab"


def fingerprint(source: Path, files: Iterable[Path] = ()) -> str:
    """A hash of the source: of a file's content, or of the names and contents of a folder's files.

    Of more than 16 GiB, names, sizes and times of change stand for the contents; the hash then
    begins with ``listing-``.
    """
    digest = hashlib.sha256()
    if source.is_file():
        with regular(source) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:32]
    named = [(path.relative_to(source).as_posix(), path) for path in files]
    listed = sum(path.stat().st_size for _, path in named) > _READ
    for name, path in named:
        status = path.stat()
        digest.update(repr((name, status.st_size)).encode())
        digest.update(repr(status.st_mtime_ns).encode() if listed else regular_bytes(path))
    return ("listing-" if listed else "") + digest.hexdigest()[:32]


def cached(
    directory: Path, key: str, make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """``make()``, or what it gave last time under ``key``.

    Written to a temporary file and renamed, so that a killed run leaves no half file; a damaged
    file is made again. Where nothing can be written, a warning says so and the result is given.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for _ in range(2):
    ...     found = cached(folder, "abc", lambda: print("made") or {"x": np.arange(3)})
    made
    """
    path = directory / f"{key}.npz"
    if path.is_file():
        try:
            # Opened here: numpy leaves a file it cannot read open.
            with regular(path) as stream, np.load(stream, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            pass  # damaged: make it again
    arrays = dict(make())
    clear_leftovers(directory)
    try:
        with writing(path) as out:
            np.savez(out, **arrays)  # type: ignore[arg-type]  # numpy's stub
    except UsageError as error:
        warnings.warn(f"decoded images are not kept: {error}", stacklevel=2)
    return arrays
