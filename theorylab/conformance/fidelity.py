"""Fidelity to a plain reference: the method written down in a few lines, stepped beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from theorylab.conformance.check import NotApplicable, check, refusable
from theorylab.conformance.claims import Reference
from theorylab.conformance.subject import Shape, Subject
from theorylab.conformance.trial import Problem, begin, require_same
from theorylab.engine.driver import run
from theorylab.method.rule import UpdateRule
from theorylab.plugins import registry
from theorylab.problem.objective import Constant, Objective
from theorylab.torch.optim import optimizer as class_of

__all__ = ["of_rule"]

_STEPS = 15


@check
def plain_reference(subject: Subject) -> None:
    """The weights are those of the plain reference that was named."""
    named = subject.claims.reference
    if named is None:
        raise NotApplicable("no reference is named")
    noise = 0.0 if isinstance(named, str) else 0.3
    shape: Shape = (3, 4) if subject.traits.matrices else (12,)
    with refusable("a single parameter"):
        trial = begin(subject, shapes=(shape,), dtype=torch.float64, noise=noise)
    reference = of_rule(registry.rule(named), subject) if isinstance(named, str) else named
    start = trial.params[0].detach().clone()
    wanted = reference(start.clone(), _gradient(trial.problem), _STEPS)
    found = trial.step(_STEPS).params[0].detach()
    # What moved is compared, lest small steps hide in large weights.
    require_same(wanted - start, found - start, "of the reference", 1e-5)


def _gradient(problem: Problem) -> Callable[[Tensor, int], Tensor]:
    def gradient(w: Tensor, step: int) -> Tensor:
        with torch.enable_grad():
            at = w.detach().clone().requires_grad_()
            (found,) = torch.autograd.grad(problem.loss([at], step), at)
        return found

    return gradient


def of_rule(rule: type[UpdateRule], subject: Subject) -> Reference:
    """An update rule with the optimizer's hyperparameters, run by the engine, as a reference.

    Raises
    ------
    NotApplicable
        If the optimizer has no value for one of the rule's fields.
    """
    values = _fields(rule, subject)

    def reference(w: Tensor, gradient: Callable[[Tensor, int], Tensor], steps: int) -> Tensor:
        posed = _OneFunction(w.reshape(-1), lambda x: gradient(x.reshape(w.shape), 0).reshape(-1))
        found = run(posed, rule(**values), steps, replicas=1, record=("w",), progress=False)
        return torch.as_tensor(found["w"][-1, 0]).reshape(w.shape)

    return reference


def _fields(rule: type[UpdateRule], subject: Subject) -> Mapping[str, Any]:
    names = class_of(rule)
    found: dict[str, Any] = {}
    for name, parameter in names.accepts.parameters.items():
        field = names.fields.get(name, name)
        if name in subject.arguments:
            value = subject.value(name)
        elif parameter.default is parameter.empty:
            raise NotApplicable(f"the rule {rule.name} needs {name}, which is no argument here")
        else:
            value = parameter.default
        pairs = zip(field, value, strict=True) if isinstance(field, tuple) else [(field, value)]
        found |= dict(pairs)
    return {name: found[name] for name in rule.__dataclass_fields__ if name in found}


@final
class _OneFunction(Objective):
    """A deterministic objective of which the gradient alone is known."""

    def __init__(self, start: Tensor, gradient: Callable[[Tensor], Tensor]) -> None:
        self.name, self.parameters, self.start, self._of = "reference", {}, start, gradient

    def value(self, w: Tensor) -> Tensor:
        return torch.zeros(len(w), dtype=w.dtype)

    def gradient(self, w: Tensor) -> Tensor:
        return torch.stack([self._of(row) for row in w])

    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        return np.zeros((steps, replicas, batch_size))

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        with torch.inference_mode(False):
            return self.gradient(w.clone())

    def constants(self) -> Mapping[str, Constant]:
        return {}
