"""Exact worst cases of a few steps, by semidefinite programming (the extra ``[pep]``).

A performance-estimation problem looks for the worst function of a class directly: its points,
gradients and values at the few places a method visits are unknowns, tied by the interpolation
conditions of the class. It is built from parts that know nothing of any statement:

- the **function class** that the certified constants describe (:mod:`.function_class`);
- the **method**, any registered rule that is linear in what it is fed: the rule itself is run on
  coefficient vectors, so its code is its own model (:mod:`.coefficients`);
- the **law of the noise**: two atoms ``+v`` and ``-v`` at every step, ``||v||^2 <= sigma^2/B``.

A statement whose two sides are affine in the modelled quantities can then be solved at any
point of its domain, whoever wrote it. The solution is turned back into a function of the class
(:mod:`.rebuilt`) and the claim measured on it, which needs no trust in the solver.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from bounds import quantities
from bounds.claim import DomainError
from bounds.evaluation import evaluate
from bounds.statement import Statement
from bounds.symbol import Measured
from theorylab.errors import AssumptionError, UsageError
from theorylab.exact import rebuilt
from theorylab.exact.coefficients import unroll
from theorylab.exact.function_class import FunctionClass, MissingExtra
from theorylab.exact.program import MODELLED, Program, modelled
from theorylab.judge.check import check
from theorylab.judge.domain import enough, points
from theorylab.judge.verdict import Verdict, json_ready
from theorylab.method.rule import UpdateRule
from theorylab.plugins import registry
from theorylab.plugins.specs import Spec
from theorylab.quantities.one_round import OneRound
from theorylab.quantities.protocol import begins_fresh, build_rule

__all__ = [
    "FunctionClass", "MissingExtra", "WorstCase", "expansion_factor", "modelled_quantities",
    "normalised_points", "solve_points", "worst_case",
]  # fmt: skip

# One representative of each scale: units of f and w are free, so ell = Delta = 1 is no loss.
_CONSTANTS = {"ell": 1.0, "L": 1.0, "mu": 0.1, "Delta": 1.0, "Bf": 1.0, "G": 1.0, "n": 2.0,
              "d": 1.0, "D": 1.0, "R": 1.0}  # fmt: skip
_VARIED = (
    {"delta": 1.0, "sigma": 1.0},
    {"delta": 0.25, "sigma": 1.0},
    {"delta": 1.0, "sigma": 0.0},
)
_SHORT = (1.0, 2.0)  # rounds, and whatever else is counted but the batch
_SOLVER = 1e-6  # what the solver's answers are trusted to, relatively
_DOUBTED = 0.01  # of the bound: what a solver may err by beyond its gap
_AS_GOOD = 1e-3  # a function of fewer dimensions may fall this short of the best
# sigma_star as well where there is no noise; n samples may all be alike.
_MODELLED_CONSTANTS = frozenset(
    {"ell", "L", "delta", "mu", "s_min", "G", "Bf", "Delta", "sigma", "n", "D", "R"}
)
_MODELLED_WORDS = frozenset({"convex", "composite", "constrained", "monotone"})
_WARM = (0, 1, 2, 3)  # rounds before the one that a claim on a single round speaks about


@dataclass(frozen=True)
class WorstCase:
    """The worst case of a claim's measured side at one point of its domain.

    Attributes
    ----------
    key, form : str
    values : mapping of str to float
        The point of the domain.
    primal, dual : float
        Of the semidefinite program: an example attains ``primal``, a proof shows ``dual``
        (``inf`` where the problem is unbounded: no bound holds).
    status : str
        The solver's.
    bound : float
        The certified side; 1 where the claim compares two measured sides, whose ratio is then
        maximised.
    scope : str
        ``"exact"`` for the class and the two-atom law, ``"upper bound"`` if it was relaxed.
    warm : int
        How many rounds come before the one that the claim speaks about (rules that carry a
        state from round to round).
    measured : float, optional
        The measured side of an actual run at the same values, where one was hunted for.
    rebuilt : Verdict, optional
        The claim on :attr:`spec`, measured like any other instance: where its ratio is that of
        the program, the worst case is attained by a function that anyone can run.
    spec : mapping, optional
        The function rebuilt from the solution, of the family ``interpolated``.
    unbuilt : str
        Why no function was rebuilt.
    """

    key: str
    form: str
    values: Mapping[str, float]
    primal: float
    dual: float
    status: str
    bound: float
    scope: str
    warm: int = 0
    measured: float | None = None
    rebuilt: Verdict | None = None
    spec: Spec | None = None
    unbuilt: str = ""

    @property
    def reached(self) -> float | None:
        """The share of the worst case that an actual run reaches."""
        if self.measured is None or not self.primal > 0:
            return None
        return self.measured / self.primal

    @property
    def gap(self) -> float:
        """``|dual - primal|``: how far the solver is from certain (infinite if it failed)."""
        if self.primal == self.dual == math.inf:
            return 0.0
        return abs(self.dual - self.primal) if math.isfinite(self.dual) else math.inf

    @property
    def ratio(self) -> float:
        """Worst case over bound: above 1 the claim is false, at 1 it cannot be improved."""
        if self.bound > 0:
            return self.primal / self.bound
        return math.inf if self.primal > 1e-7 else 0.0

    @property
    def refutes(self) -> bool:
        """Whether an example beats the bound.

        Where a function was rebuilt, what is measured on it decides, by however little. The
        solver's word alone is believed from an excess of one part in a hundred: where terms of
        unlike size meet, it errs by more than its gap says.
        """
        if self.rebuilt is not None:
            return self.rebuilt.verdict == "violated"
        if self.scope != "exact":
            return False
        slack = _SOLVER * max(1.0, abs(self.bound)) + self.gap + _DOUBTED * abs(self.bound)
        return self.primal > self.bound + slack

    @property
    def proves(self) -> bool:
        """Whether the dual shows the claim at these values, up to the solver's error.

        A relaxed class is larger, so its worst case is an upper bound: that proves as well.
        """
        return self.dual <= self.bound + _SOLVER * max(1.0, abs(self.bound)) + self.gap

    @property
    def cross_check(self) -> str:
        """What the rebuilt function says, in a word or the reason why there is none."""
        if self.rebuilt is None:
            return self.unbuilt
        return f"{self.rebuilt.ratio:.6g} on a rebuilt function"

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; numbers that are not finite become ``None``."""
        table = dataclasses.asdict(self) | {
            "gap": self.gap, "ratio": self.ratio, "reached": self.reached,
            "values": {k: float(v) for k, v in self.values.items()},
            "rebuilt": None if self.rebuilt is None else self.rebuilt.to_json(),
            "spec": None if self.spec is None else dict(self.spec),
        }  # fmt: skip
        return dict(json_ready(table))


