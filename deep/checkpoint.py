"""Checkpoints that are whole or set aside, and loaded without running anything."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, final

import torch

from theorylab.errors import DataError
from theorylab.plugins.files import set_aside, writing
from theorylab.plugins.sealed import Damaged, opened, read_bytes, seal
from theorylab.plugins.store import write_json
from theorylab.regular import regular_bytes

__all__ = ["load", "load_weights", "own_folder", "resume", "save"]

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
        stream.write(seal(hashed.digest.hexdigest()))


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
        body = opened(read_bytes(path))
    except FileNotFoundError:
        return None
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


def own_folder(
    base: Path, settings: Mapping[str, Any], made: Mapping[str, str], *, inside: bool = False,
    first: bool = True,
) -> Path:  # fmt: skip
    """The folder that a run is kept in: ``base``, or one beside it if ``base`` holds another run.

    ``run.json`` says which run a folder holds: its settings, and what it was made with.

    Parameters
    ----------
    base : Path
    settings, made : mapping
        What determines the run, JSON-ready.
    inside : bool
        Whether the other folder lies in ``base``, not beside it.
    first : bool
        Whether this process may write; the others choose the same.
    """
    run = json.loads(json.dumps({"settings": settings, "made": made}))
    if _held(base) not in (None, run):
        digest = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()[:8]
        base = base / f"run-{digest}" if inside else base.with_name(f"{base.name}-{digest}")
    if first and _held(base) != run:
        write_json(base / "run.json", run)
    return base


def _held(folder: Path) -> Any | None:
    try:
        return json.loads(regular_bytes(folder / "run.json"))
    except (OSError, ValueError, RecursionError):
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
        if not path.is_file():
            return None
        body = opened(regular_bytes(path), required=False)
        return torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except Damaged as error:
        raise DataError(f"{path} is not a checkpoint of this program: {error}") from None
    except _ODD as error:
        raise DataError(f"{path} is not a checkpoint of this program: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
