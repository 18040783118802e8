"""``Instance``: all that is needed to measure a statement once more; what a search makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch

from bounds.statement import Statement
from bounds.units import Units
from theorylab.hunt.rescaling import rescale, units_of_class, without_noise
from theorylab.judge.check import check
from theorylab.judge.course import Course
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry
from theorylab.plugins.shape import fits, require
from theorylab.plugins.specs import Spec, build_objective
from theorylab.problem.objective import Objective

__all__ = ["FAILURES", "Evaluation", "Instance", "guess", "score"]

# What building or measuring an instance outside its range may raise: it is no candidate then.
FAILURES = (ValueError, LookupError, ArithmeticError, torch.linalg.LinAlgError)


@dataclass(frozen=True)
class Instance:
    """All that is needed to measure a statement once more.

    Attributes
    ----------
    spec : mapping, optional
        The objective; ``None`` for relations between numbers.
    values : mapping of str to float
        The statement's hyperparameters (for relations between numbers, all its symbols).
    seed : int
        Chooses the points and twins, as in :func:`theorylab.check`.
    a, b : float
        Units of value and length in which the objective is taken.
    quiet : bool
        Whether exact gradients stand in for the objective's stochastic ones.
    course : mapping of str to float
        Of an O(.) claim: the parameters that grow like a power of the size, in units that keep
        the class. What they are in ``spec`` is multiplied by ``size**power``.
    """

    spec: Spec | None
    values: Mapping[str, float]
    seed: int = 0
    a: float = 1.0
    b: float = 1.0
    quiet: bool = False
    course: Mapping[str, float] = field(default_factory=dict)

    def objective(self, statement: Statement) -> Objective | None:
        """The objective, in its units."""
        if self.spec is None:
            return None
        built = _built(_frozen(self.spec), self.quiet)
        if self.a == self.b == 1.0:
            return built
        return rescale(built, self.a, self.b, _units(statement))

    def at(self, statement: Statement, size: float) -> Objective:
        """The objective at a size of its course, in units that keep the class."""
        assert self.spec is not None
        home = self.objective(statement)
        assert home is not None
        own = dict(home.parameters) | dict(self.spec.get("parameters", {}))
        moved = {name: own[name] * size**power for name, power in self.course.items()}
        spec = {**self.spec, "parameters": {**self.spec.get("parameters", {}), **moved}}
        there = replace(self, spec=spec, course={}).objective(statement)
        assert there is not None
        found = rescale(there, *units_of_class(statement, home, there), _units(statement))
        found.name = f"{home.name}, {_told(self.course, 'size')}"
        return found

    def check(self, statement: Statement, **options: Any) -> Verdict:
        """:func:`theorylab.check` at exactly this instance."""
        if self.course:
            assert statement.rate is not None
            told = f"{_told(self.course, statement.rate.scale.name)}, one class"
            options["course"] = Course(lambda size: self.at(statement, size), told)
        return check(statement, self.objective(statement), values=self.values, count=1,
                     seed=self.seed, **options)  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self) | {"values": dict(self.values), "spec": self.spec and dict(self.spec),
                               "course": dict(self.course)}  # fmt: skip

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Instance:
        """The inverse of :meth:`to_json`.

        Raises
        ------
        ValueError, KeyError, TypeError
            If an entry is of another type.
        """
        require(cls, table)
        spec = table["spec"]
        if spec is not None and not fits(spec.get("family"), str):
            raise ValueError(f"an objective has a family, got {spec.get('family')!r}")
        return cls(**{k: table[k] for k in cls.__dataclass_fields__ if k in table})


@dataclass(frozen=True)
class Evaluation:
    """One measurement made by a hunt, and the seconds it took."""

    instance: Instance
    verdict: Verdict
    seconds: float = field(default=0.0, compare=False)


def guess(verdict: Verdict) -> float:
    """The measured side, a sampled one down by what it may owe to luck: a guide, no evidence.

    An interval that is valid for every law says little of few samples, so a search that followed
    its end would be blind. One that trusted that what was not seen is not there would follow
    illusions: samples that agree bit for bit have missed what all depends on.
    """
    if verdict.exact:
        return verdict.measured
    if verdict.fall > 0:
        return verdict.measured - verdict.fall
    low = verdict.interval[0]
    return low if math.isfinite(low) else verdict.measured


def score(verdict: Verdict, statement: Statement) -> float:
    """What the search maximises: how far the measured side exceeds the bound, in [-1, 1].

    ``(m - b)/(|m| + |b|)`` grows with ``m/b`` and stays finite where the bound is 0 or
    negative; a sampled ``m`` counts at :func:`guess`, so luck is not sought (what is taken off is
    added below, which keeps the sign). For an
    equation it is the relative distance of the two sides. Where nothing bounds what samples have
    not seen, no more of them can refute: such a place scores below 0, a pointer to others.

    >>> from bounds import Claim
    >>> from bounds.notation import ell
    >>> claim = Statement("demo.x", "X", "printed", Claim(ell, "<=", 1))
    >>> score(Verdict("demo.x", "printed", "violated", 3.0, (3.0, 3.0), 1.0), claim)
    0.5
    """
    if statement.claim.big_o:
        return -1.0 if verdict.growth is None else math.tanh(verdict.growth[1])
    error = verdict.measured - guess(verdict)
    gap = verdict.measured - verdict.bound
    hidden = verdict.exact or not verdict.evidence
    if hidden and verdict.verdict == "not refuted" and gap > 0:
        return -1.0  # beyond the bound and yet undecided: overflow or rounding
    if statement.claim.sense == "==":
        gap = abs(gap)
    elif verdict.bound <= 0 and verdict.verdict != "violated" and not gap > error:
        return -1.0  # 0 <= 0 says nothing
    # What luck may have given counts among the sizes: far below the bound there is still a slope.
    total = abs(verdict.measured) + abs(verdict.bound) + error
    value = 0.0 if total == 0 else (gap - error) / total  # NaN where nothing was measured
    if not math.isfinite(value):
        return -1.0
    value = max(-1.0, min(1.0, value))
    return (value - 1) / 2 if math.isinf(verdict.unseen) else value


def _units(statement: Statement) -> Mapping[str, Units]:
    return {s.name: s.units for s in (*statement.symbols, *statement.constants)}


def _told(course: Mapping[str, float], size: str) -> str:
    """How parameters move, in words.

    >>> _told({"width": -0.5, "start": 1.0}, "T")
    'width like T^-0.5, start like T'
    """
    powers = {name: "" if power == 1 else f"^{power:g}" for name, power in course.items()}
    return ", ".join(f"{name} like {size}{power}" for name, power in powers.items())


def _frozen(spec: Spec) -> tuple[str, tuple[tuple[str, Any], ...]]:
    def freeze(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    parameters = spec.get("parameters", {})
    return spec["family"], tuple((k, freeze(v)) for k, v in sorted(parameters.items()))


@lru_cache(maxsize=256)
def _built(frozen: tuple[str, tuple[tuple[str, Any], ...]], quiet: bool) -> Objective:
    # The very same objective again, so that runs on it that are kept are found.
    built = _objective(frozen)
    return without_noise(built) if quiet else built


@lru_cache(maxsize=256)
def _objective(frozen: tuple[str, tuple[tuple[str, Any], ...]]) -> Objective:
    # A search builds thousands: specs.build_objective would keep every one.
    name, parameters = frozen
    if not parameters:
        return build_objective({"family": name})
    return registry.family(name).build(**dict(parameters))
