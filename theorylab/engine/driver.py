"""``run``: a rule on an objective, vectorised over replicas, from randomness drawn ahead.

Replica ``r`` draws from a stream that depends on the seed and ``r`` alone, in fixed blocks of
``BLOCK`` replicas, so results are the same bits for any chunk size and any number of replicas.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from theorylab.engine.step import compiled_step, eager_step
from theorylab.errors import UsageError, require_integer
from theorylab.method.rule import Draw, Drawn, UpdateRule, entries, norm, tables
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch
from theorylab.progress import bar

__all__ = ["BLOCK", "Samples", "Stratified", "Trajectory", "run"]

BLOCK = 128
_DRAW_BYTES = 32 * 2**20
_SNAPSHOT_BYTES = 128 * 2**20
_CHUNK = 1024

# Streams of a block's randomness: what is drawn for one must not shift another.
# A rule's draws have one stream each, from ``_RULE`` on.
_SAMPLES, _RESTARTS, _TIMES, _RULE = range(4)


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


@dataclass(frozen=True)
class Samples:
    """Sample draws on their way into a run, for a ``remap`` to replace.

    Attributes
    ----------
    draws : ndarray, shape (steps, rows, batch_size, ...)
        What the objective drew; rows that share a replica's randomness hold equal draws.
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
class Trajectory:
    """What a run recorded, per replica.

    Attributes
    ----------
    rounds : ndarray of int, shape (m, R)
        The round index of each record; 0 is the start.
    evaluations : ndarray of int, shape (m, R)
        Sample gradients spent before each record: steps times batch size.
    quantities : mapping of str to ndarray, shape (m, R)
        The recorded quantities, by name; ``"w"`` has shape ``(m, R, d)``.
    batch_size, seed : int
        As given to :func:`run`.
    """

    rounds: np.ndarray
    evaluations: np.ndarray
    quantities: Mapping[str, np.ndarray]
    batch_size: int
    seed: int

    def __getitem__(self, name: str) -> np.ndarray:
        return self.quantities[name]

    def mean(self, name: str) -> np.ndarray:
        """The time average of a quantity over the recorded rounds, shape ``(R,)``."""
        return self.quantities[name].mean(axis=0)


Recorder = Callable[[Objective, Tensor], Tensor]

RECORDERS: Mapping[str, Recorder] = {
    "value": lambda objective, w: objective.value(w),
    "gradient_norm": lambda objective, w: norm(objective.gradient(w)).squeeze(-1),
    "gradient_norm_squared": lambda objective, w: objective.gradient(w).square().sum(-1),
    "distance": lambda objective, w: norm(w - objective.start).squeeze(-1),
    "w": lambda objective, w: w,
}


