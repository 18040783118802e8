"""``Claims``: what an optimizer promises beyond what every torch optimizer does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final, get_args

from torch import Tensor

from theorylab.errors import UsageError

__all__ = ["Claims", "Decay", "Invariance", "Reference"]

Decay = Literal["coupled", "decoupled"]
Invariance = Literal["scale", "rotation", "translation"]
Reference = Callable[[Tensor, Callable[[Tensor, int], Tensor], int], Tensor]
"""``reference(w, gradient, steps)``: the weights after ``steps`` steps of the plain method from
``w``, where ``gradient(w, t)`` is the stochastic gradient at ``w`` in step ``t = 0, 1, ...``"""


@final
@dataclass(frozen=True)
class Claims:
    """What an optimizer promises of itself; what is not claimed is not checked.

    Attributes
    ----------
    decay : str, optional
        ``"coupled"``: weight decay acts as a gradient ``g + weight_decay * w``;
        ``"decoupled"``: as ``w <- (1 - lr * weight_decay) w`` before the step.
    invariances : frozenset of str
        ``"scale"``: a loss times any c > 0 gives the same weights; ``"rotation"``: the loss
        ``f(Q' w)`` from ``Q w`` gives ``Q`` times the weights; ``"translation"``: the loss
        ``f(w - v)`` from ``w + v`` gives the weights plus ``v``.
    reference : callable or str, optional
        The method in plain steps on one tensor (:data:`Reference`), or the name of a registered
        update rule, whose hyperparameters are the optimizer's.
    step : callable, optional
        ``step(optimizer, closure)``: how one step is taken, where it is neither
        ``optimizer.step()`` nor ``optimizer.step(closure)``.
    limitations : mapping of str to str
        Checks that are known to fail, with the reason: they count as ``limited``. One that does
        not fail any more is reported as failed.

    Raises
    ------
    UsageError
        If there is no such decay or invariance.

    Examples
    --------
    >>> Claims(decay="decoupled", invariances={"scale"}).decay
    'decoupled'
    >>> Claims(decay="l2")
    Traceback (most recent call last):
    theorylab.errors.UsageError: claims: decay must be coupled or decoupled, got 'l2'
    """

    decay: Decay | None = None
    invariances: frozenset[Invariance] = frozenset()
    reference: Reference | str | None = None
    step: Callable[[Any, Callable[[], Tensor]], Any] | None = None
    limitations: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "invariances", frozenset(self.invariances))
        if self.decay not in (None, *get_args(Decay)):
            raise UsageError(
                f"claims: decay must be {' or '.join(get_args(Decay))}, got {self.decay!r}"
            )
        for name in self.invariances - set(get_args(Invariance)):
            raise UsageError(
                f"claims: invariances are {', '.join(get_args(Invariance))}; got {name!r}"
            )
