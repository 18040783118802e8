"""What a run's folder holds, read into typed records: verdicts, hunts, worst cases, figures."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import pandas as pd

from bounds.statement import Statement
from theorylab.errors import UsageError, foreign, printable
from theorylab.judge.verdict import Verdict
from theorylab.plugins import registry
from theorylab.plugins.files import kept_beside
from theorylab.plugins.store import read_json
from theorylab.regular import regular_bytes
from theorylab.studies.report import Report
from theorylab.studies.sweep import SweepRow

__all__ = [
    "Counterexample", "Entry", "Finding", "Hunted", "RunReport", "ShownExhibit", "Solved",
    "Sweep", "collect",
]  # fmt: skip

_KEPT_FLAGS = ("--data", "--replicas", "--instances")
_LARGEST = 40_000_000  # bytes of one file that is read


@final
@dataclass(frozen=True)
class Finding:
    """What `verify` says of one form of a statement: the deciding verdict, and each objective's.

    ``objectives`` holds name, verdict, evidence, ratio (or ``None``) and reason.
    """

    verdict: Verdict
    objectives: tuple[tuple[str, str, str, float | None, str], ...] = ()

    @property
    def at(self) -> str:
        """The values at the deciding instance."""
        values = {**self.verdict.constants, **self.verdict.hyperparameters}
        return ", ".join(f"{name} = {value:.4g}" for name, value in values.items())


@final
@dataclass(frozen=True)
class Counterexample:
    """One counterexample: a sentence, its script, and its gradient where it is on the line.

    ``knots`` and ``slopes`` are the points and the equally likely stochastic gradients there.
    """

    words: str
    file: str = ""
    script: str = ""
    knots: tuple[float, ...] = ()
    slopes: tuple[tuple[float, ...], ...] = ()
    start: float | None = None


@final
@dataclass(frozen=True)
class Hunted:
    """What `falsify` says of one form of a statement."""

    verdict: str
    how: str
    evidence: str
    instances: int
    ratio: float | None
    counterexample: Counterexample | None = None


@final
@dataclass(frozen=True)
class Solved:
    """One exact worst case."""

    form: str
    at: str
    measured: float | None
    primal: float
    dual: float
    bound: float
    scope: str


@final
@dataclass(frozen=True)
class Sweep:
    """Measured and bound along one axis, of a :class:`theorylab.studies.sweep.SweepReport`."""

    axis: str
    objective: str
    rows: tuple[SweepRow, ...]


@final
@dataclass(frozen=True)
class ShownExhibit:
    """An exhibit's files: its table and control arms as records, and its picture."""

    key: str
    number: str
    title: str
    supports: str
    table: tuple[Mapping[str, Any], ...]
    arms: tuple[Mapping[str, Any], ...]
    picture: Path | None
    command: str


@final
@dataclass(frozen=True)
class Entry:
    """All that is known of one statement, by form where it depends on it."""

    key: str
    statements: Mapping[str, Statement]
    findings: Mapping[str, Finding]
    hunts: Mapping[str, Hunted]
    solved: tuple[Solved, ...] = ()
    sweep: Sweep | None = None
    commands: tuple[str, ...] = ()

    @property
    def paper(self) -> str:
        return self.key.split(".", 1)[0]

    @property
    def label(self) -> str:
        statement = next(iter(self.statements.values()), None)
        return self.key if statement is None else statement.label

    def outcome(self, form: str) -> tuple[str, str]:
        """Verdict and evidence of a form; a counterexample of the hunt outweighs the checks."""
        hunted, found = self.hunts.get(form), self.findings.get(form)
        if found is not None and (hunted is None or found.verdict.verdict == "violated"):
            return found.verdict.verdict, found.verdict.evidence
        if hunted is not None and (hunted.verdict == "violated" or found is None):
            return hunted.verdict, hunted.evidence
        return ("", "") if found is None else (found.verdict.verdict, found.verdict.evidence)


