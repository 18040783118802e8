"""Exact moments of all that a rule carries: against every path, against samples, and mutants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pytest
import torch
from torch import Tensor

import synthetic
from bounds import Algorithm, Claim, Statement, quantities
from bounds.notation import T
from bounds.path import PathOf
from theorylab import run
from theorylab.engine.metering import metered
from theorylab.errors import UsageError
from theorylab.method import (
    MSGD,
    SAGA,
    SGD,
    SNGM,
    STORM,
    SVRG,
    TRSGD,
    Adam,
    AveragedSGD,
    ClippedSGD,
    Extragradient,
    ReshuffledSGD,
    SignSGD,
    TwoPointZerothOrder,
)
from theorylab.method.rule import Drawn, Stateless, UpdateRule
from theorylab.method.schedules import Harmonic
from theorylab.problem.oracle import Oracle
from theorylab.quantities import affine_steps, protocol_for
from theorylab.quantities.affine_steps import joint_moments, whole_run
from theorylab.quantities.enumeration import enumerate_paths
from theorylab.quantities.moments import moments
from theorylab.quantities.nodes import nodes_of
from theorylab.quantities.protocol import Experiment, Measurement, build_rule
from theorylab.quantities.whole_run import WholeRun

RNG = np.random.default_rng(3)
FAMILIES: dict[str, Any] = {
    "squares": synthetic.finite_sum(
        RNG.standard_normal((3, 2)), RNG.standard_normal(3), "squared", start=np.array([1.0, -0.5])
    ),
    "shifts": synthetic.quadratic(dim=2, noise="shifts", sigma=0.7, n=3),
    "two_point": synthetic.quadratic(dim=2, noise="two_point", sigma=0.7),
    "rare": synthetic.quadratic(dim=1, noise="rare", sigma=0.7, rarity=0.1),
}
RULES: dict[str, Any] = {
    "sgd": SGD(eta=0.3), "msgd": MSGD(eta=0.2, beta=0.6), "svrg": SVRG(eta=0.2, S=2),
    "svrg from the mean": SVRG(eta=0.2, S=2, anchor="mean"),
    "saga": SAGA(eta=0.2), "storm": STORM(eta=0.2, a=0.3),
    "averaged": AveragedSGD(eta=Harmonic(0.5), weight_decay=0.1),
    "extragradient": Extragradient(eta=0.3), "reshuffled": ReshuffledSGD(eta=0.4),
    "once": ReshuffledSGD(eta=0.4, order="once"), "cyclic": ReshuffledSGD(eta=0.4, order="cyclic"),
}  # fmt: skip
SUMS_ALONE = {"saga"}
MEASURED = (
    "mean_gradient_norm_squared", "final_suboptimality", "output_suboptimality", "total_decrease",
    "final_distance_to_minimizer_squared", "output_distance_to_minimizer_squared",
    "final_displacement_squared",
)  # fmt: skip


def _experiment(
    objective: Any, rule: Any, rounds: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> Experiment:
    claim = Claim(sum(getattr(quantities, name) for name in MEASURED), "<=", T)
    statement = Statement("made_up.all", "X", "printed", claim, (), Algorithm("sgd"))
    values = {"T": float(rounds), "B": float(batch), "eta": 0.1}
    monkeypatch.setattr(Experiment, "rule", rule)
    return Experiment(statement, objective, values)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", FAMILIES)
def test_moments_are_those_of_all_paths(
    name: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = FAMILIES[name]
    sums = name in ("squares", "shifts")
    if rule in SUMS_ALONE and not sums:
        pytest.skip("asks for samples of a finite sum")
    if rule in ("reshuffled", "once", "cyclic") and name == "rare":
        pytest.skip("goes through equally likely samples alone")
    for rounds, batch in (
        (3, 1),
        (1, 2) if rule not in ("once", "cyclic", "reshuffled") else (5, 1),
    ):
        made = _experiment(objective, RULES[rule], rounds, batch, monkeypatch)
        paths = enumerate_paths(made)
        assert paths is not None
        found = whole_run(made)
        assert found is not None
        monkeypatch.setattr("theorylab.quantities.moments.whole_run", lambda _: None)
        monkeypatch.setattr(affine_steps, "whole_run", lambda _: None)
        followed = WholeRun().measure(made)
        monkeypatch.undo()
        assert followed.law == found.law == "law"
        for key in MEASURED:
            assert found.values[key] == pytest.approx(followed.values[key], rel=1e-10, abs=1e-12)


def test_the_error_covers_what_rounding_does() -> None:
    """Far from the origin: two ways of computing one number differ by less than their bounds."""
    A = RNG.standard_normal((4, 2))
    far = A @ np.array([3e3, -2e3]) + RNG.standard_normal(4)
    F = synthetic.finite_sum(A, far, "squared", start=np.array([3e3, -2e3 + 1.0]))
    joint = joint_moments(F, SGD(eta=0.1), 30, 1, range(31))
    other = moments(F, SGD(eta=0.1), 30, 1, range(31))
    assert joint is not None
    assert other is not None
    form = joint.form("gradient_norm_squared")
    assert form is not None
    (one, lost), (two, gone) = joint.mean(form), other.quadratic(other.gradient_norm_squared)
    assert (np.abs(one - two) <= lost + gone).all()
    assert (lost < 1e-3 * np.abs(two)).all()


def test_a_quadratic_is_stepped_on_without_gradients() -> None:
    """The rule's own normal numbers are integrated, not drawn."""
    F, rule = FAMILIES["shifts"], TwoPointZerothOrder(eta=0.05, mu=0.1)
    found = joint_moments(F, rule, 5, 1, [5])
    assert found is not None
    form = found.form("distance_to_minimizer_squared")
    assert form is not None
    (value,), (error,) = found.mean(form)
    record = ("distance_to_minimizer_squared",)
    out = run(F, rule, rounds=5, replicas=40_000, record=record, progress=False)[record[0]][0]
    assert error < 1e-9
    assert abs(out.mean() - value) < 5 * out.std() / np.sqrt(len(out))


