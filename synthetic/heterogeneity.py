"""Attacks on what is certified of workers together: how far their gradients are apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from synthetic.reach import Reach, ascend
from theorylab.problem.objective import Constant
from theorylab.problem.workers import Workers

__all__ = ["apart"]


def apart(
    objective: Workers, certified: Mapping[str, Constant], w: Tensor, scale: Tensor, steps: int
) -> list[Reach]:
    """Try to refute ``zeta`` (from the points ``w``) and ``zeta_star``; as in ``attack``."""

    def spread(slopes: Tensor) -> Tensor:
        """Of gradients (M, R, d): their root mean square distance from their mean, (R,)."""
        return (slopes - slopes.mean(0)).square().sum(-1).mean(0).sqrt()

    def by_autograd(x: Tensor) -> Tensor:
        slopes = [_slope(member.value, x) for member in objective.members]
        return spread(torch.stack(slopes)).square()

    found = []
    if "zeta" in certified:
        points = torch.cat([w, ascend(by_autograd, w, scale, steps)])
        found.append(_reach(objective, "zeta", certified["zeta"], points, spread))
    best = objective.minimizer()
    if "zeta_star" in certified and best is not None:
        found.append(_reach(objective, "zeta_star", certified["zeta_star"], best[None], spread))
    return found


def _slope(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    value = function(x).sum()
    return torch.autograd.grad(value, x, create_graph=True)[0]


def _reach(
    objective: Workers, name: str, constant: Constant, points: Tensor,
    spread: Callable[[Tensor], Tensor],
) -> Reach:  # fmt: skip
    with torch.no_grad():
        slopes = torch.stack([member.gradient(points) for member in objective.members])
        reached = spread(slopes)
        # Worker's gradients far out are large, and what is left of them is rounding.
        lost = 1e-13 * slopes.norm(dim=-1).amax(0)
    k = int((reached - lost).nan_to_num(-math.inf, -math.inf, -math.inf).argmax())
    return Reach("F", name, float(constant), float(reached[k]), float(lost[k]),
                 tuple(points[k].tolist()), constant.attained)  # fmt: skip
