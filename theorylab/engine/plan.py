"""When a run records: given rounds, or random ones in equal strata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from theorylab.engine.streams import BLOCK, TIMES, blocks, generator
from theorylab.errors import UsageError

__all__ = ["Stratified", "plan"]


@dataclass(frozen=True)
class Stratified:
    """Record each replica at ``count`` random rounds, one in each of ``count`` equal strata.

    Rounds ``offset .. offset + span - 1`` are cut into equal strata, so the mean over the
    recorded rounds is an unbiased estimate of the mean over all of them, at a fraction of its
    cost. ``span`` is the whole run by default.
    """

    count: int
    offset: int = 0
    span: int | None = None


def plan(
    at: Sequence[int] | Stratified | None, horizon: int, replicas: int, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The round of each record, increasing, shape ``(m, R)`` or ``(m, 1)`` where all agree.

    And the order that made them increasing, ``None`` where they were.

    Raises
    ------
    UsageError
        If one is outside the run.
    """
    if at is None:
        return np.full((1, 1), horizon), None
    if isinstance(at, Stratified):
        span = horizon if at.span is None else at.span
        if not 0 <= at.offset <= at.offset + span <= horizon + 1 or at.count < 1 or span < 1:
            raise UsageError(f"run: {at} does not fit in rounds 0 to {horizon}")
        count = min(at.count, span)
        edges = np.linspace(0, span, count + 1)
        draws = np.concatenate(
            [generator(seed, b, TIMES).random((count, BLOCK)) for b in range(blocks(replicas))],
            axis=1,
        )[:, :replicas]
        # The floor of a uniform real in [0, span) is a uniform round, stratum by stratum.
        times = edges[:-1, None] + draws * np.diff(edges)[:, None]
        return at.offset + np.minimum(np.floor(times).astype(np.int64), span - 1), None
    times = np.atleast_1d(np.asarray(at))
    if times.dtype.kind not in "iu" or times.min() < 0 or times.max() > horizon:
        raise UsageError(f"run: records must be integers between 0 and {horizon}, got {at}")
    times = times.astype(np.int64)
    order = None if (np.diff(times) >= 0).all() else np.argsort(times, kind="stable")
    return (times if order is None else times[order])[:, None], order
