"""One loop in C for all operations of a step: what torch's own give, with or without a compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from theorylab.torch import loop as loops
from theorylab.torch import optim as torch_optim
from theorylab.torch import whole as wholes
from theorylab.torch.loop import LEAST
from theorylab.torch.plan import Plan
from theorylab.torch.space import Space

SHAPES = [(3, 5), (LEAST + 7,), (300, 400), (1,)]
ODD = torch.tensor([0.0, -0.0, 1.0, -1.0, float("inf"), -float("inf"), float("nan"), 1e-30, 1e30])


def _numbers(seed: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(s, generator=generator, dtype=dtype) for s in SHAPES]
    order = torch.randperm(81, generator=generator)
    for n, x in enumerate(made[1:3]):
        # Every pair of odd numbers meets; the order differs between tensors.
        pairs = ODD.to(dtype)[order % 9 if (seed + n) % 2 else order // 9]
        x.view(-1)[:81] = pairs
    return made


Op = Callable[[Any, Any, Any], Any]
OPS: dict[str, Op] = {
    "add": lambda x, y, e: x + y, "scaled": lambda x, y, e: torch.add(x, y, alpha=-0.3),
    "each": lambda x, y, e: torch.addcmul(x, e, y), "number": lambda x, y, e: x + 2.5,
    "sub": lambda x, y, e: x - y, "mul": lambda x, y, e: x * y, "div": lambda x, y, e: x / y,
    "max": lambda x, y, e: torch.maximum(x, y), "min": lambda x, y, e: torch.minimum(x, y),
    "clamped": lambda x, y, e: x.clamp_min(0.2), "below": lambda x, y, e: x.clamp_max(0.2),
    "lt": lambda x, y, e: x < y, "ge": lambda x, y, e: x >= 0.1,
    "ne": lambda x, y, e: torch.ne(x, y),
    "where": lambda x, y, e: torch.where(x > y, x, y), "neg": lambda x, y, e: -x,
    "abs": lambda x, y, e: x.abs(), "root": lambda x, y, e: x.sqrt(),
    "inverse": lambda x, y, e: 1 / x, "sign": lambda x, y, e: x.sign(),
    "near": lambda x, y, e: torch.lerp(x, y, 0.1), "far": lambda x, y, e: torch.lerp(x, y, 0.9),
    "whole": lambda x, y, e: torch.lerp(x, y, 1.0), "zeros": lambda x, y, e: torch.zeros_like(x),
    "product": lambda x, y, e: torch.addcmul(x, x, y, value=-2.0),
    "quotient": lambda x, y, e: torch.addcdiv(x, x, y, value=-2.0),
    "rsqrt": lambda x, y, e: x.rsqrt(),
}  # fmt: skip
FLOAT: dict[str, Op] = {"sigmoid": lambda x, y, e: x.sigmoid()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_operation_is_torchs(dtype: torch.dtype) -> None:
    ops = OPS | FLOAT if dtype == torch.float32 else OPS
    x, y = _numbers(0, dtype), _numbers(1, dtype)
    each = torch.tensor([0.5, -1.0, 2.0, 3.0], dtype=torch.float64)
    found = []
    for compiled in (True, False):
        space = Space(x)
        u, v = space.vector(x), space.vector(y)
        ends = {name: [torch.full_like(t, 7.0) for t in x] for name in ops}
        plan = Plan(space, [(op(u, v, each), space.vector(ends[n])) for n, op in ops.items()])
        if compiled:
            assert plan.loop is not None
            assert plan.loop.run()
        else:
            for _ in plan.run():
                pass
        found.append(ends)
    rounding = 1e-6 if dtype == torch.float32 else 1e-14
    for name in ops:
        for a, b in zip(found[0][name], found[1][name], strict=True):
            near = {"near": rounding, "sigmoid": 1e-38}.get(name, 0)
            torch.testing.assert_close(a, b, rtol=rounding, atol=near, equal_nan=True)


def test_threads_and_pieces_change_no_bit() -> None:
    torch.manual_seed(0)
    x = [torch.randn(s) for s in [(900, 900), (5,), (700, 3)]]
    ends = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        held = [t.clone() for t in x]
        space = Space(held)
        w = space.vector(held)
        factor = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        space.write([(factor * (w * w) + w, w)])
        ends.append(held)
    torch.set_num_threads(before)
    for one, two in zip(*ends, strict=True):
        assert torch.equal(one, two)
    torch.testing.assert_close(ends[0][2], x[2] + 3 * x[2] ** 2, rtol=1e-6, atol=1e-6)


BUILD = {
    "TRSGD": lambda p: torch_optim.TRSGD(p, 0.2, 0.5, 4, 0.5, 0.01),
    "Adam": lambda p: torch_optim.Adam(p, 0.01, weight_decay=0.01),
    "StochasticBatchSize2": lambda p: torch_optim.StochasticBatchSize2(p, 0.1, seed=0),
}


def _trained(
    name: str,
    dtype: torch.dtype,
    steps: int = 5,
    change: Callable[[nn.Module, Any], None] | None = None,
) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 300), nn.Linear(300, 4)).to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / 10)
    optimizer = BUILD[name](model.parameters())
    for step in range(5):
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=generator).to(dtype)
        if change is not None and step == 3:
            change(model, optimizer)
        optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_a_compiler_steps_are_the_same(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    run = loops.Loop.run
    monkeypatch.setattr(loops.Loop, "run", lambda self: used.append(1) or run(self))
    once = wholes.Whole.run
    monkeypatch.setattr(wholes.Whole, "run", lambda self, *a: used.append(1) or once(self, *a))
    with_one = _trained(name, dtype)
    assert len(used) == (0 if name == "StochasticBatchSize2" and dtype == torch.float64 else 5)

    def none(text: str) -> None:
        raise OSError("no compiler")

    for module in (loops, wholes):
        monkeypatch.setattr(module, "library", none)
        module._compiled.cache_clear()
    loops._found.clear()
    used.clear()
    without = _trained(name, dtype)
    for module in (loops, wholes):
        module._compiled.cache_clear()
    loops._found.clear()
    assert not used
    rounding = 1e-5 if dtype == torch.float32 else 1e-12
    apart = (with_one - without).abs() > rounding
    # A draw may fall between two roundings of a probability.
    assert apart.sum() <= (1 if name == "StochasticBatchSize2" else 0)


@pytest.mark.parametrize("name", BUILD)
def test_networks_of_two_types_take_turns(name: str) -> None:
    types = (torch.float32, torch.float64)
    alone = [_trained(name, dtype) for dtype in types]
    again = [_trained(name, dtype) for dtype in reversed(types)]
    for one, two in zip(alone, reversed(again), strict=True):
        assert torch.equal(one, two)
    near = (alone[0] - alone[1]).abs() < 1e-4
    # A draw may fall between the two probabilities.
    assert (~near).sum() <= (20 if name == "StochasticBatchSize2" else 0)


def test_numbers_that_lie_otherwise_are_stepped_by_torch() -> None:
    def turned(model: Any, optimizer: Any) -> None:
        p = model[0].weight
        p.grad = p.grad.T.contiguous().T
        optimizer.state[p]["v"] = optimizer.state[p]["v"].T.contiguous().T

    plain, other = _trained("TRSGD", torch.float64), _trained("TRSGD", torch.float64, change=turned)
    torch.testing.assert_close(plain, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("shape", [(300,), (299, 300), (600, 300)])
def test_a_state_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    def changed(model: Any, optimizer: Any) -> None:
        state = optimizer.state[model[0].weight]
        state["v"] = torch.zeros(shape, dtype=torch.float64)

    with pytest.raises((RuntimeError, ValueError)):
        _trained("TRSGD", torch.float64, change=changed)


def test_autograd_sees_that_parameters_changed() -> None:
    model = nn.Sequential(nn.Linear(300, 300), nn.Tanh(), nn.Linear(300, 1))
    optimizer = torch_optim.MSGD(model.parameters(), 0.1)
    loss = model(torch.ones(2, 300)).sum()
    loss.backward(retain_graph=True)
    before = [p._version for p in model.parameters()]
    optimizer.step()
    assert all(p._version > n for p, n in zip(model.parameters(), before, strict=True))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_rows_of_another_length_are_not_written() -> None:
    x = [torch.zeros(LEAST)]
    space = Space(x)
    w = space.vector(x)
    plan = space.planned([(w + 1, w)])
    assert plan.loop is not None
    assert plan.loop.run()
    x[0].resize_(LEAST // 2)
    assert not plan.loop.run()
