"""Quantities of a whole run: each declared path against its formula, however it is measured."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import synthetic
from bounds import Algorithm, Claim, Measured, Statement, quantities
from bounds.notation import B, T, eta
from bounds.path import PathOf
from theorylab.errors import UsageError
from theorylab.quantities import Experiment, protocol_for
from theorylab.quantities.ranges import path_range

DECLARED = {
    name: quantity
    for name, quantity in vars(quantities).items()
    if isinstance(quantity, Measured) and quantity.path is not None
}
BOWL = synthetic.quadratic(dim=3, start=2.0)
_W = np.array([BOWL.start.numpy() for _ in range(6)])
_H = BOWL.hessian(BOWL.start.unsqueeze(0))[0].numpy()
for _t in range(5):
    _W[_t + 1] = _W[_t] - 0.3 * _H @ _W[_t]
_G = _W @ _H
_F = 0.5 * (_W * _G).sum(1)
_SQUARES = (_G**2).sum(1)
_AVERAGE = _W[:5].mean(0)

# Gradient descent from w_0 with eta = 0.3 for T = 5 on F = w'Hw/2, whose minimizer is 0.
EXPECTED = {
    "mean_gradient_norm_squared": _SQUARES[:5].mean(),
    "mean_next_gradient_norm_squared": _SQUARES[1:].mean(),
    "mean_gradient_norm": np.sqrt(_SQUARES[:5]).mean(),
    "mean_gradient_l1_norm": np.abs(_G[:5]).sum(1).mean(),
    "mean_gradient_linf_norm": np.abs(_G[:5]).max(1).mean(),
    "min_gradient_norm_squared": _SQUARES.min(),
    "min_gradient_norm": np.sqrt(_SQUARES.min()),
    "first_gradient_norm_squared": _SQUARES[0],
    "final_gradient_norm_squared": _SQUARES[5],
    "first_suboptimality": _F[0],
    "final_suboptimality": _F[5],
    "min_suboptimality": _F.min(),
    "total_decrease": _F[0] - _F[5],
    "final_displacement_squared": ((_W[5] - _W[0]) ** 2).sum(),
    "first_distance_to_minimizer_squared": (_W[0] ** 2).sum(),
    "final_distance_to_minimizer_squared": (_W[5] ** 2).sum(),
    "output_suboptimality": _F[5],
    "output_gradient_norm_squared": _SQUARES[5],
    "output_distance_to_minimizer_squared": (_W[5] ** 2).sum(),
}


def measure(
    quantity: Any,
    objective: Any,
    rule: str = "sgd",
    rounds: Any = 5,
    mode: str = "in expectation",
    **options: Any,
) -> Any:
    claim = Claim(quantity, "<=", T * B * eta, mode=mode)
    statement = Statement("made_up.one", "X", "printed", claim, (), Algorithm(rule, {"eta": eta}))
    values = {"T": float(rounds), "B": 1.0, "eta": 0.3}
    made = Experiment(statement, objective, values, **options)
    return protocol_for(statement).measure(made)


def test_every_declared_quantity_has_a_known_answer() -> None:
    assert DECLARED.keys() - EXPECTED.keys() == {"buffer_norm"}  # of rules with a momentum buffer


@pytest.mark.parametrize("name", EXPECTED)
def test_of_a_run_without_randomness(name: Any) -> None:
    found = measure(DECLARED[name], BOWL)
    assert found.law == "arithmetic"
    assert found.values[name] == pytest.approx(np.array([[EXPECTED[name]]]), rel=1e-12)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_exact_law_is_the_mean_of_runs_that_stay_in_their_ranges(name: Any) -> None:
    """All paths, or moments, against what many runs give; each run inside its certified range."""
    waves = synthetic.bounded_nonconvex(dim=2, noise="two_point", sigma=0.4)
    if "distance_to_minimizer" in name or name == "output_suboptimality":
        waves = synthetic.quadratic(dim=2, noise="two_point", sigma=0.4, start=1.0)
    quantity = DECLARED[name]
    exact = measure(quantity, waves, rounds=4)
    assert exact.exact
    runs = measure(quantity, waves, rounds=4, mode="every run", replicas=4000, effort=1e8)
    assert runs.law == "samples"
    sample = runs.values[name][0]
    error = 5 * sample.std() / np.sqrt(sample.size) + 1e-12 * abs(sample).max()
    assert exact.values[name][0, 0] == pytest.approx(sample.mean(), abs=error)
    low, high = path_range(waves, quantity.path, 4) or (-np.inf, np.inf)
    assert low <= sample.min()
    assert sample.max() <= high


@pytest.mark.parametrize("name", ["output_suboptimality", "output_gradient_norm_squared",
                                  "output_distance_to_minimizer_squared"])  # fmt: skip
def test_the_output_is_what_the_method_returns(name: str) -> None:
    """Averaged SGD returns the mean of w_0 .. w_{T-1}; nothing is said of the last iterate."""
    rounds = 5
    found = measure(DECLARED[name], BOWL, rule="averaged_sgd", rounds=rounds)
    out = _AVERAGE
    expected = {"output_suboptimality": 0.5 * out @ _H @ out,
                "output_gradient_norm_squared": ((_H @ out) ** 2).sum(),
                "output_distance_to_minimizer_squared": (out**2).sum()}  # fmt: skip
    assert found.values[name] == pytest.approx(np.array([[expected[name]]]), rel=1e-12)


def test_sampled_sums_over_time_count_every_round() -> None:
    """A sum estimated at random times is of all T rounds, like the mean times T."""
    noisy = synthetic.quadratic(dim=2, noise="gaussian", sigma=0.4)
    total = Measured("total_norm", path=PathOf("sum", "gradient_norm", "0..T-1"))
    found = measure(total, noisy, rounds=200, replicas=64, effort=1e7)
    mean = measure(quantities.mean_gradient_norm, noisy, rounds=200, replicas=64, effort=1e7)
    assert found.law == mean.law == "samples"
    np.testing.assert_allclose(found.values["total_norm"],
                               200 * mean.values["mean_gradient_norm"], rtol=1e-12)  # fmt: skip


def test_sums_and_values_have_moments() -> None:
    noisy = synthetic.quadratic(dim=2, noise="two_point", sigma=0.4)
    for path in (PathOf("sum", "value", "0..T-1"), PathOf("mean", "distance", "1..T", power=2),
                 PathOf("mean", "value", "0..T") - PathOf("at", "value", "T")):  # fmt: skip
        quantity = Measured("mine", path=path)
        exact = measure(quantity, noisy, rounds=4)
        runs = measure(quantity, noisy, rounds=4, mode="every run", replicas=4000, effort=1e8)
        sample = runs.values["mine"]
        error = 5 * sample.std() / np.sqrt(sample.size) + 1e-12
        assert exact.law == "law"
        assert exact.values["mine"][0, 0] == pytest.approx(sample.mean(), abs=error)


def test_quantities_of_one_name_and_other_paths_differ() -> None:
    one, other = (Measured("mine", path=PathOf("at", "value", t)) for t in ("0", "T"))
    assert one != other
    assert pickle.loads(pickle.dumps(other)).path == other.path


@pytest.mark.parametrize(("arguments", "said"), [
    (("median", "value", "0..T"), "'median' is none of at, mean, sum, min, max"),
    (("mean", "value", "2..T"), "'2..T' is none of"),
    (("at", "value", "0..T"), "'at' does not go with the times 0..T"),
    (("mean", "value", "T"), "'mean' does not go with the times T"),
    (("mean", "value", "0..T", 0), "the power must be at least 1"),
])  # fmt: skip
def test_a_path_that_means_nothing_is_refused(arguments: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PathOf(*arguments)


def test_a_record_nobody_makes_is_named() -> None:
    odd = Measured("odd", path=PathOf("at", "happiness", "T"))
    with pytest.raises(UsageError, match="cannot record 'happiness'; known: value"):
        measure(odd, BOWL)
