"""A step as one call in C: what the plain code gives, and nothing that changed is missed."""

from __future__ import annotations

import copy

import pytest
import torch
from networks_for_optimizers import CASES, closure_of, every_case, network, weights
from test_torch_standing import run_acts
from torch import nn

from theorylab.torch import loop as loops
from theorylab.torch import optim as torch_optim
from theorylab.torch import standing as standings
from theorylab.torch.whole import Whole

ONE_CALL = {
    "SGD", "MSGD", "Nesterov", "SNGD", "SNGM", "TRSGD", "TRSGD authors", "LRSGD_R", "LRSGD_C",
    "Adam", "AMSGrad", "RMSprop", "TRAdam", "AcceleratedSGD", "AveragedSGD", "OptimizedGradient",
    "AdaGradNorm", "ClippedSGD", "AdamW", "SignSGD", "ReshuffledSGD",
}  # fmt: skip
"""Those that ask for nothing but a gradient, and compute with it what C can say."""
FEW = ("MSGD", "TRSGD authors")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Small networks are stepped in C too; how often one call took a step."""
    monkeypatch.setattr(loops, "LEAST", 1)
    taken: list[int] = []
    run = Whole.run
    monkeypatch.setattr(Whole, "run", lambda self, *a: taken.append(1) or run(self, *a))
    return taken


@every_case
def test_one_call_is_the_plain_step(case: str, small: list[int]) -> None:
    ends = []
    for foreach in (None, False):
        model = network()
        optimizer = CASES[case](model.parameters())
        optimizer.defaults["foreach"] = foreach
        for group in optimizer.param_groups:
            group["foreach"] = foreach
        for step in range(8):
            for group in optimizer.param_groups:
                group["lr"] *= 0.9
            optimizer.step(closure_of(model, step))
        ends.append(weights(model))
    assert len(small) == (8 if case in ONE_CALL else 0)
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "case", [c if c in FEW else pytest.param(c, marks=pytest.mark.slow) for c in sorted(ONE_CALL)]
)
def test_one_call_sees_whatever_changed(case: str, small: list[int]) -> None:
    run_acts(case)
    assert len(small) >= 20  # others are of parameters that differ in rate, count or sign


def test_rounds_that_no_seed_decides_are_drawn_at_every_step(small: list[int]) -> None:
    ends, rounds = [], []
    for foreach in (None, False):
        model = network()
        optimizer = torch_optim.LRSGD_R(model.parameters(), 0.1, 0.5, 0.4, eta=0.1, foreach=foreach)
        torch.manual_seed(3)
        for step in range(30):
            optimizer.step(closure_of(model, step))
        ends.append(weights(model))
        rounds.append(optimizer.rounds)
    assert len(small) == 30
    assert 3 < rounds[0] == rounds[1] < 28
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("case", sorted(ONE_CALL))
def test_a_loaded_state_goes_on_with_the_same_bits(case: str, small: list[int]) -> None:
    ends = []
    for cut in (False, True):
        model = network()
        optimizer = CASES[case](model.parameters())
        for step in range(9):
            if cut and step in (1, 4):
                saved = copy.deepcopy(optimizer.state_dict())
                optimizer = CASES[case](model.parameters())
                optimizer.load_state_dict(saved)
            optimizer.step(closure_of(model, step))
        ends.append(weights(model))
    assert len(small) == 18
    assert torch.equal(*ends)


def test_an_equal_tensor_of_one_number_is_not_the_one_it_replaces(small: list[int]) -> None:
    params = [nn.Parameter(torch.ones(n)) for n in (5, 1)]
    optimizer = torch_optim.MSGD(params, 0.1)
    for step in range(1, 5):
        for p in params:
            p.grad = torch.ones_like(p)
        for held in optimizer.state.values():
            held.update({name: x.clone() for name, x in held.items() if x.numel() == 1})
        optimizer.step()
        assert all(held["step"] == step for held in optimizer.state.values())
        assert params[0][0] == params[1][0]
    optimizer.param_groups[0]["params"][1] = equal = nn.Parameter(params[1].detach().clone())
    equal.grad = torch.ones(1)
    optimizer.step()
    assert params[1] > equal
    assert len(small) >= 4


def test_what_else_a_group_holds_may_change(small: list[int]) -> None:
    model, twin = network(), network()
    optimizer = torch_optim.MSGD(model.parameters(), 0.1)
    plain = torch_optim.MSGD(twin.parameters(), 0.1, foreach=False)
    for step in range(6):
        optimizer.param_groups[0]["of the user's own"] = step
        optimizer.step(closure_of(model, step))
        plain.step(closure_of(twin, step))
    assert len(small) == 6
    torch.testing.assert_close(weights(model), weights(twin), rtol=1e-9, atol=1e-11)


def test_numbers_that_are_not_on_the_cpu_are_left_to_torch(small: list[int]) -> None:
    params = [nn.Parameter(torch.ones(5, device="meta"))]
    params[0].grad = torch.ones(5, device="meta")
    optimizer = torch_optim.SGD(params, 0.1)
    for _ in range(3):
        optimizer.step()
    assert optimizer._standing is not None
    assert not optimizer._standing.wholes


def test_what_cannot_be_one_call_is_tried_once(
    small: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    monkeypatch.setattr(standings, "whole", lambda *a: tried.append(1))
    model = network()
    optimizer = CASES["LARS"](model.parameters())
    for step in range(6):
        optimizer.param_groups[0]["lr"] *= 0.9
        optimizer.step(closure_of(model, step))
    assert len(tried) == 1
