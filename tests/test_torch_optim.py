"""The torch.optim adapter: against torch's own optimizers, the rules, and its promises."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from theorylab import method as optimizers
from theorylab.method.rule import Drawn
from theorylab.method.schedules import Expression, Harmonic
from theorylab.problem.oracle import FunctionOracle
from theorylab.torch import optim as torch_optim
from theorylab.torch.optim import RuleOptimizer
from theorylab.torch.oracle import ANSWERS

Build = Callable[[Any], RuleOptimizer]

# Every class, with arguments that make its parts work; values suit the small network below.
CASES: dict[str, Build] = {
    "SGD": lambda p: torch_optim.SGD(p, 0.1, weight_decay=0.01),
    "MSGD": lambda p: torch_optim.MSGD(p, 0.1, 0.8, 0.01),
    "Nesterov": lambda p: torch_optim.Nesterov(p, 0.1, 0.8, 0.01),
    "SNGD": lambda p: torch_optim.SNGD(p, 0.1, 0.01),
    "SNGM": lambda p: torch_optim.SNGM(p, 0.1, 0.8, 0.01),
    "TRSGD": lambda p: torch_optim.TRSGD(p, 0.2, 0.5, 4, 0.5, 0.01),
    "TRSGD authors": lambda p: torch_optim.TRSGD(p, 0.1, 0.01, 4, 0.9, 0.01, variant="authors"),
    "LRSGD_R": lambda p: torch_optim.LRSGD_R(p, 0.1, 0.5, 0.2, 0.5, 0.01, t0=3, eta=0.1, seed=5),
    "LRSGD_C": lambda p: torch_optim.LRSGD_C(p, 0.2, 0.5, 4, 0.5, 0.01, t0=3, eta=0.1),
    "StochasticBatchSize1": lambda p: torch_optim.StochasticBatchSize1(
        p, 0.1, momentum=0.5, memory=3
    ),
    "StochasticBatchSize2": lambda p: torch_optim.StochasticBatchSize2(p, 0.1, momentum=0.5),
    "Adam": lambda p: torch_optim.Adam(p, 0.01, weight_decay=0.01),
    "AMSGrad": lambda p: torch_optim.AMSGrad(p, 0.01, weight_decay=0.01),
    "RMSprop": lambda p: torch_optim.RMSprop(p, 0.01, momentum=0.5),
    "TRAdam": lambda p: torch_optim.TRAdam(p, 0.01, 0.1, 4),
    "LARS": lambda p: torch_optim.LARS(p, 1.0, trust=0.05),
    "EntropySGD": lambda p: torch_optim.EntropySGD(p, 0.5, 4, 0.5, gamma1=0.01, eps=1e-3),
    "AcceleratedSGD": lambda p: torch_optim.AcceleratedSGD(p, 0.02, 50.0, 5.0),
}
CASES |= {
    "Alternating": lambda p: torch_optim.Alternating(p, 0.1),
    "STORM": lambda p: torch_optim.STORM(p, 0.1, 0.3),
    "Extragradient": lambda p: torch_optim.Extragradient(p, 0.1),
    "SAM": lambda p: torch_optim.SAM(p, 0.1, weight_decay=0.01),
    "TwoPointZerothOrder": lambda p: torch_optim.TwoPointZerothOrder(p, 0.02),
    "PolyakStep": lambda p: torch_optim.PolyakStep(p, 0.5),
    "AveragedSGD": lambda p: torch_optim.AveragedSGD(p, 0.1, 0.01),
    "OptimizedGradient": lambda p: torch_optim.OptimizedGradient(p, 0.1),
    "AdaGradNorm": lambda p: torch_optim.AdaGradNorm(p, 1.0, weight_decay=0.01),
    "ClippedSGD": lambda p: torch_optim.ClippedSGD(p, 0.1, 0.5, 0.01),
    "AdamW": lambda p: torch_optim.AdamW(p, 0.01),
    "SignSGD": lambda p: torch_optim.SignSGD(p, 0.01, 0.5, 0.01),
    "TopKSGD": lambda p: torch_optim.TopKSGD(p, 0.1, 8),
    "ReshuffledSGD": lambda p: torch_optim.ReshuffledSGD(p, 0.1, 0.01),
}
every_case = pytest.mark.parametrize("case", CASES)
two_points = {"STORM", "Extragradient", "SAM", "TwoPointZerothOrder", "PolyakStep"}
closures_only = {"StochasticBatchSize1", *two_points}


def network(seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(seed)
    # No bias before the normalization: its gradient is rounding error, which Adam would scale up.
    layers = nn.Sequential(
        nn.Conv1d(1, 2, 3, bias=False), nn.BatchNorm1d(2), nn.Flatten(), nn.Tanh(), nn.Linear(8, 3)
    )
    return layers.to(dtype)


def batch(step: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 + step)
    x = torch.randn(5, 1, 6, generator=generator, dtype=dtype)
    return x, torch.randn(5, 3, generator=generator, dtype=dtype)


def closure_of(model: nn.Module, step: int) -> Callable[[], Tensor]:
    x, y = batch(step, next(model.parameters()).dtype)

    def closure() -> Tensor:
        model.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    return closure


def train(model: nn.Module, optimizer: Any, first: int, steps: int) -> None:
    for step in range(first, first + steps):
        optimizer.step(closure_of(model, step))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).clone()


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


def grouped(model: nn.Module) -> list[dict[str, Any]]:
    many = [p for p in model.parameters() if p.ndim > 1]
    few = [p for p in model.parameters() if p.ndim == 1]
    return [{"params": few, "lr": 0.03, "weight_decay": 0.0}, {"params": many}]


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
    kinds = lambda optimizer: [kind for kind, _ in optimizer._built[1].layout]
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

    draws = iter([torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)])
    plain = optimizer._draw
    optimizer._draw = lambda rule, w: plain(rule, w)._replace(own={"chi": next(draws)})  # type: ignore
    start = weights(model)
    optimizer.step(bound(0))
    assert torch.equal(weights(model), start)
    optimizer.step(bound(1))
    assert seen == [0, 1, 0]
    torch.testing.assert_close(weights(model), start - 0.5)


def test_algorithm_1_says_which_closures_it_needs() -> None:
    model = network()
    optimizer = CASES["StochasticBatchSize1"](model.parameters())
    with pytest.raises(ValueError, match="closure"):
        optimizer.step()
    train(model, optimizer, 0, 5)
    optimizer.load_state_dict(optimizer.state_dict())
    with pytest.raises(ValueError, match="last 3 mini-batches"):
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
        indices.append(int(optimizer._shared["k"]))
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


# --- promises of a torch optimizer -----------------------------------------------------------
@every_case
def test_training_lowers_the_loss_and_spares_gradients(case: str) -> None:
    model = network()
    optimizer = CASES[case](model.parameters())
    assert isinstance(optimizer, torch.optim.Optimizer)
    fixed = closure_of(model, 0)
    first = optimizer.step(fixed).item()
    for _ in range(150):
        loss = optimizer.step(fixed)
        if case not in closures_only:
            before = [p.grad.clone() for p in model.parameters()]  # type: ignore[union-attr]
            optimizer.step()
            assert all(torch.equal(a, p.grad) for a, p in
                       zip(before, model.parameters(), strict=True))  # fmt: skip
    assert loss.item() < 0.7 * first


def save_and_load(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def resume(optimizer: Any, model: nn.Module, case: str, first: int) -> int:
    """Continue after a checkpoint; the number of steps that took."""
    if case != "StochasticBatchSize1":
        return 0
    optimizer.step([closure_of(model, s) for s in (first, first - 1, first - 2)])
    return 1


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("at", [3, 6])
def test_checkpoints_continue_bit_for_bit(case: str, dtype: torch.dtype, at: int) -> None:
    whole, part = network(dtype=dtype), network(dtype=dtype)
    optimizer = CASES[case](whole.parameters())
    train(whole, optimizer, 0, 16)
    first = CASES[case](part.parameters())
    train(part, first, 0, at)
    saved = save_and_load({"model": part.state_dict(), "optimizer": first.state_dict()})
    other = network(seed=9, dtype=dtype)
    second = CASES[case](other.parameters())
    train(other, second, 50, 2)  # a used optimizer is fully overwritten
    other.load_state_dict(saved["model"])
    second.load_state_dict(saved["optimizer"])
    done = resume(second, other, case, at)
    train(other, second, at + done, 16 - at - done)
    assert torch.equal(weights(whole), weights(other))
    for p, q in zip(whole.parameters(), other.parameters(), strict=True):
        assert optimizer.state[p].keys() == second.state[q].keys()
        assert all(torch.equal(x, second.state[q][n]) for n, x in optimizer.state[p].items())


@pytest.mark.parametrize("lost", ["generator", "host_rng", "position", "steps", "shared"])
def test_a_checkpoint_without_a_part_is_not_enough(lost: str) -> None:
    """Each part of the saved state is needed by some method."""
    needed = {"generator": "StochasticBatchSize2", "host_rng": "LRSGD_R", "position": "LRSGD_C",
              "steps": "Adam", "shared": "LRSGD_C"}[lost]  # fmt: skip
    model, other = network(), network()
    optimizer, second = (CASES[needed](m.parameters()) for m in (model, other))
    empty = second.state_dict()["rule"][lost]
    train(model, optimizer, 0, 6)
    state = copy.deepcopy(optimizer.state_dict())
    state["rule"][lost] = empty
    other.load_state_dict(model.state_dict())
    second.load_state_dict(state)
    for m, o in ((model, optimizer), (other, second)):
        train(m, o, 6, 6)
    assert not torch.equal(weights(model), weights(other))


@every_case
def test_copies_and_pickles_continue(case: str) -> None:
    model = network()
    optimizer = CASES[case](model.parameters())
    train(model, optimizer, 0, 5)
    for duplicate in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        other, second = duplicate((model, optimizer))
        kept, third = copy.deepcopy((model, optimizer))
        for m, o in ((other, second), (kept, third)):
            done = resume(o, m, case, 5)
            train(m, o, 5 + done, 5)
        assert torch.equal(weights(other), weights(kept))


def test_a_saved_state_does_not_move_with_the_run() -> None:
    model = network()
    optimizer = CASES["TRSGD"](model.parameters())
    train(model, optimizer, 0, 3)
    state = optimizer.state_dict()
    before = copy.deepcopy(state)
    train(model, optimizer, 3, 3)
    for old, new in zip(before["state"].values(), state["state"].values(), strict=True):
        assert all(torch.equal(old[n], new[n]) for n in old)
    assert before["rule"]["steps"] == state["rule"]["steps"] == 3


def test_schedules_stay_out_of_checkpoints() -> None:
    from bounds.notation import t

    build = lambda p: torch_optim.LRSGD_R(p, 0.1, Expression(0.1 * t), seed=3)
    model, other = network(), network()
    optimizer, second = build(model.parameters()), build(other.parameters())
    train(model, optimizer, 0, 4)
    saved = save_and_load({"m": model.state_dict(), "o": optimizer.state_dict()})
    assert "lam" not in saved["o"]["param_groups"][0]
    other.load_state_dict(saved["m"])
    second.load_state_dict(saved["o"])
    for m, o in ((model, optimizer), (other, second)):
        train(m, o, 4, 8)
    assert torch.equal(weights(model), weights(other))


def test_other_methods_states_are_refused() -> None:
    model = network()
    optimizer = CASES["TRSGD"](model.parameters())
    with pytest.raises(ValueError, match="sngm, not trsgd"):
        optimizer.load_state_dict(CASES["SNGM"](model.parameters()).state_dict())
    with pytest.raises(ValueError, match="another optimizer"):
        optimizer.load_state_dict(torch.optim.SGD(model.parameters(), 0.1).state_dict())


class NoSync(TorchDispatchMode):
    """Fails where a tensor's value is fetched by the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert "_local_scalar_dense" not in str(func), "a tensor's value was fetched"
        return func(*args, **(kwargs or {}))


