"""Samplers: the law each claims, streams that do not show how they are cut, and what runs count."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from sampling_problems import N, drawn
from scipy import stats

import synthetic
from theorylab import run
from theorylab.errors import UsageError
from theorylab.method import (
    SGD,
    ReshuffledSGD,
)
from theorylab.problem.oracle import MiniBatch
from theorylab.problem.sampler import (
    Growing,
    Importance,
    Reshuffled,
    Sampler,
    WithoutReplacement,
    WithReplacement,
)


@pytest.fixture(scope="module")
def data() -> Any:
    return synthetic.robust_regression(n=N, dim=3)


CHANCES = (0.1, 0.1, 0.1, 0.2, 0.2, 0.3)


SAMPLERS: dict[str, Sampler] = {
    "with": WithReplacement(), "without": WithoutReplacement(), "reshuffled": Reshuffled(),
    "once": Reshuffled("once"), "cyclic": Reshuffled("cyclic"), "importance": Importance(CHANCES),
}  # fmt: skip


every_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)


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
    from bounds.claim import Claim
    from bounds.quantities import final_distance_to_minimizer_squared as far
    from bounds.statement import Algorithm, Statement
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
