"""A run cut into chunks of consecutive steps, each with its randomness drawn and records placed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from theorylab.engine import streams
from theorylab.engine.recording import Record
from theorylab.engine.streams import BLOCK, RESTARTS, RULE, SAMPLES
from theorylab.errors import UsageError
from theorylab.method.rule import Drawn, UpdateRule
from theorylab.problem.objective import Objective
from theorylab.problem.sampler import Sampler

__all__ = ["Job", "Remap", "Samples", "TimeChunk", "time_chunks"]

DRAW_BYTES = 8 * 2**20  # what a third-level cache holds beside the iterates
_SOME = 512  # steps for whose objects, where torch takes them one by one, the same memory serves


@dataclass(frozen=True)
class Samples:
    """Sample draws on their way into a run, for a ``remap`` to replace.

    Attributes
    ----------
    draws : ndarray, shape (steps, rows, batch_size, ...)
        What was drawn; rows that share a replica's randomness hold equal draws.
    rows : slice
        The rows of the run they belong to.
    first : int
        How many steps of the run came before.
    rounds : ndarray of int, shape (steps, rows) or (steps, 1)
        The round, from 1, that each step belongs to.
    """

    draws: np.ndarray
    rows: slice
    first: int
    rounds: np.ndarray


Remap = Callable[[Samples], np.ndarray]


@dataclass(frozen=True)
class Job:
    """What all rows of a run share.

    ``by_rounds`` says what the
    horizon counts, ``passes`` whether the rule passes over all data in some steps: then rounds are
    counted beside steps, and a step that begins a round is other code than one that does not.
    """

    objective: Objective
    sampler: Sampler
    horizon: int
    by_rounds: bool
    passes: bool
    batch_size: int
    seed: int
    record: tuple[Record, ...]
    copies: int
    remap: Remap | None
    compiled: bool


@dataclass(frozen=True)
class TimeChunk:
    """Some consecutive steps: their samples, rule draws, and which iterates to record.

    ``samples``, ``ticks``, ``restarts`` (unless they are plain, one a step) and ``own`` have an
    axis of steps in front. ``records`` has, for each step before which something is recorded, the
    records (by number) and the rows of each, ``None`` for all. ``slots`` are the records that may
    lie in the chunk, ``steps`` and ``rounds`` how many came before each, 0 for those that do not;
    they have one column where all rows agree. ``ends`` are the steps after which a row's last round
    is over, where rows end apart.
    """

    samples: Tensor
    ticks: Tensor
    restarts: Tensor | Sequence[bool]
    own: Mapping[str, Tensor]
    records: Mapping[int, Sequence[tuple[int, np.ndarray | None]]]
    slots: slice
    steps: np.ndarray
    rounds: np.ndarray
    ends: np.ndarray | None = None

    def draws(self) -> Sequence[Drawn]:
        """What the rule is given, step by step."""
        whens: Sequence[Any]
        whens = self.restarts.unbind(0) if isinstance(self.restarts, Tensor) else self.restarts
        rows = zip(*(table.unbind(0) for table in self.own.values()), strict=True)
        own = [dict(zip(self.own, row, strict=True)) for row in rows]
        return list(map(Drawn, self.ticks.unbind(0), whens, own or [{}] * len(self.ticks)))


def time_chunks(job: Job, rule: UpdateRule, rows: slice, plan: np.ndarray) -> Iterator[TimeChunk]:
    """The chunks of a run of some rows, one after another.

    ``plan`` has the time of each record, increasing from record to record, and one column where
    all rows agree.

    Raises
    ------
    UsageError
        If the samples cannot be drawn so, or a remap gives a negative one.
    """
    objective, horizon, copies = job.objective, job.horizon, job.copies
    size = rows.stop - rows.start
    first_block, blocks = rows.start // copies // BLOCK, streams.blocks(size // copies)
    has_rounds = rule.restarts(np.random.default_rng(0), 0, 1, 1) is not None
    kinds = (SAMPLES, *([RESTARTS] if has_rounds else []), *range(RULE, RULE + len(rule.draws)))
    rngs = {
        kind: [
            streams.generator(job.seed, first_block + b, kind, job.compiled) for b in range(blocks)
        ]
        for kind in kinds
    }
    batches = [job.sampler.stream(objective, rng, BLOCK) for rng in rngs[SAMPLES]]
    dtype = objective.start.dtype
    numbers = torch.empty(0, dtype=dtype).numpy().dtype
    per_coordinate = sum(d.per == "coordinate" for d in rule.draws)

    # Counts have one column where all rows agree, one a row where they do not.
    first, begun = 0, np.zeros(1, dtype=np.int64)
    earliest, latest = plan.min(axis=1), plan.max(axis=1)
    while True:
        batch_size = job.sampler.size(first, job.batch_size)
        one = objective.draw(np.random.default_rng(0), 1, 1, batch_size)
        drawn = max(size, BLOCK)  # whole blocks are
        own_numbers = len(rule.draws) + per_coordinate * objective.dim
        cost = drawn * (one.nbytes + numbers.itemsize * own_numbers + 8)
        span = max(1, DRAW_BYTES // cost)
        if not job.compiled:
            span = min(span, _SOME)
        if job.by_rounds and has_rounds:
            length = min(span, max(64, 2 * horizon))
        else:
            length = min(span, horizon - first)
        length = _alike(job, first, length, batch_size)
        mask = (
            streams.restart_mask(rule, rngs[RESTARTS], first, length, size, copies)
            if has_rounds else None
        )  # fmt: skip
        rounds_of = np.arange(first + 1, first + length + 1)[:, None]
        if mask is not None and (job.by_rounds or job.passes or job.remap is not None):
            rounds_of = _counted(mask, begun)
        finished, ends = False, None
        if job.by_rounds and mask is not None:
            # time_of[j, r]: the step (within this chunk) at which replica r begins round j.
            counted = rounds_of
            column = np.arange(mask.shape[1]) if mask.shape[1] > 1 else 0
            low, high = int(begun.min()), int(counted[-1].max())
            time_of = np.full((high - low + 1, mask.shape[1]), -1, dtype=np.int64)
            when, who = np.divmod(np.flatnonzero(mask), mask.shape[1])
            time_of[counted[when, who] - 1 - low, who] = when
            slots = _between(earliest, latest, low, high)
            asked = plan[slots]
            inside = (asked >= low) & (asked <= high)
            times = np.where(inside, time_of[np.clip(asked - low, 0, high - low), column], -1)
            over = counted[-1] > horizon
            finished = bool(np.all(over))
            if over.any():
                ends = np.where(over, np.argmax(counted > horizon, axis=0), length)
            if finished:
                assert ends is not None
                length = int(ends.max())
                mask = mask[:length]
        else:
            finished = first + length == horizon
            last = first + length - (not finished)  # what comes after the last step included
            slots = _between(earliest, latest, first, last)
            asked = plan[slots]
            times = np.where((asked >= first) & (asked <= last), asked - first, -1)
        records, steps, rounds = _place(times, slots.start, size, first, begun, rounds_of)

        samples = one[:0]
        if length:
            parts = [partial(draw, length, batch_size) for draw in batches]
            samples = streams.side_by_side(parts, size, copies)
        if job.remap is not None and length:
            samples = _remapped(job.remap, Samples(samples, rows, first, rounds_of[:length]))
        if mask is not None and length:
            begun = rounds_of[length - 1]
        own = {
            draw.name: torch.from_numpy(
                streams.rule_draws(draw, length, objective.dim, rngs[RULE + k], size, copies,
                                   numbers)
            )
            for k, draw in enumerate(rule.draws)
        }  # fmt: skip
        ticks = torch.arange(first + 1, first + length + 1, dtype=dtype)
        restarts: Tensor | Sequence[bool] = [True] * length
        if mask is not None and mask.shape[1] == 1 and (job.passes or not job.compiled):
            restarts = mask[:, 0].tolist()
        elif mask is not None:
            restarts = torch.from_numpy(mask[:, :, None].astype(numbers))
        apart = None if ends is None or len(ends) < size else ends
        yield TimeChunk(torch.from_numpy(samples), ticks, restarts, own, records, slots, steps,
                        rounds, apart)  # fmt: skip
        first += length
        if finished:
            return


def _alike(job: Job, first: int, length: int, batch_size: int) -> int:
    """How many of the next steps have mini-batches of one size."""
    if job.sampler.constant:
        return length
    alike = 1
    while alike < length and job.sampler.size(first + alike, job.batch_size) == batch_size:
        alike += 1
    return min(alike, length)


def _between(earliest: np.ndarray, latest: np.ndarray, first: int, last: int) -> slice:
    """The records that some row takes at a time from ``first`` to ``last``."""
    begin = int(np.searchsorted(latest, first, "left"))
    return slice(begin, max(begin, int(np.searchsorted(earliest, last, "right"))))


def _counted(mask: np.ndarray, begun: np.ndarray) -> np.ndarray:
    """The round of each step, ``begun + cumsum(mask)``: a fifth of the time that takes.

    >>> _counted(np.array([[True, True], [False, True]]), np.array([0, 3])).tolist()
    [[1, 4], [1, 5]]
    """
    if mask.shape[1] == 1:
        return begun + np.cumsum(mask, axis=0)
    found = mask.astype(np.int64)
    before = begun
    for row in found:
        row += before
        before = row
    return found


def _place(
    times: np.ndarray, slot: int, size: int, first: int, begun: np.ndarray, rounds_of: np.ndarray
) -> tuple[dict[int, list[tuple[int, np.ndarray | None]]], np.ndarray, np.ndarray]:
    """Records and their rows by the step they come before, and what came before them."""
    steps, rounds = np.zeros_like(times), np.zeros_like(times)
    which, who = np.nonzero(times >= 0)
    moments = times[which, who]
    steps[which, who] = moments + first
    column, later = (who if rounds_of.shape[1] > 1 else np.zeros_like(who)), moments > 0
    before = np.broadcast_to(begun, rounds_of.shape[1:])[column]
    before[later] = rounds_of[moments[later] - 1, column[later]]
    rounds[which, who] = before
    order = np.lexsort((who, which, moments))
    which, who, moments = which[order], who[order], moments[order]
    records: dict[int, list[tuple[int, np.ndarray | None]]] = {}
    if moments.size:
        apart = (np.diff(moments) != 0) | (np.diff(which) != 0)
        ends = [0, *(np.flatnonzero(apart) + 1).tolist(), len(moments)]
        for low, high in pairwise(ends):
            rows = None if high - low in (size, times.shape[1]) else who[low:high]
            entry = (slot + int(which[low]), rows)
            records.setdefault(int(moments[low]), []).append(entry)
    return records, steps, rounds


def _remapped(remap: Remap, known: Samples) -> np.ndarray:
    mapped = remap(known)
    if mapped.dtype.kind in "iu" and mapped.min(initial=0) < 0:
        raise UsageError(f"run: remap gave the negative sample {mapped.min()}")
    return np.require(mapped, known.draws.dtype, ["C", "W"])
