"""The report as one HTML page that asks no network for anything."""

from __future__ import annotations

import base64
import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from latex2mathml.converter import convert
from markupsafe import Markup

from bounds.render import latex
from bounds.statement import Statement
from paper_figures.report import plots
from paper_figures.report.collect import Entry, RunReport
from theorylab import __version__
from theorylab.regular import regular_bytes

__all__ = ["page"]

FORMS = ("printed", "repaired")
# Heaviest first: the order of the filter.
_VERDICTS = ("violated", "not refuted", "holds", "vacuous", "not applicable")


def page(report: RunReport) -> str:
    """The page's HTML."""
    entries = [_entry(entry) for entry in report]
    outcomes = [entry.outcome(form) for entry in report for form in FORMS]
    return str(
        _environment()
        .get_template("report.html.jinja")
        .render(
            entries=entries, forms=FORMS, version=__version__,
            papers=list(dict.fromkeys(entry.paper for entry in report)),
            verdicts=[v for v in _VERDICTS if v in {o[0] for o in outcomes}],
            evidence=sorted({o[1] for o in outcomes} - {""}),
            tally={form: _tally(report, form) for form in FORMS},
            exhibits=[_exhibit(shown) for shown in report.exhibits],
            stability=_stability(report.stability), provenance=report.provenance or {},
            plain=plain, number=number, end=end,
        )
    )  # fmt: skip


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("paper_figures.report"), undefined=StrictUndefined,
        autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def number(value: Any) -> str:
    """A number in few digits; a dash for what is none.

    >>> number(0.123456), number(None), number(float("nan"))
    ('0.1235', '–', '–')
    """
    if value is None or value != value:
        return "–"
    return f"{value:.4g}"


def end(value: float, without: str) -> str:
    """An interval's end; ``without`` where it has none.

    >>> end(0.5, "∞"), end(float("nan"), "∞")
    ('0.5', '∞')
    """
    return number(value) if math.isfinite(value) else without


def plain(value: str) -> str:
    """A name that can be part of an address in the page.

    >>> plain("sngm.table_1 (a)")
    'sngm-table-1-a'
    """
    return re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")


def _tally(report: RunReport, form: str) -> str:
    counts = Counter(entry.outcome(form)[0] for entry in report)
    return ", ".join(f"{counts[v]} {v}" for v in _VERDICTS if counts[v])


def _entry(entry: Entry) -> Mapping[str, Any]:
    forms = {form: _form(entry, form) for form in FORMS}
    examples = {
        form: {"found": hunted.counterexample,
               "plot": Markup(plots.counterexample(hunted.counterexample))}
        for form, hunted in entry.hunts.items() if hunted.counterexample is not None
    }  # fmt: skip
    pictures = []
    if entry.sweep is not None:
        pictures.append(Markup(plots.sweep(entry.sweep)))
    pictures.append(Markup(plots.ratios(entry.findings, entry.solved)))
    first = next(iter(entry.statements.values()), None)
    return {
        "key": entry.key, "paper": entry.paper, "label": entry.label,
        "name": Markup("_<wbr>").join(entry.key.split("_")),  # where a long key may break
        "text": "" if first is None else first.text, "forms": forms,
        "verdicts": [forms[f]["verdict"] for f in FORMS],
        "evidence": [forms[f]["evidence"] for f in FORMS],
        "pictures": [p for p in pictures if p], "examples": examples, "solved": entry.solved,
        "commands": entry.commands,
    }  # fmt: skip


def _form(entry: Entry, form: str) -> Mapping[str, Any]:
    statement = entry.statements.get(form)
    verdict, evidence = entry.outcome(form)
    found, hunted = entry.findings.get(form), entry.hunts.get(form)
    return {
        "verdict": verdict, "evidence": evidence, "finding": found, "hunted": hunted,
        "ratio": found.verdict.ratio if found else hunted.ratio if hunted else None,
        "guessed": found is not None and not found.verdict.decided,
        "statement": statement,
        "mathml": () if statement is None else _formulas(statement),
        "units": "" if statement is None else (
            "consistent" if statement.units_fault is None else f"inconsistent: "
            f"{statement.units_fault}"),
        "symbols": () if statement is None else [
            (_math(symbol.latex), symbol.meaning) for symbol in statement.symbols
        ],
    }  # fmt: skip


def _formulas(statement: Statement) -> list[Markup]:
    """The claim, what its symbols stand for, and its conditions, each as a formula of its own."""
    return [_math(part, "block") for part in latex(statement).split(r",\quad ")]


@cache
def _math(formula: str, display: Literal["block", "inline"] = "inline") -> Markup:
    """LaTeX as MathML, without a network; as it stands where the converter cannot read it.

    >>> "<mfrac>" in _math(r"\\frac{1}{2}")
    True
    >>> _math(r"x^")
    Markup('<code>x^</code>')
    """
    try:
        return Markup(convert(formula, display=display))
    except Exception:  # it has a class for each kind of mistake, and none above them
        return Markup("<code>{}</code>").format(formula)


def _exhibit(shown: Any) -> Mapping[str, Any]:
    picture = ""
    if shown.picture is not None:
        picture = base64.b64encode(regular_bytes(shown.picture)).decode()
    return {"shown": shown, "picture": picture}


def _stability(table: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The longest run of each rule: its gap over the rounds, with the bound."""
    chosen: dict[str, Mapping[str, Any]] = {}
    for row in (table or {}).get("rows", ()):
        best = chosen.get(row["rule"])
        if best is None or (row["T"], row["n"]) > (best["T"], best["n"]):
            chosen[row["rule"]] = row
    found: list[Mapping[str, Any]] = []
    for rule, row in chosen.items():
        curve = row["curve"]
        kept = [k for k, t in enumerate(curve["t"]) if t > 0]

        def series(name: str, kind: str, curve: Any = curve, kept: Any = kept) -> plots.Series:
            pairs = [(curve["t"][k], curve[name][k]) for k in kept]
            pairs = [(t, v) for t, v in pairs if v is not None and v > 0]
            return plots.Series(name, kind, [t for t, _ in pairs], [v for _, v in pairs])

        picture = plots.lines([series("bound", "printed"), series("gap", "measured")],
                              "round t", f"{rule}: gap of twins")  # fmt: skip
        found.append({"rule": rule, "n": row["n"], "T": row["T"], "picture": Markup(picture)})
    return found
