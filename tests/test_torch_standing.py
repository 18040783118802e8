"""What optimizers remember between steps changes nothing: beside those that forget every time."""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from networks_for_optimizers import CASES, closure_of, every_case, network, weights
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from theorylab.method.schedules import Poly
from theorylab.torch import optim as torch_optim
from theorylab.torch.draws import Stream
from theorylab.torch.layout import lay_out
from theorylab.torch.loop import CHUNK
from theorylab.torch.space import Space

CPU = torch.device("cpu")


def _rate(value: Any) -> Callable[[nn.Module, Any], None]:
    def act(model: nn.Module, optimizer: Any) -> None:
        for group in optimizer.param_groups:
            group["lr"] = value(group["lr"])

    return act


def _lose(model: nn.Module, optimizer: Any) -> None:
    optimizer.state.pop(next(iter(model.parameters())), None)


def _written(model: nn.Module, optimizer: Any) -> None:
    held = optimizer.state[next(iter(model.parameters()))]
    for name, x in held.items():
        if x.is_floating_point() and x.ndim:
            x.mul_(0.5)
        elif name == "step":
            x.fill_(9.0)


def _replaced(model: nn.Module, optimizer: Any) -> None:
    for held in optimizer.state.values():
        for name, x in held.items():
            held[name] = x.clone() if x.ndim == 0 else 2 * x


def _frozen(model: nn.Module, optimizer: Any) -> None:
    next(iter(model.parameters())).requires_grad_(False)


def _thawed(model: nn.Module, optimizer: Any) -> None:
    next(iter(model.parameters())).requires_grad_(True)


def _split(model: nn.Module, optimizer: Any) -> None:
    """The last parameter in a group of its own, at another rate."""
    group = optimizer.param_groups[0]
    apart = group["params"].pop()
    optimizer.add_param_group({**group, "params": [apart], "lr": float(group["lr"]) / 3})


def _new_dict(model: nn.Module, optimizer: Any) -> None:
    optimizer.param_groups[0] = dict(optimizer.param_groups[0])


def _decay(model: nn.Module, optimizer: Any) -> None:
    for group in optimizer.param_groups:
        if "weight_decay" in group:
            group["weight_decay"] = 0.0 if group["weight_decay"] else 0.02


def _upward(model: nn.Module, optimizer: Any) -> None:
    for group in optimizer.param_groups:
        group["maximize"] = not group["maximize"]


def _loaded(model: nn.Module, optimizer: Any) -> None:
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def _narrow(model: nn.Module, optimizer: Any) -> None:
    model.float()
    _loaded(model, optimizer)


ACTS = (
    _rate(lambda lr: lr), _rate(lambda lr: 0.7 * lr), _rate(lambda lr: 0.0 * lr),
    _rate(lambda lr: 0.05), _written, _rate(lambda lr: 0.5 * lr), _replaced, _lose, _decay,
    _rate(lambda lr: torch.tensor(0.03, dtype=torch.float64)), _rate(lambda lr: lr.mul_(0.5)),
    _rate(float), _frozen, _thawed, _upward, _upward, _new_dict, _loaded, _split,
    _rate(lambda lr: 0.9 * lr), _narrow, _rate(lambda lr: 0.9 * lr),
)  # fmt: skip


def run_acts(case: str) -> None:
    """Steps that remember and steps that forget end alike, whatever is done in between."""
    ends = []
    for forgetful in (False, True):
        model = network()
        optimizer = CASES[case](model.parameters())
        for number, act in enumerate(ACTS):
            act(model, optimizer)
            for again in range(2):
                if forgetful:
                    kept = optimizer._closures, optimizer._ahead
                    optimizer._forget()
                    optimizer._closures, optimizer._ahead = kept
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # of forgotten closures
                    optimizer.step(closure_of(model, 2 * number + again))
        ends.append(weights(model))
    assert ends[0].isfinite().all()
    assert torch.equal(*ends)


@every_case
def test_a_step_sees_whatever_changed_since_the_last(case: str) -> None:
    run_acts(case)


def test_a_rate_out_of_range_is_refused_and_not_kept() -> None:
    model = network()
    optimizer = torch_optim.MSGD(model.parameters(), 0.1)
    for rate in (0.1, 0.2, -0.1, float("nan")):
        optimizer.param_groups[0]["lr"] = rate
        if rate > 0:
            optimizer.step(closure_of(model, 0))
            continue
        for _ in range(2):
            with pytest.raises(ValueError, match="lr must lie in"):
                optimizer.step(closure_of(model, 0))


