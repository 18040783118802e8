"""Quantities of a whole run: time averages, extremes and the end, one number a replica."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, final

import numpy as np
import sympy as sp

from bounds.notation import ell
from bounds.path import PathOf
from bounds.statement import Algorithm
from bounds.symbol import Measured
from bounds.units import Units
from theorylab.engine.driver import Stratified
from theorylab.engine.recorders import recorders
from theorylab.engine.recording import Record
from theorylab.errors import UsageError
from theorylab.method.rule import norm, round_starts
from theorylab.quantities import affine_steps, moments
from theorylab.quantities.enumeration import Paths, enumerate_paths
from theorylab.quantities.on_the_way import ends_read, quantities_at, ranges_at
from theorylab.quantities.protocol import (
    LOST,
    Experiment,
    Law,
    Measurement,
    Protocol,
    Range,
    square_scale,
    value_scale,
)
from theorylab.quantities.ranges import certified_ranges, path_range
from theorylab.quantities.recorded import Recorded, grown, number_of
from theorylab.quantities.runs import every_round, recorded_run

__all__ = ["WholeRun"]

_STRATA = 32
_EPS = float(np.finfo(float).eps)
_VALUE, _SLOPE, _LENGTH = Units(F=1), Units(F=1, X=-1), Units(X=1)
_SQUARED_SLOPE, _SQUARED_LENGTH = Units(F=2, X=-2), Units(X=2)


class WholeRun(Protocol):
    """Runs the algorithm for T rounds and reads what the quantities' paths declare.

    A run without randomness is one path, a run on a small finite law all its paths: both are
    followed at every t. A claim on every run then speaks of each path, however unlikely.
    Otherwise averages over time are estimated without bias, at random times.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"matched_sgd_mean_gradient_norm_squared"})

    def measures(self, quantities: frozenset[Measured]) -> bool:
        return all(q.path is not None or q.name in self.provides for q in quantities)

    @np.errstate(over="ignore", invalid="ignore")  # a run may diverge
    def measure(self, experiment: Experiment) -> Measurement:
        names, T = experiment.measured, experiment.rounds
        declared = {q.name: q for q in experiment.statement.measured if q.path is not None}
        means = not (experiment.deterministic or experiment.run_by_run)
        for moment in (moments.whole_run, affine_steps.whole_run) if means else ():
            if (exact := moment(experiment)) is not None:
                return exact
        # Of a claim on every run each path is an instance; of others, their mean.
        surely = experiment.statement.claim.mode == "every run" and not experiment.deterministic
        paths = enumerate_paths(experiment) if means or surely else None
        apart = surely and paths is not None
        every = not means or paths is not None
        found: dict[str, np.ndarray] = {}
        scales: dict[str, np.ndarray | float] = {}
        ranges: dict[str, Range] = {}
        ends = ends_read(experiment, experiment.deterministic or paths is not None)
        recorded = self._recordings(experiment, paths, every, ends)
        rounding = _Rounding(experiment)
        for name, quantity in declared.items():
            found[name] = number_of(quantity, recorded, T)
            assert quantity.path is not None
            parts = quantity.path.parts
            numbers = [recorded[name, part].of(part.rounds(T)) for part in parts]
            used = [_what(experiment, quantity, part) for part in parts]
            scale = rounding.scale(quantity, found[name], numbers, used, apart)
            if scale is not None:
                scales[name] = scale
            certified = path_range(experiment.objective, quantity.path, T)
            if certified is not None:
                ranges[name] = certified
        for name in names - set(declared):
            found[name] = self._matched(experiment, every)
            scales[name] = rounding.of_squares(found[name])
        ranges |= certified_ranges(experiment.objective, names - set(declared))
        # A bound on the largest of all rounds holds for every run, not on average.
        largest = all(q.path is not None and q.path.reduce == "max"
                      for q in experiment.statement.measured)  # fmt: skip
        shape = (-1, 1) if largest or apart else (1, -1)
        values = {k: found[k].reshape(shape) for k in names}
        read = quantities_at(ends, [*declared.values()], recorded)
        law: Law = "samples"
        if experiment.deterministic or apart or largest:
            law, ranges = "arithmetic", {}
        elif paths is not None:
            law, ranges, weights = "law", {}, paths.weights[:, None]
            values, read = ({k: v @ weights for k, v in table.items()} for table in (values, read))
        if largest:
            read = {k: v.max(-1, keepdims=True) for k, v in read.items()}
        sampled = paths is None and not experiment.deterministic
        below = frozenset(names if largest and sampled else ())  # others may go further
        earlier = None
        if ends:  # each a row, the runs beside each other in it
            allowed = ranges_at(ends, [*declared.values()], experiment.objective, ranges)
            earlier = Measurement(read, "samples" if apart and not largest else law,
                                  ranges=allowed, from_below=below, ends=ends)  # fmt: skip
        return Measurement(values, law, scales=scales, ranges=ranges, from_below=below,
                           earlier=earlier)  # fmt: skip

    def _recordings(
        self, experiment: Experiment, paths: Paths | None, every: bool, earlier: Sequence[int]
    ) -> dict[tuple[str, PathOf], Recorded]:
        """The record of each part of a quantity's path."""
        T = experiment.rounds
        parts = {
            (q.name, part): _what(experiment, q, part)
            for q in experiment.statement.measured if q.path for part in q.path.parts
        }  # fmt: skip
        ends: dict[Record, set[int]] = {}
        for (_, part), what in parts.items():
            if part.reduce == "at":
                for end in (T, *earlier):
                    ends.setdefault(what, set()).update(part.rounds(end))
        times: dict[tuple[str, PathOf], Sequence[int] | Stratified] = {}
        together: dict[Sequence[int] | Stratified, dict[Record, None]] = {}
        for (name, part), what in parts.items():
            at: Sequence[int] | Stratified = part.rounds(T)
            if part.reduce == "at":
                at = tuple(sorted(ends[what]))
            elif part.reduce in ("mean", "sum"):
                at = _times(part.rounds(T), every)
            times[name, part] = at
            together.setdefault(at, {})[what] = None
        # What is recorded at the same times is of one run, and of one pass over the data.
        runs = {at: self._record(experiment, paths, [*whats], at) for at, whats in together.items()}
        return {
            (name, part): Recorded(at, runs[at][parts[name, part]])
            for (name, part), at in times.items()
        }

    def _matched(self, experiment: Experiment, every: bool) -> np.ndarray:
        """SGD at ``1/(2 ell)`` for as many steps, on the same batches."""
        if "ell" not in experiment.values:
            raise UsageError(f"{experiment.objective.name} certifies no ell for SGD's step")
        longest = 256 + 2 * math.ceil(experiment.steps)
        starts = round_starts(experiment.rule, experiment.rounds, longest)
        steps = round(experiment.steps) if starts is None else len(starts)
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
        )
        paths = enumerate_paths(sgd) if every and not experiment.deterministic else None
        at = _times(range(1, steps + 1), every or sgd.deterministic)
        replicas = _replicas(experiment)  # as many as the run it stands beside
        what = "gradient_norm_squared"
        return grown(self._record(sgd, paths, [what], at, replicas)[what]).mean(0)

    def _record(
        self, experiment: Experiment, paths: Paths | None, what: Sequence[Record],
        at: Sequence[int] | Stratified, replicas: int | None = None,
    ) -> Mapping[Record, np.ndarray]:  # fmt: skip
        if not isinstance(at, Stratified):
            if experiment.deterministic:
                return every_round(experiment, what, at)
            if paths is not None:
                return {item: paths.record(item, at) for item in what}
        # The same seed each time: every quantity is of the same runs.
        return recorded_run(experiment, what, at, experiment.rounds,
                            replicas or _replicas(experiment))  # fmt: skip


