"""The oracle of a network: closures, evaluated at any point a rule asks about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, final

import torch
from torch import Tensor

from theorylab.problem.oracle import Oracle
from theorylab.torch.forms import Form

__all__ = ["ANSWERS", "Closure", "ClosureOracle", "NoClosure"]

ANSWERS = frozenset({"value", "full_gradient"})
"""What a network in training answers beside gradients, of a rule's ``needs``."""

Closure = Callable[[], Any]


class NoClosure(ValueError):
    """A step was asked for something that a closure would have answered."""


@final
class ClosureOracle(Oracle):
    """Answers from closures: the gradient at hand at the current point, a new one elsewhere.

    Parameters
    ----------
    form : Form
        The parameters, and the form in which the rule sees them.
    loss : Tensor or None
        The mini-batch's value, where a closure gave one.
    closures : sequence of callables
        This step's closure and earlier ones, newest first; empty without one.
    full : callable or None
        A closure over all of the data.
    """

    def __init__(
        self, form: Form, loss: Any, closures: Sequence[Closure], full: Closure | None
    ) -> None:
        super().__init__()
        self._form, self._name = form, form.who
        self._closures, self._full = closures, full
        self._grads: list[Tensor | None] | None = None  # those to put back
        self._moved = False
        self.at_hand = form.gradient()
        # Answers at the current point: (gradient, loss) by lag.
        self._known: dict[int, tuple[Any, Any]] = {0: (self.at_hand, loss)}

    def gradient(self, w: Any, lag: int = 0) -> Any:
        self._count["gradients"] += 1
        return self._answer(w, lag)[0]

    def value(self, w: Any, lag: int = 0) -> Tensor:
        self._count["values"] += 1
        loss = self._answer(w, lag)[1]
        if loss is None:
            self._lacks("values", "step needs a closure that returns the loss")
        return self._form.value(torch.as_tensor(loss).detach())

    def full_gradient(self, w: Any, when: Tensor | bool = True) -> Any:
        if when is False:
            return w
        if self._full is None:
            self._lacks("full gradients", "give step a closure over all data: step(closure, full)")
        self._count["passes"] += 1
        return self._evaluate(self._full, w)[0]

    def put_back(self) -> None:
        """Leave the parameters and their gradients as they were found."""
        if self._moved:
            self._form.put_back()
        if self._grads is not None:
            for p, g in zip(self._form.params, self._grads, strict=True):
                p.grad = g

    def _answer(self, w: Any, lag: int) -> tuple[Any, Any]:
        lag = min(lag, len(self._closures) - 1) if lag else 0
        here = w is self._form.w
        if here and lag in self._known:
            return self._known[lag]
        if not self._closures:
            self._lacks("gradients at several points", "step needs a closure")
        found = self._evaluate(self._closures[lag], w)
        if here:
            self._known[lag] = found
        return found

    def _evaluate(self, closure: Closure, w: Any) -> tuple[Any, Any]:
        if self._grads is None:
            self._grads = [p.grad for p in self._form.params]
        if w is not self._form.w or self._moved:
            self._moved = True
            self._form.move_to(w)
        # A closure that zeroes gradients in place must not reach those that are kept.
        for p in self._form.params:
            p.grad = None
        with torch.enable_grad():
            loss = closure()
        return self._form.gradient(), loss

    def _lacks(self, what: str, how: str = "") -> NoReturn:
        raise NoClosure(f"{self._name}: the method needs {what}{': ' + how if how else ''}")
