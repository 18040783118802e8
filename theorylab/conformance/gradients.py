"""Parameters and gradients of every kind: absent, frozen, empty, strided, sparse, complex."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from theorylab.conformance.check import NotApplicable, check, refusable, require
from theorylab.conformance.subject import Shape, Subject
from theorylab.conformance.trial import (
    Problem,
    Trial,
    begin,
    finite,
    flat,
    gap,
    random,
    require_same,
)

_STEPS = 6


@check
def absent_gradient(subject: Subject) -> None:
    """A parameter whose gradient is None stays, whatever momentum and decay it had."""
    arguments = {"weight_decay": 0.1} if "weight_decay" in subject.arguments else {}
    trial = begin(subject, arguments=arguments).step(3)
    before = [p.detach().clone() for p in trial.params]
    trial.problem = _without(trial, 0)
    trial.step(3)
    require(torch.equal(trial.params[0], before[0]),
            "required a parameter without a gradient to stay; it moved by "
            f"{gap(before[0], trial.params[0].detach()):.2g} of its size")  # fmt: skip
    require(not torch.equal(trial.params[1], before[1]), "required the others to train")


def _without(trial: Trial, place: int) -> Problem:
    return replace(trial.problem, absent=frozenset({place}))


@check
def no_gradient_at_all(subject: Subject) -> None:
    """A step where every gradient is None does nothing."""
    trial = begin(subject).step(2)
    before = trial.weights
    for p in trial.params:
        p.grad = None
    with refusable("a step without any gradient"):
        subject.step(trial.optimizer, lambda: _cleared(trial))
    require(torch.equal(before, trial.weights), "required weights that stay; they moved")
    require(finite(trial.step().weights), "required finite weights afterwards")


def _cleared(trial: Trial) -> Tensor:
    for p in trial.params:
        p.grad = None
    return torch.zeros(())


@check
def frozen_parameter(subject: Subject) -> None:
    """A parameter with requires_grad=False in the list stays, and does no harm."""
    trial = begin(subject, grouped=_frozen_first)
    before = [p.detach().clone() for p in trial.params]
    trial.step(_STEPS)
    require(
        torch.equal(trial.params[0], before[0]), "required a frozen parameter to stay; it moved"
    )
    require(not torch.equal(trial.params[1], before[1]), "required the others to train")


def _frozen_first(params: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    params[0].requires_grad_(False)
    return params


def _with_shape(subject: Subject, shape: Shape, what: str) -> None:
    shapes = (shape, *subject.traits.shapes)
    with refusable(what):
        trial = begin(subject, shapes=shapes).step(_STEPS)
    require(finite(trial.weights), f"required finite weights beside {what}")
    start = flat(trial.problem.start())
    require(not shape or 0 in shape or gap(start, trial.weights) > 0, "required steps that move")
    if trial.params[0].numel():
        moved = not torch.equal(trial.params[0], trial.problem.numbers(0, 0))
        require(moved, f"required {what} to train; it stays")


@check
def empty_parameter(subject: Subject) -> None:
    """A parameter of no entries does no harm."""
    _with_shape(subject, (0, 3), "an empty parameter")


@check
def scalar_parameter(subject: Subject) -> None:
    """A parameter without dimensions trains."""
    if subject.traits.sparse:
        raise NotApplicable("it takes sparse gradients alone, which need a dimension")
    _with_shape(subject, (), "a parameter without dimensions")


@check
def vector_parameter(subject: Subject) -> None:
    """A vector trains."""
    _with_shape(subject, (5,), "a vector")


@check
def image_filter_parameter(subject: Subject) -> None:
    """A parameter of four dimensions, a convolution's, trains."""
    _with_shape(subject, (2, 3, 2, 2), "a parameter of four dimensions")


@check
def single_entry_parameter(subject: Subject) -> None:
    """A parameter of one entry trains."""
    _with_shape(subject, (1, 1), "a parameter of one entry")


