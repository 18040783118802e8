"""``Verdict``: what a check concluded, with the numbers and the instance that made it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from theorylab.judge import display
from theorylab.plugins.shape import require

__all__ = ["Evidence", "Outcome", "Verdict", "json_ready", "worst"]

Outcome = Literal["violated", "holds", "not refuted", "vacuous", "not applicable"]
Evidence = Literal[
    "exact arithmetic", "exact law", "valid interval", "samples", "growth", "exact worst case",
    "algebra", "",
]  # fmt: skip

# One violated instance refutes a statement; it holds only where nothing was left to samples; and
# a vacuous bound says less than either.
_GRAVITY: Mapping[str, int] = {
    "violated": 4, "not refuted": 3, "holds": 2, "vacuous": 1, "not applicable": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """The outcome of checking one statement, at its decisive instance.

    Attributes
    ----------
    key, form : str
        The statement.
    verdict : str
        ``violated``: at some instance the measured side exceeds the bound. ``holds``: at every
        instance tried it does not (instances that rounding or overflow leave undecided apart).
        ``not refuted``: neither is known; samples rarely know more. ``vacuous``: the bound
        exceeds the trivial value. ``not applicable``: the objective lacks an assumption.
    evidence : str
        How that is known. ``"exact arithmetic"``: every number was computed, up to rounding
        (relations between numbers, pointwise quantities, runs without randomness).
        ``"exact law"``: expectations over all outcomes, or by moment recursion.
        ``"valid interval"``: a confidence interval valid for any law that the certificates
        allow; for ``violated`` seen twice, on fresh randomness. ``"samples"``: anything else
        that was sampled: ``not refuted`` at most. ``"growth"``: an O(.) claim, by the
        growth of measured/bound over sizes. ``"exact worst case"``: a semidefinite program.
        ``"algebra"``: a proof was replayed. Empty where nothing was tried or could be told.
    measured, interval, bound, ratio : float
        The measured side with its confidence interval, the certified side, and their ratio.
    units : "consistent" or "inconsistent"
        Whether the two sides scale alike.
    objective : str
        The objective of the decisive instance.
    constants, hyperparameters : mapping
        All values at the decisive instance.
    replicas, seed : int
        ``replicas`` is 1 where the measurement is exact.
    comparisons, undecided : int
        How many instances were compared, and at how many nothing was decided: samples do not
        tell, a supremum is known from below alone, or rounding or overflow hides the answer.
    reason : str
        What decided, in a phrase.
    growth : tuple of float, optional
        For O(.) claims: the slope of log(measured/bound) along the growing symbol, and its
        interval.
    standard_error : float
        Of the measured side where it was sampled: a guide for a search, no evidence.
    unseen : float
        How far a sampled mean may fall by events that no sample saw; infinite where no range is
        certified, so that no number of samples can refute the claim there. Likewise a guide.
    """

    key: str
    form: str
    verdict: Outcome
    measured: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    bound: float = math.nan
    ratio: float = math.nan
    units: str = "consistent"
    objective: str = "-"
    constants: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    replicas: int = 0
    seed: int = 0
    comparisons: int = 0
    undecided: int = 0
    reason: str = ""
    growth: tuple[float, float, float] | None = None
    evidence: Evidence = ""
    standard_error: float = 0.0
    unseen: float = 0.0

    def __repr__(self) -> str:
        return f"<{display.line(self)}>"

    def _repr_html_(self) -> str:
        return display.html(self)

    @property
    def exact(self) -> bool:
        """Whether the measured side was computed, not sampled."""
        return self.evidence in ("exact arithmetic", "exact law")

    @property
    def decided(self) -> bool:
        """Whether ``ratio`` is that of a comparison which was decided, or was computed.

        The ratio of samples that decide nothing is a guess: it may lie anywhere.
        """
        return self.verdict in ("violated", "holds", "vacuous") or self.exact

    @property
    def steady_ratio(self) -> float:
        """``ratio`` with a sampled measured side as far down as :attr:`fall`: a guide to instances.

        Of samples that decide nothing the largest ratio is the luckiest.

        >>> lucky = Verdict("k", "printed", "not refuted", 5.0, bound=0.01, ratio=500.0,
        ...                 evidence="samples", standard_error=5.0)
        >>> lucky.steady_ratio, lucky.shown_ratio
        (0.0, '~500')
        """
        if self.exact or not self.fall > 0 or not self.bound > 0:
            return self.ratio
        return max(0.0, self.measured - self.fall) / self.bound

    @property
    def fall(self) -> float:
        """Three standard errors, or what was not seen where that is known and more."""
        return max(3 * self.standard_error, self.unseen if math.isfinite(self.unseen) else 0.0)

    @property
    def shown_ratio(self) -> str:
        """``ratio`` as tables print it: after ``~`` if nothing was decided there."""
        if math.isnan(self.ratio) or not (self.decided or self.evidence):
            return "-"
        return ("" if self.decided else "~") + f"{self.ratio:.3g}"

    @property
    def told(self) -> str:
        """The verdict with how it is known, as tables print it.

        >>> Verdict("k", "printed", "holds", evidence="exact law").told
        'holds (exact law)'
        """
        return f"{self.verdict} ({self.evidence})" if self.evidence else self.verdict

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; numbers that are not finite become ``None``."""
        table = json_ready(asdict(self))
        assert isinstance(table, dict)
        return table

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Verdict:
        """The inverse of :meth:`to_json` (``None`` reads as NaN).

        Raises
        ------
        ValueError, KeyError, TypeError
            If there is no such verdict, or an entry is of another type.
        """
        if table["verdict"] not in get_args(Outcome):
            raise ValueError(f"a verdict is one of {get_args(Outcome)}, got {table['verdict']!r}")
        known = {name: table[name] for name in cls.__dataclass_fields__ if name in table}
        for name in ("measured", "bound", "ratio", "standard_error"):
            known[name] = _number(known.get(name, 0.0 if name == "standard_error" else None))
        if known.get("unseen", 0.0) is None:
            known["unseen"] = math.inf
        low, high = known.get("interval") or (None, None)
        known["interval"] = (_number(low), _number(high))
        if known.get("growth") is not None:
            known["growth"] = tuple(map(_number, known["growth"]))
        for name in ("constants", "hyperparameters"):
            known[name] = {k: _number(v) for k, v in (known.get(name) or {}).items()}
        require(cls, known)
        return cls(**known)


