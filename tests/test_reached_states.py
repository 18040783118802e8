"""Claims on one round hold from the states that a run reaches, not on a fresh start alone."""

from typing import Any

import numpy as np
import pytest
import sympy as sp

import synthetic
from bounds import Algorithm, Claim, Condition, Statement, methods
from bounds.assumptions import BOUNDED_VARIANCE, SMOOTH
from bounds.notation import ell, eta, sigma
from bounds.quantities import decrease, displacement_squared, gradient_norm_squared
from theorylab import check
from theorylab.hunt.rescaling import without_noise
from theorylab.hunt.search import hunt
from theorylab.method import LRSGD_C, LRSGD_R, MSGD, SGD, SNGD, TRSGD, ClippedSGD, Nesterov
from theorylab.plugins import registry
from theorylab.quantities.one_round import OneRound
from theorylab.quantities.protocol import Experiment, begins_fresh, is_one_step

QUIET = (Condition(eta, "<=", 1 / ell), Condition(sigma, "<=", 0))


def _falls(rule: Any) -> Any:
    return Statement(f"made_up.{rule}_falls", "Lemma", "printed", Claim(decrease, ">=", 0),
                     (SMOOTH,), Algorithm(rule), conditions=QUIET)  # fmt: skip


@pytest.mark.parametrize(("rule", "step"), [("msgd", 1.0), ("nesterov", 0.5)])
def test_not_every_momentum_step_decreases_the_function(rule: str, step: float) -> None:
    """On w^2/2 with momentum 0.9 and eta = 1 its values are 0.5, 0, 0.405, ..."""
    bowl = synthetic.quadratic(dim=1, start=1.0)
    found = check(_falls(rule), bowl, values={"eta": step}, count=1)
    assert found.verdict == "violated"
    assert "earlier rounds" in found.reason
    assert check(_falls("sgd"), bowl, values={"eta": step}, count=1).verdict != "violated"


@pytest.mark.parametrize("rule", ["msgd", "nesterov"])
def test_a_hunt_finds_it(rule: str) -> None:
    assert hunt(_falls(rule), limit=60, budget=60.0).verdict == "violated"
    assert hunt(_falls("sgd"), limit=60, budget=60.0).verdict == "not refuted"


def test_the_first_row_follows_the_rule_by_hand() -> None:
    """Decrease of F after k steps of momentum with exact gradients from w_0 = 1."""
    w, v, values = 1.0, 0.0, []
    for _ in range(7):
        values.append(w**2 / 2)
        v = 0.9 * v + w
        w -= v
    bowl = synthetic.quadratic(dim=1, start=1.0)
    made = Experiment(_falls("msgd"), bowl, {"eta": 1.0, "ell": 1.0})
    found = OneRound().measure(made)
    rows = np.cumsum([0, 12, 6, 6, 6])  # the starts after 0, 1, 2, 3 and 5 rounds
    falls = [values[k] - values[k + 1] for k in (0, 1, 2, 3, 5)]
    assert found.values["decrease"][rows, 0] == pytest.approx(falls)


def test_sampled_rounds_agree_with_enumerated_ones() -> None:
    """The mean over many runs of a round that begins where each run's own rounds lead."""
    noisy = synthetic.quadratic(dim=1, start=1.0, noise="gaussian", sigma=0.5)
    claim = Claim(decrease + displacement_squared, "<=", gradient_norm_squared + eta)
    statement = Statement("made_up.x", "L", "printed", claim, (SMOOTH, BOUNDED_VARIANCE),
                          Algorithm("msgd", {"beta": sp.Rational(1, 2)}))  # fmt: skip
    values = {"eta": 0.5, "ell": 1.0}
    made = Experiment(statement, noisy, values, replicas=20_000, effort=1e7)
    found = OneRound().measure(made)
    assert not found.exact
    quiet = OneRound().measure(Experiment(statement, without_noise(noisy), values))
    # Second moments: w_1 = w_0 - eta g and so on, by hand for the start after one round.
    w1, var1 = 0.5, 0.25 * 0.25
    squares = found.values["gradient_norm_squared"][12]
    assert squares.mean() == pytest.approx(w1**2 + var1, abs=5 * squares.std() / 141)
    assert quiet.values["gradient_norm_squared"][12, 0] == pytest.approx(w1**2)


def test_what_a_round_begins_with_is_read_off_the_rule() -> None:
    assert begins_fresh(SGD(eta=0.1))
    assert begins_fresh(TRSGD(lam=2.0, S=3))
    assert begins_fresh(ClippedSGD(eta=0.1, c=1.0))
    assert begins_fresh(SNGD(eta=0.1))
    assert not begins_fresh(MSGD(eta=0.1, beta=0.5))
    assert not begins_fresh(Nesterov(eta=0.1, beta=0.5))
    assert not begins_fresh(TRSGD(lam=2.0, S=3, beta=0.5))
    assert begins_fresh(MSGD(eta=0.1, beta=0.0))


def test_the_papers_claims_on_one_round_keep_their_meaning() -> None:
    """They speak of rules whose rounds begin afresh."""
    fresh = {
        "sgd": SGD(eta=0.1), "trsgd": TRSGD(lam=2.0, S=3),
        "lrsgd_r": LRSGD_R(lam=2.0, theta=0.5), "lrsgd_c": LRSGD_C(lam=2.0, delta=1.0, S=3),
    }  # fmt: skip
    assert all(begins_fresh(rule) for rule in fresh.values())
    for statement in set(registry.statements().values()) - set(methods.STATEMENTS):
        measured = {s.name for s in statement.claim.measured}
        if measured and measured <= OneRound.provides and statement.algorithm is not None:
            assert statement.algorithm.rule in fresh, statement.key


def test_fresh_rounds_are_measured_as_before() -> None:
    waves = synthetic.delta_nonconvex(dim=2)
    made = Experiment(_falls("sgd"), waves, {"eta": 0.1, "ell": 1.0})
    assert is_one_step(made.rule)
    found = OneRound().measure(made)
    assert found.values["decrease"].shape == (12, 1)
    assert found.labels == ()
