"""Quantities of a whole run: each declared path against its formula, however it is measured."""

from __future__ import annotations

import importlib.util
import itertools
import pickle
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

import synthetic
from bounds import Algorithm, Claim, Condition, Measured, Statement, quantities
from bounds.assumptions import BOUNDED_BELOW, CONVEX, SMOOTH, WEAKLY_CONVEX
from bounds.notation import FAILURE, B, Delta, T, delta, ell, eta
from bounds.path import PathOf
from theorylab import check, run
from theorylab.engine.metering import metered
from theorylab.engine.recorders import recorders
from theorylab.errors import UsageError
from theorylab.exact.program import modelled
from theorylab.exact.tabular import Tabular, tabulates
from theorylab.exact.worst_case import worst_case
from theorylab.hunt.counterexample import script
from theorylab.method import SGD
from theorylab.problem.composite import Composite, Constrained
from theorylab.problem.geometry import L1, Ball
from theorylab.quantities import Experiment, protocol_for
from theorylab.quantities.ranges import path_range
from theorylab.quantities.runs import recorded_run


def of_points(path: PathOf) -> bool:
    """Whether it needs no state of the rule, so that SGD has it."""
    names = [part.record.removeprefix("output.") for part in path.parts]
    return all(name in recorders() and not recorders()[name].whole for name in names)


DECLARED = {
    name: quantity
    for name, quantity in vars(quantities).items()
    if isinstance(quantity, Measured) and quantity.path is not None and of_points(quantity.path)
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
    "first_linf_norm": np.abs(_W[0]).max(),
    "final_linf_norm": np.abs(_W[5]).max(),
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
    # There is nothing to prox; the envelope of w'Hw/2 at lam has the gradient lam H/(lam + H) w.
    "final_gradient_mapping_norm_squared": _SQUARES[5],
    "min_gradient_mapping_norm_squared": _SQUARES.min(),
    "mean_moreau_gradient_norm_squared": (
        (np.linalg.solve(np.eye(3) + _H / 0.3, _G[:5].T) ** 2).sum(0).mean()
    ),
    "min_frank_wolfe_gap": ((_W * _G).sum(1) + 5 * np.sqrt(_SQUARES)).min(),
}
BALL = Constrained(BOWL, Ball(5.0))
_RECORDED = {
    "value": _F, "suboptimality": _F, "gradient_norm": np.sqrt(_SQUARES),
    "gradient_norm_squared": _SQUARES, "gradient_l1_norm": np.abs(_G).sum(1),
    "gradient_linf_norm": np.abs(_G).max(1), "linf_norm": np.abs(_W).max(1),
    "distance": np.sqrt(((_W - _W[0]) ** 2).sum(1)),
    "distance_to_minimizer_squared": (_W**2).sum(1),
}  # fmt: skip


def by_path(path: PathOf) -> float:
    """The number that a path declares, from what was recorded by hand."""
    total = 0.0
    for sign, part in zip((1, -1), path.parts, strict=False):
        numbers = _RECORDED[part.record.removeprefix("output.")][list(part.rounds(5))]
        reduced = {"at": np.sum, "mean": np.mean, "sum": np.sum, "min": np.min, "max": np.max}
        total += sign * float(reduced[part.reduce](numbers**part.power))
    return total


# A new quantity of what is recorded already needs no row here.
EXPECTED |= {
    name: by_path(quantity.path)
    for name, quantity in DECLARED.items()
    if name not in EXPECTED
    and all(p.record.removeprefix("output.") in _RECORDED for p in quantity.path.parts)
}


def measure(
    quantity: Any,
    objective: Any,
    rule: str = "sgd",
    rounds: Any = 5,
    mode: str = "in expectation",
    **options: Any,
) -> Any:
    open_ = {k: eta for k, bound in quantity.parameters.items() if bound is None}
    failure = FAILURE if mode == "with probability" else None
    claim = Claim(quantity.bind(**open_), "<=", T * B * eta, mode=mode, failure=failure)
    statement = Statement("made_up.one", "X", "printed", claim, (), Algorithm(rule, {"eta": eta}))
    values = {"T": float(rounds), "B": 1.0, "eta": 0.3}
    made = Experiment(statement, objective, values, **options)
    return protocol_for(statement).measure(made)