@check
def strided_parameter(subject: Subject) -> None:
    """A parameter whose entries do not lie in order (a transpose) trains like one whose do."""
    trial, plain = begin(subject), begin(subject)

    def strided(params: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
        params[0] = torch.nn.Parameter(params[0].detach().t().contiguous().t())
        return params

    trial = begin(subject, grouped=strided)
    # What the optimizer was given, and not what the list held before.
    assert not trial.params[0].is_contiguous()
    with refusable("a parameter whose entries do not lie in order"):
        trial.step(_STEPS)
    require_same(plain.step(_STEPS).weights, trial.weights, "in order")


def _with_gradients(trial: Trial, change: Callable[[Tensor], Tensor]) -> None:
    problem, params, step = trial.problem, trial.params, trial.taken

    def closure() -> Tensor:
        loss = problem.backward(params, step)
        for p in params:
            if p.grad is not None:
                p.grad = change(p.grad)
        return loss

    trial.subject.step(trial.optimizer, closure)
    trial.taken += 1


@check
def strided_gradient(subject: Subject) -> None:
    """A gradient whose entries do not lie in order acts like one whose do."""
    if subject.traits.sparse:
        raise NotApplicable("it takes sparse gradients alone")
    trial = begin(subject)
    for _ in range(_STEPS):
        _with_gradients(trial, lambda g: g.transpose(0, -1).contiguous().transpose(0, -1))
    require_same(begin(subject).step(_STEPS).weights, trial.weights, "in order")


@check
def sparse_gradient(subject: Subject) -> None:
    """Sparse gradients act like the dense ones of the same entries, duplicates added up."""
    trial, plain = begin(subject), begin(subject)
    with refusable("sparse gradients"):
        for _ in range(_STEPS):
            _with_gradients(trial, _uncoalesced)
    require_same(plain.step(_STEPS).weights, trial.weights, "with the same entries, added up")


def _uncoalesced(gradient: Tensor) -> Tensor:
    """The same, each row in two halves."""
    sparse = gradient.to_sparse(1) if gradient.layout == torch.strided else gradient.coalesce()
    where, what = sparse.indices(), sparse.values()
    return torch.sparse_coo_tensor(
        torch.cat([where, where], 1), torch.cat([what / 2, what / 2]), gradient.shape
    )


@check
def complex_parameter(subject: Subject) -> None:
    """A complex parameter trains like its real and imaginary parts."""
    with refusable("complex parameters"):
        trial = begin(subject, dtype=torch.complex64).step(_STEPS)
    if subject.traits.matrices:
        raise NotApplicable("it takes matrices, and the parts of a complex one are none")
    plain = begin(subject, dtype=torch.complex64)
    parts = [torch.nn.Parameter(torch.view_as_real(p.detach()).clone()) for p in plain.params]
    torch.manual_seed(0)
    optimizer = subject.build(parts)
    for step in range(_STEPS):
        subject.step(optimizer, partial(_through_parts, plain, parts, step))
    found = torch.cat([torch.view_as_complex(p.detach()).reshape(-1) for p in parts])
    require_same(found, trial.weights, "of its real and imaginary parts")


def _through_parts(plain: Trial, parts: list[torch.nn.Parameter], step: int) -> Tensor:
    for p in parts:
        p.grad = None
    loss = plain.problem.loss([torch.view_as_complex(p) for p in parts], step)
    loss.backward()
    return loss.detach()


def _first_alone(subject: Subject) -> Trial:
    """Steps of the first parameter by itself, where the others would not change them."""
    if random(subject):
        raise NotApplicable("the method draws at random")
    alone = begin(subject, grouped=lambda ps: ps[:1]).step(_STEPS)
    joint = begin(subject).step(_STEPS)
    if gap(alone.params[0].detach(), joint.params[0].detach()) > 1e-5:
        raise NotApplicable("a parameter's steps depend on the others")
    return alone


@check
def late_parameter(subject: Subject) -> None:
    """A parameter that joins late takes the steps of a fresh optimizer, not of an old one."""
    alone = _first_alone(subject)
    late = begin(subject, grouped=lambda ps: ps[1:]).step(_STEPS)
    with refusable("a second parameter group"):
        late.optimizer.add_param_group({"params": late.params[:1]})
    late.taken = 0
    late.step(_STEPS)
    require_same(alone.params[0].detach(), late.params[0].detach(),
                 "of a fresh optimizer of the parameter that joined late")  # fmt: skip


@check
def late_gradient(subject: Subject) -> None:
    """A parameter whose first gradient comes late takes the steps of a fresh optimizer."""
    alone = _first_alone(subject)
    late = begin(subject)
    problem = late.problem
    late.problem = _without(late, 0)
    late.step(_STEPS)
    late.problem, late.taken = problem, 0
    late.step(_STEPS)
    require_same(alone.params[0].detach(), late.params[0].detach(),
                 "of a fresh optimizer of the parameter whose first gradient came late"
                 )  # fmt: skip
