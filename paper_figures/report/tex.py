"""The verdict table and the errata as LaTeX."""

from __future__ import annotations

import math

from bounds.render import latex
from paper_figures.report.collect import Entry, RunReport
from paper_figures.tables import escaped

__all__ = ["tex"]


def tex(report: RunReport) -> str:
    """Two sections for a document with amsmath, amssymb, booktabs and longtable."""
    command = (report.provenance or {}).get("command", "")
    parts = [f"% {command}" if command else "% theorylab report --latex", _table(report)]
    if errata := [_erratum(entry) for entry in report if entry.outcome("printed")[0] == "violated"]:
        parts.append("\\section*{Errata}\n\n" + "\n\n".join(errata))
    return "\n\n".join(parts) + "\n"


def _table(report: RunReport) -> str:
    lines = []
    for entry in report:
        cells = [escaped(entry.key)]
        for form in ("printed", "repaired"):
            verdict, evidence = entry.outcome(form)
            found = entry.findings.get(form)
            ratio = math.nan if found is None else found.verdict.ratio
            mark = "" if found is None or found.verdict.decided else r"$\sim$"
            cells.append(escaped(f"{verdict} ({evidence})" if evidence else verdict or "-"))
            cells.append("-" if math.isnan(ratio) else mark + _number(ratio))
        lines.append(" & ".join(cells) + r" \\")
    body = "\n".join(lines)
    return (
        "\\section*{Verdicts}\n\n{\\footnotesize\n\\begin{longtable}{llrlr}\n\\toprule\n"
        "statement & printed & ratio & repaired & ratio \\\\\n\\midrule\n\\endhead\n"
        f"\\bottomrule\n\\endfoot\n{body}\n\\end{{longtable}}}}"
    )


def _erratum(entry: Entry) -> str:
    lines = [f"\\paragraph{{{escaped(entry.label)} ({escaped(entry.key)}).}}"]
    if (printed := entry.statements.get("printed")) is not None:
        lines.append(f"Printed:\n\\[ {_broken(latex(printed))} \\]")
    lines.append(f"Violated ({escaped(entry.outcome('printed')[1])}): {_how(entry)}")
    if (repaired := entry.statements.get("repaired")) is not None:
        verdict, evidence = entry.outcome("repaired")
        word = f"{verdict} ({evidence})" if evidence else verdict or "not checked"
        lines.append(f"Repaired: {escaped(word)}.\n\\[ {_broken(latex(repaired))} \\]")
    return "\n".join(lines)


def _how(entry: Entry) -> str:
    hunted = entry.hunts.get("printed")
    if hunted is not None and hunted.counterexample is not None:
        return escaped(hunted.counterexample.words) + "."
    if (found := entry.findings.get("printed")) is None:
        return "."
    verdict = found.verdict
    return escaped(
        f"measured {verdict.measured:.4g} against {verdict.bound:.4g} on {verdict.objective}"
        + (f" at {found.at}" if found.at else "") + "."
    )  # fmt: skip


def _broken(formula: str) -> str:
    """Conditions on lines of their own: formulas are wide."""
    return "\\begin{gathered} " + formula.replace(r",\quad ", r", \\ ") + " \\end{gathered}"


def _number(value: float) -> str:
    """A number for math mode.

    >>> _number(0.5), _number(1.2e-7)
    ('0.5', '$1.2\\\\cdot 10^{-7}$')
    """
    text = f"{value:.3g}"
    if "e" not in text:
        return text
    digits, power = text.split("e")
    return rf"${digits}\cdot 10^{{{int(power)}}}$"