@final
@dataclass(frozen=True)
class RunReport(Report):
    """Everything found in a run's folder.

    Attributes
    ----------
    folder : Path
    entries : tuple of Entry
        One a statement, in the order of the papers.
    exhibits : tuple of ShownExhibit
    stability : mapping
        What `theorylab stability` wrote; empty without.
    provenance : mapping
        Of the verdicts.
    """

    folder: Path
    entries: tuple[Entry, ...]
    exhibits: tuple[ShownExhibit, ...] = ()
    stability: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] | None = None

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def to_pandas(self) -> pd.DataFrame:
        rows = []
        for entry in self.entries:
            for form in ("printed", "repaired"):
                verdict, evidence = entry.outcome(form)
                if verdict:
                    found = entry.findings.get(form)
                    rows.append({
                        "key": entry.key, "form": form, "verdict": verdict, "evidence": evidence,
                        "ratio": math.nan if found is None else found.verdict.ratio,
                    })  # fmt: skip
        return pd.DataFrame(rows, columns=["key", "form", "verdict", "evidence", "ratio"])

    def to_json(self) -> dict[str, Any]:
        rows = [
            {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
            for row in self.to_pandas().to_dict("records")
        ]
        return {"schema": 1, "provenance": dict(self.provenance or {}), "results": rows}

    def _repr_html_(self) -> str:
        from paper_figures.report.page import page

        return page(self)

    def to_latex(self) -> str:
        """The verdict table and the errata (booktabs, longtable, amsmath)."""
        from paper_figures.report.tex import tex

        return tex(self)


def collect(folder: Path | str) -> RunReport:
    """Read what `verify`, `falsify`, `worst-case`, `stability` and `figure` left in a folder.

    Results may lie in the folder or in folders inside it. Where two files speak of the same
    statement the later one, by name, counts.

    Raises
    ------
    UsageError
        If there is no such folder, it holds no results, or a file of them is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"no results at {folder}; run `theorylab verify` first")
    gathered = _Gathered(folder)
    for path in sorted(folder.rglob("*.json")):
        if "cells" in path.parts or kept_beside(path):
            continue
        if path.stat().st_size > _LARGEST:
            print(f"{printable(path, 500)} is larger than 40 MB, and left out", file=sys.stderr)
            continue
        table = read_json(path, "theorylab verify")
        if isinstance(table, Mapping):
            gathered = _read(gathered, path, table)
    shown = tuple(_exhibits(folder))
    if not (gathered.findings or gathered.hunts or shown):
        raise UsageError(f"{folder} holds no results of verify, falsify or figure")
    return RunReport(
        folder, tuple(_entries(gathered)), shown, gathered.stability, gathered.provenance
    )


# --- reading ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Gathered:
    folder: Path
    findings: Mapping[tuple[str, str], Finding] | None = None
    hunts: Mapping[tuple[str, str], Hunted] | None = None
    solved: tuple[tuple[str, Solved], ...] = ()
    sweeps: Mapping[str, Sweep] | None = None
    stability: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] | None = None
    commands: Mapping[str, str] | None = None


def _read(before: _Gathered, path: Path, table: Mapping[str, Any]) -> _Gathered:
    """What a file adds; one of another kind adds nothing."""
    with foreign(path):
        made = table.get("provenance") or {}
        rows = table.get("results")
        if isinstance(rows, list) and rows and isinstance(rows[0], Mapping):
            if "how" in rows[0] and "best" in rows[0]:
                found = {(r["key"], r["form"]): _hunted(r, path.parent) for r in rows}
                commands = {**(before.commands or {}), "falsify": _flags(made)}
                return replace(
                    before, hunts={**(before.hunts or {}), **found}, commands=commands,
                    provenance=before.provenance or made,
                )  # fmt: skip
            if "verdict" in rows[0] and "measured" in rows[0]:
                judged = {(r["key"], r["form"]): _finding(r) for r in rows}
                commands = {**(before.commands or {}), "verify": _flags(made)}
                return replace(
                    before, findings={**(before.findings or {}), **judged}, provenance=made,
                    commands=commands,
                )  # fmt: skip
            if "primal" in rows[0] and "dual" in rows[0]:
                return replace(before, solved=before.solved + tuple(map(_solved, rows)))
        if "axis" in table and "rows" in table and "key" in table:
            points = tuple(map(SweepRow.from_json, table["rows"]))
            sweep = Sweep(table["axis"], table["objective"], points)
            return replace(before, sweeps={**(before.sweeps or {}), table["key"]: sweep})
        if "exponents" in table and "rows" in table:
            return replace(before, stability=table)
    return before


def _finding(row: Mapping[str, Any]) -> Finding:
    each = tuple(
        (o["objective"], o["verdict"], o.get("evidence", ""), o.get("ratio"), o.get("reason", ""))
        for o in row.get("objectives", ())
    )
    return Finding(Verdict.from_json(row), each)


def _hunted(row: Mapping[str, Any], folder: Path) -> Hunted:
    example = None
    if row["verdict"] == "violated":
        example = _counterexample(row, folder)
    evidence = (row["best"] or {}).get("evidence", "")
    return Hunted(row["verdict"], row["how"], evidence, row["evaluations"], row.get("ratio"),
                  example)  # fmt: skip


def _counterexample(row: Mapping[str, Any], folder: Path) -> Counterexample:
    written, best = row.get("counterexample") or {}, row["best"] or {}
    words = (
        f"{_number(best.get('measured'))} against a bound of {_number(best.get('bound'))} on "
        f"{best.get('objective', '-')}"
    )
    if exact := written.get("exact"):
        words += f"; shrunk, in exact arithmetic: {exact[0]} against {exact[1]}"
    elif written.get("script"):
        words += f"; shrunk: {_number(written['smaller'])} against {_number(written['larger'])}"
    name = written.get("script") or written.get("replay") or ""
    script = ""
    if name:
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()) and path.is_file():
            script = regular_bytes(path).decode(errors="replace")
    return Counterexample(
        words, name, script, tuple(written.get("knots") or ()),
        tuple(tuple(r) for r in written.get("slopes") or ()), written.get("start"),
    )  # fmt: skip


def _solved(row: Mapping[str, Any]) -> tuple[str, Solved]:
    at = ", ".join(f"{name} = {_number(value)}" for name, value in row["values"].items())
    return row["key"], Solved(
        row["form"], at, row.get("measured"), row["primal"], row["dual"], row["bound"],
        row.get("scope", ""),
    )  # fmt: skip


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "an infinite value"


def _flags(made: Mapping[str, Any]) -> str:
    """The options of a recorded command that decide what is found, for replaying one row."""
    words = shlex.split(str(made.get("command", "")))
    kept = [
        word for i, word in enumerate(words)
        if word.split("=", 1)[0] in _KEPT_FLAGS or (i and words[i - 1] in _KEPT_FLAGS)
    ]  # fmt: skip
    seed = made.get("seed")
    return shlex.join([*kept, *(["--seed", str(seed)] if seed else [])])


# --- joining ------------------------------------------------------------------------------------
def _entries(found: _Gathered) -> Iterator[Entry]:
    known = registry.statements()
    judged, hunts = found.findings or {}, found.hunts or {}
    present = dict.fromkeys(key for key, _ in (*judged, *hunts))
    order = list(dict.fromkeys(key for key, _ in known))
    keys = [key for key in order if key in present] + [key for key in present if key not in order]
    for key in keys:
        statements = {str(f): s for (k, f), s in known.items() if k == key}
        forms = ("printed", "repaired")
        commands = [
            f"theorylab {name} {key} {flags}".strip()
            for name, flags in (found.commands or {}).items()
            if any((key, form) in (judged if name == "verify" else hunts) for form in forms)
        ]
        sweep = (found.sweeps or {}).get(key)
        if sweep is not None:
            commands.append(f"theorylab figure {key} --axis {sweep.axis}")
        yield Entry(
            key, statements,
            {f: judged[key, f] for f in forms if (key, f) in judged},
            {f: hunts[key, f] for f in forms if (key, f) in hunts},
            tuple(s for k, s in found.solved if k == key), sweep, tuple(commands),
        )  # fmt: skip


def _exhibits(folder: Path) -> Iterator[ShownExhibit]:
    from paper_figures.exhibit import read_csv
    from paper_figures.exhibits import EXHIBITS

    for key, item in EXHIBITS.items():
        for path in sorted(folder.rglob(f"{key}.csv"))[-1:]:
            data, made = read_csv(path)
            del data
            picture = path.with_suffix(".png")
            yield ShownExhibit(
                key, item.number, item.title, item.supports,
                _records(path.with_name(f"{key}.table.csv")),
                _records(path.with_name(f"{key}.arms.csv")),
                picture if picture.is_file() else None,
                f"theorylab figure {key} --preset {made.get('preset', 'laptop')}",
            )  # fmt: skip


def _records(path: Path) -> tuple[Mapping[str, Any], ...]:
    from paper_figures.exhibit import read_csv

    if not path.is_file():
        return ()
    found: Sequence[Mapping[str, Any]] = json.loads(read_csv(path)[0].to_json(orient="records"))
    return tuple(found)
