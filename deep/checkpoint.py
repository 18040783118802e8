"""Checkpoints that are whole or set aside, and loaded without running anything."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, final

import torch

from theorylab.errors import DataError
from theorylab.plugins.files import set_aside, writing
from theorylab.plugins.store import Damaged

__all__ = ["load", "load_weights", "resume", "save"]

_SEAL = b"\ntheorylab checkpoint, sha256 "
_LENGTH = len(_SEAL) + 64 + 1  # the checksum in hex, and a line's end
_ODD = (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError,
        AttributeError, AssertionError, pickle.UnpicklingError)  # fmt: skip


def save(path: Path, state: Any) -> None:
    """Write ``state`` to a temporary file beside ``path``, flush it to disk, rename it.

    Whenever the process dies, ``path`` holds the previous checkpoint or this one. A checksum of
    all its bytes follows the content, which ``torch.load`` reads as before.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    with writing(path) as stream:
        hashed = _Hashed(stream)
        try:
            torch.save(state, hashed)  # type: ignore[arg-type]  # it writes, and no more
        except RuntimeError:
            if hashed.failure is not None:  # a full disk, which torch reports in its own words
                raise hashed.failure from None
            raise
        stream.write(_SEAL + hashed.digest.hexdigest().encode() + b"\n")


@final
class _Hashed:
    """A stream that keeps the digest of what passes through."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.digest = hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            written = self.stream.write(data)
        except OSError as error:
            self.failure = error
            raise
        self.digest.update(data)
        return written

    def flush(self) -> None:
        self.stream.flush()


def load(path: Path) -> Any | None:
    """What :func:`save` wrote, or ``None`` where there is no file.

    Loaded with ``weights_only=True``: a file from outside cannot run code. Tensors come on the CPU,
    where generators' states must be; whoever takes the others moves them.

    Raises
    ------
    Damaged
        If the file is not what :func:`save` wrote, byte for byte.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(f"it cannot be read: {error.strerror or error}") from None
    body, seal = memoryview(data)[:-_LENGTH], data[-_LENGTH:]
    if not seal.startswith(_SEAL):
        raise Damaged("it has no checksum")
    if seal != _SEAL + hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise Damaged("its checksum does not fit")
    try:
        return torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except _ODD as error:
        raise Damaged(_reason(error)) from None


def resume(path: Path, made: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The state to go on from; ``None`` where there is none that can be trusted.

    A checkpoint that is damaged, or of other data or code than ``made`` says, is set aside with a
    line on stderr: the run starts anew.

    Parameters
    ----------
    path : Path
    made : mapping of str to str
        What a state must hold under ``"made"``: digests by the name of what they are of.
    """
    try:
        state = load(path)
    except Damaged as error:
        state, why, reason = None, "damaged", str(error)
    else:
        if state is None:
            return None
        theirs = state.get("made") if isinstance(state, Mapping) else None
        known = theirs if isinstance(theirs, Mapping) else {}
        other = [name for name, digest in made.items() if known.get(name) != digest]
        if not other:
            return dict(state)
        why, reason = "other", f"it was made with other {' and other '.join(other)}"
    target = set_aside(path, why)
    print(f"{path} is set aside, as {target.name}, and the run starts anew: {reason}",
          file=sys.stderr)  # fmt: skip
    return None


def load_weights(path: Path) -> Any | None:
    """A ``state_dict`` that a user's own program may have saved, or ``None`` without a file.

    Loaded with ``weights_only=True``, as :func:`load` does, with or without a checksum.

    Raises
    ------
    DataError
        If the file cannot be read as tensors and plain values, or its checksum does not fit.
    """
    try:
        data = path.read_bytes() if path.is_file() else None
        if data is None:
            return None
        if data[-_LENGTH:].startswith(_SEAL):
            return load(path)
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Damaged as error:
        raise DataError(f"{path} is not a checkpoint of this program: {error}") from None
    except _ODD as error:
        raise DataError(f"{path} is not a checkpoint of this program: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
