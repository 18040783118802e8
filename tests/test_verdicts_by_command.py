"""Verdicts on a user's own claims, by the command that a user types."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

MODULE = """
from bounds import Algorithm, Claim, Condition, Statement
from bounds.assumptions import BOUNDED_BELOW, BOUNDED_VARIANCE, SMOOTH
from bounds.notation import Delta, T, ell, eta, sigma
from bounds.quantities import (
    final_gradient_norm_squared, final_suboptimality, gradient_variance, total_decrease,
)
from synthetic import quadratic
from synthetic.laws import StudentT
from synthetic.noise import Noisy
from theorylab.problem.objective import Family, Parameter

def heavy(dof=2.5, dim=1):
    return Noisy(quadratic(dim=dim), StudentT(1.0, dof), {"dof": dof, "dim": dim})

FAMILIES = (Family("heavy", heavy, (Parameter("dof", 2.1, 3.0), Parameter("dim", 1, 3))),)

def noise(key, sense, factor=1):
    return Statement(f"mine.{key}", "Noise", "printed",
                     Claim(gradient_variance, sense, factor * sigma**2), (BOUNDED_VARIANCE,))

def run(key, claim):
    return Statement(f"mine.{key}", "Run", "printed", claim, (SMOOTH, BOUNDED_BELOW),
                     Algorithm("sgd"), {eta: 1 / ell},
                     (Condition(sigma, "<=", 0), Condition(T, ">=", 33)))

STATEMENTS = (
    noise("at_least", ">="), noise("at_most", "<="), noise("equal", "=="),
    noise("below", "<=", 0.99),
    run("falls", Claim(final_suboptimality, "<=", Delta)),
    run("falls_by", Claim(total_decrease, ">=", 2 * Delta)),
    run("flattens", Claim(final_gradient_norm_squared, "<=", 2 * ell * Delta)),
)
"""


@pytest.fixture(scope="module")
def verify(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("site")
    (root / "mypaper.py").write_text(MODULE)
    info = root / "mypaper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypaper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[theorylab.statements]\nmine = mypaper\n[theorylab.objectives]\nmine = mypaper\n"
    )
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}

    def call(*arguments: Any) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "theorylab", "verify", *arguments], env=environment, check=False,
            capture_output=True, text=True, cwd=root,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def rows(verify: Any, keys: Any, setting: Any, family: str = "quadratic") -> Any:
    text = verify(*keys, "--objective", family, "--set", setting, "--instances", "0",
                  "--replicas", "64", "--json")  # fmt: skip
    found = {r["key"]: (r["verdict"], r["evidence"]) for r in json.loads(text)["results"]}
    assert set(found) == set(keys)
    return found


def test_true_claims_on_heavy_tails_are_not_refuted(verify: Any) -> None:
    keys = ["mine.at_least", "mine.at_most", "mine.equal"]
    for setting in ("dof=2.2", "dof=2.5"):
        found = rows(verify, keys, setting, "heavy")
        assert set(found.values()) == {("not refuted", "samples")}


@pytest.mark.parametrize(("noise", "said"), [("shifts", ("violated", "exact law")),
                                             ("gaussian", ("not refuted", "samples"))])  # fmt: skip
def test_a_claim_at_99_percent_of_an_attained_bound_does_not_hold(
    verify: Any, noise: str, said: Any
) -> None:
    found = rows(verify, ["mine.below"], f"dim=1,noise={noise},sigma=1.0")
    assert found == {"mine.below": said}


def test_the_end_of_a_run_with_exact_gradients_is_exact(verify: Any) -> None:
    keys = ["mine.falls", "mine.falls_by", "mine.flattens"]
    exact = "exact arithmetic"
    assert rows(verify, keys, "dim=2") == {
        "mine.falls": ("holds", exact), "mine.falls_by": ("violated", exact),
        "mine.flattens": ("holds", exact),
    }  # fmt: skip


def test_a_claim_without_a_repaired_form_gets_no_line_for_one(verify: Any) -> None:
    text = verify("mine.falls_by", "--objective", "quadratic", "--instances", "0",
                  "--replicas", "64")  # fmt: skip
    assert "violated" in text
    line = next(line for line in text.splitlines() if "falls_by" in line)
    assert line.split("(exact arithmetic)")[1].split()[0] == "-"  # the column of the repaired form
    assert "(repaired)" not in text
    assert "true as printed" not in text
