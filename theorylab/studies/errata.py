"""``errata``: the page of corrections, written from results and from nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, final

import pandas as pd
from jinja2 import Environment, StrictUndefined

from bounds.statement import Statement
from theorylab.errors import UsageError, foreign
from theorylab.hunt.search import Hunt
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry
from theorylab.plugins.files import kept_beside, write_text
from theorylab.plugins.store import read_json
from theorylab.regular import regular_text
from theorylab.studies.falsify import FalsifyReport
from theorylab.studies.report import Report

__all__ = ["Errata", "Erratum", "LaterRun", "errata", "write_errata"]

_PAGE = """\
# Errata

Written by `theorylab errata` from the results of `theorylab falsify`
{%- if command %} (`{{ command }}`, code {{ code }}){% endif %}; do not edit by hand.
{%- for run in later %}
Of a later run (`{{ run.command }}`, code {{ run.code }}):
{%- for key in run.keys %} `{{ key }}`{{ "," if not loop.last else "." }}{% endfor %}
{%- endfor %}

A printed statement is *violated* if a counterexample was found and repeated on fresh randomness;
*not refuted* is no proof. All violations together are wrong with probability at most {{ risk }},
those of O(.) claims apart: growth that persists over the sizes tried refutes them. Tightness is
the largest measured/bound found for the repaired form: 1 means attained, and ~ that samples decide
nothing there: a mean of some may miss an outcome that is rare and large.

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

_SCRIPT = re.compile(r"counterexamples/\w+\.py", re.ASCII)
_STAGES = {"orders": "a grid of its hyperparameters", "worst case": "a semidefinite program",
           "units": "a change of units", "corners": "the domain's corners",
           "terms": "runs in which one term of the bound leads",
           "random": "random search", "cma": "CMA-ES"}  # fmt: skip


@final
@dataclass(frozen=True)
class Erratum:
    """One printed statement that was hunted, in words.

    ``repaired`` and ``tightness`` are empty where it needed no repair; ``how`` and
    ``counterexample`` where none was found.
    """

    key: str
    label: str
    claim: str
    verdict: str
    evaluations: int
    how: str
    units: str
    counterexample: str
    repaired: str = ""
    tightness: str = ""


@final
@dataclass(frozen=True)
class LaterRun:
    """A hunt that was made again of some statements: its command and code, and which."""

    command: str
    code: str
    keys: tuple[str, ...]


@final
@dataclass(frozen=True)
class Errata(Report):
    """One row for each printed statement that was hunted; ``markdown`` is the page.

    ``scripts`` are the counterexamples' files, relative to the results; ``source`` what wrote the
    results (``command`` and ``code``), ``later`` the runs that some rows are of.
    """

    rows: tuple[Erratum, ...]
    scripts: tuple[str, ...]
    source: Mapping[str, Any]
    confidence: float = 1.0
    later: tuple[LaterRun, ...] = ()

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame([asdict(row) for row in self.rows],
                            columns=[f.name for f in fields(Erratum)])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return {"schema": 1, "provenance": dict(self.source), "confidence": self.confidence,
                "later": [asdict(run) for run in self.later],
                "results": [asdict(row) for row in self.rows]}  # fmt: skip

    @property
    def markdown(self) -> str:
        """The page."""
        papers: dict[str, list[Erratum]] = {}
        for row in self.rows:
            papers.setdefault(row.key.split(".")[0], []).append(row)
        environment = Environment(undefined=StrictUndefined, autoescape=False)
        return environment.from_string(_PAGE).render(
            papers=list(papers.items()), total=len(self.rows),
            violated=sum(row.verdict.startswith("violated") for row in self.rows),
            odd=sum(row.units.startswith("inconsistent") for row in self.rows),
            risk=f"{1 - self.confidence:.3g}",
            command=self.source.get("command", ""), code=self.source.get("code", ""),
            later=self.later,
        ).rstrip() + "\n"  # fmt: skip


def errata(
    hunted: FalsifyReport | Mapping[str, Any],
    statements: Sequence[Statement] | None = None,
    *,
    later: Sequence[FalsifyReport | Mapping[str, Any]] = (),
) -> Errata:
    """The corrections that a hunt's results call for.

    Parameters
    ----------
    hunted : FalsifyReport or mapping
        The report, or what its ``to_json`` gave.
    statements : sequence of Statement, optional
        Both forms of what was hunted, registered or not; by default all that are registered.
    later : sequence of FalsifyReport or mapping
        Hunts made again of some statements, in order: what the last one says of a statement
        counts, and the page says which run it is of. The risks of all runs add up.

    Examples
    --------
    >>> import tempfile
    >>> from bounds import Claim, Statement
    >>> from bounds.notation import beta
    >>> from theorylab.studies.falsify import falsify
    >>> mine = Statement("demo.false", "Remark", "printed", Claim(1 / (1 - beta), "<=", 3))
    >>> found = falsify([mine], limit=20, out=tempfile.mkdtemp(), progress=False)
    >>> [(row.key, row.units) for row in errata(found, [mine]).rows]
    [('demo.false', 'consistent')]
    """
    runs = [r.to_json() if isinstance(r, FalsifyReport) else r for r in (hunted, *later)]
    standing = _standing(runs)
    found = {(row["key"], row["form"]): row for rows in standing for row in rows}
    table: Mapping[Any, Statement] = (
        registry.statements() if statements is None else {(s.key, s.form): s for s in statements}
    )
    rows = tuple(
        _row(statement, found, table)
        for (_, form), statement in table.items()
        if form == "printed" and (statement.key, "printed") in found
    )
    made = [run.get("provenance", {}) for run in runs]
    anew = tuple(
        LaterRun(str(m.get("command", "")), str(m.get("code", "")),
                 tuple(dict.fromkeys(str(row["key"]) for row in rows)))
        for m, rows in zip(made[1:], standing[1:], strict=True) if rows
    )  # fmt: skip
    risk = sum(1 - run.get("confidence", 1.0) for run in runs)
    return Errata(rows, tuple(name for rows in standing for name in _scripts(rows)), made[0],
                  1 - risk, anew)  # fmt: skip


