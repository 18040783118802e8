"""What can be recorded of a point: one number a row, with what is certified of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import torch
from torch import Tensor

from theorylab.errors import UsageError
from theorylab.method.rule import State, norm
from theorylab.plugins import registry
from theorylab.problem.objective import Objective

__all__ = ["RECORDERS", "Recorder", "recorders"]


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
        ``of(objective, w, state)`` and sees the rule's state as well.
    range : callable, optional
        ``range(objective)``: what the objective's constants certify of the number at every
        point, a pair (an end may be infinite).
    origin : callable, optional
        For a value of F less something: what is subtracted, whose rounding it inherits.
    stretch : callable, optional
        ``stretch(objective)``: how much larger its rounding may be than that of a Euclidean
        norm of the same units; 1 by default.
    whole : bool

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

    def __call__(self, objective: Objective, *seen: Any) -> Tensor:
        """The number at each row of the points (and the state, with ``whole``)."""
        return self.of(objective, *seen)


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


_BUILT_IN = (
    Recorder("value", lambda F, w: F.value(w), _values),
    Recorder("suboptimality", lambda F, w: F.value(w) - F.minimum(), _excess,
             origin=lambda F: F.minimum()),
    Recorder("gradient_norm", lambda F, w: norm(F.gradient(w)).squeeze(-1), _slopes),
    Recorder("gradient_norm_squared", lambda F, w: F.gradient(w).square().sum(-1), _squares),
    Recorder("gradient_l1_norm", lambda F, w: F.gradient(w).abs().sum(-1),
             lambda F: (0.0, _root_dim(F) * _slopes(F)[1]), stretch=_root_dim),
    Recorder("gradient_linf_norm", lambda F, w: F.gradient(w).abs().amax(-1), _slopes),
    Recorder("linf_norm", lambda F, w: w.abs().amax(-1), lambda F: (0.0, math.inf)),
    Recorder("distance", lambda F, w: norm(w - F.start).squeeze(-1), lambda F: (0.0, math.inf)),
    Recorder("distance_to_minimizer_squared", _far, lambda F: (0.0, math.inf)),
    # Of methods whose state holds each worker's point as ``points``, (R, M, d).
    Recorder("consensus_distance_squared", _consensus, lambda F: (0.0, math.inf), whole=True),
    Recorder("w", lambda F, w: w),
)  # fmt: skip

RECORDERS: Mapping[str, Recorder] = {recorder.name: recorder for recorder in _BUILT_IN}
"""Those that come with the toolkit; ``w`` are the points themselves."""


@cache
def recorders() -> Mapping[str, Recorder]:
    """Every recorder by name; third parties add their own (``RECORDERS``) beside their quantities.

    Raises
    ------
    UsageError
        If one is not a :class:`Recorder`, or has a name that is taken.
    """
    found = dict(RECORDERS)
    for origin, item in registry.plugins("quantities", "RECORDERS", required=False):
        if not isinstance(item, Recorder):
            raise UsageError(f"plug-in {origin!r}: expected a Recorder, got {type(item).__name__}")
        if item.name in found:
            raise UsageError(f"plug-in {origin!r} registers the recorder {item.name} again")
        found[item.name] = item
    return found
