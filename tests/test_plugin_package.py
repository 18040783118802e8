"""A package with a method on two points, a quantity of its own and a claim with high probability.

Every command takes them, with no line about them anywhere else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from plugin_site import Environment, install, theorylab

PACKAGE = '''
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import sympy as sp
from torch import Tensor

from bounds import Algorithm, Claim, Measured, Statement
from bounds.assumptions import BOUNDED_VARIANCE, LIPSCHITZ, SMOOTH
from bounds.notation import FAILURE, G, T, d, eta, sigma
from bounds.path import PathOf
from bounds.units import Units
from theorylab.engine.recorders import Recorder
from theorylab.method.rule import Drawn, Hyper, UpdateRule
from theorylab.problem.oracle import Oracle

print("read")  # which is no part of any command's answer


class Before(NamedTuple):
    at: Tensor


@final
@dataclass(frozen=True)
class Foresight(UpdateRule[Before]):
    """``w <- w - eta (2 g(w) - g(a))``, a the iterate before, both on one mini-batch."""

    name: ClassVar[str] = "foresight"
    source: ClassVar[str] = "this test"
    eta: Hyper

    def init(self, w: Tensor, oracle: Oracle) -> Before:
        return Before(w)

    def update(self, w: Tensor, oracle: Oracle, state: Before, draw: Drawn):
        step = self.at(self.eta, draw.t)
        return w - step * (2 * oracle.gradient(w) - oracle.gradient(state.at)), Before(w)


RULES = (Foresight,)

moved_l1 = Measured("moved_l1", "||w_T - w_0||_1", Units(X=1), r"\\|w_T-w_0\\|_1", True,
                    path=PathOf("at", "moved_l1", "T"))
QUANTITIES = (moved_l1,)
RECORDERS = (Recorder("moved_l1", lambda F, w: (w - F.start).abs().sum(-1)),)


def theorem(key, form, factor):
    """||2 g(w) - g(a)|| has a root mean square of 3 sqrt(G^2 + sigma^2) at most; Markov."""
    return Statement(
        key=key, label="Theorem 1", form=form,
        claim=Claim(moved_l1, "<=", factor * eta * T * sp.sqrt(d * (G**2 + sigma**2) / FAILURE),
                    mode="with probability", failure=FAILURE),
        assumptions=(SMOOTH, LIPSCHITZ, BOUNDED_VARIANCE),
        algorithm=Algorithm("foresight", {"eta": eta}),
    )


STATEMENTS = (theorem("foresight.theorem_1", "printed", sp.Rational(1, 1000)),
              theorem("foresight.theorem_1", "repaired", sp.Integer(3)))
'''
POINTS = {group: {"foresight": "foresight"} for group in ("statements", "rules", "quantities")}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return install(tmp_path_factory.mktemp("site"), "foresight", PACKAGE, POINTS)


def answer(environment: Environment, *arguments: str, cwd: Path) -> Any:
    done = theorylab(environment, *arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    return json.loads(done.stdout)


def test_verify(environment: Environment, tmp_path: Path) -> None:
    rows = answer(environment, "verify", "foresight.theorem_1", "--objective", "bounded_nonconvex",
                  "--replicas", "512", cwd=tmp_path)["results"]  # fmt: skip
    found = {row["form"]: row for row in rows}
    assert found["printed"]["verdict"] == "violated"
    assert found["repaired"]["verdict"] in ("holds", "vacuous", "not refuted")
    assert found["repaired"]["measured"] > 0


def test_falsify(environment: Environment, tmp_path: Path) -> None:
    rows = answer(environment, "falsify", "foresight.theorem_1", "--instances", "6", "--no-write",
                  "--out", "hunt", cwd=tmp_path)["results"]  # fmt: skip
    verdicts = {row["form"]: row["verdict"] for row in rows}
    assert verdicts == {"printed": "violated", "repaired": "not refuted"}


def test_power(environment: Environment, tmp_path: Path) -> None:
    report = answer(environment, "power", "foresight.theorem_1", "--budget", "1",
                    "--instances", "1", "--out", "power", cwd=tmp_path)  # fmt: skip
    keys = {row["key"] for row in report["results"]}
    assert keys == {"foresight.theorem_1"}


def test_figure(environment: Environment, tmp_path: Path) -> None:
    done = theorylab(environment, "figure", "foresight.theorem_1", "--axis", "T", "--objective",
                     "bounded_nonconvex", "--replicas", "16", "--out", "drawn",
                     cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "drawn").rglob("*.pdf"))


def test_train(environment: Environment, tmp_path: Path) -> None:
    done = theorylab(environment, "train", "--model", "two_conv", "--optimizer", "foresight",
                     "--lr", "0.05", "--steps", "3", "--out", "trained", "--json",
                     cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "foresight" in done.stdout
