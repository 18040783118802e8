"""``check``: is the statement true on this objective, over its whole domain?

For each sampled point of the domain the measured side is measured, the certified side
evaluated, and the two are compared with a confidence interval that is corrected for the number
of comparisons. A violation seen in sampled data must repeat on fresh randomness.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats

from bounds.statement import Claim, DomainError, Statement, evaluate
from bounds.symbol import Symbol
from bounds.units import UnitsError, units_of
from theorylab.errors import AssumptionError, UsageError, require_integer
from theorylab.judge.domain import natural_scale, points
from theorylab.judge.verdict import Evidence, Outcome, Verdict, worst
from theorylab.plugins import registry
from theorylab.problem.objective import Objective
from theorylab.quantities import Experiment, Measurement, Protocol, protocol_for
from theorylab.quantities.protocol import LOST, Law

__all__ = ["check", "constants_for"]

_ROUNDING = 1e-9
# Sides that meet up to rounding are equal, where rounding is no larger a part of them than this.
_ATTAINED = 1e-6
_FLOOR = 1e-13
_OVERFLOWS = math.sqrt(np.finfo(float).max)
_OF_THE_SUM = frozenset({"n", "d", "Delta", "sigma"})
_SCALAR_POINTS = 400
_HIDDEN = "rounding or overflow hides the answer"
_EVIDENCE: Mapping[Law, Evidence] = {
    "arithmetic": "exact arithmetic", "law": "exact law", "samples": "samples",
}  # fmt: skip


def check(
    statement: Statement | str,
    objective: Objective | None = None,
    *,
    form: str | None = None,
    values: Mapping[str, float] | None = None,
    count: int = 8,
    replicas: int = 1000,
    effort: float = 2e6,
    seed: int = 0,
    confidence: float = 0.99,
    family: int = 1,
    repeat: int = 0,
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
    count : int
        Points of the domain to try, corners first.
    replicas, effort : int, float
        Repetitions at each point, cut so that about ``effort`` sample gradients are spent.
    seed : int
        The same seed gives the same verdict, bit for bit.
    confidence : float
        Of all intervals of this check together (Bonferroni); with ``family`` checks, of all.
    repeat : int
        Another value repeats the same instances with fresh randomness.

    Returns
    -------
    Verdict

    Raises
    ------
    AssumptionError
        If the objective lacks an assumption.
    DomainError
        If ``values`` lie outside the domain.

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
    for name, value, least in (("count", count, 1), ("replicas", replicas, 1), ("seed", seed, 0),
                               ("family", family, 1), ("repeat", repeat, 0)):  # fmt: skip
        require_integer("check", name, value, least)
    if not 0 < confidence < 1:
        raise UsageError(f"check: confidence must lie in (0, 1), got {confidence}")
    risk = (1 - confidence) / family
    fixed = {k: float(v) for k, v in (values or {}).items()}
    _known_names(statement, fixed)
    if not statement.claim.measured:
        return _check_numbers(statement, fixed, seed, risk)
    if objective is None:
        raise UsageError(f"{statement.key} speaks about an objective; none was given")
    protocol = protocol_for(statement)
    certified = constants_for(statement, objective)
    if statement.claim.big_o:
        from theorylab.judge import rates  # which compares sizes as this module does points

        return rates.check_order(
            statement, objective, protocol, fixed, replicas, effort, seed, repeat, risk
        )

    def experiment(point: Mapping[str, Any]) -> Experiment:
        return Experiment(statement, objective, point, replicas, effort / count, seed, repeat)

    table = points(
        statement, {**certified, **fixed}, seed, count, lambda point: experiment(point).feasible
    )
    _as_prescribed(statement, fixed, table[0])
    return worst([_judge(protocol, experiment(point), risk / len(table)) for point in table])


def constants_for(statement: Statement, objective: Objective) -> dict[str, float]:
    """The certified constants a statement needs, by name.

    A statement that assumes them ``per_sample`` gets those that hold for every f_i.

    Raises
    ------
    AssumptionError
        Naming the first missing assumption or constant.
    """
    per_sample = any(a.name == "per_sample" for a in statement.assumptions)
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
    region = objective.region_constants()
    for assumption in statement.assumptions:
        if assumption.on_region:
            table |= {s.name: region[s.name] for s in assumption.constants if s.name in region}
        missing = [s.name for s in assumption.constants if s.name not in table]
        undeclared = not assumption.constants and assumption.name not in declared
        if missing or undeclared:
            kind = f"{assumption.name} sample by sample" if per_sample else assumption.name
            lacking = f"certifies no {missing[0]}" if missing else f"is not {kind}"
            raise AssumptionError(
                f"{statement.key} assumes {assumption.name} ({assumption.text}); "
                f"{objective.name} {lacking}"
            )
    for symbol in statement.constants:
        if symbol.name not in table:
            raise AssumptionError(
                f"{statement.key} needs {symbol.name} ({symbol.meaning}); "
                f"{objective.name} certifies no {symbol.name}"
            )
    return {name: float(constant) for name, constant in table.items()}


def _known_names(statement: Statement, fixed: Mapping[str, float]) -> None:
    names = {s.name for s in statement.symbols} | {s.name for s in statement.prescription}
    if statement.algorithm is not None:
        names |= {"T", "B"}  # every run has a length and a batch size
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


@dataclass(frozen=True)
class _Comparison:
    """Both sides at every instance of a measurement, with the measured side's half-width."""

    measured: np.ndarray
    half: np.ndarray
    bound: np.ndarray
    tolerance: np.ndarray
    replicas: int
    law: Law

    @property
    def exact(self) -> bool:
        """Whether nothing was sampled."""
        return self.law != "samples"

    def outcomes(self, claim: Claim) -> np.ndarray:
        """Instance by instance; ``unknown`` where rounding or overflow hides the answer."""
        with np.errstate(all="ignore"):
            gap = self.measured - self.bound
            size = np.maximum(np.abs(self.measured), np.abs(self.bound))
            # inf - inf and the like are overflow, which is evidence of nothing. A measured side
            # that overflowed is large, but a norm overflows where its square does.
            known = np.isfinite(self.bound) & ~np.isnan(self.measured)
            known &= np.isfinite(self.measured) | (np.abs(self.bound) < _OVERFLOWS)
            half = np.where(np.isfinite(self.measured), self.half, 0.0)
            # Where the sides are differences of far larger terms, rounding may hide the answer.
            resolved = (self.tolerance <= _ATTAINED * size) | (gap == 0)
            if claim.sense == "==":
                off, below = np.abs(gap) - half > self.tolerance, np.abs(gap) <= self.tolerance
            else:
                off, below = gap - half > self.tolerance, gap + half <= self.tolerance
                resolved |= gap + half <= -self.tolerance
        held = np.where(below & resolved, "holds", "unknown")
        outcomes = np.where(known, np.where(off, "violated", held), "unknown")
        return outcomes if self.exact else np.where(off & known, outcomes, "not refuted")

    @property
    def ratio(self) -> np.ndarray:
        with np.errstate(all="ignore"):
            plain = self.measured / self.bound
            over = self.measured - self.bound > self.tolerance
        return np.where(self.bound > 0, plain, np.where(over, np.inf, 0.0))