def _number(value: Any) -> Any:
    return math.nan if value is None else value


def _spread_alone(verdict: Verdict) -> float:
    """The ratio three standard errors down: it tells samples apart that may all be luck."""
    if not verdict.bound > 0:
        return -math.inf
    down = (verdict.measured - 3 * verdict.standard_error) / verdict.bound
    return -math.inf if math.isnan(down) else down


def worst(verdicts: list[Verdict]) -> Verdict:
    """The verdict on a statement from those at several points and objectives.

    Violated if any is; else it is not refuted if any says no more than that, else it holds if it
    does at any (a vacuous bound there contradicts nothing). What no evidence speaks of says
    nothing. The largest ratio of the deciding kind is shown, of samples the steadiest.

    >>> a, b = Verdict("k", "printed", "holds", ratio=0.9), Verdict("k", "printed", "vacuous")
    >>> worst([b, a]).verdict
    'holds'
    >>> c = Verdict("k", "printed", "not refuted", evidence="samples")
    >>> worst([b, a, c]).verdict
    'not refuted'
    """
    if not verdicts:
        raise ValueError("no verdicts to choose from")
    decisive = max(
        verdicts,
        key=lambda v: (
            0.5 if v.verdict == "not refuted" and not v.evidence else _GRAVITY[v.verdict],
            -math.inf if math.isnan(v.steady_ratio) else v.steady_ratio,
            _spread_alone(v),
        ),
    )
    return replace(
        decisive,
        comparisons=sum(v.comparisons for v in verdicts),
        undecided=sum(v.undecided for v in verdicts),
    )


def json_ready(value: Any) -> Any:
    """``value`` with ``None`` for every number in it that is not finite: ready for JSON."""
    if isinstance(value, Mapping):
        return {k: json_ready(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
