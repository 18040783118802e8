"""What a study would do: its cells, what of them is stored, and what the rest would take.

Inside :func:`plan_only` a study goes through all it does up to its cells, and computes none.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, final

import pandas as pd

from theorylab.errors import UsageError
from theorylab.plugins.provenance import provenance
from theorylab.plugins.store import Cell
from theorylab.studies.report import Report

__all__ = [
    "Plan", "PlannedCell", "Planned", "Planner", "Stage", "Trial", "end_of_plan", "plan_only",
    "planner", "unknown",
]  # fmt: skip

Trial = Callable[[Cell], float | None]
"""Estimates the seconds of a cell that takes too long to be run for that; ``None`` if it cannot."""


class Planned(BaseException):
    """All that was asked for was a plan, and it is made: nothing after it is done."""


@final
@dataclass(frozen=True)
class PlannedCell:
    """A cell of a plan.

    Attributes
    ----------
    name : str
        For people.
    stage : str
    cached : bool
        Whether its result is stored.
    """

    name: str
    stage: str
    cached: bool


@final
@dataclass(frozen=True)
class Stage:
    """Cells that are computed together.

    Attributes
    ----------
    label : str
    cells, cached : int
    tried : int
        Cells that the estimate rests on.
    seconds : float or None
        What those that are not stored would take on one worker; ``None`` if nothing says so.
    """

    label: str
    cells: int
    cached: int
    tried: int
    seconds: float | None


@final
@dataclass(frozen=True)
class Plan(Report):
    """What a command would do.

    Attributes
    ----------
    command : str
    stages : tuple of Stage
        In order. Those after the first are what they would be if no result of an earlier one
        settled anything, so more than there will be.
    cells : tuple of PlannedCell
    workers : int
    memory : int
        Bytes that the workers, and the process that hands out the cells, would hold together.
    """

    command: str
    stages: tuple[Stage, ...]
    cells: tuple[PlannedCell, ...]
    workers: int
    memory: int

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)

    def __len__(self) -> int:
        return len(self.stages)

    @property
    def seconds(self) -> float | None:
        """Seconds on all workers together; ``None`` if a stage says nothing."""
        known = [s.seconds for s in self.stages]
        if any(seconds is None for seconds in known):
            return None
        return sum(s for s in known if s is not None) / self.workers

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame([vars(stage) for stage in self.stages])

    def to_json(self) -> dict[str, Any]:
        return {"schema": 1, "provenance": dict(provenance()), "command": self.command,
                "stages": [vars(stage) for stage in self.stages], "workers": self.workers,
                "seconds": self.seconds, "memory": self.memory,
                "cells": [vars(cell) for cell in self.cells]}  # fmt: skip


@dataclass
class _Work:
    """The missing cells of a stage, and how to run or try one."""

    label: str
    names: list[tuple[str, bool]]
    missing: list[Cell]
    run: Callable[[Cell], None] | None = None
    trial: Trial | None = None
    took: list[float] = field(default_factory=list)
    first: bool = False

    def seconds(self) -> float | None:
        if not self.missing:
            return 0.0
        told = [cell.get("budget") for cell in self.missing]
        if all(isinstance(x, int | float) for x in told):
            return float(sum(x for x in told if x is not None))
        if not self.took:
            return None
        # The first one pays for what is loaded and compiled once.
        steady = self.took[1:] or self.took
        each = sum(steady) / len(steady)
        return len(self.missing) * each + max(0.0, self.took[0] - each) * self.first


@dataclass
class Planner:
    """Collects what a study would compute."""

    work: list[_Work] = field(default_factory=list)
    workers: int = 1

    def add(
        self,
        label: str,
        names: Sequence[str],
        cells: Sequence[Cell],
        done: Sequence[bool],
        *,
        run: Callable[[Cell], None] | None = None,
        trial: Trial | None = None,
        workers: int = 1,
    ) -> None:
        """Cells, and which of them are stored."""
        missing = [cell for cell, there in zip(cells, done, strict=True) if not there]
        told = list(zip(names, done, strict=True))
        if self.work and self.work[-1].label == label and trial == self.work[-1].trial is not None:
            self.work[-1].names += told
            self.work[-1].missing += missing
        else:
            self.work.append(_Work(label, told, missing, run, trial))
        self.workers = max(self.workers, workers)

    def plan(self, command: str, seconds: float = 10.0) -> Plan:
        """The plan, its times estimated by running some of the cells for so many seconds.

        The stages take turns, their cells in an order drawn at random; one of each is run in any
        case.
        What is run so is stored like any other result, so that nothing of it is lost.

        Raises
        ------
        UsageError
            If there is nothing to plan.
        """
        if not self.work:
            raise UsageError(f"{command}: nothing that is split into cells; see `theorylab -h`")
        until = time.monotonic() + seconds
        order = random.Random(0)
        queues = []
        for work in self.work:
            if work.missing and work.seconds() is None and (work.run or work.trial):
                queues.append((work, order.sample(work.missing, len(work.missing))))
        for work, _ in queues[:1]:
            work.first = True
        turn = 0
        while queues and (turn == 0 or time.monotonic() < until):
            for work, queue in queues:
                if turn and time.monotonic() >= until:
                    break
                took = _seconds(work, queue.pop())
                if took is None:
                    queue.clear()
                else:
                    work.took.append(took)
            queues = [(work, queue) for work, queue in queues if queue]
            turn += 1
        stages = tuple(
            Stage(w.label, len(w.names), len(w.names) - len(w.missing), len(w.took), w.seconds())
            for w in self.work
        )
        cells = tuple(PlannedCell(name, w.label, done) for w in self.work for name, done in w.names)
        processes = self.workers + (self.workers > 1)
        return Plan(command, stages, cells, self.workers, processes * _peak())


def _seconds(work: _Work, cell: Cell) -> float | None:
    if work.trial is not None:
        return work.trial(cell)
    begun = time.monotonic()
    assert work.run is not None
    work.run(cell)
    return time.monotonic() - begun


def unknown(cell: Cell) -> None:
    """The :data:`Trial` of cells of which nothing short can tell how long they take."""


def _peak() -> int:
    """The most memory that this process has held, as a worker would."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else 1024 * most)


_PLANNER: ContextVar[Planner | None] = ContextVar("planner", default=None)


def planner() -> Planner | None:
    """Who collects the cells, inside :func:`plan_only`; else ``None``."""
    return _PLANNER.get()


@contextmanager
def plan_only() -> Iterator[Planner]:
    """A study inside computes nothing, and ends where its cells are known.

    Examples
    --------
    >>> import tempfile
    >>> from bounds import sngm
    >>> from theorylab.studies.verify import verify
    >>> with plan_only() as found:
    ...     verify([sngm.lemma_2], instances=1, out=tempfile.mkdtemp(), progress=False)
    >>> plan = found.plan("verify", seconds=0)
    >>> [(stage.label, stage.cached) for stage in plan]
    [('checking', 0), ('checking further', 0), ('hunting', 0)]
    """
    found = Planner()
    token = _PLANNER.set(found)
    try:
        yield found
    except Planned:
        pass
    finally:
        _PLANNER.reset(token)


def end_of_plan() -> None:
    """End here if all that was asked for is a plan: a study calls this after its last cells."""
    if planner() is not None:
        raise Planned