@pytest.mark.parametrize("case", ["MSGD", "Adam", "TRSGD", "StochasticBatchSize2"])
def test_steps_are_laid_out_once(case: str) -> None:
    model = network()
    optimizer = CASES[case](model.parameters())
    for step in range(12):
        optimizer.param_groups[0]["lr"] *= 0.9
        optimizer.step(closure_of(model, step))
        if step == 5:
            before = lay_out.cache_info().misses
    assert lay_out.cache_info().misses == before


def test_a_schedule_of_the_steps_is_asked_at_every_step() -> None:
    model = network()
    optimizer = torch_optim.MSGD(model.parameters(), Poly(0.1, 8, 1.0))
    twin = network()
    plain = torch_optim.MSGD(twin.parameters(), 0.1)
    for step in range(8):
        plain.param_groups[0]["lr"] = Poly(0.1, 8, 1.0)(step + 1)
        for net, one in ((model, optimizer), (twin, plain)):
            one.step(closure_of(net, step))
    assert torch.equal(weights(model), weights(twin))


@every_case
def test_gradients_are_not_held_beyond_a_step(case: str) -> None:
    model = network()
    optimizer = CASES[case](model.parameters())
    for step in range(5):
        optimizer.step(closure_of(model, step))
        held = [weakref.ref(p.grad) for p in model.parameters() if p.grad is not None]
        model.zero_grad()
        assert not any(x() is not None for x in held)


# --- draws, means and deviations, however tensors are cut ------------------------------------
@pytest.mark.parametrize("law", ["uniform", "normal"])
def test_draws_do_not_depend_on_pieces(law: str) -> None:
    whole, parts = torch.empty(3 * CHUNK + 5), torch.empty(3 * CHUNK + 5)
    Stream(law, 5, 1, CPU).fill(whole)
    stream = Stream(law, 5, 1, CPU)
    for part in parts.split(CHUNK // 2):
        stream.fill(part)
    assert torch.equal(whole, parts)
    other = torch.empty_like(whole)
    Stream(law, 5, 2, CPU).fill(other)
    assert (whole == other).double().mean() < 1e-4
    centre, spread = (0.5, 12**-0.5) if law == "uniform" else (0.0, 1.0)
    assert abs(whole.double().mean() - centre) < 5 * spread / len(whole) ** 0.5
    assert abs(whole.double().std() - spread) < 0.01
    # Neighbours, which share a word, are not alike.
    pairs = whole[: 2 * CHUNK].double().view(-1, 2)
    assert abs(torch.corrcoef(pairs.T)[0, 1]) < 0.02


def test_uniform_draws_are_below_1_and_the_same_in_float64() -> None:
    narrow, wide = torch.empty(1 << 20), torch.empty(1 << 20, dtype=torch.float64)
    for out in (narrow, wide):
        Stream("uniform", 7, 0, CPU).fill(out)
    assert torch.equal(narrow.double(), wide)
    assert 0 <= narrow.min() < 1e-5
    assert 1 - 1e-5 < narrow.max() < 1


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_means_and_deviations_of_parts(each: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    shapes = [(2 * CHUNK + 5,), (3, 4), (300, 400), (1,), (50, 60)]
    tensors = [100.0 * n + torch.rand(s, dtype=dtype) for n, s in enumerate(shapes)]
    tensors[1] = torch.full((3, 4), 0.1, dtype=dtype)
    x = Space(tensors).vector(tensors)
    x = x.abs().per_layer() if each else x.abs()
    mean, deviation = x.spread()

    def moments(t: Tensor) -> tuple[float, float]:
        t = t.double()
        return t.mean().item(), t.std(correction=0).item()

    flat = [torch.cat([t.reshape(-1) for t in tensors])]
    wanted = torch.tensor([moments(t) for t in (tensors if each else flat)], dtype=torch.float64)
    rounding = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(mean, wanted[:, 0].squeeze(), rtol=rounding, atol=0)
    torch.testing.assert_close(deviation, wanted[:, 1].squeeze(), rtol=rounding,
                               atol=rounding * 100)  # fmt: skip


# --- who else wants to know of steps ----------------------------------------------------------
def test_hooks_and_profilers_see_every_step_once() -> None:
    model, seen = network(), []
    optimizer = torch_optim.MSGD(model.parameters(), 0.1)
    optimizer.step(closure_of(model, 0))
    before = optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    after = optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    everyone = register_optimizer_step_post_hook(lambda *_: seen.append("all"))
    optimizer.step(closure_of(model, 1))
    for hook in (before, after, everyone):
        hook.remove()
    with torch.autograd.profiler.profile() as profile:
        optimizer.step(closure_of(model, 2))
    optimizer.step(closure_of(model, 3))
    assert seen == ["before", "after", "all"]
    names = [event.name for event in profile.function_events]  # type: ignore[union-attr]
    assert names.count("Optimizer.step#MSGD.step") == 1
    assert optimizer.state[next(iter(model.parameters()))]["step"] == 4
