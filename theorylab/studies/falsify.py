"""``falsify``: hunt many statements together, and write the counterexamples down."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from bounds.statement import Statement
from theorylab.data.record import Reading
from theorylab.errors import UsageError, require_each
from theorylab.hunt.arms import arms
from theorylab.hunt.counterexample import write_counterexample
from theorylab.hunt.database import Database
from theorylab.hunt.search import CONFIDENCE, Hunt, Instance, hunt
from theorylab.plugins.code import code_of
from theorylab.plugins.provenance import provenance
from theorylab.plugins.specs import Spec, readings, require_specs
from theorylab.plugins.store import Store
from theorylab.progress import track, within
from theorylab.studies import cells
from theorylab.studies.compute import Lost, compute
from theorylab.studies.planning import end_of_plan, planner
from theorylab.studies.report import Report
from theorylab.studies.scale import Scale

__all__ = ["UNHUNTED", "FalsifyReport", "falsify", "hunt_cell"]

UNHUNTED = "the budget ended before it was hunted"
_UNWRITTEN = "the budget ended before it was written; the same command again goes on"
_ORDER = 4  # shares of the seconds that an O(.) claim gets
_WRITING = 0.1  # of the budget, that writing gets at least
_MOST = 60.0  # seconds to shrink one counterexample in


@dataclass(frozen=True)
class FalsifyReport(Report):
    """What the hunt concluded about each statement.

    Attributes
    ----------
    hunts : tuple of Hunt
        In the order of the statements.
    counterexamples : mapping
        What was written for each violated statement, by ``(key, form)``; see
        :func:`theorylab.hunt.counterexample.write_counterexample`.
    seconds : float
        Wall-clock time in all: search, confirmation, shrinking and writing.
    seed : int
    data : tuple of Reading
        What the objectives that were named were built from.
    """

    hunts: tuple[Hunt, ...]
    counterexamples: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    seed: int = 0
    lost: tuple[Lost, ...] = ()
    data: tuple[Reading, ...] = ()

    def __iter__(self) -> Iterator[Hunt]:
        return iter(self.hunts)

    def __getitem__(self, index: int) -> Hunt:
        return self.hunts[index]

    def __len__(self) -> int:
        return len(self.hunts)

    @property
    def unhunted(self) -> tuple[Hunt, ...]:
        """Those whose turn did not come within the budget."""
        return tuple(h for h in self.hunts if h.reason == UNHUNTED)

    def tally(self, form: str) -> Mapping[str, int]:
        """How many statements of a form got each verdict."""
        return Counter(h.verdict for h in self.hunts if h.form == form)

    def to_pandas(self) -> pd.DataFrame:
        rows = []
        for h in self.hunts:
            best = h.best
            rows.append({
                "key": h.key, "form": h.form, "verdict": h.verdict,
                "evidence": "" if best is None else best.evidence, "how": h.how,
                "measured": None if best is None else best.measured,
                "bound": None if best is None else best.bound, "ratio": h.ratio,
                "instances": h.evaluations, "seconds": h.seconds, "reason": h.reason,
            })  # fmt: skip
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        rows = [h.to_json() for h in self.hunts]
        for row in rows:
            written = self.counterexamples.get((row["key"], row["form"]))
            if written is not None:
                row["counterexample"] = dict(written)
        data = [reading.to_json() for reading in self.data]
        return {"schema": 1, "provenance": provenance(seed=self.seed, data=data),
                "confidence": CONFIDENCE, "seconds": round(self.seconds, 1),
                "failed": [vars(lost) for lost in self.lost], "results": rows}  # fmt: skip


def falsify(
    statements: Sequence[Statement],
    specs: Sequence[Spec] | None = None,
    *,
    budget: float = 600.0,
    limit: int | None = None,
    seed: int = 0,
    jobs: int | Scale = 1,
    out: Path | str = "results/falsify",
    write: bool = False,
    database: Path | str | None = None,
    progress: bool | None = None,
) -> FalsifyReport:
    """Hunt every statement, registered or not; confidence is that of all hunts together.

    Parameters
    ----------
    statements : sequence of Statement
    specs : sequence of mapping, optional
        Objectives to start from; every registered family's default instances otherwise.
    budget : float
        Seconds in all; building the objectives, what was begun in time and a tenth for writing
        come on top. An O(.) claim, which is measured at many sizes, takes four shares, every
        other one. A statement whose turn does not come is not refuted, and its reason says so.
    limit : int, optional
        Instances tried for each statement, in place of ``budget``: the same bits on any machine.
    seed : int
    jobs : int or Scale
        Worker processes; or workers elsewhere.
    out : path
        Where finished cells are kept and counterexamples written.
    write : bool
        Whether to shrink and write counterexamples under ``out/counterexamples``.
    database : path, optional
        A folder of counterexamples (:class:`theorylab.hunt.database.Database`), tried first and
        confirmed anew; those found are added at the end. What is finished in ``out`` is not hunted
        again for it.

    Returns
    -------
    FalsifyReport

    Examples
    --------
    >>> import tempfile
    >>> from bounds import Claim, Statement
    >>> from bounds.notation import beta
    >>> mine = Statement("demo.false", "Remark", "printed", Claim(1 / (1 - beta), "<=", 3))
    >>> report = falsify([mine], limit=20, out=tempfile.mkdtemp(), progress=False)
    >>> report.tally("printed")
    Counter({'violated': 1})
    """
    require_each("falsify", "statements", statements, Statement)
    require_specs("falsify", specs)
    begun = time.monotonic()
    shares = [_ORDER if s.claim.big_o else 1 for s in statements]
    each = budget * Scale.of(jobs).jobs / max(1, sum(shares))
    chosen: dict[str, Any] = {} if specs is None else {"specs": [dict(s) for s in specs]}
    table: list[Mapping[str, Any]] = [
        {"kind": "hunt", **cells.name(s), "seed": seed, "family": len(statements), **chosen,
         **({"budget": each * share} if limit is None else {"limit": limit})}
        for s, share in zip(statements, shares, strict=True)
    ]  # fmt: skip
    work, store = partial(hunt_cell, sent=cells.unregistered(statements)), Store(out)
    known = None if database is None else Database(Path(database))
    if known is not None and known.folder.exists() and not known.folder.is_dir():
        raise UsageError(f"falsify: database is a folder, got the file {known.folder}")
    if known is not None:
        table = _started(work, statements, table, known, store, specs)
    if statements and limit is None and Scale.of(jobs).jobs == 1 and planner() is None:
        with suppress(UsageError):  # build the objectives before the clock is started
            arms(statements[0], specs, seed)
    started = time.monotonic()
    left = None if limit is not None else budget
    results = compute(work, table, store, jobs=jobs, label="hunting", budget=left,
                      progress=progress, reads=Hunt.from_json)  # fmt: skip
    end_of_plan()
    done = [(s, _hunted(s, results[i])) for i, s in enumerate(statements)
            if i not in results.failed]  # fmt: skip
    hunts = tuple(found for _, found in done)
    if known is not None:
        for found in hunts:
            known.keep(found)
    written: dict[tuple[str, str], Mapping[str, Any]] = {}
    report = FalsifyReport(hunts, written, 0.0, seed, results.lost, readings(specs or ()))
    if write:  # another run's results name scripts of another run
        report.make_room(Path(out) / "results.json", Path(out) / "counterexamples")
        now = time.monotonic()
        ends = math.inf if limit is not None else max(started + budget, now + _WRITING * budget)
        written.update(_write(done, out, ends, progress))
    return replace(report, seconds=time.monotonic() - begun)


def _hunted(statement: Statement, result: Mapping[str, Any] | None) -> Hunt:
    if result is None:
        return Hunt(statement.key, statement.form, "not refuted", reason=UNHUNTED)
    return Hunt.from_json(result)


def _write(
    done: Sequence[tuple[Statement, Hunt]], out: Path | str, ends: float, progress: bool | None
) -> Iterator[tuple[tuple[str, str], Mapping[str, Any]]]:
    """What was written for each violated statement, the seconds left shared evenly."""
    violated = [(s, found) for s, found in done if found.verdict == "violated"]
    for k, (statement, found) in enumerate(track(violated, "writing", progress)):
        left = ends - time.monotonic()
        if left <= 0:
            made: Mapping[str, Any] = {"script": None, "replay": None, "reason": _UNWRITTEN}
        else:
            share = min(_MOST, left / (len(violated) - k))
            made = write_counterexample(statement, found, out, share)
        yield (found.key, found.form), made


def _started(
    work: Callable[[Any], Any],
    statements: Sequence[Statement],
    table: Sequence[Mapping[str, Any]],
    known: Database,
    store: Store,
    specs: Sequence[Spec] | None,
) -> list[Mapping[str, Any]]:
    """The cells; those that are not finished begin with what is known.

    A cell names where it begins, for its result depends on that: wherever it runs, and whatever
    is added to the database since, it is the same.
    """
    finished = store.finished(table, [code_of(work, cell) for cell in table])
    begun = []
    for statement, cell, result in zip(statements, table, finished, strict=True):
        start = () if result is not None else known.starts(statement, specs)
        begun.append({**cell, "start": [x.to_json() for x in start]} if start else cell)
    return begun


def hunt_cell(cell: Mapping[str, Any], sent: Sequence[Statement] = ()) -> Mapping[str, Any]:
    """Hunt one statement."""
    allowed = {name: cell[name] for name in ("budget", "limit", "work", "programs") if name in cell}
    found = hunt(cells.find(cell, sent), cell.get("specs"), **allowed, seed=cell["seed"],
                 family=cell["family"],
                 start=[Instance.from_json(x) for x in cell.get("start", ())],
                 progress=within())  # fmt: skip
    return found.to_json()
