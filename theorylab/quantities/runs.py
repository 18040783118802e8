"""Runs without randomness: every round is recorded, whatever the length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from theorylab.engine.driver import run
from theorylab.engine.recorders import recorders
from theorylab.engine.recording import Record, name_of
from theorylab.quantities.protocol import Experiment

__all__ = ["every_round"]

_HELD = 1 << 22  # numbers of iterates that are held at once


def every_round(experiment: Experiment, what: Record, at: Sequence[int]) -> np.ndarray:
    """A recorded quantity of the one run there is, at each of the rounds ``at``.

    The run is repeated for every window of rounds whose iterates fill the memory that is allowed,
    up to the window's end.

    Parameters
    ----------
    experiment : Experiment
        Deterministic.
    what : str or Recorder
        As :func:`theorylab.run` records it.
    at : sequence of int
        Increasing.

    Returns
    -------
    ndarray, shape (len(at), 1)
        ``"w"`` adds an axis of length d.
    """
    objective, rule = experiment.objective, experiment.rule
    window = max(1, _HELD // objective.dim)
    recorder = recorders().get(what) if isinstance(what, str) else what
    if recorder is not None and (recorder.whole or recorder.name.startswith("output.")):
        recorder = None
    parts = []
    for first in range(0, len(at), window):
        rounds = at[first : first + window]
        out = run(objective, rule, rounds=int(rounds[-1]), batch_size=experiment.batch_size,
                  replicas=1, seed=experiment.run_seed, record=("w" if recorder else what,),
                  at=rounds, progress=False)  # fmt: skip
        if recorder is None:
            parts.append(out[name_of(what)])
            continue
        w = torch.from_numpy(out["w"][:, 0])
        with torch.inference_mode():
            parts.append(recorder(objective, w).numpy()[:, None])
    return np.concatenate(parts)
