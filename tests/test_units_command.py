"""Changes of units: rescaled objectives keep their certificates, and odd units are exploited."""

from typing import Any

import numpy as np
import pytest
import torch
from hunting import AVERAGE, DESCENT, ODD_UNITS, SPECS, TRUE
from hypothesis import given, settings
from hypothesis import strategies as st

import synthetic
from bounds import Claim, Statement
from bounds.notation import delta, ell
from theorylab.engine.driver import run
from theorylab.errors import UsageError
from theorylab.hunt.rescaling import rescale, rescaling_attack, without_noise
from theorylab.judge.check import check
from theorylab.method import SGD
from theorylab.studies.units import units

OBJECTIVES = {
    "quadratic": synthetic.quadratic(dim=2, noise="two_point", sigma=0.5),
    "sum": synthetic.cosine_sum(dim=2, n=4),
    "bounded": synthetic.bounded_nonconvex(dim=2),
}


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(deadline=None, max_examples=10)
@given(a=st.floats(1e-3, 1e3), b=st.floats(1e-3, 1e3))
def test_a_rescaled_run_is_the_run_rescaled(name: Any, a: Any, b: Any) -> None:
    plain = OBJECTIVES[name]
    moved = rescale(plain, a, b)
    step = 0.3 / float(plain.constants()["ell"])
    first = run(plain, SGD(eta=step), steps=5, replicas=3, record=("w", "value"))
    second = run(moved, SGD(eta=step * b**2 / a), steps=5, replicas=3, record=("w", "value"))
    np.testing.assert_allclose(second["w"], b * first["w"], rtol=1e-9, atol=1e-12 * b)
    np.testing.assert_allclose(second["value"], a * first["value"], rtol=1e-9, atol=1e-12 * a)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_certificates_follow_their_units(name: Any) -> None:
    plain, moved = OBJECTIVES[name], rescale(OBJECTIVES[name], 6.0, 2.0)
    factors = {"ell": 1.5, "delta": 1.5, "L": 1.5, "G": 3, "sigma": 3, "Delta": 6, "Bf": 6,
               "n": 1, "d": 1}  # fmt: skip
    before, after = plain.constants(), moved.constants()
    for key in set(before) & set(factors):
        assert float(after[key]) == pytest.approx(float(before[key]) * factors[key])
    first = float(moved.value(moved.start.unsqueeze(0))[0]) - moved.minimum()
    assert first == pytest.approx(float(after["Delta"]))
    at = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    torch.testing.assert_close(moved.hessian(at), 1.5 * plain.hessian(at / 2))


def test_scales_must_be_positive() -> None:
    with pytest.raises(UsageError, match="positive"):
        rescale(OBJECTIVES["sum"], -1.0, 1.0)


def test_without_noise_every_gradient_is_exact() -> None:
    quiet = without_noise(OBJECTIVES["sum"])
    at = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    sample = torch.from_numpy(quiet.draw(np.random.default_rng(0), 1, 1, 1)[0])
    assert torch.equal(quiet.sample_gradient(at, sample), OBJECTIVES["sum"].gradient(at))
    assert float(quiet.constants()["sigma"]) == 0
    assert "n" not in quiet.constants()


def test_odd_units_become_a_violation_that_repeats() -> None:
    found = rescaling_attack(ODD_UNITS, SPECS)
    assert found is not None
    assert found.verdict.verdict == "violated"
    assert check(AVERAGE, OBJECTIVES["quadratic"], count=2, replicas=64).verdict != "violated"


@pytest.mark.parametrize("statement", [DESCENT, AVERAGE], ids=lambda s: s.key)
def test_no_attack_on_a_true_statement(statement: Statement) -> None:
    assert rescaling_attack(statement, SPECS, count=1) is None


def test_the_term_at_fault_is_named() -> None:
    report = units([*TRUE, ODD_UNITS], attack=False)
    (row,) = report.faults
    assert (row.key, report.consistent) == (ODD_UNITS.key, len(TRUE))
    assert "sigma" in row.fault
    assert any("sigma" in term for term in row.terms)
    assert report.to_json()["results"][0]["attack"] is None
    assert list(report.to_pandas()["key"]) == [ODD_UNITS.key]


def test_numbers_with_odd_units() -> None:
    odd = Statement("made_up.odd_numbers", "Lemma", "printed", Claim(ell, "<=", 10 + delta / delta))
    found = rescaling_attack(odd, [])
    assert found is not None
    assert found.verdict.measured > found.verdict.bound