@np.errstate(over="ignore", invalid="ignore")  # what diverged is told apart in the outcomes
def _compare(
    claim: Claim,
    values: Mapping[str, Any],
    found: Measurement,
    risk: float,
    deterministic: bool = False,
) -> _Comparison:
    if not found.exact and not deterministic and not _affine(claim):
        raise UsageError(
            f"{claim}: from samples only claims that are affine in what is measured can be judged "
            "(the mean of a function is not the function of the mean); this one is not"
        )
    table = {**values, **found.values}
    small_side, large_side = claim.sides
    small, large = np.broadcast_arrays(
        np.atleast_2d(evaluate(small_side, table)), np.atleast_2d(evaluate(large_side, table))
    )
    shape = np.broadcast_shapes(small.shape, *(v.shape for v in found.values.values()))
    small, large = np.broadcast_to(small, shape), np.broadcast_to(large, shape)
    measured, bound = small.mean(-1), large.mean(-1)
    size = np.abs(bound) + sum(np.abs(v).max(-1) for v in _terms(claim, table, shape))
    half = np.zeros_like(measured)
    if not found.exact and shape[1] > 1:
        spread = (small - large).std(axis=-1, ddof=1) / math.sqrt(shape[1])
        sides = 2 * len(measured)
        half = stats.t.isf(risk / sides, shape[1] - 1) * spread
        if not deterministic:
            # Under noise, samples that all agree have missed what is rare: they refute nothing.
            agree = spread <= _FLOOR * size
            beyond = measured != bound if claim.sense == "==" else measured > bound
            half = np.where(agree & beyond, np.inf, half)
    elif not found.exact:
        half = np.full_like(measured, np.inf)
    # Where all terms vanish, rounding is that of the values they were computed from.
    tolerance = np.maximum(_ROUNDING * size, _FLOOR * _natural_size(claim, values))
    tolerance = tolerance + found.rounding + _inherited(claim, table, found, shape)
    # A side that overflowed has no size; its rounding must not grow beyond every number with it.
    tolerance = np.minimum(tolerance, np.finfo(float).max)
    return _Comparison(measured, half, bound, tolerance, shape[1], found.law)


