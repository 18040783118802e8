"""Samplers: the law each claims, streams that do not show how they are cut, and what runs count."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, final

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling_problems import N
from torch import Tensor

import synthetic
from theorylab import run
from theorylab.errors import UsageError
from theorylab.hunt.rescaling import without_noise
from theorylab.method import (
    FISTA,
    LRSGD_R,
    SAGA,
    SGD,
    SVRG,
    TRSGD,
    AveragedSGD,
    FrankWolfe,
    MirrorDescent,
    ProjectedSubgradient,
    ProximalGradient,
    StochasticBatchSize1,
)
from theorylab.method.rule import Drawn, Stateless, UpdateRule, select
from theorylab.problem.composite import Composite, Constrained
from theorylab.problem.geometry import L1, Ball, Box, L1Ball, Simple, Simplex, SquaredNorm
from theorylab.problem.oracle import Calls, Oracle


@pytest.fixture(scope="module")
def data() -> Any:
    return synthetic.robust_regression(n=N, dim=3)


# --- what runs count, and what they return -------------------------------------------------------
class Sums(NamedTuple):
    anchor: Tensor
    full: Tensor
    total: Tensor


@final
@dataclass(frozen=True)
class Varied(UpdateRule[Sums]):
    """Variance reduction by a full gradient at each anchor, averaged: everything at once."""

    name: ClassVar[str] = "varied"
    source: ClassVar[str] = "this test"
    needs: ClassVar[frozenset[str]] = frozenset({"full_gradient"})
    eta: float = 0.1
    length: int = 3
    chance: float = 0.0

    def init(self, w: Tensor, oracle: Oracle) -> Sums:
        return Sums(w, oracle.full_gradient(w), torch.zeros_like(w))

    def restarts(self, rng: Any, first: int, steps: int, replicas: int) -> Any:
        index = np.arange(first, first + steps)[:, None]
        if self.chance:
            return (rng.random((steps, replicas)) < self.chance) | (index == 0)
        return index % self.length == 0

    def update(self, w: Tensor, oracle: Oracle, state: Sums, draw: Drawn) -> tuple[Tensor, Sums]:
        full = select(draw.restart, oracle.full_gradient(w, draw.restart), state.full)
        anchor = select(draw.restart, w, state.anchor)
        g = oracle.gradient(w) - oracle.gradient(anchor) + full
        moved = w - self.eta * g
        return moved, Sums(anchor, full, state.total + moved)

    def output(self, w: Tensor, state: Sums) -> Tensor:
        return state.total


def by_hand(rule: Varied, data: Any, indices: np.ndarray, begins: np.ndarray) -> Any:
    w, total = data.start.unsqueeze(0), 0
    for i, begin in zip(indices, begins, strict=True):
        if begin:
            anchor, full = w, data.gradient(w)
        sample = torch.tensor([[int(i)]])
        g = data.sample_gradient(w, sample) - data.sample_gradient(anchor, sample) + full
        w = w - rule.eta * g
        total = total + w
    return w[0], total[0]  # type: ignore[index]


@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("rule", [Varied(), Varied(chance=0.3)], ids=["fixed", "random"])
def test_a_rule_with_two_points_and_full_gradients_runs(
    rule: Varied, compile: bool, data: Any
) -> None:
    seen: list[np.ndarray] = []

    def spy(samples: Any) -> Any:
        seen.append(samples.draws.copy())
        rounds.append(np.broadcast_to(samples.rounds, samples.draws.shape[:2]))
        return samples.draws

    rounds: list[np.ndarray] = []
    out = run(data, rule, 10, replicas=3, record=("w", "output.w", "output.value", "state.full"),
              remap=spy, compile=compile, at=[0, 4, 10])  # fmt: skip
    round_of = np.concatenate(rounds)[:, 1]
    begins = np.diff(round_of, prepend=0) > 0
    w, total = by_hand(rule, data, np.concatenate(seen)[:, 1, 0], begins)
    np.testing.assert_allclose(out["w"][-1, 1], w, rtol=1e-9)
    np.testing.assert_allclose(out["output.w"][-1, 1], total, rtol=1e-9)
    value = data.value(total[None]).item()
    assert out["output.value"][-1, 1] == pytest.approx(value, rel=1e-9)
    # Two mini-batch gradients a step, a full pass at the start and at each anchor.
    passes = np.array([1, 1 + begins[:4].sum(), 1 + begins.sum()])
    np.testing.assert_array_equal(out.calls.passes[:, 1], passes)
    np.testing.assert_array_equal(out.evaluations[:, 1], 2 * np.array([0, 4, 10]) + N * passes)


def spied(data: Any, rule: UpdateRule, steps: int, **options: Any) -> tuple[Any, np.ndarray]:
    """A run, and the samples that its second replica drew."""
    seen: list[np.ndarray] = []

    def spy(samples: Any) -> Any:
        seen.append(samples.draws.copy())
        return samples.draws

    out = run(data, rule, steps, replicas=3, record=("w", "output.w"), remap=spy, **options)
    return out, np.concatenate(seen)[:, 1]


@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
def test_svrg_by_hand(compile: bool, data: Any) -> None:
    out, drawn = spied(data, SVRG(0.3, 4), 11, compile=compile)
    w = data.start.unsqueeze(0)
    for k, i in enumerate(drawn[:, 0]):
        if k % 4 == 0:
            anchor, full = w, data.gradient(w)
        there = partial(data.sample_gradient, draw=torch.tensor([[int(i)]]))
        w = w - 0.3 * (there(w) - there(anchor) + full)
    np.testing.assert_allclose(out["w"][0, 1], w[0], rtol=1e-9)
    np.testing.assert_array_equal(out.calls.passes[0], 3)
    np.testing.assert_array_equal(out.evaluations[0], 2 * 11 + 3 * N)


@pytest.mark.parametrize("size", [1, 2])
def test_saga_by_hand(size: int, data: Any) -> None:
    out, drawn = spied(data, SAGA(0.3), 15, batch_size=size)
    gradient = lambda w, i: data.sample_gradient(w, torch.tensor([[int(i)]]))[0]
    w = data.start.unsqueeze(0)
    table = torch.stack([gradient(w, i) for i in range(N)])
    for batch in drawn:
        fresh = {int(i): gradient(w, i) for i in batch}
        change = torch.stack([fresh[int(i)] - table[int(i)] for i in batch]).mean(0)
        w = w - 0.3 * (change + table.mean(0))
        for i, g in fresh.items():
            table[i] = g
    np.testing.assert_allclose(out["w"][0, 1], w[0], rtol=1e-9)
    np.testing.assert_array_equal(out.evaluations[0], N + 15 * size)


def test_variance_reduction_reaches_what_sgd_does_not() -> None:
    """At a constant step SGD stays in a cloud; SVRG and SAGA go on to a stationary point."""
    data = synthetic.robust_regression(n=20, dim=2)
    eta = 1 / (3 * float(data.sample_constants()["ell"]))
    norms = {}
    for rule in (SGD(eta=eta), SVRG(eta, 40), SAGA(eta)):
        out = run(data, rule, 6000, replicas=8, record=("gradient_norm",))
        norms[rule.name] = out["gradient_norm"].max()
    assert norms["sgd"] > 1e-3
    assert max(norms["svrg"], norms["saga"]) < 1e-9


def test_the_average_is_the_output(data: Any) -> None:
    out = run(data, AveragedSGD(eta=0.3), 20, replicas=2, record=("w", "output.w"), at=range(21))
    for T in (1, 7, 20):
        np.testing.assert_allclose(out["output.w"][T], out["w"][:T].mean(0), rtol=1e-12)
    plain = run(data, SGD(eta=0.3), 20, replicas=2, record=("w", "output.w"))
    np.testing.assert_array_equal(plain["w"], plain["output.w"])


def test_an_exact_law_of_a_rule_with_two_points() -> None:
    """Enumerated, sampled and averaged by hand: E ||grad F(w_1)||^2 of one extragradient step."""
    from bounds.claim import Claim
    from bounds.quantities import next_gradient_norm_squared
    from bounds.statement import Algorithm, Statement
    from theorylab.quantities import Experiment, protocol_for

    coin = synthetic.quadratic(dim=1, ell=1.0, noise="two_point", sigma=1.0, start=2.0)
    statement = Statement("test.extragradient", "Lemma", "printed",
                          Claim(next_gradient_norm_squared, "<=", 1),
                          algorithm=Algorithm("extragradient", {"eta": 0.5}))  # fmt: skip
    experiment = Experiment(statement, coin, {})
    measured = protocol_for(statement).measure(experiment)
    (w,) = coin.start
    # g(x) = x + v, v = +-1: w_1 = w - 0.5 (w - 0.5 (w + v) + v) = 0.75 w - 0.25 v.
    expected = (0.75 * float(w)) ** 2 + 0.25**2
    assert measured.values["next_gradient_norm_squared"][0, 0] == pytest.approx(expected)


GEOMETRIES = [Ball(1.0), Box(-0.5, 0.25), Simplex(), Simplex(2.5), L1Ball(1.5)]


@pytest.mark.parametrize("domain", GEOMETRIES, ids=lambda d: type(d).__name__)
@given(st.lists(st.floats(-3, 3), min_size=9, max_size=9))
@settings(deadline=None, max_examples=50)
def test_sets_answer_by_their_definitions(domain: Any, numbers: list[float]) -> None:
    w, g, other = torch.tensor(numbers, dtype=torch.float64).view(3, 3)
    near, inside, least = domain.projection(w), domain.projection(other), domain.linear_minimizer(g)
    for point in (near, inside, least):
        torch.testing.assert_close(domain.projection(point), point, atol=1e-12, rtol=0)
    # The projection's variational inequality, and the minimum of a linear function.
    assert float((w - near) @ (inside - near)) <= 1e-9
    assert float(g @ least) <= float(g @ inside) + 1e-9
    assert float((inside - near).norm()) <= domain.diameter(3) + 1e-12
    assert float((inside - near).abs().sum()) <= domain.l1_diameter(3) + 1e-12
    moved = domain.mirror(inside, g)
    torch.testing.assert_close(domain.projection(moved), moved, atol=1e-12, rtol=0)


def test_the_minimizer_of_a_tiny_linear_function_lies_in_the_ball() -> None:
    for size in (2e-192, 5e-324, 0.0):
        found = Ball(2.0).linear_minimizer(torch.tensor([size, -size], dtype=torch.float64))
        assert float(found.norm()) <= 2.0 + 1e-12


def test_the_mirror_step_on_the_simplex_is_the_entropys(data: Any) -> None:
    w, g = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([1.0, -1.0, 0.5])
    weights = w * torch.exp(-g)
    torch.testing.assert_close(Simplex().mirror(w, g), weights / weights.sum())
    # A step is a length: in units half as long all numbers double.
    torch.testing.assert_close(Simplex(2.0).mirror(2 * w, 2 * g), 2 * weights / weights.sum())


@pytest.mark.parametrize("h", [L1(0.7), SquaredNorm(0.7)], ids=lambda h: type(h).__name__)
@given(st.floats(-3, 3), st.floats(0.01, 2), st.floats(-3, 3))
@settings(deadline=None, max_examples=50)
def test_a_prox_minimises_what_it_says(h: Simple, x: float, step: float, u: float) -> None:
    w = torch.tensor([x], dtype=torch.float64)
    cost = lambda v: float(h.value(v) + (v - w).square().sum() / (2 * step))
    assert cost(h.prox(w, step)) <= cost(torch.tensor([u], dtype=torch.float64)) + 1e-12


@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
def test_methods_on_sets_and_sums_find_the_minimum(compile: bool) -> None:
    """Exact gradients; the minimum of a quadratic on each set is known by projected steps."""
    bowl = synthetic.quadratic(dim=3, ell=1.0, condition=2.0, start=2.0)
    options = {"replicas": 2, "record": ("output.w",), "compile": compile, "progress": False}
    # A set that does not hold the minimum.
    for domain in (Box(0.5, 1.0), Simplex()):
        # Not a corner of the simplex: entropic steps stay on a face.
        F = Constrained(bowl, domain, torch.full((3,), 1 / 3, dtype=torch.float64))
        best = run(F, ProjectedSubgradient(0.5), 300, **options)["output.w"][0, 0]
        lowest = float(F.value(torch.from_numpy(best[None])))
        rules = (FrankWolfe(), MirrorDescent(0.5))
        for rule in rules:
            found = run(F, rule, 2000, **options)["output.w"][0, 0]
            torch.testing.assert_close(domain.projection(torch.from_numpy(found)),
                                       torch.from_numpy(found), atol=1e-9, rtol=0)  # fmt: skip
            assert lowest - 1e-9 <= float(F.value(torch.from_numpy(found[None]))) < lowest + 5e-3
    sum_ = Composite(bowl, L1(0.2))
    plain, fast = (run(sum_, rule, 400, **options)["output.w"][0, 0]
                   for rule in (ProximalGradient(0.9), FISTA(0.9)))  # fmt: skip
    np.testing.assert_allclose(plain, fast, atol=1e-6)
    at = torch.from_numpy(plain[None])
    fixed = sum_.prox(at - bowl.gradient(at), 1)
    np.testing.assert_allclose(fixed[0], plain, atol=1e-9)


def test_usual_rules_count_what_they_did(data: Any) -> None:
    for rule in (SGD(eta=0.1), TRSGD(2.0, 0.0, 3), LRSGD_R(2.0)):
        out = run(data, rule, 7, 2, replicas=3, at=range(8))
        np.testing.assert_array_equal(out.evaluations[:, 0], 2 * np.arange(8))
        assert not out.calls.passes.any()
    several = run(data, StochasticBatchSize1(0.1, memory=3), 7, 2, replicas=3, at=range(8))
    np.testing.assert_array_equal(several.evaluations[:, 0], 6 * np.arange(8))


def test_counts_by_rounds(data: Any) -> None:
    out = run(data, Varied(), rounds=4, replicas=3, at=range(5))
    np.testing.assert_array_equal(out.calls.passes[:, 0], 1 + np.arange(5))


def test_calls_add_up() -> None:
    one = Calls(gradients=1, prox=2)
    assert (one + one).prox == 4
    assert [f.name for f in dataclasses.fields(Calls)][:3] == ["gradients", "values", "passes"]


@final
@dataclass(frozen=True)
class Needy(UpdateRule[Stateless]):
    name: ClassVar[str] = "needy"
    source: ClassVar[str] = "this test"
    what: str = "prox"

    def update(
        self, w: Tensor, oracle: Oracle, state: Stateless, draw: Drawn
    ) -> tuple[Tensor, Stateless]:
        if self.what == "prox":
            return oracle.prox(w, 0.1), state
        return getattr(oracle, self.what)(w), state


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("prox", "quadratic has no prox"),
        ("projection", "quadratic has no projection"),
        ("linear_minimizer", "quadratic has no linear minimizer"),
        ("every_gradient", "quadratic has no gradients sample by sample: it is no finite sum"),
        ("worker_gradients", "quadratic has no workers"),
    ],
)
def test_what_an_objective_cannot_answer_is_said(what: str, message: str) -> None:
    bowl = synthetic.quadratic(dim=2, noise="gaussian", sigma=1.0)
    with pytest.raises(UsageError, match=message):
        run(bowl, Needy(what), 2, replicas=2)


@pytest.mark.parametrize("noise", ["none", "shifts", "two_point", "gaussian"])
@pytest.mark.parametrize("quiet", [False, True])
def test_a_mini_batchs_gradient_is_that_of_its_value(noise: str, quiet: bool) -> None:
    sigma = 0.0 if noise == "none" else 0.7
    bowl = synthetic.quadratic(dim=3, noise=noise, sigma=sigma)
    bowl = without_noise(bowl) if quiet else bowl
    draw = torch.from_numpy(bowl.draw(np.random.default_rng(0), 1, 4, 2)[0])
    w = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(bowl.batch_value(w, draw).sum(), w)
    torch.testing.assert_close(slope, bowl.sample_gradient(w.detach(), draw))
