"""The proximal minimizer: found to rounding, or refused."""

import numpy as np
import pytest
import torch

import synthetic
from theorylab.engine.proximal_point import proximal_minimizer
from theorylab.errors import UsageError


@pytest.mark.parametrize("factor", [1.001, 2.0, 1e3])
def test_the_proximal_minimizer_is_stationary(factor: float) -> None:
    objective = synthetic.delta_nonconvex(dim=3, kappa=1.0, condition=10.0)
    anchor = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 3)))
    known = {k: float(objective.constants()[k]) for k in ("delta", "ell")}
    lam = factor * known["delta"]
    w = proximal_minimizer(objective, anchor, lam, **known)
    pull = objective.gradient(w) + lam * (w - anchor)
    assert float(pull.norm(dim=1).max()) <= 1e-12 * (lam + known["ell"])


@pytest.mark.parametrize(("lam", "condition"), [(0.5, 1.0), (1e-4, 1e6)])
def test_on_a_quadratic_it_is_known(lam: float, condition: float) -> None:
    """The second is so flat that 20,000 steps of plain gradient descent do not get there."""
    objective = synthetic.quadratic(dim=2, ell=1.0, condition=condition, rotated=False)
    anchor = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    bends = objective.gradient(torch.ones(1, 2, dtype=torch.float64))
    w = proximal_minimizer(objective, anchor, lam, 0.0, 1.0)
    torch.testing.assert_close(w, anchor * lam / (lam + bends), rtol=1e-9, atol=1e-9)


def test_what_has_not_converged_is_refused() -> None:
    objective = synthetic.quadratic(dim=2, ell=4.0, condition=4.0)
    anchor = torch.ones(1, 2, dtype=torch.float64)
    with pytest.raises(UsageError, match=r"proximal_minimizer on quadratic.*after 3 steps it is"):
        proximal_minimizer(objective, anchor, 1e-3, 0.0, 4.0, steps=3)
    with pytest.raises(UsageError, match="needs lam > delta"):
        proximal_minimizer(objective, anchor, 1.0, 1.0, 4.0)
