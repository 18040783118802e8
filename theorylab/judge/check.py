"""``check`` asks whether the statement is true on this objective, over its whole domain.

For each sampled point of the domain the measured side is measured, the certified side
evaluated, and the two are compared: exactly where the law allows, otherwise by intervals that hold
for any law within what is certified, corrected for the number of comparisons. A violation seen in
sampled data must repeat on fresh randomness.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bounds.claim import DomainError
from bounds.statement import Statement
from theorylab.errors import (
    AssumptionError,
    UsageError,
    require_finite,
    require_integer,
    require_kind,
)
from theorylab.judge.comparison import compare
from theorylab.judge.course import Course
from theorylab.judge.deciding import decisive, outcome_of
from theorylab.judge.domain import enough, points
from theorylab.judge.horizons import broken_earlier, read_on_the_way, shares, shorter
from theorylab.judge.looks import Judged, looks_at, settled
from theorylab.judge.undecided import LOST, reason_of
from theorylab.judge.verdict import Verdict, worst
from theorylab.plugins import registry
from theorylab.problem.objective import Objective
from theorylab.progress import track
from theorylab.quantities import Experiment, Measurement, protocol_for

__all__ = ["check", "constants_for", "speaks_of_workers"]

_OF_THE_SUM = frozenset({"n", "d", "Delta", "R", "sigma", "sigma_star", "ell_es", "mu_pl", "mu_qg"})
_SCALAR_POINTS = 400
_LONG = 1e7  # of effort, beyond which a person waits
_SHARES = 6  # of the effort, at least: where few points are tried, each costs no more
_REACH = 1e50  # bounds hold sixth powers of constants
_WIDTH = 8  # bytes of a number, for which the tolerances are made


def check(
    statement: Statement | str,
    objective: Objective | None = None,
    *,
    form: str | None = None,
    values: Mapping[str, float] | None = None,
    count: int | None = None,
    replicas: int = 1000,
    effort: float = 2e6,
    seed: int = 0,
    confidence: float = 0.99,
    family: int = 1,
    repeat: int = 0,
    course: Course | None = None,
) -> Verdict:
    """Check a statement on an objective.

    Parameters
    ----------
    statement : Statement or str
        The statement, or its key.
    objective : Objective
        Must certify every assumption; not needed for relations between numbers alone.
    form : "printed" or "repaired"
        With a key: which form (printed by default).
    values : mapping of str to float
        Hyperparameters to fix; the others are sampled over the statement's domain.
    count : int, optional
        Points of the domain to try, corners first; by default as many as every pair of
        hyperparameters needs to meet at every pair of their ends, and three more; six at least.
        Shorter runs are looked at on the way of each: up to 64, of sampled ones up to 16.
    replicas, effort : int, float
        Repetitions at each point, cut so that about ``effort`` sample gradients are spent;
        above 1e7 progress is shown.
    seed : int
        The same seed gives the same verdict, bit for bit.
    confidence : float
        Of all intervals of this check together (Bonferroni); with ``family`` checks, of all.
    repeat : int
        Another value repeats the same instances with fresh randomness.
    course : Course, optional
        For an O(.) claim: the objective at each size, of one class; ``objective`` names the class.

    Returns
    -------
    Verdict

    Raises
    ------
    AssumptionError
        If the objective lacks an assumption.
    DomainError
        If ``values`` lie outside the domain, or beyond 1e-50 and 1e50.
    UsageError
        If the objective is none, or computes in less than double precision.

    Examples
    --------
    >>> import synthetic, theorylab
    >>> from bounds import sngm
    >>> theorylab.check(sngm.lemma_2, synthetic.quadratic(dim=2), count=2, replicas=8).verdict
    'holds'
    """
    if form not in (None, "printed", "repaired"):
        raise UsageError(f"check: form must be 'printed' or 'repaired', got {form!r}")
    if isinstance(statement, str):
        statement = registry.statement(statement, "repaired" if form == "repaired" else "printed")
    require_kind("check", "statement", statement, Statement)
    tried = 1 if count is None else count
    for name, value, least in (("count", tried, 1), ("replicas", replicas, 1), ("seed", seed, 0),
                               ("family", family, 1), ("repeat", repeat, 0)):  # fmt: skip
        require_integer("check", name, value, least)
    if not 0 < confidence < 1:
        raise UsageError(f"check: confidence must lie in (0, 1), got {confidence}")
    risk = (1 - confidence) / family
    fixed = {k: float(v) for k, v in (values or {}).items()}
    require_finite("check", fixed)
    if far := _beyond(fixed):
        raise DomainError(f"check: {far}")
    _known_names(statement, fixed)
    if not statement.claim.measured:
        return _check_numbers(statement, fixed, seed, risk)
    if objective is None:
        raise UsageError(f"{statement.key} speaks about an objective; none was given")
    require_kind("check", "objective", objective, Objective)
    if objective.start.dtype.itemsize < _WIDTH:
        raise UsageError(
            f"check: {objective.name} computes in {objective.start.dtype}, whose rounding may look "
            "like a violation; a verdict needs torch.float64"
        )
    protocol = protocol_for(statement)
    certified = constants_for(statement, objective)
    if statement.claim.big_o:
        from theorylab.judge import rates  # which compares sizes as this module does points

        return rates.check_order(
            statement, objective, protocol, fixed, replicas, effort, seed, repeat, risk, course
        )
    if course is not None:
        raise UsageError(f"check: a course is for O(.) claims; {statement.key} is none")

    def experiment(point: Mapping[str, Any]) -> Experiment:
        return Experiment(statement, objective, point, replicas, share, seed, repeat)

    known = {**certified, **fixed}
    if count is None:
        tried = enough(statement, known)
    share = effort / (max(tried, _SHARES) if count is None else tried)
    table = points(statement, known, seed, tried, lambda point: experiment(point).feasible)
    _as_prescribed(statement, fixed, table[0])
    looks, judged = [], []
    for point in track(table, f"checking {statement.key}", shown(effort)):
        whole = read_on_the_way(experiment(point), fixed)
        last, earlier = shares(risk / len(table), whole)
        look = looks_at(protocol, whole, last)
        now = first = next(look)
        if first.verdict.reason == LOST:
            halves = [p for p in shorter(statement, point) if fixed.items() <= p.items()]
            for p in halves:
                look = looks_at(protocol, experiment(p), risk / len(table) / len(halves))
                now = next(look)
                if now.verdict.reason != LOST:  # the point is known no further than there
                    judged.append(Judged(replace(first.verdict, evidence="")))
                    looks.append(iter(judged[-1:]))
                    break
        elif first.verdict.verdict != "violated":
            for ended in broken_earlier(whole, first.earlier, earlier):
                looks.append(looks_at(protocol, ended, earlier))
                judged.append(next(looks[-1]))
        judged.append(now)
        looks.append(look)
    return worst(settled(judged, looks))


def shown(effort: float) -> bool | None:
    """Whether progress is shown: of a long check, where a person can see it."""
    return None if effort > _LONG else False


def constants_for(statement: Statement, objective: Objective) -> dict[str, float]:
    """The certified constants a statement needs, by name.

    A statement that assumes them ``per_sample`` gets those that hold for every f_i, one
    ``per_worker`` those that hold for every worker's function.

    Raises
    ------
    AssumptionError
        Naming the first missing assumption or constant.
    """
    assumed = {a.name for a in statement.assumptions}
    if objective.setting and not objective.setting & assumed:
        kinds = " and ".join(sorted(objective.setting))
        raise AssumptionError(
            f"{statement.key} speaks of a plain F on the whole space; {objective.name} is {kinds}, "
            "which a statement on it must assume"
        )
    per_sample = "per_sample" in assumed
    table = dict(objective.constants())
    if per_sample:
        if not objective.sample_constants():
            raise AssumptionError(
                f"{statement.key} needs constants that hold for every sample; "
                f"{objective.name} certifies none"
            )
        # What F certifies of itself (a bound on its values, say) need not hold for the f_i.
        kept = {k: v for k, v in table.items() if k in _OF_THE_SUM}
        table = kept | dict(objective.sample_constants())
    declared = objective.sample_declared if per_sample else objective.declared
    if speaks_of_workers(statement):
        if not objective.workers:
            raise AssumptionError(f"{statement.key} speaks of workers; {objective.name} has none")
        table, declared = dict(objective.worker_constants()), objective.worker_declared
    region = objective.region_constants()
    for assumption in statement.assumptions:
        if assumption.on_region:
            table |= {s.name: region[s.name] for s in assumption.constants if s.name in region}
        missing = [s.name for s in assumption.constants if s.name not in table]
        enough = {assumption.name, *assumption.implied_by}
        undeclared = not assumption.constants and not enough & declared
        if missing or undeclared:
            kind = f"{assumption.name} sample by sample" if per_sample else assumption.name
            lacking = f"certifies no {missing[0]}" if missing else f"is not {kind}"
            wanted = missing[0] if missing else assumption.name
            raise AssumptionError(
                f"{statement.key} assumes {assumption.name} ({assumption.text}); "
                f"{objective.name} {lacking}; {_advice(objective, wanted)}"
            )
    for symbol in statement.constants:
        if symbol.name not in table:
            raise AssumptionError(
                f"{statement.key} needs {symbol.name} ({symbol.meaning}); "
                f"{objective.name} certifies no {symbol.name}; {_advice(objective, symbol.name)}"
            )
    # A hyperparameter that has the name of a constant is another thing.
    chosen = {symbol.name for symbol in statement.hyperparameters}
    found = {name: float(constant) for name, constant in table.items() if name not in chosen}
    if far := _beyond(found):
        raise AssumptionError(f"{objective.name} certifies {far}")
    return found


def _beyond(values: Mapping[str, float]) -> str | None:
    """The first value whose powers overflow, or vanish, and what to do; ``None`` if none does."""
    for name, value in values.items():
        if value and not 1 / _REACH <= abs(value) <= _REACH:
            return (
                f"{name} = {value:.3g}; powers of what lies beyond {1 / _REACH:g} and {_REACH:g} "
                "leave what doubles hold: state it in other units"
            )
    return None


def _advice(objective: Objective, wanted: str) -> str:
    """Why it is not certified, or else where it is."""
    known = objective.uncertified(wanted)
    return known or f"theorylab objectives {wanted} lists families that do"


def speaks_of_workers(statement: Statement) -> bool:
    """Whether the statement is of a function that workers share."""
    return any(a.name == "per_worker" for a in statement.assumptions)


def _known_names(statement: Statement, fixed: Mapping[str, float]) -> None:
    names = {s.name for s in statement.symbols} | {s.name for s in statement.prescription}
    if statement.algorithm is not None:
        # Every run has a length and a batch size.
        ends = (statement.algorithm.horizon, statement.algorithm.batch)
        names |= {s.name for end in ends for s in end.free_symbols}
    for name in fixed:
        if name not in names:
            raise UsageError(
                f"{statement.key} has no symbol {name!r}; it has {', '.join(sorted(names))}"
            )


def _as_prescribed(
    statement: Statement, fixed: Mapping[str, float], point: Mapping[str, Any]
) -> None:
    """Refuse a value other than the statement's own for what it prescribes."""
    names = {s.name: e for s, e in statement.prescription.items()}
    free = {k: v for k, v in point.items() if k not in names}
    resolved = statement.resolve(free)
    for name in names.keys() & fixed.keys():
        if not math.isclose(fixed[name], float(resolved[name]), rel_tol=1e-6):
            raise DomainError(
                f"{statement.key} prescribes {name} = {names[name]}, here "
                f"{float(resolved[name]):.6g}; got {fixed[name]:.6g}"
            )


