"""``verify``: every statement against measured runs, then a short hunt of what still stands."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from bounds.statement import Statement
from theorylab.data.record import Reading
from theorylab.errors import UsageError, require_each
from theorylab.hunt.search import Hunt
from theorylab.judge.check import check, constants_for
from theorylab.judge.verdict import Verdict, worst
from theorylab.plugins import registry
from theorylab.plugins.provenance import provenance
from theorylab.plugins.specs import Spec, build_objective, objective_specs, readings, require_specs
from theorylab.plugins.store import Store
from theorylab.studies import cells
from theorylab.studies.applicable import are_chosen, blank, exact, is_own, objectives_for
from theorylab.studies.compute import Lost, compute
from theorylab.studies.falsify import hunt_cell
from theorylab.studies.planning import end_of_plan
from theorylab.studies.report import Report
from theorylab.studies.scale import Scale

__all__ = ["Checked", "VerifyReport", "check_cell", "require_applicable", "verify"]

_CONFIDENCE = 0.99
_HUNT_SEED = 0
"""Of the closing hunt, whatever the study's seed: what is false must not depend on luck."""
_INSTANCES, _ORDER_INSTANCES = 60, 16
_PROGRAMS = 2  # semidefinite ones of a closing hunt; each takes a second or more
_WORK, _ORDER_WORK = 2e7, 3e8
"""Sample gradients of one closing hunt's search: its ``work`` in :func:`theorylab.hunt.hunt`.

Most hunts end well before; without an end, a few claims on long runs took as long as all others.
"""
_FIRST = 3
"""Objectives; on the others is checked only what these do not violate."""
_SETTLED = "violated on another objective; name it to check it"
_LOOKS_APART = 1000  # between the randomness of two seeds: more than one check ever draws afresh


@dataclass(frozen=True)
class Checked:
    """One statement, with what decided it.

    Attributes
    ----------
    verdict : Verdict
        The deciding one: the gravest over the objectives, or the hunt's if that found a violation.
    rows : tuple of Verdict
        Every objective's, those that the user named first; ``not applicable`` with its reason
        where it lacks what the statement needs.
    own : tuple of Verdict
        Those of ``rows`` that are on the user's own data.
    hunt : Hunt, optional
        The closing hunt, where the checks had found no violation.
    not_run : tuple of Verdict
        Objectives that the statement speaks of and that were not checked, each with its reason.
    not_hunted : str
        Why the closing hunt that was due did not run; empty if it did, or none was due.
    """

    verdict: Verdict
    rows: tuple[Verdict, ...] = ()
    own: tuple[Verdict, ...] = ()
    hunt: Hunt | None = None
    not_run: tuple[Verdict, ...] = ()
    not_hunted: str = ""


@dataclass(frozen=True)
class VerifyReport(Report):
    """What is known of each statement and form."""

    checked: tuple[Checked, ...]
    seed: int = 0
    data: tuple[Reading, ...] = ()
    lost: tuple[Lost, ...] = ()

    def __iter__(self) -> Iterator[Verdict]:
        return (entry.verdict for entry in self.checked)

    def __len__(self) -> int:
        return len(self.checked)

    @property
    def verdicts(self) -> list[Verdict]:
        """The deciding verdict of each statement and form."""
        return [entry.verdict for entry in self.checked]

    def tally(self, form: str) -> Mapping[str, int]:
        """How many statements of a form got each verdict."""
        return Counter(v.verdict for v in self.verdicts if v.form == form)

    @property
    def not_hunted(self) -> Mapping[str, tuple[str, ...]]:
        """By reason, the keys of the printed claims whose closing hunt was due and did not run."""
        found: dict[str, dict[str, None]] = {}
        for entry in self.checked:
            if entry.not_hunted:
                found.setdefault(entry.not_hunted, {})[entry.verdict.key] = None
        return {reason: tuple(keys) for reason, keys in found.items()}

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame([
            {"key": v.key, "form": v.form, "verdict": v.verdict, "evidence": v.evidence,
             "ratio": v.ratio, "decided": v.decided, "measured": v.measured, "bound": v.bound,
             "units": v.units, "objective": v.objective, "instances": v.comparisons,
             "reason": v.reason}
            for v in self.verdicts
        ])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        rows = []
        for entry in self.checked:
            row = {**entry.verdict.to_json(), "decided": entry.verdict.decided}
            row["objectives"] = [
                {"objective": v.objective, "verdict": v.verdict, "evidence": v.evidence,
                 "ratio": v.to_json()["ratio"], "decided": v.decided, "reason": v.reason,
                 "own": v in entry.own}
                for v in entry.rows
            ]  # fmt: skip
            row["not_run"] = [{"objective": v.objective, "reason": v.reason} for v in entry.not_run]
            if entry.not_hunted:
                row["not_hunted"] = entry.not_hunted
            if entry.hunt is not None:
                row["hunt"] = {"verdict": entry.hunt.verdict, "how": entry.hunt.how,
                               "instances": entry.hunt.evaluations}  # fmt: skip
            rows.append(row)
        data = [reading.to_json() for reading in self.data]
        return {"schema": 1, "provenance": provenance(seed=self.seed, data=data),
                "failed": [vars(lost) for lost in self.lost], "results": rows}  # fmt: skip


