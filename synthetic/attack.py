"""``attack``: try to break an objective's certificates by random far pairs and gradient ascent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from synthetic.conditioning import relative_to_minimum
from synthetic.extent import on_the_set
from synthetic.heterogeneity import apart
from synthetic.reach import Reach, ascend
from theorylab.errors import UsageError
from theorylab.problem.field import Field
from theorylab.problem.objective import Constant, FiniteSum, Objective
from theorylab.problem.workers import Workers

__all__ = ["attack"]

_NEAR = 1e-3  # closest pair, relative to a point's own length scale: rounding stays below 1e-11
_OUTCOMES = 256
_DRAWS = 4000


def _anywhere(w: Tensor) -> Tensor:
    return w


Function = Callable[[Tensor], Tensor]
Score = Callable[[Tensor, Tensor, Function, Function], tuple[Tensor, Tensor]]


def attack(
    objective: Objective,
    constants: Mapping[str, Constant] | None = None,
    sample_constants: Mapping[str, Constant] | None = None,
    worker_constants: Mapping[str, Constant] | None = None,
    seed: int = 0,
    points: int = 64,
    steps: int = 40,
) -> list[Reach]:
    """Try to refute every certificate of ``objective``.

    Pairs of points at distances over six orders of magnitude are drawn around the start (and
    the minimizer), and moved by gradient ascent on the quotient, norm, value or variance that a
    certificate bounds.

    Parameters
    ----------
    objective : Objective
        In float64, with :meth:`value` (and ``sample_value``) differentiable by autograd.
    constants, sample_constants, worker_constants : mapping
        Certificates to attack instead of the objective's own.
    seed : int
    points : int
        Starting points for each certificate.
    steps : int
        Steps of ascent.

    Returns
    -------
    list of Reach
        One for each certificate, broken or not.

    Raises
    ------
    UsageError
        If the objective is not in float64.

    Examples
    --------
    >>> from synthetic import quadratic
    >>> F = quadratic(dim=2, ell=3.0)
    >>> any(reach.broken for reach in attack(F))
    False
    >>> [r.name for r in attack(F, {"ell": Constant(2.0, "wrong")}) if r.broken]
    ['ell']
    """
    if objective.start.dtype != torch.float64:
        raise UsageError(f"attack: {objective.name} must be in float64")
    rng = np.random.default_rng(seed)
    found: list[Reach] = []
    certified = objective.constants() if constants is None else constants
    w, z, scale = _begin(objective, rng, points)
    value = None if isinstance(objective, Field) else objective.smooth_part.value

    for name in certified:
        if name in _SCORES and not (name == "L0" and "L1" not in certified):
            # What bounds sizes holds where F is minimised; what bounds curvature anywhere.
            place = objective.inside if name in _ON_THE_SET else _anywhere
            found.append(_push("F", name, certified, value, objective.gradient, w, z, scale,
                               steps, place))  # fmt: skip
    found += on_the_set(objective, certified, w)
    if "Delta" in certified:
        found.append(_descend(objective, certified["Delta"], w, z, scale, steps))
    if "sigma" in certified:
        found.append(_variance(objective, certified["sigma"], w, z, scale, steps, rng))
    found += relative_to_minimum(objective, certified, w, scale, steps, rng)
    if isinstance(objective, FiniteSum):
        per_sample = objective.sample_constants() if sample_constants is None else sample_constants
        found += _push_samples(objective, per_sample, rng, points, steps)
    if isinstance(objective, Workers):
        found += apart(objective, certified, w, scale, steps)
        shared = objective.worker_constants() if worker_constants is None else worker_constants
        found += _worst_worker(objective, shared, seed, points, steps)
    return found


def _worst_worker(
    objective: Workers, certified: Mapping[str, Constant], seed: int, points: int, steps: int
) -> list[Reach]:
    """What holds for every worker, as far as the one who reaches farthest pushes it."""
    kept = {k: c for k, c in certified.items() if k in _SCORES or k == "sigma"}
    reaches: dict[str, Reach] = {}
    for member in objective.members:
        for reach in attack(member, kept, {}, {}, seed, points, steps):
            best = reaches.get(reach.name)
            if best is None or (reach.broken, reach.ratio) > (best.broken, best.ratio):
                reaches[reach.name] = replace(reach, scope="f_m")
    return list(reaches.values())


def _push_samples(
    objective: FiniteSum,
    certified: Mapping[str, Constant],
    rng: np.random.Generator,
    points: int,
    steps: int,
) -> list[Reach]:
    n = objective.n
    if n <= 4 * points:
        chosen = np.tile(np.arange(n), max(1, (4 * points) // n))
    else:
        chosen = _steepest(objective, rng, 2 * points)
    index = torch.from_numpy(chosen.astype(np.int32)).unsqueeze(1)
    w, z, scale = _begin(objective, rng, len(chosen))

    def one(points: Tensor) -> Tensor:
        # Pairs come stacked: the samples repeat.
        which = index.repeat(len(points) // len(index), 1)
        return objective.sample_value(points, which).squeeze(1)

    def slope(points: Tensor) -> Tensor:
        return objective.sample_gradient(points, index.repeat(len(points) // len(index), 1))

    return [
        _push("f_i", name, certified, one, slope, w, z, scale, steps)
        for name in certified
        if name in _SCORES
    ]


def _steepest(objective: FiniteSum, rng: np.random.Generator, count: int) -> np.ndarray:
    """Some samples at random, and those with the greatest gradients around the start."""
    every = torch.arange(objective.n, dtype=torch.int32).unsqueeze(1)
    size = torch.zeros(objective.n, dtype=torch.float64)
    for radius in (0.0, 0.01, 0.1, 1.0):
        w = objective.start + radius * torch.from_numpy(rng.standard_normal(objective.dim))
        g = objective.sample_gradient(w.expand(objective.n, -1), every)
        size = torch.maximum(size, g.norm(dim=-1).nan_to_num(0.0))
    top = torch.topk(size, max(1, count // 8)).indices.numpy()
    return np.concatenate([np.tile(top, 8), rng.integers(0, objective.n, size=count)])


def _begin(
    objective: Objective, rng: np.random.Generator, points: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Points, differences to their partners, and length scales: (P, d), (P, d), (P, 1)."""
    d = objective.dim
    best = objective.minimizer()
    origins = [objective.start] if best is None else [objective.start, best]
    centre = torch.stack([origins[k % len(origins)] for k in range(points)])
    radius = 10.0 ** rng.uniform(-2, 3, size=(points, 1))
    w = centre + torch.from_numpy(radius * rng.standard_normal((points, d)))
    if best is not None:
        w[1 :: 2 * len(origins)] = best  # the partner alone is away from the minimizer
    z = torch.from_numpy(10.0 ** rng.uniform(-2, 3, (points, 1)) * rng.standard_normal((points, d)))
    return w, z, torch.from_numpy(radius)


