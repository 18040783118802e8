"""Every certificate of every family is attacked; gradients, laws and bits are compared."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_instances import DEFAULTS, INSTANCES

import synthetic
from bounds.assumptions import CONSTRAINED, SMOOTH
from bounds.claim import Claim
from bounds.notation import Delta
from bounds.statement import Statement
from synthetic.losses import LOSSES
from synthetic.margin_sum import MarginSum
from synthetic.piecewise_quadratic import PiecewiseQuadratic
from synthetic.reach import LOWER
from synthetic.scalar import Scalar
from theorylab.errors import AssumptionError, DataError
from theorylab.judge.check import constants_for
from theorylab.problem.objective import Constant, Family

# Attained where many pieces meet (``tests/test_chain_twins.py``): a blind search comes near in few
# dimensions.
SMALLER: Mapping[str, Mapping[str, object]] = {"chain_twins": {"dim": 5}}


# --- certificates -------------------------------------------------------------------------------
@pytest.mark.parametrize(("family", "parameters"), INSTANCES)
def test_no_certificate_breaks_and_attained_ones_are_approached(
    family: Family, parameters: Mapping[str, object]
) -> None:
    objective = family.build(**{**parameters, **SMALLER.get(family.name, {})})
    for steps in (30, 150):
        reaches = synthetic.attack(objective, points=32, steps=steps)
        assert reaches
        assert [reach for reach in reaches if reach.broken] == []
        # The slack only matters for sampled noise: its variance is known to a standard error.
        far = [r for r in reaches if r.attained and r.certified
               and r.ratio + r.slack / r.certified < 0.99]  # fmt: skip
        if not far:
            break
    assert far == []


@pytest.mark.parametrize(("family", "parameters"), INSTANCES)
def test_whoever_knows_a_minimizer_certifies_how_far_it_is(
    family: Family, parameters: Mapping[str, object]
) -> None:
    objective = family.build(**parameters)
    best = objective.minimizer()
    known = objective.constants()
    # A least-squares solution is as near to the minimizer as its slope and the curvature say.
    solved = isinstance(objective, MarginSum)
    assert ("R" in known) == (best is not None and (not solved or "mu" in known))
    if "R" in known:
        distance = float((objective.start - best).norm())
        assert float(known["R"]) == pytest.approx(distance, rel=1e-9)


@pytest.mark.parametrize("family", [f for f in synthetic.FAMILIES if f.defaults],
                         ids=lambda f: f.name)  # fmt: skip
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck),
          derandomize=True)  # fmt: skip
@given(data=st.data())
def test_no_certificate_breaks_wherever_a_search_may_go(family: Family, data: Any) -> None:
    moved: dict[str, float] = {}
    for parameter in family.parameters:
        if parameter.integer:
            high = int(min(parameter.upper, 12))
            low = min(int(parameter.lower), high)
            moved[parameter.name] = data.draw(st.integers(low, high), label=parameter.name)
        elif parameter.log:
            exponent = st.floats(math.log(parameter.lower), math.log(parameter.upper))
            power = math.exp(data.draw(exponent, label=parameter.name))
            moved[parameter.name] = min(max(power, parameter.lower), parameter.upper)
        else:
            moved[parameter.name] = data.draw(st.floats(parameter.lower, parameter.upper))
    base = data.draw(st.sampled_from(family.defaults))
    objective = family.build(**{**base, **moved})
    broken = [r for r in synthetic.attack(objective, points=16, steps=8) if r.broken]
    assert broken == []


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes"])
@pytest.mark.parametrize("loss", ["geman_mcclure", "logistic"])
def test_certificates_on_real_data(name: str, loss: str) -> None:
    objective = synthetic.dataset_objective(name, loss=loss, alpha=0.05)
    assert [r for r in synthetic.attack(objective, points=8, steps=6) if r.broken] == []


@pytest.mark.slow
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits"])
def test_certificates_on_real_data_attacked_hard(name: str, loss: str) -> None:
    eight = "8" if name == "digits" and LOSSES[loss].of_margin else None
    objective = synthetic.dataset_objective(name, loss=loss, positive=eight)
    reaches = synthetic.attack(objective)
    assert [r for r in reaches if r.broken] == []


MUTANTS = ["bounded_nonconvex-1", "cosine_sum-0", "piecewise_quadratic_sum-0", "relaxed_smooth-0",
           "quadratic-1", "composite_quadratic-0", "constrained_quadratic-1",
           "constrained_linear-2", "curved_workers-1", "shifted_workers-1"]  # fmt: skip


@pytest.mark.parametrize(
    ("family", "parameters"), [p for p in DEFAULTS if p.id in MUTANTS]
)  # fmt: skip
def test_a_wrong_constant_is_caught(family: Family, parameters: Mapping[str, object]) -> None:
    objective = family.build(**parameters)
    for certify, place in ((objective.constants, 0), (objective.sample_constants, 1),
                           (objective.worker_constants, 2)):  # fmt: skip
        right = certify()
        wrong = {
            name: dataclasses.replace(c, value=c.value * (1.05 if name in LOWER else 0.95))
            for name, c in right.items()
            if c.attained
        }
        tables: list[dict[str, Constant]] = [{}, {}, {}]
        tables[place] = wrong
        caught = {r.name for r in synthetic.attack(objective, *tables, points=32) if r.broken}
        counts = {"n", "d", "M", "L1"}
        if place == 2:  # what is said of F and of all workers is attacked as F's
            counts |= {"Delta", "R", "zeta", "zeta_star"}
        expected = {k for k, c in wrong.items() if c.value and k not in counts}
        assert caught == expected


def test_a_wrong_minimum_and_a_wrong_delta_of_zero_are_caught() -> None:
    objective = synthetic.delta_nonconvex(dim=2, kappa=0.3)
    claimed = {"delta": Constant(0.0, "wrong"), "Delta": Constant(0.1, "wrong")}
    caught = {r.name for r in synthetic.attack(objective, claimed) if r.broken}
    assert caught == {"delta", "Delta"}


SCALARS: list[Scalar] = [
    *(loss() for loss in LOSSES.values()),
    *(synthetic.delta_nonconvex(dim=1, kappa=k, rotated=False).scalar for k in (0.3, 1.0)),
    synthetic.bounded_nonconvex(dim=1, kappa=0.3).scalar,
    *(
        synthetic.relaxed_smooth(dim=1, shape=shape).scalar
        for shape in ("cosh", "exponential", "power", "double_well", "mixed")
    ),
    synthetic.one_sided(dim=1).scalar,
    PiecewiseQuadratic((-1.0, 0.5, 2.0), (0.5, -1.0, 0.25), 0.3, -0.2),
]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: s.name)
def test_scalars_ranges_are_exact(scalar: Scalar) -> None:
    grid = torch.cat([
        torch.linspace(-12, 12, 48_001, dtype=torch.float64),
        torch.tensor([-1e5, -300.0, 300.0, 1e5], dtype=torch.float64),
    ])  # fmt: skip
    for function, (low, high) in (
        (scalar.value, scalar.ranges.value),
        (scalar.slope, scalar.ranges.slope),
        (scalar.curvature, scalar.ranges.curvature),
    ):
        values = function(grid)
        values = values[torch.isfinite(values)]
        reach = max([1.0, *(abs(x) for x in (low, high) if math.isfinite(x))])
        assert float(values.min()) >= low - 1e-12 * reach
        assert float(values.max()) <= high + 1e-12 * reach
        assert float(values.min()) <= (low + 0.01 * reach if math.isfinite(low) else -2.0)
        assert float(values.max()) >= (high - 0.01 * reach if math.isfinite(high) else 2.0)
    for point, function, target in (
        (scalar.ranges.minimizer, scalar.value, scalar.ranges.value[0]),
        (scalar.ranges.peak, scalar.curvature, scalar.ranges.curvature[1]),
    ):
        if point is not None:
            at = function(torch.tensor([point], dtype=torch.float64))
            assert float(at) == pytest.approx(target, abs=1e-12)


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: s.name)
def test_scalars_derivatives(scalar: Scalar) -> None:
    x = torch.linspace(-2.9, 3.1, 37, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(scalar.value(x).sum(), x, create_graph=True)
    torch.testing.assert_close(scalar.slope(x.detach()), slope.detach(), rtol=1e-9, atol=1e-12)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    torch.testing.assert_close(scalar.curvature(x.detach()), bend, rtol=1e-9, atol=1e-12)


@given(st.floats(0.05, 1.0), st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_bounded_functions_attain_the_most_that_their_constants_allow(
    kappa: float, ell: float, Bf: float, dim: int
) -> None:
    objective = synthetic.bounded_nonconvex(dim=dim, kappa=kappa, ell=ell, Bf=Bf)
    c = {name: float(constant) for name, constant in objective.constants().items()}
    assert c["ell"] == pytest.approx(ell)
    assert c["delta"] == pytest.approx(kappa * ell)
    assert c["Bf"] == pytest.approx(Bf)
    assert c["G"] ** 2 == pytest.approx(4 * Bf * ell * c["delta"] / (ell + c["delta"]))


def test_statements_of_a_plain_function_leave_sets_and_simple_parts_alone() -> None:
    plain = Statement("demo.plain", "Lemma", "printed", Claim(Delta, "<=", Delta), (SMOOTH,))
    aware = dataclasses.replace(plain, assumptions=(SMOOTH, CONSTRAINED))
    inside, added = synthetic.constrained_quadratic(), synthetic.composite_quadratic()
    assert constants_for(aware, inside)["ell"] == 1.0
    for statement, objective in ((plain, inside), (plain, added), (aware, added)):
        with pytest.raises(AssumptionError, match=r"plain F|assumes constrained"):
            constants_for(statement, objective)
    with pytest.raises(AssumptionError, match="assumes constrained"):
        constants_for(aware, synthetic.quadratic())


@given(st.sampled_from(["ball", "box", "simplex", "l1_ball"]), st.integers(1, 6),
       st.floats(-4, 4), st.floats(0.1, 10), st.floats(1, 50))  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_the_minimizer_on_a_set_is_a_fixed_point_of_projected_steps(
    domain: str, dim: int, centre: float, size: float, condition: float
) -> None:
    F = synthetic.constrained_quadratic(domain, dim, 1.0, condition, size, centre)
    best = F.minimizer().unsqueeze(0)
    again = F.projection(best - F.gradient(best))
    torch.testing.assert_close(again, best, rtol=0, atol=1e-12 * size * max(1.0, abs(centre)))


@pytest.mark.parametrize("start", [[1.0, 2.0, 3.0], [[1.0, 2.0]], [1.0, math.nan], math.inf])
def test_a_start_that_fits_no_point_is_refused(start: Any) -> None:
    with pytest.raises(DataError, match=r"start as a number or of shape \(2,\)"):
        synthetic.finite_sum(np.eye(2), np.zeros(2), "squared", start=start)


def test_a_start_may_be_one_number_for_all_coordinates() -> None:
    everywhere = synthetic.finite_sum(np.eye(2), np.zeros(2), "squared", start=3.0)
    assert everywhere.start.tolist() == [3.0, 3.0]
