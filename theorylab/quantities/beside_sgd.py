"""A rule beside SGD on the same batches: for claims that it is SGD at some setting."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from theorylab.engine.step import eager_step
from theorylab.method.rule import Drawn
from theorylab.method.sgd import SGD
from theorylab.problem.oracle import MiniBatch
from theorylab.quantities.protocol import Experiment, Measurement, Protocol

__all__ = ["BesideSGD"]

_STEPS, _ROWS = 30, 4


class BesideSGD(Protocol):
    """``distance_to_sgd``: how far a rule comes from SGD with its ``step``. Exact.

    The rule's own uniform draws are all 0, so that whatever has a probability happens. The steps
    are those before SGD itself leaves the numbers: no statement says how many there are.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"distance_to_sgd"})

    def measure(self, experiment: Experiment) -> Measurement:
        objective, rule = experiment.objective, experiment.rule
        rng = np.random.default_rng(experiment.run_seed)
        samples = torch.from_numpy(objective.draw(rng, _STEPS, _ROWS, experiment.batch_size))
        mask = rule.restarts(rng, 0, _STEPS, _ROWS)
        step = eager_step(objective, rule)
        sgd = SGD(eta=experiment.parameter("distance_to_sgd", "step"))
        plain = eager_step(objective, sgd)
        farthest = size = np.zeros(_ROWS)
        steps = 0
        with torch.no_grad():
            w = v = objective.start.expand(_ROWS, -1).contiguous()
            state, none = (r.init(w, MiniBatch(objective)) for r in (rule, sgd))
            for t in range(_STEPS):
                draw = Drawn(
                    torch.tensor(t + 1.0, dtype=w.dtype),
                    True if mask is None else torch.from_numpy(mask[t][:, None]),
                    {spec.name: torch.zeros_like(w) for spec in rule.draws},
                )
                past = samples[: t + 1].flip(0)[: rule.lags].unbind(0)
                w, state = step(w, past, state, draw)
                v, _ = plain(v, past, none, draw)
                if not bool(torch.isfinite(v).all()):
                    break
                steps += 1
                farthest = np.maximum(farthest, (w - v).norm(dim=-1).numpy())
                size = np.maximum(size, (w.norm(dim=-1) + v.norm(dim=-1)).numpy())
        return Measurement(
            {"distance_to_sgd": farthest[:, None]},
            law="arithmetic",
            scales={"distance_to_sgd": size[:, None]},
            from_below=frozenset(() if steps else {"distance_to_sgd"}),
        )
