"""The function through given points: of its class by construction, through them where it can be."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import synthetic
from synthetic.interpolated import Interpolated, simplex_minimum
from theorylab.errors import UsageError


@pytest.mark.parametrize("seed", range(8))
def test_the_simplex_minimum_is_that_of_a_general_solver(seed: Any) -> None:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(2, 9))
    rows = rng.standard_normal((m, int(rng.integers(1, 5))))
    Q, c = rows @ rows.T, rng.standard_normal(m) * rng.choice([0.1, 1.0, 10.0])
    value, a = simplex_minimum(Q, c)
    assert a.min() >= 0
    assert a.sum() == pytest.approx(1)
    slope = Q @ a + c  # the conditions of optimality
    assert slope.min() >= slope @ a - 1e-10 * (1 + np.abs(slope).max())
    other = minimize(lambda x: 0.5 * x @ Q @ x + c @ x, np.full(m, 1 / m), jac=lambda x: Q @ x + c,
                     bounds=[(0, 1)] * m, constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
                     method="SLSQP", options={"ftol": 1e-12, "maxiter": 500})  # fmt: skip
    assert value <= other.fun + 1e-9
    assert value == pytest.approx(other.fun, abs=1e-6)


def _random(lower: Any, upper: Any, seed: Any = 0, m: Any = 6, d: Any = 3) -> Any:
    """Data that no function of the class need fit: the function is of the class all the same."""
    rng = np.random.default_rng(seed)
    x, g = rng.standard_normal((2, m, d))
    return Interpolated(x, g, rng.standard_normal(m), lower, upper, rng.standard_normal(d))


@pytest.mark.parametrize(("lower", "upper"), [(0.0, 1.0), (0.2, 3.0), (-2.0, 1.0), (-0.5, 0.5)])
def test_curvature_lies_where_it_is_certified(lower: float, upper: float) -> None:
    F = _random(lower, upper)
    rng = np.random.default_rng(1)
    u, w = (torch.from_numpy(3 * rng.standard_normal((200, 3))) for _ in range(2))
    step, turn = u - w, F.gradient(u) - F.gradient(w)
    square, inner = step.square().sum(-1), (step * turn).sum(-1)
    assert bool((inner >= lower * square - 1e-9).all())
    assert bool((inner <= upper * square + 1e-9).all())
    bent = (turn - lower * step).square().sum(-1)
    assert bool(((upper - lower) * (inner - lower * square) >= bent - 1e-9).all())


@pytest.mark.parametrize(("lower", "upper"), [(0.0, 1.0), (0.2, 3.0), (-2.0, 1.0)])
def test_gradient_and_minimum(lower: float, upper: float) -> None:
    F = _random(lower, upper, seed=3)
    w = torch.from_numpy(np.random.default_rng(2).standard_normal((20, 3)))
    g = F.gradient(w)
    for j in range(3):
        e = torch.zeros(1, 3, dtype=torch.float64)
        e[0, j] = 1e-5
        slope = (F.value(w + e) - F.value(w - e)) / 2e-5
        torch.testing.assert_close(slope, g[:, j], rtol=1e-5, atol=1e-5)
    far = torch.from_numpy(5 * np.random.default_rng(4).standard_normal((500, 3)))
    assert float(F.value(far).min()) >= F.minimum()
    least = F.minimizer()[None]
    assert float(F.value(least)) == pytest.approx(F.minimum(), abs=1e-10)
    assert float(F.gradient(least).norm()) < 1e-7


def test_it_goes_through_data_of_a_function_of_the_class() -> None:
    bowl = synthetic.quadratic(dim=3, ell=2.0, condition=4.0)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 3)))
    g, f = bowl.gradient(x), bowl.value(x)
    F = Interpolated(x.numpy(), g.numpy(), f.numpy(), 0.5, 2.0, x[0].numpy())
    torch.testing.assert_close(F.value(x), f)
    torch.testing.assert_close(F.gradient(x), g)


def test_noise_and_constants() -> None:
    F = synthetic.interpolated(noise=[0.3, -0.5], sigma=0.4)
    assert float(F.constants()["sigma"]) == 0.5
    draws = torch.tensor([[0], [1]], dtype=torch.int32)
    w = torch.full((2, 1), 2.0, dtype=torch.float64)
    assert F.sample_gradient(w, draws).ravel().tolist() == [0.5, 1.5]
    assert float(synthetic.interpolated(Delta=9.0).constants()["Delta"]) == 9.0


@pytest.mark.parametrize("wrong", [
    {"upper": 0.0, "lower": -1.0}, {"lower": 2.0}, {"points": [1.0]}, {"noise": [1.0]},
])  # fmt: skip
def test_what_does_not_fit_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match="interpolated: "):
        synthetic.interpolated(**wrong)
