"""Silent failures: gradients that are zero, huge, tiny or no number; plateaus and saddles."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from theorylab.conformance.check import check, refusable, require
from theorylab.conformance.subject import Subject
from theorylab.conformance.trial import Trial, begin, finite, gap

_STEPS = 6


def _given(trial: Trial, change: Callable[[int, Tensor], Tensor]) -> None:
    """A step on the gradients as ``change(place, gradient)`` makes them."""
    problem, params, step = trial.problem, trial.params, trial.taken

    def closure() -> Tensor:
        loss = problem.backward(params, step)
        for k, p in enumerate(params):
            if p.grad is not None:
                dense = change(k, p.grad.to_dense())
                p.grad = dense.to_sparse(1) if problem.sparse else dense
        return loss

    trial.subject.step(trial.optimizer, closure)
    trial.taken += 1


@check
def zero_gradients(subject: Subject) -> None:
    """Gradients of zero from the first step on leave the weights where they are, up to decay."""
    trial = begin(subject)
    before = trial.weights
    for _ in range(_STEPS):
        _given(trial, lambda _, g: torch.zeros_like(g))
    require(finite(trial.weights), "required finite weights where all gradients are zero")
    rate = float(trial.optimizer.param_groups[0].get("lr", 0.0))
    decay = float(trial.optimizer.param_groups[0].get("weight_decay", 0.0))
    moved = gap(before, trial.weights)
    # Momentum, at most 1, adds up the decay of all steps before.
    allowed = 1e-4 + _STEPS * (_STEPS + 1) / 2 * rate * decay
    require(moved <= allowed, "required weights that stay where all gradients are zero; they "
                              f"moved by {moved:.2g} of their size")  # fmt: skip


@check
def zero_gradient_of_one_parameter(subject: Subject) -> None:
    """A parameter whose gradient is zero does no harm beside others."""
    trial = begin(subject)
    for _ in range(_STEPS):
        _given(trial, lambda k, g: torch.zeros_like(g) if k == 0 else g)
    require(finite(trial.weights), "required finite weights where one gradient is zero")


@check
def plateau(subject: Subject) -> None:
    """After a stretch of zero gradients the weights move again."""
    trial = begin(subject).step(2)
    for _ in range(20):
        _given(trial, lambda _, g: torch.zeros_like(g))
    before, value = trial.weights, trial.value
    trial.step(4 * _STEPS)
    require(finite(trial.weights) and gap(before, trial.weights) > 1e-6,
            "required finite steps that move after a plateau")  # fmt: skip
    require(trial.value < value, f"required a loss below {value:.6g} after a plateau; got "
                                 f"{trial.value:.6g}")  # fmt: skip


@check
def saddle(subject: Subject) -> None:
    """Near a saddle the loss does not rise: x^2/2 - y^2/2 + y^4/8 from (0.1, 0.5)."""
    shape = (2, 1) if subject.traits.matrices else (2,)
    p = torch.nn.Parameter(torch.tensor([0.1, 0.5]).reshape(shape))

    def loss() -> Tensor:
        x, y = p.reshape(-1)
        return x**2 / 2 - y**2 / 2 + y**4 / 8

    def closure() -> Tensor:
        p.grad = None
        found = loss()
        found.backward()
        if subject.traits.sparse and p.grad is not None:
            p.grad = p.grad.to_sparse(1)
        return found.detach()

    torch.manual_seed(0)
    with refusable("a single parameter"):
        optimizer = subject.build([p])
    before = float(loss())
    for _ in range(4 * _STEPS):
        subject.step(optimizer, closure)
    after = float(loss())
    require(after < before, f"required a loss below {before:.6g} near a saddle; got {after:.6g}")


@check
def nan_gradient(subject: Subject) -> None:
    """A NaN in a gradient is seen in the weights, refused, or left out without a trace."""
    trial = begin(subject).step(2)
    with refusable("a NaN in a gradient"):
        _given(trial, lambda k, g: torch.full_like(g, float("nan")) if k == 0 else g)
    if not finite(trial.weights):
        return
    before, value = trial.params[0].detach().clone(), trial.value
    trial.step(4 * _STEPS)
    moved = gap(before, trial.params[0].detach())
    require(finite(trial.weights) and trial.value < value and moved > 0,
            "required that a NaN is seen at once or leaves no trace; weights stayed finite, and "
            f"{4 * _STEPS} steps later the loss is {trial.value:.4g}, {value:.4g} before, and the "
            f"parameter moved by {moved:.2g} of its size")  # fmt: skip


@check
def huge_gradients(subject: Subject) -> None:
    """Gradients of 1e15 in float32, whose squares are still numbers, give no NaN."""
    trial = begin(subject)
    with refusable("gradients of size 1e15"):
        for _ in range(_STEPS):
            _given(trial, lambda _, g: g / (1e-12 + g.abs().max()) * 1e15)
    require(not bool(torch.isnan(trial.weights).any()),
            "required weights that are numbers after gradients of 1e15; got NaN")  # fmt: skip


@check
def tiny_gradients(subject: Subject) -> None:
    """Gradients of 1e-30 in float32, whose squares are zero, give finite weights."""
    trial = begin(subject)
    before = trial.weights
    with refusable("gradients of size 1e-30"):
        for _ in range(_STEPS):
            _given(trial, lambda _, g: g / (1e-12 + g.abs().max()) * 1e-30)
    require(finite(trial.weights),
            "required finite weights after gradients of 1e-30")  # fmt: skip
    plain = begin(subject)
    for _ in range(_STEPS):
        _given(plain, lambda _, g: g)
    usual = 100 * gap(before, plain.weights) + 1e-3
    moved = gap(before, trial.weights)
    require(moved <= usual, "required steps no longer than a hundred times those of usual "
                            f"gradients; weights moved by {moved:.3g} of their size")  # fmt: skip
