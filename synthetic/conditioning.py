"""Attacks on what is certified relative to the minimum: domination, growth, noise there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from synthetic.reach import LOWER, Reach, ascend
from theorylab.problem.objective import Constant, Objective

__all__ = ["relative_to_minimum"]


def relative_to_minimum(
    objective: Objective,
    certified: Mapping[str, Constant],
    w: Tensor,
    scale: Tensor,
    steps: int,
    rng: np.random.Generator,
) -> list[Reach]:
    """Try to refute ``mu_pl``, ``mu_qg``, ``ell_es`` and ``sigma_star``; as in ``attack``.

    Nothing is tried where no minimizer is known. Additive noise cancels in ``g(w) - g(w*)``, so
    random draws serve ``ell_es`` as well as all outcomes do; ``sigma_star`` needs the outcomes.
    """
    best = objective.minimizer()
    if best is None:
        return []
    draws, weights = _law(objective, rng)
    found = []
    if certified.keys() & {"mu_pl", "mu_qg", "ell_es"}:
        found += _relative_to_values(
            objective, certified, best, w, scale, steps, rng, (draws, weights)
        )
    if "sigma_star" in certified and objective.outcomes() is not None:
        square = 0.0
        for draw, weight in zip(draws, weights, strict=True):
            gradient = objective.sample_gradient(best.unsqueeze(0), draw.expand(1, 1, *draw.shape))
            square += float(weight) * float(gradient.square().sum())
        constant = certified["sigma_star"]
        found.append(Reach("F", "sigma_star", float(constant), math.sqrt(square),
                           1e-9 * float(scale.min()), tuple(best.tolist()),
                           constant.attained))  # fmt: skip
    return found


def _relative_to_values(
    objective: Objective,
    certified: Mapping[str, Constant],
    best: Tensor,
    w: Tensor,
    scale: Tensor,
    steps: int,
    rng: np.random.Generator,
    law: tuple[Tensor, Tensor],
) -> list[Reach]:
    low = objective.minimum()
    start = float(objective.value(objective.start.unsqueeze(0))[0])
    draws, weights = law

    # The terms that cancel at the minimum leave their rounding: what values vary by where F cannot,
    # and a few units in the last place of what F is farther away.
    tiny = 1e-10 * (1 + best.norm()) * torch.from_numpy(rng.standard_normal((64, len(best))))
    noise = 8 * float((objective.value(best + tiny) - low).abs().max())
    noise += 4e-15 * float(objective.value(w).abs().nan_to_num(0.0).median())

    def gap(x: Tensor) -> Tensor:
        return objective.value(x) - low

    def domination(x: Tensor) -> Tensor:
        value = gap(x)
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        return slope.square().sum(-1) / (2 * value)

    def growth(x: Tensor) -> Tensor:
        return 2 * gap(x) / (x - best).square().sum(-1)

    def expected(x: Tensor) -> Tensor:
        total = torch.zeros_like(x[:, 0])
        for draw, weight in zip(draws, weights, strict=True):
            each = draw.expand(len(x), 1, *draw.shape)
            apart = objective.sample_gradient(x, each) - objective.sample_gradient(
                best.expand(len(x), -1).contiguous(), each
            )
            total = total + float(weight) * apart.square().sum(-1)
        return total / (2 * gap(x))

    found = []
    away = torch.from_numpy(10.0 ** rng.uniform(-3, 0, size=(len(w), 1)))
    near = best + away * scale * torch.from_numpy(rng.standard_normal(w.shape))
    # Where E||g(w) - g(w*)||^2 is largest is sought where ||grad F||^2 is.
    attacks = {
        "mu_pl": (domination, domination), "mu_qg": (growth, growth),
        "ell_es": (expected, domination),
    }  # fmt: skip
    for name, (score, guide) in attacks.items():
        if name not in certified:
            continue
        sign = -1.0 if name in LOWER else 1.0
        points = torch.cat([w, near])
        sizes = torch.cat([scale, away * scale])
        ascent: Callable[[Tensor], Tensor] = partial(_signed, guide, sign)
        points = torch.cat([points, ascend(ascent, points, sizes, steps)])
        reached = score(points.requires_grad_()).detach()
        points = points.detach()
        with torch.no_grad():
            value = objective.value(points)
            lost = (1e-13 * (value.abs() + abs(low) + abs(start)) + noise) / (value - low)
        # Of a gap that may be all rounding, its ratio may be anything.
        lost = torch.where(lost < 0.5, lost / (1 - lost), math.inf)
        slack = reached.abs() * (lost + 1e-12)
        proof = (sign * reached - slack).nan_to_num(-math.inf, -math.inf, -math.inf)
        proof = torch.where(value > low, proof, -math.inf)
        k = int(proof.argmax())
        if math.isfinite(float(proof[k])):
            found.append(Reach("F", name, float(certified[name]), float(reached[k]),
                               float(slack[k]), tuple(points[k].tolist()),
                               certified[name].attained))  # fmt: skip
    return found


def _signed(function: Callable[[Tensor], Tensor], sign: float, x: Tensor) -> Tensor:
    return sign * function(x)


def _law(objective: Objective, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draws and their probabilities: all outcomes where they are finite, else a few at random."""
    law = objective.outcomes()
    if law is None:
        draws = objective.draw(rng, 1, 4, 1)[0][:, 0]
        return torch.from_numpy(draws), torch.full((4,), 0.25)
    return torch.from_numpy(law[0]), torch.from_numpy(law[1])
