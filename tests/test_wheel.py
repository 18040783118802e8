"""The built wheel, in an empty environment, in a folder that is not the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import theorylab

ROOT = Path(__file__).parent.parent
PACKAGES = ("bounds", "theorylab", "synthetic", "deep", "paper_figures")


def _project() -> Mapping[str, Any]:
    found: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return found


def test_the_version_has_one_place() -> None:
    table = _project()
    assert "version" not in table["project"]
    assert table["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "theorylab.__version__"}
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited[1] == theorylab.__version__


def test_every_package_says_that_it_is_typed() -> None:
    data = _project()["tool"]["setuptools"]["package-data"]
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").is_file(), package
        assert "py.typed" in data[package], package


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and, by a .pth file, what the wheel depends on."""
    source = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, "README.md", "LICENSE", "pyproject.toml"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name,
                            ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
        else:
            shutil.copy(ROOT / name, source / name)
    wheels = tmp_path_factory.mktemp("wheels")
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", wheels, source, cwd=wheels)  # fmt: skip
    (wheel,) = wheels.glob("*.whl")
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    (site,) = home.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        for package in PACKAGES:
            assert f"{package}/py.typed" in archive.namelist()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    python = home / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
         "--no-index", wheel, cwd=wheels)  # fmt: skip
    others = [p for p in sys.path if "site-packages" in p]
    (site / "dependencies.pth").write_text("\n".join(others) + "\n")
    return home


@pytest.mark.slow
def test_the_readmes_example_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    out = _run(installed / "bin" / "python", "-c", code, cwd=tmp_path)
    assert [line.split(": ")[1].split(",")[0] for line in out.splitlines()] == [
        "holds (exact law)", "not refuted (samples)",
    ]  # fmt: skip
    where = "import deep, paper_figures, theorylab; print(theorylab.__file__)"
    told = _run(installed / "bin" / "python", "-c", where, cwd=tmp_path)
    assert Path(told.strip()).is_relative_to(installed)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [
    ("--version",), ("statements", "sngm.lemma_1"), ("verify", "sngm.lemma_1", "--out", "run"),
    ("figure", "--list"), ("units", "--paper", "sngm"),
])  # fmt: skip
def test_commands_run_from_the_wheel(
    installed: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert _run(installed / "bin" / "theorylab", *arguments, cwd=tmp_path)
