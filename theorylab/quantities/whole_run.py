"""Quantities of a whole run: time averages, extremes and the end, one number a replica."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import sympy as sp

from bounds.notation import ell
from bounds.statement import Algorithm
from theorylab.engine.driver import Stratified, run
from theorylab.errors import UsageError
from theorylab.method.rule import norm
from theorylab.quantities import moments
from theorylab.quantities.enumeration import Paths, enumerate_paths
from theorylab.quantities.protocol import (
    LOST,
    Experiment,
    Measurement,
    Protocol,
    square_scale,
    value_scale,
)
from theorylab.quantities.ranges import certified_ranges
from theorylab.quantities.runs import every_round

__all__ = ["WholeRun"]

_STRATA = 32
_EPS = float(np.finfo(float).eps)


class WholeRun(Protocol):
    """Runs the algorithm for T rounds.

    A run without randomness is one path, a run on a small finite law all its paths: both are
    followed at every t. Otherwise averages over time are estimated without bias, at random times.
    """

    provides: ClassVar[frozenset[str]] = frozenset(
        {
            "mean_gradient_norm_squared", "mean_next_gradient_norm_squared", "mean_gradient_norm",
            "min_gradient_norm_squared", "first_gradient_norm_squared",
            "final_gradient_norm_squared", "final_suboptimality", "total_decrease",
            "final_displacement_squared", "first_distance_to_minimizer_squared",
            "final_distance_to_minimizer_squared", "buffer_norm",
            "matched_sgd_mean_gradient_norm_squared",
        }
    )  # fmt: skip

    @np.errstate(over="ignore", invalid="ignore")  # a run may diverge
    def measure(self, experiment: Experiment) -> Measurement:
        names, T = experiment.measured, experiment.rounds
        means = not (experiment.deterministic or experiment.run_by_run)
        if means and (exact := moments.whole_run(experiment)) is not None:
            return exact
        paths = enumerate_paths(experiment) if means else None
        every = not means or paths is not None
        found: dict[str, np.ndarray] = {}
        heights = 0.0
        if names & {"mean_gradient_norm_squared", "mean_gradient_norm"}:
            norms = _grown(self._record(experiment, paths, "gradient_norm", _times(T, 0, every)))
            found["mean_gradient_norm"] = norms.mean(0)
            found["mean_gradient_norm_squared"] = (norms**2).mean(0)
        if "mean_next_gradient_norm_squared" in names:
            squares = self._record(experiment, paths, "gradient_norm_squared", _times(T, 1, every))
            found["mean_next_gradient_norm_squared"] = _grown(squares).mean(0)
        if "min_gradient_norm_squared" in names:
            squares = self._record(experiment, paths, "gradient_norm_squared", range(T + 1))
            found["min_gradient_norm_squared"] = squares.min(0)
        if "buffer_norm" in names:
            buffers = self._record(experiment, paths, "state.u", range(T + 1))
            found["buffer_norm"] = np.fmax.reduce(buffers)  # of the steps before an overflow
        if names & {"first_gradient_norm_squared", "final_gradient_norm_squared"}:
            ends = self._record(experiment, paths, "gradient_norm_squared", (0, T))
            found["first_gradient_norm_squared"], found["final_gradient_norm_squared"] = ends
        if names & {"final_suboptimality", "total_decrease"}:
            ends = self._record(experiment, paths, "value", (0, T))
            lowest = experiment.objective.minimum()
            found["total_decrease"] = ends[0] - ends[1]
            found["final_suboptimality"] = ends[1] - lowest
            heights = 2 * value_scale(experiment.objective, ends, np.array(lowest))
        if "final_displacement_squared" in names:
            moved = self._record(experiment, paths, "distance", (T,))[0]
            found["final_displacement_squared"] = moved**2
        to_minimizer = {"first_distance_to_minimizer_squared": 0,
                        "final_distance_to_minimizer_squared": T}  # fmt: skip
        for name in names & set(to_minimizer):
            target = experiment.objective.minimizer()
            if target is None:
                raise UsageError(f"{experiment.objective.name} knows no minimizer")
            w = self._record(experiment, paths, "w", (to_minimizer[name],))[0]
            found[name] = ((w - target.numpy()) ** 2).sum(-1)
        if "matched_sgd_mean_gradient_norm_squared" in names:
            found["matched_sgd_mean_gradient_norm_squared"] = self._matched(experiment, every)
        scales = _scales(experiment, {k: found[k] for k in names}, heights)
        # A bound on the buffer holds for every run, not on average.
        surely = names == {"buffer_norm"}
        shape = (-1, 1) if surely else (1, -1)
        values = {k: found[k].reshape(shape) for k in names}
        if experiment.deterministic:
            return Measurement(values, "arithmetic", scales=scales)
        if surely:  # of sampled runs, others may go further
            below = frozenset(names if paths is None else ())
            return Measurement(values, "arithmetic", scales=scales, from_below=below)
        if paths is not None:
            mean = {k: v @ paths.weights[:, None] for k, v in values.items()}
            return Measurement(mean, "law", scales=scales)
        ranges = certified_ranges(experiment.objective, names)
        return Measurement(values, "samples", scales=scales, ranges=ranges)

    def _matched(self, experiment: Experiment, every: bool) -> np.ndarray:
        """SGD at ``1/(2 ell)`` for as many steps, on the same batches."""
        if "ell" not in experiment.values:
            raise UsageError(f"{experiment.objective.name} certifies no ell for SGD's step")
        steps = experiment.rounds * int(getattr(experiment.rule, "S", 1))
        values = {k: v for k, v in experiment.values.items() if k not in ("S", "theta", "eta")}
        sgd = replace(
            experiment,
            statement=replace(
                experiment.statement,
                algorithm=Algorithm(
                    "sgd",
                    {"eta": 1 / (2 * ell)},
                    sp.Integer(steps),
                    sp.Integer(experiment.batch_size),
                ),
                prescription={},
            ),
            values=values,
        )
        paths = enumerate_paths(sgd) if every and not experiment.deterministic else None
        at = _times(steps, 1, every or sgd.deterministic)
        replicas = _replicas(experiment)  # as many as the run it stands beside
        return _grown(self._record(sgd, paths, "gradient_norm_squared", at, replicas)).mean(0)

    def _record(
        self, experiment: Experiment, paths: Paths | None, name: str,
        at: Sequence[int] | Stratified, replicas: int | None = None,
    ) -> np.ndarray:  # fmt: skip
        if not isinstance(at, Stratified):
            if experiment.deterministic:
                return every_round(experiment, name, at)
            if paths is not None:
                return paths.record(name, at)
        # The same seed each time: every quantity is of the same runs.
        out = run(experiment.objective, experiment.rule, rounds=experiment.rounds,
                  batch_size=experiment.batch_size, replicas=replicas or _replicas(experiment),
                  seed=experiment.run_seed, record=(name,), at=at, progress=False)  # fmt: skip
        return out[name]


def _grown(norms: np.ndarray) -> np.ndarray:
    """A run that left the numbers behind passed gradients beyond all of them: so is their mean.

    Where it would be now is unknown, and a single late value or a minimum says nothing.
    """
    return np.where(np.isnan(norms), np.inf, norms)


def _scales(
    experiment: Experiment, found: Mapping[str, np.ndarray], heights: float
) -> dict[str, np.ndarray | float]:
    """The scales whose loss is what rounding does to the quantities; ``heights`` is that of F.

    Iterates far from the origin are rounded at every step. A run that contracts forgets that, but
    no sooner than it forgets its start, in some T steps: so it gathers T such errors at most.
    """
    objective, known = experiment.objective, experiment.objective.constants()
    ends = [objective.start, objective.minimizer()]
    size = sum(float(norm(w)) for w in ends if w is not None)
    blur = (LOST + _EPS * experiment.steps) * size
    bend = float(known.get("ell", known.get("L", 0.0)))
    felt = bend * blur + LOST * float(known.get("G", 0.0))  # by a gradient
    scales: dict[str, np.ndarray | float] = {}
    for name, values in found.items():
        finite = np.abs(values[np.isfinite(values)])
        length = float(np.sqrt(finite.mean())) if finite.size else 0.0
        if name in ("total_decrease", "final_suboptimality"):
            steepest = np.sqrt(2 * bend) * length  # at that height above the minimum
            scales[name] = heights + blur * (steepest + bend * blur) / LOST
        elif name == "mean_gradient_norm":
            scales[name] = felt / LOST
        elif name.endswith("gradient_norm_squared"):
            scales[name] = square_scale(length, felt)
        elif name != "buffer_norm":
            scales[name] = square_scale(length, blur)
    return scales


def _replicas(experiment: Experiment) -> int:
    return experiment.affordable(experiment.steps * experiment.batch_size)


def _times(rounds: int, offset: int, every: bool) -> Sequence[int] | Stratified:
    if every or rounds <= _STRATA:
        return range(offset, offset + rounds)
    return Stratified(_STRATA, offset, rounds)
