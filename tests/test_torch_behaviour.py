"""The optimizers behave as torch's own do: SGD, Adam and RMSprop of torch pass the same tests."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from networks_for_optimizers import (
    CASES,
    closure_of,
    closures_only,
    drawing,
    network,
    train,
    weights,
)
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from theorylab.torch import optim as torch_optim
from theorylab.torch.plan import BLOCK, CHUNK

CONTROLS: dict[str, Any] = {
    "torch SGD": lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.01),
    "torch Adam": lambda p: torch.optim.Adam(p, 0.01),
    "torch RMSprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5),
}
BOTH: dict[str, Any] = {**CASES, **CONTROLS}
every = pytest.mark.parametrize("case", BOTH)
# Whether a step without a closure is a step.
WITHOUT = [case for case in BOTH if case not in closures_only]


def gradients(model: nn.Module, step: int) -> None:
    closure_of(model, step)()


# --- step sizes of 0 -------------------------------------------------------------------------
@every
@pytest.mark.parametrize("authors", [False, True])
def test_a_rate_of_0_moves_nothing_and_breaks_nothing(case: str, authors: bool) -> None:
    build = authored(case) if authors else BOTH[case]
    if build is None:
        pytest.skip("no such variant")
    model = network()
    optimizer = build(model.parameters())
    rate, start = optimizer.param_groups[0]["lr"], weights(model)
    for step, share in enumerate((0.0, 0.5, 1.0, 0.5, 0.0, 0.0)):  # warm-up, and down to 0
        optimizer.param_groups[0]["lr"] = share * rate
        before = weights(model)
        optimizer.step(closure_of(model, step))
        assert share or torch.equal(before, weights(model))
    for held in optimizer.state.values():
        assert all(x.isfinite().all() for x in held.values())
    assert weights(model).isfinite().all()
    assert not torch.equal(weights(model), start)


def authored(case: str) -> Any:
    optimizer = getattr(torch_optim, case.split()[0], None)
    variant = None if optimizer is None else optimizer.accepts.parameters.get("variant")
    if variant is None or case == "LARS" or case == "AMSGrad":
        return None

    def build(params: Any) -> Any:
        plain = CASES[case](params)
        for group in plain.param_groups:
            group["variant"] = "authors"
        return plain

    return build


@every
def test_a_frozen_group_stays(case: str) -> None:
    model = network()
    many = list(model.parameters())
    optimizer = BOTH[case](many[:2])
    optimizer.add_param_group({"params": many[2:], "lr": 0.0})
    frozen = [p.detach().clone() for p in many[2:]]
    first = many[0].detach().clone()
    train(model, optimizer, 0, 9)
    assert all(torch.equal(a, b) for a, b in zip(frozen, many[2:], strict=True))
    assert not torch.equal(first, many[0])
    assert many[0].isfinite().all()


# --- state, as torch keeps it ----------------------------------------------------------------
@pytest.mark.parametrize("case", ["MSGD", "Adam", "AdamW", "RMSprop", "AMSGrad"])
def test_late_parameters_begin_at_step_one(case: str) -> None:
    """Each parameter has its own count: the same path as torch's."""
    theirs = {
        "MSGD": lambda p: torch.optim.SGD(p, 0.1, 0.8, weight_decay=0.01),
        "Adam": lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.01),
        "AdamW": lambda p: torch.optim.AdamW(p, 0.01),
        "RMSprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5),
        "AMSGrad": lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.01, amsgrad=True),
    }[case]
    ours = CASES[case]
    if case == "AMSGrad":
        ours = lambda p: torch_optim.AMSGrad(p, 0.01, weight_decay=0.01, variant="torch")
    ends = []
    for build in (ours, theirs):
        model = network()
        params = list(model.parameters())
        optimizer = build(params[:3])
        for step in range(12):
            if step == 4:
                optimizer.add_param_group({"params": params[3:]})
            if step == 8:
                optimizer.state.pop(params[0])  # a reset of one parameter
            optimizer.step(closure_of(model, step))
        steps = [float(optimizer.state[p].get("step", 0)) for p in params]
        assert case == "MSGD" or steps == [4, 12, 12, 8, 8]
        ends.append(weights(model))
    torch.testing.assert_close(*ends, rtol=1e-11, atol=1e-12)


@every
def test_a_cleared_state_is_a_new_optimizer(case: str) -> None:
    ends = []
    for fresh in (False, True):
        model = network()
        optimizer = BOTH[case](model.parameters())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what it says of closures is expected
            train(model, optimizer, 0, 5)
            if fresh:
                optimizer = BOTH[case](model.parameters())
            else:
                optimizer.state.clear()
                optimizer._closures = []
            train(model, optimizer, 5, 5)
        ends.append(weights(model))
    assert torch.equal(*ends)


