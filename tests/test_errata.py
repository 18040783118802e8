"""The errata page is what the results say, and nothing is written without them."""

import json

import pytest
from typer.testing import CliRunner

from theorylab import registry
from theorylab.cli import build
from theorylab.cli.errata import errata
from theorylab.errors import UsageError
from theorylab.falsify import Hunt, Instance
from theorylab.verdict import Verdict


def _report(verdict):
    rows = []
    for form in ("printed", "repaired"):
        key = next(k for k, f in registry.statements() if f == "repaired")
        if (key, form) not in registry.statements():
            continue
        best = Verdict(key, form, "holds", 2.5, (2.5, 2.5), 2.0, 1.25)
        instance = Instance({"family": "quadratic", "parameters": {"dim": 1}}, {"eta": 0.5})
        outcome = verdict if form == "printed" else "not refuted"
        rows.append(Hunt(key, form, outcome, best, instance, "cma", 17, 1.0).to_json())
    return {"results": rows, "confidence": 0.999}


@pytest.mark.parametrize("verdict", ["violated", "not refuted"])
def test_the_page_follows_the_results(verdict):
    key = next(k for k, f in registry.statements() if f == "printed"
               and (k, "repaired") in registry.statements())  # fmt: skip
    report = _report(verdict)
    for row in report["results"]:
        row["key"] = key
    if len(report["results"]) == 1:
        report["results"] = [dict(report["results"][0], form=f, verdict=v)
                             for f, v in (("printed", verdict), ("repaired", "not refuted"))]  # fmt: skip
    page = errata(report)
    assert f"- **Verdict:** {verdict}" in page
    assert ("**Counterexample:** 2.5 against a bound of 2" in page) == (verdict == "violated")
    assert "**Tightness:** 1.25 on `quadratic(dim=1)` with eta = 0.5; not refuted" in page
    assert f"{int(verdict == 'violated')} of 1 printed statements are violated" in page
    assert errata(json.loads(json.dumps(report))) == page


def test_no_results_no_page(tmp_path):
    found = CliRunner().invoke(
        build(),
        ["errata", "--results", str(tmp_path / "none.json"), "--out", str(tmp_path / "e.md")],
    )
    assert isinstance(found.exception, UsageError)
    assert "falsify" in str(found.exception)
    assert not (tmp_path / "e.md").exists()