@lru_cache(maxsize=1024)
def _affine(claim: Claim) -> bool:
    """Whether the claim's two sides differ by an affine function of the measured quantities."""
    difference = claim.lhs - claim.rhs
    return not any(difference.diff(s).free_symbols & claim.measured for s in claim.measured)


def _inherited(
    claim: Claim, table: Mapping[str, Any], found: Measurement, shape: tuple[int, ...]
) -> np.ndarray:
    """Rounding that differences of large numbers bring into the claim's sides."""
    from sympy import Add

    lost = np.zeros(shape[:-1])
    named = {s for s in claim.measured if s.name in found.scales}
    for side in claim.sides if named else ():
        for term in Add.make_args(side):
            if term.free_symbols & named:
                size = np.abs(np.atleast_2d(evaluate(term, {**table, **found.scales})))
                lost = lost + LOST * np.broadcast_to(size, shape).max(-1)
    return lost


def _natural_size(claim: Claim, values: Mapping[str, Any]) -> float:
    """The claim's natural unit: what its measured side amounts to at length sqrt(Delta/ell)."""
    if not claim.measured:
        return 0.0
    try:
        units = units_of(claim.sides[0])
    except UnitsError:
        return 0.0
    return natural_scale(Symbol("measured side", units=units), values)


def _terms(claim: Claim, table: Mapping[str, Any], shape: tuple[int, ...]) -> list[np.ndarray]:
    """The sizes of the measured side's terms: rounding is relative to them, not to their sum."""
    from sympy import Add

    return [
        np.broadcast_to(np.atleast_2d(evaluate(term, table)), shape)
        for term in Add.make_args(claim.sides[0])
    ]


def _judge(protocol: Protocol, experiment: Experiment, risk: float) -> Verdict:
    statement = experiment.statement
    found = protocol.measure(experiment)
    quiet = not found.exact and experiment.deterministic
    compared = _compare(statement.claim, experiment.values, found, risk, quiet)
    outcomes = _outcomes(statement.claim, compared, found)
    if not found.exact and not np.all(outcomes == "holds"):
        # A violation must be seen twice, on fresh randomness; a crossing deserves a closer look.
        seen = outcomes == "violated"
        closer = 2 if seen.any() else 8
        again = replace(
            experiment, effort=closer * experiment.effort,
            replicas=closer**2 * experiment.replicas,
        )  # fmt: skip
        for repeat in (1, 2):
            found = protocol.measure(replace(again, repeat=experiment.repeat + repeat))
            compared = _compare(statement.claim, experiment.values, found, risk, quiet)
            outcomes = _outcomes(statement.claim, compared, found)
            once = (outcomes == "violated") & ~seen
            if not once.any():
                break
            seen |= once
        outcomes = np.where(once, "not refuted", outcomes)
    decisive = _decisive(outcomes, compared)
    outcome = _outcome(outcomes[decisive])
    reason = found.labels[decisive] if decisive < len(found.labels) else ""
    if outcomes[decisive] == "unknown":
        reason = _HIDDEN
    trivial = _trivial(statement, experiment.values)
    if outcome != "violated" and compared.bound[decisive] >= trivial:
        outcome, reason = "vacuous", f"the bound exceeds the trivial {trivial:.4g}"
    undecided = int(np.isin(outcomes, ("not refuted", "unknown")).sum())
    return _verdict(experiment, outcome, compared, decisive, reason, len(outcomes), undecided)


