"""Number formats: half, double and mixed precision, and the scaled losses of GradScaler."""

from __future__ import annotations

import torch

from theorylab.conformance.check import NotApplicable, check, refusable, require
from theorylab.conformance.subject import Subject
from theorylab.conformance.trial import Trial, begin, finite, gap, random, require_same

_STEPS = 6
_SMALL = 1 / 64  # a small step is not lost beside a small weight


def _small(subject: Subject, dtype: torch.dtype) -> torch.Tensor:
    """How far the weights move, in float32."""
    trial = begin(subject, dtype=dtype)
    with torch.no_grad():
        for p in trial.params:
            p.mul_(_SMALL)
    before = trial.weights.float()
    return trial.step(_STEPS).weights.float() - before


def _half(subject: Subject, dtype: torch.dtype) -> None:
    with refusable(f"{dtype} parameters"):
        found = _small(subject, dtype)
    require(finite(found), f"required finite {dtype} weights")
    if random(subject):
        raise NotApplicable("the method draws at random, other numbers in another dtype")
    wanted = _small(subject, torch.float32)
    cosine = float(torch.nn.functional.cosine_similarity(found, wanted, dim=0))
    ratio = float(found.norm() / wanted.norm().clamp_min(1e-30))
    require(cosine > 0.9 and 0.7 < ratio < 1.4,
            f"required the way of float32 parameters; got {ratio:.2f} times as far, cosine "
            f"{cosine:.2f}")  # fmt: skip


@check
def bfloat16_parameters(subject: Subject) -> None:
    """bfloat16 parameters go the way of float32 ones."""
    _half(subject, torch.bfloat16)


@check
def float16_parameters(subject: Subject) -> None:
    """float16 parameters go the way of float32 ones."""
    _half(subject, torch.float16)


@check
def float64_parameters(subject: Subject) -> None:
    """float64 parameters are moved in float64: near float32's, and not rounded to them."""
    with refusable("float64 parameters"):
        trial = begin(subject, dtype=torch.float64).step(_STEPS)
    if random(subject):
        raise NotApplicable("the method draws at random, other numbers in another dtype")
    require_same(begin(subject).step(_STEPS).weights, trial.weights, "in float32", 1e-4)
    small, large = (_slope(subject, h) for h in (1e-10, 1e-4))
    off = gap(small, large)
    require(off < 0.05, "required steps in float64: starts 1e-10 apart should end as far apart, in "
                        f"proportion, as starts 1e-4 apart; they differ by {off:.2g}")  # fmt: skip


def _slope(subject: Subject, h: float) -> torch.Tensor:
    """How the weights at the end change with those at the start, in one direction."""
    ends = []
    for size in (h, 0.0):
        trial = begin(subject, dtype=torch.float64)
        with torch.no_grad():
            for k, p in enumerate(trial.params):
                p.add_(size * trial.problem.numbers(k, 99))
        ends.append(trial.step(_STEPS).weights)
    return (ends[0] - ends[1]) / h


@check
def parameters_of_two_dtypes(subject: Subject) -> None:
    """float64 and float32 parameters in one optimizer train like those of one kind."""

    def mixed(params: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
        params[0] = torch.nn.Parameter(params[0].detach().double())
        return params

    with refusable("parameters of two dtypes"):
        trial = begin(subject, grouped=mixed).step(_STEPS)
    kinds = {p.dtype for p in trial.params}
    require(kinds == {torch.float32, torch.float64}, f"required the dtypes to stay; got {kinds}")
    if random(subject):
        raise NotApplicable("the method draws at random, other numbers in another dtype")
    require_same(begin(subject).step(_STEPS).weights, trial.weights, "in float32", 1e-4)


def _scaled(trial: Trial, scaler: torch.amp.GradScaler, poison: bool = False) -> None:
    for p in trial.params:
        p.grad = None
    scaler.scale(trial.problem.loss(trial.params, trial.taken)).backward()
    if poison:
        trial.params[0].grad.view(-1)[0] = float("inf")
    if trial.problem.sparse:
        for p in trial.params:
            p.grad = p.grad.to_sparse(1)
    scaler.step(trial.optimizer)
    scaler.update()
    trial.taken += 1


@check
def grad_scaler(subject: Subject) -> None:
    """Under GradScaler the steps are those of the unscaled loss; one with inf is left out."""
    if subject.traits.closure or subject.claims.step is not None:
        raise NotApplicable("its steps need a closure, which GradScaler does not take")
    trial, plain = begin(subject), begin(subject)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(_STEPS):
        before = trial.weights
        _scaled(trial, scaler, poison=step == 3)
        if step == 3:
            require(torch.equal(before, trial.weights),
                    "required that a step with an infinite gradient is left out; weights moved"
                    )  # fmt: skip
            plain.taken += 1
        else:
            plain.step()
    require(gap(plain.weights, before) > 0, "required steps that move")
    require_same(plain.weights, trial.weights, "without a scaler")
