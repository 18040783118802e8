"""Families that attain what bounds allow: false claims that nothing else here refutes fall on them.

Every claim is tried where a user would try it, by ``check`` on the family's own defaults; the true
neighbour of each false claim is never refuted there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from falsified import HEAVY_BALL, MENDED, scaled

import synthetic
from bounds import hardt_recht_singer, tralgo
from bounds.assumptions import (
    BOUNDED_DOMAIN,
    CONVEX,
    EXPECTED_SMOOTHNESS,
    NOISE_AT_MINIMIZER,
    POLYAK_LOJASIEWICZ,
    QUADRATIC_GROWTH,
    SMOOTH,
    Assumption,
)  # fmt: skip
from bounds.claim import Claim, Condition
from bounds.notation import Bf, Delta, T, ell, eta, mu_pl
from bounds.quantities import final_suboptimality
from bounds.statement import Algorithm, Rate, Statement
from synthetic.laws import Rare
from theorylab.errors import AssumptionError, UsageError
from theorylab.judge.check import check, constants_for
from theorylab.problem.objective import Objective
from theorylab.studies.verify import verify


# --- stability ----------------------------------------------------------------------------------
def test_linear_twins_attain_the_stability_of_convex_losses() -> None:
    objective = synthetic.linear_twins(n=5, G=2.0)
    values = {"eta": 0.5, "T": 40}
    true = check(hardt_recht_singer.theorem_3_8, objective, values=values, replicas=2000)
    assert true.verdict != "violated"
    assert true.ratio == pytest.approx(1.0, abs=0.1)
    half = scaled(hardt_recht_singer.theorem_3_8, sp.Rational(1, 2))
    assert check(half, objective, values=values, replicas=2000).verdict == "violated"


def test_half_of_the_convex_stability_bound_falls_at_the_defaults() -> None:
    half = scaled(hardt_recht_singer.theorem_3_8, sp.Rational(1, 2))
    assert check(half, synthetic.linear_twins(), replicas=256, count=6).verdict == "violated"


def test_verify_refutes_half_of_the_convex_stability_bound(tmp_path: Path) -> None:
    half = scaled(hardt_recht_singer.theorem_3_8, sp.Rational(1, 2))
    report = verify([half], instances=0, out=tmp_path, progress=False)
    assert report.verdicts[0].told == "violated (valid interval)"
    # Both attain the whole bound, so samples tell which is shown.
    assert report.verdicts[0].objective in ("linear_twins", "chain_twins")


@pytest.mark.parametrize("condition", [1.0, 4.0])
def test_strongly_convex_losses_are_lipschitz_where_their_runs_are(condition: float) -> None:
    objective = synthetic.strongly_convex_twins(n=20, condition=condition)
    statement = hardt_recht_singer.theorem_3_9
    verdict = check(statement, objective, replicas=1000, count=6)
    assert verdict.verdict != "violated"
    assert 0.4 < verdict.ratio < 0.55  # G^2/(mu n) of 2 G^2/(mu n)
    values = {"eta": 0.05, "T": 400}
    two_fifths = scaled(statement, sp.Rational(2, 5))
    assert check(two_fifths, objective, values=values, replicas=2000).verdict == "violated"


def test_the_region_is_never_left_and_its_slope_is_reached() -> None:
    objective = synthetic.strongly_convex_twins(n=4, slope=3.0, mu=0.5, condition=2.0)
    _, twins = objective.replacement(seed=1, pairs=2)
    steepest = float(objective.region_constants()["G"])
    assert float(twins.region_constants()["G"]) == steepest
    rng = np.random.default_rng(0)
    w = objective.start.expand(64, 1).clone()
    seen = 0.0
    for _ in range(200):
        step = torch.from_numpy(rng.uniform(0, 1.0, size=(64, 1)))  # up to 1/ell
        index = torch.from_numpy(rng.integers(0, twins.n, size=(64, 1)))
        gradient = twins.sample_gradient(w, index)
        seen = max(seen, float(gradient.abs().max()))
        w = w - step * gradient
    assert 0.9 * steepest < seen <= steepest * (1 + 1e-12)


def test_a_gradient_bound_on_a_region_serves_no_theorem_that_wants_it_everywhere() -> None:
    objective = synthetic.strongly_convex_twins()
    with pytest.raises(AssumptionError, match="certifies no G"):
        constants_for(hardt_recht_singer.theorem_3_8, objective)


# --- TRAlgo -------------------------------------------------------------------------------------
def test_the_mended_claim_is_the_proved_one_but_for_its_first_term() -> None:
    proved = tralgo.theorem_2_sum.claim.rhs
    assert sp.simplify(proved - MENDED.claim.rhs - 4 * ell * Bf / T) == 0
    assert MENDED.units == "consistent"


@pytest.mark.parametrize("unit", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("rounds", [24, 100])
def test_a_chain_of_dips_exceeds_theorem_2_without_noise(unit: float, rounds: int) -> None:
    """4 ell Bf/T is too small by 8/7 in any units; the error term is the one that is proved."""
    objective = synthetic.dip_chain(ell=unit)
    values = {"T": rounds, "S": 64}
    verdict = check(MENDED, objective, values=values, effort=1e7)
    assert verdict.verdict == "violated"
    assert 1.05 < verdict.ratio < 8 / 7
    repaired = check(tralgo.theorem_2_repaired, objective, values=values, effort=1e7)
    assert repaired.verdict != "violated"


def test_the_chain_refutes_theorem_2_as_printed() -> None:
    verdict = check(tralgo.theorem_2, synthetic.dip_chain(), values={"T": 24, "S": 64})
    assert verdict.verdict == "violated"


def test_two_hundred_dips_are_a_part_in_a_hundred_from_the_most_there_can_be() -> None:
    """8/7 of the printed first term, in a run of 256 rounds that anybody can make."""
    objective = synthetic.dip_chain(dips=256, spacing=0.999)
    values = {"T": 256, "S": 64}
    verdict = check(MENDED, objective, values=values, effort=1e7)
    assert (verdict.verdict, verdict.evidence) == ("violated", "exact arithmetic")
    assert 0.99 * 8 / 7 < verdict.ratio < 8 / 7
    repaired = check(tralgo.theorem_2_repaired, objective, values=values, effort=1e7)
    assert repaired.verdict != "violated"


def test_longer_chains_come_near_eight_sevenths() -> None:
    ratios = []
    for dips in (16, 64, 256):
        objective = synthetic.dip_chain(dips=dips, spacing=1.0)
        c = {name: float(constant) for name, constant in objective.constants().items()}
        ratios.append(c["G"] ** 2 * dips / (4 * c["ell"] * c["Bf"]))
    assert ratios == sorted(ratios)
    assert ratios[-1] == pytest.approx(8 / 7, rel=0.01)
    assert max(ratios) < 8 / 7


def test_a_bounded_dip_has_the_noise_of_a_quadratic() -> None:
    """SGD at eta = 1/(2 ell) has sigma^2/(3M), not the sigma^2/(4M) of Theorem 1 as printed."""
    objective = synthetic.quadratic_dip()
    values = {"T": 400, "B": 1}
    printed = check(tralgo.theorem_1, objective, values=values, effort=1e7)
    assert printed.verdict == "violated"
    assert 1.2 < printed.ratio < 4 / 3
    repaired = check(tralgo.theorem_1_repaired, objective, values=values, effort=1e7)
    assert repaired.verdict != "violated"
    assert repaired.ratio > 0.95


# --- deterministic rates ------------------------------------------------------------------------
def test_the_heavy_ball_does_not_converge_on_smooth_strongly_convex_functions() -> None:
    values = {"T": 30}
    assert check(HEAVY_BALL, synthetic.strongly_convex(), values=values).verdict == "violated"
    assert check(HEAVY_BALL, synthetic.quadratic(dim=3), values=values).verdict != "violated"


def test_no_constant_saves_the_heavy_ball() -> None:
    order = replace(HEAVY_BALL, rate=Rate(T, {}), claim=Claim(
        final_suboptimality, "<=", HEAVY_BALL.claim.rhs / 1000, big_o=True))  # fmt: skip
    verdict = check(order, synthetic.strongly_convex())
    assert (verdict.verdict, verdict.evidence) == ("violated", "growth")
    assert check(order, synthetic.quadratic(dim=3)).verdict != "violated"


def test_the_heavy_ball_cycles_where_lessard_recht_and_packard_say() -> None:
    objective = synthetic.strongly_convex()
    for start in (3.07, 3.2, 3.46):
        w = v = torch.tensor([[start]], dtype=torch.float64)
        for _ in range(3000):
            w, v = w - objective.gradient(w) / 9 + 4 / 9 * (w - v), w
        assert float(w.abs()) > 0.5


@pytest.mark.parametrize("steps", [1, 4, 30])
def test_gradient_descent_is_slowest_on_hubers_function(steps: int) -> None:
    objective = synthetic.huber(ell=3.0, width=0.5, start=2 * steps + 1)
    w = objective.start.unsqueeze(0)
    far = float(w)
    for _ in range(steps):
        w = w - objective.gradient(w) / 3.0
    left = float(objective.value(w)) - objective.minimum()
    assert left == pytest.approx(3.0 * far**2 / (4 * steps + 2), rel=1e-12)


# --- noise --------------------------------------------------------------------------------------
@pytest.mark.parametrize("rarity", [0.001, 0.05, 0.5])
def test_rare_noise_has_mean_zero_and_its_variance(rarity: float) -> None:
    law = Rare(2.0, rarity, np.array([0.6, 0.8]))
    draws, chances = law.outcomes(2)
    noise = law.mean_noise(torch.from_numpy(draws)[:, None], torch.zeros(2, 2).double()).numpy()
    assert np.allclose(chances @ noise, 0, atol=1e-12)
    assert chances @ (noise**2).sum(1) == pytest.approx(4.0)
    assert np.allclose(law.covariance(2), np.cov(noise.T, aweights=chances, ddof=0))
    drawn = law.draw(np.random.default_rng(0), (40_000,), 2).mean()
    assert abs(drawn - rarity) < 5 * np.sqrt(rarity / 40_000)


@pytest.mark.parametrize("build", [synthetic.quadratic, synthetic.piecewise_quadratic])
def test_the_tails_of_student_noise_are_chosen(build: Callable[..., Objective]) -> None:
    """The variance of t is dof/(dof - 2), infinite up to 2."""
    steady = build(noise="student_t", sigma=0.5, dof=2.5)
    assert float(steady.constants()["sigma"]) == pytest.approx(0.5 * np.sqrt(5))
    assert "sigma" not in build(noise="student_t", sigma=0.5).constants()
    with pytest.raises(UsageError, match="dof must be above 1"):
        build(noise="student_t", sigma=0.5, dof=1.0)


def test_a_rare_outcome_is_a_probability() -> None:
    with pytest.raises(UsageError, match=r"rarity must be a probability in \(0, 1\), got 1.5"):
        synthetic.quadratic(noise="rare", sigma=1.0, rarity=1.5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: synthetic.dip_chain(kappa=2.0), r"dip_chain: kappa must be in \(0, 1\], got 2.0"),
        (lambda: synthetic.quadratic_dip(kappa=0.0), "quadratic_dip: kappa must be in"),
        (lambda: synthetic.strongly_convex(condition=0.5), "must be a number of at least 1"),
        (lambda: synthetic.strongly_convex_twins(condition=0.5), "must be a number of at least 1"),
        (lambda: synthetic.linear_twins(G=0.0), "G must be a positive number"),
        (lambda: synthetic.huber(width=0.0), "width must be a positive number"),
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(build: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()


@pytest.mark.parametrize("objective", [synthetic.huber(), synthetic.strongly_convex(pieces=5)],
                         ids=lambda o: o.name)  # fmt: skip
def test_convex_functions_are_declared_so(objective: Objective) -> None:
    assert CONVEX.name in objective.declared
    assert Condition(ell, ">", 0).holds({"ell": float(objective.constants()["ell"])})


# --- what theorems beyond smoothness assume -----------------------------------------------------
_LINEAR_RATE = Statement(
    "demo.polyak", "Gradient descent under Polyak-Lojasiewicz", "printed",
    Claim(final_suboptimality, "<=", (1 - mu_pl / ell) ** T * Delta),
    (SMOOTH, POLYAK_LOJASIEWICZ), Algorithm("sgd", {"eta": eta}), {eta: 1 / ell},
)  # fmt: skip


def test_gradient_descent_converges_linearly_without_convexity() -> None:
    """Karimi, Nutini & Schmidt 2016, Theorem 1; thrice the constant is refuted."""
    objective = synthetic.polyak_lojasiewicz(waves=1, start=2.6)
    assert "convex" not in objective.declared
    values = {"T": 1}
    true = check(_LINEAR_RATE, objective, values=values)
    assert true.verdict == "holds"
    tripled = replace(_LINEAR_RATE, claim=Claim(
        final_suboptimality, "<=", (1 - 3 * mu_pl / ell) ** T * Delta))  # fmt: skip
    assert check(tripled, objective, values=values).verdict == "violated"


@pytest.mark.parametrize(
    ("assumption", "objective"),
    [
        (POLYAK_LOJASIEWICZ, synthetic.polyak_lojasiewicz(noise="two_point", sigma=1.0)),
        (POLYAK_LOJASIEWICZ, synthetic.quadratic(noise="shifts", sigma=1.0)),
        (QUADRATIC_GROWTH, synthetic.polyak_lojasiewicz()),
        (QUADRATIC_GROWTH, synthetic.robust_regression(n=30, dim=2, loss="squared")),
        (EXPECTED_SMOOTHNESS, synthetic.robust_regression(n=30, dim=2, loss="squared")),
        (EXPECTED_SMOOTHNESS, synthetic.strongly_convex_twins()),
        (EXPECTED_SMOOTHNESS, synthetic.quadratic(noise="gaussian", sigma=1.0)),
        (NOISE_AT_MINIMIZER, synthetic.robust_regression(n=30, dim=2, loss="squared")),
        (NOISE_AT_MINIMIZER, synthetic.quadratic(noise="gaussian", sigma=1.0)),
        (BOUNDED_DOMAIN, synthetic.strongly_convex_twins()),
    ],
    ids=lambda x: getattr(x, "name", None),
)  # fmt: skip
def test_families_certify(assumption: Assumption, objective: Objective) -> None:
    statement = replace(_LINEAR_RATE, assumptions=(assumption,), prescription={},
                        claim=Claim(final_suboptimality, "<=", Delta))  # fmt: skip
    known = constants_for(replace(statement, claim=Claim(eta, "<=", eta)), objective)
    assert known[assumption.constants[0].name] > 0


def test_the_least_domination_and_growth_of_pieces_are_exact() -> None:
    rng = np.random.default_rng(0)
    tried = 0
    for _ in range(300):
        knots = np.sort(rng.uniform(-3, 3, rng.integers(2, 7)))
        slopes = np.where(knots < 0, -1, 1) * rng.uniform(0.05, 2, len(knots))
        scalar = synthetic.PiecewiseQuadratic(
            tuple(knots), tuple(slopes), *rng.uniform(0.05, 2, 2), base=rng.uniform(-1, 1)
        )
        ranges = scalar.ranges
        if not ranges.polyak:
            continue
        tried += 1
        best, low = ranges.minimizer, ranges.value[0]
        assert best is not None
        reach = np.geomspace(1e-2, 1e4, 2000)
        x = torch.from_numpy(np.concatenate([np.linspace(-6, 6, 8001), best - reach, best + reach]))
        gap = scalar.value(x) - low
        away = gap > 1e-6
        least = (scalar.slope(x).square() / (2 * gap))[away].min()
        growth = (2 * gap / (x - best).square())[away].min()
        assert ranges.polyak * (1 - 1e-9) <= least <= 1.2 * ranges.polyak + 1e-3
        assert ranges.growth * (1 - 1e-9) <= growth <= 1.2 * ranges.growth + 1e-3
        assert ranges.polyak <= ranges.growth * (1 + 1e-9)  # Karimi et al., Theorem 2
    assert tried > 50


def test_a_second_minimum_or_a_stationary_point_certifies_nothing() -> None:
    pieces = synthetic.PiecewiseQuadratic
    for scalar in (
        pieces((-1.0, 0.0, 1.0), (0.0, 0.5, 0.0), 1.0, 1.0),  # stationary at 1, above the minimum
        pieces((-1.0, -0.5, 0.0, 0.5, 1.0), (0.0, 0.5, 0.0, -0.5, 0.0), 1.0, 1.0),  # two minima
        pieces((-1.0, 1.0), (0.0, 0.0), 1.0, 1.0),  # a whole interval of them
        pieces((-1.0, 1.0), (-1.0, 1.0)),  # linear tails
    ):
        assert (scalar.ranges.polyak, scalar.ranges.growth) == (0.0, 0.0)
