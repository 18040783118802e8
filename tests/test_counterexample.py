"""Counterexamples written down: small, self-contained, and right in exact arithmetic."""

import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hunting import FALSE, GRADIENT_DESCENT, NUMBERS_FALSE, QUADRATIC, TOO_SHARP

from bounds import Algorithm, Claim, Condition, Statement
from bounds.assumptions import BOUNDED_BELOW, CONVEX, PER_SAMPLE, SMOOTH, STRONGLY_CONVEX
from bounds.notation import ell, eta
from bounds.quantities import gradient_norm_squared, next_gradient_norm_squared
from theorylab.errors import AssumptionError
from theorylab.exact.tabular import Tabular
from theorylab.hunt.counterexample import replay, script, write_counterexample
from theorylab.hunt.search import Hunt, Instance
from theorylab.hunt.shrink import shrink, shrink_instance
from theorylab.plugins import registry

FOUND = {
    TOO_SHARP.key: Instance(QUADRATIC, {"B": 1.0, "eta": 0.4876543}),
    "made_up.odd_units": Instance(QUADRATIC, {"B": 1.0, "T": 4.0}, a=10.0),
    GRADIENT_DESCENT.key: Instance(QUADRATIC, {"T": 5.0, "eta": 0.0731}, quiet=True),
    NUMBERS_FALSE.key: Instance(None, {"beta": 0.4998765}),
}


