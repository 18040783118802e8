"""Checkpoints that are whole or absent, and loaded without running anything."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch

from theorylab.errors import DataError

__all__ = ["load", "save"]


def save(path: Path, state: Any) -> None:
    """Write ``state`` to a temporary file beside ``path``, flush it to disk, rename it.

    Whenever the process dies, ``path`` holds the previous checkpoint or this one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: Path) -> Any | None:
    """What :func:`save` wrote, or ``None`` where there is no file.

    Loaded with ``weights_only=True``: a file from outside cannot run code. Tensors come on the CPU,
    where generators' states must be; whoever takes the others moves them.

    Raises
    ------
    DataError
        If the file cannot be read as tensors and plain values.
    """
    if not path.is_file():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a checkpoint of this program: {reason}") from error
