"""``theorylab errata``: the page of corrections, written from results and from nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from jinja2 import Environment, StrictUndefined

from bounds.statement import Statement
from theorylab.errors import UsageError
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry
from theorylab.plugins.store import read_json

__all__ = ["command", "errata"]

_PAGE = """\
# Errata

Written by `theorylab errata` from the results of `theorylab falsify`
{%- if command %} (`{{ command }}`, code {{ code }}){% endif %}; do not edit by hand.

A printed statement is *violated* if a counterexample was found and repeated on fresh randomness;
*not refuted* is no proof. All violations together are wrong with probability at most {{ risk }},
those of O(.) claims apart: a fitted growth refutes them. Tightness is the largest
measured/bound found for the repaired form: 1 means attained.

{{ violated }} of {{ total }} printed statements are violated, {{ odd }} have inconsistent units.
{% for paper, rows in papers %}
## {{ paper }}
{% for row in rows %}
### {{ row.label }} (`{{ row.key }}`)

- **Printed:** `{{ row.claim }}`
- **Verdict:** {{ row.verdict }}{% if row.how %}, found by {{ row.how }}{% endif %} \
({{ row.evaluations }} measurements)
- **Units:** {{ row.units }}
{%- if row.counterexample %}
- **Counterexample:** {{ row.counterexample }}
{%- endif %}
{%- if row.repaired %}
- **Repaired:** `{{ row.repaired }}`
- **Tightness:** {{ row.tightness }}
{%- endif %}
{% endfor %}{% endfor %}"""

_STAGES = {"units": "a change of units", "corners": "the domain's corners",
           "random": "random search", "cma": "CMA-ES"}  # fmt: skip


def command(
    results: Annotated[
        Path, typer.Option(help="What `theorylab falsify --form both` wrote.")
    ] = Path("results/falsify/results.json"),
    out: Annotated[Path, typer.Option(help="The page.")] = Path("docs/errata.md"),
) -> None:
    """Write the errata page from the results of a hunt, its scripts in a folder beside it."""
    report = read_json(results, "theorylab falsify --form both")
    try:
        page, scripts = errata(report), list(_scripts(report))
        count = len(report["results"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(
            f"errata: {results} is not what `theorylab falsify` writes "
            f"({type(error).__name__}: {error})"
        ) from error
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page)
    for name in scripts:
        target = out.parent / name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(results.parent / name, target)
    typer.echo(f"{out}: {count} results, {len(scripts)} scripts")


def _scripts(report: Mapping[str, Any]) -> Iterable[str]:
    """Where the counterexamples' scripts lie, relative to the results."""
    for row in report["results"]:
        written = row.get("counterexample") or {}
        yield from (written[kind] for kind in ("script", "replay") if written.get(kind))


def errata(report: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    found = {(row["key"], row["form"]): row for row in report["results"]}
    table = registry.statements()
    rows = [
        _row(statement, found, table)
        for (_, form), statement in table.items()
        if form == "printed" and (statement.key, "printed") in found
    ]
    papers: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        papers.setdefault(row["key"].split(".")[0], []).append(row)
    source = report.get("provenance", {})
    environment = Environment(undefined=StrictUndefined, autoescape=False)
    return environment.from_string(_PAGE).render(
        papers=list(papers.items()), total=len(rows),
        violated=sum(row["verdict"].startswith("violated") for row in rows),
        odd=sum(row["units"].startswith("inconsistent") for row in rows),
        risk=f"{1 - report.get('confidence', 1.0):.3g}",
        command=source.get("command", ""), code=source.get("code", ""),
    ).rstrip() + "\n"  # fmt: skip


def _row(
    statement: Statement, found: Mapping[tuple[str, str], Mapping[str, Any]],
    table: Mapping[Any, Statement],
) -> dict[str, Any]:  # fmt: skip
    result = found[statement.key, "printed"]
    fault = statement.units_fault
    row: dict[str, Any] = {
        "key": statement.key, "label": statement.label, "claim": str(statement.claim),
        "verdict": result["verdict"], "evaluations": result["evaluations"],
        "how": _STAGES.get(result["how"], "") if result["verdict"] == "violated" else "",
        "units": "consistent" if fault is None else f"inconsistent: {fault}",
        "counterexample": _one_line(result) if result["verdict"] == "violated" else "",
        "repaired": "", "tightness": "",
    }  # fmt: skip
    if result["verdict"] == "violated":
        best = Verdict.from_json({**result["best"], "verdict": "violated"})
        row["verdict"] = best.told
    if result["reason"] and result["verdict"] == "not applicable":
        row["verdict"] += f" ({result['reason']})"
    repaired = table.get((statement.key, "repaired"))
    if repaired is not None:
        row["repaired"] = str(repaired.claim)
        row["tightness"] = _tightness(found.get((statement.key, "repaired")))
    return row


def _one_line(result: Mapping[str, Any]) -> str:
    written = result.get("counterexample") or {}
    best = result["best"]
    measured, bound = _number(best["measured"]), _number(best["bound"])
    text = f"{measured} against a bound of {bound} on {_where(result)}"
    if written.get("script"):
        exact = written.get("exact")
        sides = " against ".join(exact) if exact and sum(map(len, exact)) < 60 else (
            f"{_number(written['smaller'])} against {_number(written['larger'])}"
        )  # fmt: skip
        text += f"; shrunk to {len(written['knots'])} knots: {sides} (`{written['script']}`)"
    elif written.get("replay"):
        text += f"; measured again by `{written['replay']}`"
    return text


def _tightness(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return "not hunted"
    if result["best"] is None:
        return f"{result['verdict']} ({result['reason']})"
    ratio = result["ratio"] if "ratio" in result else result["best"]["ratio"]
    return f"{_number(ratio)} on {_where(result)}; {result['verdict']}"


def _where(result: Mapping[str, Any]) -> str:
    instance = result["instance"]
    items: Iterable[tuple[str, Any]] = instance["values"].items()
    text = ", ".join(f"{k} = {_number(v)}" for k, v in items)
    if instance["spec"] is not None:
        given = instance["spec"].get("parameters", {})
        inner = ", ".join(f"{k}={_number(v)}" for k, v in given.items())
        text = f"`{instance['spec']['family']}({inner})`" + (f" with {text}" if text else "")
        if (instance["a"], instance["b"]) != (1.0, 1.0):
            text += f", in units a = {_number(instance['a'])}, b = {_number(instance['b'])}"
        if instance.get("quiet"):
            text += ", exact gradients"
    return text or "every instance"


def _number(value: Any) -> str:
    if value is None:
        return "an infinite value"
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
