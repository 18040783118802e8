"""Online losses on a set: what is certified of each of them, and regret theorems on it."""

import numpy as np
import pytest
import sympy as sp
import torch

import synthetic
import theorylab
from bounds import Algorithm, Claim, Statement, quantities
from bounds.assumptions import BOUNDED_SET, CONSTRAINED, CONVEX, LIPSCHITZ, PER_SAMPLE
from bounds.notation import D, G, T, eta
from theorylab.hunt.rescaling import rescale
from theorylab.hunt.search import hunt
from theorylab.plugins.specs import build_objective
from theorylab.problem.composite import Constrained

SETS = ("ball", "box", "simplex", "l1_ball")
SHIFTED = [
    *(synthetic.constrained_linear(shape, domain, dim=3, slope=0.7, size=1.3, noise="shifts",
                                   sigma=0.9, n=4)
      for shape in ("linear", "max") for domain in SETS),
    *(synthetic.constrained_quadratic(domain, noise="shifts", sigma=0.9, n=4) for domain in SETS),
    synthetic.constrained_huber(noise="shifts", sigma=0.9, n=4),
]  # fmt: skip
ALL_BUT_FLAT = {"dim": 1, "slope": 0.01, "noise": "shifts", "sigma": 1.0, "n": 2}
FLAT = {"family": "constrained_linear", "parameters": ALL_BUT_FLAT}


@pytest.mark.parametrize("F", SHIFTED, ids=lambda F: f"{F.name}-{F.dim}")
def test_what_is_certified_of_every_loss_holds_of_sampled_differences(F: Constrained) -> None:
    rng = np.random.default_rng(5)
    c = {name: float(constant) for name, constant in F.sample_constants().items()}
    assert F.sample_declared >= {"convex", "constrained"}
    w, u = (F.projection(torch.from_numpy(3 * rng.standard_normal((400, F.dim)))) for _ in range(2))
    w[:8] = F.linear_minimizer(torch.from_numpy(rng.standard_normal((8, F.dim))))
    apart = (u - w).norm(dim=-1)
    assert apart.max() <= c["D"] + 1e-12
    largest = dict.fromkeys(("G", "G_inf"), 0.0)
    for i in range(int(c["n"])):
        draw = torch.full((400, 1), i, dtype=torch.int32)
        at_w, at_u = F.batch_value(w, draw), F.batch_value(u, draw)
        g, h = F.sample_gradient(w, draw), F.sample_gradient(u, draw)
        assert bool((at_u >= at_w + (g * (u - w)).sum(-1) - 1e-12).all())
        assert bool(((at_u - at_w).abs() <= c["G"] * apart + 1e-12).all())
        if "ell" in c:
            assert bool(((g - h).norm(dim=-1) <= c["ell"] * apart + 1e-12).all())
        largest["G"] = max(largest["G"], float(g.norm(dim=-1).max()))
        largest["G_inf"] = max(largest["G_inf"], float(g.abs().max()))
    for name, found in largest.items():
        assert found <= c[name] * (1 + 1e-12)
        if F.sample_constants()[name].attained:
            assert found == pytest.approx(c[name], rel=1e-12)


def test_one_loss_is_no_sum() -> None:
    plain = synthetic.constrained_linear()
    assert plain.sample_constants() == {}
    assert plain.sample_declared == frozenset()


def test_the_constants_of_losses_follow_their_units() -> None:
    F = SHIFTED[0]
    own, scaled = (x.sample_constants() for x in (F, rescale(F, 2.0, 5.0)))
    assert float(scaled["G"]) == pytest.approx(float(own["G"]) * 2 / 5)
    assert float(scaled["D"]) == pytest.approx(float(own["D"]) * 5)
    assert scaled["n"] == own["n"]


def regret_at_most(bound: sp.Expr) -> Statement:
    return Statement("test.regret", "Theorem", "printed", Claim(quantities.regret, "<=", bound),
                     (CONVEX, CONSTRAINED, BOUNDED_SET, LIPSCHITZ, PER_SAMPLE),
                     Algorithm("projected_subgradient", {"eta": eta}))  # fmt: skip


def test_zinkevichs_regret_stands_and_a_quarter_of_it_falls() -> None:
    """D^2/(2 eta) + eta G^2 T/2 is true of every sequence of losses, 1/8 in place of 1/2 is not."""
    true = D**2 / (2 * eta) + eta * T * G**2 / 2
    found = hunt(regret_at_most(true), [FLAT], limit=8, programs=0, progress=False)
    assert found.verdict == "not refuted"
    assert 0.3 < found.ratio <= 1
    for false in (true / 4, D * G * sp.sqrt(T) / 4):
        verdict = theorylab.check(regret_at_most(false), build_objective(FLAT))
        assert (verdict.verdict, verdict.evidence) == ("violated", "exact law")