@pytest.mark.parametrize("case", BOTH)
def test_distributed_checkpoints_go_on_bit_for_bit(case: str) -> None:
    model, other = network(), network(seed=7)
    optimizer, second = BOTH[case](model.parameters()), BOTH[case](other.parameters())
    train(model, optimizer, 0, 5)
    kept = copy.deepcopy(get_optimizer_state_dict(model, optimizer))
    other.load_state_dict(model.state_dict())
    set_optimizer_state_dict(other, second, kept)
    for m, o in ((model, optimizer), (other, second)):
        first = 5
        if case == "StochasticBatchSize1":
            o.step([closure_of(m, s) for s in (5, 4, 3)])
            first = 6
        train(m, o, first, 6)
    assert torch.equal(weights(model), weights(other))


@every
def test_states_of_other_types_old_dicts_and_foreign_entries(case: str) -> None:
    wide = network()
    optimizer = BOTH[case](wide.parameters())
    train(wide, optimizer, 0, 4)
    state = copy.deepcopy(optimizer.state_dict())
    for group in state["param_groups"]:
        group.pop("maximize", None)  # written before there was such an argument
    state["state"]["foreign"] = {"note": torch.ones(1)}
    narrow = network(dtype=torch.float32)
    second = BOTH[case](narrow.parameters())
    second.load_state_dict(state)
    if case == "StochasticBatchSize1":
        second.step([closure_of(narrow, s) for s in (4, 3, 2)])
    else:
        train(narrow, second, 4, 1)
    train(narrow, second, 5, 3)
    assert weights(narrow).isfinite().all()
    for p in narrow.parameters():
        assert all(x.dtype == torch.float32 for n, x in second.state[p].items()
                   if x.is_floating_point() and n != "step")  # fmt: skip


@every
def test_parts_of_a_state_are_tensors_of_the_parameter_or_numbers(case: str) -> None:
    model = network()
    optimizer = BOTH[case](model.parameters())
    train(model, optimizer, 0, 3)
    assert set(optimizer.state) <= set(model.parameters())
    for p, held in optimizer.state.items():
        assert all(isinstance(x, torch.Tensor) and x.shape in (p.shape, ()) for x in held.values())
        assert float(held.get("step", 3)) == 3


# --- what gradients may be -------------------------------------------------------------------
@every
def test_empty_parameters_and_absent_gradients(case: str) -> None:
    model = network()
    model.extra = nn.Parameter(torch.ones(3, dtype=torch.float64))
    model.none = nn.Parameter(torch.ones(0, 4, dtype=torch.float64))
    optimizer = BOTH[case](model.parameters())
    assert optimizer.step() is None or case in closures_only  # no gradient anywhere
    train(model, optimizer, 0, 4)
    assert torch.equal(model.extra, torch.ones(3, dtype=torch.float64))
    model.none.grad = torch.zeros_like(model.none)
    closure = closure_of(model, 5)

    def with_empty() -> Any:
        loss = closure()
        model.none.grad = torch.zeros_like(model.none)
        return loss

    optimizer.step(with_empty)
    assert weights(model).isfinite().all()


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_parameters_have_a_state_in_float32(case: str, dtype: torch.dtype) -> None:
    """Steps are those of float32, rounded once; torch's controls keep the state in half."""
    torch.manual_seed(0)
    ends = []
    start = torch.randn(40).to(dtype)
    slope = torch.randn(40).to(dtype)
    for kind in (dtype, torch.float32):
        p = nn.Parameter(start.to(kind, copy=True))

        def closure(p: nn.Parameter = p, kind: torch.dtype = kind) -> torch.Tensor:
            p.grad = slope.to(kind, copy=True)
            return (p.detach().float() * slope.float()).sum()

        optimizer = BOTH[case]([p])
        optimizer.step(closure)
        ends.append(p.detach().float())
        if case not in CONTROLS:
            assert all(x.dtype == torch.float32 for n, x in optimizer.state[p].items()
                       if n not in ("position", "rounds"))  # fmt: skip
    assert ends[0].isfinite().all()
    if case not in {"TwoPointZerothOrder", "EntropySGD", *CONTROLS}:
        torch.testing.assert_close(ends[0], ends[1].to(dtype).float(), rtol=1e-2, atol=1e-2)


# --- arguments -------------------------------------------------------------------------------
@pytest.mark.parametrize("case", CASES)
def test_added_groups_may_not_differ_where_they_must_not(case: str) -> None:
    model = network()
    many = list(model.parameters())
    optimizer = CASES[case](many[:2])
    for key, value in optimizer.defaults.items():
        if key in optimizer.fields or key in ("maximize", "capturable", "foreach", "method"):
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        other = value / 2 if isinstance(value, float) and value else value + 1
        with pytest.raises(ValueError, match=f"{key} must be the same in all parameter groups"):
            optimizer.add_param_group({"params": many[2:], key: other})
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": many[2:]})


@every
def test_rates_may_be_tensors_of_any_shape_of_one_element(case: str) -> None:
    ends = []
    for make in (float, lambda x: torch.tensor([[x]], dtype=torch.float64)):
        if case in CONTROLS and make is not float:
            continue  # torch: SGD and Adam take such a rate only in some of their forms
        model = network()
        optimizer = BOTH[case](model.parameters())
        for group in optimizer.param_groups:
            group["lr"] = make(group["lr"])
        train(model, optimizer, 0, 5)
        ends.append(weights(model))
    torch.testing.assert_close(ends[0], ends[-1], rtol=1e-12, atol=1e-13)


