"""``Conformance``: what the suite found of one optimizer, and ``Survey``: of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, final, get_args

import pandas as pd

from theorylab.conformance.check import Finding, Outcome
from theorylab.plugins.provenance import provenance
from theorylab.studies.pages import markdown_table
from theorylab.studies.report import Report

__all__ = ["Conformance", "Survey"]

_TOLD: tuple[Outcome, ...] = ("failed", "limited")
_COLUMNS = ("check", "concept", "outcome", "detail", "requires")


@final
@dataclass(frozen=True)
class Conformance(Report):
    """What each check found of one optimizer.

    Attributes
    ----------
    subject : str
        The optimizer's name.
    settings : mapping of str to str
        Its arguments, as text.
    findings : tuple of Finding
        In the order of the checks.
    version : str
        Of the package that it comes from; "" where that is not known.
    """

    subject: str
    settings: Mapping[str, str]
    findings: tuple[Finding, ...]
    version: str = ""

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def of(self, outcome: Outcome) -> tuple[Finding, ...]:
        """The findings of one outcome."""
        return tuple(found for found in self.findings if found.outcome == outcome)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.of("failed")

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """How many checks had each outcome."""
        return {outcome: len(self.of(outcome)) for outcome in get_args(Outcome)}

    def to_pandas(self) -> pd.DataFrame:
        """One row a check."""
        rows = [[getattr(found, name) for name in _COLUMNS] for found in self.findings]
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    def to_json(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return {"schema": 1, "provenance": dict(provenance()), **self.table()}

    def table(self) -> dict[str, Any]:
        """What a survey's JSON says of this optimizer."""
        return {
            "subject": self.subject, "version": self.version, "settings": dict(self.settings),
            "passed": self.passed, "counts": dict(self.counts),
            "results": [asdict(found) for found in self.findings],
        }  # fmt: skip


@final
@dataclass(frozen=True)
class Survey(Report):
    """The reports of several optimizers."""

    reports: tuple[Conformance, ...]

    def __iter__(self) -> Iterator[Conformance]:
        return iter(self.reports)

    def __len__(self) -> int:
        return len(self.reports)

    @property
    def passed(self) -> bool:
        """Whether no check failed of any."""
        return all(report.passed for report in self.reports)

    def to_pandas(self) -> pd.DataFrame:
        """One row an optimizer."""
        rows = [
            {"optimizer": r.subject, "version": r.version, **r.counts,
             "failed checks": ", ".join(f.check for f in r.of("failed"))}
            for r in self.reports
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return {"schema": 1, "provenance": dict(provenance()),
                "optimizers": [r.table() for r in self.reports]}  # fmt: skip

    def markdown(self) -> str:
        """The page's table: counts, and each failed, limited or refused check with what came."""
        rows = [
            (f"`{r.subject}`", r.version, r.counts["passed"], r.counts["failed"],
             r.counts["limited"], r.counts["refused"], r.counts["not applicable"])
            for r in self.reports
        ]  # fmt: skip
        heads = ("optimizer", "version", "passed", "failed", "limited", "refused", "n/a")
        details = [
            (f"`{r.subject}`", f"`{found.check}`", found.outcome, found.detail.replace("|", "\\|"))
            for r in self.reports
            for outcome in _TOLD for found in r.of(outcome)
        ]  # fmt: skip
        parts = [markdown_table(heads, rows)]
        if details:
            parts.append("What failed, or is limited as declared:")
            parts.append(markdown_table(("optimizer", "check", "outcome", "what came"), details))
        made = provenance()
        parts.append(f"*`{made['command']}`, torch {made['versions']['torch']}, Python "
                     f"{made['versions']['python']}, code {made['code']}.*")  # fmt: skip
        return "\n\n".join(parts)
