"""A statement along one axis: measured and bounds over T, eta, B, n, ... with the rest fixed."""

from __future__ import annotations

import inspect
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd

from bounds.claim import DomainError
from bounds.statement import Statement
from theorylab.data.record import Reading
from theorylab.errors import UsageError
from theorylab.judge.check import check, constants_for
from theorylab.judge.domain import points
from theorylab.plugins import registry
from theorylab.plugins.provenance import provenance
from theorylab.plugins.shape import require
from theorylab.plugins.specs import Spec, build_objective, readings
from theorylab.plugins.store import Store
from theorylab.problem.objective import FiniteSum, Objective, Parameter
from theorylab.studies import cells
from theorylab.studies.compute import Lost, compute
from theorylab.studies.planning import end_of_plan
from theorylab.studies.report import Report
from theorylab.studies.scale import Scale

__all__ = ["SweepReport", "SweepRow", "default_axis", "sweep"]


@final
@dataclass(frozen=True)
class SweepRow:
    """One form at one value of the axis.

    Attributes
    ----------
    form : str
    x : float
        The value of the axis.
    measured : float, optional
        The left-hand side; ``None`` if it is not finite.
    interval : (float, float), optional ends
        That it lies in; ``None`` where nothing is known.
    bound : float, optional
    verdict : str
    """

    form: str
    x: float
    measured: float | None
    interval: tuple[float | None, float | None]
    bound: float | None
    verdict: str = "not refuted"

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> SweepRow:
        """What :meth:`SweepReport.to_json` gives for a row.

        >>> SweepRow.from_json({"form": "printed", "x": 1.0, "measured": 0.5,
        ...                     "interval": [0.4, None], "bound": 2.0}).interval
        (0.4, None)

        Raises
        ------
        ValueError, KeyError, TypeError
            If an entry is of another type.
        """
        require(cls, table)
        low, high = table.get("interval") or (None, None)
        return cls(table["form"], table["x"], table["measured"], (low, high), table["bound"],
                   table.get("verdict", "not refuted"))  # fmt: skip