# --- what each certificate bounds: a score to ascend, and its rounding error -------------------
def _slope(function: Function, w: Tensor) -> Tensor:
    if not w.requires_grad:
        w = w.detach().requires_grad_()
    return torch.autograd.grad(function(w).sum(), w, create_graph=True)[0]


def _quotients(w: Tensor, z: Tensor, gradient: Function) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(gradient difference, z, ||z||^2, rounding error of the curvature quotient)."""
    at_w, at_u = gradient(torch.cat([w, w + z])).chunk(2)
    square = z.square().sum(-1)
    error = 1e-13 * (at_w.norm(dim=-1) + at_u.norm(dim=-1)) / square.sqrt()
    # The partner w + z is itself rounded.
    error = error * (1 + (w.norm(dim=-1) / square.sqrt()))
    return at_u - at_w, z, square, error.detach()


def _ell(w: Tensor, z: Tensor, value: Function, gradient: Function) -> tuple[Tensor, Tensor]:
    difference, _, square, error = _quotients(w, z, gradient)
    return difference.norm(dim=-1) / square.sqrt(), error


def _L(w: Tensor, z: Tensor, value: Function, gradient: Function) -> tuple[Tensor, Tensor]:
    difference, z, square, error = _quotients(w, z, gradient)
    return (difference * z).sum(-1) / square, error


def _delta(w: Tensor, z: Tensor, value: Function, gradient: Function) -> tuple[Tensor, Tensor]:
    score, error = _L(w, z, value, gradient)
    return -score, error


def _s_min(w: Tensor, z: Tensor, value: Function, gradient: Function) -> tuple[Tensor, Tensor]:
    score, error = _ell(w, z, value, gradient)
    return -score, error


def _G(w: Tensor, z: Tensor, value: Function, gradient: Function) -> tuple[Tensor, Tensor]:
    size = gradient(w).norm(dim=-1)
    return size, 1e-13 * size.detach()


def _G_inf(w: Tensor, z: Tensor, value: Function, gradient: Function) -> tuple[Tensor, Tensor]:
    size = gradient(w).abs().amax(-1)
    return size, 1e-13 * size.detach()


def _Bf(w: Tensor, z: Tensor, value: Function, gradient: Function) -> tuple[Tensor, Tensor]:
    size = value(w).abs()
    return size, 1e-13 * size.detach()


_SCORES: Mapping[str, Score | None] = {
    "ell": _ell, "L": _L, "delta": _delta, "mu": _delta, "s_min": _s_min, "G": _G,
    "G_inf": _G_inf, "Bf": _Bf, "L0": None,
}  # fmt: skip
_ON_THE_SET = frozenset({"G", "G_inf", "Bf"})


def _relaxed(L0: float, L1: float) -> Score:
    """``||grad(u) - grad(w)||`` over ``(L0 + L1 ||grad(w)||)(exp(L1 a) - 1)/L1``, ``a = ||u-w||``.

    It is at most 1, since ``||Hess(u)|| <= (L0 + L1 ||grad(w)||) exp(L1 ||u - w||)``.
    """

    def score(w: Tensor, z: Tensor, value: Function, gradient: Function) -> tuple[Tensor, Tensor]:
        difference, z, square, error = _quotients(w, z, gradient)
        distance = square.sqrt()
        rate = L0 + L1 * gradient(w).norm(dim=-1)
        growth = torch.expm1(L1 * distance) / (L1 * distance) if L1 else torch.ones_like(distance)
        allowed = rate * growth
        return difference.norm(dim=-1) / distance / allowed, error / allowed.detach()

    return score


def _apart(z: Tensor, scale: Tensor) -> Tensor:
    """``z``, lengthened where a pair has come too close for its quotient to be accurate."""
    size = z.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return z * (_NEAR * scale / size).clamp_min(1)


def _push(
    scope: str,
    name: str,
    certified: Mapping[str, Constant],
    value: Function | None,
    gradient: Function,
    w: Tensor,
    z: Tensor,
    scale: Tensor,
    steps: int,
    place: Function = _anywhere,
) -> Reach:
    constant, d = certified[name], w.shape[1]
    chosen = _SCORES[name]
    if name == "L0":
        chosen = _relaxed(float(constant), float(certified["L1"]))
    assert chosen is not None
    # A field that is no gradient is differentiated itself; no score of its constants asks values.
    known = gradient if value is None else value
    slope = gradient if value is None else partial(_slope, value)

    def score(x: Tensor) -> Tensor:
        at, apart = place(x[:, :d]), _apart(x[:, d:], scale)
        return chosen(at, apart, known, slope)[0]

    x = ascend(score, torch.cat([w, z], 1), scale, steps)
    with torch.no_grad():
        pairs = [(place(x[:, :d]), _apart(x[:, d:], scale)), (place(w), _apart(z, scale))]
        results = [chosen(w, z, known, gradient) for w, z in pairs]
    scores, errors = (torch.cat([r[k] for r in results]) for k in (0, 1))
    # The winner by what it proves: its score less its own rounding error.
    proof = (scores - errors).nan_to_num(-math.inf, -math.inf, -math.inf)
    k = int(proof.argmax())
    reached, slack = float(scores[k]), float(errors[k])
    if name in ("mu", "s_min"):
        reached = -reached
    if name == "L0":
        reached, slack = reached * float(constant), slack * float(constant)
    point = torch.cat([p for p, _ in pairs])[k]
    return Reach(scope, name, float(constant), reached, slack, tuple(point.tolist()),
                 constant.attained)  # fmt: skip


def rounding_at(objective: Objective, best: Tensor) -> float:
    """What values vary by around a minimizer where F cannot: its terms cancel, and round."""
    rng = np.random.default_rng(0)
    tiny = 1e-10 * (1 + best.norm()) * torch.from_numpy(rng.standard_normal((64, len(best))))
    with torch.no_grad():
        values = objective.value(torch.cat([best + tiny, best.unsqueeze(0)]))
    return 8 * float((values - values[-1]).abs().max())


def _descend(
    objective: Objective, constant: Constant, w: Tensor, z: Tensor, scale: Tensor, steps: int
) -> Reach:
    x = ascend(lambda p: -objective.value(objective.inside(p)), w, scale, 2 * steps)
    x = objective.inside(x)
    best = objective.minimizer()
    candidates = x if best is None else torch.cat([x, best.unsqueeze(0)])
    with torch.no_grad():
        values = objective.value(candidates)
        first = float(objective.value(objective.start.unsqueeze(0))[0])
    k = int(values.nan_to_num(math.inf).argmin())
    slack = 1e-12 * (abs(first) + abs(float(values[k])))
    if best is not None:
        slack += rounding_at(objective, best)
    return Reach("F", "Delta", float(constant), first - float(values[k]), slack,
                 tuple(candidates[k].tolist()), constant.attained)  # fmt: skip


def _variance(
    objective: Objective,
    constant: Constant,
    w: Tensor,
    z: Tensor,
    scale: Tensor,
    steps: int,
    rng: np.random.Generator,
) -> Reach:
    law = objective.outcomes()
    if law is None:
        return _sampled_variance(objective, constant, w[:4], rng)
    draws, weights = law
    if len(draws) > _OUTCOMES:
        w, scale, steps = w[:8], scale[:8], 5
    draw, weight = torch.from_numpy(draws), torch.from_numpy(weights)

    def deviations(slopes: Callable[[Tensor, Tensor], Tensor], points: Tensor) -> Tensor:
        every = points.repeat_interleave(len(draws), 0)
        which = draw.repeat(len(points), *[1] * (draw.ndim - 1)).unsqueeze(1)
        slope = slopes(every, which).view(len(points), len(draws), -1)
        mean = (slope * weight[:, None]).sum(1, keepdim=True)
        return ((slope - mean).square().sum(-1) * weight).sum(-1)

    if isinstance(objective, FiniteSum):
        total = objective

        def by_autograd(points: Tensor, which: Tensor) -> Tensor:
            return _slope(lambda p: total.sample_value(p, which).squeeze(1), points)

        w = torch.cat([w, ascend(lambda p: deviations(by_autograd, p), w, scale, steps)])
    with torch.no_grad():
        variance = deviations(objective.sample_gradient, w)
        # Rounding is that of the sample gradients, which need not vanish where their mean does.
        size = objective.gradient(w).norm(dim=-1)
        for outcome in draw[:: max(1, len(draw) // 8)]:
            single = outcome.expand(len(w), 1, *outcome.shape)
            size = torch.maximum(size, objective.sample_gradient(w, single).norm(dim=-1))
    k = int((variance.sqrt() - 1e-13 * size).nan_to_num(-math.inf, -math.inf, -math.inf).argmax())
    return Reach("F", "sigma", float(constant), math.sqrt(float(variance[k])),
                 1e-12 * float(size[k]), tuple(w[k].tolist()), constant.attained)  # fmt: skip


def _sampled_variance(
    objective: Objective, constant: Constant, w: Tensor, rng: np.random.Generator
) -> Reach:
    """By Monte Carlo, with five standard errors of slack."""
    draws = torch.from_numpy(objective.draw(rng, 1, _DRAWS, 1)[0])
    best = (-math.inf, 0.0, w[0])
    for point in w:
        rows = point.expand(_DRAWS, -1)
        mean = objective.gradient(point.unsqueeze(0))
        if not torch.isfinite(mean).all() or float(mean.norm()) > 1e6:
            continue
        squares = (objective.sample_gradient(rows, draws) - mean).square().sum(-1)
        second, error = float(squares.mean()), float(squares.std()) / math.sqrt(_DRAWS)
        reached = math.sqrt(second)
        best = max(best, (reached, 5 * error / (2 * reached) if reached else 0.0, point),
                   key=lambda b: b[0])  # fmt: skip
    return Reach("F", "sigma", float(constant), best[0], best[1], tuple(best[2].tolist()),
                 constant.attained)  # fmt: skip