def run(
    objective: Objective,
    rule: UpdateRule,
    steps: int | None = None,
    batch_size: int = 1,
    replicas: int = 1000,
    seed: int = 0,
    record: Sequence[str] = ("value", "gradient_norm"),
    *,
    rounds: int | None = None,
    at: Sequence[int] | Stratified | None = None,
    start: Tensor | None = None,
    copies: int = 1,
    remap: Remap | None = None,
    chunk: int = _CHUNK,
    compile: bool = False,
    progress: bool | None = None,
) -> Trajectory:
    """Run ``rule`` on ``objective`` for every replica and record quantities on the way.

    Parameters
    ----------
    objective : Objective
    rule : UpdateRule
        Its hyperparameters, and what its schedules hold, may be tensors of shape
        ``(replicas, 1)``: one value a replica (``(replicas * copies, 1)``, one a row, with
        ``copies``).
    steps : int
        Stochastic gradient steps; give either ``steps`` or ``rounds``.
    batch_size : int
        Samples in each mini-batch.
    replicas : int
        Independent repetitions.
    seed : int
        The same seed gives the same bits, for any ``chunk``.
    record : sequence of str
        ``"value"``, ``"gradient_norm"``, ``"gradient_norm_squared"``, ``"distance"`` (from the
        start), ``"w"``, or ``"state.NAME"`` for the norm of an entry of the rule's state.
    rounds : int
        Rounds of the algorithm instead of steps: outer iterations for rules with inner loops.
    at : sequence of int, Stratified, or None
        Rounds (with ``rounds``) or steps at which to record; ``None``: the end alone.
    start : Tensor, shape (d,) or (replicas * copies, d)
        Where to start; the objective's own start by default.
    copies : int
        Rows that share all of a replica's randomness: rows ``r * copies .. (r + 1) * copies - 1``
        of every result are replica ``r``. Perturbed twins are such copies, told apart by
        ``remap``.
    remap : callable
        Maps the :class:`Samples` of some steps to the draws that are used instead, of the same
        shape. It must not depend on how the run is cut into steps and rows.
    chunk : int
        Rows held in memory at once (rounded up to whole blocks of ``BLOCK`` replicas).
    compile : bool
        Whether to compile the step first (:mod:`theorylab.engine.step`): worth its second or so in
        runs of thousands of steps and hundreds of replicas. It rounds differently from the step
        as torch runs it; the seed decides the bits here too, for any number of replicas.
    progress : bool
        Whether to show a progress bar; by default only on a terminal.

    Returns
    -------
    Trajectory

    Raises
    ------
    UsageError
        If an argument is out of range or a quantity unknown, or the step cannot be compiled.

    Examples
    --------
    >>> import synthetic, theorylab
    >>> from theorylab.method import SGD
    >>> bowl = synthetic.quadratic(dim=2)
    >>> out = theorylab.run(bowl, SGD(eta=0.1), steps=50, replicas=4, record=("value",))
    >>> out["value"].shape
    (1, 4)
    """
    if (steps is None) == (rounds is None):
        raise UsageError("run: give either steps or rounds")
    horizon = steps if steps is not None else rounds
    assert horizon is not None
    for name, value, least in (("steps" if rounds is None else "rounds", horizon, 0),
                               ("batch_size", batch_size, 1), ("replicas", replicas, 1),
                               ("seed", seed, 0), ("copies", copies, 1),
                               ("chunk", chunk, 1)):  # fmt: skip
        require_integer("run", name, value, least)
    state = rule.init(objective.start.unsqueeze(0), MiniBatch(objective))
    known = [*RECORDERS, *(f"state.{name}" for name in entries(state))]
    for name in record:
        if name not in known:
            raise UsageError(f"run: cannot record {name!r}; known: {', '.join(known)}")

    plan = _plan(at, horizon, replicas, seed)
    plan = np.repeat(plan, copies, axis=1)
    total, unit = replicas * copies, BLOCK * copies
    width = max(1, int(_SNAPSHOT_BYTES // (plan.shape[0] * objective.dim * 8 * unit))) * unit
    chunk = min(-(-chunk // unit) * unit, width)
    _check_shapes(objective, rule, start, total)
    begin = objective.start if start is None else start
    job = _Job(objective, horizon, rounds is not None, batch_size, seed, tuple(record), copies,
               remap, chunk if compile else None)  # fmt: skip
    parts = []
    chunks = [slice(i, min(i + chunk, total)) for i in range(0, total, chunk)]
    with bar(progress) as display:
        task = display.add_task("running", total=total * horizon)
        for rows in chunks:
            origin = begin[rows] if begin.ndim == 2 else begin.expand(rows.stop - rows.start, -1)
            advance = partial(display.advance, task)
            parts.append(_run_chunk(job, rule.rows(rows), rows, origin, plan[:, rows], advance))
            display.update(task, completed=rows.stop * horizon)
    quantities = {
        name: np.concatenate([part[1][name] for part in parts], axis=1) for name in record
    }
    evaluations = np.concatenate([part[0] for part in parts], axis=1)
    return Trajectory(plan, evaluations, quantities, batch_size, seed)


def _check_shapes(objective: Objective, rule: UpdateRule, start: Tensor | None, total: int) -> None:
    d, dtype = objective.dim, objective.start.dtype
    if start is not None:
        shape = tuple(start.shape) if isinstance(start, Tensor) else None
        if shape not in ((d,), (total, d)) or start.dtype != dtype:
            got = f"{start.dtype} {shape}" if isinstance(start, Tensor) else type(start).__name__
            raise UsageError(
                f"run: start must be a {dtype} tensor of shape ({d},) or ({total}, {d}), got {got}"
            )
    for f in fields(rule):
        for table in tables(getattr(rule, f.name)):
            if tuple(table.shape) != (total, 1):
                raise UsageError(
                    f"run: {rule.name}'s {f.name} must have one value a row, shape ({total}, 1), "
                    f"got {tuple(table.shape)}"
                )


def _plan(
    at: Sequence[int] | Stratified | None, horizon: int, replicas: int, seed: int
) -> np.ndarray:
    """The round of each record, shape ``(m, R)``."""
    if at is None:
        return np.full((1, replicas), horizon)
    if isinstance(at, Stratified):
        span = horizon if at.span is None else at.span
        if not 0 <= at.offset <= at.offset + span <= horizon + 1 or at.count < 1 or span < 1:
            raise UsageError(f"run: {at} does not fit in rounds 0 to {horizon}")
        count = min(at.count, span)
        edges = np.linspace(0, span, count + 1)
        draws = np.concatenate(
            [_generator(seed, b, _TIMES).random((count, BLOCK)) for b in range(_blocks(replicas))],
            axis=1,
        )[:, :replicas]
        # The floor of a uniform real in [0, span) is a uniform round, stratum by stratum.
        times = edges[:-1, None] + draws * np.diff(edges)[:, None]
        return at.offset + np.minimum(np.floor(times).astype(np.int64), span - 1)
    times = np.atleast_1d(np.asarray(at))
    if times.dtype.kind not in "iu" or times.min() < 0 or times.max() > horizon:
        raise UsageError(f"run: records must be integers between 0 and {horizon}, got {at}")
    return np.repeat(times[:, None], replicas, axis=1)


@dataclass(frozen=True)
class _Job:
    """What all rows of a run share; ``compiled`` is the number of rows to compile the step for."""

    objective: Objective
    horizon: int
    by_rounds: bool
    batch_size: int
    seed: int
    record: tuple[str, ...]
    copies: int
    remap: Remap | None
    compiled: int | None


def _run_chunk(
    job: _Job,
    rule: UpdateRule,
    rows: slice,
    origin: Tensor,
    plan: np.ndarray,
    advance: Callable[[int], None],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Evaluations and quantities at each record, for some of the rows.

    Compiled code is for one shape: fewer rows are filled up, with more of the last one, so that
    the same code computes a row whatever the number of replicas.
    """
    objective, record, compiled = job.objective, job.record, job.compiled
    real, dim, count = rows.stop - rows.start, objective.dim, plan.shape[0]
    size = compiled or real
    state_names = [name.removeprefix("state.") for name in record if name.startswith("state.")]
    evaluations = np.zeros((count, size), dtype=np.int64)
    with torch.inference_mode():
        w = origin.clone().contiguous()
        if real < size:
            fill = np.minimum(np.arange(size), real - 1)
            w, rule, plan = w[fill], rule.rows(fill), plan[:, fill]
        state = rule.init(w, MiniBatch(objective))
        step = None if compiled else eager_step(objective, rule)
        snapshots = torch.zeros(count * size, dim, dtype=w.dtype)
        norms = {name: torch.zeros(count * size, dtype=w.dtype) for name in state_names}
        lagged: list[Tensor] = []

        def take(where: np.ndarray) -> None:
            """Store the current iterates of ``where`` (flat indices, record * size + row)."""
            flat = torch.from_numpy(where)
            picked = flat % size
            snapshots.index_copy_(0, flat, w.index_select(0, picked))
            for name in state_names:
                # It is one number where all rows agree.
                entry = torch.as_tensor(getattr(state, name), dtype=w.dtype)
                width = entry.shape[-1] if entry.ndim == 2 else 1
                values = norm(entry.expand(size, width)).squeeze(-1)
                norms[name].index_copy_(0, flat, values.index_select(0, picked))

        last, lags = 0, rule.lags
        for block in _time_chunks(job, rule, rows, plan):
            evaluations += block.evaluations
            for k, draw in enumerate(block.draws):
                if (where := block.records.get(k)) is not None:
                    take(where)
                lagged = [block.samples[k], *lagged][:lags]
                if step is None:
                    step, state = compiled_step(objective, rule, w, lagged[0], state, draw)
                w, state = step(w, lagged, state, draw)
            last = len(block.draws)
            advance(last * real)
            if (where := block.records.get(last)) is not None:
                take(where)
        shaped = snapshots.view(count, size, dim)[:, :real]
        quantities = {}
        for name in record:
            if name.startswith("state."):
                flat = norms[name.removeprefix("state.")].view(count, size)
                quantities[name] = flat[:, :real].numpy()
            else:
                quantities[name] = np.stack(
                    [RECORDERS[name](objective, point).numpy() for point in shaped]
                )
    return evaluations[:, :real] * job.batch_size, quantities


@dataclass(frozen=True)
class _TimeChunk:
    """Some consecutive steps: their samples, rule draws, and which iterates to record."""

    samples: Sequence[Tensor]
    draws: Sequence[Drawn]
    records: Mapping[int, np.ndarray]
    evaluations: np.ndarray


def _time_chunks(
    job: _Job, rule: UpdateRule, rows: slice, plan: np.ndarray
) -> Iterator[_TimeChunk]:
    objective, horizon, copies = job.objective, job.horizon, job.copies
    real, size = rows.stop - rows.start, plan.shape[1]
    first_block, blocks = rows.start // copies // BLOCK, _blocks(size // copies)
    kinds = (_SAMPLES, _RESTARTS, *range(_RULE, _RULE + len(rule.draws)))
    streams = {
        kind: [_generator(job.seed, first_block + b, kind) for b in range(blocks)] for kind in kinds
    }
    dtype = objective.start.dtype
    one = objective.draw(np.random.default_rng(0), 1, 1, job.batch_size)
    per_coordinate = sum(d.per == "coordinate" for d in rule.draws)
    cost = size * (one.nbytes + 8 * (len(rule.draws) + per_coordinate * objective.dim + 1))
    span = max(1, _DRAW_BYTES // cost)

    def together(kind: int, draw: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
        return _side_by_side((draw(rng) for rng in streams[kind]), size, copies)

    # Counts have one column where all rows agree, one a row where they do not.
    first, begun = 0, np.zeros(1, dtype=np.int64)
    while True:
        if not job.by_rounds or rule.restarts(np.random.default_rng(0), 0, 1, 1) is None:
            length = min(span, horizon - first)
        else:
            length = min(span, max(64, 2 * horizon))
        mask = _restart_mask(rule, streams[_RESTARTS], first, length, size, copies)
        rounds_of = np.arange(first + 1, first + length + 1)[:, None]
        if mask is not None and (job.by_rounds or job.remap is not None):
            rounds_of = begun + np.cumsum(mask, axis=0)
        records: dict[int, np.ndarray] = {}
        spent = np.zeros_like(plan)
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
        slots, who = np.nonzero(times >= 0)
        moments = times[slots, who]
        spent[slots, who] = moments + first
        order = np.argsort(moments, kind="stable")
        flat, moments = (slots * size + who)[order], moments[order]
        if moments.size:
            cuts = np.flatnonzero(np.diff(moments)) + 1
            for where, k in zip(np.split(flat, cuts), moments[np.r_[0, cuts]], strict=True):
                records[int(k)] = where

        samples = one[:0]
        if length:
            samples = together(_SAMPLES, partial(_samples, objective, length, job.batch_size))
        if job.remap is not None and length:
            known = Samples(samples[:, :real], rows, first, rounds_of[:length, :real])
            mapped = job.remap(known)
            if mapped.dtype.kind in "iu" and (mapped < 0).any():
                raise UsageError(f"run: remap gave the negative sample {mapped.min()}")
            whole = np.concatenate([mapped, samples[:, real:]], axis=1)
            samples = np.ascontiguousarray(whole, samples.dtype)
        if mask is not None and length:
            begun = rounds_of[-1]
        columns = {
            draw.name: torch.from_numpy(
                together(_RULE + k, partial(_draw, draw, (length, BLOCK), objective.dim))
            ).to(dtype).unbind(0)
            for k, draw in enumerate(rule.draws)
        }  # fmt: skip
        own = [dict(zip(columns, row)) for row in zip(*columns.values())]  # noqa: B905
        times_from_1 = torch.arange(first + 1, first + length + 1, dtype=dtype).unbind(0)
        restarts: Sequence[Any] = [True] * length
        if mask is not None and mask.shape[1] == 1 and not job.compiled:
            restarts = mask[:, 0].tolist()
        elif mask is not None:
            restarts = torch.from_numpy(mask).unsqueeze(-1).to(dtype).unbind(0)
        draws = list(map(Drawn, times_from_1, restarts, own or [{}] * length))
        yield _TimeChunk(torch.from_numpy(samples).unbind(0), draws, records, spent)
        first += length
        if finished:
            return


def _restart_mask(
    rule: UpdateRule,
    streams: list[np.random.Generator],
    first: int,
    length: int,
    size: int,
    copies: int,
) -> np.ndarray | None:
    """Which steps begin a round: ``(length, size)``, or ``(length, 1)`` where all rows agree."""
    mask = rule.restarts(streams[0], first, length, BLOCK)
    if mask is None or mask.shape[1] == 1:
        return mask
    others = (rule.restarts(rng, first, length, BLOCK) for rng in streams[1:])
    parts = (part for part in itertools.chain([mask], others) if part is not None)
    return _side_by_side(parts, size, copies)


def _side_by_side(blocks: Iterable[np.ndarray], size: int, copies: int) -> np.ndarray:
    """The blocks' replicas beside each other, each as ``copies`` equal rows, ``size`` in all."""
    whole: np.ndarray | None = None
    for b, block in enumerate(blocks):
        if whole is None:
            shape = (len(block), size // copies, copies, *block.shape[2:])
            whole = np.empty(shape, block.dtype)
        part = whole[:, b * BLOCK : (b + 1) * BLOCK]
        part[:] = block[:, : part.shape[1], None]
    assert whole is not None
    return whole.reshape(len(whole), size, *whole.shape[3:])


def _samples(
    objective: Objective, steps: int, batch_size: int, rng: np.random.Generator
) -> np.ndarray:
    return objective.draw(rng, steps, BLOCK, batch_size)


def _draw(draw: Draw, shape: tuple[int, int], dim: int, rng: np.random.Generator) -> np.ndarray:
    full = (*shape, dim if draw.per == "coordinate" else 1)
    return rng.random(full) if draw.law == "uniform" else rng.standard_normal(full)


def _generator(seed: int, block: int, stream: int) -> np.random.Generator:
    sequence = np.random.SeedSequence(seed, spawn_key=(block, stream))
    return np.random.Generator(np.random.SFC64(sequence))


def _blocks(replicas: int) -> int:
    return math.ceil(replicas / BLOCK)