def test_every_declared_quantity_has_a_known_answer() -> None:
    assert DECLARED.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_of_a_run_without_randomness(name: Any) -> None:
    found = measure(DECLARED[name], BALL if "frank_wolfe" in name else BOWL)
    assert found.law == "arithmetic"
    assert found.values[name] == pytest.approx(np.array([[EXPECTED[name]]]), rel=1e-12)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_exact_law_is_the_mean_of_runs_that_stay_in_their_ranges(name: Any) -> None:
    """All paths, or moments, against what many runs give; each run inside its certified range."""
    waves = synthetic.bounded_nonconvex(dim=2, noise="two_point", sigma=0.4)
    if any(part in name for part in ("distance_to_minimizer", "output", "moreau", "wolfe")):
        waves = synthetic.quadratic(dim=2, noise="two_point", sigma=0.4, start=1.0)
    if "wolfe" in name:
        waves = Constrained(waves, Ball(9.0))
    quantity = DECLARED[name]
    exact = measure(quantity, waves, rounds=4)
    assert exact.exact
    runs = measure(quantity, waves, rounds=4, mode="with probability", replicas=4000, effort=1e8)
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


LASSO = Composite(synthetic.quadratic(dim=1, start=2.0), L1(0.5))


def test_a_gradient_mapping_ends_where_the_prox_leads() -> None:
    """F(w) = w^2/2 + |w|/2: from w = 2 the step 1/2 leads to 1 and its prox to 3/4."""
    mapping = quantities.final_gradient_mapping_norm_squared.bind(step=eta + sp.Rational(1, 5))
    found = measure(mapping, LASSO, rule="proximal_gradient", rounds=1)
    after = (2 - 0.3 * 2) - 0.3 * 0.5
    back = after - 0.5 * after - 0.25
    assert found.values[mapping.name] == pytest.approx(((after - back) / 0.5) ** 2, rel=1e-12)


def test_the_envelope_of_a_composite() -> None:
    """Of w^2/2 + |w|/2 at lam = 1: u = (w - 1/2)/2, so the slope at w = 2 is 5/4."""
    envelope = quantities.mean_moreau_gradient_norm_squared.bind(lam=sp.Integer(1))
    found = measure(envelope, LASSO, rule="proximal_gradient", rounds=1)
    assert found.values[envelope.name] == pytest.approx(1.25**2, rel=1e-9)


def test_the_envelope_of_a_convex_function_at_twice_its_delta() -> None:
    """At delta = 0 that is lam = 0: the envelope is inf F everywhere, and its slope is 0."""
    envelope = quantities.mean_moreau_gradient_norm_squared
    twice = Claim(envelope.bind(lam=2 * delta), "<=", Delta * ell)
    statement = Statement("made_up.envelope", "X", "printed", twice,
                          (SMOOTH, WEAKLY_CONVEX, BOUNDED_BELOW), Algorithm("sgd", {"eta": eta}),
                          conditions=(Condition(eta, "<=", 1 / ell),))  # fmt: skip
    verdict = check(statement, synthetic.quadratic(dim=2), count=2, replicas=8)
    assert (verdict.measured, verdict.verdict) == (0.0, "holds")
    at_delta = replace(statement, claim=Claim(envelope.bind(lam=delta), "<=", Delta * ell))
    bent = synthetic.cosine_sum(dim=2)
    assert float(bent.constants()["delta"]) > 0
    with pytest.raises(UsageError, match=r"lam > delta; make that a condition"):
        check(at_delta, bent, count=1, replicas=8)


def test_what_a_definition_leaves_open_must_be_said() -> None:
    quantity = quantities.final_gradient_mapping_norm_squared
    statement = Statement("made_up.open", "X", "printed", Claim(quantity, "<=", T * eta), (),
                          Algorithm("sgd", {"eta": eta}))  # fmt: skip
    experiment = Experiment(statement, BOWL, {"T": 2.0, "eta": 0.3})
    with pytest.raises(UsageError, match=r"say what step is in .*\.bind\(step=\.\.\.\)"):
        protocol_for(statement).measure(experiment)
    with pytest.raises(ValueError, match="no parameter lam; it has step"):
        quantity.bind(lam=eta)
    with pytest.raises(UsageError, match="gradient_mapping_norm needs step"):
        run(BOWL, SGD(eta=0.3), 2, replicas=1, record=("gradient_mapping_norm",))


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
        runs = measure(
            quantity, noisy, rounds=4, mode="with probability", replicas=4000, effort=1e8
        )
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


# --- regret -------------------------------------------------------------------------------------
CENTRES = synthetic.finite_sum(np.eye(1).repeat(2, 0), np.array([1.0, -1.0]), "squared",
                               start=[0.0])  # fmt: skip


LINES = synthetic.LinearSum("lines", np.array([[1.0, 0.5], [-0.25, 2.0]]), np.zeros(2))