@every_case
def test_no_value_is_fetched(case: str) -> None:
    model = network()
    optimizer = CASES[case](model.parameters())
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"])
    closure = closure_of(model, 0)
    if case in closures_only:
        with NoSync():
            optimizer.step(closure)
        return
    closure()
    with NoSync():
        optimizer.step()
        optimizer.step()


def test_a_fetched_value_is_caught() -> None:
    with pytest.raises(AssertionError, match="fetched"), NoSync():
        torch.ones(1).item()


@every_case
def test_tensor_rates_are_rates(case: str) -> None:
    ends = []
    for tensor in (False, True):
        model = network()
        optimizer = CASES[case](grouped(model))
        for group in optimizer.param_groups:
            if tensor:
                group["lr"] = torch.tensor(group["lr"], dtype=torch.float64)
        train(model, optimizer, 0, 5)
        for group in optimizer.param_groups:  # in place for a tensor, as schedulers do
            if tensor:
                group["lr"].mul_(0.5)
            else:
                group["lr"] *= 0.5
        train(model, optimizer, 5, 5)
        ends.append(weights(model))
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-13)


@every_case
def test_groups_with_equal_values_are_one_group(case: str) -> None:
    ends = []
    for split in (False, True):
        model = network()
        params = list(model.parameters())
        groups = [{"params": params[:3]}, {"params": params[3:]}] if split else params
        optimizer = CASES[case](groups)
        train(model, optimizer, 0, 8)
        ends.append(weights(model))
    assert torch.equal(*ends)