def verify(
    statements: Sequence[Statement],
    specs: Sequence[Spec] | None = None,
    *,
    form: str = "both",
    replicas: int = 256,
    effort: float = 3e5,
    count: int | None = None,
    budget: float | None = None,
    instances: int = _INSTANCES,
    seed: int = 0,
    jobs: int | Scale = 1,
    out: Path | str = "results/verify",
    progress: bool | None = None,
) -> VerifyReport:
    """One verdict for each statement and form, registered or not.

    Each statement is checked on the user's data and on twelve more objectives that satisfy its
    assumptions (with exact gradients where it asks for no noise; of an O(.) claim four in all),
    intervals corrected for all checks together. One instance of each family comes first, those
    that attain the constants before others, one without noise among them where there is any.
    Unless ``specs`` chose them, no objective is taken after the first three for a statement that
    these violate, and only the first where all give the same numbers (a rule's probabilities for
    given gradients); what is left out is named in ``not_run``. Every printed claim that stands is
    then hunted over ``instances`` instances, with a seed of the hunt's own.

    ``seed`` changes the randomness alone: objectives, points of the domain and the closing hunt
    are the same at every seed, so that no verdict depends on which instances were met.

    Parameters
    ----------
    statements : sequence of Statement
    specs : sequence of mapping, optional
        The objectives (``{"family": ..., "parameters": {...}}``), of checks and hunt; by default
        every registered family's default instances.
    form : "printed", "repaired" or "both"
        Whether a printed form stands for the repaired one where no repair was needed.
    replicas, effort, count : int, float, int or None
        Of each check; see :func:`theorylab.check`.
    budget : float, optional
        Seconds after which no new check or hunt starts; the claims left are named.
    instances : int
        Of the closing hunt, for each claim (fewer for O(.), whose instances are whole
        experiments); 0 for none. Its search also ends after 2e7 sample gradients (3e8 for O(.)).
    seed, jobs, out : int, int, path
        As in :func:`theorylab.studies.falsify.falsify`.

    Returns
    -------
    VerifyReport

    Examples
    --------
    >>> import tempfile
    >>> from bounds import Claim, Statement
    >>> from bounds.notation import beta
    >>> mine = Statement("demo.true", "Remark", "printed", Claim(beta * (1 - beta), "<=", 0.25))
    >>> verify([mine], out=tempfile.mkdtemp(), progress=False).verdicts[0].told
    'holds (exact arithmetic)'
    """
    require_each("verify", "statements", statements, Statement)
    require_specs("verify", specs)
    begun, given = time.monotonic(), specs is not None
    specs = objective_specs() if specs is None else specs
    chosen = are_chosen(specs)
    plans = [objectives_for(statement, specs, seed, given, chosen) for statement in statements]
    queue = [
        (rank, i, spec, quiet)
        for i, plan in enumerate(plans)
        for rank, (spec, quiet) in enumerate(plan.kept)
    ]
    # Every statement's first objective comes before any statement's second: a budget that runs
    # out leaves no statement unchecked. The longest come first, so that no worker waits for one.
    queue.sort(key=lambda entry: (entry[0], not statements[entry[1]].claim.big_o))
    table = [
        {"kind": "check", **cells.name(statements[i]), "objective": spec, "quiet": quiet,
         "count": count, "replicas": replicas, "effort": effort, "seed": seed,
         "family": len(queue)}
        for _, i, spec, quiet in queue
    ]  # fmt: skip
    sent = cells.unregistered(statements)
    work, store = partial(check_cell, sent=sent), Store(out)
    results: list[Any] = [None] * len(queue)
    failed: dict[int, Lost] = {}

    def left() -> float | None:
        return None if budget is None else max(0.0, budget - (time.monotonic() - begun))

    def run(which: Sequence[int], label: str) -> None:
        done = compute(work, [table[k] for k in which], store, jobs=jobs, label=label,
                       budget=left(), progress=progress, reads=Verdict.from_json)  # fmt: skip
        for k, result in zip(which, done, strict=True):
            results[k] = result
        failed.update({which[k]: lost for k, lost in done.failed.items()})

    late = {k for k, (rank, _, spec, _) in enumerate(queue)
            if not chosen and rank >= _FIRST and not is_own(spec)}  # fmt: skip
    run([k for k in range(len(queue)) if k not in late], "checking")
    violated = {queue[k][1] for k, r in enumerate(results) if r and r["verdict"] == "violated"}
    settled = {k for k in late if queue[k][1] in violated}
    run(sorted(late - settled), "checking further")
    found: dict[int, list[Verdict]] = {i: [] for i in range(len(statements))}
    own: dict[int, list[Verdict]] = {i: [] for i in range(len(statements))}
    not_run: list[list[Verdict]] = [list(plan.left) for plan in plans]
    for k, ((_, i, spec, quiet), result) in enumerate(zip(queue, results, strict=True)):
        if k in settled:
            not_run[i].append(blank(statements[i], spec, quiet, seed, _SETTLED))
            continue
        why = f"it failed: {failed[k].reason}" if k in failed else "the budget ran out"
        row = None if result is None else Verdict.from_json(result)
        if row is None:
            row = blank(statements[i], spec, quiet, seed, why)
            not_run[i].append(row)
        (own if is_own(spec) else found)[i].append(row)
    for i, plan in enumerate(plans):
        for spec, verdict in plan.refused:
            (own if is_own(spec) else found)[i].append(verdict)
    checked = [
        Checked(_deciding(statement, own[i] + found[i], seed), (*own[i], *found[i]),
                tuple(own[i]), None, tuple(not_run[i]))
        for i, statement in enumerate(statements)
    ]  # fmt: skip
    lost = [failed[k] for k in sorted(failed)]
    if instances:
        checked, hunts_lost = _hunted(statements, checked, specs if given else None, instances,
                                      jobs, out, left(), progress)  # fmt: skip
        lost += hunts_lost
    end_of_plan()
    return VerifyReport(tuple(_with_repaired(statements, checked, form)), seed, readings(specs),
                        tuple(lost))  # fmt: skip