def _trivial(statement: Statement, values: Mapping[str, Any]) -> float:
    """The value beyond which the bound says nothing; infinite where none is known here."""
    trivial = statement.trivial
    if trivial is None or any(s.name not in values for s in trivial.free_symbols):
        return math.inf
    return float(evaluate(trivial, values))


def _decisive(outcomes: np.ndarray, compared: _Comparison) -> int:
    """The instance that decides, the tightest of its kind.

    A violation, else what is not refuted, else what holds. Rounding and overflow decide nothing.
    """
    ratio = np.nan_to_num(compared.ratio, nan=np.inf, posinf=np.inf)
    rank = np.select([outcomes == kind for kind in ("violated", "not refuted", "holds")], [3, 2, 1])
    return int(np.lexsort((ratio, rank))[-1])


def _outcomes(claim: Claim, compared: _Comparison, found: Measurement) -> np.ndarray:
    """Instance by instance; a supremum known from below can exceed, and nothing more."""
    outcomes = compared.outcomes(claim)
    smaller, larger = (claim.rhs, claim.lhs) if claim.sense == ">=" else (claim.lhs, claim.rhs)
    for side, never in ((larger, "violated"), (smaller, "holds")):
        if any(s.name in found.from_below for s in side.free_symbols):
            outcomes = np.where(outcomes == never, "not refuted", outcomes)
    return outcomes


def _outcome(text: str) -> Outcome:
    return "not refuted" if text == "unknown" else str(text)  # type: ignore[return-value]


def _verdict(
    experiment: Experiment,
    outcome: Outcome,
    compared: _Comparison,
    i: int,
    reason: str,
    comparisons: int,
    undecided: int = 0,
) -> Verdict:
    statement = experiment.statement
    measured, half = float(compared.measured[i]), float(compared.half[i])
    names = {s.name: s for s in (*statement.symbols, *statement.prescription)}
    shown = {k: float(v) for k, v in experiment.values.items() if np.ndim(v) == 0}
    constants = {s.name for s in statement.constants}
    return Verdict(
        statement.key, statement.form, outcome, measured, (measured - half, measured + half),
        float(compared.bound[i]), float(compared.ratio[i]), statement.units,
        experiment.objective.name,
        {k: v for k, v in shown.items() if k in constants},
        {k: v for k, v in shown.items() if k in names and k not in constants},
        compared.replicas, experiment.seed, comparisons, undecided, reason,
        evidence="" if reason == _HIDDEN else _EVIDENCE[compared.law],
    )  # fmt: skip


# --- relations between numbers alone ----------------------------------------------------------
def _check_numbers(
    statement: Statement, fixed: Mapping[str, float], seed: int, risk: float
) -> Verdict:
    table = points(statement, fixed, seed, _SCALAR_POINTS)
    names = sorted({k for point in table for k in point})
    values = {k: np.array([[float(p.get(k, math.nan))] for p in table]) for k in names}
    if statement.claim.big_o:
        raise UsageError(f"{statement.key}: an O(.) relation between numbers cannot be sampled")
    compared = _compare(
        statement.claim, values, Measurement({"-": np.zeros((len(table), 1))}, "arithmetic"), risk
    )
    outcomes = compared.outcomes(statement.claim)
    i = _decisive(outcomes, compared)
    constants = {s.name for s in statement.constants}
    point = {k: float(v) for k, v in table[i].items()}
    measured = float(compared.measured[i])
    return Verdict(
        statement.key, statement.form, _outcome(outcomes[i]), measured, (measured, measured),
        float(compared.bound[i]), float(compared.ratio[i]), statement.units, "-",
        {k: v for k, v in point.items() if k in constants},
        {k: v for k, v in point.items() if k not in constants},
        1, seed, len(table), int((outcomes == "unknown").sum()), evidence="exact arithmetic",
    )  # fmt: skip
