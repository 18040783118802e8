"""A budget in seconds is kept, by a clock that only the work moves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bounds import Claim, Statement, sngm
from bounds.notation import beta
from synthetic import quadratic
from theorylab import progress
from theorylab.exact import refutation
from theorylab.hunt.instance import Instance
from theorylab.hunt.search import hunt
from theorylab.judge.check import check
from theorylab.plugins.store import Store
from theorylab.studies import falsify as study
from theorylab.studies.compute import compute
from theorylab.studies.falsify import UNHUNTED, falsify

BOWL = [{"family": "quadratic", "parameters": {"dim": 2, "noise": "two_point", "sigma": 0.5}}]
STEP = 1.0  # seconds that the cheapest measurement takes, and one program
FALSE = [
    Statement(f"demo.false_{k}", f"Remark {k}", "printed", Claim(1 / (1 - beta), "<=", 3))
    for k in range(5)
]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "monotonic", found)
    return found


@pytest.fixture
def slow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Each measurement costs what its replicas do; its verdict is that of a few."""
    plain = Instance.check
    known: dict[str, Any] = {}

    def check(self: Instance, statement: Statement, **options: Any) -> Any:
        clock.now += STEP * options["replicas"] / 128
        key = repr((statement.key, self))
        if key not in known:
            known[key] = plain(self, statement, replicas=2, effort=1e3)
        return replace(known[key], replicas=options["replicas"])

    def program(*_: Any) -> Any:
        clock.now += STEP
        raise KeyError

    monkeypatch.setattr(Instance, "check", check)
    monkeypatch.setattr(refutation, "worst_case", program)
    return clock


@pytest.mark.parametrize("statement", [sngm.theorem_1, sngm.lemma_2], ids=lambda s: s.key)
@pytest.mark.parametrize("budget", [5.0, 40.0])
def test_a_hunt_ends_in_time(statement: Statement, budget: float, slow: Clock) -> None:
    found = hunt(statement, BOWL, budget=budget, progress=False)
    assert found.evaluations
    assert 0.6 * budget < slow.now <= budget + 2 * STEP


def test_programs_are_part_of_it(slow: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    solved: list[float] = []

    def program(*_: Any) -> Any:
        solved.append(slow.now)
        slow.now += 4.0
        raise KeyError

    monkeypatch.setattr(refutation, "worst_case", program)
    hunt(sngm.theorem_1, BOWL, budget=20.0, progress=False)
    assert slow.now <= 24.0


def test_many_statements_share_it_and_those_left_out_are_named(slow: Clock, tmp_path: Path) -> None:
    chosen = [replace(sngm.theorem_1, key=f"demo.theorem_{k}") for k in range(5)]
    report = falsify(chosen, BOWL, budget=6.0, out=tmp_path, progress=False)
    assert len(report) == 5
    assert slow.now <= 6.0 + 3 * STEP
    late = report.unhunted
    assert late
    assert {(h.verdict, h.reason, h.evaluations) for h in late} == {("not refuted", UNHUNTED, 0)}
    # The same command goes on with them, and what is finished is not hunted again.
    again = falsify(chosen, BOWL, budget=6.0, out=tmp_path, progress=False)
    assert len(again.unhunted) < len(late)


def test_writing_is_part_of_it(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    def write(statement: Statement, found: Any, out: Any, budget: float) -> dict[str, Any]:
        given.append(budget)
        clock.now += budget + 2 * STEP  # shrinking, and what comes on top
        return {"script": None, "replay": None, "reason": "none"}

    monkeypatch.setattr(study, "write_counterexample", write)
    report = falsify(FALSE, budget=20.0, out=tmp_path, write=True, progress=False)
    assert report.tally("printed") == {"violated": 5}
    assert clock.now <= 20.0 + 3 * STEP
    assert 1 <= len(given) < 5
    reasons = [w["reason"] for w in report.counterexamples.values()]
    assert len(reasons) == 5
    assert "the same command again goes on" in reasons[-1]


# --- progress ------------------------------------------------------------------------------------
class Seen(progress._Outer):
    """A display that nobody sees, and what it was told."""

    def __init__(self) -> None:
        super().__init__(disable=True)
        self.lines: list[str] = []

    def add_task(self, description: str, *arguments: Any, **options: Any) -> Any:
        self.lines.append(description)
        return super().add_task(description, *arguments, **options)


@pytest.fixture
def seen() -> Iterator[Seen]:
    with Seen() as display:
        yield display


def test_what_begins_within_a_display_adds_its_lines(seen: Seen, tmp_path: Path) -> None:
    falsify(FALSE[:1], limit=10, out=tmp_path)
    assert seen.lines == ["hunting", FALSE[0].key]
    assert not seen.tasks  # each is gone when it ends


def test_a_long_check_shows_its_progress(seen: Seen) -> None:
    check(sngm.lemma_2, quadratic(dim=2), count=2, replicas=8)
    assert seen.lines == []
    check(sngm.lemma_2, quadratic(dim=2), count=2, replicas=8, effort=2e7)
    assert seen.lines == ["checking sngm.lemma_2"]


def test_a_worker_shows_nothing(tmp_path: Path) -> None:
    assert progress.within() is False
    assert list(compute(_within, [{"x": 1}], Store(tmp_path), progress=False)) == [False]


def _within(cell: Any) -> bool | None:
    return progress.within()


def test_a_notebook_without_widgets_has_a_line(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Handle:
        def update(self, data: dict[str, str], raw: bool) -> None:
            said.append(data["text/plain"])

    def display(data: dict[str, str], **_: Any) -> Handle:
        said.append(data["text/plain"])
        return Handle()

    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    with progress.bar() as shown:
        line = shown.add_task("hunting", total=10)
        for second in range(1, 5):
            clock.now = second
            shown.update(line, completed=second)
    assert said == ["hunting 2/10 (2 s)", "hunting 3/10 (3 s)", "hunting 4/10 (4 s)", ""]
