"""What can be recorded of a point: one number a row, with what is certified of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Literal, final

import torch
from torch import Tensor

from theorylab.engine.proximal_point import precision, proximal_minimizer
from theorylab.errors import UsageError
from theorylab.method.rule import State, norm
from theorylab.plugins import registry
from theorylab.problem.objective import Objective

__all__ = ["RECORDERS", "Passes", "Recorder", "is_open", "recorders"]


@final
class Passes:
    """F and its gradient at some points, each computed when it is first asked for, and once.

    A full gradient costs as much as n steps: quantities of the same points share it.

    Parameters
    ----------
    objective : Objective
    w : Tensor, shape (R, d)
        Not to be changed while this is in use.

    Examples
    --------
    >>> import synthetic
    >>> F = synthetic.quadratic(dim=2)
    >>> here = Passes(F, F.start.unsqueeze(0))
    >>> here.gradient is here.gradient
    True
    """

    def __init__(self, objective: Objective, w: Tensor) -> None:
        self.objective, self.w = objective, w

    @cached_property
    def value(self) -> Tensor:
        """F at each point, shape ``(R,)``."""
        return self.objective.value(self.w)

    @cached_property
    def gradient(self) -> Tensor:
        """Its gradient there, shape ``(R, d)``."""
        return self.objective.gradient(self.w)


@final
@dataclass(frozen=True)
class Recorder:
    """A number of a point, computed row by row.

    Parameters
    ----------
    name : str
        By which paths of quantities and :func:`theorylab.run` ask for it.
    of : callable
        ``of(objective, w)``: points ``(R, d)`` to numbers ``(R,)``. With ``whole`` it is
        ``of(objective, w, state)`` and sees the rule's state as well. What it ``uses`` follows.
    range : callable, optional
        ``range(objective)``: what the objective's constants certify of the number at every
        point, a pair (an end may be infinite).
    origin : callable, optional
        For a value of F less something: what is subtracted, whose rounding it inherits.
    stretch : callable, optional
        ``stretch(objective)``: how much larger its rounding may be than that of a Euclidean
        norm of the same units; 1 by default.
    whole : bool
    parameters : tuple of str
        What ``of`` takes by keyword beside: the parameters of a quantity, bound by a statement.
    error : callable, optional
        ``error(objective, blur, felt)``, with the parameters: how far the number may be off
        beyond rounding of its own size, at points off by ``blur`` whose gradients are off by
        ``felt``. Of a number whose square is declared, of its root.
    bound : tuple of (str, float)
        The parameters' values, by :meth:`bind`.
    uses : tuple of "value" and "gradient"
        F or its gradient at ``w``, which are computed once for all that is recorded there:
        with ``("gradient",)`` it is ``of(objective, w, gradient)``.

    Examples
    --------
    >>> import synthetic
    >>> F = synthetic.quadratic(dim=2)
    >>> recorders()["suboptimality"](F, F.minimizer().unsqueeze(0)).tolist()
    [0.0]
    """

    name: str
    of: Callable[..., Tensor]
    range: Callable[[Objective], tuple[float, float] | None] | None = None
    origin: Callable[[Objective], float] | None = None
    stretch: Callable[[Objective], float] | None = None
    whole: bool = False
    parameters: tuple[str, ...] = ()
    error: Callable[..., float] | None = None
    bound: tuple[tuple[str, float], ...] = ()
    uses: tuple[Literal["value", "gradient"], ...] = ()

    def __call__(self, objective: Objective, w: Tensor, *state: State) -> Tensor:
        """The number at each row of the points (and the state, with ``whole``)."""
        return self.at(Passes(objective, w), *state)

    def at(self, here: Passes, *state: State) -> Tensor:
        """The same, of points at which others are computed too."""
        used = (getattr(here, name) for name in self.uses)
        return self.of(here.objective, here.w, *state, *used, **dict(self.bound))

    def bind(self, **values: float) -> Recorder:
        """The recorder at these values of its parameters."""
        return replace(self, bound=tuple(sorted(values.items())))

    def misses(self, objective: Objective, blur: float, felt: float) -> float | None:
        """How far the number may be off; ``None`` where that follows from its units."""
        return None if self.error is None else self.error(objective, blur, felt, **dict(self.bound))


def _height(objective: Objective) -> tuple[float, float, float]:
    """The least and the greatest value of F, and the largest squared gradient, as certified."""
    known = {k: float(v) for k, v in objective.constants().items()}
    lowest, highest = objective.minimum(), known.get("Bf", math.inf)
    least = lowest if math.isfinite(lowest) else -highest
    height = max(highest - least, 0.0) if math.isfinite(least) else math.inf
    steepest = known.get("G", math.inf) ** 2
    if "ell" in known and not objective.setting:  # inf F is that of the whole space
        steepest = min(steepest, 2 * known["ell"] * height if height < math.inf else math.inf)
    return least, highest, steepest


def _values(objective: Objective) -> tuple[float, float]:
    return _height(objective)[:2]


def _excess(objective: Objective) -> tuple[float, float] | None:
    least, highest, _ = _height(objective)
    return (0.0, max(highest - least, 0.0)) if math.isfinite(objective.minimum()) else None


def _squares(objective: Objective) -> tuple[float, float]:
    return 0.0, _height(objective)[2]


def _slopes(objective: Objective) -> tuple[float, float]:
    return 0.0, math.sqrt(_height(objective)[2])


def _root_dim(objective: Objective) -> float:
    return math.sqrt(objective.dim)


def _far(objective: Objective, w: Tensor) -> Tensor:
    target = objective.minimizer()
    if target is None:
        raise UsageError(f"{objective.name} knows no minimizer")
    return torch.from_numpy(((w - target).numpy() ** 2).sum(-1))


def _consensus(objective: Objective, w: Tensor, state: State) -> Tensor:
    points = getattr(state, "points", None)
    if points is None:
        raise UsageError("consensus_distance_squared: no worker of this method has its own point")
    found = (points - points.mean(-2, keepdim=True)).square().sum(-1).mean(-1)
    assert isinstance(found, Tensor)
    return found


def _mapping(objective: Objective, w: Tensor, g: Tensor, step: float) -> Tensor:
    ahead = w - step * g
    back = objective.prox(ahead, step) if "composite" in objective.setting else ahead
    return norm(w - back).squeeze(-1) / step


def _mapping_error(objective: Objective, blur: float, felt: float, step: float) -> float:
    return felt + 2 * blur / step  # a prox moves two points no further apart


def _bends(objective: Objective) -> tuple[float, float]:
    known = objective.constants()
    flat = {"delta": 0.0} if "convex" in objective.declared else {}
    bends = flat | {k: float(known[k]) for k in ("delta", "ell") if k in known}
    if len(bends) < 2:
        raise UsageError(f"{objective.name} certifies no delta and ell for its Moreau envelope")
    return bends["delta"], bends["ell"]


def _envelope_slope(objective: Objective, w: Tensor, lam: float) -> Tensor:
    delta, ell = _bends(objective)
    if lam == delta == 0:  # of a convex F: M is inf F everywhere, whose slope is 0
        return w.new_zeros(len(w))
    if lam <= delta:
        raise UsageError(
            f"the Moreau envelope of {objective.name}, with delta = {delta:g}, is asked for at "
            f"lam = {lam:g}: it has a gradient where lam > delta; make that a condition"
        )
    return lam * norm(w - proximal_minimizer(objective, w, lam, delta, ell)).squeeze(-1)


def _envelope_error(objective: Objective, blur: float, felt: float, lam: float) -> float:
    delta, ell = _bends(objective)
    if lam == delta == 0:
        return 0.0
    size = objective.start.unsqueeze(0)
    steepest = max(lam, lam * delta / (lam - delta)) if lam > delta else math.inf
    return steepest * blur + 2 * lam * precision(size, lam, delta, ell)


def _frank_wolfe_gap(objective: Objective, w: Tensor, g: Tensor) -> Tensor:
    return (g * (w - objective.linear_minimizer(g))).sum(-1)


def _gap_error(objective: Objective, blur: float, felt: float) -> float:
    known = objective.constants()
    wide, bend = (float(known[k]) if k in known else math.inf for k in ("D", "ell"))
    steepest = float(norm(objective.gradient(objective.start.unsqueeze(0)))) + bend * wide
    return felt * wide + blur * steepest


def _last_move(objective: Objective, w: Tensor, state: State) -> Tensor:
    before = getattr(state, "before", None)
    if before is None:
        raise UsageError("last_move: this method does not keep the iterate before its last step")
    return norm(w - before).squeeze(-1)


def _estimate_error(objective: Objective, w: Tensor, state: State) -> Tensor:
    d, before = (getattr(state, name, None) for name in ("d", "before"))
    if d is None or before is None:
        raise UsageError("estimate_error: this method keeps no estimate of a gradient")
    return norm(d - objective.gradient(before)).squeeze(-1)


_V: tuple[Literal["value"]] = ("value",)
_G: tuple[Literal["gradient"]] = ("gradient",)
_BUILT_IN = (
    Recorder("value", lambda F, w, value: value, _values, uses=_V),
    Recorder("suboptimality", lambda F, w, value: value - F.minimum(), _excess,
             origin=lambda F: F.minimum(), uses=_V),
    Recorder("gradient_norm", lambda F, w, g: norm(g).squeeze(-1), _slopes, uses=_G),
    Recorder("gradient_norm_squared", lambda F, w, g: g.square().sum(-1), _squares, uses=_G),
    Recorder("gradient_l1_norm", lambda F, w, g: g.abs().sum(-1),
             lambda F: (0.0, _root_dim(F) * _slopes(F)[1]), stretch=_root_dim, uses=_G),
    Recorder("gradient_linf_norm", lambda F, w, g: g.abs().amax(-1), _slopes, uses=_G),
    Recorder("linf_norm", lambda F, w: w.abs().amax(-1), lambda F: (0.0, math.inf)),
    Recorder("distance", lambda F, w: norm(w - F.start).squeeze(-1), lambda F: (0.0, math.inf)),
    Recorder("distance_to_minimizer_squared", _far, lambda F: (0.0, math.inf)),
    # Of methods whose state holds each worker's point as ``points``, (R, M, d).
    Recorder("consensus_distance_squared", _consensus, lambda F: (0.0, math.inf), whole=True),
    # (w - prox(w - eta grad f(w)))/eta: the gradient itself where there is nothing to prox.
    Recorder("gradient_mapping_norm", _mapping, lambda F: (0.0, math.inf), parameters=("step",),
             error=_mapping_error, uses=_G),
    # lam (w - prox_{F/lam}(w)), the gradient of min_u F(u) + (lam/2)||u - w||^2.
    Recorder("moreau_gradient_norm", _envelope_slope, lambda F: (0.0, math.inf),
             parameters=("lam",), error=_envelope_error),
    # The largest <grad F(w), w - u> over the set.
    Recorder("frank_wolfe_gap", _frank_wolfe_gap, lambda F: (0.0, math.inf), error=_gap_error,
             uses=_G),
    # Of methods that keep an estimate ``d`` of the gradient, made ``before`` their last step.
    Recorder("last_move", _last_move, lambda F: (0.0, math.inf), whole=True),
    Recorder("estimate_error", _estimate_error, lambda F: (0.0, math.inf), whole=True),
    Recorder("w", lambda F, w: w),
)  # fmt: skip

RECORDERS: Mapping[str, Recorder] = {recorder.name: recorder for recorder in _BUILT_IN}
"""Those that come with the toolkit; ``w`` are the points themselves."""


def is_open(record: str) -> bool:
    """Whether a record's definition leaves parameters to the statement."""
    recorder = recorders().get(record.removeprefix("output."))
    return recorder is not None and bool(recorder.parameters)


@cache
def recorders() -> Mapping[str, Recorder]:
    """Every recorder by name; third parties add their own (``RECORDERS``) beside their quantities.

    Raises
    ------
    UsageError
        If one has a name that is taken.
    """
    return registry.table(
        "quantities", "RECORDERS", lambda item: isinstance(item, Recorder), "a Recorder",
        own=_BUILT_IN, beside=("QUANTITIES", "PROTOCOLS"), elsewhere=lambda item: True,
    )  # fmt: skip