def worst_case(statement: Statement, values: Mapping[str, Any]) -> WorstCase:
    """Solve for the worst case of the statement's measured side at ``values``.

    Parameters
    ----------
    statement : Statement
        Both sides affine in the quantities of :func:`modelled_quantities`; its rule linear.
    values : mapping of str to float
        A point of its domain: constants, hyperparameters.

    Raises
    ------
    MissingExtra
        If PEPit is not installed.
    UsageError
        If the statement does not fit the template; the message says what does not.
    DomainError
        If ``values`` lie outside the statement's domain.

    Examples
    --------
    >>> from bounds import Algorithm, Claim, Statement
    >>> from bounds.assumptions import SMOOTH
    >>> from bounds.notation import ell, eta
    >>> from bounds.quantities import decrease, gradient_norm_squared
    >>> lemma = Statement("demo.descent", "Lemma", "printed",
    ...     Claim(decrease, ">=", eta * (1 - ell * eta / 2) * gradient_norm_squared),
    ...     (SMOOTH,), Algorithm("sgd"))
    >>> found = worst_case(lemma, {"ell": 1.0, "eta": 0.5})      # doctest: +SKIP
    >>> round(found.ratio, 6)                                     # doctest: +SKIP
    1.0
    """
    known = {k: float(v) for k, v in statement.validate(values).items() if np.ndim(v) == 0}
    claim = statement.claim
    if claim.big_o or claim.sense == "==":
        raise UsageError(f"{statement.key}: an O(.) claim or an equation has no worst case")
    if claim.mode in ("every run", "with probability") and known.get("sigma", 0.0) > 0:
        raise UsageError(
            f"{statement.key}: a claim {claim.mode} is not of the mean over the noise, which is "
            "what is maximised: set sigma = 0"
        )
    found = [_solve(statement, known, warm) for warm in _warm(statement, known)]
    return max(found, key=lambda f: -math.inf if math.isnan(f.primal) else f.primal)