def _what(experiment: Experiment, quantity: Measured, part: PathOf) -> Record:
    """What is recorded for a part: its recorder, with the quantity's parameters bound."""
    recorder = recorders().get(part.record.removeprefix("output."))
    if recorder is None or not recorder.parameters:
        return part.record
    unknown = set(recorder.parameters) - set(quantity.parameters)
    if unknown:
        raise UsageError(f"{quantity.name}: its recorder needs {', '.join(sorted(unknown))}, which "
                         "are no parameters of it")  # fmt: skip
    values = {name: experiment.parameter(quantity.name, name) for name in recorder.parameters}
    return replace(recorder.bind(**values), name=part.record)


@final
class _Rounding:
    """The scales whose loss is what rounding does to quantities, by their units.

    Iterates far from the origin are rounded at every step. A run that contracts forgets that, but
    no sooner than it forgets its start, in some T steps: so it gathers T such errors at most.
    """

    def __init__(self, experiment: Experiment) -> None:
        objective, known = experiment.objective, experiment.objective.constants()
        ends = [objective.start, objective.minimizer()]
        size = sum(float(norm(w)) for w in ends if w is not None)
        self.objective, self.horizon = objective, experiment.rounds
        self.blur = (LOST + _EPS * experiment.steps) * size
        self.bend = float(known.get("ell", known.get("L", 0.0)))
        self.felt = self.bend * self.blur + LOST * float(known.get("G", 0.0))  # by a gradient
        # What no distance to the minimum makes smaller: the slope of a function with kinks, of a
        # simple part, and at a minimizer where a set or a simple part holds against it.
        self.slope = 0.0 if self.bend else float(known.get("G", 0.0))
        if objective.setting:
            self.slope += objective.simple_slope(size)
            best = objective.minimizer()
            if best is not None:
                self.slope += float(norm(objective.gradient(best.unsqueeze(0))))

    def scale(
        self, quantity: Measured, found: np.ndarray, recorded: Sequence[np.ndarray],
        records: Sequence[Record], apart: bool,
    ) -> np.ndarray | float | None:  # fmt: skip
        """Of one quantity and the records that it is made of; ``None`` where none is known.

        One scale for all runs, or with ``apart`` one for each, shape ``(runs, 1)``.
        """
        assert quantity.path is not None
        used = [
            recorders().get(r.removeprefix("output.")) if isinstance(r, str) else r for r in records
        ]
        stretch = max((r.stretch(self.objective) for r in used if r and r.stretch), default=1.0)
        if quantity.path.reduce == "sum":
            stretch *= len(quantity.path.rounds(self.horizon))
        blur, felt = stretch * self.blur, stretch * self.felt
        length = np.sqrt(np.abs(found))[:, None] if apart else _length(found)
        own = [r.misses(self.objective, self.blur, self.felt) for r in used if r]
        missed = [stretch * x for x in own if x is not None]
        if missed:
            blur = felt = sum(missed)
        if quantity.units == _VALUE:
            origins = [r.origin(self.objective) if r and r.origin else 0.0 for r in used]
            values = [np.asarray(x) + x0 for x, x0 in zip(recorded, origins, strict=True)]
            start = self.objective.value(self.objective.start.unsqueeze(0)).numpy()
            heights = 2 * value_scale(self.objective, start, np.array(origins), *values)
            # At that height above the minimum.
            steepest = np.sqrt(2 * self.bend) * length + self.slope
            extra = blur if missed else blur * (steepest + self.bend * self.blur)
            return stretch * heights + extra / LOST
        if quantity.units == _SLOPE:
            return felt / LOST
        if quantity.units == _LENGTH:
            return blur / LOST
        if quantity.units == _SQUARED_SLOPE:
            return square_scale(length, felt)
        return square_scale(length, blur) if quantity.units == _SQUARED_LENGTH else None

    def of_squares(self, found: np.ndarray) -> np.ndarray:
        """Of mean squared gradients."""
        return square_scale(_length(found), self.felt)


def _length(found: np.ndarray) -> float:
    finite = np.abs(found[np.isfinite(found)])
    return float(np.sqrt(finite.mean())) if finite.size else 0.0


def _replicas(experiment: Experiment) -> int:
    return experiment.affordable(experiment.steps * experiment.batch_size)


def _times(rounds: range, every: bool) -> Sequence[int] | Stratified:
    if every or len(rounds) <= _STRATA:
        return rounds
    return Stratified(_STRATA, rounds.start, len(rounds))