@every_case
def test_foreach_does_not_change_results(case: str) -> None:
    ends = []
    for foreach in (None, False):
        model = network()
        optimizer = CASES[case](model.parameters())
        optimizer.defaults["foreach"] = foreach
        train(model, optimizer, 0, 4)
        ends.append(weights(model))
    assert torch.equal(*ends)


def test_schedulers_act_on_momentum_too() -> None:
    ends = []
    for module, name in ((torch_optim, "MSGD"), (torch.optim, "SGD")):
        model = network()
        optimizer = getattr(module, name)(model.parameters(), lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=12)
        for step in range(12):
            optimizer.step(closure_of(model, step))
            schedule.step()
        ends.append(weights(model))
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


def test_parameters_may_freeze_and_join() -> None:
    """What has no gradient stays, with its state; torch's SGD agrees."""
    ends = []
    for module, name in ((torch_optim, "MSGD"), (torch.optim, "SGD")):
        model = network()
        params = list(model.parameters())
        optimizer = getattr(module, name)(params[:3], lr=0.1, momentum=0.9)
        for step in range(12):
            closure_of(model, step)()
            if 3 <= step < 6:
                params[0].grad = None
            if step == 8:
                optimizer.add_param_group({"params": params[3:], "lr": 0.02})
            optimizer.step()
        ends.append(weights(model))
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


