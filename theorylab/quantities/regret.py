"""Regret: what the drawn losses cost the method beyond the best fixed point in hindsight."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.driver import Samples as Drawn
from theorylab.engine.driver import run
from theorylab.errors import UsageError
from theorylab.method.rule import UpdateRule, round_starts
from theorylab.problem.objective import Objective
from theorylab.problem.sampler import weights_of
from theorylab.quantities.protocol import Experiment, Law, Measurement, Protocol, value_scale

__all__ = ["Regret", "best_in_hindsight"]

_PATHS = 2048
_AFFINE = 1e-9


def best_in_hindsight(objective: Objective, samples: Tensor) -> Tensor:
    """The point with the least sum of the losses that were drawn, one a row.

    Losses with gradients affine in w, in closed form: quadratic ones on the whole space, linear
    ones on a bounded convex set.

    Parameters
    ----------
    objective : Objective
    samples : Tensor, shape (T, R, B, ...)
        The mini-batches.

    Returns
    -------
    Tensor, shape (R, d)

    Raises
    ------
    UsageError
        If the losses are of another kind, or their sum has no minimizer.

    Examples
    --------
    >>> import synthetic
    >>> F = synthetic.quadratic(dim=1, noise="shifts", sigma=1.0, n=2)
    >>> best_in_hindsight(F, torch.zeros(3, 1, 1, dtype=torch.int32)).shape
    torch.Size([1, 1])
    """
    d, rows = objective.dim, samples.shape[1]

    def slope(w: Tensor) -> Tensor:
        at = w.expand(rows, -1).contiguous()
        return torch.stack([objective.sample_gradient(at, draw) for draw in samples]).sum(0)

    zero = torch.zeros(1, d, dtype=objective.start.dtype)
    offset = slope(zero)
    bend = torch.stack([slope(row[None]) - offset for row in torch.eye(d).to(zero)], dim=-1)
    probe = torch.linspace(-1.5, 2.0, d, dtype=zero.dtype)[None]
    model = offset + (bend @ probe.T).squeeze(-1)
    size = offset.abs() + (bend.abs() @ probe.abs().T).squeeze(-1)
    if bool(((slope(probe) - model).abs() > _AFFINE * size).any()):
        raise UsageError(f"regret: the losses of {objective.name} are neither linear nor quadratic")
    linear = bool((bend.abs() <= _AFFINE * (1 + offset.abs().max())).all())
    if linear and "constrained" in objective.setting:
        return objective.linear_minimizer(offset)
    if linear or objective.setting:
        raise UsageError(f"regret: the losses of {objective.name} have no best fixed point in "
                         "closed form")  # fmt: skip
    best = torch.linalg.lstsq(bend, -offset.unsqueeze(-1)).solution.squeeze(-1)
    left = (bend @ best.unsqueeze(-1)).squeeze(-1) + offset
    flat = bool((left.abs() <= 1e-7 * (offset.abs() + offset.abs().max())).all())
    if not flat or bool((torch.linalg.eigvalsh(bend) < -_AFFINE * bend.abs().max()).any()):
        raise UsageError(f"regret: the drawn losses of {objective.name} have no least sum")
    return best


class Regret(Protocol):
    """``regret``: ``sum_t f_t(w_t) - min_u sum_t f_t(u)`` for the losses that were drawn.

    Every path is followed where the law is finite and the run short. Otherwise runs are sampled.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"regret"})

    @np.errstate(over="ignore", invalid="ignore")
    def measure(self, experiment: Experiment) -> Measurement:
        """The regret of the experiment's runs.

        Raises
        ------
        UsageError
            If a round takes several steps, or the losses have no best fixed point in closed form.
        """
        objective, rule, T = experiment.objective, experiment.rule, experiment.rounds
        starts = round_starts(rule, T, longest=T + 1)
        if starts is None or len(starts) != T:
            raise UsageError(f"regret: a round of {rule.name} is more than one step")
        if weights_of(rule.sampler, objective) is not None:
            raise UsageError(f"regret: {rule.name} weighs its samples, which are other losses")
        every = None if experiment.run_by_run else _every_path(experiment, rule)
        replicas = experiment.affordable(experiment.steps * experiment.batch_size)
        if every is not None:
            replicas = len(every[1])
        seen: list[list[np.ndarray]] = [[] for _ in range(T)]  # of each step, some rows at a time

        def watch(samples: Drawn) -> np.ndarray:
            draws = samples.draws
            if every is not None:
                steps = slice(samples.first, samples.first + len(draws))
                draws = every[0][steps, samples.rows]
            for k, draw in enumerate(draws):
                seen[samples.first + k].append(draw.copy())
            return np.ascontiguousarray(draws, samples.draws.dtype)

        out = run(objective, rule, rounds=T, batch_size=experiment.batch_size, replicas=replicas,
                  seed=experiment.run_seed, record=("w",), at=range(T), remap=watch,
                  compile=False, progress=False)  # fmt: skip
        samples = torch.from_numpy(np.stack([np.concatenate(parts) for parts in seen]))
        with torch.no_grad():
            best = best_in_hindsight(objective, samples)
            paid = _losses(objective, torch.from_numpy(out["w"]), samples)
            least = _losses(objective, best.expand(T, -1, -1), samples)
        found = (paid - least).sum(0)
        scale = 2 * T * value_scale(objective, paid, least)
        law: Law = "samples"
        if experiment.deterministic:
            law, found = "arithmetic", found[:1]
        elif every is not None:
            law, found = "law", np.atleast_1d(found @ every[1])
        return Measurement({"regret": found[None, :]}, law, scales={"regret": scale})


def _losses(objective: Objective, w: Tensor, samples: Tensor) -> np.ndarray:
    """``f_t(w_t)`` of each step and run, shape (T, R)."""
    rows = [
        objective.batch_value(at.contiguous(), draw) for at, draw in zip(w, samples, strict=True)
    ]
    return torch.stack(rows).numpy()


def _every_path(experiment: Experiment, rule: UpdateRule) -> tuple[np.ndarray, np.ndarray] | None:
    """Every path's mini-batches, shape (T, paths, B, ...), and their chances."""
    objective, T, sampler = experiment.objective, experiment.rounds, rule.sampler
    count = sampler.count(objective, experiment.batch_size)
    if rule.draws or not T * np.log(count) <= np.log(_PATHS) * (1 + _AFFINE):
        return None
    law = sampler.batches(objective, experiment.batch_size)
    if law is None:
        return None
    picks = np.indices((len(law[1]),) * T).reshape(T, -1)
    return law[0][picks], law[1][picks].prod(0)
