"""``run``: a rule on an objective, vectorised over replicas, from randomness drawn ahead.

Replica ``r`` draws from a stream that depends on the seed and ``r`` alone, in fixed blocks of
``BLOCK`` replicas, so results are the same bits for any chunk size and any number of replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import final, get_args

import numpy as np
import torch
from torch import Tensor

from theorylab.engine import sizes
from theorylab.engine.choice import compiling_pays
from theorylab.engine.chunks import Job, Remap, Samples, TimeChunk, time_chunks
from theorylab.engine.counting import costs
from theorylab.engine.memory import limited, parse
from theorylab.engine.metering import metered, spend
from theorylab.engine.plan import Stratified
from theorylab.engine.plan import plan as planned
from theorylab.engine.recorders import RECORDERS
from theorylab.engine.recording import Record, Recording, Reduce, Tables, check_names
from theorylab.engine.streams import BLOCK
from theorylab.engine.walk import CompiledWalk, EagerWalk
from theorylab.errors import UsageError, require_integer, require_kind
from theorylab.method.rule import UpdateRule, tables
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import Calls, MiniBatch
from theorylab.problem.sampler import Sampler, weights_of
from theorylab.progress import bar
from theorylab.threads import alone

__all__ = ["BLOCK", "RECORDERS", "Samples", "Stratified", "Trajectory", "run"]

_CHUNK = 1024
# A step as torch runs it costs the more the more often it is called: rows of so many numbers
# together are taken at once, as long as an iterate stays in a second-level cache. Only where all
# rows are recorded at the same rounds: work is then counted alike for any cut.
_WIDEST, _NUMBERS = 1 << 14, 1 << 18
_HELD = 256 * 2**20  # of points that wait for those of other rows
_TRIED = 4  # steps, and rows, on which compiled code must agree before it is chosen
# What a rule may ask at the start of a round alone.
_PASSES = frozenset({"full_gradient", "full_value", "every_gradient", "communicate"})


@dataclass(frozen=True)
class Trajectory:
    """What a run recorded, per replica.

    Attributes
    ----------
    rounds : ndarray of int, shape (m, R)
        The round index of each record; 0 is the start.
    quantities : mapping of str to ndarray, shape (m, R)
        The recorded quantities, by name; ``"w"`` has shape ``(m, R, d)``. With ``reduce`` there is
        one number a replica, shape ``(1, R)``.
    batch_size, seed : int
        As given to :func:`run`.
    """

    rounds: np.ndarray
    quantities: Mapping[str, np.ndarray]
    batch_size: int
    seed: int
    _count: Callable[[], Calls] = field(repr=False)

    def __repr__(self) -> str:
        records, runs = self.rounds.shape
        lost = int((self.diverged >= 0).sum())
        return f"<{runs} runs, {records} records each: {', '.join(self.quantities)}" + (
            f"; {lost} diverged>" if lost else ">"
        )

    @cached_property
    def calls(self) -> Calls:
        """What was asked of the oracle before each record, every entry of shape (m, R)."""
        return self._count()

    @property
    def evaluations(self) -> np.ndarray:
        """Sample gradients spent before each record, shape (m, R); a full pass counts n."""
        return np.asarray(self.calls.gradients)

    @cached_property
    def diverged(self) -> np.ndarray:
        """The first recorded round at which a number of a run is not finite, -1 if none: ``(R,)``.

        What is recorded then stays as it is, infinite or NaN. Of a run that was reduced over time,
        the last round stands for the first.

        Examples
        --------
        >>> import synthetic
        >>> from theorylab.method import SGD
        >>> bowl = synthetic.quadratic(dim=1)
        >>> run(bowl, SGD(eta=1e200), 6, replicas=2, at=range(7)).diverged.tolist()
        [1, 1]
        """
        count = next((len(t) for t in self.quantities.values()), 0)
        lost = np.zeros((count, self.rounds.shape[1]), dtype=bool)
        for table in self.quantities.values():
            odd = ~np.isfinite(table)
            lost |= odd.any(axis=-1) if odd.ndim == 3 else odd
        when = self.rounds if count == len(self.rounds) else self.rounds.max(axis=0, keepdims=True)
        far = np.iinfo(np.int64).max
        first = np.where(lost, when, far).min(axis=0, initial=far)
        return np.where(first == far, -1, first)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.quantities[name]

    def mean(self, name: str) -> np.ndarray:
        """The time average of a quantity over the recorded rounds, shape ``(R,)``.

        Of a run that was reduced, what it was reduced to.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # a run may diverge
            return np.asarray(self.quantities[name].mean(axis=0))


