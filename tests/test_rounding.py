"""Rounding refutes nothing: differences carry it, and what is written down is exact."""

import subprocess
import sys

import numpy as np
import pytest
import sympy as sp

import synthetic
from bounds import Algorithm, Claim, Statement
from bounds.assumptions import FINITE_SUM, SMOOTH, STRONGLY_CONVEX
from bounds.notation import ell, eta, mu
from bounds.quantities import expected_twin_distance, twin_distance
from theorylab import check
from theorylab.exact.tabular import Tabular
from theorylab.hunt.counterexample import write_counterexample
from theorylab.hunt.instance import Instance
from theorylab.hunt.search import Hunt, hunt

STEEP = {
    "family": "quadratic",
    "parameters": {"dim": 1, "noise": "shifts", "sigma": 1.0, "n": 2, "ell": 0.01, "start": 0.01},
}
FACTOR = sp.Max(sp.Abs(1 - eta * mu), sp.Abs(1 - eta * ell))


def _contraction(factor):
    return Statement("made_up.contraction", "Lemma", "printed",
                     Claim(expected_twin_distance, "<=", factor * twin_distance),
                     (SMOOTH, STRONGLY_CONVEX, FINITE_SUM), Algorithm("sgd"))  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_a_contraction_that_is_attained_is_not_refuted_by_rounding(seed):
    """Steps of 1/ell sigma = 100 cancel in a distance of 1e-6."""
    found = hunt(_contraction(FACTOR), [STEEP], limit=12, budget=60.0, seed=seed)
    assert found.verdict != "violated"
    bowl = synthetic.quadratic(**STEEP["parameters"])
    assert check(_contraction(FACTOR), bowl, seed=seed).verdict == "holds"


def test_a_factor_that_is_too_small_still_falls():
    bowl = synthetic.quadratic(**STEEP["parameters"])
    found = check(_contraction(FACTOR * sp.Rational(999, 1000)), bowl, values={"eta": 10.0})
    assert found.verdict == "violated"
    assert found.ratio == pytest.approx(1000 / 999, rel=1e-4)


def test_a_violation_of_a_rounding_error_is_not_confirmed(tmp_path):
    """0.1 + 0.2 > 0.3 in floats: the very numbers say so too, but not beyond rounding."""
    equal = Statement("made_up.equal", "Remark", "printed", Claim(eta + mu, "<=", ell))
    table = Tabular(equal, (), (), 0.0, {"eta": 0.1, "mu": 0.2, "ell": 0.3})
    assert 0.1 + 0.2 > 0.3
    assert not table.violates
    from theorylab.hunt.counterexample import script

    done = subprocess.run([sys.executable, "-I", "-c", script(table)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert "not confirmed" in done.stderr
    more = Tabular(equal, (), (), 0.0, {"eta": 0.1, "mu": 0.2, "ell": 0.25})
    assert more.violates
    assert more.exceeds_exactly()


def test_a_replay_of_a_statement_that_is_true_says_not_confirmed(tmp_path):
    from bounds import tralgo
    from theorylab.hunt.counterexample import replay

    quiet = Instance(STEEP, {"eta": 1.0, "B": 1.0})
    text = replay(tralgo.descent, quiet)
    path = tmp_path / "replay.py"
    path.write_text(text)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not confirmed: " in done.stderr
    found = Hunt(tralgo.descent.key, tralgo.descent.form, "violated", None, quiet)
    summary = write_counterexample(tralgo.descent, found, tmp_path)
    assert summary["script"] is summary["replay"] is None


def test_exact_numbers_decide_what_floats_cannot():
    """F falls by 1e-18 beside values of size 1: lost in floats, not in fractions."""
    from bounds.quantities import decrease, gradient_norm_squared

    claim = Claim(decrease, ">=", gradient_norm_squared * eta / 2)
    descent = Statement("made_up.descent", "L", "printed", claim, (SMOOTH,), Algorithm("sgd"))
    bowl = Tabular(descent, (-1.0, 1.0), ((-1.0, 1.0),), 2.0**-20, {"eta": 1.0})
    assert bowl.sides()[0] == pytest.approx(bowl.sides()[1])
    assert not bowl.exceeds_exactly()  # attained with equality
    assert Tabular(descent, (-1.0, 1.0), ((-1.0, 1.0),), 2.0**-20, {"eta": 1.0 + 2.0**-10}
                   ).exceeds_exactly()  # fmt: skip
    assert np.isfinite(bowl.ratio)
