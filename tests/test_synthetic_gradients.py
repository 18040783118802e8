"""Every certificate of every family is attacked; gradients, laws and bits are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_instances import DEFAULTS, FUNCTIONS, INSTANCES, draws, points
from torch import Tensor

import synthetic
from synthetic.interval import Interval, supremum
from synthetic.laws import balanced_shifts, mean_of_rows
from theorylab.errors import UnknownNameError, UsageError
from theorylab.hunt.rescaling import rescale, without_noise
from theorylab.problem.field import Field
from theorylab.problem.objective import Constant, Family, FiniteSum


# --- gradients and laws -------------------------------------------------------------------------
@pytest.mark.parametrize(("family", "parameters"), FUNCTIONS)
def test_gradients_match_autograd(family: Family, parameters: Mapping[str, object]) -> None:
    objective = family.build(**parameters)
    w = points(objective, 9).requires_grad_()
    (expected,) = torch.autograd.grad(objective.smooth_part.value(w).sum(), w)
    w = w.detach()
    torch.testing.assert_close(objective.gradient(w), expected, rtol=1e-9, atol=1e-11)
    ahead, behind = (objective.gradient(w + s * 1e-5) for s in (1, -1))
    along = objective.hessian(w).sum(-1)
    torch.testing.assert_close(along, (ahead - behind) / 2e-5, rtol=2e-4, atol=2e-4)
    if isinstance(objective, FiniteSum):
        index = draws(objective, 9)
        v = w.clone().requires_grad_()
        (expected,) = torch.autograd.grad(objective.sample_value(v, index).sum(), v)
        torch.testing.assert_close(
            objective.sample_gradient(w, index), expected, rtol=1e-9, atol=1e-11
        )
        mean = objective.sample_value(w, torch.arange(objective.n).expand(9, -1)).mean(1)
        torch.testing.assert_close(objective.value(w), mean, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("family", "parameters"), INSTANCES)
def test_sampled_gradients_average_to_the_gradient(
    family: Family, parameters: Mapping[str, object]
) -> None:
    objective = family.build(**parameters)
    law = objective.outcomes()
    w = points(objective, 5)
    if law is None:
        many = 20_000
        draw = draws(objective, many)
        for row in w[:2]:
            noise = objective.sample_gradient(row.expand(many, -1), draw)
            noise = noise - objective.gradient(row.unsqueeze(0))
            assert float(noise.mean(0).norm()) < 6 * float(noise.norm()) / many
        return
    outcomes, probability = law
    assert probability.sum() == pytest.approx(1)
    every = torch.from_numpy(outcomes)
    for row in w:
        g = objective.sample_gradient(row.expand(len(outcomes), -1), every.unsqueeze(1))
        mean = (g * torch.from_numpy(probability)[:, None]).sum(0)
        exact = objective.gradient(row.unsqueeze(0))[0]
        torch.testing.assert_close(mean, exact, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("family", "parameters"), INSTANCES)
def test_mini_batches_are_means_of_single_samples(
    family: Family, parameters: Mapping[str, object]
) -> None:
    objective = family.build(**parameters)
    w, draw = points(objective, 6), draws(objective, 6, batch=4)
    single = [objective.sample_gradient(w, draw[:, k : k + 1]) for k in range(4)]
    torch.testing.assert_close(objective.sample_gradient(w, draw), torch.stack(single).mean(0))
    assert torch.equal(objective.sample_gradients(w, draw), torch.stack(single, 1))


@pytest.mark.parametrize(("family", "parameters"), DEFAULTS)
@pytest.mark.parametrize("batch", [1, 3])
def test_drawing_a_then_b_is_drawing_both(
    family: Family, parameters: Mapping[str, object], batch: int
) -> None:
    objective = family.build(**parameters)
    rng = np.random.default_rng(7)
    parts = [objective.draw(rng, steps, 5, batch) for steps in (1, 3)]
    whole = objective.draw(np.random.default_rng(7), 4, 5, batch)
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("family", "parameters"), INSTANCES)
def test_a_row_depends_on_that_row_alone_bit_for_bit(
    family: Family, parameters: Mapping[str, object], dtype: torch.dtype
) -> None:
    objective = family.build(**parameters, dtype=dtype)
    rows = 301
    w, draw = points(objective, rows, radius=3.0), draws(objective, rows, batch=3)
    order = torch.from_numpy(np.random.default_rng(1).permutation(rows))
    functions = [lambda w, d: objective.gradient(w), objective.sample_gradient]
    if not isinstance(objective, Field):
        functions.append(lambda w, d: objective.value(w))
    if isinstance(objective, FiniteSum):
        functions.append(objective.sample_value)
    for function in functions:
        whole = function(w, draw)
        assert whole.dtype == dtype
        for chosen in (order[:1], order[:7], order[:150], order, torch.arange(2, 40)):
            assert torch.equal(whole[chosen], function(w[chosen], draw[chosen]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rows_of_a_large_sum_are_independent_too(dtype: torch.dtype) -> None:
    objective = synthetic.dataset_objective("diabetes", dtype=dtype)  # several column blocks
    w = points(objective, 150)
    for function in (objective.value, objective.gradient):
        assert torch.equal(function(w)[[3, 140]], function(w[[3, 140]]))
    v = w[:5].clone().requires_grad_()
    (expected,) = torch.autograd.grad(objective.value(v).sum(), v)
    torch.testing.assert_close(objective.gradient(w[:5]), expected)


def test_rows_are_independent_whatever_the_number_of_threads() -> None:
    objective = synthetic.lasso()
    w = points(objective, 150)
    expected, before = objective.gradient(w), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(expected, objective.gradient(w))
        assert torch.equal(expected[:40], objective.gradient(w[:40]))
    finally:
        torch.set_num_threads(before)


def test_an_empty_batch_has_empty_results() -> None:
    objective = synthetic.robust_regression(n=5, dim=2)
    nothing = torch.zeros(0, 2, dtype=torch.float64)
    assert objective.value(nothing).shape == (0,)
    assert objective.gradient(nothing).shape == (0, 2)


@pytest.mark.parametrize(("family", "parameters"), FUNCTIONS)
def test_minimizers_are_minima(family: Family, parameters: Mapping[str, object]) -> None:
    objective = family.build(**parameters)
    best = objective.minimizer()
    if best is None:
        pytest.skip("no minimizer is known")
    assert float(objective.value(best.unsqueeze(0))) == pytest.approx(objective.minimum())
    gradient = objective.gradient(best.unsqueeze(0))
    if not objective.setting:
        assert float(gradient.norm()) < 1e-7
    elif "ell" in objective.constants():
        again = objective.prox(best - gradient, 1.0)
        torch.testing.assert_close(again, best.unsqueeze(0), rtol=0, atol=1e-12)
    around = [objective.inside(points(objective, 99, seed, 10.0**-seed)) for seed in range(4)]
    lowest = min(float(objective.value(near).min()) for near in around)
    assert lowest >= objective.minimum() - 1e-12 * abs(objective.minimum())
    first = float(objective.value(objective.start.unsqueeze(0)))
    assert float(objective.constants()["Delta"]) == pytest.approx(first - objective.minimum())


# --- noise --------------------------------------------------------------------------------------
@given(st.integers(2, 30), st.integers(1, 5), st.floats(1e-3, 1e3))
@settings(max_examples=30, deadline=None)
def test_shifts_have_exactly_the_variance_asked_for(n: int, dim: int, sigma: float) -> None:
    shifts = balanced_shifts(sigma, n, dim)
    assert len(shifts.vectors) == n
    assert float(shifts.sigma()) == pytest.approx(sigma, rel=1e-12)
    mean_square = np.mean(np.sum(shifts.vectors**2, axis=1))
    assert math.sqrt(mean_square) == pytest.approx(sigma, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_means_of_rows_are_those_of_a_loop_bit_for_bit(dtype: torch.dtype) -> None:
    rng = np.random.default_rng(0)
    table = torch.tensor(rng.standard_normal((7, 5)) * 10.0 ** rng.integers(-9, 9, (7, 1)))
    draw = torch.tensor(rng.integers(0, 7, (40, 9)), dtype=torch.int32)
    total = torch.zeros(40, 5, dtype=dtype)
    for i in draw.unbind(1):
        total += table.to(dtype)[i.long()]
    assert torch.equal(mean_of_rows(table.to(dtype), draw), total / 9)


def test_the_slopes_of_a_sum_of_piecewise_quadratics_are_those_of_its_kinds() -> None:
    F = synthetic.piecewise_quadratic_sum()
    knots = [x for kind in F.kinds for x in kind.knots]
    w = torch.tensor([*knots, -50.0, 50.0, 0.3], dtype=torch.float64)[:, None]
    draw = torch.arange(F.n, dtype=torch.int32)[None, :].expand(len(w), -1)
    slopes = torch.cat([kind.slope(w) for kind in F.kinds], 1)
    for i in range(F.n):
        one = F.sample_gradient(w, draw[:, i : i + 1])
        assert torch.equal(one[:, 0], slopes[:, int(F.kind[i])])


def test_biased_shifts_are_refused() -> None:
    with pytest.raises(UsageError, match="mean zero"):
        synthetic.Shifts(np.array([[1.0], [2.0]]))


def test_gaussian_noise_has_its_variance() -> None:
    base = synthetic.quadratic(dim=4)
    objective = synthetic.Noisy(base, synthetic.Gaussian(2.0))
    w = objective.start.expand(100_000, -1)
    noise = objective.sample_gradient(w, draws(objective, 100_000)) - objective.gradient(w)
    assert float(noise.square().sum(-1).mean()) == pytest.approx(4.0, rel=0.02)


def test_student_noise_certifies_no_variance() -> None:
    heavy = synthetic.quadratic(noise="student_t", sigma=1.0)
    assert "sigma" not in heavy.constants()
    light = synthetic.Noisy(synthetic.quadratic(), synthetic.StudentT(1.0, dof=3.0))
    assert float(light.constants()["sigma"]) == pytest.approx(math.sqrt(3.0))
    with pytest.raises(UsageError, match="dof must be above 1"):
        synthetic.StudentT(1.0, dof=1.0)


# --- other samples ------------------------------------------------------------------------------
SUMS = [
    pytest.param(lambda: synthetic.cosine_sum(dim=2, n=6), id="cosine_sum"),
    pytest.param(lambda: synthetic.stability_twins(n=6, delta=0.7), id="stability_twins"),
    pytest.param(lambda: synthetic.cosh_sum(dim=2, n=6), id="cosh_sum"),
    pytest.param(lambda: synthetic.linear_twins(n=6), id="linear_twins"),
    pytest.param(lambda: synthetic.chain_twins(n=6, dim=5), id="chain_twins"),
    pytest.param(lambda: synthetic.strongly_convex_twins(n=6), id="strongly_convex_twins"),
    pytest.param(lambda: synthetic.quadratic_sum(n=6), id="quadratic_sum"),
    pytest.param(lambda: synthetic.piecewise_quadratic_sum(n=6), id="piecewise_quadratic_sum"),
    pytest.param(lambda: synthetic.robust_regression(n=6, dim=2), id="robust_regression"),
    pytest.param(lambda: synthetic.robust_regression(n=6, dim=2, loss="squared"), id="squared"),
    pytest.param(lambda: synthetic.classification(n=6, dim=2), id="classification"),
    pytest.param(lambda: synthetic.bounded_nonconvex(dim=2, noise="shifts", sigma=0.4, n=6),
                 id="shifts"),
    pytest.param(lambda: synthetic.dataset_objective("diabetes", n=6), id="diabetes"),
]  # fmt: skip


class Twin(FiniteSum):
    """The twin whose sample ``position`` is sample ``replacement`` of ``every``."""

    def __init__(self, every: FiniteSum, n: int, position: int, replacement: int) -> None:
        self.every, self.name, self.parameters = every, "twin", {}
        self.start = every.start
        self.index = torch.arange(n)
        self.index[position] = replacement

    @property
    def n(self) -> int:
        return len(self.index)

    def value(self, w: Tensor) -> Tensor:
        return self.every.sample_value(w, self.index.expand(len(w), -1)).mean(1)

    def gradient(self, w: Tensor) -> Tensor:
        return self.every.sample_gradient(w, self.index.expand(len(w), -1))

    def sample_value(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.every.sample_value(w, self.index[draw.long()])

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.every.sample_gradient(w, self.index[draw.long()])

    def constants(self) -> Mapping[str, Constant]:
        return {}

    def resize(self, n: int, seed: int = 0) -> FiniteSum:
        raise NotImplementedError

    def replacement(self, seed: int, pairs: int) -> tuple[np.ndarray, FiniteSum]:
        raise NotImplementedError


@pytest.mark.parametrize("build", SUMS)
def test_twins_share_all_but_the_replaced_sample_and_obey_their_constants(build: Any) -> None:
    objective = build()
    positions, every = objective.replacement(seed=3, pairs=2)
    assert positions.shape == (2,)
    assert every.n == objective.n + 2
    assert every.constants()["n"].value == objective.n
    w = points(objective, 4)
    shared = torch.arange(objective.n).expand(4, -1)
    assert torch.equal(every.sample_value(w, shared), objective.sample_value(w, shared))
    twin = Twin(every, objective.n, int(positions[0]), objective.n)
    for side in (twin, objective):
        reaches = synthetic.attack(side, every.constants(), every.sample_constants(), points=12,
                                   steps=10)  # fmt: skip
        assert [r for r in reaches if r.broken and r.name != "Delta"] == []
    again, same = objective.replacement(seed=3, pairs=2)
    assert np.array_equal(again, positions)
    everything = torch.arange(every.n).expand(4, -1)
    assert torch.equal(same.sample_value(w, everything), every.sample_value(w, everything))


@pytest.mark.parametrize("build", SUMS)
def test_resizing_keeps_the_family(build: Any) -> None:
    objective = build()
    larger = objective.resize(11, seed=1)
    assert (larger.n, larger.dim, type(larger)) == (11, objective.dim, type(objective))
    assert larger.parameters["n"] == 11
    assert set(larger.sample_constants()) == set(objective.sample_constants())


@pytest.mark.parametrize("build", SUMS)
def test_population_values_are_the_limit_of_large_samples(build: Any) -> None:
    objective = build()
    w = points(objective, 3, radius=0.5)
    population = objective.population_value(w)
    if population is None:
        pytest.skip("the law of the samples is not known")
    large = objective.resize(40_000, seed=5)
    index = torch.arange(large.n)
    spread = torch.stack([large.sample_value(row.expand(large.n, -1), index[:, None]).std()
                          for row in w])  # fmt: skip
    error = (large.value(w) - population).abs()
    assert bool((error < 6 * spread / math.sqrt(large.n) + 1e-9).all())


def test_the_stability_instance_is_the_one_of_the_notes() -> None:
    objective = synthetic.stability_twins(n=10, delta=0.8)
    _, every = objective.replacement(seed=0, pairs=1)
    w = torch.linspace(-2, 2, 9, dtype=torch.float64).unsqueeze(1)
    index = torch.tensor([[0, 1, 10]]).expand(9, -1)
    expected = torch.cat([-0.8 * torch.sin(w), 0.2 * torch.cos(2 * w), 0.8 * torch.sin(w)], 1)
    torch.testing.assert_close(every.sample_value(w, index), expected)


# --- intervals ----------------------------------------------------------------------------------
@given(st.floats(-20, 20), st.floats(0, 10), st.floats(0, 1))
def test_intervals_contain_what_they_enclose(low: float, width: float, where: float) -> None:
    box = Interval(np.array([low]), np.array([low + width]))
    x = min(low + where * width, low + width)
    for got, exact in (
        (box.cos(), math.cos(x)),
        (box.square(), x * x),
        (box.abs(), abs(x)),
        (box * (1.0 - box), x * (1 - x)),
    ):
        assert got.lower[0] <= exact <= got.upper[0]


def test_a_supremum_is_bounded_from_both_sides() -> None:
    bound, reached = supremum(lambda x: x.cos() + 0.5 * (2.0 * x).cos(), -1.0, 4.0)
    assert reached <= 1.5 <= bound <= 1.5 * (1 + 1e-5)


# --- use ----------------------------------------------------------------------------------------
def test_families_cover_the_assumptions_of_every_kind_of_statement() -> None:
    built = [(f.build(**p)) for f in synthetic.FAMILIES for p in f.defaults]

    def some(*names: str, finite_sum: bool = False, without: tuple[str, ...] = ()) -> bool:
        return any(
            set(names) <= set(o.constants())
            and not set(without) & set(o.constants())
            and (isinstance(o, FiniteSum) or not finite_sum)
            for o in built
        )

    assert some("ell", "delta", "G", "Bf", "sigma", "n", "Delta", finite_sum=True)
    assert some("L", "sigma", "Delta", without=("ell", "delta"))
    assert some("L0", "L1", "sigma", "n", "Delta", finite_sum=True, without=("ell",))
    assert any({"ell", "delta", "G", "Bf"} <= set(o.sample_constants()) for o in built)
    assert any("strongly_convex" in o.declared for o in built)


@pytest.mark.parametrize(("family", "parameters"), INSTANCES)
def test_what_is_fitted_has_minimum_zero(family: Family, parameters: Mapping[str, object]) -> None:
    objective = family.build(**parameters)
    if "fitted" in objective.declared:
        minimizer = objective.minimizer()
        assert minimizer is not None
        assert objective.minimum() == 0
        assert 0 <= float(objective.value(minimizer[None])) < 1e-28
    if "fitted" in objective.sample_declared:
        assert isinstance(objective, FiniteSum)
        w = points(objective, 200, radius=3.0)
        assert objective.sample_value(w, draws(objective, 200)).min() >= 0


def test_a_tilted_sum_is_fitted_as_a_whole_alone() -> None:
    tilted = synthetic.quadratic(dim=2, noise="shifts", sigma=0.5, n=4)
    assert "fitted" in tilted.declared
    assert "fitted" not in tilted.sample_declared


@pytest.mark.parametrize(("family", "parameters"), FUNCTIONS)
@pytest.mark.parametrize("a", [1.0, 3.0])
def test_values_of_exact_and_rescaled_batches_are_those_of_their_gradients(
    family: Family, parameters: Mapping[str, object], a: float
) -> None:
    objective = rescale(without_noise(family.build(**parameters)), a, 0.5)
    w = points(objective, 3, radius=0.1).requires_grad_()
    draw = draws(objective, 3, batch=2)
    values = objective.batch_value(w, draw)
    torch.testing.assert_close(values, objective.smooth_part.value(w))
    (slope,) = torch.autograd.grad(values.sum(), w)
    torch.testing.assert_close(slope, objective.sample_gradient(w.detach(), draw))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: synthetic.delta_nonconvex(kappa=2.0), r"delta_nonconvex: kappa must be in"),
        (lambda: synthetic.quadratic(ell=-1.0), "quadratic: ell must be a positive number, got"),
        (lambda: synthetic.quadratic(dim=0), "dim must be an integer of at least 1, got 0"),
        (lambda: synthetic.quadratic(noise="pink"), "noise must be one of none, shifts"),
        (lambda: synthetic.quadratic(sigma=1.0), "sigma must be zero"),
        (lambda: synthetic.relaxed_smooth(shape="tan"), "shape must be one of cosh"),
        (lambda: synthetic.stability_twins(delta=2.0, ell=1.0), "ell must be at least delta"),
        (lambda: synthetic.robust_regression(loss="logistic"), "a loss of residuals"),
        (lambda: synthetic.classification(loss="welsch"), "a loss of margins"),
        (lambda: synthetic.piecewise_quadratic(knots=(1, 0), slopes=(0, 0)), "increasing"),
        (lambda: synthetic.piecewise_quadratic_sum(bend=0), "bend must be a positive number"),
    ],
)
def test_parameters_out_of_range_are_refused(build: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()


def test_an_unknown_loss_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown loss 'hinge'; known: squared"):
        synthetic.robust_regression(loss="hinge")


def test_the_attack_needs_double_precision() -> None:
    with pytest.raises(UsageError, match="must be in float64"):
        synthetic.attack(synthetic.quadratic(dtype=torch.float32))


@pytest.mark.parametrize("data", [
    synthetic.cosine_sum(n=5, dim=2), synthetic.robust_regression(n=5, dim=2),
    synthetic.stability_twins(n=5), synthetic.cosh_sum(n=5),
    synthetic.robust_regression(n=5, dim=2, loss="squared"),
], ids=lambda data: f"{data.name} {data.parameters.get('loss', '')}")  # fmt: skip
def test_what_is_certified_of_fresh_samples_holds_for_a_thousand_of_them(data: Any) -> None:
    largest = data.population_constants().get("Bf")
    assert (largest is None) == (data.name in ("stability_twins", "cosh_sum")
                                 or data.parameters.get("loss") == "squared")  # fmt: skip
    if largest is None:
        return
    fresh = data.resize(1000, 77)
    w = 10.0 ** torch.linspace(-2, 3, 50)[:, None] * torch.randn(50, data.dim).double()
    losses = fresh.sample_value(w, torch.arange(1000, dtype=torch.int32).repeat(50, 1))
    assert float(losses.abs().max()) <= float(largest) * (1 + 1e-12)
    assert float(data.population_value(w).abs().max()) <= float(largest) * (1 + 1e-12)
