"""``theorylab new``: what it writes installs, and is verified at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from theorylab.cli import main
from theorylab.errors import UsageError
from theorylab.studies.skeleton import skeleton


@pytest.mark.parametrize("name", [
    "", "..", "../up", "a/b", "/tmp/a", "a b", "a-b", "1a", "Upper", "_hidden", "é", "a\n", "a.b",
    "class", "match", "json", "theorylab", "bounds", "sngm", "sgd", "~", "$HOME", "a;b",
    "a'b", "{x}",
])  # fmt: skip
def test_a_name_that_is_none_writes_nothing(name: str, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(UsageError, match="new: "):
        skeleton(name, inner)
    assert [p.name for p in tmp_path.rglob("*")] == ["inner"]


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    for name in ("folder", "file", "link"):
        place = tmp_path / name
        {"folder": place.mkdir, "file": place.touch}.get(
            name, lambda place=place: place.symlink_to(tmp_path / "nowhere")
        )()
        with pytest.raises(UsageError, match="exists already"):
            skeleton(name, tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder", "link"]


def test_the_command_says_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["theorylab", "new", "mytheory", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    table = json.loads(capsys.readouterr().out)
    assert sorted(table["files"]) == sorted(
        p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()
    )


@pytest.mark.slow
def test_it_installs_and_is_verified_at_once(tmp_path: Path) -> None:
    made = skeleton("mytheory", tmp_path)
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (site,) = home.glob("lib/python*/site-packages")
    root = Path(__file__).parent.parent
    others = [p for p in sys.path if "site-packages" in p]
    (site / "dependencies.pth").write_text("\n".join([str(root), *others]) + "\n")

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps",
        "--no-build-isolation", "--no-index", str(made))  # fmt: skip
    theorylab = (str(python), "-m", "theorylab")
    assert "mytheory.theorem_1" in run(*theorylab, "statements", "--paper", "mytheory")
    found = json.loads(run(*theorylab, "verify", "mytheory", "--json", "--out", "run"))
    assert {row["key"] for row in found["results"]} == {"mytheory.theorem_1"}
    assert {row["verdict"] for row in found["results"]} <= {"holds", "not refuted"}
    assert "5 passed" in run(str(python), "-m", "pytest", "-q", str(made))
