"""``theorylab conformance`` and its pytest plug-in: what somebody else's code does is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_optimizer import SETTINGS, Plain
from test_cli import call

from theorylab.conformance import Claims, Conformance, Finding, conform
from theorylab.conformance.registry import CHECKS
from theorylab.conformance.target import Target, found_in, parse_settings, subject_at
from theorylab.conformance.worker import conform_targets
from theorylab.errors import UsageError

TROUBLE = """
import os
import torch

class Halts(torch.optim.SGD):
    def step(self, closure=None):
        print("noise on stdout")
        os._exit(3)

class Exits(torch.optim.SGD):
    def __repr__(self):
        raise SystemExit(4)

class Hangs(torch.optim.SGD):
    def __repr__(self):
        while True:
            pass

class Ends(torch.optim.SGD):
    def __repr__(self):
        os._exit(5)

class Needs(torch.optim.SGD):
    def __init__(self, params, lam, lr=0.1):
        super().__init__(params, lr)
"""


@pytest.fixture
def trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "trouble.py").write_text(TROUBLE)
    (tmp_path / "halts.py").write_text("import os; os._exit(7)")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def findings(name: str, *only: str, limit: float = 20.0) -> list[Finding]:
    *found, report = conform_targets([Target(f"trouble:{name}")], only, limit)
    assert isinstance(report, Conformance)
    assert list(report.findings) == found
    return list(report.findings)


@pytest.mark.slow
def test_what_ends_the_process_ends_one_check(trouble: Path) -> None:
    before, during, after = findings("Ends", "hooks_run", "shows_itself", "unknown_argument")
    assert [f.outcome for f in (before, during, after)] == ["passed", "failed", "passed"]
    assert during.detail == "required that it returns; it ended the process (exit code 5)"


@pytest.mark.slow
def test_a_first_step_that_ends_the_process_is_reported(trouble: Path) -> None:
    found = findings("Halts", "hooks_run", "shows_itself")
    assert [f.outcome for f in found] == ["failed", "failed"]
    assert "exit code 3" in found[0].detail


@pytest.mark.slow
def test_exits_and_endless_loops_are_reported(trouble: Path) -> None:
    (found,) = findings("Exits", "shows_itself")
    assert found.detail == "required that it returns; it exited with 4"
    (found,) = findings("Hangs", "shows_itself", limit=2.0)
    assert found.detail == "required an end; none came in 2 s of computing"


def test_an_endless_loop_in_a_check_ends() -> None:
    class Hangs(Plain):
        def __repr__(self) -> str:
            while True:
                pass

    report = conform(Hangs, settings=SETTINGS, only=["shows_itself", "hooks_run"], limit=6.0,
                     progress=False)  # fmt: skip
    outcomes = {found.check: found.outcome for found in report}
    assert outcomes == {"hooks_run": "passed", "shows_itself": "failed"}
    assert "required an end" in report.of("failed")[0].detail


def test_of_what_takes_no_step_one_check_fails() -> None:
    class Crashes(Plain):
        def step(self, closure: Any = None) -> Any:
            raise KeyError("state")

    report = conform(Crashes, settings=SETTINGS, only=["invariance", "hooks_run"], progress=False)
    assert report.counts["failed"] == 1
    assert report.findings[0].detail == "no step of it can be taken: KeyError: 'state'"
    assert not report.passed


def test_declared_limitations_are_told_from_failures_and_must_last() -> None:
    class Hides(Plain):
        def __repr__(self) -> str:
            return ""

    claims = Claims(limitations={"shows_itself": "on purpose", "hooks_run": "never"})
    report = conform(Hides, claims, settings=SETTINGS, only=["shows_itself", "hooks_run"],
                     progress=False)  # fmt: skip
    outcomes = {found.check: found.outcome for found in report}
    assert outcomes == {"shows_itself": "limited", "hooks_run": "failed"}


def test_a_report_is_a_table_a_page_and_a_file(tmp_path: Path) -> None:
    report = conform(torch.optim.SGD, only=["hooks_run", "maximize"], progress=False)
    assert report.to_pandas()["outcome"].tolist() == ["passed", "passed"]
    assert "hooks_run" in report._repr_html_()
    assert r"hooks\_run" in report.to_latex()
    saved = json.loads(report.save(tmp_path / "report.json").read_text())
    assert saved["passed"] is True
    assert [row["check"] for row in saved["results"]] == ["hooks_run", "maximize"]


def test_the_callers_torch_is_left_as_it_was() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    conform(torch.optim.SGD, only=["hooks_run", "repeats"], progress=False)
    assert torch.equal(torch.rand(2), wanted)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["torch.optim:Sgd"], "torch.optim has no 'Sgd'"),
        (["nosuchmodule:Sgd"], "nosuchmodule cannot be imported"),
        (["halts:Sgd"], "exit code 7"),
        (["trouble:Needs"], "trouble:Needs needs lam: give the settings (--set lam=...)"),
        (["torch.optim:SGD", "--set", "rate=3"], "takes no argument 'rate'"),
        (["torch.optim:SGD", "--claim", "decay=l2"], "decay must be coupled or decoupled"),
    ],
)
@pytest.mark.slow
def test_mistakes_are_one_line(
    arguments: list[str], wanted: str, trouble: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code, out, err = call(monkeypatch, capsys, "conformance", *arguments)
    assert code == 2
    assert wanted in err
    assert len(err.strip().splitlines()) == 1
    assert not out


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], "name an optimizer"),
        (["torch.optim:SGD", "--only", "hooks"], "unknown check 'hooks'"),
    ],
)
def test_mistakes_that_need_no_import(
    arguments: list[str], wanted: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code, _, err = call(monkeypatch, capsys, "conformance", *arguments)
    assert code == 2
    assert wanted in err


def test_the_checks_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(monkeypatch, capsys, "conformance", "--list", "--json")
    assert code == 0
    listed = json.loads(out)
    assert [row["check"] for row in listed] == list(CHECKS)
    assert all(row["requires"].endswith(".") for row in listed)
    page = (Path(__file__).parent.parent / "docs/conformance.md").read_text()
    for row in listed:
        assert f"| `{row['check']}` | {row['requires']} |" in page


@pytest.mark.slow
def test_the_command_prints_json_and_its_exit_code_tells(
    trouble: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("conformance", "torch.optim:Rprop", "--json", "--only")
    code, out, _ = call(monkeypatch, capsys, *arguments, "hooks_run")
    assert code == 0
    assert json.loads(out)["counts"]["passed"] == 1
    code, out, _ = call(monkeypatch, capsys, "conformance", "trouble:Exits", "--json", "--only",
                        "shows_itself")  # fmt: skip
    assert code == 1
    assert json.loads(out)["passed"] is False


def test_settings_are_read_and_never_run() -> None:
    assert parse_settings("lr=1e-3, nesterov=True, mode=fast") == {
        "lr": 1e-3, "nesterov": True, "mode": "fast",
    }  # fmt: skip
    for text in ("lr=__import__('os')", "lr", "**{}", "lr=1)(", "1"):
        with pytest.raises(UsageError, match="--set"):
            parse_settings(text)


def test_torchs_optimizers_are_found_and_known() -> None:
    paths = found_in("torch.optim")
    assert "torch.optim:Adam" in paths
    assert "torch.optim:Optimizer" not in paths
    assert subject_at(Target("torch.optim:Adam", "lr=0.5")).settings == {"lr": 0.5}


TESTS = """
import torch
from theorylab.conformance import conformance_test

test_sgd = conformance_test(torch.optim.SGD, only=["hooks_run", "scale_invariance"])

class Hides(torch.optim.SGD):
    def __repr__(self):
        return ""

def test_by_fixture(conformance):
    conformance(Hides, only=["shows_itself", "hooks_run"])
"""


@pytest.mark.slow
def test_a_third_partys_tests(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "theorylab_pytest", "-rs", "test_mine.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "1 failed, 1 passed, 1 skipped" in done.stdout
    assert "shows_itself: required its name in repr()" in done.stdout
    assert "not applicable: invariance to scale is not claimed" in done.stdout


def test_the_plug_in_costs_those_who_do_not_ask_nothing() -> None:
    code = "import theorylab_pytest, sys; print({'torch', 'theorylab', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
