"""Where a result came from: command, versions, code digest, data hash."""

from __future__ import annotations

import hashlib
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from theorylab.regular import regular

__all__ = ["code_digest", "file_digest", "provenance", "run_of"]

_PACKAGES = ("bounds", "theorylab", "synthetic", "deep")
_GROUPS = ("statements", "rules", "objectives", "quantities", "networks", "datasets")
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
        "versions": {"python": platform.python_version()} | {n: _version(n) for n in _VERSIONS},
        "code": code_digest(),
        **details,
    }


def run_of(made: Mapping[str, Any]) -> list[Any]:
    """What names the run that made a result: two runs that differ in it keep files of their own.

    >>> run_of({"command": "theorylab verify", "seed": 3, "time": "now"})
    ['theorylab verify', 3, None, None]
    """
    return [made.get(name) for name in ("command", "seed", "data", "preset")]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "not installed"


@cache
def code_digest() -> str:
    """A digest of the source of theorylab and of every plug-in.

    Results of other code are not reused: an edited theorem of a user's is checked anew.
    """
    plugins = {
        point.module.split(".")[0]
        for group in _GROUPS
        for point in entry_points(group=f"theorylab.{group}")
    }
    digest = hashlib.sha256()
    for name in (*_PACKAGES, *sorted(plugins - set(_PACKAGES))):
        spec = find_spec(name)
        if spec is None:
            continue  # the registry says which plug-in does not load
        files = [
            (path.relative_to(folder).as_posix(), path)
            for folder in spec.submodule_search_locations or ()
            for path in sorted(Path(folder).rglob("*.py"))
        ]
        if not files and spec.origin:
            files = [(name, Path(spec.origin))]
        for label, path in files:
            digest.update(label.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def file_digest(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
