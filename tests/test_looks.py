"""Closer looks: taken where they may decide a statement, and nowhere else."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import synthetic
from bounds import Algorithm, Claim, Statement
from bounds.assumptions import BOUNDED_BELOW, BOUNDED_VARIANCE, SMOOTH
from bounds.notation import Delta, T, eta
from bounds.quantities import mean_gradient_norm_squared
from theorylab.judge.comparison import Comparison
from theorylab.judge.looks import Judged, looks_at, settled
from theorylab.judge.verdict import Outcome, Verdict
from theorylab.quantities import Experiment, Measurement

CLAIM = Claim(mean_gradient_norm_squared, "<=", 2 * Delta / (eta * T))
STATEMENT = Statement(
    "test.claim", "Claim", "printed", CLAIM,
    assumptions=(SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE), algorithm=Algorithm("sgd"),
)  # fmt: skip


def told(outcome: Outcome, evidence: Any = "samples") -> Verdict:
    return Verdict("k", "printed", outcome, evidence=evidence)


@pytest.mark.parametrize(
    ("first", "closer", "taken", "outcomes"),
    [
        # A point that no closer look can settle settles the statement: none is taken.
        (["not refuted", "wait"], ["holds"], 0, ["not refuted", "not refuted"]),
        (["violated", "wait"], ["holds"], 0, ["violated", "not refuted"]),
        # Else they are taken, until one leaves the claim open.
        (["holds", "wait", "wait"], ["holds", "holds"], 2, ["holds"] * 3),
        (["wait", "wait"], ["not refuted", "holds"], 1, ["not refuted"] * 2),
        (["wait", "holds"], ["violated"], 1, ["violated", "holds"]),
        # A point of which nothing is known, or whose bound is vacuous, decides nothing.
        (["unknown", "vacuous", "wait"], ["holds"], 1, ["not refuted", "vacuous", "holds"]),
    ],
)
def test_what_one_point_leaves_open_no_look_at_another_can_settle(
    first: list[str], closer: list[Outcome], taken: int, outcomes: list[str]
) -> None:
    answers, looks = iter(closer), []

    def look() -> Iterator[Any]:
        looks.append(1)
        yield Judged(told(next(answers)))

    points = [
        Judged(told("not refuted"), may_hold=True) if outcome == "wait"
        else Judged(told("not refuted", "")) if outcome == "unknown"
        else Judged(told(outcome))  # type: ignore[arg-type]
        for outcome in first
    ]  # fmt: skip
    found = settled(points, [look() for _ in points])
    assert [v.verdict for v in found] == outcomes
    assert len(looks) == taken


class _Scripted:
    """Every look sees the same samples."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples, self.asked = samples, 0

    def measure(self, experiment: Experiment) -> Measurement:
        self.asked += 1
        wide = np.tile(self.samples, (1, 1 if self.asked == 1 else 8))
        return Measurement({mean_gradient_norm_squared.name: wide}, "samples",
                           ranges={mean_gradient_norm_squared.name: (0.0, 1.0)})  # fmt: skip


def _first_look(samples: np.ndarray) -> tuple[Any, Iterator[Any], _Scripted]:
    bowl = synthetic.quadratic(dim=1, noise="gaussian", sigma=1.0)
    values = {"eta": 1.0, "T": 2, "B": 1, "Delta": 0.5, "ell": 1.0, "sigma": 1.0}  # the bound: 0.5
    scripted = _Scripted(samples)
    looks = looks_at(scripted, Experiment(STATEMENT, bowl, values), 0.01)
    return next(looks), looks, scripted


def test_a_look_that_may_only_show_that_the_claim_holds_waits() -> None:
    point, looks, scripted = _first_look(np.full((1, 12), 0.3))
    assert (point.verdict.verdict, point.may_hold, scripted.asked) == ("not refuted", True, 1)
    assert next(looks).verdict.verdict == "holds"


def test_a_look_that_may_refute_is_taken_at_once() -> None:
    point, looks, scripted = _first_look(np.full((1, 12), 0.9))
    assert point.verdict.verdict == "violated"
    assert scripted.asked == 3  # it was seen twice
    assert next(looks, None) is None


def test_no_look_is_taken_where_an_instance_stays_open() -> None:
    # The second instance lies at its bound: eight times as many samples leave it open.
    even = np.tile([0.0, 1.0], 6)
    point, looks, scripted = _first_look(np.stack([np.full(12, 0.3), even]))
    assert (point.verdict.verdict, point.may_hold, scripted.asked) == ("not refuted", False, 1)
    assert next(looks, None) is None


@pytest.mark.parametrize(("below", "promise"), [(False, "holds"), (True, "not refuted")])
def test_a_supremum_from_below_promises_no_more_than_it_can_say(below: bool, promise: str) -> None:
    gap = np.full((1, 12), -0.2)
    one = np.ones(1)
    found = Comparison(
        CLAIM, "samples", 0.3 * one, 0.5 * one, 0 * one, gap, -0.5 * one, 0.5 * one, 0.01,
        (below, False), one < 0,
    )  # fmt: skip
    assert list(found.outcomes()) == ["not refuted"]
    assert found.promising(8) == promise
