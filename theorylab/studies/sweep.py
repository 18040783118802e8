"""A statement along one axis: measured and bounds over T, eta, B, n, ... with the rest fixed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bounds.statement import DomainError, Statement
from theorylab.errors import UsageError
from theorylab.judge.check import check, constants_for
from theorylab.judge.domain import points
from theorylab.plugins import registry
from theorylab.plugins.provenance import provenance
from theorylab.plugins.specs import Spec, build_objective
from theorylab.plugins.store import Store, compute
from theorylab.problem.objective import FiniteSum, Objective, Parameter

__all__ = ["default_axis", "sweep"]


def sweep(
    key: str,
    axis: str,
    spec: Spec,
    values: Sequence[float] | None = None,
    *,
    fixed: Mapping[str, float] | None = None,
    replicas: int = 256,
    effort: float = 3e5,
    seed: int = 0,
    jobs: int = 1,
    out: Path | str = "results/sweeps",
    progress: bool | None = None,
) -> dict[str, Any]:
    """Measured and bound of every form of ``key`` at each value of ``axis``.

    ``axis`` is a hyperparameter; or ``"n"``, which resizes the data; or a parameter of the
    objective's family: the objective is then built anew at each value, its constants certified
    anew. Other hyperparameters stay at ``fixed`` or at typical admissible values, the same for
    every form. What an objective certifies is never overridden.

    Returns
    -------
    dict
        ``key``, ``axis``, ``fixed``, ``parameters`` (the family's that were set), ``objective``,
        ``provenance`` and ``rows``: one for each form and value, with ``form``, ``x``,
        ``measured``, ``interval``, ``bound``.

    Raises
    ------
    UsageError
        If ``axis`` or a name in ``fixed`` is none of these, or a certified constant.
    """
    # An O(.) claim has no constant, so no curve.
    forms = [s for (k, _), s in registry.statements().items() if k == key and not s.claim.big_o]
    if not forms:
        registry.statement(key)
    lead = forms[-1]
    objective = build_objective(spec)
    given = dict(fixed or {})
    moved = _movable(axis, lead, spec, objective)
    for name in given:
        if name not in {s.name for s in lead.hyperparameters}:
            raise _refused(name, lead, spec)
    certified = constants_for(lead, objective)
    base = points(lead, {**certified, **given}, seed, 1)[0]
    held = {s.name: float(base[s.name]) for s in lead.hyperparameters if s.name != axis}
    if values is None:
        values = _axis_values(lead, axis, base) if moved is None else _family_values(moved, spec)
    cells = [
        {"kind": "sweep", "key": key, "form": s.form, "objective": spec, "axis": axis,
         "of_family": moved is not None, "x": float(x), "fixed": {**held, **given},
         "replicas": replicas, "effort": effort, "seed": seed, "family": len(values)}
        for s in forms for x in values
    ]  # fmt: skip
    rows = compute(sweep_cell, cells, Store(out), jobs=jobs, label=f"{key} over {axis}",
                   progress=progress)  # fmt: skip
    return {
        "key": key, "axis": axis, "fixed": {**held, **given},
        "parameters": {k: v for k, v in spec.get("parameters", {}).items() if k != axis},
        "objective": objective.name, "provenance": provenance(seed=seed),
        "rows": [row for row in rows if row],
    }  # fmt: skip


def default_axis(statement: Statement, spec: Spec) -> str:
    """What a figure varies if nobody says: T, C, B, n, eta, else what else may be varied.

    >>> from bounds import sngm
    >>> bowl = {"family": "relaxed_smooth", "parameters": {}}
    >>> default_axis(sngm.theorem_1, bowl), default_axis(sngm.lemma_1, bowl)
    ('T', 'frequency')
    """
    chosen = [s.name for s in statement.hyperparameters]
    if any(s.name == "n" for s in statement.symbols):
        chosen.append("n")
    moved = registry.family(spec["family"]).parameters
    usual = [name for name in ("T", "C", "B", "n", "eta") if name in chosen]
    return next(iter(usual + chosen + [p.name for p in moved if not p.integer]), "T")


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


def sweep_cell(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """One point of a sweep; outside the statement's domain the row is empty."""
    statement = registry.statements()[cell["key"], cell["form"]]
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
