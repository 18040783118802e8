"""Keys, names and foreign files never become paths or source text that does something."""

import ast
import json
import math
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from typer.testing import CliRunner

from bounds import Claim, Statement
from bounds.notation import beta
from bounds.symbol import Symbol
from theorylab.cli import build
from theorylab.errors import UsageError
from theorylab.hunt import counterexample
from theorylab.hunt.instance import Instance
from theorylab.studies.errata import write_errata
from theorylab.studies.falsify import falsify

CLAIM = Claim(1 / (1 - beta), "<=", 3)


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(build(), list(arguments))
    assert isinstance(result.exception, UsageError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.mark.parametrize(
    "key",
    ["", "nodot", "/etc/x.y", "../../x.y", "a.b/c", 'a."b', "a.b\nimport os", "a.[bold]", "a..b",
     "a.b ", "ä.b", None],
)  # fmt: skip
def test_a_key_names_a_paper_and_a_label_and_nothing_else(key: Any) -> None:
    with pytest.raises(ValueError, match=r"a key is PAPER\.LABEL") as caught:
        Statement(key, "Remark", "printed", CLAIM)
    assert "\n" not in str(caught.value)


def test_a_form_and_a_sense_are_known_ones() -> None:
    form: Any = "printed\nimport os"
    with pytest.raises(ValueError, match="a form is one of"):
        Statement("demo.false", "Remark", form, CLAIM)
    for sense in ("!=", "<", ""):
        odd: Any = sense
        with pytest.raises(ValueError, match="a claim's sense is one of"):
            Claim(beta, odd, 3)


@pytest.mark.parametrize("name", ['x"""\nimport os', "x\\N{BULLET}", "x\x00", "import os; x"])
def test_a_symbols_name_never_is_code(name: str) -> None:
    odd = Symbol(name, "anything", beta.domain, beta.units)
    mine = Statement("demo.odd", "Remark", "printed", Claim(odd, "<=", sp.Integer(3)))
    text = counterexample.replay(mine, Instance(None, {name: 0.5}))
    assert ast.dump(ast.parse(text)).count("Import") == 2  # those of the template
    described = counterexample._ascii(mine.claim)
    assert ast.literal_eval(f'"""{described}"""') == described


def test_a_replay_imports_nothing_that_lies_beside_it(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "theorylab.py").write_text(f"open({str(ran)!r}, 'w')\n")
    path = tmp_path / "demo_replay.py"
    path.write_text("import theorylab\n")
    assert counterexample._shows_it(path, "-P")
    assert not ran.exists()


def test_a_script_that_does_not_end_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counterexample, "_SECONDS", 0.2)
    path = tmp_path / "demo.py"
    path.write_text("while True: pass\n")
    assert not counterexample._shows_it(path, "-I")
    assert not path.exists()


@pytest.fixture
def hunted(tmp_path: Path) -> Any:
    """The results of a hunt that found a counterexample, and their table."""
    out = tmp_path / "results"
    mine = Statement("demo.false", "Remark", "printed", CLAIM)
    report = falsify([mine], limit=20, out=out, write=True, progress=False)
    return report.save(out / "results.json"), report.to_json()


@pytest.mark.parametrize(
    "name", ["../victim.txt", "/VICTIM", "counterexamples/../../victim.txt",
             "counterexamples/other.py"]
)  # fmt: skip
def test_errata_writes_no_path_that_foreign_results_name(
    hunted: Any, tmp_path: Path, name: str
) -> None:
    path, table = hunted
    out = tmp_path / "docs" / "errata.md"
    write_errata(path, out)
    script = table["results"][0]["counterexample"]["script"]
    assert (out.parent / script).read_bytes() == (path.parent / script).read_bytes()
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    table["results"][0]["counterexample"]["script"] = name.replace("/VICTIM", str(victim))
    path.write_text(json.dumps(table))
    with pytest.raises(UsageError, match=r"the script of 'demo\.false' cannot be"):
        write_errata(path, out)
    assert victim.read_text() == "mine"


def test_errata_does_not_write_through_a_link(hunted: Any, tmp_path: Path) -> None:
    path, table = hunted
    out = tmp_path / "docs" / "errata.md"
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    target = out.parent / table["results"][0]["counterexample"]["script"]
    target.parent.mkdir(parents=True)
    target.symlink_to(victim)
    write_errata(path, out)
    assert victim.read_text() == "mine"


def test_what_the_paper_or_the_statement_leaves_out_is_said() -> None:
    said = refused("verify", "sngm.lemma_2", "--paper", "tralgo")
    assert said == "sngm.lemma_2 is not in the paper tralgo: leave --paper out"
    said = refused("falsify", "sngm", "--paper", "tralgo")
    assert said == "sngm is not in the paper tralgo: leave --paper out"
    theorem = "hardt_recht_singer.theorem_3_8"
    said = refused("stability", "--rule", "trsgd", "--statement", theorem)
    assert said == f"--rule trsgd: {theorem} speaks of sgd alone"
    said = refused("stability", "--rule", "sgd,trsgd", "--statement", theorem)
    assert said == f"--rule trsgd: {theorem} speaks of sgd alone"
    assert "unknown rule" in refused("stability", "--rule", "sdg", "--statement", theorem)


@pytest.mark.parametrize(
    "text",
    ["poly:nan", "poly:inf", "poly:1:2:3:4", "poly:1,2", "constant:5",
     "staircase:0.5:nan", "staircase:nan", "exponential:inf", "poly:", "", ":"],
)  # fmt: skip
def test_a_schedule_takes_its_own_arguments_alone(text: str, tmp_path: Path) -> None:
    said = refused("train", "--schedule", text, "--out", str(tmp_path))
    assert "schedule" in said


def test_schedules_that_are_meant_still_work() -> None:
    from deep.schedules import schedule

    for text in ("constant", "poly", "poly:0", "poly:1.1", "sigmoid:0", "staircase:0.5,0.75",
                 "staircase:0.5:2", "exponential:0"):  # fmt: skip
        assert math.isfinite(float(schedule(text, 1.0, 10)(3)))
