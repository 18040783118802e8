"""``verify --data``: the user's rows come first, keep their verdict, and are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from theorylab.cli import main
from theorylab.errors import UsageError
from theorylab.plugins.specs import objective_specs, with_parameters
from theorylab.studies.verify import verify


@pytest.fixture
def theorylab(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Any:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: Any) -> Any:
        monkeypatch.setattr("sys.argv", ["theorylab", *arguments])
        try:
            main()
            code: Any = 0
        except SystemExit as exit_:
            code = exit_.code or 0
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def mine(tmp_path: Path) -> Any:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 2))
    y = X @ [1.0, -1.0] + 0.3 * rng.standard_normal(40)
    np.savetxt(tmp_path / "mine.csv", np.column_stack([X, y]), delimiter=",", header="a,b,y",
               comments="")  # fmt: skip
    return tmp_path / "mine.csv"


def run(theorylab: Any, *arguments: Any) -> Any:
    code, out, err = theorylab("verify", *arguments, "--instances", "0", "--replicas", "16")
    assert code == 0, err
    return out


def test_every_objective_keeps_its_row_and_the_users_come_first(theorylab: Any, mine: Any) -> None:
    out = run(theorylab, "sngm.theorem_1", "--data", str(mine), "--json")
    for result in json.loads(out)["results"]:
        rows = result["objectives"]
        assert rows[0]["own"]
        assert rows[0]["objective"] == "mine"
        assert rows[0]["verdict"] != "not applicable"
        assert sum(row["own"] for row in rows) == 1
        assert len({row["objective"] for row in rows}) > 5


def test_the_loss_and_other_parameters_of_the_data_are_set(theorylab: Any, mine: Any) -> None:
    key = "hardt_recht_singer.theorem_3_8"
    plain = run(theorylab, key, "--data", str(mine), "--json")
    first = json.loads(plain)["results"][0]["objectives"][0]
    assert (first["own"], first["verdict"]) == (True, "not applicable")
    assert "mine is not convex" in first["reason"]
    chosen = run(theorylab, key, "--data", str(mine), "--set", "loss=logistic,scale=2", "--json")
    first = json.loads(chosen)["results"][0]["objectives"][0]
    assert (first["own"], first["objective"]) == (True, "mine")
    assert first["verdict"] != "not applicable"


def test_what_a_file_cannot_serve_is_named_with_the_reason(theorylab: Any, mine: Any) -> None:
    out = run(theorylab, "hardt_recht_singer.theorem_3_9", "--data", str(mine))
    text = " ".join(out.split())
    assert "On your data alone: mine" in text
    assert "not applicable" in text
    assert "strongly_convex" in text


def test_a_name_of_a_file_is_no_markup(theorylab: Any, mine: Any) -> None:
    odd = mine.rename(mine.with_name("a[red]b[bold].csv"))
    out = run(theorylab, "hardt_recht_singer.theorem_3_9", "--data", str(odd))
    assert "On your data alone: a[red]b[bold]" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--set", "los=welsch"),
            "data has no parameter 'los'; it has alpha, decimal, delimiter, header,",
        ),
        (("--set", "loss=hinge"), "unknown loss 'hinge'; known: squared"),
        (("--set", "scale=-1"), "scale must be a positive number"),
        (("--set", "scale"), "--set expects NAME=VALUE, got 'scale'"),
        (("--set", "source=digits"), "data has no parameter 'source'"),
    ],
)
def test_a_wrong_setting_is_one_line(
    theorylab: Any, mine: Any, arguments: Any, message: str
) -> None:
    code, out, err = theorylab("verify", "sngm.theorem_1", "--data", str(mine), *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.strip().count("\n") == 0


def test_settings_need_something_named(theorylab: Any) -> None:
    code, _, err = theorylab("verify", "sngm.theorem_1", "--set", "loss=welsch")
    assert code == 2
    assert "neither is given" in err


def test_from_python(mine: Any, tmp_path: Path) -> None:
    specs = objective_specs(data=str(mine), parameters={"loss": "welsch"})
    assert specs[0]["parameters"]["loss"] == "welsch"
    from bounds import sngm

    report = verify([sngm.theorem_1], specs[:3], instances=0, replicas=16, out=tmp_path,
                    progress=False)  # fmt: skip
    (own,) = report.checked[0].own
    assert (own.objective, own) == ("mine", report.checked[0].rows[0])
    with pytest.raises(UsageError, match="has no parameter 'dim'"):
        with_parameters(specs[0], {"dim": 3})


def test_a_familys_parameters_are_set_too(theorylab: Any) -> None:
    out = run(theorylab, "sngm.lemma_2", "--objective", "quadratic", "--set", "ell=7", "--json")
    assert json.loads(out)["results"]
