"""What is imported before anything is run: torch takes seconds, and most commands need none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import theorylab

HEAVY = {"torch", "sympy", "scipy", "pandas", "matplotlib", "sklearn", "joblib", "numpy"}
PRINTED = "print('|', *sys.modules)"
CALLED = f"""
import atexit, sys
atexit.register(lambda: {PRINTED})
from theorylab.cli import main
main()
"""
COMPLETED = {"_THEORYLAB_COMPLETE": "complete_bash", "COMP_CWORD": "1"}


def imported(program: str, *arguments: str, **environment: str) -> set[str]:
    """The heavy packages that a process has imported when it ends."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True,
                          text=True, check=False, env={**os.environ, **environment})  # fmt: skip
    assert "|" in done.stdout, done.stderr
    return set(done.stdout.rsplit("|", 1)[1].split()) & HEAVY


def test_the_package_imports_nothing_before_it_is_asked() -> None:
    assert imported(f"import sys, theorylab; {PRINTED}") == set()
    assert "torch" in imported(f"import sys, theorylab; theorylab.run; {PRINTED}")


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("verify", "--help")])
def test_help_imports_nothing(arguments: tuple[str, ...]) -> None:
    assert imported(CALLED, *arguments) == set()


def test_completion_of_a_command_imports_nothing() -> None:
    assert imported(CALLED, **COMPLETED, COMP_WORDS="theorylab ver") == (set())


@pytest.mark.parametrize("arguments", [("statements",), ("statements", "sngm.theorem_1")])
def test_statements_are_listed_without_torch(arguments: tuple[str, ...]) -> None:
    assert not imported(CALLED, *arguments) & {"torch", "pandas", "scipy"}


@pytest.mark.parametrize("name", theorylab.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(theorylab, name) is getattr(theorylab, name)
    assert name in dir(theorylab)


def test_any_other_name_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'theorylab' has no attribute 'verify_all'"):
        theorylab.verify_all  # type: ignore[attr-defined] # noqa: B018
