"""The torch.optim adapter: against torch's own optimizers, the rules, and its promises."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from networks_for_optimizers import (
    CASES,
    closure_of,
    closures_only,
    drawing,
    every_case,
    grouped,
    network,
    rounded,
    train,
    weights,
)
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from theorylab.method.schedules import Expression
from theorylab.torch import optim as torch_optim


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


@pytest.mark.parametrize(
    ("lost", "needed"),
    [("step", "Adam"), ("position", "LRSGD_C"), ("k", "LRSGD_C"), ("round", "LRSGD_C"),
     ("anchor", "TRSGD"), ("v", "MSGD"), ("b_squared", "AdaGradNorm")],
)  # fmt: skip
def test_a_checkpoint_without_a_part_is_not_enough(lost: str, needed: str) -> None:
    """Each part of the saved state is needed by some method."""
    model, other = network(), network()
    optimizer, second = (CASES[needed](m.parameters()) for m in (model, other))
    train(model, optimizer, 0, 6)
    state = copy.deepcopy(optimizer.state_dict())
    for held in state["state"].values():
        del held[lost]
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
    with pytest.raises(ValueError, match="older version of theorylab"):
        optimizer.load_state_dict({**optimizer.state_dict(), "rule": {"name": "trsgd"}})


class NoSync(TorchDispatchMode):
    """Fails where a tensor's value is fetched by the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert "_local_scalar_dense" not in str(func), "a tensor's value was fetched"
        return func(*args, **(kwargs or {}))


@every_case
def test_no_value_is_fetched_where_a_graph_may_capture(case: str) -> None:
    model = network()
    optimizer = CASES[case](model.parameters())
    optimizer.defaults["capturable"] = True
    for group in optimizer.param_groups:
        group["lr"], group["capturable"] = torch.tensor(group["lr"]), True
    closure = closure_of(model, 0)
    given = (closure,) if case in closures_only else ()
    closure()
    if case in drawing | rounded:
        with pytest.raises(ValueError, match="capturable=True is not supported"):
            optimizer.step(*given)
        return
    optimizer.step(*given)  # state is made, as in the warm-up before a capture
    with NoSync():
        optimizer.step(*given)
    plain = network()
    second = CASES[case](plain.parameters())
    closure = closure_of(plain, 0)
    closure()
    for _ in range(2):
        second.step(*((closure,) if given else ()))
    torch.testing.assert_close(weights(model), weights(plain), rtol=1e-6, atol=1e-6)


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
        train(model, optimizer, 0, 6)
        ends.append(weights(model))
        assert foreach is False or all(f is not None for f in optimizer._parts.values())
    torch.testing.assert_close(*ends, rtol=1e-11, atol=1e-12)


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
    assert not optimizer.state


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
        (lambda p: torch_optim.SGD(p, 0.1, differentiable=True), ValueError, "differentiable"),
        (lambda p: torch_optim.SGD(p, 0.1, fused=True), ValueError, "fused"),
        (lambda p: torch_optim.SGD(p, 0.1, 0.0, True), TypeError, "positional"),
        (lambda p: torch_optim.TRSGD([{"params": p[:1]}, {"params": p[1:], "S": 3}], 0.1, 1.0),
         ValueError, "S must be the same"),
        (lambda p: torch_optim.SGD([p[0].detach().cfloat()], 0.1), ValueError, "complex64"),
        (lambda p: torch_optim.RMSprop(p, 0.1, -1.0), ValueError, "alpha"),
        (lambda p: torch_optim.LARS(p, 0.1, trust=-1.0), ValueError, "trust"),
        (lambda p: torch_optim.LARS(p, 0.1), TypeError, "trust"),
        (lambda p: torch_optim.EntropySGD(p, 0.1, inner=-1.0, gamma0=0.1), ValueError, "inner"),
        (lambda p: torch_optim.EntropySGD(p, 0.1, gamma0=0.1), TypeError, "inner"),
        (lambda p: torch_optim.AcceleratedSGD(p, 0.1, -1.0), ValueError, "kappa"),
        (lambda p: torch_optim.AdaGradNorm(p, 0.1, b0=0.0), ValueError, "b0 must be positive"),
        (lambda p: torch_optim.Adam(p, 0.1, (0.9,)), ValueError, "betas must be 2 numbers"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(build: Any, error: Any, named: str) -> None:
    params = list(network().parameters())
    with pytest.raises(error, match=named):
        build(params)


def test_sparse_gradients_are_refused() -> None:
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
