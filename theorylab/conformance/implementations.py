"""Other ways to compute the same step: foreach, fused, differentiable, compiled."""

from __future__ import annotations

import torch

from theorylab.conformance.check import NotApplicable, check, refusable, require
from theorylab.conformance.subject import Subject
from theorylab.conformance.trial import begin, require_same

_STEPS = 6


def _alike(subject: Subject, name: str) -> None:
    if name not in subject.arguments:
        raise NotApplicable(f"takes no {name}")
    off = {k: False for k in ("foreach", "fused") if k in subject.arguments}
    for more in ({}, {"weight_decay": 0.1}):
        if not set(more) <= set(subject.arguments):
            continue
        plain = begin(subject, arguments={**off, **more}).step(_STEPS)
        with refusable(f"{name}=True"):
            trial = begin(subject, arguments={**off, **more, name: True}).step(_STEPS)
        require_same(plain.weights, trial.weights, f"with {name}=False")


@check
def foreach(subject: Subject) -> None:
    """foreach=True gives the weights of foreach=False."""
    _alike(subject, "foreach")


@check
def fused(subject: Subject) -> None:
    """fused=True gives the weights of fused=False, or is refused."""
    _alike(subject, "fused")


@check
def differentiable(subject: Subject) -> None:
    """differentiable=True lets gradients flow through the step, the right ones, or is refused."""
    if "differentiable" not in subject.arguments:
        raise NotApplicable("takes no differentiable")
    shape = subject.traits.shapes[0]
    generator = torch.Generator().manual_seed(0)
    start, g, other, direction = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(4)
    )

    def after(gradient: torch.Tensor) -> torch.Tensor:
        p = start.clone().requires_grad_().clone()
        optimizer = subject.build([p], differentiable=True)
        for p.grad in (gradient, other):
            optimizer.step()
        return p

    with refusable("differentiable=True"):
        after(g)
    g.requires_grad_()
    weights = after(g)
    require(weights.requires_grad, "required weights that depend on the gradient in the graph")
    (found,) = torch.autograd.grad((weights * direction).sum(), g)
    with torch.no_grad():
        h = 1e-6
        wanted = ((after(g + h * direction) - after(g - h * direction)) * direction).sum() / (2 * h)
    got = (found * direction).sum()
    require(abs(float(got - wanted)) <= 1e-4 * (abs(float(wanted)) + 1e-8),
            f"required a derivative of {float(wanted):.6g} through the step; got {float(got):.6g}"
            )  # fmt: skip


@check
def compiled_step(subject: Subject) -> None:
    """torch.compile(optimizer.step) gives the weights of step, another lr on the way included."""
    if subject.traits.closure or subject.claims.step is not None:
        raise NotApplicable("its steps need a closure, which runs outside of a compiled graph")
    if subject.traits.sparse:
        raise NotApplicable("torch does not compile steps of sparse gradients")
    torch.compiler.reset()
    runs = []
    for compiled in (True, False):
        trial = begin(subject)
        step = torch.compile(trial.optimizer.step, backend="eager") if compiled else None
        for k in range(_STEPS):
            if k == _STEPS // 2:
                for group in trial.optimizer.param_groups:
                    if "lr" in group:
                        group["lr"] = group["lr"] / 2
            trial.closure()()
            (step or trial.optimizer.step)()
            trial.taken += 1
        runs.append(trial.weights)
    torch.compiler.reset()
    require_same(runs[1], runs[0], "of the step as it is", 1e-4)
