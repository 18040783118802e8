"""C compiled to a shared library, kept on disk by its text and the machine."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

__all__ = ["build", "folder", "identity", "library", "vector_bytes"]

_FLAGS = ("-O3", "-march=native", "-std=gnu11", "-fPIC", "-shared", "-fopenmp-simd", "-w",
          "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")  # fmt: skip


@cache
def _scratch() -> str:
    """A folder for this process alone."""
    folder = tempfile.mkdtemp(prefix="theorylab-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _ours(folder: Path) -> bool:
    """Whether this user alone can put code into the folder, made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = folder.stat()
    except OSError:  # no home to keep things in
        return False
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)


@cache
def _machine() -> str:
    """What machine code depends on."""
    flags = ""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))),
                     "")  # fmt: skip
    return "\n".join((platform.machine(), platform.system(), flags or platform.node()))


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def vector_bytes(length: int) -> int:
    """How wide vectors should be for loops over so many bytes.

    What is left over of a wide vector costs more than narrow ones: at 80 bytes, 64 at once take a
    quarter longer than 32 at once.

    >>> vector_bytes(0), max(vector_bytes(80), 32)
    (16, 32)
    """
    if not length or platform.machine() not in ("x86_64", "AMD64"):
        return 16
    return next(w for w in (64, 32, 16) if length % w == 0 or length >= 2 * w or w == 16)


def _flags(length: int) -> tuple[str, ...]:
    """The compiler's flags for loops over so many bytes."""
    if not length or platform.machine() not in ("x86_64", "AMD64"):
        return _FLAGS
    return (*_FLAGS, f"-mprefer-vector-width={8 * vector_bytes(length)}")


def folder() -> Path:
    """Where compiled code and what was measured of this machine are kept."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = root / "theorylab" / "kernels"
    return kept if _ours(kept) else Path(_scratch())


def identity(*more: str) -> str:
    """A name for the machine, its compiler, and whatever else is told."""
    told = "\n".join((*more, *_compiler(), _machine()))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def build(text: str, where: Path, flags: Sequence[str] = _FLAGS) -> Path:
    """A C text compiled to a shared library in the folder ``where``.

    Raises
    ------
    RuntimeError
        If the compiler refuses it.
    OSError
        If there is no compiler, or nowhere to write.
    """
    source, made = where / "step.c", where / "step.so"
    source.write_text(text, encoding="utf-8")
    done = subprocess.run([*_compiler(), *flags, str(source), "-o", str(made), "-lm"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{_compiler()[0]}: {done.stderr.strip() or done.returncode}")
    return made


def library(text: str, length: int = 0) -> ctypes.CDLL:
    """The shared library of a C text, compiled or as it was kept.

    Parameters
    ----------
    text : str
    length : int
        Bytes that most of its loops go over, if known.

    Raises
    ------
    RuntimeError, OSError
        As :func:`build` does.
    """
    flags, kept = _flags(length), folder()
    path = kept / f"{identity(text, *flags)}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=kept) as scratch:
            build(text, Path(scratch), flags).replace(path)
    return ctypes.CDLL(str(path))
