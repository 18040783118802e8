"""The oracle of a network: closures, evaluated at any point a rule asks about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, final

import torch
from torch import Tensor

from theorylab.problem.oracle import Oracle

__all__ = ["ANSWERS", "Closure", "ClosureOracle", "Nothing"]

ANSWERS = frozenset({"value", "full_gradient"})
"""What a network in training answers beside gradients, of a rule's ``needs``."""

Closure = Callable[[], Any]


@final
class Nothing(Oracle):
    """The oracle before the first step: nothing was evaluated yet.

    Parameters
    ----------
    who : str
        Named in errors.
    """

    def __init__(self, who: str) -> None:
        super().__init__()
        self._name = who

    def gradient(self, w: Tensor, lag: int = 0) -> Tensor:
        self._lacks("gradients before the first step")

    def _lacks(self, what: str) -> NoReturn:
        raise ValueError(f"{self._name}: the method needs {what}, which closures cannot give")


@final
class ClosureOracle(Oracle):
    """Answers from closures: the gradient at hand at the current point, a new one elsewhere.

    Parameters
    ----------
    who : str
        Named in errors.
    params : list of Tensor
        The parameters whose vector is ``w``, end to end.
    w : Tensor, shape (d,)
        Their current values.
    gradient : Tensor, shape (d,)
        The mini-batch's gradient there.
    loss : Tensor or None
        Its value, where a closure gave one.
    closures : sequence of callables
        This step's closure and earlier ones, newest first; empty without one.
    full : callable or None
        A closure over all of the data.
    collect : callable
        The gradient that an evaluation left in the parameters, shape (d,).
    """

    def __init__(
        self,
        who: str,
        params: list[Tensor],
        w: Tensor,
        gradient: Tensor,
        loss: Any,
        closures: Sequence[Closure],
        full: Closure | None,
        collect: Callable[[], Tensor],
    ) -> None:
        super().__init__()
        self._name, self._params, self._w = who, params, w
        self._closures, self._full, self._collect = closures, full, collect
        self._grads: list[Tensor | None] | None = None  # those to put back
        # Answers at the current point: (gradient, loss) by lag.
        self._known: dict[int, tuple[Tensor, Any]] = {0: (gradient, loss)}

    def gradient(self, w: Tensor, lag: int = 0) -> Tensor:
        self._count["gradients"] += 1
        return self._answer(w, lag)[0]

    def value(self, w: Tensor, lag: int = 0) -> Tensor:
        self._count["values"] += 1
        loss = self._answer(w, lag)[1]
        if loss is None:
            self._lacks("values", "step needs a closure that returns the loss")
        return torch.as_tensor(loss).detach().to(w).reshape(1)

    def full_gradient(self, w: Tensor, when: Tensor | bool = True) -> Tensor:
        if when is False:
            return w
        if self._full is None:
            self._lacks("full gradients", "give step a closure over all data: step(closure, full)")
        self._count["passes"] += 1
        return self._evaluate(self._full, w)[0]

    def put_back(self) -> None:
        """Leave the parameters and their gradients as they were found."""
        if self._grads is not None:
            self._write(self._w)
            for p, g in zip(self._params, self._grads, strict=True):
                p.grad = g

    def _answer(self, w: Tensor, lag: int) -> tuple[Tensor, Any]:
        lag = min(lag, len(self._closures) - 1) if lag else 0
        here = w is self._w
        if here and lag in self._known:
            return self._known[lag]
        if not self._closures:
            self._lacks("gradients at several points", "step needs a closure")
        found = self._evaluate(self._closures[lag], w)
        if here:
            self._known[lag] = found
        return found

    def _evaluate(self, closure: Closure, w: Tensor) -> tuple[Tensor, Any]:
        if self._grads is None:
            self._grads = [p.grad for p in self._params]
        self._write(w)
        with torch.enable_grad():
            loss = closure()
        return self._collect(), loss

    def _write(self, w: Tensor) -> None:
        sizes = [p.numel() for p in self._params]
        pieces = [x.view(p.shape) for x, p in zip(w.split(sizes), self._params, strict=True)]
        torch._foreach_copy_(self._params, pieces)

    def _lacks(self, what: str, how: str = "") -> NoReturn:
        raise ValueError(f"{self._name}: the method needs {what}{': ' + how if how else ''}")
