"""Samplers: the law each claims, streams that do not show how they are cut, and what runs count."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, final

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
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
    ReshuffledSGD,
    StochasticBatchSize1,
)
from theorylab.method.rule import Drawn, Stateless, UpdateRule, select
from theorylab.problem.composite import Composite, Constrained
from theorylab.problem.geometry import L1, Ball, Box, L1Ball, Simple, Simplex, SquaredNorm
from theorylab.problem.oracle import Calls, MiniBatch, Oracle
from theorylab.problem.sampler import (
    Growing,
    Importance,
    Reshuffled,
    Sampler,
    WithoutReplacement,
    WithReplacement,
)

N = 6
CHANCES = (0.1, 0.1, 0.1, 0.2, 0.2, 0.3)
SAMPLERS: dict[str, Sampler] = {
    "with": WithReplacement(), "without": WithoutReplacement(), "reshuffled": Reshuffled(),
    "once": Reshuffled("once"), "cyclic": Reshuffled("cyclic"), "importance": Importance(CHANCES),
}  # fmt: skip
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)


@pytest.fixture(scope="module")
def data() -> Any:
    return synthetic.robust_regression(n=N, dim=3)


def drawn(sampler: Sampler, data: Any, pieces: list[int], size: int = 2, seed: int = 0) -> Any:
    stream = sampler.stream(data, np.random.default_rng(seed), 4)
    return np.concatenate([stream(steps, size) for steps in pieces])


@every_sampler
def test_streams_in_pieces_are_the_whole(sampler: Sampler, data: Any) -> None:
    whole = drawn(sampler, data, [13])
    assert whole.shape == (13, 4, 2)
    assert whole.dtype == np.int32
    np.testing.assert_array_equal(drawn(sampler, data, [1, 5, 7]), whole)


@pytest.mark.parametrize("name", ["with", "without", "importance"])
def test_mini_batches_have_the_law_they_claim(name: str, data: Any) -> None:
    sampler = SAMPLERS[name]
    batches, chances = sampler.batches(data, 2)  # type: ignore[misc]
    assert len(batches) == sampler.count(data, 2)
    assert chances.sum() == pytest.approx(1)
    # Every sample as often, over the batch, as the law says.
    expected = np.zeros(N)
    np.add.at(expected, batches.ravel(), np.repeat(chances, 2) / 2)
    seen = np.bincount(drawn(sampler, data, [4000]).ravel(), minlength=N) / 32000
    assert np.abs(seen - expected).max() < 5 * np.sqrt(0.25 / 32000)


@pytest.mark.parametrize("name", ["with", "without", "importance"])
def test_gradients_are_unbiased(name: str, data: Any) -> None:
    sampler = SAMPLERS[name]
    batches, chances = sampler.batches(data, 2)  # type: ignore[misc]
    scales = sampler.weights(data)
    w = torch.linspace(-1, 1, 3, dtype=torch.float64).expand(len(batches), -1)
    oracle = MiniBatch(data, [torch.from_numpy(batches)],
                       None if scales is None else torch.from_numpy(scales))  # fmt: skip
    mean = torch.from_numpy(chances) @ oracle.gradient(w)
    torch.testing.assert_close(mean, data.gradient(w[:1])[0])
    value = torch.from_numpy(chances) @ oracle.value(w)
    torch.testing.assert_close(value, data.value(w[:1]))


def test_batches_are_enumerated_up_to_order() -> None:
    """The law of a batch's mean from few multisets is that from all its orders."""
    data = synthetic.robust_regression(n=3, dim=2)
    batches, chances = WithReplacement().batches(data, 4)  # type: ignore[misc]
    assert (len(batches), 3**4) == (15, 81)
    mean = np.zeros(2), np.zeros(2)
    every = np.array(list(itertools.product(range(3), repeat=4)), dtype=np.int32)
    w = torch.linspace(-1, 1, 2, dtype=torch.float64)
    for rows, weights in ((batches, chances), (every, np.full(81, 1 / 81))):
        g = data.sample_gradient(w.expand(len(rows), -1), torch.from_numpy(rows)).numpy()
        mean = (mean[1], weights @ g**3)  # a third moment tells laws of one variance apart
    np.testing.assert_allclose(*mean, rtol=1e-12)


def test_large_batches_of_a_coin_have_an_exact_law() -> None:
    coin = synthetic.quadratic(dim=1, noise="two_point", sigma=1.0)
    batches, chances = WithReplacement().batches(coin, 300)  # type: ignore[misc]
    assert len(batches) == WithReplacement().count(coin, 300) == 301
    heads = batches.sum(1)
    np.testing.assert_allclose(chances, stats.binom.pmf(heads, 300, 0.5), rtol=1e-10)


@pytest.mark.parametrize("name", ["reshuffled", "once", "cyclic"])
def test_an_epoch_goes_through_all_samples(name: str, data: Any) -> None:
    epochs = drawn(SAMPLERS[name], data, [9]).reshape(3, 3, 4, 2)
    orders = epochs.swapaxes(1, 2).reshape(3, 4, N)
    assert (np.sort(orders, -1) == np.arange(N)).all()
    same = (orders[0] == orders[1]).all()
    assert same == (name != "reshuffled")
    assert (orders[0] == np.arange(N)).all() == (name == "cyclic")


