"""The judge is wrong no more often than it says, and this test can tell when it is not."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from theorylab.cli import build
from theorylab.judge import comparison
from theorylab.studies.calibration import CLAIMS, LAWS, calibrate

TRUE = [asked for asked in CLAIMS if asked.factor == 1]
HARD = [law for law in LAWS if not law.bounded or law.mean < 0.01]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_mean_of_each_law_is_exact(law: Any) -> None:
    """By the integral of the quantile over equal cells, refined towards 1 for the heavy tails."""
    edges = 1 - np.concatenate([[1.0], 10.0 ** -np.linspace(0.001, 15, 200_000), [0.0]])
    middle, width = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    if law.quantile(np.array([0.0]))[0] > law.quantile(np.array([0.5]))[0]:
        middle = 1 - middle  # chances sit at the low end
    tail = {"Pareto, index 1.1": 0.1, "squared Student t, 2.2 degrees": 0.1}.get(law.name, 1e-4)
    assert law.quantile(middle) @ width == pytest.approx(law.mean, rel=tail)


def test_the_judge_is_calibrated_and_has_power(tmp_path: Path) -> None:
    found = calibrate(LAWS, CLAIMS, repetitions=6, replicas=2048, out=tmp_path, progress=False)
    assert found.calibrated
    assert sum(row.wrong for row in found.rows) == 0
    decided = {(row.law, row.claim): row.right for row in found.rows}
    for claim in ("<= 0.95 mean", ">= 1.05 mean", "<= 1.05 mean"):
        assert decided["uniform on [0, 1]", claim] == 6
    for row in found.rows:
        if not row.certified:
            assert row.holds == 0  # nothing is known above
    page = found.markdown()
    assert "seed 0" in page
    assert all(law.name in page for law in LAWS)


def test_a_judge_that_trusts_student_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same cut with a Student interval in the place of the betting test."""

    def student(samples: Any, mean: Any, floor: float = 0.0) -> Any:
        n = samples.shape[-1]
        error = samples.std(-1, ddof=1) / math.sqrt(n)
        return -stats.t.logsf((samples.mean(-1) - mean) / error, n - 1)  # rejects as if won

    monkeypatch.setattr(comparison, "money_against", student)
    laws = [law for law in HARD if law.name.startswith(("squared", "Pareto"))]
    found = calibrate(laws, TRUE, repetitions=12, replicas=2048, out=tmp_path, progress=False)
    assert not found.calibrated


def test_the_command_prints_saves_and_fills_its_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- calibration -->\n<!-- end of calibration -->\nafter\n")
    options = ["--repetitions", "1", "--replicas", "64", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(build(), ["calibration", *options, "--page", str(page), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    kept = json.loads((tmp_path / "out" / "results.json").read_text())
    assert report == {name: kept[name] for name in kept if name != "sha256"}
    assert len(report["results"]) == len(LAWS) * len(CLAIMS)
    assert report["calibrated"] is True
    assert "| `<= mean` | true |" in page.read_text()
    table = CliRunner().invoke(build(), ["calibration", *options])
    assert "false verdicts: 0 of 48" in table.stdout