def run(
    objective: Objective,
    rule: UpdateRule,
    steps: int | None = None,
    batch_size: int = 1,
    replicas: int = 1000,
    seed: int = 0,
    record: Sequence[Record] = ("value", "gradient_norm"),
    *,
    rounds: int | None = None,
    at: Sequence[int] | Stratified | None = None,
    start: Tensor | None = None,
    copies: int = 1,
    remap: Remap | None = None,
    sampler: Sampler | None = None,
    reduce: Reduce | None = None,
    chunk: int | None = None,
    memory: int | str | None = None,
    compile: bool | None = None,
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
        The same seed gives the same bits, for any ``chunk`` and ``memory``.
    record : sequence of str or Recorder
        ``"value"``, ``"gradient_norm"``, ``"distance"`` (from the start), ``"w"`` and whatever
        else :func:`theorylab.engine.recorders.recorders` lists; the same of the method's output,
        ``"output.NAME"``; or ``"state.NAME"`` for the norm of an entry of the rule's state.
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
    sampler : Sampler
        How mini-batches are drawn; by default as the rule draws them.
    reduce : "mean", "sum", "min" or "max"
        Only that of each record over the recorded times, one number a replica, computed as the
        run goes: the record itself is not kept. A NaN stays one.
    chunk : int, optional
        Rows held in memory at once, at most (rounded up to whole blocks of ``BLOCK`` replicas);
        by default 1,024, or up to 16,384 short ones of a step that is not compiled.
    memory : int or str
        What the process may hold, in bytes or as ``"2G"``; by default what
        :func:`theorylab.engine.memory.limit` says, half of the machine's.
    compile : bool, optional
        Whether to compile the step first (:mod:`theorylab.engine.native`). It rounds differently
        from the step as torch runs it; the seed decides the bits of either, for any number of
        replicas and threads (torch's full passes over the data apart: their last digit depends on
        its threads). By default where some seconds are saved on this machine
        (:mod:`theorylab.engine.choice`) and a few steps come out alike, so only in long runs; then
        as torch runs it if it cannot be compiled.
    progress : bool
        Whether to show a progress bar; by default only on a terminal.

    Returns
    -------
    Trajectory

    Raises
    ------
    UsageError
        If an argument is out of range or a quantity unknown, the step cannot be compiled, or what
        is asked for takes more than the memory that is allowed.

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
                               ("chunk", _CHUNK if chunk is None else chunk, 1)):  # fmt: skip
        require_integer("run", name, value, least)
    require_kind("run", "objective", objective, Objective)
    require_kind("run", "rule", rule, UpdateRule)
    check_names(objective, rule, record)
    sampler = rule.sampler if sampler is None else sampler
    if compile and not sampler.constant:
        raise UsageError("run: compile=True needs mini-batches of one size")
    if reduce not in (None, *get_args(Reduce)):
        raise UsageError(f"run: reduce is one of {', '.join(get_args(Reduce))}, got {reduce!r}")
    passes = bool(rule.needs & _PASSES)
    total, unit = replicas * copies, BLOCK * copies
    _check_shapes(objective, rule, start, total)
    allowed = None if memory is None else parse(memory)
    size = sizes.of(objective, rule, record, reduce, at, horizon, replicas, copies, batch_size)
    with limited(allowed):
        left = size.fit()
    plan, order = planned(at, horizon, replicas, seed)
    plan = np.repeat(plan, copies, axis=1) if plan.shape[1] > 1 else plan
    begin = objective.start if start is None else start
    if compile is None:
        compile = sampler.constant and compiling_pays(
            objective, rule, horizon, rounds is not None, batch_size, total, passes,
            weights_of(sampler, objective),
        ) and _alike(objective, rule, batch_size, sampler, begin)  # fmt: skip
    if chunk is None:
        wide = not compile and plan.shape[1] == 1
        chunk = max(_CHUNK, min(_WIDEST, _NUMBERS // objective.dim)) if wide else _CHUNK
    chunk = min(-(-chunk // unit), max(1, left // 2 // (unit * size.row))) * unit
    job = Job(objective, sampler, horizon, rounds is not None, passes, batch_size, seed,
              tuple(record), copies, remap, compile)  # fmt: skip
    tables = Tables(objective, record, len(plan), total, reduce)
    before = _Before(job, plan, total, size.alike)
    with bar(progress) as display:
        task = display.add_task("running", total=total * horizon)
        for rows in (slice(i, min(i + chunk, total)) for i in range(0, total, chunk)):
            origin = begin[rows] if begin.ndim == 2 else begin.expand(rows.stop - rows.start, -1)
            advance = partial(display.advance, task)
            recording = Recording(
                objective, rule.rows(rows), job.record, tables, rows, min(_HELD, left // 4)
            )
            _run_chunk(job, rule.rows(rows), rows, origin, before, recording, advance)
            display.update(task, completed=rows.stop * horizon)
    # As they were asked for.
    back = slice(None) if order is None else np.argsort(order)
    quantities = tables.finished()
    if reduce is None and order is not None:
        quantities = {name: table[back] for name, table in quantities.items()}
    shape = len(plan), total
    count = partial(_calls, objective, rule, sampler, batch_size, before.steps[back],
                    before.rounds[back], shape)  # fmt: skip
    return Trajectory(np.broadcast_to(plan[back], shape), quantities, batch_size, seed, count)


@final
class _Before:
    """How many steps and rounds came before each record: one column where all rows agree.

    Of what the horizon counts the plan itself says it; rounds beside steps matter only to a rule
    that passes over all data at the start of a round.
    """

    def __init__(self, job: Job, plan: np.ndarray, total: int, alike: bool) -> None:
        self.plan = (
            plan if alike or plan.shape[1] > 1 else np.broadcast_to(plan, (len(plan), total))
        )
        counted = np.zeros((len(plan), 1 if alike else total), np.int64)
        self.steps = counted if job.by_rounds else plan
        self.rounds = counted if job.passes and not job.by_rounds else plan
        self._counted = None if self.steps is plan and self.rounds is plan else counted
        self._by_rounds = job.by_rounds

    def of(self, rows: slice) -> np.ndarray:
        """The plan of some rows."""
        return self.plan[:, rows] if self.plan.shape[1] > 1 else self.plan

    def note(self, rows: slice, block: TimeChunk) -> None:
        """Put down what came before the records of some steps."""
        if self._counted is not None:
            where = rows if self._counted.shape[1] > 1 else slice(None)
            known = block.steps if self._by_rounds else block.rounds
            table = self._counted[block.slots, where]
            np.maximum(table, known, out=table)


def _alike(
    objective: Objective, rule: UpdateRule, batch_size: int, sampler: Sampler, begin: Tensor
) -> bool:  # fmt: skip
    """Whether some steps can be compiled and come out as torch runs them, but for rounding."""
    some = slice(0, _TRIED if begin.ndim == 1 else min(_TRIED, len(begin)))
    start = begin if begin.ndim == 1 else begin[some].contiguous()
    few = rule.rows(some)
    rows = min([_TRIED, *(len(x) for x in (start,) if x.ndim == 2),
                *(len(x) for x in tables(few).values())])  # fmt: skip
    try:
        with metered():  # not work of the run
            plain, fast = (
                run(objective, few, _TRIED, batch_size, rows, record=("w",), start=start,
                    sampler=sampler, compile=compile, progress=False)["w"][0]
                for compile in (False, True)
            )  # fmt: skip
    except UsageError:
        return False
    coarse = float(np.finfo(plain.dtype).eps) ** 0.5
    scale = np.abs(plain, where=np.isfinite(plain), out=np.zeros_like(plain)).max()
    return bool(np.allclose(fast, plain, rtol=coarse, atol=coarse * scale, equal_nan=True))


def _calls(
    objective: Objective, rule: UpdateRule, sampler: Sampler, batch_size: int, steps: np.ndarray,
    rounds: np.ndarray, shape: tuple[int, int],
) -> Calls:  # fmt: skip
    """What was asked in so many steps, an array of each record's shape in every entry."""
    cost = costs(objective, rule, weights_of(sampler, objective))
    if cost.uneven and not rule.needs & _PASSES:
        raise UsageError(f"{rule.name} asks for more at the start of a round: its needs must name "
                         f"what ({' or '.join(sorted(_PASSES))})")  # fmt: skip
    if sampler.constant:
        samples = steps * batch_size
    else:
        sizes = [sampler.size(k, batch_size) for k in range(int(steps.max(initial=0)))]
        samples = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])[steps]
    spent = cost.spent(steps, rounds, samples)
    return spent.map(lambda entry: np.broadcast_to(np.asarray(entry, np.int64), shape))


def _check_shapes(objective: Objective, rule: UpdateRule, start: Tensor | None, total: int) -> None:
    d, dtype = objective.dim, objective.start.dtype
    if start is not None:
        shape = tuple(start.shape) if isinstance(start, Tensor) else None
        if shape not in ((d,), (total, d)) or start.dtype != dtype:
            got = f"{start.dtype} {shape}" if isinstance(start, Tensor) else type(start).__name__
            raise UsageError(
                f"run: start must be a {dtype} tensor of shape ({d},) or ({total}, {d}), got {got}"
            )
    for name, table in tables(rule).items():
        if tuple(table.shape) != (total, 1):
            raise UsageError(
                f"run: {rule.name}'s {name.split('/')[0]} must have one value a row, shape "
                f"({total}, 1), got {tuple(table.shape)}"
            )


def _run_chunk(
    job: Job, rule: UpdateRule, rows: slice, origin: Tensor, before: _Before,
    recording: Recording, advance: Callable[[int], None],
) -> None:  # fmt: skip
    """Run some of the rows to their end."""
    objective, size = job.objective, rows.stop - rows.start
    with torch.inference_mode():
        weights = weights_of(job.sampler, objective)
        with alone() if job.compiled else nullcontext():
            w = origin.clone().contiguous()
            state = rule.init(w, MiniBatch(objective))
        kind = CompiledWalk if job.compiled else EagerWalk
        walk = kind(objective, rule, w, state, weights, job.by_rounds)
        told = False  # whether all rows were recorded since nothing moves
        for block in time_chunks(job, rule, rows, before.of(rows)):
            before.note(rows, block)
            walk.enter(block)
            length = len(block.ticks)
            for stop, records in sorted(block.records.items()):
                walk.to(stop)
                for slot, who in records:
                    if told and walk.still and who is None:
                        recording.repeat(slot)
                    else:
                        recording.take(slot, who, walk.w, walk.state, walk.places(who))
                        told = walk.still and who is None
            walk.to(length)
            _spend(block, size, BLOCK * job.copies)
            advance(length * size)
        recording.finish()


def _spend(block: TimeChunk, size: int, unit: int) -> None:
    """Count the work as if 1,024 rows were always taken at once, each part up to its last round."""
    usual, length = -(-_CHUNK // unit) * unit, len(block.ticks)
    firsts = range(0, size, usual)
    steps = [length] * len(firsts)
    if block.ends is not None and len(firsts) > 1:
        steps = [int(block.ends[i : i + usual].max()) for i in firsts]
    records = 0
    for entries in block.records.values():
        some = [rows for _, rows in entries if rows is not None]
        apart = len(firsts) > 1 and len(some) == len(entries)
        records += len(np.unique(np.concatenate(some) // usual)) if apart else len(firsts)
    drawn = block.samples.shape[2] if length else 0
    rows = sum(k * min(usual, size - i) for k, i in zip(steps, firsts, strict=True))
    spend(sum(steps) + records, drawn * rows)
