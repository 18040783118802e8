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
def test_the_page_follows_the_results(verdict):
    report = _report(verdict)
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