@final
@dataclass(frozen=True)
class SweepReport(Report):
    """Measured and bound of the forms of one statement along one axis.

    Attributes
    ----------
    statements : tuple of Statement
        The forms; they have one key.
    axis, objective : str
        What varies, and the objective's name.
    rows : tuple of SweepRow
        One for each form and each value at which the statement speaks of the objective.
    fixed : mapping of str to float
        Hyperparameters that stay.
    parameters : mapping
        The family's parameters that were set, but for the axis.
    seed : int
    data : tuple of Reading
        What the objective was built from.
    """

    statements: tuple[Statement, ...]
    axis: str
    objective: str
    rows: tuple[SweepRow, ...]
    fixed: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    lost: tuple[Lost, ...] = ()
    data: tuple[Reading, ...] = ()

    @property
    def key(self) -> str:
        """The statement's."""
        return self.statements[0].key

    def __iter__(self) -> Iterator[SweepRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_pandas(self) -> pd.DataFrame:
        columns = ("key", "form", self.axis, "measured", "low", "high", "bound", "verdict")
        return pd.DataFrame(
            [(self.key, r.form, r.x, r.measured, *r.interval, r.bound, r.verdict)
             for r in self.rows], columns=list(columns),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1, "provenance": provenance(
                seed=self.seed, data=[r.to_json() for r in self.data]
            ), "key": self.key,
            "axis": self.axis, "fixed": dict(self.fixed), "parameters": dict(self.parameters),
            "objective": self.objective, "rows": [asdict(row) for row in self.rows],
            "failed": [vars(lost) for lost in self.lost],
        }  # fmt: skip


def sweep(
    forms: Statement | Sequence[Statement],
    axis: str,
    spec: Spec,
    values: Sequence[float] | None = None,
    *,
    fixed: Mapping[str, float] | None = None,
    replicas: int = 256,
    effort: float = 3e5,
    seed: int = 0,
    jobs: int | Scale = 1,
    out: Path | str = "results/sweeps",
    progress: bool | None = None,
) -> SweepReport:
    """Measured and bound of a statement, in one form or several, at each value of ``axis``.

    Parameters
    ----------
    forms : Statement or sequence of Statement
        One statement, registered or not, or its forms (one key, each form once). O(.) claims are
        left out: they have no constant, so no curve.
    axis : str
        A hyperparameter; or ``"n"``, which resizes the data; or a parameter of the objective's
        family: the objective is then built anew at each value, its constants certified anew.
    spec : mapping
        The objective, ``{"family": ..., "parameters": {...}}``.
    values : sequence of float, optional
        Of the axis; by default about eight over its usual range.
    fixed : mapping of str to float, optional
        Other hyperparameters; those not named stay at typical admissible values, the same for
        every form. What an objective certifies is never overridden.
    replicas, effort : int, float
        Of each check; see :func:`theorylab.check`.
    seed, jobs, out : int, int, path
        As in :func:`theorylab.studies.falsify.falsify`.

    Raises
    ------
    UsageError
        If ``axis`` or a name in ``fixed`` is none of these, or a certified constant; if the forms
        are of several statements, or all O(.).

    Examples
    --------
    >>> import tempfile
    >>> from bounds import sngm
    >>> bowl = {"family": "quadratic", "parameters": {"dim": 2}}
    >>> found = sweep(sngm.theorem_1_repaired, "T", bowl, [1, 4], replicas=8,
    ...               out=tempfile.mkdtemp(), progress=False)
    >>> [(row.form, row.x, row.verdict != "violated") for row in found]
    [('repaired', 1.0, True), ('repaired', 4.0, True)]
    """
    drawn = _forms([forms] if isinstance(forms, Statement) else forms)
    lead = drawn[-1]
    objective = build_objective(spec)
    given = dict(fixed or {})
    moved = _movable(axis, lead, spec, objective)
    free = {s.name: s.domain for s in lead.hyperparameters}
    for name in given:
        if name not in free:
            raise _refused(name, lead, spec)
        if not free[name].contains(float(given[name])):
            raise UsageError(f"{lead.key}: {name} must be in {free[name]}, got {given[name]:g}")
        if name == axis:
            raise UsageError(f"{lead.key}: {name} is what is varied, and held at {given[name]:g}; "
                             "vary another, or leave it free")  # fmt: skip
    certified = constants_for(lead, objective)
    base = points(lead, {**certified, **given}, seed, 1)[0]
    held = {s.name: float(base[s.name]) for s in lead.hyperparameters if s.name != axis}
    if values is None:
        values = _axis_values(lead, axis, base) if moved is None else _family_values(moved, spec)
    table = [
        {"kind": "sweep", **cells.name(s), "objective": spec, "axis": axis,
         "of_family": moved is not None, "x": float(x), "fixed": {**held, **given},
         "replicas": replicas, "effort": effort, "seed": seed, "family": len(values)}
        for s in drawn for x in values
    ]  # fmt: skip
    found = compute(partial(sweep_cell, sent=cells.unregistered(drawn)), table, Store(out),
                    jobs=jobs, label=f"{lead.key} over {axis}", progress=progress,
                    reads=SweepRow.from_json)  # fmt: skip
    end_of_plan()
    return SweepReport(
        drawn, axis, objective.name, tuple(SweepRow.from_json(row) for row in found if row),
        {**held, **given},
        {k: v for k, v in spec.get("parameters", {}).items() if k not in (axis, "digest")}, seed,
        found.lost, readings([spec]),
    )  # fmt: skip


def _forms(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Those that have a curve."""
    names = [s.form for s in statements]
    if len({s.key for s in statements}) != 1 or len(set(names)) < len(names):
        given = ", ".join(f"{s.key} ({s.form})" for s in statements) or "none"
        raise UsageError(f"a sweep takes the forms of one statement, each once; got {given}")
    drawn = tuple(s for s in statements if not s.claim.big_o)
    if not drawn:
        raise UsageError(f"{statements[0].key}: an O(.) claim has no constant, so no curve")
    return drawn


def default_axis(statement: Statement, spec: Spec, held: Container[str] = ()) -> str:
    """What a figure varies if nobody says: T, C, B, n, eta, else what else may be varied.

    None of what is ``held``.

    >>> from bounds import sngm
    >>> bowl = {"family": "relaxed_smooth", "parameters": {}}
    >>> default_axis(sngm.theorem_1, bowl), default_axis(sngm.lemma_1, bowl)
    ('T', 'frequency')
    >>> default_axis(sngm.theorem_1, bowl, {"T"})
    'B'
    """
    chosen = [s.name for s in statement.hyperparameters]
    if any(s.name == "n" for s in statement.symbols):
        chosen.append("n")
    moved = registry.family(spec["family"]).parameters
    usual = [name for name in ("T", "C", "B", "n", "eta") if name in chosen]
    every = usual + chosen + [p.name for p in moved if not p.integer]
    return next((name for name in every if name not in held), "T")


def _movable(axis: str, statement: Statement, spec: Spec, objective: Objective) -> Parameter | None:
    """The family's parameter that ``axis`` names; ``None`` for a hyperparameter or the data's n."""
    if axis in {s.name for s in statement.hyperparameters}:
        return None
    if axis == "n" and "n" in {s.name for s in statement.symbols}:
        if not isinstance(objective, FiniteSum):
            raise UsageError(f"{objective.name} is no finite sum: it cannot be swept over n")
        return None
    for parameter in registry.family(spec["family"]).parameters:
        if parameter.name == axis:
            return parameter
    raise _refused(axis, statement, spec)


def _refused(name: str, statement: Statement, spec: Spec) -> UsageError:
    """One line: why ``name`` cannot be chosen, and what can."""
    free = [s.name for s in statement.hyperparameters]
    moved = [p.name for p in registry.family(spec["family"]).parameters]
    can = f"choose one of {', '.join(free)}, or" if free else "choose"
    can += f" a parameter of {spec['family']}: {', '.join(moved)}"
    if name in {s.name for s in statement.constants}:
        return UsageError(
            f"{statement.key}: {name} is what {spec['family']} certifies, not a choice; {can}"
        )
    return UsageError(f"{statement.key} does not depend on {name!r}; {can}")


def _family_values(parameter: Parameter, spec: Spec) -> list[float]:
    """Eight values around the spec's own, within the parameter's range."""
    build = registry.family(spec["family"]).build
    default = inspect.signature(build).parameters[parameter.name].default
    here = spec.get("parameters", {}).get(parameter.name, default)
    low, high = parameter.lower, parameter.upper
    if parameter.log and isinstance(here, int | float) and low <= here <= high:
        low, high = max(low, here / 10), min(high, here * 10)
    space = np.geomspace if parameter.log else np.linspace
    found = [float(v) for v in space(low, high, 8)]
    return sorted({float(round(v)) for v in found}) if parameter.integer else found


def _axis_values(statement: Statement, axis: str, base: Mapping[str, Any]) -> list[float]:
    symbol = next(s for s in statement.symbols if s.name == axis)
    if axis == "n":
        return [float(64 * 2**k) for k in range(5)]
    here = float(base[axis])
    if symbol.domain.integer:
        low, high = min(symbol.typical or (1,)), max(symbol.typical or (here, 256))
        return sorted({float(round(v)) for v in np.geomspace(low, high, 8)})
    return [float(v) for v in here * np.geomspace(0.01, 1.0, 8)]


def sweep_cell(cell: Mapping[str, Any], sent: Sequence[Statement] = ()) -> Mapping[str, Any]:
    """One point of a sweep; outside the statement's domain the row is empty."""
    statement = cells.find(cell, sent)
    spec = cell["objective"]
    if cell["of_family"]:
        x = int(cell["x"]) if float(cell["x"]).is_integer() else cell["x"]
        spec = {**spec, "parameters": {**spec.get("parameters", {}), cell["axis"]: x}}
    try:
        objective = build_objective(spec)
    except UsageError:
        return {}
    values = {k: v for k, v in cell["fixed"].items() if k in {s.name for s in statement.symbols}}
    if cell["axis"] == "n" and not cell["of_family"]:
        assert isinstance(objective, FiniteSum)
        objective = objective.resize(int(cell["x"]), cell["seed"])
    elif not cell["of_family"]:
        values[cell["axis"]] = cell["x"]
    try:
        verdict = check(
            statement, objective, values=values, count=1, replicas=cell["replicas"],
            effort=cell["effort"], seed=cell["seed"], family=cell["family"],
        ).to_json()  # fmt: skip
    except (UsageError, DomainError):
        return {}
    kept = {name: verdict[name] for name in ("measured", "interval", "bound", "verdict")}
    return {"form": cell["form"], "x": cell["x"], **kept}