def _warm(statement: Statement, known: Mapping[str, float]) -> tuple[int, ...]:
    """How many rounds to put before a single one: none where it depends on ``w`` alone."""
    names = {s.name for s in statement.claim.measured}
    if statement.algorithm is None or not names <= OneRound.provides:
        return (0,)
    return (0,) if begins_fresh(build_rule(statement, known)) else _WARM


def _solve(
    statement: Statement, known: Mapping[str, float], warm: int, sign: bool = False
) -> WorstCase:
    """The worst ratio (or value); with ``sign``, the worst difference of the two sides."""
    sides = (_affine(statement, side, known) for side in statement.claim.sides)
    (constant, small), (bound, large) = sides
    program = Program(statement, known, fractional=bool(large), warm=warm)
    moved = {k: small.get(k, 0.0) - large.get(k, 0.0) for k in {**small, **large}}
    by_sign = bool(large) and not (constant or bound) and (sign or not small)
    if by_sign:
        # Nothing but a sign, on any scale.
        small = moved
        program.hold_gradients()
    elif large:
        # Both sides are measured: move every term to where its coefficient is positive, then
        # hold the larger side at 1 and maximise the smaller.
        small = {k: v for k, v in moved.items() if v > 0}
        large = {k: -v for k, v in moved.items() if v < 0}
        if program.by_distance and (constant or bound):
            raise UsageError(f"{statement.key}: constants beside distances of twins")
        program.hold(bound, large)
        bound = 1.0
    if not small:
        raise UsageError("worst case: nothing measured on the smaller side")
    program.maximise(program.expression(constant, small, concave=True))
    primal, dual, status = program.solve()
    whole = program.family.exact and _assumes_what_is_modelled(statement)
    scope = "exact" if whole else "upper bound"
    found = WorstCase(statement.key, statement.form, known, primal, dual, status, bound, scope,
                      warm)  # fmt: skip
    if primal == math.inf and large and not by_sign:
        # The larger side vanishes or is negative somewhere: an instance has the worst difference.
        other = _solve(statement, known, warm, sign=True)
        return replace(found, rebuilt=other.rebuilt, spec=other.spec, unbuilt=other.unbuilt)
    return _rebuild(statement, program, found)


def _assumes_what_is_modelled(statement: Statement) -> bool:
    """Whether the program's function, its noise and its start satisfy all that is assumed.

    Where they need not (a constant of which it knows nothing, or a dimension), its worst case is
    that of a larger class.
    """
    names = {s.name for s in statement.constants}
    known = _MODELLED_CONSTANTS | ({"sigma_star"} if "sigma" not in names else set())
    words = {a.name for a in statement.assumptions if not a.constants}
    return names <= known and words <= _MODELLED_WORDS


def _rebuild(statement: Statement, program: Program, found: WorstCase) -> WorstCase:
    """The worst case with the claim measured on a function that the solution describes."""
    if not math.isfinite(found.primal):
        return replace(found, unbuilt="not rebuilt: the problem is unbounded or was not solved")
    if statement.algorithm is None or program.twins:
        return replace(found, unbuilt="not rebuilt: the claim speaks of two points")
    if program.variance > 0 and statement.batch_size(found.values) > 1:
        return replace(found, unbuilt="not rebuilt: a mean of B samples has more than two atoms")
    if "interpolated" not in registry.families():
        return replace(found, unbuilt="not rebuilt: the family 'interpolated' is not registered")
    free = {s.name for s in (*statement.hyperparameters, *statement.lengths)}
    values = {k: v for k, v in found.values.items() if k in free}
    measured: list[tuple[Verdict, Spec]] = []
    for spec in rebuilt.specs(program):
        try:
            objective = registry.family(spec["family"]).build(**spec["parameters"])
            measured.append((check(statement, objective, values=values, count=1), spec))
        except (AssumptionError, DomainError, UsageError, ArithmeticError):
            continue
    if not measured and program.simple is not None:
        return replace(found, unbuilt="not rebuilt: no family holds any set or simple part")
    if not measured:
        return replace(found, unbuilt="not rebuilt: its class or its assumptions are relaxed")
    best = max(verdict.ratio for verdict, _ in measured)
    verdict, spec = next((v, s) for v, s in measured if v.ratio >= best * (1 - _AS_GOOD))
    return replace(found, rebuilt=verdict, spec=spec)


