"""The command line as a person meets it: tables, JSON, one clear line for a mistake."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bounds.claim import DomainError
from theorylab.cli import main
from theorylab.plugins import registry


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: Any
) -> Any:
    """Exit code, stdout and stderr of ``theorylab ARGUMENTS``."""
    monkeypatch.setattr("sys.argv", ["theorylab", *arguments])
    try:
        main()
        code: Any = 0
    except SystemExit as exit_:
        code = exit_.code or 0
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def theorylab(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Any:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: call(monkeypatch, capsys, *arguments)


def test_statements_json_lists_every_paper(theorylab: Any) -> None:
    code, out, err = theorylab("statements", "--json")
    assert code == 0, err
    listed = {(s["key"], s["form"]) for s in json.loads(out)["statements"]}
    assert listed == set(registry.statements())
    papers = {key.split(".")[0] for key, _ in listed}
    assert {"tralgo", "lrsgd", "sngm", "stochastic_batch_size"} <= papers


def test_a_statement_is_shown_in_full(theorylab: Any) -> None:
    code, out, _ = theorylab("statements", "sngm.theorem_1")
    assert code == 0
    assert "Theorem 1" in out


def test_verify_writes_what_it_prints(theorylab: Any, tmp_path: Path) -> None:
    arguments = ("verify", "sngm.lemma_2", "--objective", "quadratic", "--replicas", "16", "--json")
    code, out, _ = theorylab(*arguments, "--seed", "3")
    assert code == 0
    report = json.loads(out)
    assert report["schema"] == 1
    stored = json.loads((tmp_path / "results/verify/results.json").read_text())
    assert stored["results"] == report["results"]
    assert {(r["key"], r["form"]) for r in report["results"]} == {
        ("sngm.lemma_2", "printed"), ("sngm.lemma_2", "repaired"),
    }  # fmt: skip
    assert all(r["seed"] == 3 and len(r["interval"]) == 2 for r in report["results"])


def test_results_are_the_same_bits_for_any_number_of_jobs(theorylab: Any) -> None:
    arguments = ("verify", "sngm.theorem_1", "--replicas", "32", "--json")
    _, one, _ = theorylab(*arguments, "--out", "a", "--objective", "quadratic", "--jobs", "1")
    _, two, _ = theorylab(*arguments, "--out", "b", "--objective", "quadratic", "--jobs", "2")
    assert json.loads(one)["results"] == json.loads(two)["results"]


def test_results_are_the_same_bits_for_any_memory(theorylab: Any) -> None:
    arguments = ("verify", "sngm.lemma_2", "--replicas", "16", "--json")
    _, one, _ = theorylab(*arguments, "--out", "a", "--memory", "800M")
    _, two, _ = theorylab(*arguments, "--out", "b", "--memory", "8G")
    assert json.loads(one)["results"] == json.loads(two)["results"]


@pytest.mark.parametrize(
    "command", ["verify", "falsify", "power", "stability", "figure", "calibration"]
)
def test_every_command_that_runs_takes_a_memory(theorylab: Any, command: str) -> None:
    code, out, err = theorylab(command, "--memory", "12X")
    assert (code, out) == (2, "")
    assert err == "error: memory is a number of bytes, or as 800M or 2G, got '12X'\n"


def test_a_finished_run_is_not_done_again(theorylab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("verify", "sngm.lemma_2", "--objective", "quadratic", "--replicas", "16", "--json")
    _, first, _ = theorylab(*arguments)

    def refuse(cell: Any, sent: Any = ()) -> None:
        raise AssertionError("computed again")

    refuse.__module__ = "theorylab.studies.verify"  # the same code behind the cell
    monkeypatch.setattr("theorylab.studies.verify.check_cell", refuse)
    code, again, _ = theorylab(*arguments)
    assert code == 0
    assert json.loads(again)["results"] == json.loads(first)["results"]


def test_a_spent_budget_refutes_nothing(theorylab: Any) -> None:
    code, out, _ = theorylab("verify", "--paper", "sngm", "--budget", "0", "--json")
    assert code == 0
    verdicts = {r["verdict"] for r in json.loads(out)["results"]}
    assert verdicts <= {"not refuted", "not applicable"}


BAD_FILES = {
    "text.csv": "a,b,y\n1,2,3\n4,oops,6\n",
    "nan.csv": "1,2,3\n4,nan,6\n",
    "one.csv": "1\n2\n3\n",
    "empty.csv": "",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_gets_one_clear_line(theorylab: Any, tmp_path: Path, name: Any) -> None:
    (tmp_path / name).write_text(BAD_FILES[name])
    code, out, err = theorylab("verify", "--data", name)
    assert code == 2
    assert out == ""
    assert name in err
    assert "Traceback" not in err
    assert err.strip().count("\n") == 0


REPORTS = {
    "list.json": [], "other.json": {}, "three.json": {"results": 3}, "empty.json": {"results": []},
    "verify.json": {"results": [{"key": "sngm.lemma_2", "form": "printed", "verdict": "holds"}]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify", "sngm.theorem_9"), "sngm.theorem_1"),
        (("verify", "--paper", "nobody"), "unknown paper 'nobody'"),
        (("verify", "--objective", "nothing"), "unknown objective 'nothing'"),
        (("verify", "--data", "missing.csv"), "missing.csv"),
        (("verify", "lrsgd.theorem_3_4", "--objective", "quadratic"), "lrsgd.theorem_3_4"),
        (("verify", "--data", "digits", "--objective", "quadratic"), "not both"),
        (("verify", "sngm.lemma_2", "--out", "/dev/null/x"), "cannot write"),
        (("units", "--no-attack", "--out", "file"), "cannot write file/results.json"),
        (("worst-case", "sngm.lemma_2", "--out", "file"), "cannot write file/results.json"),
        (("train", "--out", "file"), "cannot write file/results.json"),
        (("gan", "--out", "file"), "cannot write file/results.json"),
        (("errata", "--results", "empty.json", "--out", "folder"), "folder: Is a directory"),
        (("verify", "--paper", "sngm", "--out", "taken"), "cannot write taken/results.json"),
        (("errata", "--results", "folder"), "folder cannot be read"),
        (("errata", "--results", "binary.json"), "binary.json is not JSON"),
        (("errata", "--results", "list.json"), "list.json is not what"),
        (("errata", "--results", "other.json"), "KeyError: 'results'"),
        (("errata", "--results", "three.json"), "three.json is not what"),
        (("errata", "--results", "verify.json"), "verify.json is not what"),
        (("figure-stability", "folder"), "folder cannot be read"),
        (("figure-stability", "binary.json"), "binary.json is not JSON"),
        (("figure-stability", "list.json"), "list.json is not what"),
        (("figure-stability", "verify.json"), "verify.json is not what"),
        (("worst-case", "tralgo.theorem_1", "--set", "ete=1"), "can be set: B, Bf, G, T"),
        (("worst-case", "tralgo.theorem_1", "--set", "eta=1"), "prescribes eta = 1/(2*ell)"),
        (("worst-case", "tralgo.theorem_1", "--set", "T=1e300"), "at most 1e+12, got 'T=1e300'"),
        (("worst-case", "tralgo.theorem_1", "--set", "T=nan"), "at most 1e+12, got 'T=nan'"),
        (("power", "--seed", "4294967295", "--seeds", "1"), "at most 4294967295"),
        (("stability", "--steps", ""), "--steps: a value is required"),
        (("stability", "--c", "inf"), "--c must be positive"),
        (("verify", "--paper", "sgnm"), "did you mean sngm?"),
        (("verify", "--data", "breast_cancr"), "did you mean breast_cancer?"),
    ],
)
def test_a_mistake_is_one_line_and_a_nonzero_exit(
    theorylab: Any, tmp_path: Path, arguments: Any, message: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "taken" / "results.json").mkdir(parents=True)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for name, table in REPORTS.items():
        (tmp_path / name).write_text(json.dumps(table))
    code, out, err = theorylab(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert err.strip().count("\n") == 0


def test_a_value_outside_the_domain_names_condition_and_value() -> None:
    with pytest.raises(DomainError, match=r"eta .*must lie in \(0, inf\), got -0\.1"):
        registry.statement("sngm.theorem_1").bound(
            {"eta": -0.1, "beta": 0.5, "T": 10, "L": 1, "Delta": 1, "sigma": 1, "B": 1}
        )


def test_bound_takes_arrays() -> None:
    etas = np.array([0.1, 0.2, 0.4])
    values = {"beta": 0.0, "T": 10, "L": 1, "Delta": 1, "sigma": 0, "B": 1}
    bound = registry.statement("sngm.theorem_1").bound({"eta": etas, **values})
    np.testing.assert_allclose(bound, 2 / (10 * etas) + etas)


@pytest.mark.parametrize(
    "arguments",
    [
        ("falsify", "--seed", "4294967296"),
        ("power", "--seed", "4294967296"),
        ("worst-case", "--seed", "4294967296"),
        ("train", "--seed", "9223372036854775808"),
        ("gan", "--seed", "9223372036854775808"),
        ("falsify", "--budget", "nan"),
        ("power", "--budget", "nan"),
        ("statements", "--form", "nonsense"),
    ],
)
def test_a_value_out_of_range_is_refused(theorylab: Any, arguments: Any) -> None:
    code, out, err = theorylab(*arguments)
    assert code == 2
    assert out == ""
    assert f"Invalid value for '{arguments[1]}'" in err


@pytest.mark.parametrize("command", ["falsify", "power"])
def test_a_hunt_must_end(theorylab: Any, command: str) -> None:
    code, out, err = theorylab(command, "--budget", "inf")
    assert (code, out) == (2, "")
    assert f"{command}: budget must be finite, got inf" in err


def test_an_interrupt_says_what_is_kept(theorylab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("theorylab.studies.units.units", interrupt)
    code, _, err = theorylab("units")
    assert code == 130
    assert err.startswith("interrupted; finished work is kept")
    assert err.count("\n") == 1

    monkeypatch.setattr(registry, "plugins", interrupt)
    assert theorylab("units")[::2] == (130, err)
