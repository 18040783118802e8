"""A study's report shows itself in every form, and refuses others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from theorylab.errors import UsageError
from theorylab.studies.report import Report


@dataclass(frozen=True)
class _Rows(Report):
    rows: tuple[tuple[str, float], ...]

    def to_pandas(self) -> Any:
        return pd.DataFrame(self.rows, columns=["key", "ratio"])

    def to_json(self) -> Any:
        return {"schema": 1, "results": [list(row) for row in self.rows]}


def test_a_report_is_saved_by_the_ending_of_its_name(tmp_path: Path) -> None:
    report = _Rows((("a_b", 0.5),))
    assert "a\\_b" in report.to_latex()
    for ending, part in ((".json", '"a_b"'), (".csv", "a_b,0.5"), (".tex", "a\\_b"),
                         (".html", "<td>a_b</td>")):  # fmt: skip
        path = report.save(tmp_path / "deep" / f"report{ending}")
        assert part in path.read_text()
    with pytest.raises(UsageError, match="\\.html"):
        report.save(tmp_path / "report.pdf")
    with pytest.raises(UsageError, match="cannot write"):
        report.save("/dev/null/report.csv")
