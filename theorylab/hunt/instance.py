"""``Instance``: all that is needed to measure a statement once more; what a search makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch

from bounds.statement import Statement
from theorylab.hunt.rescaling import rescale, without_noise
from theorylab.judge.check import check
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry
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
    """

    spec: Spec | None
    values: Mapping[str, float]
    seed: int = 0
    a: float = 1.0
    b: float = 1.0
    quiet: bool = False

    def objective(self, statement: Statement) -> Objective | None:
        """The objective, in its units."""
        if self.spec is None:
            return None
        built = _objective(_frozen(self.spec))
        built = without_noise(built) if self.quiet else built
        if self.a == self.b == 1.0:
            return built
        units = {s.name: s.units for s in (*statement.symbols, *statement.constants)}
        return rescale(built, self.a, self.b, units)

    def check(self, statement: Statement, **options: Any) -> Verdict:
        """:func:`theorylab.check` at exactly this instance."""
        return check(statement, self.objective(statement), values=self.values, count=1,
                     seed=self.seed, **options)  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self) | {"values": dict(self.values), "spec": self.spec and dict(self.spec)}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Instance:
        """The inverse of :meth:`to_json`."""
        return cls(**{k: table[k] for k in cls.__dataclass_fields__ if k in table})


@dataclass(frozen=True)
class Evaluation:
    """One measurement made by a hunt."""

    instance: Instance
    verdict: Verdict


def guess(verdict: Verdict) -> float:
    """The measured side, a sampled one three standard errors down: a guide, no evidence.

    An interval that is valid for every law says little of few samples, so a search that followed
    its end would be blind.
    """
    if verdict.exact:
        return verdict.measured
    if verdict.standard_error > 0:
        return verdict.measured - 3 * verdict.standard_error
    low = verdict.interval[0]
    return low if math.isfinite(low) else verdict.measured


def score(verdict: Verdict, statement: Statement) -> float:
    """What the search maximises: how far the measured side exceeds the bound, in [-1, 1].

    ``(m - b)/(|m| + |b|)`` grows with ``m/b`` and stays finite where the bound is 0 or
    negative; a sampled ``m`` counts at :func:`guess`, so luck is not sought. For an
    equation it is the relative distance of the two sides.

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
    elif verdict.bound <= 0 and verdict.verdict != "violated":
        return -1.0  # 0 <= 0 says nothing
    total = abs(verdict.measured) + abs(verdict.bound)
    value = 0.0 if total == 0 else (gap - error) / total  # NaN where nothing was measured
    return max(-1.0, min(1.0, value)) if math.isfinite(value) else -1.0


def _frozen(spec: Spec) -> tuple[str, tuple[tuple[str, Any], ...]]:
    def freeze(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    parameters = spec.get("parameters", {})
    return spec["family"], tuple((k, freeze(v)) for k, v in sorted(parameters.items()))


@lru_cache(maxsize=256)
def _objective(frozen: tuple[str, tuple[tuple[str, Any], ...]]) -> Objective:
    # A search builds thousands: specs.build_objective would keep every one.
    name, parameters = frozen
    if not parameters:
        return build_objective({"family": name})
    return registry.family(name).build(**dict(parameters))
