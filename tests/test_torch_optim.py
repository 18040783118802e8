"""The torch.optim adapter: against torch's own optimizers, the rules, and its promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from networks_for_optimizers import (
    CASES,
    Build,
    batch,
    closure_of,
    grouped,
    network,
    train,
    weights,
)
from torch import Tensor, nn

from theorylab import method as optimizers
from theorylab.method.rule import Drawn
from theorylab.method.schedules import Harmonic
from theorylab.problem.oracle import FunctionOracle
from theorylab.torch import optim as torch_optim
from theorylab.torch.oracle import ANSWERS


def test_every_class_is_here() -> None:
    tools = ("Flags", "RuleOptimizer", "optimizer")
    classes = {name for name in torch_optim.__all__ if name not in tools}
    # SVRG takes a closure over all data at every step: see the test of full gradients.
    assert {name.split()[0] for name in CASES} == classes - {"SVRG"}
    trained = {rule for rule in optimizers.RULES if rule.needs <= ANSWERS}
    assert {getattr(torch_optim, name).rule for name in classes} == trained


# --- against torch's own ---------------------------------------------------------------------
TWINS = {
    "sgd": (lambda p: torch_optim.SGD(p, 0.1, weight_decay=0.1),
            lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.1)),
    "msgd": (lambda p: torch_optim.MSGD(p, 0.1, 0.9, 0.1),
             lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.1)),
    "nesterov": (lambda p: torch_optim.Nesterov(p, 0.1, 0.9, 0.1),
                 lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.1, nesterov=True)),
    "adam": (lambda p: torch_optim.Adam(p, 0.01, (0.8, 0.99), weight_decay=0.1),
             lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.99), weight_decay=0.1)),
    "amsgrad": (lambda p: torch_optim.AMSGrad(p, 0.01, (0.8, 0.99), variant="torch"),
                lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.99), amsgrad=True)),
    "rmsprop": (lambda p: torch_optim.RMSprop(p, 0.01, momentum=0.5, weight_decay=0.1),
                lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5, weight_decay=0.1)),
    "adamw": (lambda p: torch_optim.AdamW(p, 0.01, (0.8, 0.99), weight_decay=0.1),
              lambda p: torch.optim.AdamW(p, 0.01, (0.8, 0.99), weight_decay=0.1)),
    "maximize": (lambda p: torch_optim.MSGD(p, 0.01, 0.9, 0.1, maximize=True),
                 lambda p: torch.optim.SGD(p, 0.01, 0.9, weight_decay=0.1, maximize=True)),
}  # fmt: skip


every_twin = pytest.mark.parametrize("twin", TWINS)


@every_twin
@pytest.mark.parametrize("groups", [False, True])
def test_equals_torch(twin: str, groups: bool) -> None:
    models, paths = [network(), network()], []
    for model, build in zip(models, TWINS[twin], strict=True):
        optimizer = build(grouped(model) if groups else model.parameters())
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 7, 0.5)
        points = []
        for step in range(25):
            optimizer.step(closure_of(model, step))
            schedule.step()
            points.append(weights(model))
        paths.append(torch.stack(points))
    torch.testing.assert_close(paths[0], paths[1], rtol=1e-12, atol=1e-12)
    assert (paths[0][-1] - paths[0][0]).norm() > 0.1


def test_another_momentum_is_not_torchs() -> None:
    ours, theirs = network(), network()
    train(ours, torch_optim.MSGD(ours.parameters(), 0.1, 0.89), 0, 5)
    train(theirs, torch.optim.SGD(theirs.parameters(), 0.1, 0.9), 0, 5)
    assert not torch.allclose(weights(ours), weights(theirs), atol=1e-6)


# --- against the rules -----------------------------------------------------------------------
def by_rule(rule: Any, model: nn.Module, steps: int) -> Tensor:
    """The rule stepped on the flat vector by hand."""
    params = list(model.parameters())
    w, state = weights(model), None
    for step in range(steps):
        closure_of(model, step)()
        g = torch.cat([p.grad.reshape(-1) for p in params])  # type: ignore[union-attr]
        oracle = FunctionOracle(lambda w, g=g: g)  # type: ignore[misc]
        state = rule.init(w, oracle) if state is None else state
        mask = rule.restarts(np.random.default_rng(0), step, 1, 1)
        restart = True if mask is None else torch.tensor([bool(mask[0, 0])])
        draw = Drawn(torch.tensor(step + 1.0, dtype=w.dtype), restart)
        w, state = rule.update(w, oracle, state, draw)
        with torch.no_grad():
            nn.utils.vector_to_parameters(w, params)
    return w


@pytest.mark.parametrize(
    ("build", "rule"),
    [
        (lambda p: torch_optim.SNGM(p, 1.6, 0.9), optimizers.SNGM(1.6, 0.9)),
        (lambda p: torch_optim.TRSGD(p, 0.2, 4.5, 5), optimizers.TRSGD(5.5, 0.5, 5)),
        (lambda p: torch_optim.LRSGD_C(p, 0.2, 0.5, 4, 0.5, t0=3, eta=Harmonic(0.1)),
         optimizers.LRSGD_C(0.5, 0.0, 4, inner=0.2, beta=0.5, t0=3, eta=Harmonic(0.1))),
        (lambda p: torch_optim.TRAdam(p, 0.01, 0.1, 4), optimizers.TRAdam(0.1, 4, 0.01)),
        (lambda p: torch_optim.AcceleratedSGD(p, 0.02, 50.0, 5.0),
         optimizers.AcceleratedSGD(0.02, 50.0, 5.0)),
    ],
)  # fmt: skip
def test_equals_the_rule_on_the_flat_vector(build: Build, rule: Any) -> None:
    ours, model = network(), network()
    optimizer = build(ours.parameters())
    if isinstance(optimizer, torch_optim.TRSGD):  # lr = 1/(lam - delta), Definition 1
        optimizer.param_groups[0]["lam"] = 5.5
    train(ours, optimizer, 0, 12)
    torch.testing.assert_close(weights(ours), by_rule(rule, model, 12), rtol=1e-13, atol=1e-13)


def test_sngm_normalises_over_all_groups() -> None:
    model = network()
    optimizer = torch_optim.SNGM(grouped(model), lr=0.03, momentum=0.0)
    before = weights(model)
    train(model, optimizer, 0, 1)
    assert (weights(model) - before).norm().item() == pytest.approx(0.03, rel=1e-12)


def test_lars_scales_every_tensor_apart() -> None:
    model = network()
    optimizer = torch_optim.LARS(model.parameters(), 1.0, 0.0, 0.0, trust=0.01)
    before = [p.detach().clone() for p in model.parameters()]
    train(model, optimizer, 0, 1)
    for old, new in zip(before, model.parameters(), strict=True):
        if old.norm() > 0 and new.grad.norm() > 1e-12:  # type: ignore[union-attr]
            assert (new - old).norm().item() == pytest.approx(0.01 * old.norm().item(), rel=1e-9)


def test_kinds_from_shapes_names_and_groups() -> None:
    model = network()
    kinds = lambda optimizer: [kind for kind, _ in optimizer._present().layout]
    build = torch_optim.StochasticBatchSize2
    plain = ["convolution", "vector", "vector", "fully connected", "vector"]
    named = ["convolution", "normalization", "normalization", "fully connected", "bias"]
    assert kinds(build(model.parameters(), 0.1)) == plain
    assert kinds(build(model.named_parameters(), 0.1)) == named
    assert kinds(build([{"params": list(model.parameters()), "kind": "x"}], 0.1)) == ["x"] * 5


# --- closures, rounds, draws -----------------------------------------------------------------
def test_algorithm_1_takes_old_batches_at_the_current_weights() -> None:
    """With p near 0 nothing moves and k counts up; then one update averages the batches."""
    model = nn.Linear(2, 1, bias=False).double()
    optimizer = torch_optim.StochasticBatchSize1(model.parameters(), 1.0, 0.0, 0.0, memory=2)
    rows = torch.eye(2, dtype=torch.float64)
    seen: list[int] = []

    def bound(i: int) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            seen.append(i)
            model.zero_grad()
            loss = model(rows[i]).sum()
            loss.backward()
            return loss

        return closure

    draws = iter([1.0, 0.0])
    plain = optimizer._draw

    def given(rule: Any, form: Any, states: Any) -> Drawn:
        chi = torch.full_like(form.w, next(draws))
        return plain(rule, form, states)._replace(own={"chi": chi})

    optimizer._draw = given  # type: ignore[method-assign]
    start = weights(model)
    optimizer.step(bound(0))
    assert torch.equal(weights(model), start)
    optimizer.step(bound(1))
    assert seen == [0, 1, 0]
    torch.testing.assert_close(weights(model), start - 0.5)


def test_algorithm_1_says_which_closures_it_needs() -> None:
    model = network()
    optimizer = CASES["StochasticBatchSize1"](model.parameters())
    closure_of(model, 0)()
    with pytest.warns(UserWarning, match="without closures only this step's mini-batch"):
        optimizer.step()
    train(model, optimizer, 1, 4)
    optimizer.load_state_dict(optimizer.state_dict())
    with pytest.warns(UserWarning, match="1 of the last 3 are known; .* closures, newest first"):
        optimizer.step(closure_of(model, 5))
    optimizer.step([closure_of(model, s) for s in (5, 4, 3)])


def test_two_points_are_two_evaluations_of_one_closure() -> None:
    """SAM by hand, with torch alone; gradients and parameters are put back."""
    ours, theirs = network(), network()
    optimizer = torch_optim.SAM(ours.parameters(), 0.1, 0.3)
    for step in range(4):
        optimizer.step(closure_of(ours, step))
        closure_of(theirs, step)()
        params = list(theirs.parameters())
        start, first = weights(theirs), [p.grad.clone() for p in params]  # type: ignore[union-attr]
        size = torch.cat([g.reshape(-1) for g in first]).norm()
        with torch.no_grad():
            for p, g in zip(params, first, strict=True):
                p.add_(g, alpha=0.3 / float(size))
        closure_of(theirs, step)()
        g = torch.cat([p.grad.reshape(-1) for p in params])  # type: ignore[union-attr]
        with torch.no_grad():
            nn.utils.vector_to_parameters(start - 0.1 * g, params)
        for p, q in zip(ours.parameters(), first, strict=True):
            torch.testing.assert_close(p.grad, q)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-9, atol=1e-11)


def test_full_gradients_come_from_a_closure_over_all_data() -> None:
    """SVRG on two mini-batches, by the rule on the flat vector."""
    model = network()
    optimizer = torch_optim.optimizer(optimizers.SVRG)(model.parameters(), lr=0.1, S=2)
    with pytest.raises(ValueError, match=r"needs full gradients: .*step\(closure, full\)"):
        optimizer.step(closure_of(model, 0))

    def everything() -> Tensor:
        model.zero_grad()
        losses = [(model(x) - y).square().mean() for x, y in map(batch, (0, 1))]
        loss = torch.stack(losses).mean()
        loss.backward()
        return loss

    before = everything().item()
    for step in range(60):
        optimizer.step(closure_of(model, step % 2), everything)
    assert everything().item() < 0.7 * before


def test_what_closures_cannot_give_is_said() -> None:
    params = list(network().parameters())
    with pytest.raises(ValueError, match="SAGA: the method needs gradients sample by sample"):
        torch_optim.optimizer(optimizers.SAGA)(params, 0.1)
    model = network()
    closure_of(model, 0)()
    with pytest.raises(ValueError, match="STORM: the method needs gradients at several points"):
        torch_optim.STORM(model.parameters(), 0.1).step()
    with pytest.raises(ValueError, match="PolyakStep: the method needs values"):
        torch_optim.PolyakStep(model.parameters(), 0.1).step()


def test_restart_begins_a_round() -> None:
    model = network()
    optimizer = torch_optim.TRSGD(model.parameters(), 0.1, 0.1, S=10)
    indices = []
    for step in range(8):
        if step == 5:
            optimizer.restart()
        train(model, optimizer, step, 1)
        indices.append(int(next(iter(optimizer.state.values()))["k"]))
    assert indices == [1, 2, 3, 4, 5, 1, 2, 3]


def test_seeds_decide_draws() -> None:
    ends = []
    for seed in (1, 1, 2):
        model = network()
        optimizer = torch_optim.StochasticBatchSize2(model.parameters(), 0.1, seed=seed)
        torch.manual_seed(seed * 17)
        train(model, optimizer, 0, 5)
        ends.append(weights(model))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


@pytest.mark.parametrize("k", [1, 4, 9, 40])
def test_of_equal_entries_as_many_are_sent_as_were_asked_for(k: int) -> None:
    params = [nn.Parameter(torch.zeros(shape)) for shape in ((3, 2), (4,), (20,))]
    optimizer = torch_optim.TopKSGD(params, 1.0, k)
    for p, size in zip(params, (2.0, -3.0, 1.0), strict=True):
        p.grad = torch.full_like(p, size)
    optimizer.step()
    moved = torch.cat([p.detach().reshape(-1) for p in params])
    assert int((moved != 0).sum()) == min(k, 30)
    assert moved[6:10].count_nonzero() == min(k, 4)
    held = torch.cat([optimizer.state[p]["e"].reshape(-1) for p in params])
    given = torch.cat([p.grad.reshape(-1) for p in params if p.grad is not None])
    assert torch.equal(held - moved, given)
