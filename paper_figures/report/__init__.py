"""One self-contained page of all that a run found: ``theorylab report``."""

from paper_figures.report.collect import Counterexample, Entry, Finding, RunReport, collect

__all__ = ["Counterexample", "Entry", "Finding", "RunReport", "collect"]
