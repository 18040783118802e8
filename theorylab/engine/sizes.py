"""What a run takes: the record that is asked for, and each of its rows on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from theorylab.engine import memory
from theorylab.engine.plan import Stratified
from theorylab.engine.recording import Record, Reduce, Tables, name_of
from theorylab.engine.streams import BLOCK
from theorylab.errors import UsageError
from theorylab.method.rule import UpdateRule, entries
from theorylab.problem.objective import Objective
from theorylab.problem.oracle import MiniBatch

__all__ = ["Sizes", "of"]

_COPIES = 6  # of w: the iterate, the next one, a gradient, what they are made of


@final
@dataclass(frozen=True)
class Sizes:
    """Bytes.

    Attributes
    ----------
    asked : str
        What is asked for, in words.
    record : int
        All that is returned.
    row : int
        A row on its way: its iterate, its state, its samples.
    block : int
        The fewest rows that are run together.
    alike : bool
        Whether all rows are recorded after equally many steps.
    """

    asked: str
    record: int
    row: int
    block: int
    alike: bool

    def fit(self) -> int:
        """What is left of the memory beside the record.

        Raises
        ------
        UsageError
            If the record, or a block of rows, does not fit.
        """
        room, limit = memory.room(), memory.shown(memory.limit())
        if self.record > room:
            raise UsageError(
                f"run: {self.asked} take {memory.shown(self.record)}, and {limit} of memory leave "
                f"{memory.shown(room)}: record at fewer times (at=Stratified(32)), ask for what "
                "is needed of them over time (reduce='mean'), or allow more (memory=, --memory)"
            )
        left = room - self.record
        if self.block * self.row > left:
            raise UsageError(
                f"run: {self.block} rows at once take {memory.shown(self.block * self.row)}, and "
                f"{limit} of memory leave {memory.shown(left)}: allow more (memory=, --memory)"
            )
        return left


def of(
    objective: Objective, rule: UpdateRule, record: Sequence[Record], reduce: Reduce | None,
    at: Sequence[int] | Stratified | None, horizon: int, replicas: int, copies: int,
    batch_size: int,
) -> Sizes:  # fmt: skip
    """The sizes of a run, before anything of it is made."""
    total = replicas * copies
    probe = rule.restarts(np.random.default_rng(0), 0, 1, 2)
    alike = not isinstance(at, Stratified) and (probe is None or probe.shape[1] == 1)
    if isinstance(at, Stratified):
        count = min(at.count, horizon + 1 if at.span is None else at.span)
    else:
        count = 1 if at is None else int(np.size(at))
    returned = Tables.bytes(objective, record, count, total, reduce)
    # When each record was made, and what came before it: a number a row where they differ.
    returned += 8 * count * (2 if alike else 2 * total)
    row = _of_row(objective, rule, batch_size)
    names = ", ".join(repr(name_of(item)) for item in record)
    asked = f"{names} at {count:,} times of {total:,} rows"
    return Sizes(asked, returned, row, min(BLOCK * copies, total), alike)


def _of_row(objective: Objective, rule: UpdateRule, batch_size: int) -> int:
    with torch.inference_mode():
        state = rule.rows(slice(0, 1)).init(objective.start.unsqueeze(0), MiniBatch(objective))
    held = sum(x.numel() for x in entries(state).values() if isinstance(x, Tensor) and x.ndim > 1)
    one = objective.draw(np.random.default_rng(0), 1, 1, batch_size)
    # A step makes a new state of the old one. Samples are gathered one by one, draws are doubles.
    return objective.start.itemsize * (_COPIES * objective.dim + 3 * held) + 2 * one.nbytes
