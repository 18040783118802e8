"""Changing the units of an objective, and the attack on statements whose units disagree.

``f -> a f(. / b)`` is the same function in other units: every certified constant grows by the
factor its units say, and a run with rescaled hyperparameters visits the rescaled points. A
statement whose two sides have different units therefore fails for some ``(a, b)`` unless its
bound is never within reach; the attack looks for them.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from torch import Tensor

import bounds.notation
from bounds.claim import DomainError
from bounds.statement import Statement
from bounds.symbol import Symbol
from bounds.units import Units
from theorylab.errors import UsageError
from theorylab.judge.check import check, constants_for
from theorylab.judge.domain import points
from theorylab.judge.verdict import Verdict
from theorylab.plugins.specs import Spec, build_objective
from theorylab.problem.affine import AffineGradients
from theorylab.problem.objective import Constant, FiniteSum, Objective
from theorylab.problem.workers import Workers

__all__ = ["Attack", "rescale", "rescaling_attack", "units_of_class", "without_noise"]

_POWERS = (6, 4, 3, 2, 1)
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))


class _Rescaled(Objective):
    """``a F(w / b)``."""

    def __init__(self, inner: Objective, a: float, b: float, units: Mapping[str, Units]) -> None:
        self.inner, self.a, self.b, self.units = inner, float(a), float(b), units
        self.name = f"{inner.name} rescaled by a={a:g}, b={b:g}"
        self.start = inner.start * self.b
        self.parameters = {**inner.parameters, "a": self.a, "b": self.b}

    def value(self, w: Tensor) -> Tensor:
        return self.a * self.inner.value(w / self.b)

    def gradient(self, w: Tensor) -> Tensor:
        return self.a / self.b * self.inner.gradient(w / self.b)

    def hessian(self, w: Tensor) -> Tensor:
        return self.a / self.b**2 * self.inner.hessian(w / self.b)

    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        return self.inner.draw(rng, steps, replicas, batch_size)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.a / self.b * self.inner.sample_gradient(w / self.b, draw)

    def batch_value(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.a * self.inner.batch_value(w / self.b, draw)

    def outcomes(self) -> tuple[np.ndarray, np.ndarray] | None:
        return self.inner.outcomes()

    def constants(self) -> Mapping[str, Constant]:
        return self._scaled(self.inner.constants())

    def sample_constants(self) -> Mapping[str, Constant]:
        return self._scaled(self.inner.sample_constants())

    def region_constants(self) -> Mapping[str, Constant]:
        return self._scaled(self.inner.region_constants())

    @property
    def declared(self) -> frozenset[str]:
        return self.inner.declared

    @property
    def sample_declared(self) -> frozenset[str]:
        return self.inner.sample_declared

    def affine_gradients(self) -> AffineGradients | None:
        form = self.inner.affine_gradients()
        if form is None:
            return None
        slope = self.a / self.b
        return AffineGradients(form.chances, slope / self.b * form.matrices,
                               slope * form.offsets, slope**2 * form.covariance)  # fmt: skip

    @property
    def setting(self) -> frozenset[str]:
        return self.inner.setting

    @property
    def smooth_part(self) -> Objective:
        part = self.inner.smooth_part
        return self if part is self.inner else _Rescaled(part, self.a, self.b, self.units)

    def simple_slope(self, size: float) -> float:
        return self.a / self.b * self.inner.simple_slope(size / self.b)

    def inside(self, w: Tensor) -> Tensor:
        return self.b * self.inner.inside(w / self.b)

    def prox(self, w: Tensor, step: Any) -> Tensor:
        return self.b * self.inner.prox(w / self.b, self.a / self.b**2 * step)

    def projection(self, w: Tensor) -> Tensor:
        return self.b * self.inner.projection(w / self.b)

    def linear_minimizer(self, g: Tensor) -> Tensor:
        return self.b * self.inner.linear_minimizer(g)

    def mirror(self, w: Tensor, g: Tensor) -> Tensor:
        # The divergence is of the units of length squared.
        return self.b * self.inner.mirror(w / self.b, g / self.b)

    def minimum(self) -> float:
        return self.a * self.inner.minimum()

    def minimizer(self) -> Tensor | None:
        found = self.inner.minimizer()
        return None if found is None else found * self.b

    def _scaled(self, table: Mapping[str, Constant]) -> Mapping[str, Constant]:
        # A constant whose units are unknown certifies nothing in other units.
        return {
            name: replace(constant, value=constant.value * self.units[name].scale(self.a, self.b))
            for name, constant in table.items()
            if name in self.units
        }


class _RescaledSum(_Rescaled, FiniteSum):
    """``a F(w / b)`` for a finite sum: every f_i is rescaled."""

    inner: FiniteSum

    @property
    def n(self) -> int:
        return self.inner.n

    def sample_value(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.a * self.inner.sample_value(w / self.b, draw)

    def resize(self, n: int, seed: int = 0) -> FiniteSum:
        return _RescaledSum(self.inner.resize(n, seed), self.a, self.b, self.units)

    def replacement(self, seed: int, pairs: int) -> tuple[np.ndarray, FiniteSum]:
        positions, twin = self.inner.replacement(seed, pairs)
        return positions, _RescaledSum(twin, self.a, self.b, self.units)


def rescale(
    objective: Objective, a: float, b: float, units: Mapping[str, Units] | None = None
) -> Objective:
    """``w -> a F(w / b)``, with its certified constants scaled by their units.

    Parameters
    ----------
    objective : Objective
    a, b : float
        The new units of value and of length, positive.
    units : mapping of str to Units
        Units of constants outside :mod:`bounds.notation`, by name; a constant of unknown
        units is dropped.

    Raises
    ------
    UsageError
        If ``a`` or ``b`` is not positive.

    Examples
    --------
    >>> import synthetic
    >>> bowl = synthetic.quadratic(dim=2)
    >>> float(rescale(bowl, 6.0, 2.0).constants()["ell"]) / float(bowl.constants()["ell"])
    1.5
    """
    if not (a > 0 and b > 0):
        raise UsageError(f"rescale: a and b must be positive, got a = {a:g}, b = {b:g}")
    table = {**_notation_units(), **(units or {})}
    if isinstance(objective, Workers):
        name = f"{objective.name} rescaled by a={a:g}, b={b:g}"
        return objective.map(name, lambda part: rescale(part, a, b, units), a / b)
    kind = _RescaledSum if isinstance(objective, FiniteSum) else _Rescaled
    return kind(objective, a, b, table)


def units_of_class(
    statement: Statement, home: Objective, there: Objective
) -> tuple[float, float]:  # fmt: skip
    """The units ``(a, b)`` in which ``there`` certifies as much as ``home``, as far as two can do.

    The constants of the statement come first, then distance, suboptimality and smoothness: those
    that are certified, positive, and of units that the ones before leave open.

    Examples
    --------
    >>> import synthetic
    >>> from bounds import sngm
    >>> steep = synthetic.quadratic(dim=1, ell=4.0, start=6.0)
    >>> a, b = units_of_class(sngm.theorem_1, synthetic.quadratic(dim=1, ell=1.0, start=3.0), steep)
    >>> c = rescale(steep, a, b).constants()
    >>> round(float(c["ell"]), 12), round(float(c["Delta"]), 12)
    (1.0, 4.5)
    """
    named = (*statement.constants, *(s for a in statement.assumptions for s in a.constants))
    units = {s.name: s.units for s in named} | {
        s.name: s.units for s in (bounds.notation.R, bounds.notation.Delta, bounds.notation.ell)
    }  # fmt: skip
    wanted, found = home.constants(), there.constants()
    rows: list[list[float]] = []
    logs: list[float] = []
    for name, unit in units.items():
        if name not in wanted or name not in found:
            continue
        goal, now = float(wanted[name]), float(found[name])
        row = [math.log(unit.scale(math.e, 1.0)), math.log(unit.scale(1.0, math.e))]
        if min(goal, now) > 0 and np.linalg.matrix_rank([*rows, row]) > len(rows):
            rows.append(row)
            logs.append(math.log(goal / now))
    if not rows:
        return 1.0, 1.0
    a, b = np.linalg.lstsq(np.array(rows), np.array(logs), rcond=None)[0].tolist()
    return math.exp(a), math.exp(b)


class _Exact(Objective):
    """``F`` with its exact gradient as the only outcome of a draw."""

    def __init__(self, inner: Objective) -> None:
        self.inner = inner
        self.name = f"{inner.name}, exact gradients"
        self.start, self.parameters = inner.start, inner.parameters

    def value(self, w: Tensor) -> Tensor:
        return self.inner.value(w)

    def gradient(self, w: Tensor) -> Tensor:
        return self.inner.gradient(w)

    def hessian(self, w: Tensor) -> Tensor:
        return self.inner.hessian(w)

    def draw(
        self, rng: np.random.Generator, steps: int, replicas: int, batch_size: int
    ) -> np.ndarray:
        return np.empty((steps, replicas, batch_size, 0), dtype=np.float32)

    def sample_gradient(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.inner.gradient(w)

    def batch_value(self, w: Tensor, draw: Tensor) -> Tensor:
        return self.inner.smooth_part.value(w)

    def affine_gradients(self) -> AffineGradients | None:
        form = self.inner.affine_gradients()
        if form is None:
            return None
        H, c = form.mean
        return AffineGradients(np.ones(1), H[None], c[None], np.zeros_like(H))

    def outcomes(self) -> tuple[np.ndarray, np.ndarray] | None:
        return np.empty((1, 0), dtype=np.float32), np.ones(1)

    def constants(self) -> Mapping[str, Constant]:
        kept = {k: v for k, v in self.inner.constants().items() if k != "n"}
        quiet = Constant(0.0, "closed form", attained=True)
        return kept | {name: quiet for name in ("sigma_star",) if name in kept} | {"sigma": quiet}

    @property
    def declared(self) -> frozenset[str]:
        return self.inner.declared | {"unimodal_symmetric_noise"}  # none at all is

    @property
    def setting(self) -> frozenset[str]:
        return self.inner.setting

    @property
    def smooth_part(self) -> Objective:
        part = self.inner.smooth_part
        return self if part is self.inner else _Exact(part)

    def simple_slope(self, size: float) -> float:
        return self.inner.simple_slope(size)

    def inside(self, w: Tensor) -> Tensor:
        return self.inner.inside(w)

    def prox(self, w: Tensor, step: Any) -> Tensor:
        return self.inner.prox(w, step)

    def projection(self, w: Tensor) -> Tensor:
        return self.inner.projection(w)

    def linear_minimizer(self, g: Tensor) -> Tensor:
        return self.inner.linear_minimizer(g)

    def mirror(self, w: Tensor, g: Tensor) -> Tensor:
        return self.inner.mirror(w, g)

    def minimum(self) -> float:
        return self.inner.minimum()

    def minimizer(self) -> Tensor | None:
        return self.inner.minimizer()


def without_noise(objective: Objective) -> Objective:
    """The same function with exact gradients: ``sigma = 0``, no samples.

    Examples
    --------
    >>> import synthetic
    >>> noisy = synthetic.quadratic(dim=2, noise="two_point", sigma=0.5)
    >>> float(without_noise(noisy).constants()["sigma"])
    0.0
    """
    if isinstance(objective, Workers):
        return objective.map(f"{objective.name}, exact gradients", without_noise)
    return _Exact(objective)


@dataclass(frozen=True)
class Attack:
    """A violation reached by a change of units.

    ``a`` and ``b`` are the new units of value and length; ``verdict`` is the check there, on
    the objective of ``spec`` (``None`` for a relation between numbers).
    """

    a: float
    b: float
    spec: Spec | None
    verdict: Verdict


def rescaling_attack(
    statement: Statement,
    specs: Sequence[Spec],
    *,
    replicas: int = 64,
    effort: float = 1e5,
    seed: int = 0,
    count: int = 4,
    budget: float = 10.0,
    limit: int | None = None,
) -> Attack | None:
    """Look for units in which the statement fails; ``None`` if none of those tried does.

    For each objective that applies, a few points of the domain are moved along with the units,
    far in eight directions, then as little as still breaks the claim. :func:`theorylab.check`
    judges each, so a violation carries its usual confidence (corrected for the number of tries)
    and repeats on fresh randomness. No new try starts after ``budget`` seconds, or after ``limit``
    tries.

    Examples
    --------
    >>> from bounds import Claim, Statement
    >>> from bounds.notation import delta, ell
    >>> odd = Statement("demo.odd", "Lemma", "printed", Claim(ell, "<=", 3 + ell**2))
    >>> rescaling_attack(odd, []) is None            # true in every unit: x <= 3 + x^2
    True
    >>> bad = Statement("demo.bad", "Lemma", "printed", Claim(ell, "<=", 3 * ell**2))
    >>> rescaling_attack(bad, []).verdict.verdict
    'violated'
    """
    if statement.claim.big_o:
        return None  # its unnamed constant may carry any units
    units = {s.name: s.units for s in (*statement.symbols, *statement.constants)}
    deadline = time.monotonic() + budget
    bases = list(_bases(statement, specs, seed, count))
    family = max(1, len(_DIRECTIONS) * len(bases))

    def judge(spec: Spec | None, base: Mapping[str, Any], a: float, b: float) -> Verdict | None:
        objective = None if spec is None else rescale(build_objective(spec), a, b, units)
        certified = frozenset() if objective is None else frozenset(objective.constants())
        moved = {
            s.name: float(base[s.name]) * s.units.scale(a, b)
            for s in (statement.symbols if objective is None else statement.hyperparameters)
            if s.name in base and s.name not in certified
        }
        try:
            return check(statement, objective, values=moved, count=1, replicas=replicas,
                         effort=effort, seed=seed, family=family)  # fmt: skip
        except (DomainError, UsageError):
            return None

    for (spec, base), (x, y) in itertools.islice(itertools.product(bases, _DIRECTIONS), limit):
        if time.monotonic() > deadline:
            return None
        found: Attack | None = None
        for power in _POWERS:  # the farthest first, then as mild as still breaks it
            a, b = 10.0 ** (x * power), 10.0 ** (y * power)
            verdict = judge(spec, base, a, b)
            if verdict is None or verdict.verdict != "violated":
                break
            found = Attack(a, b, spec, verdict)
        if found is not None:
            return found
    return None


def _bases(
    statement: Statement, specs: Sequence[Spec], seed: int, count: int
) -> Iterator[tuple[Spec | None, Mapping[str, Any]]]:
    if not statement.claim.measured:
        try:
            yield from ((None, table) for table in points(statement, {}, seed, 4 * count))
        except UsageError:
            return
        return
    for spec in specs:
        try:
            known = constants_for(statement, build_objective(spec))
            yield from ((spec, table) for table in points(statement, known, seed, count))
        except UsageError:
            continue


@cache
def _notation_units() -> Mapping[str, Units]:
    table = vars(bounds.notation).values()
    return {s.name: s.units for s in table if isinstance(s, Symbol) and s.role == "constant"}
