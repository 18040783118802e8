"""Runs without randomness: every round is recorded, whatever the length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from theorylab.engine.driver import run
from theorylab.engine.recorders import Passes, recorders
from theorylab.engine.recording import Record, name_of
from theorylab.quantities.protocol import Experiment

__all__ = ["every_round"]

_HELD = 1 << 22  # numbers of iterates that are held at once


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
    objective, rule = experiment.objective, experiment.rule
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
        out = run(objective, rule, rounds=int(rounds[-1]), batch_size=experiment.batch_size,
                  replicas=1, seed=experiment.run_seed, record=record, at=rounds,
                  compile=False, progress=False)  # fmt: skip
        for item in others:
            parts[item].append(out[name_of(item)])
        if of_w:
            here = Passes(objective, torch.from_numpy(out["w"][:, 0]))
            with torch.inference_mode():
                for item, recorder in of_w.items():
                    parts[item].append(recorder.at(here).numpy()[:, None])
    return {item: np.concatenate(tables) for item, tables in parts.items()}
