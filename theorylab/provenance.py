"""Where a result came from: command, versions, code digest, data hash."""

from __future__ import annotations

import hashlib
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["code_digest", "file_digest", "provenance"]

_PACKAGES = ("bounds", "theorylab", "synthetic", "deep")
_VERSIONS = ("theorylab", "numpy", "scipy", "sympy", "torch")


def provenance(**details: Any) -> Mapping[str, Any]:
    """The command, the time, the versions and the code that make a result; plus ``details``.

    >>> sorted(provenance(seed=3))
    ['code', 'command', 'machine', 'seed', 'time', 'versions']
    """
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {
        "command": command,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | {n: version(n) for n in _VERSIONS},
        "code": code_digest(),
        **details,
    }


@cache
def code_digest() -> str:
    """A digest of the source of the installed packages: results of other code are not reused."""
    digest = hashlib.sha256()
    for name in _PACKAGES:
        spec = find_spec(name)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(path.relative_to(folder).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def file_digest(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