def require_applicable(statements: Sequence[Statement], spec: Spec) -> None:
    """Refuse an objective that was named for statements it does not satisfy.

    Raises
    ------
    AssumptionError
        With what it lacks, for the first statement that it cannot be checked on.
    """
    for statement in statements:
        if statement.claim.measured:
            constants_for(statement, build_objective(spec))


def check_cell(cell: Mapping[str, Any], sent: Sequence[Statement] = ()) -> Mapping[str, Any]:
    """Run one check; a check that cannot be made is ``not applicable`` and says why."""
    statement = cells.find(cell, sent)
    objective = None if cell["objective"] is None else build_objective(cell["objective"])
    if objective is not None and cell["quiet"]:
        objective = exact(objective)
    try:
        verdict = check(
            statement, objective, count=cell["count"], replicas=cell["replicas"],
            effort=cell["effort"], seed=0, repeat=_LOOKS_APART * cell["seed"],
            confidence=_CONFIDENCE, family=cell["family"],
        )  # fmt: skip
    except UsageError as error:
        name = "-" if objective is None else objective.name
        verdict = Verdict(statement.key, statement.form, "not applicable", objective=name,
                          units=statement.units, seed=cell["seed"], reason=str(error))  # fmt: skip
    return replace(verdict, seed=cell["seed"]).to_json()


