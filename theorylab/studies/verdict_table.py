"""The table of verdicts that ``theorylab verify --page`` writes, and what is said below it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

from theorylab.studies.pages import markdown_table, source

if TYPE_CHECKING:
    from theorylab.judge.verdict import Verdict
    from theorylab.studies.verify import VerifyReport

__all__ = ["RATIO", "listed", "markdown", "remarks"]

_GRAVEST_FIRST = ("violated", "not refuted", "holds", "vacuous", "not applicable")
RATIO = (
    "ratio: measured/bound at the deciding instance; 1 is attained; ~ where samples decide "
    "nothing, the steadiest of theirs"
)
_HEADS = ("statement", "printed", "ratio", "repaired", "ratio", "units")


def markdown(report: VerifyReport, keys: Collection[str] = ()) -> str:
    """The verdicts of each statement side by side, printed and repaired, as Markdown.

    Parameters
    ----------
    report : VerifyReport
    keys : collection of str
        The statements to show, such as :func:`listed` finds on a page; all of the report if it
        has none of them. What is said below the table speaks of the whole report.
    """
    by_form = {(v.key, v.form): v for v in report}
    known = list(dict.fromkeys(v.key for v in report))
    shown = [key for key in known if key in set(keys)] or known
    rows = [_row(key, by_form.get((key, "printed")), by_form.get((key, "repaired")))
            for key in shown]  # fmt: skip
    said = [f"{form}: {told}" for form in ("printed", "repaired") if (told := _told(report, form))]
    if len(shown) < len(known):
        said.insert(0, f"shown: {len(shown)} of {len(known)} statements")
    said += [*remarks(report), RATIO]
    return "\n".join([
        markdown_table(_HEADS, rows), "", *(f"- {line}" for line in said), "",
        source(report.to_json()),
    ])  # fmt: skip


def listed(text: str) -> list[str]:
    """The statements that a table of :func:`markdown` shows.

    >>> listed("| `sngm.eq_4` | holds | 1 |  |  | ok |")
    ['sngm.eq_4']
    """
    return re.findall(r"^\| `([^`|]+)` \|", text, re.MULTILINE)


def remarks(report: VerifyReport) -> list[str]:
    """What a table of verdicts does not show: instances left undecided, checks and hunts not run.

    One line each.
    """
    lines = []
    if undecided := sum(v.undecided for v in report):
        most = max(report, key=lambda v: v.undecided)
        lines.append(
            f"undecided: {undecided:,} of {sum(v.comparisons for v in report):,} instances, "
            f"most in {most.key} ({most.undecided:,}); a check the budget left out counts as one"
        )
    for reason, left in Counter(v.reason for e in report.checked for v in e.not_run).items():
        lines.append(f"not run: {left:,} checks, each named in the JSON: {reason}")
    for reason, keys in report.not_hunted.items():
        lines.append(f"not hunted ({len(keys)} printed, {reason}): " + ", ".join(keys))
    return lines


def _row(key: str, printed: Verdict | None, repaired: Verdict | None) -> tuple[str, ...]:
    cells = [text for v in (printed, repaired)
             for text in (("", "") if v is None else (v.told, v.shown_ratio))]  # fmt: skip
    units = "" if printed is None else "differ" if printed.units == "inconsistent" else "ok"
    return (f"`{key}`", *cells, units)


def _told(report: VerifyReport, form: str) -> str:
    tally = report.tally(form)
    return ", ".join(f"{name} {tally[name]}" for name in _GRAVEST_FIRST if tally[name])
