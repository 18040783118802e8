"""The errata page is what the results say, and nothing is written without them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from theorylab.cli import build
from theorylab.errors import UsageError
from theorylab.hunt.search import Hunt, Instance
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry
from theorylab.studies.errata import errata


def _report(verdict: Any) -> Any:
    """Results for one statement that has both forms."""
    table = registry.statements()
    key = next(k for k, form in table if form == "printed" and (k, "repaired") in table)
    rows = []
    for form, outcome in (("printed", verdict), ("repaired", "not refuted")):
        best = Verdict(key, form, "holds", 2.5, (2.5, 2.5), 2.0, 1.25)
        instance = Instance({"family": "quadratic", "parameters": {"dim": 1}}, {"eta": 0.5})
        rows.append(Hunt(key, form, outcome, best, instance, "cma", 17, 1.0).to_json())
    return {"results": rows, "confidence": 0.999}


@pytest.mark.parametrize("verdict", ["violated", "not refuted"])
def test_the_page_follows_the_results(verdict: str) -> None:
    report = _report(verdict)
    page = errata(report).markdown
    assert f"- **Verdict:** {verdict}" in page
    assert ("**Counterexample:** 2.5 against a bound of 2" in page) == (verdict == "violated")
    assert "**Tightness:** 1.25 on `quadratic(dim=1)` with eta = 0.5; not refuted" in page
    assert f"{int(verdict == 'violated')} of 1 printed statements are violated" in page
    assert errata(json.loads(json.dumps(report))).markdown == page
    report["results"][1]["best"]["evidence"] = "samples"
    assert "**Tightness:** ~1.25 on" in errata(report).markdown


def test_an_order_shows_the_size_that_was_measured() -> None:
    """Not the instance's own n: the data were resized, and T followed."""
    best = Verdict("lrsgd.theorem_4_3", "printed", "violated", 2.0, (2.0, 2.0), 0.01, 200.0,
                   constants={"n": 512.0, "ell": 1.0}, evidence="growth",
                   hyperparameters={"T": 5120.0, "c": 0.25}, growth=(0.8, 0.7, 0.9))  # fmt: skip
    instance = Instance({"family": "stability_twins", "parameters": {"n": 20}}, {"c": 0.25})
    row = Hunt("lrsgd.theorem_4_3", "printed", "violated", best, instance, "orders", 3, 1.0)
    page = errata({"results": [row.to_json()], "confidence": 0.999}).markdown
    assert "on `stability_twins()` with n = 512, T = 5120, c = 0.25" in page
    assert "n=20" not in page
    assert "violated (growth), found by a grid of its hyperparameters" in page


def test_the_scripts_lie_beside_the_page(tmp_path: Path) -> None:
    report = _report("violated")
    name = "hardt_recht_singer_theorem_3_12_printed_replay.py"
    written = {"script": None, "replay": f"counterexamples/{name}"}
    report["results"][0]["counterexample"] = written
    (tmp_path / "counterexamples").mkdir()
    (tmp_path / "counterexamples" / name).write_text("print(1)\n")
    (tmp_path / "results.json").write_text(json.dumps(report))
    page = tmp_path / "docs" / "errata.md"
    done = CliRunner().invoke(
        build(), ["errata", "--results", str(tmp_path / "results.json"), "--out", str(page)]
    )
    assert done.exit_code == 0, done.output
    assert f"measured again by `counterexamples/{name}`" in page.read_text()
    assert (page.parent / "counterexamples" / name).read_text() == "print(1)\n"


def test_a_later_run_of_some_statements_takes_their_place_and_is_named(tmp_path: Path) -> None:
    first, later = _report("violated"), _report("not refuted")
    key = later["results"][0]["key"]
    name = f"counterexamples/{key.replace('.', '_')}_printed_replay.py"
    first["results"][0]["counterexample"] = {"script": None, "replay": name}
    first["provenance"] = {"command": "theorylab falsify", "code": "0"}
    later["provenance"] = {"command": f"theorylab falsify {key}", "code": "1"}
    files = []
    for k, report in enumerate((first, later)):
        files += ["--results", str(tmp_path / f"{k}.json")]
        (tmp_path / f"{k}.json").write_text(json.dumps(report))
    done = CliRunner().invoke(build(), ["errata", *files, "--out", str(tmp_path / "page.md")])
    assert done.exit_code == 0, done.output  # the script of the row that is gone is not asked for
    page = (tmp_path / "page.md").read_text()
    assert (
        f"do not edit by hand.\nOf a later run (`theorylab falsify {key}`, code 1): `{key}`.\n\n"
        in page
    )
    assert "- **Verdict:** not refuted" in page
    assert "0 of 1 printed statements are violated" in page
    told = CliRunner().invoke(
        build(), ["errata", *files, "--out", str(tmp_path / "again.md"), "--json"]
    )
    assert json.loads(told.stdout)["later"] == [
        {"command": f"theorylab falsify {key}", "code": "1", "keys": [key]}
    ]
    assert (tmp_path / "again.md").read_text() == page
    assert "wrong with probability at most 0.002," in page  # of two runs


DOCS = Path(__file__).parent.parent / "docs"


def test_every_script_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"counterexamples/\w+\.py", (DOCS / "errata.md").read_text()))
    assert named
    assert named == {f"counterexamples/{p.name}" for p in (DOCS / "counterexamples").glob("*.py")}


def _scripts() -> Iterator[Any]:
    for path in sorted((DOCS / "counterexamples").glob("*.py")):
        slow = pytest.mark.slow if path.stem.endswith("_replay") else ()
        yield pytest.param(path, marks=slow, id=path.stem)


@pytest.mark.parametrize("path", list(_scripts()))
def test_every_counterexample_shows_its_violation(path: Any, tmp_path: Path) -> None:
    # Those for numpy alone run where nothing of this project is importable.
    flags = [] if path.stem.endswith("_replay") else ["-I"]
    done = subprocess.run([sys.executable, *flags, str(path)], capture_output=True, text=True,
                          cwd=tmp_path, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"lhs = |measured = ", done.stdout)


def test_no_results_no_page(tmp_path: Path) -> None:
    found = CliRunner().invoke(
        build(),
        ["errata", "--results", str(tmp_path / "none.json"), "--out", str(tmp_path / "e.md")],
    )
    assert isinstance(found.exception, UsageError)
    assert "falsify" in str(found.exception)
    assert not (tmp_path / "e.md").exists()