@every_sampler
def test_the_branches_are_the_law_of_the_stream(sampler: Sampler) -> None:
    """Two epochs of two samples a step, as the sampler's branches and as its stream has them."""
    few = synthetic.robust_regression(n=4, dim=1)
    if isinstance(sampler, Importance):
        sampler = Importance((0.1, 0.2, 0.3, 0.4))
    expected: dict[Any, float] = {(): 1.0}
    held: dict[Any, Any] = {(): None}
    for _ in range(4):
        grown: dict[Any, float] = {}
        after: dict[Any, Any] = {}
        for path, chance in expected.items():
            branches = sampler.branches(few, 2, held[path])
            assert branches is not None
            assert len(branches.chances) <= sampler.count(few, 2)
            rows = zip(*branches, strict=True)
            for draw, part, memory in rows:
                longer = (*path, tuple(sorted(draw.tolist())))
                grown[longer] = grown.get(longer, 0.0) + chance * part
                after[longer] = memory
        expected, held = grown, after
    assert sum(expected.values()) == pytest.approx(1)
    replicas = 40_000
    steps = sampler.stream(few, np.random.default_rng(0), replicas)(4, 2)
    steps = np.sort(steps, -1).swapaxes(0, 1)
    seen, counts = np.unique(steps.reshape(replicas, -1), axis=0, return_counts=True)
    for row, number in zip(seen, counts, strict=True):
        chance = expected[tuple(map(tuple, row.reshape(4, 2).tolist()))]
        often = replicas * chance
        assert abs(number - often) < 6 * np.sqrt(often + 1)  # rare paths are Poisson's


@pytest.mark.parametrize("order", ["reshuffled", "once", "cyclic"])
def test_an_exact_law_of_samples_in_a_random_order(order: Any) -> None:
    """Every permutation, by hand: E ||w_6 - w*||^2 after two epochs of three samples."""
    from bounds.quantities import final_distance_to_minimizer_squared as far
    from bounds.statement import Algorithm, Claim, Statement
    from theorylab.quantities import Experiment
    from theorylab.quantities.enumeration import enumerate_paths

    few = synthetic.robust_regression(n=3, dim=2, loss="pseudo_huber")
    statement = Statement("test.order", "Lemma", "printed", Claim(far, "<=", 1),
                          algorithm=Algorithm("reshuffled_sgd", {"eta": 0.5}))  # fmt: skip

    class Ordered(Experiment):
        rounds, rule = 6, ReshuffledSGD(eta=0.5, order=order)  # type: ignore[assignment]

    paths = enumerate_paths(Ordered(statement, few, {}))
    assert paths is not None
    found = (paths.record("w", [6])[0] ** 2).sum(-1) @ paths.weights
    permutations = list(itertools.permutations(range(3)))
    epochs = {
        "cyclic": [(permutations[0],) * 2], "once": [(p, p) for p in permutations],
        "reshuffled": list(itertools.product(permutations, repeat=2)),
    }[order]  # fmt: skip
    ends = []
    for path in epochs:
        w = few.start.unsqueeze(0)
        for i in itertools.chain(*path):
            w = w - 0.5 * few.sample_gradient(w, torch.tensor([[i]]))
        ends.append(float(w.square().sum()))
    assert found == pytest.approx(np.mean(ends), rel=1e-12)
    assert len(paths.weights) == len(epochs)


def test_a_run_draws_as_its_sampler(data: Any) -> None:
    """SGD without reshuffling, by hand, on the samples in their own order."""
    out = run(data, SGD(eta=0.1), 2 * N, replicas=2, record=("w",), sampler=Reshuffled("cyclic"))
    w = data.start.unsqueeze(0)
    for i in [*range(N), *range(N)]:
        w = w - 0.1 * data.sample_gradient(w, torch.tensor([[i]]))
    np.testing.assert_allclose(out["w"][0, 0], w[0], rtol=1e-12)


def test_a_batch_grows(data: Any) -> None:
    out = run(data, SGD(eta=0.1), 5, 2, replicas=2, sampler=Growing(1.0), at=range(6))
    np.testing.assert_array_equal(out.evaluations[:, 0], [0, 2, 6, 12, 20, 30])
    with pytest.raises(UsageError, match="mini-batches of one size"):
        run(data, SGD(eta=0.1), 5, 2, replicas=2, sampler=Growing(1.0), compile=True)


@pytest.mark.parametrize(
    ("sampler", "batch", "message"),
    [
        (WithoutReplacement(), 7, "7 distinct samples are required of 6"),
        (Reshuffled(), 4, "divides n = 6, got 4"),
        (Importance((0.5, 0.5)), 1, "6 probabilities are required, got 2"),
    ],
)
def test_what_cannot_be_drawn_is_said(sampler: Any, batch: int, message: str, data: Any) -> None:
    with pytest.raises(UsageError, match=message):
        run(data, SGD(eta=0.1), 3, batch, replicas=2, sampler=sampler)
    gaussian = synthetic.quadratic(dim=2, noise="gaussian", sigma=1.0)
    with pytest.raises(UsageError, match="samples to choose from"):
        run(gaussian, SGD(eta=0.1), 3, replicas=2, sampler=sampler)


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
    from bounds.quantities import next_gradient_norm_squared
    from bounds.statement import Algorithm, Claim, Statement
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