def test_regret_of_two_quadratic_losses_by_hand() -> None:
    """f_i = (w -+ 1)^2/2 from 0 with eta = 0.3 for two rounds, over the four orders.

    A first loss at c = +-1 costs 1/2 and moves w to 0.3c; the same again costs 0.7^2/2, the other
    one 1.3^2/2. In hindsight c costs nothing, and 0 costs 1/2 twice.
    """
    found = measure(quantities.regret, CENTRES, rounds=2)
    assert found.law == "law"
    expected = 0.5 * (0.5 + 0.7**2 / 2) + 0.5 * (0.5 + 1.3**2 / 2 - 1)
    assert found.values["regret"] == pytest.approx(np.array([[expected]]), rel=1e-12)
    runs = measure(quantities.regret, CENTRES, rounds=2, mode="with probability", replicas=500,
                   effort=1e8)  # fmt: skip
    assert set(runs.values["regret"].ravel().round(9)) == {0.745, 0.345}


def test_regret_of_linear_losses_on_a_ball() -> None:
    """One step at a time: sum <a_t, w_t> + ||sum a_t||, the radius being 1."""
    ball = Constrained(LINES, Ball(1.0), start=torch.zeros(2, dtype=torch.float64))
    found = measure(quantities.regret, ball, rule="projected_subgradient", rounds=3)
    assert found.law == "law"
    a = [LINES.sample_gradient(torch.zeros(1, 2, dtype=torch.float64),
                               torch.tensor([[i]]))[0].numpy() for i in (0, 1)]  # fmt: skip
    total = 0.0
    for path in itertools.product((0, 1), repeat=3):
        w: np.ndarray = np.zeros(2)
        paid = 0.0
        for i in path:
            paid += float(a[i] @ w)
            w = w - 0.3 * a[i]
            w = w / max(1.0, float(np.linalg.norm(w)))
        total += (paid + float(np.linalg.norm(np.sum([a[i] for i in path], axis=0)))) / 8
    assert found.values["regret"] == pytest.approx(np.array([[total]]), rel=1e-10)


