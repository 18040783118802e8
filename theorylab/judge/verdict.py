"""``Verdict``: what a check concluded, with the numbers and the instance that made it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

__all__ = ["Outcome", "Verdict", "json_ready", "worst"]

Outcome = Literal["violated", "inconclusive", "holds", "vacuous", "not applicable"]

# One violated instance refutes a statement. Otherwise what was decided outweighs what was not,
# and a vacuous bound says less than either.
_GRAVITY: Mapping[str, int] = {
    "violated": 4, "holds": 3, "inconclusive": 2, "vacuous": 1, "not applicable": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """The outcome of checking one statement, at its decisive instance.

    Attributes
    ----------
    key, form : str
        The statement.
    verdict : str
        ``violated``: the interval clears the bound, and did so again on fresh randomness.
        ``holds``: nothing was violated, and at the decisive instance (as wherever anything was
        decided) the interval lies below the bound, or meets it while narrower than 2% of it (the
        bound is attained, as far as can be measured). ``inconclusive``: nothing was decided;
        every interval crosses its bound and is wider than that, or the numbers overflowed.
        ``vacuous``: no bound was below the trivial value. ``not applicable``: the objective
        lacks an assumption.
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
        How many instances were compared, and at how many the interval crossed the bound.
    reason : str
        What decided, in a phrase.
    growth : tuple of float, optional
        For O(.) claims: the slope of log(measured/bound) along the growing symbol, and its
        interval.
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

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; numbers that are not finite become ``None``."""
        table = json_ready(asdict(self))
        assert isinstance(table, dict)
        return table

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Verdict:
        """The inverse of :meth:`to_json` (``None`` reads as NaN)."""
        known = {name: table[name] for name in cls.__dataclass_fields__ if name in table}
        for name in ("measured", "bound", "ratio"):
            known[name] = math.nan if known.get(name) is None else known[name]
        low, high = known.get("interval") or (None, None)
        known["interval"] = tuple(math.nan if v is None else v for v in (low, high))
        if known.get("growth") is not None:
            known["growth"] = tuple(known["growth"])
        return cls(**known)


def worst(verdicts: list[Verdict]) -> Verdict:
    """The verdict on a statement from those at several points and objectives.

    Violated if any is; else it holds if it does at every point that could be decided
    (``undecided`` counts the others); the largest ratio of the deciding kind is shown.

    >>> a, b = Verdict("k", "printed", "holds", ratio=0.9), Verdict("k", "printed", "vacuous")
    >>> worst([b, a]).verdict
    'holds'
    """
    if not verdicts:
        raise ValueError("no verdicts to choose from")
    decisive = max(
        verdicts,
        key=lambda v: (_GRAVITY[v.verdict], -math.inf if math.isnan(v.ratio) else v.ratio),
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