def _run_script(text: Any) -> Any:
    """What a script complains of when it is run by itself."""
    done = subprocess.run([sys.executable, "-I", "-c", text], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode != 0
    return done.stderr


def _hunt(statement: Statement) -> Any:
    return Hunt(statement.key, statement.form, "violated", None, FOUND[statement.key])


@pytest.mark.parametrize("statement", FALSE, ids=lambda s: s.key)
def test_scripts_run_alone_and_print_both_sides(statement: Statement, tmp_path: Path) -> None:
    summary = write_counterexample(statement, _hunt(statement), tmp_path)
    path = tmp_path / summary["script"]
    text = path.read_text()
    assert len(text.splitlines()) < 40
    assert set(re.findall(r"^(?:import|from) (\w+)", text, re.M)) <= {"numpy", "itertools"}
    # -I and another directory: nothing of this project is importable by accident.
    done = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, text=True,
                          cwd=tmp_path, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    lhs, rhs = (float(v) for v in re.findall(r"[lr]hs = (\S+?),?(?:\s|$)", done.stdout)[-2:])
    small, large = (rhs, lhs) if ">=" in str(statement.claim) else (lhs, rhs)
    assert small > large
    assert small == pytest.approx(summary["smaller"], rel=1e-6)
    assert large == pytest.approx(summary["larger"], rel=1e-6)
    for suffix in (".tex", ".svg"):
        assert path.with_suffix(suffix).stat().st_size > 0


@pytest.mark.parametrize("statement", FALSE, ids=lambda s: s.key)
def test_violations_are_confirmed_in_rationals(statement: Statement) -> None:
    table = shrink(statement, _hunt(statement))
    small, large = table.confirm_exactly()
    assert isinstance(small, sp.Rational)
    assert small > large


def test_shrinking_leaves_little() -> None:
    table = shrink(TOO_SHARP, _hunt(TOO_SHARP))
    assert len(table.knots) == 2
    assert len(table.slopes) == 2
    assert table.values == {"B": 1.0, "eta": 0.5}
    smaller = shrink_instance(GRADIENT_DESCENT, FOUND[GRADIENT_DESCENT.key])
    assert smaller.values["T"] == 1
    assert smaller.check(GRADIENT_DESCENT).verdict == "violated"


CONVEX_FALSE = Statement(
    "made_up.convex", "Lemma", "printed",
    Claim(next_gradient_norm_squared, "<=", 0.9 * gradient_norm_squared),
    (SMOOTH, CONVEX), Algorithm("sgd"), {}, (Condition(eta, "<=", 1 / (2 * ell)),),
)  # fmt: skip


def _is_convex(slopes: Any) -> Any:
    return np.all(np.diff(np.mean(slopes, axis=0)) >= 0)


def test_counterexamples_obey_assumptions_without_constants(tmp_path: Path) -> None:
    # Greedily made smaller, this one ends on a concave function unless convexity is asked for.
    bowl = Instance(QUADRATIC, {"eta": 0.1})
    assert bowl.check(CONVEX_FALSE).verdict == "violated"
    found = Hunt(CONVEX_FALSE.key, "printed", "violated", None, bowl)
    summary = write_counterexample(CONVEX_FALSE, found, tmp_path)
    assert _is_convex(summary["slopes"])
    assert "F is convex" in (tmp_path / summary["script"]).read_text()


@pytest.mark.parametrize("assumption", [CONVEX, PER_SAMPLE, STRONGLY_CONVEX, BOUNDED_BELOW])
def test_tables_without_an_assumption_are_no_counterexamples(assumption: Any) -> None:
    """Slopes beyond the knots are constant, so no table is strongly convex; this one falls."""
    rows = ((-2.0, -4.0), (-2.0, -4.0))
    statement = replace(CONVEX_FALSE, assumptions=(SMOOTH,))
    table = Tabular(statement, (0.0, 1.0), rows, 0.5, {"eta": 0.01})
    assert table.violates
    assumed = replace(table, statement=replace(statement, assumptions=(SMOOTH, assumption)))
    assert not assumed.violates
    with pytest.raises(AssumptionError, match=f"assumes {assumption.name}"):
        assumed.sides()


def test_a_search_on_the_line_passes_over_what_lacks_an_assumption() -> None:
    # Nothing is violated here, so another function is looked for; most are not convex.
    bowl = Instance(QUADRATIC, {"eta": 0.3}, quiet=True)
    found = Hunt(CONVEX_FALSE.key, "printed", "violated", None, bowl)
    table = shrink(CONVEX_FALSE, found, budget=4.0)
    assert table is None or _is_convex(table.slopes)


def test_constants_are_those_of_the_knots() -> None:
    table = Tabular(TOO_SHARP, (-1.0, 0.0, 2.0), ((-1.0, 2.0, 0.0), (-3.0, 0.0, 0.0)), 0.5, {})
    found = table.constants()
    # The mean slope rises from -2 to 1, then falls to 0; the slopes differ from it by 1 at most.
    assert (found["ell"], found["L"], found["delta"]) == (3.0, 3.0, 0.5)
    assert (found["G"], found["sigma"]) == (2.0, 1.0)
    exact = table.constants(Fraction)
    assert exact["ell"] == 3
    assert exact["sigma"] == 1
    # F falls by 2/3 to its minimum at -1/3, rises by 1/6 to 0, and by 7/16 to 1/2.
    assert found["Delta"] == pytest.approx(1 / 6 + 7 / 16)
    assert "Bf" not in found


def test_a_table_that_obeys_the_claim_is_no_counterexample() -> None:
    table = Tabular(TOO_SHARP, (-9.0, 9.0), ((-9.0, 9.0),), 1.0, {"B": 1.0, "eta": 0.5})
    assert not table.violates
    assert table.confirm_exactly() is None
    assert not table.exceeds_exactly()
    assert "not confirmed" in _run_script(script(table))


def test_what_numpy_alone_cannot_show_is_replayed(tmp_path: Path) -> None:
    # Twins have no form on the line.
    statement = registry.statement("lrsgd.theorem_3_6")
    twins = Instance({"family": "stability_twins"}, {"c": 2.0, "T": 1024.0})
    found = Hunt(statement.key, "printed", "violated", None, twins)
    summary = write_counterexample(statement, found, tmp_path)
    assert summary["script"] is None
    path = tmp_path / summary["replay"]
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True,
                          cwd=tmp_path, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"measured = \S+, between .*\nbound = ", done.stdout)


def test_a_replay_that_shows_nothing_is_not_kept(tmp_path: Path) -> None:
    statement = registry.statement("sngm.lemma_2")
    bowl = Instance(QUADRATIC, {"T": 4.0, "beta": 0.5})
    assert bowl.check(statement).verdict == "holds"
    found = Hunt(statement.key, "printed", "violated", None, bowl)
    summary = write_counterexample(statement, found, tmp_path)
    assert summary["script"] is summary["replay"] is None
    assert not list((tmp_path / "counterexamples").glob("*.py"))


def test_any_instance_can_be_quoted() -> None:
    # A user's data may lie anywhere: quotes, backslashes and accents included.
    path = "C:\\d\u00e9j\u00e0 '''vu\".csv"
    odd = Instance({"family": "data", "parameters": {"name": path}}, {"T": 3.0}, b=0.1)
    text = replay(registry.statement("sngm.lemma_2"), odd)
    found: dict[str, Any] = {}
    exec(text.split("statement = ")[0], found)
    assert found["instance"] == odd