@pytest.mark.parametrize(("objective", "said"), [
    (synthetic.robust_regression(n=3, dim=2), "neither linear nor quadratic"),
    (LINES, "no best fixed point in closed form"),
    (Constrained(CENTRES, Ball(1.0)), "no best fixed point in closed form"),
])  # fmt: skip
def test_regret_without_a_best_point_is_refused(objective: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        measure(quantities.regret, objective, rounds=2)


# --- worst cases, and counterexamples written down --------------------------------------------
needs_pep = pytest.mark.skipif(
    any(importlib.util.find_spec(n) is None for n in ("PEPit", "cvxpy", "clarabel")),
    reason="needs the extra [pep]",
)
DISTANCE = quantities.first_distance_to_minimizer_squared


@needs_pep
@pytest.mark.parametrize(("name", "rule", "rounds", "worst"), [
    # Drori and Teboulle (2014): L R^2/(4T + 2) at eta = 1/L; descent makes the last the best.
    ("final_suboptimality", "sgd", 3, 1 / 14),
    ("min_suboptimality", "sgd", 3, 1 / 14),
    ("output_suboptimality", "sgd", 3, 1 / 14),
    ("first_suboptimality", "sgd", 3, 1 / 2),
    # The mean of w_0 and w_1 is one step of half the size: L R^2/(4h + 2) at h = 1/2.
    ("output_suboptimality", "averaged_sgd", 2, 1 / 4),
    ("output_distance_to_minimizer_squared", "averaged_sgd", 1, 1),
])  # fmt: skip
def test_worst_cases_known_in_closed_form(name: str, rule: str, rounds: int, worst: float) -> None:
    scale = 1 if "distance" in name else ell
    statement = Statement(
        "made_up.convex", "X", "printed", Claim(DECLARED[name], "<=", scale * DISTANCE + 0 * T),
        (SMOOTH, CONVEX), Algorithm(rule, {"eta": 1 / ell}, horizon=sp.Integer(rounds)),
    )  # fmt: skip
    found = worst_case(statement, {"ell": 1.0})
    assert found.primal == pytest.approx(worst, rel=1e-4)


@needs_pep
@pytest.mark.parametrize("name", ["min_gradient_norm", "mean_gradient_norm",
                                  "output_gradient_norm_squared"])  # fmt: skip
def test_worst_cases_are_attained_by_the_function_rebuilt(name: str) -> None:
    quantity = DECLARED[name]
    bound = ell * Delta if "squared" in name else (ell * Delta) ** 0.5
    rule = "averaged_sgd" if "output" in name else "sgd"
    statement = Statement("made_up.any", "X", "printed", Claim(quantity, "<=", bound),
                          (SMOOTH, BOUNDED_BELOW),
                          Algorithm(rule, {"eta": 1 / ell}, horizon=sp.Integer(2)))  # fmt: skip
    found = worst_case(statement, {"ell": 1.0, "Delta": 1.0})
    assert modelled(quantity)
    assert found.rebuilt is not None, found.unbuilt
    assert found.rebuilt.ratio == pytest.approx(found.ratio, rel=1e-2)


def test_claims_on_runs_are_not_refuted_by_means() -> None:
    """With chance 1/2 a run is far beyond the bound, with chance 1/2 at 0."""
    rows = ((-2.0, 2.0), (0.0, 0.0))
    values = {"eta": 1.0, "p": 0.9}
    for mode, failure in (("in expectation", None), ("with probability", FAILURE)):
        claim = Claim(quantities.final_displacement_squared, "<=", ell * eta, mode=mode,
                      failure=failure)  # fmt: skip
        statement = Statement("made_up.chance", "X", "printed", claim, (SMOOTH,),
                              Algorithm("sgd", {"eta": eta}, horizon=sp.Integer(1)))  # fmt: skip
        table = Tabular(statement, (-1.0, 1.0), rows, 2.0, values if failure else {"eta": 1.0})
        assert table.violates == table.exceeds_exactly() == (failure is None)
        if failure is not None:
            with pytest.raises(UsageError, match="not of the mean over the noise"):
                worst_case(statement, {"ell": 1.0, "sigma": 1.0, **values})


@pytest.mark.parametrize("name", [n for n, q in DECLARED.items() if tabulates(q)])
def test_scripts_measure_what_the_table_measures(name: str) -> None:
    """On the line, in rationals and as numpy text that runs alone."""
    statement = Statement(
        "made_up.line", "X", "printed", Claim(DECLARED[name], "<=", -ell - T),
        (SMOOTH,), Algorithm("sgd", {"eta": eta}, horizon=sp.Integer(2)),
    )  # fmt: skip
    values = {"eta": 0.75, "T": 2.0}
    table = Tabular(statement, (-1.0, 0.0, 2.0), ((-2.0, 0.5, 1.0), (0.0, -1.0, 2.0)), 1.5, values)
    exact = table.measured(Fraction)[name]
    assert float(exact) == pytest.approx(table.measured()[name], rel=1e-12)
    paths = np.array(table.paths())
    assert paths.shape == (4, 3)
    done = subprocess.run([sys.executable, "-I", "-c", f"{script(table)}\nprint({name})"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert float(done.stdout.split()[-1]) == pytest.approx(float(exact), rel=1e-12)


def test_a_run_that_is_asked_for_again_is_made_once_and_its_work_counts_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    monkeypatch.setattr("theorylab.quantities.runs.run",
                        lambda *a, **k: made.append(k["rounds"]) or run(*a, **k))  # fmt: skip
    sgd = Statement("made_up.sgd", "Lemma", "printed",
                    Claim(quantities.mean_gradient_norm_squared, "<=", ell * Delta),
                    (SMOOTH,), Algorithm("sgd"))  # fmt: skip
    noisy = synthetic.robust_regression(n=50, dim=2)
    values = {"eta": 0.1, "T": 20.0, "ell": 1.0, "Delta": 1.0}
    experiment = Experiment(sgd, noisy, values, replicas=40)
    found, works = [], []
    for _ in range(2):
        with metered() as meter:
            found.append(recorded_run(experiment, ["value"], range(1, 21), 20, 40)["value"])
        works.append(meter.work)
        found[-1][0] += len(works) - 1  # of the caller's own
    assert made == [20]
    assert works[0] == works[1] == 500 * 40 + 20 * 40
    assert np.array_equal(found[0][1:], found[1][1:])
    recorded_run(replace(experiment, repeat=1), ["value"], range(1, 21), 20, 40)
    recorded_run(experiment, ["value"], range(20), 20, 40)
    recorded_run(replace(experiment, values=values | {"eta": 0.2}), ["value"], range(20), 20, 40)
    assert made == [20] * 4
    again = recorded_run(experiment, ["value"], range(1, 21), 20, 40)["value"]
    assert np.array_equal(again, found[0])


def test_more_than_is_kept_is_run_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("theorylab.quantities.runs._NUMBERS", 10)
    made = []
    monkeypatch.setattr("theorylab.quantities.runs.run",
                        lambda *a, **k: made.append(k["rounds"]) or run(*a, **k))  # fmt: skip
    sgd = Statement("made_up.sgd", "Lemma", "printed", Claim(eta, "<=", 1), (), Algorithm("sgd"))
    experiment = Experiment(sgd, synthetic.robust_regression(n=50, dim=2), {"eta": 0.1})
    for _ in range(2):
        recorded_run(experiment, ["value"], (5,), 5, 20)
    assert made == [5, 5]
