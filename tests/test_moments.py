"""Exact moments: against enumeration, against samples, against closed forms, and mutants."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import synthetic
from bounds import Algorithm, Claim, Measured, Statement, quantities
from bounds.assumptions import BOUNDED_BELOW
from bounds.notation import Delta, T
from bounds.quantities import final_suboptimality
from theorylab import check, run
from theorylab.hunt.rescaling import rescale
from theorylab.method import MSGD, SGD, SNGM, TRSGD, AcceleratedSGD, ClippedSGD, Nesterov
from theorylab.method.schedules import Harmonic
from theorylab.plugins import registry
from theorylab.plugins.specs import build_objective, objective_specs
from theorylab.quantities import affine_steps
from theorylab.quantities import moments as module
from theorylab.quantities.enumeration import enumerate_paths
from theorylab.quantities.moments import covers, linear_steps, moments, whole_run
from theorylab.quantities.protocol import Experiment
from theorylab.quantities.whole_run import WholeRun

# A rule of these that returns another point than its iterate has no moments of it.
WHOLE_RUN = {
    name for name, q in vars(quantities).items()
    if isinstance(q, Measured) and q.path is not None and covers(q.path)
    and not name.startswith("output_")
}  # fmt: skip
RNG = np.random.default_rng(3)
SQUARES = synthetic.finite_sum(
    RNG.standard_normal((3, 2)), RNG.standard_normal(3), "squared", start=[1.0, -0.5]
)
GROWING = synthetic.finite_sum(np.sqrt([[0.9], [2.5]]), np.zeros(2), "squared", start=[1.0])
FAMILIES = {
    "squares": SQUARES,
    "growing": GROWING,
    "shifts": synthetic.quadratic(dim=3, noise="shifts", sigma=0.7, n=3),
    "two_point": synthetic.quadratic(dim=2, noise="two_point", sigma=0.7),
    "gaussian": synthetic.quadratic(dim=2, noise="gaussian", sigma=0.7),
    "rescaled": rescale(SQUARES, 3.0, 0.25),
}
RULES = {
    "sgd": SGD(eta=0.3),
    "decaying": SGD(eta=Harmonic(0.5), weight_decay=0.1),
    "msgd": MSGD(eta=0.2, beta=0.6),
    "nesterov": Nesterov(eta=0.2, beta=0.5),
    "accelerated": AcceleratedSGD(eta=0.1, kappa=5.0, xi=2.0),
    "trsgd": TRSGD(lam=3.0, S=2),
}


def _experiment(
    objective: Any, rounds: Any, monkeypatch: pytest.MonkeyPatch, rule: Any, batch: Any = 1
) -> Any:
    """An experiment that measures every quantity, with a rule of our own."""
    claim = Claim(sum(getattr(quantities, name) for name in sorted(WHOLE_RUN)), "<=", T)
    statement = Statement("made_up.all", "X", "printed", claim, (), Algorithm("sgd"))
    values = {"T": float(rounds), "B": float(batch), "eta": 0.1}
    made = Experiment(statement, objective, values)
    monkeypatch.setattr(Experiment, "rule", rule)
    return made


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("name", [n for n, f in FAMILIES.items() if f.outcomes() is not None])
def test_moments_are_those_of_all_paths(
    name: Any, rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every quantity, by the recursion and by following each outcome with its probability."""
    for rounds, batch in ((3, 1), (1, 2)):
        made = _experiment(FAMILIES[name], rounds, monkeypatch, rule, batch)
        assert enumerate_paths(made) is not None
        found = whole_run(made)
        for way in (module, affine_steps):
            monkeypatch.setattr(way, "whole_run", lambda _: None)
        paths = WholeRun().measure(made)
        monkeypatch.undo()
        assert found is not None
        assert set(found.values) == WHOLE_RUN
        for key in WHOLE_RUN:
            assert found.values[key] == pytest.approx(paths.values[key], rel=1e-11, abs=1e-12), key


def test_moments_are_those_of_many_samples() -> None:
    objective, rule = FAMILIES["gaussian"], MSGD(eta=0.2, beta=0.6)
    found = moments(objective, rule, 40, 2, (40,))
    out = run(objective, rule, rounds=40, batch_size=2, replicas=20_000, seed=1,
              record=("value", "gradient_norm_squared"), at=(40,), progress=False)  # fmt: skip
    for name, form in (("value", found.suboptimality),
                       ("gradient_norm_squared", found.gradient_norm_squared)):  # fmt: skip
        sample = out[name][0]
        error = sample.std() / np.sqrt(len(sample))
        assert abs(sample.mean() - found.quadratic(form)[0][0]) < 5 * error


@pytest.mark.parametrize("name", FAMILIES)
def test_the_declared_form_is_that_of_the_samples(name: Any) -> None:
    """Mean and covariance of sample gradients, where outcomes are few: exactly."""
    objective = FAMILIES[name]
    law = objective.outcomes()
    form = objective.affine_gradients()
    H, c = form.mean
    for w in torch.from_numpy(np.random.default_rng(1).normal(size=(3, objective.dim))):
        full = objective.gradient(w[None])[0].numpy()
        np.testing.assert_allclose(H @ w.numpy() + c, full, rtol=1e-12, atol=1e-12)
        if law is None:
            continue
        draws, chances = law
        rows = w.expand(len(draws), -1).contiguous()
        g = objective.sample_gradient(rows, torch.from_numpy(draws[:, None])).numpy() - full
        parts = form.matrices @ w.numpy() + form.offsets - full
        declared = np.einsum("i,ij,ik->jk", form.chances, parts, parts) + form.covariance
        np.testing.assert_allclose(declared, (chances * g.T) @ g, rtol=1e-11, atol=1e-12)


