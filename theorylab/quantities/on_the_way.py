"""Shorter runs, read on the way of a longer one: they are its first rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bounds.path import PathOf
from bounds.symbol import Measured
from theorylab.engine.recorders import recorders
from theorylab.problem.objective import FiniteSum, Objective
from theorylab.quantities.protocol import GRADIENTS_PER_STEP, Experiment, Range
from theorylab.quantities.ranges import path_range
from theorylab.quantities.recorded import Recordings, numbers_on_the_way

__all__ = ["ends_read", "quantities_at", "ranges_at", "thinned"]

_ENDS = 16  # of a sampled run, at most
_BESIDE = 1 / 32  # of what the run takes, for what is recorded at earlier ends alone


def thinned(asked: Sequence[int], run: float, record: float) -> tuple[int, ...]:
    """A few of the horizons, evenly among them, whose records cost next to nothing beside a run.

    >>> thinned(range(1, 65), 1e9, 1.0), thinned(range(1, 65), 100.0, 1.0)
    ((1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 41, 45, 49, 53, 57, 61), (1, 23, 45))
    """
    count = int(min(_ENDS, _BESIDE * run / record))
    return tuple(asked[:: -(-len(asked) // count)]) if asked and count else ()


def ends_read(experiment: Experiment, known: bool) -> tuple[int, ...]:
    """The horizons at which a run is read: all where it is ``known`` exactly.

    A sampled run is read at a few, spread evenly among them; where that takes records of their
    own, at no more than cost next to nothing beside its steps.
    """
    asked, quantities = experiment.horizons, experiment.statement.measured
    if not asked or any(q.path is None for q in quantities):
        return ()
    if known:
        return asked
    single = [part for q in quantities if q.path for part in q.path.parts
              if part.reduce == "at" and part.times != "0"]  # fmt: skip
    record = sum(GRADIENTS_PER_STEP + _gradients(experiment.objective, x) for x in single)
    step = GRADIENTS_PER_STEP + experiment.batch_size
    return thinned(asked, experiment.steps * step if single else math.inf, record or 1)


def quantities_at(
    ends: Sequence[int], quantities: Sequence[Measured], recorded: Recordings
) -> dict[str, np.ndarray]:
    """What each quantity were in each run, had it ended there: shape ``(ends, runs)``."""
    return {q.name: numbers_on_the_way(q, recorded, ends) for q in quantities if ends}


def ranges_at(
    ends: Sequence[int], quantities: Sequence[Measured], objective: Objective,
    known: dict[str, Range],
) -> dict[str, Range]:  # fmt: skip
    """The certified range of each quantity at each end, from those at the last: a sum's grows."""
    found = dict(known)
    for q in quantities:
        assert q.path is not None
        if q.name in known and any(part.reduce == "sum" for part in q.path.parts):
            rows = [path_range(objective, q.path, end) for end in ends]
            low, high = np.array(rows, dtype=float).T[:, :, None]
            found[q.name] = low, high
    return found


def _gradients(objective: Objective, part: PathOf) -> int:
    """What a record costs in sample gradients."""
    recorder = recorders().get(part.record.removeprefix("output."))
    passes = recorder is not None and (recorder.uses or recorder.parameters)
    return objective.n if passes and isinstance(objective, FiniteSum) else 1