def write_errata(results: Path | Sequence[Path], out: Path) -> Errata:
    """Write the page from the file of a hunt's results, its scripts in a folder beside it.

    Of several files the later ones are hunts made again of some statements.

    Raises
    ------
    UsageError
        If there are no such results, or a script that they name is not one of theirs.
    """
    files = [results] if isinstance(results, Path) else list(results)
    if not files:
        raise UsageError("errata: name a file of results")
    runs = [read_json(file, "theorylab falsify --form both") for file in files]
    with foreign(f"errata: {', '.join(map(str, files))}", "`theorylab falsify`"):
        page = errata(runs[0], later=runs[1:])
        text = page.markdown
        named = [list(_scripts(rows)) for rows in _standing(runs)]
    scripts = {name: _script(file, name)
               for file, names in zip(files, named, strict=True) for name in names}  # fmt: skip
    write_text(out, text)
    for name, source in scripts.items():
        write_text(out.parent / name, source)
    return page


def _standing(runs: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Of each run the rows of statements that no later run is of."""
    latest = {(row["key"], row["form"]): i for i, run in enumerate(runs) for row in run["results"]}
    return [
        [row for row in run["results"] if latest[row["key"], row["form"]] == i]
        for i, run in enumerate(runs)
    ]


def _script(results: Path, name: str) -> str:
    """The text of a counterexample's script that the results name."""
    path = results.parent / name
    if kept_beside(results):  # its scripts' folder was given the same ending
        path = path.parent.with_name(path.parent.name + results.stem[-9:]) / path.name
    try:
        return regular_text(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"errata: {path} cannot be read: {reason}") from None


def _scripts(rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Where the counterexamples' scripts lie, relative to the results."""
    for row in rows:
        written = row.get("counterexample") or {}
        stem = f"counterexamples/{str(row['key']).replace('.', '_')}_{row['form']}"
        for kind, own in (("script", f"{stem}.py"), ("replay", f"{stem}_replay.py")):
            if name := written.get(kind):
                if name != own or not _SCRIPT.fullmatch(own):
                    raise UsageError(f"errata: the script of {row['key']!r} cannot be {name!r}")
                yield own


def _row(
    statement: Statement, found: Mapping[tuple[str, str], Mapping[str, Any]],
    table: Mapping[Any, Statement],
) -> Erratum:  # fmt: skip
    result = found[statement.key, "printed"]
    fault = statement.units_fault
    violated = result["verdict"] == "violated"
    verdict = result["verdict"]
    if violated:
        verdict = Verdict.from_json({**result["best"], "verdict": "violated"}).told
    elif result["reason"] and verdict == "not applicable":
        verdict += f" ({result['reason']})"
    repaired = table.get((statement.key, "repaired"))
    return Erratum(
        statement.key, statement.label, str(statement.claim), verdict, result["evaluations"],
        _STAGES.get(result["how"], "") if violated else "",
        "consistent" if fault is None else f"inconsistent: {fault}",
        _one_line(result) if violated else "",
        "" if repaired is None else str(repaired.claim),
        "" if repaired is None else _tightness(found.get((statement.key, "repaired"))),
    )  # fmt: skip


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
    sampled = result["best"].get("evidence") == "samples"
    return f"{'~' if sampled else ''}{_number(ratio)} on {_where(result)}; {result['verdict']}"


def _where(result: Mapping[str, Any]) -> str:
    """The instance that was measured: for an order, its largest size."""
    instance = result["instance"]
    best = Verdict.from_json(result["best"])
    if instance is None:
        values = {**best.constants, **best.hyperparameters}
        return f"{best.objective} with {_values(values)}"
    text = _values(Hunt.from_json(dict(result)).measured_at)
    if instance["spec"] is not None:
        given = dict(instance["spec"].get("parameters", {}))
        if best.growth is not None and "n" in best.constants:
            given.pop("n", None)  # it was resized
        inner = ", ".join(f"{k}={_number(v)}" for k, v in given.items())
        text = f"`{instance['spec']['family']}({inner})`" + (f" with {text}" if text else "")
        if (instance["a"], instance["b"]) != (1.0, 1.0):
            text += f", in units a = {_number(instance['a'])}, b = {_number(instance['b'])}"
        if instance.get("course"):
            text += f", moved: {best.reason.partition(':')[0]}"
        if instance.get("quiet"):
            text += ", exact gradients"
    return text or "every instance"


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} = {_number(v)}" for k, v in values.items())


def _number(value: Any) -> str:
    if value is None:
        return "an infinite value"
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
