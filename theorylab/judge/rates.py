"""O(.) claims: does measured/bound keep growing with what grows? Then no constant will do.

One instance of the domain is followed over growing sizes of the symbol that the statement's
:class:`bounds.Rate` names; with a :class:`.course.Course` its function is another at each. Growth
counts where it persists: in every window of sizes the ratio rises by more than the intervals at
both ends, it does not fade, and it comes beyond all that an O(.) may hide (:mod:`.hidden`). The
intervals hold for any law within what is certified, so samples without a certified upper range
show no growth: an earlier size may have been as large. An order that follows from a proven
explicit bound is never refuted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from bounds.claim import DomainError
from bounds.evaluation import evaluate
from bounds.notation import n as samples
from bounds.statement import Statement
from bounds.symbol import Symbol
from theorylab.errors import AssumptionError, UsageError
from theorylab.judge.check import constants_for, shown
from theorylab.judge.comparison import Comparison, compare
from theorylab.judge.course import Course
from theorylab.judge.deciding import trivial_value, verdict_at
from theorylab.judge.domain import points
from theorylab.judge.hidden import fallen, hidden_factor, slowest_time
from theorylab.judge.orders import proven_order, replayed
from theorylab.judge.verdict import Verdict
from theorylab.problem.objective import FiniteSum, Objective
from theorylab.progress import track
from theorylab.quantities import Experiment, Protocol

__all__ = ["check_order", "follows_by_algebra"]

_SIZES = 5
_RATE_POINTS = 6
_WINDOW = 3  # sizes, first against last
_RATES_OF_GROWTH = 0.02  # slower growth may be a logarithm's
_FALLEN = 0.5  # of what a run began with: what is left where it has begun
_LEFT = 0.1  # likewise, where it is past its first swing
_FADES = 0.75  # growth that has slowed to less than this share may be on its way to a constant
_EFFORT_PER_STEP = 15  # of an O(.) check: the longest run takes this share of it


def check_order(
    statement: Statement, objective: Objective, protocol: Protocol, fixed: Mapping[str, float],
    replicas: int, effort: float, seed: int, repeat: int, risk: float,
    course: Course | None = None,
) -> Verdict:  # fmt: skip
    """The verdict on an O(.) claim; a growth must show again on fresh randomness."""
    arguments = (statement, objective, protocol, fixed, replicas, effort, seed)
    verdict = _measure(*arguments, repeat, risk, course)
    if verdict.verdict != "violated":
        return verdict
    again = _measure(*arguments, repeat + 1, risk, course)
    once = f"grew once, did not on fresh randomness: {again.reason}"
    return verdict if again.verdict == "violated" else replace(again, reason=once)


@dataclass(frozen=True)
class _Size:
    """What was measured at one size: log(measured/bound), and the ends of a valid interval.

    Of several instances the largest is meant: its lower end, and the highest of all upper ends.
    """

    size: float
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class _Begin:
    """The shortest run of an order, and the two sides there."""

    experiment: Experiment
    measured: float
    bound: float


def _measure(
    statement: Statement, objective: Objective, protocol: Protocol, fixed: Mapping[str, float],
    replicas: int, effort: float, seed: int, repeat: int, risk: float,
    course: Course | None = None,
) -> Verdict:  # fmt: skip
    rate = statement.rate
    if rate is None:
        raise UsageError(f"{statement.key}: an O(.) claim needs a rate that says what grows")
    name = rate.scale.name
    sizes = _sizes(statement, objective, effort)
    curve: list[_Size] = []
    tables: list[tuple[Objective, Mapping[str, Any], float]] = []
    lasts: list[tuple[Experiment, float]] = []
    last: Verdict | None = None
    comparisons = 0
    experiments = list(_experiments(
        statement, objective, sizes, fixed, replicas, effort, seed, repeat, course
    ))  # fmt: skip
    proven = bool(experiments) and _proven(statement, [e for _, e in experiments])
    label = f"checking {statement.key}"
    for k, (size, experiment) in enumerate(track(experiments, label, shown(effort))):
        if k == len(experiments) - 1 and not proven and _settled(curve):
            break  # the longest by far, and whatever it gave, no growth would persist
        values = experiment.values
        found = protocol.measure(experiment)
        compared = compare(statement.claim, values, found, risk / len(sizes))
        comparisons += len(compared.measured)
        i = int(np.argmax(compared.ratio))
        last = verdict_at(experiment, "not refuted", compared, i, "", comparisons)
        tables.append((experiment.objective, values, last.interval[0]))
        if compared.bound[i] >= trivial_value(statement, values):
            continue  # a ratio to a bound beyond the trivial value says nothing of the rate
        if not (last.measured > 0 and 0 < last.bound < math.inf):
            continue
        curve.append(_at(size, compared, i, last))
        lasts.append((experiment, last.bound))
    if last is None:
        raise UsageError(f"{statement.key}: no size of {name} among {sizes} is admissible")
    if len(curve) < _WINDOW:
        judged = replace(last, evidence="samples", reason="too few sizes gave a positive ratio")
    else:
        judged = _judge_growth(last, curve[-4:], name)  # the smallest size is pre-asymptotic
    if judged.verdict == "violated":
        begin = _begin(
            statement, objective, protocol, fixed, replicas, effort, seed, repeat, course
        )
        hardly = _FALLEN if _steady(curve[-4:]) else _LEFT
        why = ""
        if begin is not None and last.measured >= hardly * begin.measured:
            why = (f"from {begin.measured:.3g} it is hardly under way, and any O(.) hides how long "
                   "that takes")  # fmt: skip
        elif last.ratio <= (most := _most(statement, begin, lasts)):
            why = f"at a ratio of {last.ratio:.3g}, and an O(.) may hide {most:.3g} here"
        if why:
            judged = replace(judged, verdict="not refuted", evidence="samples",
                             reason=f"{judged.reason}; {why}")  # fmt: skip
    if course is not None:
        judged = replace(judged, reason=f"{course.told}: {judged.reason}")
    return _by_algebra(statement, judged, tables)


def _steady(curve: Sequence[_Size]) -> bool:
    """Whether growth fades from no size to the next: a run in its first swing rises and falls."""
    steps = [(b.ratio - a.ratio) / abs(math.log(b.size / a.size))
             for a, b in pairwise(curve)]  # fmt: skip
    return all(later >= _FADES * step for step, later in pairwise(steps))


def _settled(curve: Sequence[_Size]) -> bool:
    """Whether no growth persists, whatever one more size gives.

    The last sizes so far are one of the windows that are judged then, or that are judged now.
    """
    if len(curve) <= _WINDOW:
        return False
    first, last = curve[-_WINDOW], curve[-1]
    return (last.low - first.high) / abs(math.log(last.size / first.size)) <= _RATES_OF_GROWTH


def _proven(statement: Statement, experiments: Sequence[Experiment]) -> bool:
    """Whether the order follows from a repaired bound, which is then asked at every size."""
    certified = _certified_by(experiments[-1].objective)
    return proven_order(statement, [e.values for e in experiments], certified) is not None


def _begin(
    statement: Statement, objective: Objective, protocol: Protocol, fixed: Mapping[str, float],
    replicas: int, effort: float, seed: int, repeat: int, course: Course | None,
) -> _Begin | None:  # fmt: skip
    """The measured side of the shortest run there is, if it is of a run whose length the size sets.

    A true order may grow beside its bound for as long as a run has not begun: the constant that the
    O(.) hides is as large as the way from the start is long.
    """
    rate = statement.rate
    assert rate is not None
    if _grows_data(rate.scale) or not any(q.path and q.of_run for q in statement.claim.measured):
        return None
    longer = _sizes(statement, objective, effort)
    sizes = (1.0, *longer) if rate.grows else longer
    for _, experiment in _experiments(statement, objective, sizes, fixed, replicas, effort, seed,
                                      repeat, course):  # fmt: skip
        compared = compare(statement.claim, experiment.values, protocol.measure(experiment), 0.5)
        i = int(np.argmax(compared.measured))
        return _Begin(experiment, float(compared.measured[i]), float(compared.bound[i]))
    return None


def _most(
    statement: Statement, begin: _Begin | None, sizes: Sequence[tuple[Experiment, float]]
) -> float:  # fmt: skip
    """The largest ratio to the bound that a true order may have here, whatever its constant.

    That is what mends the bound's units, times what the bound fell by while the run had not begun.
    """
    hidden = hidden_factor(statement, sizes[-1][0].values)
    if begin is None or not 0 < begin.bound < math.inf:
        return hidden
    ways = [(begin.experiment, begin.bound), *sizes]
    ways = [way for k, way in enumerate(ways) if not k or way[0].rounds > ways[k - 1][0].rounds]
    first = begin.experiment
    return hidden * fallen([e.rounds for e, _ in ways], [b for _, b in ways],
                           slowest_time(statement, first.values))  # fmt: skip


def follows_by_algebra(
    statement: Statement, objective: Objective, fixed: Mapping[str, float], *,
    effort: float = 1e5, seed: int = 0,
) -> bool:  # fmt: skip
    """Whether an O(.) claim's order follows from a repaired bound at these values: no measurement.

    No growth that a check may measure there can refute the claim.
    """
    sizes = _sizes(statement, objective, effort)
    found = [e for _, e in _experiments(statement, objective, sizes, fixed, 2, effort, seed, 0)]
    return bool(found) and _proven(statement, found)


def _experiments(
    statement: Statement, objective: Objective, sizes: Sequence[float], fixed: Mapping[str, float],
    replicas: int, effort: float, seed: int, repeat: int, course: Course | None = None,
) -> Iterator[tuple[float, Experiment]]:  # fmt: skip
    """One experiment a size, where the domain admits it and the effort pays for it."""
    rate = statement.rate
    assert rate is not None
    name = rate.scale.name
    first: Mapping[str, Any] | None = None
    for size in sizes:
        here = objective if course is None else course.at(size)
        if course is not None:
            course.require_one_class(course.at(sizes[0]), here, _spelt_out(statement))
        if _grows_data(rate.scale):
            assert isinstance(objective, FiniteSum)
            here = _resized(objective, int(size), seed)
        known = {**constants_for(statement, here), **fixed, name: size}
        known |= {s.name: float(evaluate(e, known)) for s, e in rate.along.items()}
        if rate.scale in statement.prescription:
            del known[name]  # it follows in turn, from counts that were rounded: C = T B
        try:
            if first is None:
                first = _telling(
                    statement, points(statement, known, seed, _RATE_POINTS, typical=True)
                )
            free = {s.name for s in statement.hyperparameters} - set(known)
            known |= {k: first[k] for k in free if k in first}
            values = statement.validate(known)
        except (DomainError, UsageError):
            continue  # the domain may begin at a larger size
        experiment = Experiment(
            statement, here, values, replicas, effort / len(sizes), seed, repeat
        )
        too_long = experiment.steps > effort / _EFFORT_PER_STEP
        if too_long or experiment.steps * experiment.batch_size > effort:
            continue  # too long to run
        yield size, experiment


@lru_cache(maxsize=256)
def _resized(objective: FiniteSum, n: int, seed: int) -> FiniteSum:
    # Its certificates cost more than most measurements; a hunt asks for the same sizes each time.
    return objective.resize(n, seed)


def _spelt_out(statement: Statement) -> frozenset[str]:
    """The symbols of a bound that has the units of what it bounds: its O(.) hides a number."""
    if statement.units != "consistent":
        return frozenset()
    return frozenset(s.name for side in statement.claim.sides for s in side.free_symbols)


def _at(size: float, compared: Comparison, i: int, verdict: Verdict) -> _Size:
    def log(value: float, bound: float) -> float:
        return math.log(value / bound) if value > 0 else -math.inf

    ends = [compared.upper(k) for k in range(len(compared.measured))]
    high = max(log(end, float(b)) for end, b in zip(ends, compared.bound, strict=True) if b > 0)
    # What may be all rounding, as the excess of a run that has arrived, is known to be no size.
    low = verdict.interval[0] if verdict.measured > compared.tolerance[i] else 0.0
    return _Size(size, log(verdict.measured, verdict.bound), log(low, verdict.bound), high)


def _judge_growth(last: Verdict, curve: Sequence[_Size], name: str) -> Verdict:
    """Violated where every window of sizes grows, beyond its intervals and without fading.

    Along the course of sizes, which may be a shrinking one: an accuracy goes to 0.
    """
    windows = list(zip(curve, curve[_WINDOW - 1 :], strict=False))
    lengths = [abs(math.log(b.size / a.size)) for a, b in windows]
    slopes = [(b.ratio - a.ratio) / x for (a, b), x in zip(windows, lengths, strict=True)]
    lowest = min((b.low - a.high) / x for (a, b), x in zip(windows, lengths, strict=True))
    highest = max((b.high - a.low) / x for (a, b), x in zip(windows, lengths, strict=True))
    whole = math.log(curve[-1].size / curve[0].size)
    slope = (curve[-1].ratio - curve[0].ratio) / abs(whole)
    power = math.copysign(slope, slope * whole)
    persists = lowest > _RATES_OF_GROWTH and slopes[-1] >= _FADES * slopes[0]
    # A ratio that grows but is still below 1 may be on its way to a constant.
    grows = len(windows) > 1 and persists and curve[-1].ratio > 0
    scales = ", ".join(f"{point.size:g}" for point in curve)
    reason = (
        f"measured/bound goes like {name}^{power:.3f} over {name} = {scales}; "
        f"{len(windows)} windows, [{lowest:+.3f}, {highest:+.3f}] each"
    )
    growth = (slope, lowest, highest)
    if not grows:
        return replace(last, verdict="not refuted", evidence="samples", reason=reason,
                       growth=growth)  # fmt: skip
    return replace(last, verdict="violated", evidence="growth", reason=reason, growth=growth)


def _by_algebra(
    statement: Statement,
    judged: Verdict,
    tables: Sequence[tuple[Objective, Mapping[str, Any], float]],
) -> Verdict:
    """The verdict, unless the order follows from a repaired bound: then a fit cannot refute it."""
    certified = _certified_by(tables[-1][0])
    repaired = proven_order(statement, [values for _, values, _ in tables], certified)
    if repaired is None:
        return judged
    follows = f"follows from {repaired.key} (repaired), whose bound is of this order"
    # A bound that this very run exceeds proves nothing, whatever was replayed.
    obeyed = all(least <= _explicit(repaired, values) for _, values, least in tables)
    return replace(judged, verdict="holds" if obeyed and replayed(repaired) else "not refuted",
                   evidence="algebra", reason=f"{follows}; {judged.reason}")  # fmt: skip


def _certified_by(objective: Objective) -> Callable[[Statement], bool]:
    """Whether the objective certifies what a statement assumes."""

    def certified(statement: Statement) -> bool:
        try:
            constants_for(statement, objective)
        except AssumptionError:
            return False
        return True

    return certified


def _explicit(repaired: Statement, values: Mapping[str, Any]) -> float:
    own = {s.name: float(values.get(s.name, 1.0)) for s in (*repaired.symbols,
                                                           *repaired.constants)}  # fmt: skip
    return float(repaired.bound(own))


def _telling(statement: Statement, table: list[dict[str, Any]]) -> dict[str, Any]:
    """The first point at which the bound says anything; the first of all if it never does."""
    for point in table:
        if statement.trivial is not None and (
            evaluate(statement.claim.rhs, point) < trivial_value(statement, point)
        ):
            return point
    return table[0]


def _grows_data(scale: Symbol) -> bool:
    """Whether what grows is the number of samples, a certified constant, and no free symbol."""
    return scale.role == "constant" and scale.name == samples.name


def _sizes(statement: Statement, objective: Objective, effort: float) -> list[float]:
    """Sizes of the growing symbol, evenly spaced in its logarithm, as far as the effort goes."""
    assert statement.rate is not None
    scale = statement.rate.scale
    if _grows_data(scale):
        if not isinstance(objective, FiniteSum):
            raise AssumptionError(f"{statement.key} grows n; {objective.name} is no finite sum")
        return [float(16 * 2**k) for k in range(_SIZES + 1)]
    if not statement.rate.grows:
        return [max(scale.typical) / 2**k for k in range(_SIZES)]
    least = max(16.0, min(scale.typical or (16.0,)))
    # Powers of two, since some measured sides come in no others.
    longest = (effort / 100 / least) ** (1 / (_SIZES - 1))
    factor = 4 if longest > math.sqrt(8) else 2
    return [float(round(least * factor**k)) for k in range(_SIZES)]