def test_every_registered_family_that_declares_a_form_has_it() -> None:
    """A sample's gradient along a line is affine, with the declared mean."""
    declared = 0
    for spec in objective_specs():
        objective = build_objective(spec)
        form = objective.affine_gradients()
        if form is None:
            continue
        declared += 1
        H, c = form.mean
        u, w = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 1, objective.dim)))
        for x in (u, w):
            full = objective.gradient(x)[0].numpy()
            np.testing.assert_allclose(H @ x[0].numpy() + c, full, rtol=1e-9, atol=1e-9)
        sample = torch.from_numpy(objective.draw(np.random.default_rng(2), 1, 1, 1)[0])
        at = [objective.sample_gradient(x, sample) for x in (u, 0.5 * (u + w), w)]
        torch.testing.assert_close(at[0] + at[2], 2 * at[1], rtol=1e-9, atol=1e-9)
    assert declared >= 3


@pytest.mark.parametrize("mutate", [
    lambda f: dataclasses.replace(f, covariance=1.1 * f.covariance + 0.01 * np.eye(2)),
    lambda f: dataclasses.replace(f, offsets=1.1 * f.offsets),
    lambda f: dataclasses.replace(f, chances=np.array([0.5, 0.25, 0.25])),
], ids=["covariance", "offsets", "chances"])  # fmt: skip
def test_a_wrong_law_is_noticed(mutate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _experiment(SQUARES, 3, monkeypatch, SGD(eta=0.3))
    wrong = mutate(SQUARES.affine_gradients())
    monkeypatch.setattr(type(SQUARES), "affine_gradients", lambda self: wrong)
    found = whole_run(made)
    monkeypatch.setattr(module, "whole_run", lambda _: None)
    paths = WholeRun().measure(made)
    off = [k for k in WHOLE_RUN if found.values[k] != pytest.approx(paths.values[k], rel=1e-6)]
    assert off


@pytest.mark.parametrize("eta", [0.1, 1.0])
def test_the_stationary_variance_of_sgd_is_known(eta: float) -> None:
    # u' = (1 - eta) u - eta s: E u^2 -> eta/(2 - eta) s^2 at curvature 1.
    bowl = synthetic.quadratic(dim=1, ell=1.0, noise="gaussian", sigma=0.5, start=3.0)
    found = moments(bowl, SGD(eta=eta), 2000, 1, (2000,))
    value, error = found.quadratic(found.gradient_norm_squared)
    assert value[0] == pytest.approx(eta / (2 - eta) * 0.25, rel=1e-9)
    assert abs(value[0] - eta / (2 - eta) * 0.25) <= error[0]
    assert error[0] < 1e-9


def test_growth_beyond_every_number_is_infinite_and_its_rounding_bounded() -> None:
    found = moments(GROWING, SGD(eta=1.0), 10_000, 1, (50, 10_000))
    value, error = found.quadratic(found.suboptimality)
    assert value[0] == pytest.approx(0.85 * 1.13**50, rel=1e-12)
    assert error[0] < 1e-9 * value[0]
    assert value[1] == np.inf


def test_what_is_not_linear_or_not_quadratic_has_no_moments() -> None:
    assert linear_steps(SNGM(eta=0.1, beta=0.5), np.ones(3, dtype=bool)) is None
    assert moments(GROWING, SNGM(eta=0.1, beta=0.5), 3, 1, (3,)) is None
    waves = synthetic.delta_nonconvex(dim=2, noise="gaussian", sigma=0.5)
    assert moments(waves, SGD(eta=0.1), 3, 1, (3,)) is None
    heavy = synthetic.quadratic(dim=1, noise="student_t", sigma=0.5)
    assert moments(heavy, SGD(eta=0.1), 3, 1, (3,)) is None


def test_every_registered_linear_rule_is_recognised_by_its_code() -> None:
    ones = np.ones(2, dtype=bool)
    known = {"sgd", "msgd", "nesterov", "accelerated_sgd", "trsgd"}
    found = {rule.name for rule in RULES.values() if linear_steps(rule, ones) is not None}
    assert found == known
    assert known <= set(registry.rules())


BELOW_DELTA = Statement(
    "made_up.below_delta", "Theorem", "printed", Claim(final_suboptimality, "<=", Delta + 0 * T),
    (BOUNDED_BELOW,), Algorithm("sgd", {"eta": 1}),
)  # fmt: skip


@pytest.mark.parametrize("rounds", [50, 200])
def test_a_mean_on_rare_events_is_not_missed(rounds: int) -> None:
    """E w^2 grows by 1.13 a step; nearly every run shrinks."""
    found = check(BELOW_DELTA, GROWING, values={"T": rounds}, count=1)
    assert found.verdict == "violated"
    assert found.measured == pytest.approx(0.85 * 1.13**rounds, rel=1e-9)
    assert found.interval == (found.measured, found.measured)


def test_a_rule_that_clips_far_away_alone_is_not_linear() -> None:
    assert linear_steps(ClippedSGD(eta=0.1, c=1e3), np.ones(3, dtype=bool)) is None
