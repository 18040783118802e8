"""The registered statements as a list shows them, kept on disk: writing them out takes seconds.

What is kept counts for as long as the packages that register statements, this one and sympy are
byte for byte what they were.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, final

from theorylab.errors import UsageError
from theorylab.plugins import registry
from theorylab.plugins.files import write_text

if TYPE_CHECKING:
    from bounds.statement import Form

__all__ = ["Listed", "listing"]


@final
@dataclass(frozen=True)
class Listed:
    """A statement as a list shows it.

    Attributes
    ----------
    key, rule, claim : str
        ``rule`` is empty where no algorithm is run.
    form : "printed" or "repaired"
    consistent : bool
        Whether both sides of the claim have the same units.
    """

    key: str
    form: Form
    rule: str
    claim: str
    consistent: bool


def listing() -> Mapping[tuple[str, Form], Listed]:
    """Every registered statement by ``(key, form)``, in the registry's order.

    Examples
    --------
    >>> listing()["sngm.theorem_1", "printed"].rule
    'sngm'
    """
    digest = _digest()
    path = _place()
    found = None if digest is None else _read(path, digest)
    if found is None:
        complaints = registry.leave_out.cache_info().currsize
        found = [
            Listed(s.key, s.form, s.algorithm.rule if s.algorithm else "", str(s.claim),
                   s.units == "consistent")
            for s in registry.statements().values()
        ]  # fmt: skip
        # What is left out is named each time.
        if digest is not None and registry.leave_out.cache_info().currsize == complaints:
            table = {"digest": digest, "statements": [asdict(entry) for entry in found]}
            with contextlib.suppress(UsageError, OSError):  # no place to keep things in
                write_text(path, json.dumps(table))
    return {(entry.key, entry.form): entry for entry in found}


def _place() -> Path:
    """One file for each installation of Python."""
    try:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        root = Path(sys.prefix)
    installation = hashlib.sha256(sys.prefix.encode()).hexdigest()[:16]
    return root / "theorylab" / "statements" / f"{installation}.json"


def _read(path: Path, digest: str) -> list[Listed] | None:
    """What was kept under this digest; ``None`` where it is absent, damaged or of other code."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        found = [Listed(**entry) for entry in table["statements"]]
        sound = all(
            all(isinstance(x, str) for x in (s.key, s.rule, s.claim))
            and s.form in ("printed", "repaired") and isinstance(s.consistent, bool)
            for s in found
        )  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if sound and table["digest"] == digest else None


def _digest() -> str | None:
    """Of all that the list is made of; ``None`` where a part of it cannot be found."""
    digest = hashlib.sha256(sys.version.encode())
    packages = {"theorylab.plugins"}
    for point in registry.points("statements"):
        digest.update(f"{point.name} = {point.value}\n".encode())
        packages.add(point.value.split(":")[0].split(".")[0].strip())
    try:
        digest.update(version("sympy").encode())
        for package in sorted(packages):
            for path in _sources(package):
                digest.update(f"{package} {path.name} ".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    except (PackageNotFoundError, ImportError, OSError, ValueError):
        return None
    return digest.hexdigest()


def _sources(package: str) -> list[Path]:
    """Every source file of a package, or the file of a module."""
    spec = find_spec(package)
    if spec is None:
        raise ImportError(package)
    if spec.submodule_search_locations is None:
        return [Path(spec.origin)] if spec.origin else []
    return sorted(p for folder in spec.submodule_search_locations
                  for p in Path(folder).rglob("*.py"))  # fmt: skip