def _deciding(statement: Statement, rows: Sequence[Verdict], seed: int) -> Verdict:
    if rows:
        return replace(worst(list(rows)), seed=seed)
    return Verdict(statement.key, statement.form, "not applicable", units=statement.units,
                   seed=seed)  # fmt: skip


def _hunted(
    statements: Sequence[Statement],
    checked: Sequence[Checked],
    specs: Sequence[Spec] | None,
    instances: int,
    jobs: int | Scale,
    out: Path | str,
    budget: float | None,
    progress: bool | None,
) -> tuple[list[Checked], tuple[Lost, ...]]:
    """The checks, with a short hunt of every printed claim that they did not refute."""
    standing = [
        i for i, (statement, entry) in enumerate(zip(statements, checked, strict=True))
        if statement.form == "printed" and entry.verdict.verdict != "violated"
    ]  # fmt: skip
    standing.sort(key=lambda i: not statements[i].claim.big_o)  # the longest first
    chosen: dict[str, Any] = {} if specs is None else {"specs": [dict(s) for s in specs]}
    table = [
        {"kind": "hunt", **cells.name(statements[i]), "seed": _HUNT_SEED, **chosen,
         "family": len(statements), "programs": _PROGRAMS,
         "work": _ORDER_WORK if statements[i].claim.big_o else _WORK,
         "limit": min(instances, _ORDER_INSTANCES) if statements[i].claim.big_o else instances}
        for i in standing
    ]  # fmt: skip
    work = partial(hunt_cell, sent=cells.unregistered(statements))
    results = compute(work, table, Store(out), jobs=jobs, label="hunting", budget=budget,
                      progress=progress, reads=Hunt.from_json)  # fmt: skip
    after = list(checked)
    for k, (i, result) in enumerate(zip(standing, results, strict=True)):
        if result is None:
            after[i] = replace(checked[i], not_hunted=results.why(k))
        else:
            after[i] = _after(checked[i], Hunt.from_json(result))
    return after, results.lost


def _after(entry: Checked, hunt: Hunt) -> Checked:
    if hunt.verdict != "violated" or hunt.best is None:
        return replace(entry, hunt=hunt)
    how = f"by the closing hunt ({hunt.how})"
    before = entry.verdict
    verdict = replace(
        hunt.best, seed=before.seed, comparisons=before.comparisons + hunt.evaluations,
        undecided=before.undecided,
        reason=f"{how}; {hunt.best.reason}" if hunt.best.reason else how,
    )  # fmt: skip
    return replace(entry, verdict=verdict, hunt=hunt)


def _with_repaired(
    statements: Sequence[Statement], checked: Sequence[Checked], form: str
) -> Iterator[Checked]:
    """A printed claim that needed no repair stands for the repaired one, unless it is false."""
    for statement, entry in zip(statements, checked, strict=True):
        unrepaired = (
            statement.form == "printed"
            and (statement.key, "repaired") not in registry.statements()
            and not any(s.key == statement.key and s.form == "repaired" for s in statements)
        )
        stands = unrepaired and entry.verdict.verdict != "violated"
        if form != "repaired" or not stands:
            yield entry
        if form != "printed" and stands:
            reason = "; ".join(filter(None, ("as printed", entry.verdict.reason)))
            yield replace(entry, verdict=replace(entry.verdict, form="repaired", reason=reason))