def test_moments_of_a_long_run_that_diverges_stay_numbers() -> None:
    F = synthetic.finite_sum(np.sqrt([[0.9], [2.5]]), np.zeros(2), "squared", start=np.ones(1))
    found = joint_moments(F, SGD(eta=4.0), 600, 1, [600])
    exact = moments(F, SGD(eta=4.0), 600, 1, [600])
    assert found is not None
    assert exact is not None
    form = found.form("distance_to_minimizer_squared")
    assert form is not None
    assert found.exponents[0] > 0
    shifted = np.ldexp(exact.table[0, 1, 1], 2 * int(exact.exponents[0] - found.exponents[0]))
    scale = found.frame.scale**2
    assert found.table[0, 1, 1] * scale == pytest.approx(shifted, rel=1e-8)


@final
@dataclass(frozen=True)
class OneSided(UpdateRule[Stateless]):
    """SGD that never goes below the minimizer of ``FAMILIES["rare"]``."""

    name: ClassVar[str] = "one_sided"
    source: ClassVar[str] = "nowhere"
    eta: float = 0.1
    sign: float = 1.0

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        moved = w - self.eta * oracle.gradient(w)
        return self.sign * (self.sign * moved).clamp_min(0), state


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_bend_at_the_centre_is_seen_from_both_sides(sign: float) -> None:
    assert joint_moments(FAMILIES["rare"], OneSided(sign=sign), 3, 1, [3]) is None


@pytest.mark.parametrize(
    "rule",
    [ClippedSGD(eta=0.1, c=1e3), ClippedSGD(eta=0.1, c=0.1), Adam(eta=0.1), SignSGD(eta=0.1),
     SNGM(eta=0.1, beta=0.5), TRSGD(lam=Harmonic(3.0), S=2, beta=0.5)],
    ids=lambda rule: rule.name,
)  # fmt: skip
def test_what_is_not_affine_is_left_alone(rule: Any) -> None:
    found = joint_moments(FAMILIES["shifts"], rule, 3, 1, [3])
    assert found is None or rule.name == "trsgd"


def test_an_objective_that_is_not_quadratic_is_left_alone() -> None:
    assert joint_moments(synthetic.robust_regression(n=3, dim=1), SGD(eta=0.1), 3, 1, [3]) is None


def test_what_is_recorded_and_not_quadratic_has_no_form() -> None:
    found = joint_moments(FAMILIES["shifts"], SGD(eta=0.1), 3, 1, [3])
    assert found is not None
    assert found.form("gradient_norm") is None
    assert found.form("gradient_norm", power=2) is not None
    assert found.form("gradient_l1_norm") is None


def test_nodes_integrate_what_they_claim() -> None:
    nodes = nodes_of(TwoPointZerothOrder(eta=0.1), 2)
    assert nodes is not None
    x, p = nodes.points, nodes.weights
    assert p @ np.ones(len(p)) == pytest.approx(1)
    assert p @ (x[:, 0] ** 4 * x[:, 1] ** 2) == pytest.approx(3)
    inner = x[: nodes.between.shape[1]]
    tests = x[nodes.between.shape[1] :]
    np.testing.assert_allclose(nodes.between @ (inner[:, 0] ** 2 * inner[:, 1]),
                               tests[:, 0] ** 2 * tests[:, 1], rtol=1e-9)  # fmt: skip


