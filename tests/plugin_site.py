"""A package of somebody's own, installed where only a child process finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

Environment = dict[str, str]


def install(root: Path, name: str, source: str, points: Mapping[str, Mapping[str, str]],
            modules: Mapping[str, str] | None = None) -> Environment:  # fmt: skip
    """Write the package ``name`` under ``root``, with entry points by group; its environment."""
    (root / name).mkdir(parents=True)
    (root / name / "__init__.py").write_text(source)
    for module, text in (modules or {}).items():
        (root / name / f"{module}.py").write_text(text)
    info = root / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    groups = (
        f"[theorylab.{group}]\n" + "".join(f"{key} = {value}\n" for key, value in table.items())
        for group, table in points.items()
    )
    (info / "entry_points.txt").write_text("".join(groups))
    return os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}


def theorylab(
    environment: Environment, *arguments: str, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """The command line, as it is with the package installed."""
    return subprocess.run([sys.executable, "-m", "theorylab", *arguments], env=environment,
                          capture_output=True, text=True, cwd=cwd, check=False)  # fmt: skip
