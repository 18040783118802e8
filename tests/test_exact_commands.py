"""What exact answers say through the commands, on statements and objectives of a user's own."""

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

MODULE = """
import numpy as np
import sympy as sp
import synthetic
from bounds import Algorithm, Claim, Condition, Statement
from bounds.assumptions import BOUNDED_BELOW, CONVEX, FINITE_SUM, SMOOTH, STRONGLY_CONVEX
from bounds.notation import Delta, T, ell, eta, mu, sigma
from bounds.quantities import (
    decrease, expected_twin_distance, final_suboptimality, first_distance_to_minimizer_squared,
    min_gradient_norm_squared, total_decrease, twin_distance)
from synthetic.piecewise_quadratic import PiecewiseQuadratic
from synthetic.piecewise_quadratic_sum import PiecewiseQuadraticSum
from theorylab.problem.objective import Family

QUIET = (Condition(sigma, "<=", 0),)

def made(key, claim, assumptions, algorithm, conditions=()):
    return Statement("mine." + key, "Theorem", "printed", claim, assumptions, algorithm, {},
                     conditions)

STATEMENTS = (
    made("below_delta", Claim(final_suboptimality, "<=", Delta), (BOUNDED_BELOW,),
         Algorithm("sgd", {"eta": 1}),
         (Condition(T, ">=", 50), Condition(T, "<=", 50))),
    made("momentum_falls", Claim(decrease, ">=", 0), (SMOOTH,), Algorithm("msgd"),
         (*QUIET, Condition(eta, "<=", 1 / ell))),
    made("contraction", Claim(expected_twin_distance, "<=",
         sp.Max(sp.Abs(1 - eta * mu), sp.Abs(1 - eta * ell)) * twin_distance),
         (SMOOTH, STRONGLY_CONVEX, FINITE_SUM), Algorithm("sgd")),
    made("fourth", Claim(min_gradient_norm_squared, "<=", total_decrease / 4),
         (SMOOTH, BOUNDED_BELOW), Algorithm("sgd", {"eta": 1 / ell}),
         (*QUIET, Condition(T, ">=", 5), Condition(T, "<=", 5))),
    made("drori", Claim(final_suboptimality, "<=",
         ell * first_distance_to_minimizer_squared / (4 * T + 3)),
         (SMOOTH, CONVEX), Algorithm("sgd", {"eta": 1 / ell}), QUIET),
)

def growing():
    return synthetic.finite_sum(np.sqrt([[0.9], [2.5]]), np.zeros(2), "squared", start=[1.0])

def steep():
    return synthetic.quadratic(dim=1, noise="shifts", sigma=1.0, n=2, ell=0.01, start=0.01)

def tilted():
    kinds = [PiecewiseQuadratic((-1.0, 0.0, 1.0), row, 0.0, 0.0)
             for row in ((-1.0, 0.5, 0.0), (0.0, -0.5, 1.0))]
    return PiecewiseQuadraticSum(kinds, np.arange(2), 0.1)

FAMILIES = tuple(Family(f.__name__, f) for f in (growing, steep, tilted))
"""

needs_pep = pytest.mark.skipif(
    any(importlib.util.find_spec(n) is None for n in ("PEPit", "cvxpy", "clarabel")),
    reason="needs the extra [pep]",
)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("site")
    (root / "mypaper").mkdir()
    (root / "mypaper" / "__init__.py").write_text(MODULE)
    info = root / "mypaper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypaper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[theorylab.statements]\nmine = mypaper\n[theorylab.objectives]\nmine = mypaper\n"
    )
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}

    def run(*arguments: Any) -> Any:
        done = subprocess.run([sys.executable, "-m", "theorylab", *arguments, "--json"],
                              env=environment, capture_output=True, text=True, cwd=root,
                              check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["results"]

    run.environment, run.root = environment, root
    return run


def test_a_mean_on_rare_events(command: Any) -> None:
    (row,) = command("verify", "mine.below_delta", "--objective", "growing", "--instances", "0")
    assert (row["verdict"], row["evidence"]) == ("violated", "exact law")
    assert row["measured"] == pytest.approx(0.85 * 1.13**50, rel=1e-9)


def test_rounding_does_not_refute_a_contraction(command: Any) -> None:
    rows = command("verify", "mine.contraction", "--objective", "steep", "--instances", "0")
    assert {(row["verdict"], row["evidence"]) for row in rows} == {("holds", "exact law")}


def test_samples_that_are_not_convex(command: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "theorylab", "verify", "hardt_recht_singer.theorem_3_8",
         "--objective", "tilted"],
        env=command.environment, capture_output=True, text=True, cwd=command.root, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "is not convex sample by sample" in done.stderr


def test_momentum_does_not_fall_at_every_step(command: Any) -> None:
    (row,) = command("falsify", "mine.momentum_falls", "--instances", "40", "--no-write")
    assert row["verdict"] == "violated"


@needs_pep
def test_the_worst_case_is_homogeneous(command: Any) -> None:
    rows = command("worst-case", "mine.fourth", "--hunt", "0", "--set", "T=5")
    assert rows
    for row in rows:
        assert row["primal"] == pytest.approx(16 / 15, rel=1e-6)
        assert row["rebuilt"]["ratio"] == pytest.approx(16 / 15, rel=1e-3)


@pytest.mark.slow
@needs_pep
def test_a_constant_just_too_small_falls_and_its_replay_passes_alone(command: Any) -> None:
    (row,) = command("falsify", "mine.drori", "--instances", "3", "--out", "hunted")
    assert row["verdict"] == "violated"
    written = row["counterexample"]
    path = command.root / "hunted" / (written["script"] or written["replay"])
    done = subprocess.run([sys.executable, str(path)], env=command.environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