def expansion_factor(rule: UpdateRule, family: FunctionClass, steps: int = 1) -> WorstCase:
    """The greatest ``||w' - v'|| / ||w - v||`` over two runs that see the same samples.

    One round of a stability proof: both runs take ``steps`` steps of ``rule`` on one function
    of the class. The expected factor of LRSGD-R averages this over its random round length.

    Examples
    --------
    >>> from theorylab.method import SGD
    >>> round(expansion_factor(SGD(eta=0.5), FunctionClass(-1.0, 2.0)).primal, 6)  # doctest: +SKIP
    1.5
    """
    program = Program.bare(family)
    path = unroll(rule, steps, noisy=False)
    (first, _), (second, _) = program.follow(path, 0.0), program.follow(path, 0.0)
    program.require((first[0][0] - second[0][0]) ** 2 <= 1)
    program.maximise((first[-1][0] - second[-1][0]) ** 2)
    primal, dual, status = program.solve()
    values = {"lower": family.lower, "upper": family.upper, "steps": float(steps)}
    return WorstCase(f"expansion.{rule.name}", "repaired", values, math.sqrt(max(primal, 0.0)),
                     math.sqrt(max(dual, 0.0)), status, math.inf,
                     "exact" if family.exact else "upper bound")  # fmt: skip


def solve_points(
    statement: Statement, fixed: Mapping[str, float], count: int, seed: int
) -> Iterator[WorstCase]:
    """Worst cases at up to ``count`` points of the statement's domain, constants normalised.

    Raises
    ------
    UsageError
        If the statement does not fit the template, or no point is small enough to solve.
    """
    failure: UsageError | None = None
    solved = 0
    for table in normalised_points(statement, fixed, count, seed):
        try:
            yield worst_case(statement, table)
            solved += 1
        except MissingExtra:
            raise
        except UsageError as error:
            failure = error
    if not solved and failure is not None:
        raise failure


def normalised_points(
    statement: Statement, fixed: Mapping[str, float], count: int | None, seed: int
) -> list[dict[str, Any]]:
    """Points of the domain with ``ell = Delta = ... = 1`` and few rounds, corners first.

    At most ``count``; with ``None`` as many as a check of each choice of constants would try.
    """
    names = {s.name for s in (*statement.symbols, *statement.constants)}
    found: list[dict[str, Any]] = []
    batch = set() if statement.algorithm is None else statement.algorithm.batch.free_symbols
    counted = [s.name for s in statement.hyperparameters if s.domain.integer and s not in batch]
    tables = [
        {
            k: v
            for k, v in {**_CONSTANTS, **varied, **dict.fromkeys(counted, short), **fixed}.items()
            if k in names
        }
        for short in _SHORT
        for varied in _VARIED
    ]
    distinct = [t for i, t in enumerate(tables) if t not in tables[:i]]
    for known in distinct:
        each = enough(statement, known) if count is None else max(1, -(-count // len(distinct)))
        try:
            found += points(statement, known, seed, each)
        except UsageError:
            continue
    if not found:
        known = {k: v for k, v in fixed.items() if k in names}
        return points(statement, known, seed, enough(statement, known) if count is None else count)
    return found[:count]


def modelled_quantities() -> tuple[str, ...]:
    """Names of the measured quantities a problem can speak about."""
    paths = [q.name for q in vars(quantities).values() if isinstance(q, Measured) and modelled(q)]
    return tuple(sorted({*MODELLED, *paths}))


# --- the claim --------------------------------------------------------------------------------
def _affine(
    statement: Statement, side: sp.Expr, values: Mapping[str, float]
) -> tuple[float, dict[str, float]]:
    """``side`` as a constant and a coefficient for each measured quantity."""
    measured = sorted(statement.claim.measured & side.free_symbols, key=str)
    unknown = [s.name for s in measured if not modelled(s)]
    if unknown:
        raise UsageError(
            f"{statement.key}: no semidefinite model of {', '.join(unknown)}, but of "
            f"{len(modelled_quantities())} other quantities"
        )
    coefficients = {}
    for symbol in measured:
        slope = sp.diff(side, symbol)
        if slope.free_symbols & statement.claim.measured:
            raise UsageError(f"{statement.key}: {side} is not affine in {symbol.name}")
        coefficients[symbol.name] = float(evaluate(slope, values))
    rest = sp.sympify(side).subs(dict.fromkeys(measured, 0))
    return float(evaluate(rest, values)), coefficients
