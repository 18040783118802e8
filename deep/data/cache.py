"""Decoded images kept beside their source's hash, so that decoding happens once."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

__all__ = ["cached", "default_cache", "fingerprint"]


def default_cache() -> Path:
    """``$THEORYLAB_CACHE``, or ``theorylab`` in the user's cache directory."""
    if named := os.environ.get("THEORYLAB_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "theorylab"


def fingerprint(source: Path, files: Iterable[Path] = ()) -> str:
    """A hash that changes with the source: a file's content, or a folder's names, sizes, times."""
    digest = hashlib.sha256()
    if source.is_file():
        with source.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
    for path in files:
        status = path.stat()
        entry = (path.relative_to(source).as_posix(), status.st_size, status.st_mtime_ns)
        digest.update(repr(entry).encode())
    return digest.hexdigest()


def cached(
    directory: Path, key: str, make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """``make()``, or what it gave last time under ``key``.

    Written to a temporary file and renamed, so that a killed run leaves no half file; a damaged
    file is made again. Where nothing can be written, a warning says so and the result is given.

    >>> folder = Path(tempfile.mkdtemp())
    >>> for _ in range(2):
    ...     found = cached(folder, "abc", lambda: print("made") or {"x": np.arange(3)})
    made
    """
    path = directory / f"{key}.npz"
    if path.is_file():
        try:
            # Opened here: numpy leaves a file it cannot read open.
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            pass  # damaged: make it again
    arrays = dict(make())
    temporary = None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, suffix=".part", delete=False) as part:
            temporary = Path(part.name)
            np.savez(part, **arrays)  # type: ignore[arg-type]  # numpy's stub
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        warnings.warn(f"decoded images are not kept in {directory}: {error}", stacklevel=2)
    return arrays