# --- relations between numbers alone ----------------------------------------------------------
def _check_numbers(
    statement: Statement, fixed: Mapping[str, float], seed: int, risk: float
) -> Verdict:
    table = points(statement, fixed, seed, _SCALAR_POINTS)
    names = sorted({k for point in table for k in point})
    values = {k: np.array([[float(p.get(k, math.nan))] for p in table]) for k in names}
    if statement.claim.big_o:
        raise UsageError(f"{statement.key}: an O(.) relation between numbers cannot be sampled")
    nothing = Measurement({"-": np.zeros((len(table), 1))}, "arithmetic")
    compared = compare(statement.claim, values, nothing, risk)
    outcomes = compared.outcomes()
    i = decisive(outcomes, compared)
    constants = {s.name for s in statement.constants}
    point = {k: float(v) for k, v in table[i].items()}
    measured = float(compared.measured[i])
    unknown = outcomes[i] == "unknown"
    return Verdict(
        statement.key, statement.form, outcome_of(outcomes[i]), measured, (measured, measured),
        float(compared.bound[i]), float(compared.ratio[i]), statement.units, "-",
        {k: v for k, v in point.items() if k in constants},
        {k: v for k, v in point.items() if k not in constants},
        1, seed, len(table), int((outcomes == "unknown").sum()),
        reason_of(compared, values, nothing, i) if unknown else "",
        evidence="" if unknown else "exact arithmetic",
    )  # fmt: skip
