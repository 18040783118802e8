"""What a user may type: one clear line, and no traceback, whatever the option and the value."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bounds.statement import DomainError
from theorylab.cli import build
from theorylab.errors import UsageError

OWN = ("theorylab", "deep", "paper_figures")
STUDIES = (
    "theorylab.studies.verify:verify", "theorylab.studies.falsify:falsify",
    "theorylab.studies.power:power", "theorylab.studies.stability:stability",
    "theorylab.studies.calibration:calibrate", "theorylab.studies.worst_case:worst_cases",
    "theorylab.studies.units:units", "deep.study:train_study", "deep.study:twin_study",
    "deep.experiments:compare", "paper_figures.theory:each", "paper_figures.exhibits:produce_each",
)  # fmt: skip
VALUES = (
    "0", "-1", "1", "2", "nan", "inf", "1e400", "-1e400", "99999999999999999999", "0.5", "", " ",
    "abc", "[bold]x[/]", "[/]", "'\"", "../../x", "/nonexistent/x", "cuda:9", "meta", "\udcff",
    "2,3", ",", "0,-1", "a=b", "=", "a=", "x=nan", "ell=1e400", "dim=99999999999", "tcp://:0",
    "sngm", "sngm.lemma_2", "quadratic", "digits", "lenet", "sgd", "poly:nan", "staircase:x",
)  # fmt: skip


class Reached(Exception):
    """The study itself would begin."""


def reached(*arguments: Any, **options: Any) -> Any:
    raise Reached


@pytest.fixture
def studies_begin_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands parse, check and call; the call ends there, wherever its name was imported to."""
    monkeypatch.chdir(tmp_path)
    options()  # every command is imported before names are replaced, so that all are put back
    for where in STUDIES:
        module, _, name = where.partition(":")
        real = getattr(importlib.import_module(module), name)
        for other in [m for n, m in sys.modules.items() if n.split(".")[0] in OWN]:
            for attribute in [a for a, value in vars(other).items() if value is real]:
                monkeypatch.setattr(other, attribute, reached)


def outcome(arguments: list[str]) -> str:
    """How a command line ends: what is accepted, or refused in one line; all else fails."""
    done = CliRunner().invoke(build(), arguments)
    error = done.exception
    if isinstance(error, Reached):
        return "accepted"
    if error is None or (isinstance(error, SystemExit) and error.code in (0, 1, 2)):
        assert "Traceback" not in done.output, arguments
        return f"exit {done.exit_code}"
    # ``main`` makes one line and exit code 2 of these.
    if isinstance(error, UsageError | DomainError):
        said = str(error.args[0] if error.args else error)
        assert said.strip(), arguments
        assert "\n" not in said, arguments
        return "refused"
    if isinstance(error, OSError):
        return "refused"
    raise AssertionError(f"{shlex.join(arguments)}: {type(error).__name__}: {error}") from error


def options() -> dict[str, list[str]]:
    """Every option of every command whose work is one of the studies, as typer declares them."""
    group: Any = typer.main.get_command(build())
    context: Any = typer.main.get_command(build()).make_context("theorylab", ["statements"])
    found = {}
    for name in ("verify", "falsify", "power", "stability", "calibration", "worst-case", "units",
                 "statements", "train", "compare", "figure", "errata"):  # fmt: skip
        _, command, _ = group.resolve_command(context, [name])
        found[name] = ["" if p.param_type_name == "argument" else p.opts[0]
                       for p in command.params if p.name != "help"]  # fmt: skip
    return found


@st.composite
def command_lines(draw: Any, table: dict[str, list[str]]) -> list[str]:
    name = draw(st.sampled_from(sorted(table)))
    line = [name]
    for option in draw(st.lists(st.sampled_from(table[name]), max_size=4)):
        value = draw(st.one_of(st.sampled_from(VALUES), st.text(max_size=6)))
        line += [value] if not option else [f"{option}={value}"]
    return line


def fuzz(examples: int, seed: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    table = options()

    @settings(max_examples=examples, deadline=None, database=None, derandomize=seed == 0,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(command_lines(table))
    def attack(line: list[str]) -> None:
        counts[outcome(line)] += 1

    attack()
    return counts


def test_a_hundred_and_fifty_command_lines_make_no_traceback(
    studies_begin_nothing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = fuzz(150, 0)
    with capsys.disabled():
        print(f"\nfuzzed command lines: {dict(counts)}")
    assert counts.total() >= 150
    assert counts["accepted"] > 5
    assert counts["refused"] + counts["exit 2"] > 20


@pytest.mark.slow
def test_thousands_of_command_lines_make_no_traceback(
    studies_begin_nothing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = fuzz(3000, 1)
    with capsys.disabled():
        print(f"\nfuzzed command lines: {dict(counts)}")
    assert counts.total() >= 3000


TRAIN = "train --model two_conv --steps 1 --batch-size 8 --evaluations 1"
REFUSED = {
    f"{TRAIN} --device meta": "--device must be cpu, cuda or auto",
    f"{TRAIN} --device mps": "--device must be cpu, cuda or auto",
    f"{TRAIN} --measures 1": "measures must be 0 or at least 2",
    f"{TRAIN} --dropout 2": "network 'two_conv' with dropout=2.0",
    f"{TRAIN} --schedule poly:nan": "arguments must be finite",
    f"{TRAIN} --schedule poly:1:2:3:4": "too many arguments",
    f"{TRAIN} --schedule constant:5": "too many arguments",
    f"{TRAIN} --schedule poly:1,2": "too many arguments",
    f"{TRAIN} --set momentum=abc": "momentum must be a number",
    "compare --data digits --batch-sizes 0 --budget 0": "batch_size must be positive",
    "verify sngm.lemma_2 --objective quadratic --set dim=1e12": "not enough memory",
    "verify sngm.lemma_2 --paper lrsgd": "is not in the paper lrsgd",
    "statements --paper lrsgd sngm.lemma_2": "is not in the paper lrsgd",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_is_refused_in_a_line(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(build(), shlex.split(line))
    assert isinstance(done.exception, UsageError), done.exception
    assert REFUSED[line] in str(done.exception)


def test_more_evaluations_than_steps_are_one_a_step(tmp_path: Path) -> None:
    from deep.settings import Settings
    from deep.training import Trainer, load_data

    chosen = Settings(model="two_conv", steps=4, batch_size=8, evaluations=10**12, train_samples=32)
    assert Trainer(chosen, load_data(chosen))._due == [1, 2, 3, 4]
