"""Fields that are no gradients: what is certified of games, and what may speak of them."""

from __future__ import annotations

import math

import pytest
import torch

import synthetic
from bounds import hardt_recht_singer
from bounds.assumptions import CONVEX, MONOTONE, SMOOTH, STRONGLY_MONOTONE
from bounds.claim import Claim, Condition
from bounds.methods import extragradient
from bounds.notation import T, ell, eta, mu, sigma
from bounds.quantities import (
    final_distance_to_minimizer_squared,
    final_suboptimality,
    first_distance_to_minimizer_squared,
)
from bounds.statement import Algorithm, Statement
from theorylab.errors import AssumptionError, UsageError
from theorylab.exact.function_class import pepit
from theorylab.exact.worst_case import worst_case
from theorylab.hunt.rescaling import rescale, without_noise
from theorylab.judge.check import check
from theorylab.problem.objective import Constant


@pytest.mark.parametrize("mu", [0.0, 0.7])
def test_the_field_is_each_players_own_gradient(mu: float) -> None:
    game = synthetic.quadratic_game(pairs=3, coupling=2.0, condition=4.0, mu=mu)
    b = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    w = torch.randn(5, 6, dtype=torch.float64).requires_grad_()
    x, y = w.chunk(2, -1)
    phi = mu / 2 * x.square().sum(-1) + (b * x * y).sum(-1) - mu / 2 * y.square().sum(-1)
    (slope,) = torch.autograd.grad(phi.sum(), w)
    slope[:, 3:] *= -1
    torch.testing.assert_close(game.gradient(w.detach()), slope)
    saddle = game.minimizer()
    assert saddle is not None
    assert float(game.gradient(saddle[None]).norm()) == 0


@pytest.mark.parametrize("name", ["ell", "mu", "s_min"])
def test_wrong_certificates_of_a_game_are_refuted(name: str) -> None:
    game = synthetic.quadratic_game(pairs=2, mu=0.5)
    own = game.constants()
    assert not any(reach.broken for reach in synthetic.attack(game))
    wrong = float(own[name]) * (0.99 if name == "ell" else 1.01)
    (reach,) = synthetic.attack(game, {name: Constant(wrong, "wrong")})
    assert reach.broken


def test_a_game_has_no_values_and_certifies_none() -> None:
    game = synthetic.quadratic_game(mu=0.5)
    assert not {"Delta", "Bf", "delta", "L"} & set(game.constants())
    assert math.isnan(game.minimum())
    for asked in (game.value, game.hessian):
        with pytest.raises(UsageError, match="quadratic_game has no values"):
            asked(game.start[None])
    values = Statement(
        "test.values", "Lemma", "printed", Claim(final_suboptimality, "<=", ell),
        assumptions=(MONOTONE, SMOOTH), algorithm=Algorithm("sgd", {"eta": eta}),
    )  # fmt: skip
    with pytest.raises(UsageError, match="quadratic_game has no values"):
        check(values, game, count=1)


def test_only_statements_on_monotone_fields_speak_of_games() -> None:
    game = synthetic.quadratic_game(mu=0.5)
    nearer = Claim(final_distance_to_minimizer_squared, "<=", first_distance_to_minimizer_squared)
    convex = Statement("test.convex", "Lemma", "printed", nearer, (CONVEX, SMOOTH),
                       Algorithm("sgd", {"eta": eta}))  # fmt: skip
    for other in (game, rescale(game, 2.0, 3.0), without_noise(game),
                  synthetic.Noisy(game, synthetic.Gaussian(0.1))):  # fmt: skip
        assert other.setting == {"monotone", "strongly_monotone"}
        with pytest.raises(AssumptionError):
            check(convex, other, count=1)
    with pytest.raises(AssumptionError):
        check(hardt_recht_singer.STATEMENTS[0], game, count=1)
    # A convex function's gradient is monotone; that of one which is not need not be.
    lemma = extragradient.lemma_12_1_10
    assert check(lemma, synthetic.quadratic(), count=1).verdict != "violated"
    with pytest.raises(AssumptionError, match="is not monotone"):
        check(lemma, synthetic.delta_nonconvex(), count=1)


def shrinks(times: int) -> Statement:
    """``||w_T||^2 <= (1 - times eta mu + eta^2 ell^2)^T ||w_0||^2``: true for 2, false for 3."""
    factor = 1 - times * eta * mu + eta**2 * ell**2
    claim = Claim(final_distance_to_minimizer_squared, "<=",
                  factor**T * first_distance_to_minimizer_squared)  # fmt: skip
    quiet, short = Condition(sigma, "<=", 0), Condition(eta, "<=", mu / ell**2)
    return Statement("test.strongly", "Lemma", "printed", claim, (STRONGLY_MONOTONE, SMOOTH),
                     Algorithm("sgd", {"eta": eta}), conditions=(short, quiet))  # fmt: skip


def test_statements_on_strongly_monotone_fields_speak_of_games_that_are() -> None:
    curved = synthetic.quadratic_game(mu=0.5)
    assert check(shrinks(2), curved, count=4).verdict == "holds"
    assert check(shrinks(3), curved, count=4).verdict == "violated"
    with pytest.raises(AssumptionError, match="certifies no mu"):
        check(shrinks(2), synthetic.quadratic_game(), count=1)


@pytest.mark.parametrize("step", [0.25, 1.0])
def test_the_lemma_is_attained_by_a_bilinear_game_at_every_step(step: float) -> None:
    game = synthetic.quadratic_game(pairs=1, condition=1.0)
    found = check(extragradient.lemma_12_1_10, game, values={"eta": step, "T": 10}, count=1)
    assert found.verdict == "holds"
    assert found.ratio == pytest.approx(1)


def test_descent_ascent_turns_away_at_its_rate() -> None:
    game = synthetic.quadratic_game(pairs=1, condition=1.0)
    grows = Statement(
        "test.grows", "Lemma", "printed",
        Claim(final_distance_to_minimizer_squared, "==",
              (1 + eta**2 * ell**2) ** T * first_distance_to_minimizer_squared),
        assumptions=(MONOTONE, SMOOTH), algorithm=Algorithm("sgd", {"eta": eta}),
    )  # fmt: skip
    assert check(grows, game, values={"eta": 0.5, "T": 20}, count=1).verdict == "holds"


def test_worst_cases_of_monotone_fields_bound_from_above() -> None:
    try:
        pepit()
    except UsageError as error:
        pytest.skip(str(error))
    values = {"eta": 0.2, "ell": 1.0, "s_min": 0.5, "T": 2.0, "sigma": 0.0}
    # Of strongly monotone fields too, and not of strongly convex functions alone, which do better.
    strongly = worst_case(shrinks(2), {"eta": 0.2, "ell": 1.0, "mu": 0.25, "T": 1.0, "sigma": 0.0})
    assert strongly.scope == "upper bound"
    assert strongly.proves
    assert strongly.ratio == pytest.approx(1, abs=1e-3)
    found = worst_case(extragradient.theorem_4_bilinear, values)
    assert found.scope == "upper bound"
    assert found.proves
    assert found.ratio > 0.9
    turned = worst_case(extragradient.descent_ascent, values)
    assert not turned.proves
    # A relaxed class alone refutes nothing.
    assert not turned.refutes
    assert turned.primal > 1
