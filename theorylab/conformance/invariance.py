"""Invariances that a method claims: to the loss's scale, to rotations, to where the origin is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from theorylab.conformance.check import NotApplicable, check, refusable
from theorylab.conformance.claims import Invariance
from theorylab.conformance.subject import Subject
from theorylab.conformance.trial import Problem, begin, require_same

_STEPS = 10
_SIZE = 6
_TOLERANCE = 1e-4  # an eps beside a gradient of size one is not told apart


def _claimed(subject: Subject, name: Invariance) -> None:
    if name not in subject.claims.invariances:
        raise NotApplicable(f"invariance to {name} is not claimed")


@check
def scale_invariance(subject: Subject) -> None:
    """A loss times c > 0 gives the same weights, where that is claimed."""
    _claimed(subject, "scale")
    plain = begin(subject, dtype=torch.float64).step(_STEPS).weights
    for scale in (0.1, 100.0):
        found = begin(subject, dtype=torch.float64, scale=scale).step(_STEPS).weights
        require_same(plain, found, f"without the factor {scale:g} before the loss", _TOLERANCE)


@check
def rotation_invariance(subject: Subject) -> None:
    """f(Q' w) from Q w gives Q times the weights, for a rotation Q, where that is claimed."""
    _claimed(subject, "rotation")
    generator = torch.Generator().manual_seed(5)
    normal = torch.randn(_SIZE, _SIZE, generator=generator, dtype=torch.float64)
    q = torch.linalg.qr(normal).Q
    plain = _run(subject, lambda w: w, lambda w: w)
    found = _run(subject, lambda w: q @ w, lambda w: q.T @ w)
    require_same(plain, found, "turned, stepped and turned back", _TOLERANCE)


@check
def translation_invariance(subject: Subject) -> None:
    """f(w - v) from w + v gives the weights plus v, where that is claimed."""
    _claimed(subject, "translation")
    v = 10.0 * torch.arange(1, _SIZE + 1, dtype=torch.float64)
    plain = _run(subject, lambda w: w, lambda w: w)
    found = _run(subject, lambda w: w + v, lambda w: w - v)
    require_same(plain, found, "moved, stepped and moved back", _TOLERANCE)


def _run(
    subject: Subject, there: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]
) -> Tensor:
    """The weights after some steps on ``f(back(w))`` from ``there(w)``, taken back."""
    torch.manual_seed(0)
    problem = Problem(((_SIZE,),), torch.float64)
    p = torch.nn.Parameter(there(problem.start()[0].detach()))
    with refusable("a single vector"):
        optimizer = subject.build([p])
    for step in range(_STEPS):
        closure = partial(_backward, problem, p, back, step, subject.traits.sparse)
        subject.step(optimizer, closure)
    return back(p.detach())


def _backward(
    problem: Problem, p: torch.nn.Parameter, back: Callable[[Tensor], Tensor], step: int,
    sparse: bool,
) -> Tensor:  # fmt: skip
    p.grad = None
    loss = problem.loss([back(p)], step)
    loss.backward()
    if sparse:
        assert p.grad is not None
        p.grad = p.grad.to_sparse(1)
    return loss.detach()
