"""A theorem in a package of somebody's own, registered by an entry point, is like the rest."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = """
from bounds import Algorithm, Claim, Condition, Statement
from bounds.assumptions import BOUNDED_BELOW, BOUNDED_VARIANCE, SMOOTH
from bounds.notation import B, Delta, T, ell, eta, sigma
from bounds.quantities import mean_gradient_norm_squared

def theorem(key, factor, noise=1):
    return Statement(
        key=key, label="Theorem 1", form="printed",
        claim=Claim(mean_gradient_norm_squared, "<=",
                    factor * (2 * Delta / (eta * T) + noise * ell * eta * sigma**2 / B)),
        assumptions=(SMOOTH, BOUNDED_BELOW, BOUNDED_VARIANCE),
        algorithm=Algorithm("sgd"), conditions=(Condition(eta, "<=", 1 / ell),),
        note="descent lemma, telescoped",
    )

STATEMENTS = (theorem("mine.theorem_1", 1), theorem("mine.wrong", 1e-4),
              theorem("mine.forgot_the_noise", 1, noise=0))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root: Path = tmp_path_factory.mktemp("site")
    (root / "mypaper").mkdir()
    (root / "mypaper" / "__init__.py").write_text(MODULE)
    info = root / "mypaper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypaper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[theorylab.statements]\nmine = mypaper\n")
    return os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}


def theorylab(environment: Any, *arguments: Any, cwd: Any) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "theorylab", *arguments],
        env=environment, capture_output=True, text=True, cwd=cwd, check=False,
    )  # fmt: skip


def test_it_is_listed(environment: Any, tmp_path: Path) -> None:
    done = theorylab(environment, "statements", "--paper", "mine", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)["statements"]
    assert [s["key"] for s in listed] == [
        "mine.theorem_1",
        "mine.wrong",
        "mine.forgot_the_noise",
    ]


def test_it_is_checked_and_strict_sees_the_false_one(environment: Any, tmp_path: Path) -> None:
    done = theorylab(
        environment, "verify", "--paper", "mine", "--objective", "quadratic", "--json", "--strict",
        "--replicas", "64", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)["results"]
    verdicts = {(r["key"], r["form"]): r["verdict"] for r in rows}
    assert verdicts["mine.theorem_1", "printed"] in ("holds", "vacuous")
    assert verdicts["mine.wrong", "printed"] == "violated"
    assert {"measured", "interval", "bound", "ratio", "units", "objective", "constants",
            "hyperparameters", "replicas", "seed"} <= set(rows[0])  # fmt: skip


def test_the_hunt_treats_it_like_the_rest(environment: Any, tmp_path: Path) -> None:
    done = theorylab(environment, "falsify", "--paper", "mine", "--instances", "120", "--json",
                     "--out", "hunt", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {r["key"]: r for r in json.loads(done.stdout)["results"]}
    assert rows["mine.theorem_1"]["verdict"] == "not refuted"
    for key in ("mine.wrong", "mine.forgot_the_noise"):
        assert rows[key]["verdict"] == "violated"
    (script,) = (tmp_path / "hunt" / "counterexamples").glob("mine_forgot*.py")
    alone = subprocess.run([sys.executable, "-I", str(script)], capture_output=True, text=True,
                           cwd=tmp_path, check=True)  # fmt: skip
    assert "lhs <= rhs" in alone.stdout


def test_an_edited_theorem_is_checked_anew(environment: Any, tmp_path: Path) -> None:
    """The store keeps what was finished, but not for another theorem of the same key."""
    root = tmp_path / "site"
    shutil.copytree(environment["PYTHONPATH"], root)
    here = environment | {"PYTHONPATH": str(root)}

    def verdict() -> Any:
        done = theorylab(here, "verify", "mine.theorem_1", "--objective", "quadratic", "--json",
                         "--replicas", "64", "--out", "kept", cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["results"][0]["verdict"]

    assert verdict() == "holds"
    module = root / "mypaper" / "__init__.py"
    module.write_text(MODULE.replace('"mine.theorem_1", 1)', '"mine.theorem_1", 1e-4)'))
    assert verdict() == "violated"