def test_memory_formats_do_not_matter() -> None:
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = nn.Conv2d(3, 4, 3).double().to(memory_format=layout)  # type: ignore[call-overload]
        optimizer = torch_optim.SNGM(model.parameters(), 0.1)
        for _ in range(3):
            model.zero_grad()
            model(torch.ones(1, 3, 5, 5, dtype=torch.float64)).square().sum().backward()
            optimizer.step()
        assert model.weight.is_contiguous(memory_format=layout)
        ends.append(weights(model))
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


def test_without_gradients_nothing_happens() -> None:
    model = network()
    optimizer = CASES["Adam"](model.parameters())
    before = weights(model)
    assert optimizer.step() is None
    assert torch.equal(before, weights(model))
    assert optimizer.state_dict()["rule"]["steps"] == 0


@pytest.mark.parametrize(
    ("build", "error", "named"),
    [
        (lambda p: torch_optim.SGD(p, -0.1), ValueError, "lr"),
        (lambda p: torch_optim.SGD(p, torch.ones(2)), ValueError, "lr"),
        (lambda p: torch_optim.MSGD(p, 0.1, 1.0), ValueError, "momentum"),
        (lambda p: torch_optim.MSGD(p, 0.1, float("nan")), ValueError, "momentum"),
        (lambda p: torch_optim.SNGM(p, 0.1, weight_decay=-1.0), ValueError, "weight_decay"),
        (lambda p: torch_optim.Adam(p, 0.1, (0.9, 1.0)), ValueError, "betas"),
        (lambda p: torch_optim.TRSGD(p, 0.1, -1.0), ValueError, "lam"),
        (lambda p: torch_optim.TRSGD(p, 0.1, 1.0, S=0), ValueError, "S"),
        (lambda p: torch_optim.LRSGD_R(p, 0.1, 1.0, t0=3), ValueError, "eta"),
        (lambda p: torch_optim.SGD(p, 0.1, capturable=True), ValueError, "capturable"),
        (lambda p: torch_optim.SGD(p, 0.1, differentiable=True), ValueError, "differentiable"),
        (lambda p: torch_optim.SGD(p, 0.1, fused=True), TypeError, "fused"),
        (lambda p: torch_optim.SGD(p, 0.1, 0.0, True), TypeError, "positional"),
        (lambda p: torch_optim.TRSGD([{"params": p[:1]}, {"params": p[1:], "S": 3}], 0.1, 1.0),
         ValueError, "S must be the same"),
        (lambda p: torch_optim.SGD([p[0].detach().half()], 0.1), ValueError, "float32"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(build: Any, error: Any, named: str) -> None:
    params = list(network().parameters())
    with pytest.raises(error, match=named):
        build(params)


def test_mixed_types_and_sparse_gradients_are_refused() -> None:
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2, dtype=torch.float64))
    a.grad, b.grad = torch.ones(2), torch.ones(2, dtype=torch.float64)
    with pytest.raises(ValueError, match="dtype"):
        torch_optim.SGD([a, b], 0.1).step()
    table = nn.Embedding(3, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="sparse"):
        torch_optim.SGD(table.parameters(), 0.1).step()


def test_a_bad_group_is_not_kept() -> None:
    model = network()
    optimizer = torch_optim.SGD(list(model.parameters())[:2], 0.1)
    with pytest.raises(ValueError, match="lr"):
        optimizer.add_param_group({"params": list(model.parameters())[2:], "lr": -1.0})
    assert len(optimizer.param_groups) == 1
