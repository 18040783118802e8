"""A run cut into chunks of consecutive steps, each with its randomness drawn and records placed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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

DRAW_BYTES = 4 * 2**20  # a second-level cache or two


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
    axis of steps in front. ``steps`` and ``rounds`` are how many came before each record that lies
    in the chunk, 0 for the others.
    """

    samples: Tensor
    ticks: Tensor
    restarts: Tensor | Sequence[bool]
    own: Mapping[str, Tensor]
    records: Mapping[int, np.ndarray]
    steps: np.ndarray
    rounds: np.ndarray

    def draws(self) -> Sequence[Drawn]:
        """What the rule is given, step by step."""
        whens: Sequence[Any]
        whens = self.restarts.unbind(0) if isinstance(self.restarts, Tensor) else self.restarts
        rows = zip(*(table.unbind(0) for table in self.own.values()), strict=True)
        own = [dict(zip(self.own, row, strict=True)) for row in rows]
        return list(map(Drawn, self.ticks.unbind(0), whens, own or [{}] * len(self.ticks)))


def time_chunks(job: Job, rule: UpdateRule, rows: slice, plan: np.ndarray) -> Iterator[TimeChunk]:
    """The chunks of a run of some rows, one after another.

    Raises
    ------
    UsageError
        If the samples cannot be drawn so, or a remap gives a negative one.
    """
    objective, horizon, copies = job.objective, job.horizon, job.copies
    real, size = rows.stop - rows.start, plan.shape[1]
    first_block, blocks = rows.start // copies // BLOCK, streams.blocks(size // copies)
    kinds = (SAMPLES, RESTARTS, *range(RULE, RULE + len(rule.draws)))
    rngs = {
        kind: [
            streams.generator(job.seed, first_block + b, kind, job.compiled) for b in range(blocks)
        ]
        for kind in kinds
    }
    batches = [job.sampler.stream(objective, rng, BLOCK) for rng in rngs[SAMPLES]]
    dtype = objective.start.dtype
    per_coordinate = sum(d.per == "coordinate" for d in rule.draws)
    has_rounds = rule.restarts(np.random.default_rng(0), 0, 1, 1) is not None

    # Counts have one column where all rows agree, one a row where they do not.
    first, begun = 0, np.zeros(1, dtype=np.int64)
    while True:
        batch_size = job.sampler.size(first, job.batch_size)
        one = objective.draw(np.random.default_rng(0), 1, 1, batch_size)
        cost = size * (one.nbytes + 8 * (len(rule.draws) + per_coordinate * objective.dim + 1))
        span = max(1, DRAW_BYTES // cost)
        if job.by_rounds and has_rounds:
            length = min(span, max(64, 2 * horizon))
        else:
            length = min(span, horizon - first)
        length = _alike(job, first, length, batch_size)
        mask = streams.restart_mask(rule, rngs[RESTARTS], first, length, size, copies)
        rounds_of = np.arange(first + 1, first + length + 1)[:, None]
        if mask is not None and (job.by_rounds or job.passes or job.remap is not None):
            rounds_of = begun + np.cumsum(mask, axis=0)
        finished = False
        if job.by_rounds and mask is not None:
            # time_of[j, r]: the step (within this chunk) at which replica r begins round j.
            counted = rounds_of
            column = np.arange(mask.shape[1]) if mask.shape[1] > 1 else 0
            low, high = int(begun.min()), int(counted[-1].max())
            time_of = np.full((high - low + 1, mask.shape[1]), -1, dtype=np.int64)
            when, who = np.nonzero(mask)
            time_of[counted[when, who] - 1 - low, who] = when
            inside = (plan >= low) & (plan <= high)
            times = np.where(inside, time_of[np.clip(plan - low, 0, high - low), column], -1)
            finished = bool(np.all(counted[-1] > horizon))
            if finished:
                reached = np.argmax(counted > horizon, axis=0)
                length = int(reached.max())
                mask = mask[:length]
        else:
            times = np.where((plan >= first) & (plan < first + length), plan - first, -1)
            if first + length == horizon:
                times = np.where(plan == horizon, length, times)
                finished = True
        records, steps, rounds = _place(times, first, begun, rounds_of)

        samples = one[:0]
        if length:
            parts = [partial(draw, length, batch_size) for draw in batches]
            samples = streams.side_by_side(parts, size, copies)
        if job.remap is not None and length:
            samples = _remapped(job.remap, samples, real,
                                Samples(samples[:, :real], rows, first,
                                        rounds_of[:length, :real]))  # fmt: skip
        if mask is not None and length:
            begun = rounds_of[length - 1]
        own = {
            draw.name: torch.from_numpy(
                streams.side_by_side(
                    [partial(streams.rule_draw, draw, length, objective.dim, rng)
                     for rng in rngs[RULE + k]],
                    size, copies,
                )
            ).to(dtype)
            for k, draw in enumerate(rule.draws)
        }  # fmt: skip
        ticks = torch.arange(first + 1, first + length + 1, dtype=dtype)
        restarts: Tensor | Sequence[bool] = [True] * length
        if mask is not None and mask.shape[1] == 1 and (job.passes or not job.compiled):
            restarts = mask[:, 0].tolist()
        elif mask is not None:
            restarts = torch.from_numpy(mask).unsqueeze(-1).to(dtype)
        yield TimeChunk(torch.from_numpy(samples), ticks, restarts, own, records, steps, rounds)
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


def _place(
    times: np.ndarray, first: int, begun: np.ndarray, rounds_of: np.ndarray
) -> tuple[dict[int, np.ndarray], np.ndarray, np.ndarray]:
    """Flat indices of the records by the step they come before, and what came before them."""
    size = times.shape[1]
    steps, rounds = np.zeros_like(times), np.zeros_like(times)
    slots, who = np.nonzero(times >= 0)
    moments = times[slots, who]
    steps[slots, who] = moments + first
    before = np.concatenate([np.broadcast_to(begun, rounds_of.shape[1:])[None], rounds_of])
    rounds[slots, who] = before[moments, who if before.shape[1] > 1 else 0]
    order = np.argsort(moments, kind="stable")
    flat, moments = (slots * size + who)[order], moments[order]
    records: dict[int, np.ndarray] = {}
    if moments.size:
        cuts = np.flatnonzero(np.diff(moments)) + 1
        for where, k in zip(np.split(flat, cuts), moments[np.r_[0, cuts]], strict=True):
            records[int(k)] = where
    return records, steps, rounds


def _remapped(remap: Remap, samples: np.ndarray, real: int, known: Samples) -> np.ndarray:
    mapped = remap(known)
    if mapped.dtype.kind in "iu" and (mapped < 0).any():
        raise UsageError(f"run: remap gave the negative sample {mapped.min()}")
    whole = np.concatenate([mapped, samples[:, real:]], axis=1)
    return np.ascontiguousarray(whole, samples.dtype)
