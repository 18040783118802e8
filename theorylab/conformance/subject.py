"""``Subject``: the optimizer under test, how it is built and how a step of it is taken."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor

from theorylab.conformance.claims import Claims

__all__ = ["Factory", "Shape", "Subject", "Traits"]

Factory = Callable[..., torch.optim.Optimizer]
Shape = tuple[int, ...]

_ANY_SHAPES: tuple[Shape, ...] = ((3, 4), (4,), (2, 2, 3))
_MATRICES: tuple[Shape, ...] = ((3, 4), (4, 2), (2, 3))


@final
@dataclass(frozen=True)
class Traits:
    """What a first step showed.

    Attributes
    ----------
    shapes : tuple of tuple of int
        Of parameters that it takes.
    sparse : bool
        Whether it takes sparse gradients alone.
    closure : bool
        Whether a step needs a closure.
    refusals : tuple of Exception
        What was raised by plain parameters of any shape, where that was no clear refusal.
    steps : bool
        Whether a step could be taken at all.
    """

    shapes: tuple[Shape, ...] = _ANY_SHAPES
    sparse: bool = False
    closure: bool = False
    refusals: tuple[Exception, ...] = ()
    steps: bool = True

    @property
    def matrices(self) -> bool:
        """Whether it takes matrices alone."""
        return self.shapes == _MATRICES

    @classmethod
    def tried(cls) -> Sequence[Traits]:
        """All there are, the most usual first."""
        return [
            cls(shapes, sparse, closure)
            for shapes in (_ANY_SHAPES, _MATRICES)
            for sparse in (False, True)
            for closure in (False, True)
        ]


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """An optimizer under test.

    Attributes
    ----------
    name : str
    factory : callable
        ``factory(params, **arguments)``: the optimizer's class, or a function that makes one.
    settings : mapping
        Arguments that every build gets.
    claims : Claims
    traits : Traits
    """

    name: str
    factory: Factory
    settings: Mapping[str, Any] = field(default_factory=dict)
    claims: Claims = field(default_factory=Claims)
    traits: Traits = field(default_factory=Traits)

    @property
    def arguments(self) -> Mapping[str, inspect.Parameter]:
        """The arguments that it names, beside the parameters."""
        try:
            found = inspect.signature(self.factory).parameters
        except (TypeError, ValueError):
            return {}
        first = next(iter(found), None)
        return {
            name: p
            for name, p in found.items()
            if name != first and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL, p.POSITIONAL_ONLY)
        }

    def value(self, name: str) -> Any:
        """What an argument is when nothing else is said."""
        if name in self.settings:
            return self.settings[name]
        default = self.arguments[name].default
        return None if default is inspect.Parameter.empty else default

    def build(self, params: Any, **changes: Any) -> torch.optim.Optimizer:
        """A new optimizer of these parameters or groups, some arguments changed."""
        optimizer = self.factory(params, **{**self.settings, **changes})
        # Schedule-free methods have modes, and step in one of them.
        mode = getattr(optimizer, "train", None)
        if callable(mode):
            mode()
        return optimizer

    def step(self, optimizer: Any, closure: Callable[[], Tensor]) -> Any:
        """One step on the closure's loss."""
        if self.claims.step is not None:
            return self.claims.step(optimizer, closure)
        if self.traits.closure:
            return optimizer.step(closure)
        closure()
        return optimizer.step()

    def with_traits(self, traits: Traits) -> Subject:
        """The same, a first step of it having been seen."""
        return replace(self, traits=traits)