# --- randomness ------------------------------------------------------------------------------
@pytest.mark.parametrize("case", sorted(drawing))
def test_draws_follow_torchs_seed_or_ones_own(case: str) -> None:
    def end(torchs: int, own: int | None) -> torch.Tensor:
        model = network()
        optimizer = CASES[case](model.parameters())
        optimizer.defaults["seed"] = own
        for group in optimizer.param_groups:
            group["seed"] = own
        torch.manual_seed(torchs)
        train(model, optimizer, 0, 12)
        return weights(model)

    assert torch.equal(end(1, None), end(1, None))
    assert any(not torch.equal(end(1, None), end(n, None)) for n in range(2, 9))
    assert torch.equal(end(1, 5), end(2, 5))
    assert any(not torch.equal(end(1, 5), end(1, n)) for n in range(6, 12))


# --- those who call step ---------------------------------------------------------------------
@pytest.mark.parametrize("case", BOTH)
def test_compiled_steps_are_the_steps(case: str) -> None:
    ends = []
    for compiled in (False, True):
        model = network()
        optimizer = BOTH[case](model.parameters())
        step = torch.compile(optimizer.step, backend="eager") if compiled else optimizer.step
        for n in range(6):
            closure = closure_of(model, n)
            if case in closures_only:
                step(closure)
            else:
                closure()
                step()
        ends.append(weights(model))
    # Compiled, torch's own Adam corrects its moments in float32.
    rounding = 1e-4 if case in CONTROLS else 1e-9
    torch.testing.assert_close(*ends, rtol=rounding, atol=rounding / 10)


@pytest.mark.parametrize("case", [*WITHOUT, "StochasticBatchSize1"])
def test_gradient_scalers_skip_infinite_steps_and_unscale_others(case: str) -> None:
    ends = []
    for scaled in (False, True):
        model = network(dtype=torch.float32)
        optimizer = BOTH[case](model.parameters())
        scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=100, enabled=scaled)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Algorithm 1 says what it lacks
            for n in range(6):
                x, y = torch.ones(5, 1, 6) * (n + 1) / 6, torch.ones(5, 3)
                model.zero_grad()
                scaler.scale((model(x) - y).square().mean()).backward()
                scaler.step(optimizer)
                scaler.update()
        before = weights(model)
        if scaled:
            model.zero_grad()
            (scaler.scale((model(x) - y).square().mean()) * math.inf).backward()
            scaler.step(optimizer)
            assert torch.equal(before, weights(model))
        ends.append(before)
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-4)


# --- in parts and end to end -----------------------------------------------------------------
@pytest.mark.parametrize("case", CASES)
def test_pieces_lists_and_strides_are_the_flat_vector(case: str) -> None:
    """Tensors that are cut, listed, transposed, or neither: as on one flat vector, groups apart."""
    ends = []
    for foreach in (None, False):
        torch.manual_seed(0)
        shapes = [
            (2 * CHUNK + 5,),
            (BLOCK + CHUNK + 3,),
            (3, 4),
            (300, 200),
            (7,),
            (1, 1),
            (150, 190),
        ]
        many = [nn.Parameter(torch.randn(s, dtype=torch.float64)) for s in shapes]
        many[3] = nn.Parameter(many[3].detach().t())  # not contiguous
        aims = [torch.randn(p.shape, dtype=torch.float64) for p in many]

        def closure(many: Any = many, aims: Any = aims) -> torch.Tensor:
            loss = torch.zeros((), dtype=torch.float64)
            for p, aim in zip(many, aims, strict=True):
                p.grad = p.detach() - aim
                loss += p.grad.square().sum() / 2
            return loss

        optimizer = CASES[case](many[:3])
        rate = optimizer.param_groups[0]["lr"]
        optimizer.add_param_group({"params": many[3:], "lr": rate / 2, "weight_decay": 0.0})
        optimizer.defaults["foreach"] = foreach
        for _ in range(5):
            optimizer.step(closure)
        ends.append(torch.cat([p.detach().reshape(-1) for p in many]))
    if case in {"StochasticBatchSize1", "StochasticBatchSize2"}:
        # A draw that falls on p itself is decided by rounding.
        assert ((ends[0] - ends[1]).abs() > 1e-9).double().mean() < 1e-5
        return
    torch.testing.assert_close(*ends, rtol=1e-8, atol=1e-9)


def test_vectors_are_left_alone_by_lars_where_asked() -> None:
    model = network()
    optimizer = torch_optim.LARS(model.parameters(), 0.1, 0.0, 0.5, trust=0.01, vectors="plain")
    before = [p.detach().clone() for p in model.parameters()]
    closure_of(model, 0)()
    optimizer.step()
    for old, p in zip(before, model.parameters(), strict=True):
        plain = old - 0.1 * p.grad  # type: ignore[operator]
        assert torch.allclose(p, plain) == (p.ndim == 1)
