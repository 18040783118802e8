"""Attacks on what is certified of the set F is minimised on, and of the way to the minimizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from synthetic.reach import Reach
from theorylab.problem.objective import Constant, Objective

__all__ = ["on_the_set"]

_FAR = 1e3  # so many diameters away from the set, the nearest points lie at its ends


def on_the_set(objective: Objective, certified: Mapping[str, Constant], w: Tensor) -> list[Reach]:
    """Try to refute ``D``, ``D1`` and ``R``; as in ``attack``.

    The nearest points to pairs far out in opposite directions, those of ``w`` seen from the
    start, lie as far from each other as the set allows.
    """
    found = []
    sides = w - objective.start
    sides = torch.cat([sides, sides.sign()])  # and the diagonals
    sides = sides / sides.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    for name, order in (("D", 2), ("D1", 1)):
        if name not in certified or "constrained" not in objective.setting:
            continue
        constant = certified[name]
        far = _FAR * float(constant) * sides
        ends = [objective.inside(objective.start + side) for side in (far, -far)]
        apart = torch.linalg.vector_norm(ends[0] - ends[1], ord=order, dim=-1)
        k = int(apart.argmax())
        slack = 1e-15 * _FAR * float(constant)
        found.append(Reach("F", name, float(constant), float(apart[k]), slack,
                           tuple(ends[0][k].tolist()), constant.attained))  # fmt: skip
    best = objective.minimizer()
    if "R" in certified and best is not None:
        constant, distance = certified["R"], float((objective.start - best).norm())
        slack = 1e-15 * (float(objective.start.norm()) + float(best.norm()))
        found.append(Reach("F", "R", float(constant), distance, slack, tuple(best.tolist()),
                           constant.attained))  # fmt: skip
    return found
