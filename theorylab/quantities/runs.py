"""Runs that measurements share: the last ones are kept; runs without randomness, whole."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from theorylab.engine.driver import Stratified, run
from theorylab.engine.metering import metered, spend
from theorylab.engine.recorders import Passes, recorders
from theorylab.engine.recording import Record, name_of
from theorylab.method.rule import UpdateRule
from theorylab.problem.objective import Objective
from theorylab.quantities.protocol import Experiment

__all__ = ["every_round", "recorded_run"]

_HELD = 1 << 22  # numbers of iterates that are held at once
_RUNS, _NUMBERS = 64, 1 << 16  # runs that are kept, of so many recorded numbers at most


def recorded_run(
    experiment: Experiment, what: Sequence[Record], at: Sequence[int] | Stratified, rounds: int,
    replicas: int,
) -> dict[Record, np.ndarray]:  # fmt: skip
    """What some rounds of the experiment's rule record, shape ``(times, replicas)`` each.

    Points of a domain that differ in what no run sees, and forms of one theorem, ask for the same
    run: it is made once, and its work counts each time.
    """
    objective, rule = experiment.objective, experiment.rule
    times = at if isinstance(at, Stratified | range) else tuple(at)
    width = sum(objective.dim if name_of(item) in ("w", "output.w") else 1 for item in what)
    size = width * replicas * (times.count if isinstance(times, Stratified) else len(times))
    made = _run if size <= _NUMBERS and _hashable(rule) else _run.__wrapped__
    # With one outcome of every draw it is one run, whatever the seed.
    law = objective.outcomes() if experiment.deterministic else None
    single = law is not None and len(law[0]) == 1
    found, work = made(objective, rule, rounds, experiment.batch_size, replicas,
                       0 if single else experiment.run_seed, tuple(what), times)  # fmt: skip
    spend(0, work)
    return {item: table.copy() for item, table in found.items()}


@lru_cache(maxsize=_RUNS)
def _run(
    objective: Objective, rule: UpdateRule, rounds: int, batch_size: int, replicas: int, seed: int,
    what: tuple[Record, ...], at: Sequence[int] | Stratified,
) -> tuple[dict[Record, np.ndarray], int]:  # fmt: skip
    """What is recorded, and the work that it takes."""
    with metered() as meter:
        out = run(objective, rule, rounds=rounds, batch_size=batch_size, replicas=replicas,
                  seed=seed, record=what, at=at, compile=False, progress=False)  # fmt: skip
    return {item: out[name_of(item)] for item in what}, meter.work


def _hashable(rule: UpdateRule) -> bool:
    try:
        hash(rule)
    except TypeError:  # one of its fields is a list, say
        return False
    return True


def every_round(
    experiment: Experiment, what: Sequence[Record], at: Sequence[int]
) -> dict[Record, np.ndarray]:
    """Recorded quantities of the one run there is, at each of the rounds ``at``.

    The run is repeated for every window of rounds whose iterates fill the memory that is allowed,
    up to the window's end.

    Parameters
    ----------
    experiment : Experiment
        Deterministic.
    what : sequence of str or Recorder
        As :func:`theorylab.run` records them.
    at : sequence of int
        Increasing.

    Returns
    -------
    mapping to ndarray, shape (len(at), 1)
        ``"w"`` adds an axis of length d.
    """
    objective = experiment.objective
    window = max(1, _HELD // objective.dim)
    known = {item: recorders().get(item) if isinstance(item, str) else item for item in what}
    # Of the iterate alone: from all iterates together.
    of_w = {
        item: recorder for item, recorder in known.items()
        if recorder is not None and not (recorder.whole or recorder.name.startswith("output."))
    }  # fmt: skip
    others = [item for item in what if item not in of_w]
    record = [*others, *(["w"] if of_w and "w" not in others else [])]
    parts: dict[Record, list[np.ndarray]] = {item: [] for item in what}
    for first in range(0, len(at), window):
        rounds = at[first : first + window]
        out = recorded_run(experiment, record, rounds, int(rounds[-1]), 1)
        for item in others:
            parts[item].append(out[item])
        if of_w:
            points = out["w"][:, 0]
            # Where the run has come to rest, one point stands for all.
            bits = points.view(f"i{points.itemsize}")
            moves = np.flatnonzero((bits[1:] != bits[:-1]).any(1))
            apart = int(moves.max(initial=-1)) + 2
            here = Passes(objective, torch.from_numpy(points[:apart]))
            which = np.minimum(np.arange(len(points)), apart - 1)
            with torch.inference_mode():
                for item, recorder in of_w.items():
                    parts[item].append(recorder.at(here).numpy()[which, None])
    return {item: np.concatenate(tables) for item, tables in parts.items()}