def _one_step(objective: Any, nu: float) -> Measurement:
    claim = Claim(quantities.displacement_squared, "<=", quantities.gradient_norm_squared)
    rule = Algorithm("two_point_zeroth_order", {"eta": 0.5, "mu": nu})  # type: ignore[dict-item]
    statement = Statement("made_up.step", "X", "printed", claim, (), rule)
    return protocol_for(statement).measure(Experiment(statement, objective, {}, replicas=2000))


@pytest.mark.parametrize("dim", [1, 4])
def test_a_step_without_gradients_has_a_known_second_moment(dim: int) -> None:
    """``E (z^T g)^2 ||z||^2 = (d + 2) ||g||^2`` on a quadratic, whatever the smoothing length."""
    found = _one_step(synthetic.quadratic(dim=dim), nu=0.3)
    assert found.law == "law"
    squares = found.values["gradient_norm_squared"]
    np.testing.assert_allclose(
        found.values["displacement_squared"], 0.25 * (dim + 2) * squares, rtol=1e-9, atol=1e-12
    )


def test_a_step_without_gradients_is_sampled_where_no_polynomial() -> None:
    assert _one_step(synthetic.huber(), nu=0.3).law == "samples"


def test_the_error_of_an_estimate_and_the_move_before_it() -> None:
    """STORM by hand: what step T estimates, and what step T - 1 did."""
    F = FAMILIES["squares"]
    record = ("estimate_error", "last_move", "w")
    out = run(F, STORM(eta=0.2, a=1.0), rounds=3, replicas=4, record=record, at=range(4))
    w = out["w"]
    moves = np.linalg.norm(w[1:] - w[:-1], axis=-1)
    np.testing.assert_allclose(out["last_move"][1:], moves, rtol=1e-12)
    # At a = 1 the estimate is the fresh gradient, d = (w_{t-1} - w_t)/eta.
    d = (w[:-1] - w[1:]) / 0.2
    full = np.stack([F.gradient(torch.from_numpy(rows)).numpy() for rows in w[:-1]])
    np.testing.assert_allclose(out["estimate_error"][1:], np.linalg.norm(d - full, axis=-1),
                               rtol=1e-9)  # fmt: skip
    with pytest.raises(UsageError, match="keeps no estimate"):
        run(F, SGD(eta=0.2), rounds=1, replicas=1, record=("estimate_error",))


def test_a_statement_may_set_a_word() -> None:
    claim = Claim(quantities.output_suboptimality, "<=", T)
    rule = Algorithm("svrg", {"eta": 0.1, "S": 3, "anchor": "mean"})  # type: ignore[dict-item]
    statement = Statement("made_up.word", "X", "printed", claim, (), rule)
    built = build_rule(statement, {"T": 2.0})
    assert isinstance(built, SVRG)
    assert built.anchor == "mean"
    with pytest.raises(ValueError, match="'last' or 'mean'"):
        SVRG(eta=0.1, anchor="median")  # type: ignore[arg-type]


def test_the_round_before_the_last() -> None:
    assert list(PathOf("at", "last_move", "T-1").rounds(5)) == [4]
    with pytest.raises(ValueError, match="does not go with"):
        PathOf("mean", "last_move", "T-1")


@final
@dataclass(frozen=True)
class _Clocked(UpdateRule[Stateless]):
    """A step that ends with time, whose clock is read inside a list."""

    name: ClassVar[str] = "clocked"
    source: ClassVar[str] = "here"

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        return w - 0.3 * oracle.gradient(w) / torch.stack([draw.t]), state


@pytest.mark.parametrize(
    ("rule", "found"),
    [("sgd", 1), ("msgd", 1), ("extragradient", 1), ("storm", 6), ("saga", 1), ("svrg", 2),
     ("averaged", 6), ("decaying", 6), ("clocked", 6)],
)  # fmt: skip
def test_maps_of_steps_alike_are_found_once(
    rule: str, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same moments, bit for bit, and the same work; not where a step reads the time."""
    rules = {**RULES, "decaying": SGD(eta=Harmonic(0.5)), "clocked": _Clocked()}
    calls: list[int] = []
    plain = type(rules[rule]).update

    def update(self: Any, *given: Any) -> Any:
        calls.append(1)
        return plain(self, *given)

    monkeypatch.setattr(type(rules[rule]), "update", update)
    tables, work = [], []
    for alike in (None, lambda self, state: False):
        if alike is not None:
            monkeypatch.setattr(affine_steps._Recursion, "_alike", alike)
        calls.clear()
        with metered() as meter:
            moved = joint_moments(FAMILIES["squares"], rules[rule], 6, 1, [1, 6])
        assert moved is not None
        assert alike is not None or len(calls) == found
        tables.append(np.stack([moved.table, moved.errors]))
        work.append(meter.work)
    assert (tables[0] == tables[1]).all()
    assert work[0] == work[1]
