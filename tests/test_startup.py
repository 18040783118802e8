"""What is imported before anything is run: torch takes seconds, and most commands need none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import theorylab
from bounds import Condition
from bounds.notation import ell, eta
from theorylab.cli import command_line, main
from theorylab.plugins import code, registry
from theorylab.plugins import listing as listed
from theorylab.studies.verify import check_cell

HEAVY = {"torch", "sympy", "scipy", "pandas", "matplotlib", "sklearn", "joblib", "numpy"}
PRINTED = "print('|', *sys.modules)"
CALLED = f"""
import atexit, sys
sys.argv[0] = "theorylab"
atexit.register(lambda: {PRINTED})
from theorylab.cli import main
main()
"""
COMPLETED = {"_THEORYLAB_COMPLETE": "complete_bash", "COMP_CWORD": "1"}


def imported(program: str, *arguments: str, **environment: str) -> set[str]:
    """The heavy packages that a process has imported when it ends."""
    return ended(program, *arguments, **environment)[1]


def ended(program: str, *arguments: str, **environment: str) -> tuple[str, set[str]]:
    """What a process prints, and the heavy packages that it has imported when it ends."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True,
                          text=True, check=False, env={**os.environ, **environment})  # fmt: skip
    assert "|" in done.stdout, done.stderr
    said, modules = done.stdout.rsplit("|", 1)
    return said, set(modules.split()) & HEAVY


def test_the_package_imports_nothing_before_it_is_asked() -> None:
    assert imported(f"import sys, theorylab; {PRINTED}") == set()
    assert "torch" in imported(f"import sys, theorylab; theorylab.run; {PRINTED}")


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("verify", "--help")])
def test_help_imports_nothing(arguments: tuple[str, ...]) -> None:
    assert imported(CALLED, *arguments) == set()


def test_completion_of_a_command_imports_nothing() -> None:
    said, modules = ended(CALLED, **COMPLETED, COMP_WORDS="theorylab ver")
    assert said.split() == ["verify"]
    assert modules == set()


def test_commands_run_one_after_another_until_one_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(line: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["theorylab", *line.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().out.split()

    version = theorylab.__version__
    assert run("--version --then --version --then --version") == (0, [version] * 3)
    assert run("--version --then statements no.such --then --version") == (2, [version])
    assert run("--version --then statements --no-such-option") == (2, [version])
    seen: list[list[str]] = []
    monkeypatch.setattr("theorylab.cli._run", lambda: seen.append(sys.argv[1:]))
    monkeypatch.setattr(sys, "argv", ["theorylab", "a", "--x", "--then", "b", "--then", "c", "d"])
    main()
    assert seen == [["a", "--x"], ["b"], ["c", "d"]]  # what a result's provenance tells


@pytest.mark.parametrize("arguments", [("statements",), ("statements", "sngm.theorem_1")])
def test_statements_are_listed_without_torch(arguments: tuple[str, ...]) -> None:
    assert not imported(CALLED, *arguments) & {"torch", "pandas", "scipy"}


def test_a_second_list_and_a_second_tab_import_no_sympy(tmp_path: Path) -> None:
    here = {"XDG_CACHE_HOME": str(tmp_path), "COLUMNS": "100"}
    first, second = (ended(CALLED, "statements", "--form", "printed", **here) for _ in range(2))
    assert "sympy" in first[1]
    assert second == (first[0], set())
    words = {"COMP_WORDS": "theorylab verify sngm.theorem_", "COMP_CWORD": "2"}
    said, modules = ended(CALLED, **{**COMPLETED, **words, **here})
    assert {"sngm.theorem_1", "sngm.theorem_2"} <= set(said.split())
    assert modules == set()


@pytest.mark.parametrize(
    ("command", "option", "word", "whole"),
    [("verify", "--objective", "quadratic_g", "quadratic_game"),
     ("verify", "--paper", "hardt", "hardt_recht_singer"), ("figure", "--preset", "sm", "smoke"),
     ("figure", "--style", "th", "thesis"), ("train", "--optimizer", "sngm", "sngm")],
)  # fmt: skip
def test_options_that_take_a_name_complete_it(
    command: str, option: str, word: str, whole: str
) -> None:
    called = command_line(command)
    (named,) = [parameter for parameter in called.params if option in parameter.opts]
    with called.make_context(command, [], resilient_parsing=True) as context:
        assert [item.value for item in named.shell_complete(context, word)] == [whole]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a list was kept that says nothing but lies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = listed.listing()
    assert [(s.key, s.form) for s in first.values()] == list(registry.statements())
    (path,) = (tmp_path / "theorylab" / "statements").iterdir()
    table = json.loads(path.read_text())
    table["statements"] = table["statements"][:1]
    path.write_text(json.dumps(table))
    assert len(listed.listing()) == 1  # it is read
    return path


def test_a_list_of_other_code_is_not_believed(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edited.py").write_text("STATEMENTS = ()\n")
    sources = listed._sources

    def edited(package: str) -> list[Path]:
        return [*sources(package), tmp_path / "edited.py"]

    monkeypatch.setattr(listed, "_sources", edited)
    assert len(listed.listing()) == len(registry.statements())
    assert len(json.loads(kept.read_text())["statements"]) == len(registry.statements())
    (tmp_path / "edited.py").write_text("STATEMENTS = (1,)\n")
    before = json.loads(kept.read_text())["digest"]
    listed.listing()
    assert json.loads(kept.read_text())["digest"] != before


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"digest": 1}', "[" * 100_000,
                                    '{"digest": "DIGEST", "statements": [{"key": 1}]}',
                                    '{"digest": "DIGEST", "statements": [{"key": 1, "form": "",'
                                    ' "rule": "", "claim": "", "consistent": true}]}'],
                         ids=len)  # fmt: skip
def test_a_damaged_list_is_made_anew(kept: Path, damage: str) -> None:
    kept.write_text(damage.replace("DIGEST", str(listed._digest())))
    assert len(listed.listing()) == len(registry.statements())


def test_a_list_without_a_plug_in_that_fails_is_not_kept(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = registry.statements

    def complaining() -> Any:
        registry.leave_out("statements", "mine = mine", f"it fails for {kept}")
        return real()

    kept.unlink()
    monkeypatch.setattr(registry, "statements", complaining)
    assert len(listed.listing()) == len(real())
    assert not kept.exists()


def test_a_list_that_cannot_be_kept_is_shown(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(listed.listing()) == len(registry.statements())


@pytest.mark.parametrize("name", theorylab.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(theorylab, name) is getattr(theorylab, name)
    assert name in dir(theorylab)


def test_any_other_name_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'theorylab' has no attribute 'verify_all'"):
        theorylab.verify_all  # type: ignore[attr-defined] # noqa: B018


def test_digests_of_many_cells_read_what_is_installed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(code, name)

        def call(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            return real(*arguments, **options)

        return call

    for cached in (code._digest, code.code_behind, code._plugged, code._version):
        cached.cache_clear()
    for name in ("entry_points", "version"):
        monkeypatch.setattr(code, name, counted(name))
    keys = list(dict.fromkeys(key for key, _ in registry.statements()))[:6]
    families = list(registry.families())[:6]
    found = {
        code.code_of(check_cell, {"key": key, "objective": {"family": family}})
        for key in keys
        for family in families
    }
    assert len(found) > len(keys)
    assert calls["entry_points"] <= len(code._GROUPS)
    assert calls["version"] <= len(code._NUMERICS)


def test_a_condition_is_written_out_once() -> None:
    condition = Condition(eta, "<=", 1 / ell)
    assert str(condition) is str(condition)
    assert condition.measured is condition.measured
